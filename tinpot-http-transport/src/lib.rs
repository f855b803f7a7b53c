#![doc = include_str!("../README.md")]

#[cfg(feature = "client")]
mod client;
#[cfg(any(feature = "client", feature = "server"))]
mod record;
#[cfg(feature = "server")]
mod server;

#[cfg(feature = "client")]
pub use self::client::{Downloads, HttpTransport, HttpTransportBuilder, join};
#[cfg(feature = "server")]
pub use self::server::{Admission, LinkEnd, LinkServer, LinkServerBuilder, Login, Peer};
