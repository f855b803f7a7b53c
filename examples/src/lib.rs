//! Code that the example programs share. Settings, serving and shutdown are those of `tinpot-server`.

mod unix_transport;

pub use tinpot_server::settings::{
    ActionsSettings, HttpSettings, ProtocolSettings, RESULT_BYTES, SelectionSettings, StoreSettings,
};
pub use tinpot_server::{exit, init_tracing, serve, shutdown};

pub use self::unix_transport::UnixTransport;

/// The error of an example program: any error.
pub type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// The program in the README is compiled and run, as it stands there.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
