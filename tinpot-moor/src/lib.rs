#![doc = include_str!("../README.md")]

mod fault;
mod keys;
mod var;
mod wire;

pub use self::fault::Fault;
pub use self::keys::{SigningKey, VerifyingKey};
pub use self::var::obj::Obj;
pub use self::var::{DEPTH_MAX, ErrorCode, ErrorValue, Flyweight, Var};
pub use self::wire::Dialect;
pub use self::wire::message::{
    FromWorker, FromWorkerBody, Reply, Sender, ToWorker, WorkerError, WorkerRequest,
};
