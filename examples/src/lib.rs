//! Code that the example programs share. Settings, serving and shutdown are those of `tinpot-server`.

mod redb_store;
mod shell_executor;
mod unix_hub;
mod unix_socket;

pub use tinpot_server::settings::{
    ActionsSettings, HttpSettings, ProtocolSettings, RESULT_BYTES, SelectionSettings, StoreSettings,
};
pub use tinpot_server::{exit, init_tracing, serve, shutdown};

pub use self::redb_store::Redb;
pub use self::shell_executor::shell_executor;
pub use self::unix_hub::UnixHub;
pub use self::unix_socket::UnixSocket;

/// The error of an example program: any error.
pub type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// The program in the README is compiled and run, as it stands there.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The programs of the how-to pages, too.
#[cfg(doctest)]
#[doc = include_str!("../../docs/how-to/embed-in-rust.md")]
#[doc = include_str!("../../docs/how-to/test-on-simulated-time.md")]
struct HowTo;
