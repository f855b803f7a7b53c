//! A store in a directory that is removed with it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::Reopen;
use crate::model::error::Result;
use crate::model::execution::Execution;
use crate::model::id::ExecutionId;
use crate::model::log::LogChunk;
use crate::model::opened::Opened;
use crate::model::page::ListOptions;
use crate::store::{Session, Store};

/// A directory of its own, removed on drop.
#[derive(Debug)]
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A store in a new directory, which is removed when this is dropped.
pub struct InDirectory<S> {
    // Before the directory, so that the store's files are closed when they are removed.
    store: S,
    make: Arc<dyn Fn(&Path) -> S + Send + Sync>,
    directory: Directory,
}

impl<S: fmt::Debug> fmt::Debug for InDirectory<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, directory, make: _ } = self;
        f.debug_struct("InDirectory").field("store", store).field("directory", directory).finish()
    }
}

impl<S: Store> InDirectory<S> {
    /// Creates a directory, and a store in it: `make` is called with the path of the directory, now
    /// and for every reopening.
    ///
    /// # Panics
    /// If the directory cannot be created.
    pub fn new(make: impl Fn(&Path) -> S + Send + Sync + 'static) -> Self {
        let path = std::env::temp_dir().join(format!("tinpot-{}", Uuid::new_v4()));
        fs::create_dir(&path).expect("a temporary directory");
        let directory = Directory(path);
        Self { store: make(&directory.0), make: Arc::new(make), directory }
    }
}

impl<S: Store> Reopen for InDirectory<S> {
    async fn reopen(self) -> Self {
        let Self { store, make, directory } = self;
        drop(store);
        Self { store: make(&directory.0), make, directory }
    }
}

#[async_trait]
impl<S: Store> Store for InDirectory<S> {
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
}
