//! A cluster in simulated time: the real machines of coordinator and workers, and around them a world in which everything goes wrong that may.
//!
//! Simulated are: a coordinator that crashes and starts again, on a store that takes its time, is full now and then and loses in a crash what
//! it has not synced; a network that loses, duplicates, delays, reorders, repeats and spoils frames and is cut in either direction; processes
//! with clocks of their own rate, that are paused, crash, drain and come back; executors that finish, fail, hang and ignore that they
//! should end; clients that repeat themselves, cancel, and give up. Real are: both state machines, what the control loop does between
//! machine, store and network (persist before send), the transitions of the store, the encoding of frames, and both ends of the log lanes.
//!
//! One seed gives one history, and one trace hash. The invariants of `protocol.md` are checked after every step; a violation names the
//! invariant, the seed and the simulated time, and [`replay`] prints what led there.

mod checks;
mod client;
mod clock;
mod coordinator;
mod events;
mod network;
mod plan;
mod store;
mod trouble;
mod worker;
mod world;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

pub use self::plan::{Profile, Scenario};
use self::world::World;

/// What a history has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// A hash of everything that happened, in order: the same seed gives the same.
    pub trace: u64,
    /// How much time has passed in it.
    pub simulated: Duration,
    /// Events: things that happened at one moment to one process.
    pub events: u64,
    /// Frames that were handed to the network.
    pub frames: u64,
    /// Batches that were committed.
    pub commits: u64,
    /// Attempts that were started.
    pub starts: u64,
    /// Calls that attempts made.
    pub calls: u64,
    /// Calls that were refused: because they were nested too deep, for one.
    pub refused_calls: u64,
    /// Log lines that were stored.
    pub lines: u64,
    /// The most that a coordinator ever held back because its store could not write: messages, and ends of logs.
    pub held: u64,
    /// Executions by the status that they ended with.
    pub ended: BTreeMap<&'static str, u64>,
    /// What went wrong, and how often: `coordinator crash`, `frame lost`, ….
    pub faults: BTreeMap<&'static str, u64>,
}

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The seed of the history.
    pub seed: u64,
    /// When: the time since its beginning.
    pub at: Duration,
    /// Which promise: `I1` to `I13` of `protocol.md`, or a word for what follows from them.
    pub invariant: &'static str,
    /// What happened.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, at, invariant, what } = self;
        write!(f, "seed {seed}, at {:.6} s: {invariant} is violated: {what}", at.as_secs_f64())
    }
}

impl std::error::Error for Violation {}

/// Runs the history of `seed`.
///
/// # Errors
/// The first promise that was not kept.
pub fn run(seed: u64, scenario: &Scenario) -> Result<Report, Violation> {
    World::new(seed, scenario, None).run()
}

/// Runs the history of `seed`, and tells it line by line.
///
/// # Errors
/// The first promise that was not kept.
pub fn replay(
    seed: u64,
    scenario: &Scenario,
    tell: impl FnMut(String) + 'static,
) -> Result<Report, Violation> {
    World::new(seed, scenario, Some(Box::new(tell))).run()
}
