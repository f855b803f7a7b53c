//! What the example programs share. Settings, and how a program ends, are those of the command `tinpot`.

mod unix_transport;

pub use tinpot_cli::{
    ActionsSettings, AnyError, BrokerSettings, HttpSettings, Life, ProtocolSettings, RESULT_BYTES,
    Shutdown, StoreSettings, WorkerSettings, exit, init_tracing, serve, shutdown,
};

pub use self::unix_transport::UnixTransport;

/// The program in the README is compiled and run, as it stands there.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
