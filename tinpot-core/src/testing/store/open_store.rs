//! A store together with its open session.

use std::ops::Deref;
use std::sync::Arc;

use async_trait::async_trait;

use crate::model::error::Result;
use crate::model::execution::Execution;
use crate::model::fence::Epoch;
use crate::model::id::ExecutionId;
use crate::model::log::{LogBatch, LogChunk};
use crate::model::opened::Opened;
use crate::model::page::{ListOptions, QueuePage};
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::store::{Session, Store, StoreProblem};

/// A store with an open session, for tests: it can be read and written through one value.
///
/// Dropping it ends the session as a crash does.
#[derive(Debug)]
pub struct OpenStore<S> {
    /// The state at the opening.
    pub opened: Opened,
    pub(super) session: Arc<dyn Session>,
    pub(super) store: S,
    /// If true, sessions of this store end without a close.
    pub(super) crashes: bool,
}

/// Opens a store.
///
/// # Panics
/// If the store cannot be opened.
pub async fn open<S: Store>(store: S) -> OpenStore<S> {
    let (opened, session) = store.open().await.expect("the store opens");
    OpenStore { opened, session, store, crashes: false }
}

impl<S: Store> OpenStore<S> {
    /// Closes the session and returns the store.
    ///
    /// # Panics
    /// If the session cannot be closed.
    pub async fn closed(self) -> S {
        self.session.close().await.expect("the session closes");
        self.store
    }

    /// Closes the session and opens the next one.
    ///
    /// # Panics
    /// If the session cannot be closed or the store cannot be opened.
    pub async fn reopened(self) -> Self {
        open(self.closed().await).await
    }

    /// Ends the session without closing it, and returns the store.
    pub fn crashed(self) -> S {
        self.store
    }
}

impl<S> Deref for OpenStore<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.store
    }
}

#[async_trait]
impl<S: Store> Store for OpenStore<S> {
    async fn open(&self) -> Result<(Opened, Arc<dyn Session>)> {
        self.store.open().await
    }

    async fn execution(&self, id: ExecutionId) -> Result<Option<Arc<Execution>>> {
        self.store.execution(id).await
    }

    async fn executions(&self, options: &ListOptions) -> Result<Vec<Arc<Execution>>> {
        self.store.executions(options).await
    }

    async fn logs(
        &self,
        id: ExecutionId,
        after: u64,
        max_bytes: usize,
    ) -> Result<Vec<Arc<LogChunk>>> {
        self.store.logs(id, after, max_bytes).await
    }

    fn problems(&self) -> Vec<StoreProblem> {
        self.store.problems()
    }
}

#[async_trait]
impl<S: Store> Session for OpenStore<S> {
    async fn commit(&self, batch: &[Transition], at: Timestamp) -> Result<()> {
        self.session.commit(batch, at).await
    }

    async fn append_logs(&self, batches: &[LogBatch]) -> Result<()> {
        self.session.append_logs(batches).await
    }

    async fn queued(&self, page: &QueuePage) -> Result<Vec<Arc<Execution>>> {
        self.session.queued(page).await
    }

    async fn current(&self) -> Result<Epoch> {
        self.session.current().await
    }

    async fn close(&self) -> Result<()> {
        self.session.close().await
    }
}
