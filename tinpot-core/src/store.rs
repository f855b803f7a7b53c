//! Stores: durable memory of executions, attempts and logs.

mod conditions;
mod forward;
mod key_value;
mod memory;
mod sealing;
mod write_cache;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

pub use self::conditions::LogSpan;
pub use self::key_value::{KeyValue, KeyValueAdapter, KeyValueChange, KeyValueStore};
#[cfg(any(test, feature = "testing"))]
pub(crate) use self::memory::State;
pub use self::memory::{HistoryLimits, MemoryStore};
pub use self::sealing::{SealingStore, reseal_secrets, seal_secrets};
pub use self::write_cache::{CachedExecution, WriteCache};
use crate::model::error::Result;
use crate::model::execution::Execution;
pub use crate::model::execution::Standing;
use crate::model::fence::Epoch;
use crate::model::id::ExecutionId;
pub use crate::model::log::LogBatch;
use crate::model::log::LogChunk;
pub use crate::model::opened::{Opened, WaitingCount};
pub use crate::model::page::{ListOptions, QueueOrder, QueuePage};
pub use crate::model::search::{Search, SearchPart, search_text};
use crate::model::time::Timestamp;
pub use crate::model::transition::Transition;

/// Durable memory of executions, attempts and logs: the part that can be read at any time.
///
/// A coordinator [opens](Store::open) a store and writes through the [`Session`] that it receives.
///
/// # Contract
/// - **One session**: a store has at most one open session. `open` fails with `Conflict` until the
///   session before is closed or dropped.
/// - **Visible**: a read that starts after a write of the session resolved sees what it wrote.
/// - **Isolated**: a read of one execution, and one page of a list, see each batch either as a
///   whole or not at all. Reads may come from any task at any time, also during a commit.
/// - **Closed**: without an open session, a read either works or fails with `Closed`.
/// - **Cancel safety**: a dropped read changes nothing. A dropped `open` leaves no session open.
///
/// # Example
/// [`KeyValueAdapter`] makes a store out of any ordered key-value database. A coordinator uses a
/// store like this:
///
/// ```
/// use tinpot_core::store::Transition;
/// use tinpot_core::{ErrorKind, Execution, ExecutionId, Json, MemoryStore, Store, Timestamp};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// let store = MemoryStore::new();
/// let (_, session) = store.open().await?;
/// assert_eq!(store.open().await.unwrap_err().kind(), ErrorKind::Conflict);
///
/// let execution = Execution::new(ExecutionId::generate(), "backup", Json::empty_object());
/// let batch = [Transition::Accept(execution.clone().into())];
/// session.commit(&batch, Timestamp::now()).await?;
/// assert_eq!(&*store.execution(execution.id).await?.unwrap().action, "backup");
/// session.close().await?;
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Starts a session: durably increments the epoch, and returns the state to resume from.
    ///
    /// # Errors
    /// `Conflict` if the store already has an open session, `Malformed` if it cannot be read,
    /// `StorageFull`.
    async fn open(&self) -> Result<(Opened, Arc<dyn Session>)>;

    /// Returns an execution, or `None` if the store has no record of it.
    ///
    /// # Errors
    /// `Malformed` if the record cannot be read, `Closed`.
    async fn execution(&self, id: ExecutionId) -> Result<Option<Arc<Execution>>>;

    /// Returns one page of executions, newest first.
    ///
    /// # Errors
    /// `Malformed` if a record cannot be read, `Closed`.
    async fn executions(&self, options: &ListOptions) -> Result<Vec<Arc<Execution>>>;

    /// Returns log chunks with lines numbered above `after`, oldest first: about `max_bytes` of
    /// them, and at least one if there is one. The first chunk may begin at or below `after`. The
    /// page is empty at the end of the log, and for an unknown execution.
    ///
    /// # Errors
    /// `Malformed` if a chunk cannot be read, `Closed`.
    async fn logs(
        &self,
        id: ExecutionId,
        after: u64,
        max_bytes: usize,
    ) -> Result<Vec<Arc<LogChunk>>>;

    /// Returns the known problems of the store: that it is full or damaged, for example. A store that
    /// knows of none returns nothing.
    fn problems(&self) -> Vec<StoreProblem> {
        Vec::new()
    }
}

/// A known problem of a store, for monitoring.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreProblem {
    /// The problem in words that any client may read: without paths, and without content of the
    /// store.
    pub message: String,
    /// If true, nothing new can be relied on until the problem is gone.
    pub is_blocking: bool,
}

impl StoreProblem {
    /// Creates a problem, described in words, in spite of which the store works.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_blocking: false }
    }

    /// Marks the problem as one that must be gone before anything new can be relied on.
    #[must_use]
    pub fn blocking(mut self) -> Self {
        self.is_blocking = true;
        self
    }
}

/// A store that one coordinator holds open: it alone may write.
///
/// # Contract
/// - **Atomic**: a batch is applied as a whole or not at all. A transition whose condition does not
///   hold ([`Transition::check`]) fails its batch with `Conflict`, as does an `Accept` whose
///   idempotency key belongs to another execution.
/// - **Durable**: once a write resolved with `Ok`, it survives every failure that the store claims
///   to survive. (A [`MemoryStore`] survives none.)
/// - **Ordered**: the coordinator commits one batch after the other. `append_logs` may run at the
///   same time.
/// - **Bounded**: the store's own limits bound what it keeps of ended executions. It removes the
///   oldest first, and never removes an execution that has not ended.
/// - **End**: after `close`, every write fails with `Closed` and changes nothing, even while a
///   later session is open. Dropping a session without closing it has the effect of a crash:
///   confirmed writes stay, and the store can be opened again.
/// - **Cancel safety**: a dropped write was applied as a whole or not at all.
#[async_trait]
pub trait Session: fmt::Debug + Send + Sync + 'static {
    /// Applies a batch of transitions, in order, and records `at` as their time.
    ///
    /// # Errors
    /// `Conflict` if a condition does not hold, `StorageFull` if the store cannot write now,
    /// `Closed`. In each case nothing was applied.
    async fn commit(&self, batch: &[Transition], at: Timestamp) -> Result<()>;

    /// Appends log chunks.
    ///
    /// The line numbers of an execution continue without a gap from the stored ones, across
    /// attempts. [`Execution::count_log_lines`] counts the lines of each attempt.
    ///
    /// # Errors
    /// `Conflict` for a gap or a repeat, `NotFound` for an unknown execution or attempt,
    /// `StorageFull`, `Closed`. In each case nothing of any batch was stored.
    async fn append_logs(&self, batches: &[LogBatch]) -> Result<()>;

    /// Returns one page of executions that are queued without a live attempt.
    ///
    /// # Errors
    /// `Malformed` if a record cannot be read, `Closed`.
    async fn queued(&self, page: &QueuePage) -> Result<Vec<Arc<Execution>>>;

    /// Returns the epoch of the latest session of the store, as the store itself has it: a later
    /// one than that of this session if another coordinator has opened the store since.
    ///
    /// # Errors
    /// `Malformed` if it cannot be read, `Closed` if this session has ended.
    async fn current(&self) -> Result<Epoch>;

    /// Ends the session: writes what is outstanding, and lets the store be opened again. Closing
    /// twice is harmless.
    ///
    /// # Errors
    /// `StorageFull` or `Malformed` if something could not be written.
    async fn close(&self) -> Result<()>;
}
