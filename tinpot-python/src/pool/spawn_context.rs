//! The context in which a pool starts its processes.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::process::Command;

use super::lifeline::Lifeline;
use crate::base::Base;
use crate::error::PythonError;
use crate::package::Package;
use crate::python;

/// The program, package and environment that all processes of a pool share.
#[derive(Debug)]
pub(super) struct SpawnContext {
    /// The interpreter as it was chosen, such as a shim or a link.
    pub(super) chosen: PathBuf,
    /// Its own path: a shim in front of it would start again with each interpreter.
    pub(super) python: RwLock<PathBuf>,
    pub(super) package: Arc<Package>,
    pub(super) base: Base,
    /// The first characters of the cookies of this pool's interpreters, which are unique.
    pub(super) mark: String,
    /// The number of interpreters that were started.
    pub(super) count: Arc<AtomicU64>,
    pub(super) lifeline: Arc<Lifeline>,
    /// The name of the directory for copies of the sources.
    pub(super) store: String,
}

impl SpawnContext {
    /// Returns the interpreter's own path.
    pub(super) fn python(&self) -> PathBuf {
        self.python.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Restores what may have been taken away since the last start: unpacks the package again, and
    /// looks the interpreter up again, which may have been replaced by another version.
    pub(super) async fn heal(self: &Arc<Self>) -> Result<(), PythonError> {
        let this = self.clone();
        let check = move || this.package.restore().map(|()| this.python().exists());
        let checked = tokio::task::spawn_blocking(check).await.map_err(io::Error::other);
        let is_there = checked
            .and_then(|checked| checked)
            .map_err(PythonError::io("cannot unpack the Python package"))?;
        if !is_there {
            let found = python::probe(self.chosen.clone(), &self.base).await?.executable;
            tracing::info!("the Python interpreter is now {}", found.display());
            *self.python.write().unwrap_or_else(PoisonError::into_inner) = found;
        }
        Ok(())
    }

    /// Unpacks the package again if it is gone. A copy of an interpreter may do without.
    pub(super) async fn restore(&self) {
        let package = self.package.clone();
        let _ = tokio::task::spawn_blocking(move || package.restore()).await;
    }

    /// Returns the directory for copies of the sources, if they are copied.
    pub(super) fn store(&self) -> PathBuf {
        self.package.path().join(&self.store)
    }

    /// Returns the command that runs a program of the package, with options for Python.
    pub(super) fn command(&self, options: &[&str], program: &str) -> Command {
        let mut command = self.base.command(&self.python());
        command.args(options).arg(self.package.path().join(program));
        command
    }
}

/// Returns true if the worker's working directory does not exist any more.
pub(super) fn has_no_directory() -> bool {
    std::env::current_dir().is_err()
}
