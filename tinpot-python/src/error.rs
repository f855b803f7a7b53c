//! What can go wrong here, before it becomes the SDK's one error.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tinpot_core::{Error, ErrorKind};

#[derive(Debug, thiserror::Error)]
pub(crate) enum PythonError {
    #[error("the directory of actions {} cannot be read", path.display())]
    ActionsDir { path: PathBuf, source: io::Error },
    #[error("the directory of actions {} is not a directory", path.display())]
    ActionsDirIsFile { path: PathBuf },
    #[error("the Python interpreter {} cannot be started", path.display())]
    Missing { path: PathBuf, source: io::Error },
    #[error("{} is not a Python interpreter: asked for its version, it {said}", path.display())]
    NotPython { path: PathBuf, said: String },
    #[error("{} is Python {version}, and 3.9 or newer is needed", path.display())]
    TooOld { path: PathBuf, version: String },
    #[error("cgroups are asked for and cannot be used: {reason}")]
    NoCgroups { reason: String },
    #[error("the interpreter was not ready {} s after it had last been heard of{}", after.as_secs_f64(), tail(said))]
    Silent { after: Duration, said: String, importing: Vec<String> },
    #[error("the interpreter {how} before it was ready{}", tail(said))]
    Died { how: String, said: String, importing: Vec<String> },
    #[error("{doing}")]
    Io { doing: &'static str, source: io::Error },
    #[error("the interpreter said something that cannot be understood")]
    Malformed { source: serde_json::Error },
    #[error("the executor was closed")]
    Closed,
    #[cfg(feature = "embed")]
    #[error("{0}")]
    Embed(String),
}

fn tail(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!("; it wrote:\n{said}") }
}

impl PythonError {
    /// What a failed `operation` on an interpreter's pipes and sockets becomes.
    pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| PythonError::Io { doing, source }
    }

    /// The files that were being imported when it happened: the first one for its own sake, each further one for the one before.
    pub(crate) fn importing(&self) -> &[String] {
        match self {
            PythonError::Silent { importing, .. } | PythonError::Died { importing, .. } => {
                importing
            }
            _ => &[],
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            PythonError::ActionsDir { .. }
            | PythonError::ActionsDirIsFile { .. }
            | PythonError::Missing { .. }
            | PythonError::NotPython { .. }
            | PythonError::TooOld { .. }
            | PythonError::NoCgroups { .. } => ErrorKind::InvalidInput,
            PythonError::Silent { .. } => ErrorKind::TimedOut,
            PythonError::Died { .. } | PythonError::Io { .. } => ErrorKind::Other,
            PythonError::Malformed { .. } => ErrorKind::Malformed,
            PythonError::Closed => ErrorKind::Closed,
            #[cfg(feature = "embed")]
            PythonError::Embed(_) => ErrorKind::InvalidInput,
        }
    }
}

impl From<PythonError> for Error {
    fn from(error: PythonError) -> Self {
        let (kind, message) = (error.kind(), error.to_string());
        let converted = Error::new(kind, message);
        match error {
            PythonError::ActionsDir { source, .. }
            | PythonError::Missing { source, .. }
            | PythonError::Io { source, .. } => converted.with_source(source),
            PythonError::Malformed { source } => converted.with_source(source),
            _ => converted,
        }
    }
}
