//! What remembers executions, attempts and logs.

mod forward;
mod memory;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::memory::{MemoryStore, MemoryStoreLimits};
use crate::error::Result;
use crate::execution::{Execution, Outcome, Status};
use crate::id::{ExecutionId, WorkerId};
use crate::log::LogChunk;
use crate::log_sink::LogBatch;
use crate::protocol::{Epoch, Fence};
use crate::time::Timestamp;

/// One change of one execution. Each is conditional: on the execution, on the fence where it names one, and on the status.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Transition {
    /// A new execution; its status is `queued`. The id must be new.
    Accept(Arc<Execution>),
    /// An attempt is given to a worker. Only while `queued` without a live attempt; the status stays.
    Grant {
        /// The execution.
        execution: ExecutionId,
        /// The right to report, larger than every one before.
        fence: Fence,
        /// 1 for the first.
        attempt: u32,
        /// Who gets it.
        worker: WorkerId,
        /// How long the coordinator waits for a silent worker before it gives the attempt up.
        lease: Duration,
    },
    /// The worker says that the attempt runs. `queued` with that live attempt becomes `running`.
    Start {
        /// The execution.
        execution: ExecutionId,
        /// Its live attempt.
        fence: Fence,
    },
    /// A cancel was accepted. `queued` or `running` with a live attempt becomes `cancelling`.
    Cancelling {
        /// The execution.
        execution: ExecutionId,
    },
    /// The live attempt is over and the execution is not: back to `queued`. Only while `queued` or `running`.
    Requeue {
        /// The execution.
        execution: ExecutionId,
        /// Its live attempt.
        fence: Fence,
        /// How the attempt ended; `None` when it never ran.
        outcome: Option<Outcome>,
        /// How long the attempt ran, as far as its worker said so: an attempt that never was `Start`ed then counts as started so long ago.
        ran: Option<Duration>,
        /// How long the next attempt has to wait.
        delay: Duration,
    },
    /// The end. With a fence: only while that attempt lives; without: only while `queued` without a live attempt.
    Finish {
        /// The execution.
        execution: ExecutionId,
        /// Its live attempt, or none.
        fence: Option<Fence>,
        /// How it ended.
        outcome: Outcome,
        /// How long the attempt ran, as for `Requeue`.
        ran: Option<Duration>,
    },
}

impl Transition {
    /// The execution that it changes.
    pub fn execution(&self) -> ExecutionId {
        match self {
            Transition::Accept(execution) => execution.id,
            Transition::Grant { execution, .. }
            | Transition::Start { execution, .. }
            | Transition::Cancelling { execution }
            | Transition::Requeue { execution, .. }
            | Transition::Finish { execution, .. } => *execution,
        }
    }
}

/// What a store knows when a coordinator opens it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Opened {
    /// The new life: no earlier one of this store had its number.
    pub epoch: Epoch,
    /// The executions that have not ended, in the order of their acceptance.
    pub unfinished: Vec<Arc<Execution>>,
}

impl Opened {
    /// What an open store tells its coordinator.
    pub fn new(epoch: Epoch, unfinished: Vec<Arc<Execution>>) -> Self {
        Self { epoch, unfinished }
    }
}

/// Which executions to list, newest first.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ListOptions {
    /// Only those of this status.
    pub status: Option<Status>,
    /// Only those of this action.
    pub action: Option<String>,
    /// Only those of this queue.
    pub queue: Option<String>,
    /// Only those older than this one: the last of the page before.
    pub before: Option<ExecutionId>,
    /// At most so many; 0 means 50, and 1,000 is the most.
    pub limit: usize,
}

impl ListOptions {
    /// The most executions of a page.
    pub const LIMIT_MAX: usize = 1_000;

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
/// - **Atomic**: a batch is applied as a whole or not at all. A transition whose condition does not hold fails its batch with `Conflict`.
/// - **Durable**: once `commit` resolves with `Ok`, the batch survives whatever the store claims to survive (the memory store: nothing).
/// - **Visible**: reads that start after `commit` or `append_logs` resolved see what it wrote.
/// - **One writer**: there is one coordinator; it commits one batch after the other. Reads may come from anywhere, at any time.
/// - **Bounded**: what is kept of ended executions is bounded by the store's own limits; an execution that has not ended is never forgotten.
/// - **Cancel safety**: a dropped `commit` was applied or not, never in part.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Begins a new life: increments the epoch, durably, and says what has not ended.
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

    /// Appends log chunks. Numbers of one execution go on without a gap from what is stored.
    ///
    /// # Errors
    /// `Conflict` for a gap or a repeat, `NotFound` for an unknown execution, `StorageFull`.
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
