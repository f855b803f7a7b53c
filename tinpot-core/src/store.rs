//! What remembers executions, attempts and logs.

mod forward;
mod memory;
mod transition;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

#[cfg(any(test, feature = "testing"))]
pub(crate) use self::memory::State;
pub use self::memory::{MemoryStore, MemoryStoreLimits};
pub use self::transition::{Standing, Transition};
use crate::action::Action;
use crate::error::Result;
use crate::execution::{Execution, Status};
use crate::id::ExecutionId;
use crate::log::LogChunk;
use crate::log_sink::LogBatch;
use crate::protocol::Epoch;
use crate::time::Timestamp;

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

/// Which executions without a live attempt to read, in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueOrder {
    /// Those of one action in one queue that may start (no `not_before`): the lowest [rank](Execution::rank) first, then the smallest id.
    Ready {
        /// The queue.
        queue: Arc<str>,
        /// The action.
        action: Arc<str>,
        /// Rank and id of the one before the page.
        after: Option<(i64, ExecutionId)>,
    },
    /// Those with a `not_before`, the earliest first, then the smallest id.
    Delayed {
        /// Time and id of the one before the page.
        after: Option<(Timestamp, ExecutionId)>,
    },
    /// Those whose `expires_at` is not after this, the earliest first.
    Expired {
        /// The time.
        at: Timestamp,
    },
}

/// One page of executions that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuePage {
    /// Which, and in which order.
    pub order: QueueOrder,
    /// At most so many.
    pub limit: usize,
    /// The page ends after the execution with which its parameters have more bytes than this.
    pub max_bytes: usize,
}

/// Which executions to list, newest first.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ListOptions {
    /// Only those of these statuses; empty means all.
    pub statuses: Vec<Status>,
    /// Only those of this action.
    pub action: Option<String>,
    /// Only those of this queue.
    pub queue: Option<String>,
    /// Only those that this execution asked for.
    pub parent: Option<ExecutionId>,
    /// Only those that this submitter asked for.
    pub requested_by: Option<String>,
    /// Only those that were accepted then or later.
    pub since: Option<Timestamp>,
    /// Only those that were accepted then or earlier.
    pub until: Option<Timestamp>,
    /// Only the one that was submitted with this key; nothing else counts then.
    pub idempotency_key: Option<String>,
    /// Only those older than this one: the last of the page before.
    pub before: Option<ExecutionId>,
    /// At most so many; 0 means 50, and 1,000 is the most.
    pub limit: usize,
}

impl ListOptions {
    /// The most executions of a page.
    pub const LIMIT_MAX: usize = 1_000;

    /// Whether an execution is of one of the statuses.
    pub fn has_status(&self, status: Status) -> bool {
        self.statuses.is_empty() || self.statuses.contains(&status)
    }

    /// How many executions a page has at most.
    pub fn page_size(&self) -> usize {
        match self.limit {
            0 => 50,
            limit => limit.min(Self::LIMIT_MAX),
        }
    }
}

/// Remembers executions, attempts and logs.
///
/// # Contract
/// - **Atomic**: a batch is applied as a whole or not at all. A transition whose condition does not hold ([`Transition::check`]) fails its
///   batch with `Conflict`, as does an `Accept` whose idempotency key another execution has.
/// - **Durable**: once `commit` resolves with `Ok`, the batch survives whatever the store claims to survive (the memory store: nothing).
/// - **Visible**: reads that start after `commit` or `append_logs` resolved see what it wrote.
/// - **One writer**: there is one coordinator; it commits one batch after the other. Reads may come from anywhere, at any time.
/// - **Bounded**: what is kept of ended executions is bounded by the store's own limits; an execution that has not ended is never forgotten.
///   `open` holds no more than the executions with a live attempt; the others are read by the page.
/// - **Cancel safety**: a dropped `commit` was applied or not, never in part.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Begins a new life: increments the epoch, durably, and says where the last one stopped.
    ///
    /// # Errors
    /// `Conflict` when another coordinator has the store open, `Malformed` when it cannot be read, `StorageFull`.
    async fn open(&self) -> Result<Opened>;

    /// Applies a batch, in order; `at` is the time that it records.
    ///
    /// # Errors
    /// `Conflict` when a condition does not hold, `StorageFull` when it cannot write now; nothing was applied then.
    async fn commit(&self, batch: &[Transition], at: Timestamp) -> Result<()>;

    /// One execution; `None` when it is not known (any more).
    ///
    /// # Errors
    /// Why it cannot be read.
    async fn execution(&self, id: ExecutionId) -> Result<Option<Arc<Execution>>>;

    /// One page of executions, newest first.
    ///
    /// # Errors
    /// Why they cannot be read.
    async fn executions(&self, options: &ListOptions) -> Result<Vec<Arc<Execution>>>;

    /// One page of executions that are queued without a live attempt.
    ///
    /// # Errors
    /// Why they cannot be read.
    async fn queued(&self, page: &QueuePage) -> Result<Vec<Arc<Execution>>>;

    /// Appends log chunks. Numbers of one execution go on without a gap from what is stored, across attempts. The lines are counted in
    /// [`AttemptRecord::log_lines`](crate::AttemptRecord::log_lines) of the latest attempt with the batch's number:
    /// [`Execution::count_log_lines`].
    ///
    /// # Errors
    /// `Conflict` for a gap or a repeat, `NotFound` for an unknown execution or attempt, `StorageFull`; nothing of any batch is kept then.
    async fn append_logs(&self, batches: &[LogBatch]) -> Result<()>;

    /// Log chunks with lines numbered above `after`, oldest first, about `max_bytes` of them and at least one if there is one. The first
    /// chunk may begin at or below `after`. Empty when there is nothing (more), and for an unknown execution.
    ///
    /// # Errors
    /// Why they cannot be read.
    async fn logs(
        &self,
        id: ExecutionId,
        after: u64,
        max_bytes: usize,
    ) -> Result<Vec<Arc<LogChunk>>>;

    /// Ends the life: everything is written, and another coordinator may open the store. Idempotent.
    ///
    /// # Errors
    /// What could not be written.
    async fn close(&self) -> Result<()>;
}
