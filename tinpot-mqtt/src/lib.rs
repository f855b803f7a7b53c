//! Tinpot's transport over MQTT 5.

mod address;
mod backoff;
#[cfg(feature = "broker")]
pub mod broker;
mod config;
mod connection;
mod error;
mod lane;
mod link;
mod listeners;
mod tls;
mod topics;
mod transport;

pub use self::config::MqttTransportBuilder;
pub use self::transport::MqttTransport;
