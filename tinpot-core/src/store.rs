//! What remembers executions, attempts and logs.

mod forward;
mod memory;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

#[cfg(any(test, feature = "testing"))]
pub(crate) use self::memory::State;
pub use self::memory::{MemoryStore, MemoryStoreLimits};
use crate::model::error::Result;
use crate::model::execution::Execution;
pub use crate::model::execution::Standing;
use crate::model::id::ExecutionId;
use crate::model::log::LogBatch;
use crate::model::log::LogChunk;
pub use crate::model::opened::{Opened, WaitingCount};
pub use crate::model::page::{ListOptions, QueueOrder, QueuePage};
use crate::model::time::Timestamp;
pub use crate::model::transition::Transition;

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
