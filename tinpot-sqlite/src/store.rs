//! [`SqliteStore`].

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rusqlite::Connection;
use tinpot_core::store::{ListOptions, Opened, QueuePage, Store, Transition};
use tinpot_core::{Error, Execution, ExecutionId, LogBatch, LogChunk, Result, Timestamp};

use crate::config::{Config, SqliteStoreBuilder};
use crate::error::Problem;
use crate::readers::Readers;
use crate::writer::{self, Writer};
use crate::{backup, reads};

/// A store in one SQLite file.
///
/// [`open`](Store::open) starts a thread that writes; [`close`](Store::close) has everything written and ends it. Dropping the store without
/// closing it leaves what a crash would leave, and waits for what is being written just then.
pub struct SqliteStore {
    config: Config,
    life: Mutex<Option<Arc<Life>>>,
}

/// One life: from an opening to the closing.
#[derive(Debug)]
struct Life {
    writer: Writer,
    readers: Readers,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_open = self.lock().is_some();
        f.debug_struct("SqliteStore")
            .field("config", &self.config)
            .field("is_open", &is_open)
            .finish()
    }
}

impl SqliteStore {
    /// A store in this file, which is made when it is opened and not there.
    pub fn builder(path: impl Into<PathBuf>) -> SqliteStoreBuilder {
        SqliteStoreBuilder::new(path.into())
    }

    pub(crate) fn new(config: Config) -> Self {
        Self { config, life: Mutex::new(None) }
    }

    /// Copies the store, as it is at this moment, to a file that does not exist yet. Nothing waits for it: the store can be written and read
    /// meanwhile. The copy is another store, with an instance of its own, and has no room in it that is not used.
    ///
    /// # Errors
    /// `InvalidInput` when there is a file, or no directory for it; `StorageFull`; `Closed` when the store is not open. No file is left then.
    pub async fn backup(&self, to: impl AsRef<Path>) -> Result<()> {
        let to = to.as_ref().to_owned();
        let from = self.config.path.clone();
        // Not one of the pool's readers: a copy of gigabytes takes its time.
        drop(self.life()?);
        let task = tokio::task::spawn_blocking(move || backup::copy(&from, &to));
        task.await.unwrap_or_else(|_| Err(self.closed())).map_err(|problem| self.located(problem))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Life>>> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn life(&self) -> Result<Arc<Life>> {
        self.lock().clone().ok_or_else(|| self.closed().into())
    }

    fn closed(&self) -> Problem {
        Problem::Closed { path: self.config.path.clone() }
    }

    fn located(&self, problem: Problem) -> Error {
        problem.at(&self.config.path)
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> crate::error::Result<T> + Send + 'static,
    ) -> Result<T> {
        let life = self.life()?;
        life.readers.read(read).await.map_err(|problem| self.located(problem))
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn open(&self) -> Result<Opened> {
        // Two at a time are told apart by the lock of the file.
        let (writer, readers, opened) =
            Writer::start(self.config.clone()).await.map_err(|problem| self.located(problem))?;
        *self.lock() = Some(Arc::new(Life { writer, readers }));
        Ok(opened)
    }

    async fn commit(&self, batch: &[Transition], at: Timestamp) -> Result<()> {
        let life = self.life()?;
        life.writer.commit(batch.to_vec(), at).await.map_err(|problem| self.located(problem))
    }

    async fn execution(&self, id: ExecutionId) -> Result<Option<Arc<Execution>>> {
        self.read(move |connection| reads::execution(connection, id)).await
    }

    async fn executions(&self, options: &ListOptions) -> Result<Vec<Arc<Execution>>> {
        let options = options.clone();
        self.read(move |connection| reads::executions(connection, &options)).await
    }

    async fn queued(&self, page: &QueuePage) -> Result<Vec<Arc<Execution>>> {
        let page = page.clone();
        self.read(move |connection| reads::queued(connection, &page)).await
    }

    async fn append_logs(&self, batches: &[LogBatch]) -> Result<()> {
        let life = self.life()?;
        let lines = if writer::is_much(batches) {
            let batches = batches.to_vec();
            let task = tokio::task::spawn_blocking(move || writer::prepare(&batches));
            task.await.unwrap_or_else(|_| Err(self.closed()))
        } else {
            writer::prepare(batches)
        };
        let lines = lines.map_err(|problem| self.located(problem))?;
        life.writer.append(lines).await.map_err(|problem| self.located(problem))
    }

    async fn logs(
        &self,
        id: ExecutionId,
        after: u64,
        max_bytes: usize,
    ) -> Result<Vec<Arc<LogChunk>>> {
        self.read(move |connection| reads::logs(connection, id, after, max_bytes)).await
    }

    async fn close(&self) -> Result<()> {
        let Some(life) = self.lock().take() else { return Ok(()) };
        life.readers.close().await;
        life.writer.close().await.map_err(|problem| self.located(problem))
    }
}
