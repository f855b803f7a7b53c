//! A cluster in simulated time: the real state machines of coordinator and workers, in a world
//! where everything that may go wrong does.
//!
//! These parts are simulated: a coordinator that crashes and restarts, and a store that is slow, is
//! sometimes full, and loses in a crash what it has not synced; a network that loses, duplicates,
//! delays, reorders, repeats and corrupts frames, and can be cut in either direction; processes
//! that are paused, crash, drain, come back and lie about each other, each with a clock of its own rate; executors that
//! finish, fail, hang and ignore requests to stop; clients that repeat requests, cancel, and give
//! up; versions of actions that are deployed, rolled back and disabled;
//! teams that share all of it. These parts are real: both state machines; the order in which the control loop uses machine,
//! store and network (persist before send); the transitions of the store; the encoding of frames;
//! both ends of the log lanes; and in every fourth history the sessions of sealed frames, with an
//! adversary that owns the network.
//!
//! One seed gives one history and one trace hash. The invariants of `protocol.md` are checked after
//! every step. A violation names the invariant, the seed and the simulated time, and [`replay`]
//! prints the events that led to it.

mod adversary;
mod checks;
mod client;
mod clock;
mod coordinator;
mod deploys;
mod events;
mod joining;
mod network;
mod plain;
mod plan;
mod rotation;
mod sealing;
mod store;
mod teams;
mod trouble;
mod worker;
mod world;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

pub use self::plan::{Profile, Scenario};
use self::world::World;

/// The summary of a history that ran without a violation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// A hash of everything that happened, in order. The same seed gives the same hash.
    pub trace: u64,
    /// The simulated time that passed in the history.
    pub simulated: Duration,
    /// The number of events, each at one moment in one process.
    pub events: u64,
    /// The number of frames handed to the network.
    pub frames: u64,
    /// The number of batches committed.
    pub commits: u64,
    /// The number of attempts started.
    pub starts: u64,
    /// The number of calls that attempts made.
    pub calls: u64,
    /// The number of calls refused, for example because they were nested too deep.
    pub refused_calls: u64,
    /// The number of log lines stored.
    pub lines: u64,
    /// The most messages and log ends that a coordinator held back while its store could not write.
    pub held: u64,
    /// The number of executions by final status.
    pub ended: BTreeMap<&'static str, u64>,
    /// The number of faults by name: `coordinator crash`, `frame lost`, ….
    pub faults: BTreeMap<&'static str, u64>,
}

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The seed of the history.
    pub seed: u64,
    /// The time since the beginning of the history.
    pub at: Duration,
    /// The broken invariant: `I1` to `I22` of `protocol.md`, or a word for one that follows from
    /// them.
    pub invariant: &'static str,
    /// A description of the violation.
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
/// Returns the first violation.
pub fn run(seed: u64, scenario: &Scenario) -> Result<Report, Violation> {
    joining::run(seed)?;
    World::new(seed, scenario, None).run()
}

/// Runs the history of `seed` and passes each event to the listener as a line.
///
/// # Errors
/// Returns the first violation.
pub fn replay(
    seed: u64,
    scenario: &Scenario,
    tell: impl FnMut(String) + 'static,
) -> Result<Report, Violation> {
    joining::run(seed)?;
    World::new(seed, scenario, Some(Box::new(tell))).run()
}
