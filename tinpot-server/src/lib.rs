#![doc = include_str!("../README.md")]

mod access;
mod collection;
mod coordinator;
mod enrolment;
mod error;
mod gateway;
mod identity;
mod incarnation;
mod joint_offer;
mod link;
mod local;
mod metrics;
#[cfg(feature = "moor")]
mod moor;
mod process;
mod programs;
mod restored;
mod serve;
pub mod settings;
mod shutdown;
mod tower;
mod trace;
mod traces;
mod worker;
#[cfg(feature = "zmq")]
mod zmq;

pub use self::coordinator::CoordinatorSettings;
pub use self::error::{error_chain, exit};
pub use self::incarnation::Incarnation;
pub use self::joint_offer::joint_offer;
pub use self::local::{LocalServer, LocalServerBuilder};
#[cfg(feature = "moor")]
pub use self::moor::{MoorDaemonSettings, MoorSettings};
pub use self::process::{hide_secret_variables, keep_private};
pub use self::restored::{OTHER_CREDENTIALS, explained};
pub use self::serve::{ConnectionLimits, listen, serve, serve_on};
pub use self::shutdown::{Shutdown, ShutdownTrigger, shutdown};
pub use self::tower::{ActiveChoice, TowerImport, TowerImported, TowerSettings};
pub use self::trace::{init_tracing, init_tracing_as, init_tracing_with};
pub use self::worker::WorkerSettings;
pub use tinpot_process::supervise_if_asked;
