#![doc = include_str!("../README.md")]

mod address;
mod client;
mod curve;
mod fault;
mod gateway;
mod guest;
mod keys;
mod server;
mod sockets;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod var;
mod wire;

pub use self::address::MoorAddress;
pub use self::curve::{CurveClients, CurveKey};
pub use self::fault::Fault;
pub use self::gateway::{Gateway, GatewayBuilder};
pub use self::guest::{Guest, GuestBuilder};
pub use self::keys::{SigningKey, VerifyingKey};
pub use self::server::MoorType;
pub use self::var::obj::Obj;
pub use self::var::{DEPTH_MAX, ErrorCode, ErrorValue, Flyweight, Var};
pub use self::wire::Dialect;
pub use self::wire::message::{
    FromWorker, FromWorkerBody, Reply, Sender, ToWorker, WorkerError, WorkerRequest,
};
