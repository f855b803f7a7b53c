//! The state that a coordinator takes over from its store.

use std::sync::Arc;
use std::time::Duration;

use super::action::Action;
use super::execution::Execution;
use super::fence::Epoch;
use super::time::Timestamp;

/// What a store knows when a coordinator opens it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Opened {
    /// The new life: no earlier one of this store had its number.
    pub epoch: Epoch,
    /// The executions with a live attempt, in the order of their acceptance: as many as the workers held.
    pub granted: Vec<Arc<Execution>>,
    /// Executions without one whose log is open: [`Execution::log_is_open`].
    pub open_logs: Vec<Arc<Execution>>,
    /// How many executions wait without one.
    pub waiting: Vec<WaitingCount>,
    /// The longest lease of the live attempts: until then nobody else may get what a silent worker holds.
    pub longest_lease: Duration,
    /// The actions that were ever offered, as they were offered last.
    pub actions: Vec<Arc<Action>>,
    /// The queues that are paused, and since when.
    pub paused: Vec<(Arc<str>, Timestamp)>,
}

impl Opened {
    /// What an empty store tells its coordinator.
    pub fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            granted: Vec::new(),
            open_logs: Vec::new(),
            waiting: Vec::new(),
            longest_lease: Duration::ZERO,
            actions: Vec::new(),
            paused: Vec::new(),
        }
    }
}

/// How many executions of one action wait in one queue without a live attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WaitingCount {
    /// The queue.
    pub queue: Arc<str>,
    /// The action.
    pub action: Arc<str>,
    /// Those that may start: their `not_before` is not set.
    pub ready: u64,
    /// Those that wait for their time.
    pub delayed: u64,
}
