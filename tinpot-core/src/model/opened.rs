//! The state that a coordinator takes over from its store.

use std::sync::Arc;
use std::time::Duration;

use super::action::Action;
use super::execution::Execution;
use super::fence::Epoch;
use super::time::Timestamp;

/// The state of a store when a coordinator opens it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Opened {
    /// The new epoch: no earlier epoch of this store had its number.
    pub epoch: Epoch,
    /// The largest [number](Execution::number) that an execution ever had, also if it was removed.
    /// 0 if none was accepted.
    pub last_number: u64,
    /// The executions with a live attempt, in the order of acceptance.
    pub granted: Vec<Arc<Execution>>,
    /// The executions without a live attempt whose log is open: [`Execution::log_is_open`].
    pub open_logs: Vec<Arc<Execution>>,
    /// The numbers of waiting executions without a live attempt.
    pub waiting: Vec<WaitingCount>,
    /// The longest lease of the live attempts. Until it ends, the attempts of a silent worker must
    /// not be granted to another.
    pub longest_lease: Duration,
    /// All actions that were ever offered, each in its latest version.
    pub actions: Vec<Arc<Action>>,
    /// The paused queues, and the times at which they were paused.
    pub paused: Vec<(Arc<str>, Timestamp)>,
}

impl Opened {
    /// Creates the state of an empty store.
    pub fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            last_number: 0,
            granted: Vec::new(),
            open_logs: Vec::new(),
            waiting: Vec::new(),
            longest_lease: Duration::ZERO,
            actions: Vec::new(),
            paused: Vec::new(),
        }
    }
}

/// The number of executions of one action that wait in one queue without a live attempt, and need
/// the same runtime, if any.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct WaitingCount {
    /// The queue.
    pub queue: Arc<str>,
    /// The [key](Action::key) of the action.
    pub action: Arc<str>,
    /// The runtime of the bundles to which they are pinned, if they are.
    pub runtime: Option<Arc<str>>,
    /// The executions that may start: their `not_before` is not set.
    pub ready: u64,
    /// The executions that are delayed.
    pub delayed: u64,
}

impl WaitingCount {
    /// Creates the count of an action's executions in a queue: `ready` ones that may start, and
    /// `delayed` ones.
    pub fn new(
        queue: impl Into<Arc<str>>,
        action: impl Into<Arc<str>>,
        ready: u64,
        delayed: u64,
    ) -> Self {
        Self { queue: queue.into(), action: action.into(), runtime: None, ready, delayed }
    }

    /// Sets the runtime of the bundles to which the executions are pinned, if they are.
    #[must_use]
    pub fn runtime(mut self, runtime: Option<Arc<str>>) -> Self {
        self.runtime = runtime;
        self
    }
}
