#![doc = include_str!("../README.md")]

mod address;
mod client;
mod error;
mod record;
mod server;

pub use self::address::ZmqAddress;
pub use self::client::{ZmqTransport, ZmqTransportBuilder};
pub use self::server::{ServerEnd, ZmqServer, ZmqServerBuilder};
