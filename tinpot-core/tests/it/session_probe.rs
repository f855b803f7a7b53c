//! A memory store that gives access to the session of its coordinator.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use tinpot_core::store::{ListOptions, Opened, Session};
use tinpot_core::{ErrorKind, Execution, ExecutionId, LogChunk, MemoryStore, Result, Store};

/// A memory store that remembers its last session.
#[derive(Debug, Default)]
pub(crate) struct SessionProbe {
    store: MemoryStore,
    session: Mutex<Option<Weak<dyn Session>>>,
}

impl SessionProbe {
    /// Returns the open session.
    pub(crate) fn session(&self) -> Arc<dyn Session> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        session.as_ref().and_then(Weak::upgrade).expect("the session of a coordinator")
    }
}

#[async_trait]
impl Store for SessionProbe {
    async fn open(&self) -> Result<(Opened, Arc<dyn Session>)> {
        let (opened, session) = self.store.open().await?;
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Arc::downgrade(&session));
        Ok((opened, session))
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
}

/// Waits until the session of a dropped coordinator is gone: its aborted tasks are dropped when the
/// runtime next polls them.
pub(crate) async fn released(store: &dyn Store) {
    for _ in 0..1_000 {
        match store.open().await {
            Ok((_, session)) => return session.close().await.expect("closed"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
        }
        tokio::task::yield_now().await;
    }
    panic!("the session of the dropped coordinator is still open");
}
