//! The context in which a pool starts its processes.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

use tokio::process::Command;

use super::lifeline::Lifeline;
use crate::package::Package;

/// The program, package and environment that all processes of a pool share.
#[derive(Debug)]
pub(super) struct SpawnContext {
    pub(super) python: PathBuf,
    pub(super) package: Package,
    /// Changes of the worker's environment; `None` removes a variable.
    pub(super) environment: Vec<(OsString, Option<OsString>)>,
    /// The first characters of the cookies of this pool's interpreters, which are unique.
    pub(super) mark: String,
    /// The number of interpreters that were started.
    pub(super) count: AtomicU64,
    pub(super) lifeline: Lifeline,
}

impl SpawnContext {
    /// Returns the directory for copies of the sources, if they are copied.
    pub(super) fn store(&self) -> PathBuf {
        self.package.path().join("sources")
    }

    /// Returns the command that runs a program of the package, with options for Python.
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
