//! The errors of this crate, before they become `tinpot_core::Error`.

use tinpot_core::transport::Address;
use tinpot_core::{Error, ErrorKind};

/// The one private error enum of this crate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MqttError {
    #[error("invalid broker URL: {0}")]
    Url(String),
    #[error("{0}")]
    Option(String),
    #[error("the {what} cannot be used: {why}")]
    Certificate { what: &'static str, why: String },
    #[error("the link to the broker is down{}{}", if reason.is_empty() { "" } else { ": " }, reason)]
    Down { reason: String },
    #[error(
        "at most {waiting} frames can wait to be sent: the link to the broker is slower than its senders"
    )]
    QueueFull { waiting: usize },
    #[error("{waiting_bytes} bytes of large frames wait to be sent, and {bytes} more find no room")]
    LargeFramesFull { waiting_bytes: usize, bytes: usize },
    #[error("frame must be at most {limit_bytes} bytes (got {bytes}), a limit of {limited_by}")]
    TooLarge { bytes: usize, limit_bytes: usize, limited_by: &'static str },
    #[error("the broker does not let this client listen at {filter}: {why}")]
    ListenRefused { filter: String, why: String },
    #[error("frames for {address} have no topic in this version: update the program")]
    Address { address: Address },
    #[error("the MQTT transport is closed")]
    Closed,
    #[cfg(feature = "broker")]
    #[error("the broker cannot listen at {address}: {why}")]
    Bind { address: std::net::SocketAddr, why: String },
}

impl From<MqttError> for Error {
    fn from(problem: MqttError) -> Self {
        let kind = match &problem {
            MqttError::Url(_)
            | MqttError::Option(_)
            | MqttError::Certificate { .. }
            | MqttError::Address { .. }
            | MqttError::TooLarge { .. }
            | MqttError::ListenRefused { .. } => ErrorKind::InvalidInput,
            MqttError::Down { .. } => ErrorKind::Unavailable,
            MqttError::QueueFull { .. } | MqttError::LargeFramesFull { .. } => {
                ErrorKind::Overloaded
            }
            MqttError::Closed => ErrorKind::Closed,
            #[cfg(feature = "broker")]
            MqttError::Bind { .. } => ErrorKind::Unavailable,
        };
        Error::new(kind, problem.to_string())
    }
}
