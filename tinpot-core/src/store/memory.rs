//! A store in memory: its records end with the process.

mod state;
mod waiting;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use uuid::Uuid;

pub(crate) use self::state::State;
use super::{ListOptions, Opened, QueuePage, Session, Store, Transition};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::Execution;
use crate::model::fence::Epoch;
use crate::model::id::ExecutionId;
use crate::model::log::LogBatch;
use crate::model::log::LogChunk;
use crate::model::search::Search;
use crate::model::time::Timestamp;

/// The bounds of the history: of the ended executions that a [`MemoryStore`] or a
/// [`KeyValueAdapter`](super::KeyValueAdapter) keeps. The oldest are removed first.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct HistoryLimits {
    /// The number of ended executions; 10,000 by default.
    pub executions: usize,
    /// The log text of all of them together, in bytes; 256 MiB by default.
    pub log_bytes: usize,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self { executions: 10_000, log_bytes: 256 * 1024 * 1024 }
    }
}

impl HistoryLimits {
    /// Sets the number of ended executions that are kept.
    #[must_use]
    pub fn executions(mut self, executions: usize) -> Self {
        self.executions = executions;
        self
    }

    /// Sets the log text of ended executions that is kept, in bytes.
    #[must_use]
    pub fn log_bytes(mut self, log_bytes: usize) -> Self {
        self.log_bytes = log_bytes;
        self
    }
}

/// Executions that a search looks at before other tasks may run.
const SEARCH_CHUNK: usize = 128;

/// A store in memory: for tests, for trials, and where history need not outlive the process.
///
/// ```
/// use std::sync::Arc;
/// use tinpot_core::{Local, MemoryStore, Status, Store};
/// # use tinpot_core::{Failure, FunctionExecutor};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let executor = FunctionExecutor::builder()
/// #     .action("tick", |_, ()| async { Ok::<_, Failure>("tock") })
/// #     .build()?;
/// let store = Arc::new(MemoryStore::new());
/// let tinpot = Local::builder(executor).store(store.clone()).start().await?;
/// let execution = tinpot.submit("tick", ()).await?;
/// execution.outcome().await?;
/// # let id = execution.id();
/// tinpot.shutdown(std::time::Duration::from_secs(10)).await;
/// // The next coordinator would find it, too.
/// assert_eq!(store.execution(id).await?.unwrap().status, Status::Succeeded);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct MemoryStore {
    limits: HistoryLimits,
    state: Arc<Mutex<State>>,
}

impl MemoryStore {
    /// Creates an empty store with the default limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates an empty store with these limits.
    pub fn with_limits(limits: HistoryLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Store for MemoryStore {
    async fn open(&self) -> Result<(Opened, Arc<dyn Session>)> {
        let mut state = self.lock();
        if state.instance == 0 {
            state.instance = (Uuid::new_v4().as_u128() as u32).max(1);
        }
        let opened = state.open()?;
        let (limits, epoch) = (self.limits, opened.epoch.number);
        let session = MemorySession { limits, epoch, state: self.state.clone() };
        Ok((opened, Arc::new(session)))
    }

    async fn execution(&self, id: ExecutionId) -> Result<Option<Arc<Execution>>> {
        Ok(self.lock().execution(id).cloned())
    }

    async fn executions(&self, options: &ListOptions) -> Result<Vec<Arc<Execution>>> {
        let search = options.search.as_deref().map(Search::new);
        let Some(search) = search.filter(|search| !search.parts().is_empty()) else {
            return Ok(self.lock().executions(options, options.page_size()));
        };
        // Matching takes microseconds each, which writes must not wait for.
        let all = self.lock().executions(options, usize::MAX);
        let mut found = Vec::new();
        for few in all.chunks(SEARCH_CHUNK) {
            found.extend(few.iter().filter(|execution| search.matches(execution)).cloned());
            if found.len() >= options.page_size() {
                break;
            }
            tokio::task::yield_now().await;
        }
        found.truncate(options.page_size());
        Ok(found)
    }

    async fn logs(
        &self,
        id: ExecutionId,
        after: u64,
        max_bytes: usize,
    ) -> Result<Vec<Arc<LogChunk>>> {
        Ok(self.lock().logs(id, after, max_bytes))
    }
}

#[derive(Debug)]
struct MemorySession {
    limits: HistoryLimits,
    epoch: u32,
    state: Arc<Mutex<State>>,
}

impl MemorySession {
    fn lock(&self) -> Result<MutexGuard<'_, State>> {
        let state = lock(&self.state);
        match state.is_open_in(self.epoch) {
            true => Ok(state),
            false => {
                Err(Error::new(ErrorKind::Closed, "this session of the memory store is closed"))
            }
        }
    }
}

#[async_trait]
impl Session for MemorySession {
    async fn commit(&self, batch: &[Transition], at: Timestamp) -> Result<()> {
        self.lock()?.commit(batch, at, &self.limits)
    }

    async fn append_logs(&self, batches: &[LogBatch]) -> Result<()> {
        self.lock()?.append_logs(batches, &self.limits)
    }

    async fn queued(&self, page: &QueuePage) -> Result<Vec<Arc<Execution>>> {
        Ok(self.lock()?.queued(page))
    }

    async fn current(&self) -> Result<Epoch> {
        Ok(lock(&self.state).latest())
    }

    async fn close(&self) -> Result<()> {
        if let Ok(mut state) = self.lock() {
            state.close();
        }
        Ok(())
    }
}

impl Drop for MemorySession {
    fn drop(&mut self) {
        if let Ok(mut state) = self.lock() {
            state.close();
        }
    }
}
