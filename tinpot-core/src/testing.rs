//! Conformance suites for the traits, and doubles for tests. Outside semver.
//!
//! Each suite is a macro that takes a factory and emits one named test per case, in a module of its
//! own. An implementation runs the whole suite: a capability that it lacks is asserted to be
//! missing, never skipped. The factory says how long a condition may take on a slow machine.

pub mod audit;
pub mod case;
pub mod executor;
mod faulty;
pub mod fuzz;
pub mod log_sink;
pub mod policy;
mod random;
pub mod records;
pub mod seal_suite;
pub mod secret_sealer;
mod simulated_time;
pub mod simulation;
pub mod store;
mod test_policy;
mod toy_suite;
pub mod transport;

#[cfg(feature = "testing")]
pub use crate::failpoint::failpoint;

pub use self::faulty::{Faults, FaultyTransport};
pub use self::random::Random;
pub use self::simulated_time::with_simulated_time;
pub use self::test_policy::{Grant, TestPolicy};
pub use self::toy_suite::ToySuite;
