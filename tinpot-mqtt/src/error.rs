//! What can go wrong here, before it becomes the error of the SDK.

use tinpot_core::{Error, ErrorKind};

/// The one private error enum of this crate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("the broker's URL is wrong: {0}")]
    Url(String),
    #[error("{0}")]
    Option(String),
    #[error("the {what} cannot be used: {why}")]
    Certificate { what: &'static str, why: String },
    #[error("the link to the broker is down{}{}", if reason.is_empty() { "" } else { ": " }, reason)]
    Down { reason: String },
    #[error(
        "{waiting} frames wait to be sent; the link to the broker is slower than what is handed over"
    )]
    QueueFull { waiting: usize },
    #[error(
        "{waiting_bytes} bytes of large frames wait to be sent, and another {bytes} are too many"
    )]
    LargeFramesFull { waiting_bytes: usize, bytes: usize },
    #[error("a frame of {bytes} bytes is too large: {limited_by} takes up to {limit_bytes}")]
    TooLarge { bytes: usize, limit_bytes: usize, limited_by: &'static str },
    #[error("the broker does not let this client listen at {filter}: {why}")]
    ListenRefused { filter: String, why: String },
    #[error("the MQTT transport is closed")]
    Closed,
    #[cfg(feature = "broker")]
    #[error("the broker cannot listen at {address}: {why}")]
    Bind { address: std::net::SocketAddr, why: String },
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        let kind = match &problem {
            Problem::Url(_)
            | Problem::Option(_)
            | Problem::Certificate { .. }
            | Problem::TooLarge { .. }
            | Problem::ListenRefused { .. } => ErrorKind::InvalidInput,
            Problem::Down { .. } => ErrorKind::Unavailable,
            Problem::QueueFull { .. } | Problem::LargeFramesFull { .. } => ErrorKind::Overloaded,
            Problem::Closed => ErrorKind::Closed,
            #[cfg(feature = "broker")]
            Problem::Bind { .. } => ErrorKind::Unavailable,
        };
        Error::new(kind, problem.to_string())
    }
}
