//! The errors of this crate, before their conversion to the SDK's error.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tinpot_core::{Error, ErrorKind};

#[derive(Debug, thiserror::Error)]
pub(crate) enum PythonError {
    #[error("the directory of actions {} cannot be read", path.display())]
    ActionsDir { path: PathBuf, source: io::Error },
    #[error("the directory of actions {} is a file", path.display())]
    ActionsDirIsFile { path: PathBuf },
    #[error("the Python interpreter {} cannot be started", path.display())]
    Missing { path: PathBuf, source: io::Error },
    #[error("{} is not a Python interpreter: it {output}", path.display())]
    NotPython { path: PathBuf, output: String },
    #[error("{} must be Python 3.9 or newer (got {version})", path.display())]
    TooOld { path: PathBuf, version: String },
    #[error("cgroups cannot be used: {reason}; choose `auto` or `process-group`")]
    NoCgroups { reason: String },
    #[error(
        "the interpreter sent nothing for {} s and was not ready{}",
        after.as_secs_f64(),
        tail(output)
    )]
    Silent { after: Duration, output: String, importing: Vec<String> },
    #[error("the interpreter {how} before it was ready{}", tail(output))]
    Died { how: String, output: String, importing: Vec<String> },
    #[error("the interpreter did not begin the attempt within {} s", after.as_secs_f64())]
    Hung { after: Duration },
    #[error("{doing}")]
    Io { doing: &'static str, source: io::Error },
    #[error("the interpreter sent a message that cannot be read")]
    Malformed { source: serde_json::Error },
    #[error("the executor was closed")]
    Closed,
    #[cfg(feature = "embed")]
    #[error("{0}")]
    Embed(String),
}

fn tail(output: &str) -> String {
    if output.is_empty() { String::new() } else { format!("; its output:\n{output}") }
}

impl PythonError {
    /// Returns a function that converts an I/O error during an operation.
    pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| PythonError::Io { doing, source }
    }

    /// Returns the files that were being imported: the first one by discovery, each other one by
    /// the one before it.
    pub(crate) fn importing(&self) -> &[String] {
        match self {
            PythonError::Silent { importing, .. } | PythonError::Died { importing, .. } => {
                importing
            }
            _ => &[],
        }
    }

    /// Returns the message with its cause.
    pub(crate) fn with_cause(&self) -> String {
        match std::error::Error::source(self) {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
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
            PythonError::Silent { .. } | PythonError::Hung { .. } => ErrorKind::TimedOut,
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
