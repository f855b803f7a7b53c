//! What all processes of a pool have in common.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

use tokio::process::Command;

use super::lifeline::Lifeline;
use crate::package::Package;

/// What all processes of a pool have in common.
#[derive(Debug)]
pub(super) struct SpawnContext {
    pub(super) python: PathBuf,
    pub(super) package: Package,
    /// In addition to the worker's environment; `None` takes a variable away.
    pub(super) environment: Vec<(OsString, Option<OsString>)>,
    /// What the cookies of this pool's interpreters begin with, and nobody else's.
    pub(super) mark: String,
    /// How many interpreters were started.
    pub(super) count: AtomicU64,
    pub(super) lifeline: Lifeline,
}

impl SpawnContext {
    /// Where copies of the actions' sources are, if they are kept.
    pub(super) fn store(&self) -> PathBuf {
        self.package.path().join("sources")
    }

    /// Runs a program of the package, with options for Python.
    pub(super) fn command(&self, options: &[&str], program: &str) -> Command {
        let mut command = Command::new(&self.python);
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.args(options).arg(self.package.path().join(program));
        command
    }
}
