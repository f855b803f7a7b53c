//! The failures of sockets, as errors of the core.

use tinpot_core::{Error, ErrorKind};

/// Returns the error of a link that does not work now.
pub(crate) fn unavailable(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}

/// Returns the error of a setting that cannot be used.
pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

/// Returns the reason of a failure of the socket library, for people.
pub(crate) fn reason(error: &omq_tokio::Error) -> String {
    match error {
        omq_tokio::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}
