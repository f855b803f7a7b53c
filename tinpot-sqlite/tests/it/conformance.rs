//! The conformance suite of stores.

use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempDir;
use tinpot_core::store::{ListOptions, Opened, QueuePage, Transition};
use tinpot_core::testing::store::Reopen;
use tinpot_core::{Execution, ExecutionId, LogBatch, LogChunk, Result, Store, Timestamp};
use tinpot_sqlite::SqliteStore;

/// A store whose directory goes with it.
#[derive(Debug)]
struct Temporary {
    store: SqliteStore,
    directory: TempDir,
}

#[async_trait]
impl Store for Temporary {
    async fn open(&self) -> Result<Opened> {
        self.store.open().await
    }

    async fn commit(&self, batch: &[Transition], at: Timestamp) -> Result<()> {
        self.store.commit(batch, at).await
    }

    async fn execution(&self, id: ExecutionId) -> Result<Option<Arc<Execution>>> {
        self.store.execution(id).await
    }

    async fn executions(&self, options: &ListOptions) -> Result<Vec<Arc<Execution>>> {
        self.store.executions(options).await
    }

    async fn queued(&self, page: &QueuePage) -> Result<Vec<Arc<Execution>>> {
        self.store.queued(page).await
    }

    async fn append_logs(&self, batches: &[LogBatch]) -> Result<()> {
        self.store.append_logs(batches).await
    }

    async fn logs(
        &self,
        id: ExecutionId,
        after: u64,
        max_bytes: usize,
    ) -> Result<Vec<Arc<LogChunk>>> {
        self.store.logs(id, after, max_bytes).await
    }

    async fn close(&self) -> Result<()> {
        self.store.close().await
    }
}

fn temporary() -> Temporary {
    let directory = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::builder(directory.path().join("tinpot.db")).build();
    Temporary { store, directory }
}

impl Reopen for Temporary {
    fn store(&self) -> &dyn Store {
        self
    }

    async fn reopen(self) -> Self {
        let Self { store, directory } = self;
        drop(store);
        let store = SqliteStore::builder(directory.path().join("tinpot.db")).build();
        Self { store, directory }
    }
}

mod one_handle {
    use super::{Temporary, temporary};

    fn store() -> std::future::Ready<Temporary> {
        std::future::ready(temporary())
    }

    tinpot_core::store_conformance!(store);
}

mod several_handles {
    use super::{Temporary, temporary};

    fn store() -> std::future::Ready<Temporary> {
        std::future::ready(temporary())
    }

    tinpot_core::store_reopen_conformance!(store);
}
