//! [`SqliteStore`] and its session.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use rusqlite::Connection;
use tinpot_core::log_sink::LogBatch;
use tinpot_core::store::{
    ListOptions, Opened, QueuePage, Session, Store, StoreProblem, Transition,
};
use tinpot_core::{Epoch, Error, Execution, ExecutionId, LogChunk, Result, Timestamp};

use crate::config::{Config, SqliteStoreBuilder};
use crate::error::Problem;
use crate::readers::Readers;
use crate::records::SqliteRecords;
use crate::writer::{self, Writer};
use crate::{backup, reads};

/// A store in one SQLite file.
///
/// [`open`](Store::open) starts a session and the thread that writes for it;
/// [`close`](Session::close) writes what is outstanding and ends the thread. A session that is
/// dropped without being closed leaves the file as a crash does, and waits for the write that is
/// under way. Reads fail with `Closed` while no session is open.
///
/// # Examples
/// ```
/// use tinpot_core::Store;
/// use tinpot_core::store::ListOptions;
/// use tinpot_sqlite::SqliteStore;
///
/// # #[tokio::main]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let directory = tempfile::tempdir().expect("a directory");
/// # let path = directory.path().join("tinpot.db");
/// let store = SqliteStore::open(path);
/// let (opened, session) = store.open().await?;
/// assert_eq!(opened.epoch.number, 1);
/// assert!(store.executions(&ListOptions::default()).await?.is_empty());
/// session.close().await
/// # }
/// ```
pub struct SqliteStore {
    config: Config,
    session: Mutex<Weak<SqliteSession>>,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("config", &self.config)
            .field("is_open", &self.session().is_ok())
            .finish()
    }
}

impl SqliteStore {
    /// Creates a store in the file at `path`, with the default [retention](crate::Retention).
    ///
    /// Nothing is touched before the coordinator opens the store.
    pub fn open(path: impl Into<PathBuf>) -> Self {
        Self::builder(path).build()
    }

    /// Describes a store in the file at `path`, which is created by the first
    /// [`open`](Store::open).
    pub fn builder(path: impl Into<PathBuf>) -> SqliteStoreBuilder {
        SqliteStoreBuilder::new(path.into())
    }

    pub(crate) fn new(mut config: Config) -> Self {
        // A builder can be used again.
        config.damage = Arc::default();
        Self { config, session: Mutex::new(Weak::new()) }
    }

    /// Copies the store, as it is at this moment, to a file that does not exist yet.
    ///
    /// Reads and writes go on meanwhile. The copy is another store, with an instance of its own; it
    /// contains no unused space.
    ///
    /// # Errors
    /// `InvalidInput` if the file exists or its directory does not, `StorageFull`, `Closed` if the
    /// store has no open session. In each case no file is left behind.
    pub async fn backup(&self, to: impl AsRef<Path>) -> Result<()> {
        let to = to.as_ref().to_owned();
        let from = self.config.path.clone();
        // Not on one of the pooled readers: a copy of gigabytes would block it for minutes.
        drop(self.session()?);
        let task = tokio::task::spawn_blocking(move || backup::copy(&from, &to));
        task.await
            .unwrap_or_else(|_| Err(self.config.closed()))
            .map_err(|problem| self.config.located(problem))
    }

    /// Returns the records of access control in the file of this store. They need no session.
    pub fn records(&self) -> SqliteRecords {
        SqliteRecords::with_max_bytes(self.config.path.clone(), self.config.max_bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Weak<SqliteSession>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn session(&self) -> Result<Arc<SqliteSession>> {
        let session = self.lock().upgrade().filter(|session| !session.is_closed());
        session.ok_or_else(|| self.config.closed().into())
    }
}

impl Config {
    fn closed(&self) -> Problem {
        Problem::Closed { path: self.path.clone() }
    }

    fn located(&self, problem: Problem) -> Error {
        problem.at(&self.path)
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn open(&self) -> Result<(Opened, Arc<dyn Session>)> {
        // The lock of the file refuses a second session, in this process and in others.
        let config = self.config.clone();
        let (writer, readers, opened) =
            Writer::start(config.clone()).await.map_err(|problem| config.located(problem))?;
        let closed = AtomicBool::new(false);
        let session = Arc::new(SqliteSession { config, writer, readers, closed });
        *self.lock() = Arc::downgrade(&session);
        Ok((opened, session))
    }

    async fn execution(&self, id: ExecutionId) -> Result<Option<Arc<Execution>>> {
        let session = self.session()?;
        session.read(move |connection| reads::execution(connection, id)).await
    }

    async fn executions(&self, options: &ListOptions) -> Result<Vec<Arc<Execution>>> {
        let (session, options) = (self.session()?, options.clone());
        let damage = self.config.damage.clone();
        session.read(move |connection| reads::executions(connection, &options, &damage)).await
    }

    async fn logs(
        &self,
        id: ExecutionId,
        after: u64,
        max_bytes: usize,
    ) -> Result<Vec<Arc<LogChunk>>> {
        let session = self.session()?;
        session.read(move |connection| reads::logs(connection, id, after, max_bytes)).await
    }

    fn problems(&self) -> Vec<StoreProblem> {
        self.config.damage.problems()
    }
}

/// The writing thread and the reading connections of one session.
#[derive(Debug)]
struct SqliteSession {
    config: Config,
    writer: Writer,
    readers: Readers,
    closed: AtomicBool,
}

impl SqliteSession {
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn check_open(&self) -> Result<()> {
        match self.is_closed() {
            true => Err(self.config.closed().into()),
            false => Ok(()),
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> crate::error::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.readers.read(read).await.map_err(|problem| self.config.located(problem))
    }
}

#[async_trait]
impl Session for SqliteSession {
    async fn commit(&self, batch: &[Transition], at: Timestamp) -> Result<()> {
        self.check_open()?;
        let written = self.writer.commit(batch.to_vec(), at).await;
        written.map_err(|problem| self.config.located(problem))
    }

    async fn append_logs(&self, batches: &[LogBatch]) -> Result<()> {
        self.check_open()?;
        let lines = if writer::is_much(batches) {
            let batches = batches.to_vec();
            let task = tokio::task::spawn_blocking(move || writer::prepare(&batches));
            task.await.unwrap_or_else(|_| Err(self.config.closed()))
        } else {
            writer::prepare(batches)
        };
        let lines = lines.map_err(|problem| self.config.located(problem))?;
        self.writer.append(lines).await.map_err(|problem| self.config.located(problem))
    }

    async fn queued(&self, page: &QueuePage) -> Result<Vec<Arc<Execution>>> {
        let (page, damage) = (page.clone(), self.config.damage.clone());
        self.read(move |connection| reads::queued(connection, &page, &damage)).await
    }

    async fn current(&self) -> Result<Epoch> {
        self.read(reads::current).await
    }

    async fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        // Readers first: the last connection that closes moves the write-ahead log into the
        // database, and that is to be the writer's.
        self.readers.close().await;
        self.writer.close().await.map_err(|problem| self.config.located(problem))
    }
}
