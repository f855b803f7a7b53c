//! [`SqliteRecords`]: the records of access control, in the file of the store.

mod documents;
mod logs;
mod restored;
mod stamp;

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tinpot_core::access::Records;
use tinpot_core::access::records::{Change, Changed, Record, check_changes, check_entries};
use tinpot_core::{Error, ErrorKind};
use tokio::sync::Semaphore;

use self::stamp::Stamp;
use crate::error::Result;
use crate::{connection, damage, location, private, schema};

/// The longest wait of a call for the calls before it. Only a flood or a stalled disk reaches it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Records in the file of a store, in tables of their own.
///
/// Several processes may have records of one file open, also while a coordinator has the store open.
/// The file is created by the first call if it does not exist.
///
/// The first call notices a file that was put back to an earlier state, and writes a
/// [`Restoration`](tinpot_core::access::Restoration): the file `-access` next to it has the last revision.
///
/// Each call opens the file again, which takes about 0.2 ms. A connection that stays would lose its
/// locks: POSIX releases those of a process when it closes any descriptor of the file, as a store in
/// the same process does.
///
/// ```
/// use tinpot_core::access::Records;
/// use tinpot_core::access::records::Change;
/// use tinpot_sqlite::SqliteRecords;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let directory = tempfile::tempdir().expect("a directory");
/// # let path = directory.path().join("tinpot.db");
/// // Users and grants are documents like this one.
/// let records = SqliteRecords::open(&path);
/// let version = records.change(&[Change::create("note", "1", "first")]).await?;
/// records.change(&[Change::replace("note", "1", version, "second")]).await?;
///
/// // Another process sees it, and cannot replace a version that is gone.
/// let other = SqliteRecords::open(&path);
/// assert_eq!(other.get("note", "1").await?.unwrap().document, "second");
/// assert!(other.change(&[Change::replace("note", "1", version, "third")]).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SqliteRecords {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    max_bytes: Option<NonZeroU64>,
    /// One call at a time: SQLite has one writer, and reads are rare.
    turn: Arc<Semaphore>,
    is_prepared: AtomicBool,
    stamp: Stamp,
}

impl SqliteRecords {
    /// Creates records in the file at `path`. Nothing is touched before the first call.
    pub fn open(path: impl Into<PathBuf>) -> Self {
        Self::with_max_bytes(path.into(), None)
    }

    pub(crate) fn with_max_bytes(path: PathBuf, max_bytes: Option<NonZeroU64>) -> Self {
        let (turn, is_prepared) = (Arc::new(Semaphore::new(1)), AtomicBool::new(false));
        let shared = Shared { path, max_bytes, turn, is_prepared, stamp: Stamp::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Returns the mark of the last rewrite of the store's secrets, see
    /// [`SqliteStoreBuilder::rewrite_secrets`](crate::SqliteStoreBuilder::rewrite_secrets); `None`
    /// before the first. All secrets are sealed then, also if the file could not be cleaned.
    ///
    /// # Errors
    /// Those of [`Records::get`].
    pub async fn secrets_mark(&self) -> tinpot_core::Result<Option<String>> {
        self.run(|connection| crate::writer::mark(connection)).await
    }

    /// Returns true if an execution in the store has secrets. Reads all executions.
    ///
    /// # Errors
    /// Those of [`Records::get`].
    pub async fn has_executions_with_secrets(&self) -> tinpot_core::Result<bool> {
        self.run(|connection| crate::writer::has_secrets(connection)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> tinpot_core::Result<T> {
        let shared = self.shared.clone();
        let turn = tokio::time::timeout(PATIENCE, shared.turn.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            let message = format!(
                "{}: the records are busy, and have been for {} s",
                shared.path.display(),
                PATIENCE.as_secs()
            );
            return Err(Error::new(ErrorKind::Overloaded, message));
        };
        let task = tokio::task::spawn_blocking(move || {
            let result = shared.connect().and_then(|mut connection| call(&mut connection));
            drop(turn);
            result.map_err(|problem| problem.at(&shared.path))
        });
        let failed = || Error::new(ErrorKind::Other, "a call of the records did not end");
        task.await.unwrap_or_else(|_| Err(failed()))
    }
}

impl Shared {
    fn connect(&self) -> Result<Connection> {
        let path = &location::resolve(&self.path)?;
        let is_prepared = self.is_prepared.load(Ordering::Acquire);
        if !is_prepared {
            private::create(path)?;
        }
        let mut connection = connection::of_records(path, self.max_bytes)?;
        if !is_prepared {
            prepare(&mut connection, path).map_err(|problem| damage::explained(problem, path))?;
            self.stamp.open(path)?;
            if let Some(revision) = restored::note(&mut connection, path, self.stamp.read())? {
                self.stamp.write(path, revision)?;
            }
            private::tighten(path);
            self.is_prepared.store(true, Ordering::Release);
        }
        connection::shorten_log(&mut connection, path)?;
        Ok(connection)
    }
}

fn prepare(connection: &mut Connection, path: &Path) -> Result<()> {
    schema::check(connection, path)?;
    connection::write_ahead(connection, path)?;
    schema::migrate(connection, path)
}

/// Starts a transaction that writes: it waits for other writers now, not in its middle.
fn writing(connection: &mut Connection) -> Result<Transaction<'_>> {
    Ok(connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
}

/// Returns a number as SQLite has it. No log and no store of records gets beyond its largest one.
fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns a number or a size that SQLite has.
fn loaded(number: i64) -> u64 {
    number.max(0).cast_unsigned()
}

#[async_trait]
impl Records for SqliteRecords {
    async fn change(&self, changes: &[Change]) -> tinpot_core::Result<u64> {
        check_changes(changes)?;
        let changes = changes.to_vec();
        let shared = self.shared.clone();
        self.run(move |connection| {
            let revision = documents::change(connection, &changes)?;
            if !changes.is_empty()
                && let Err(error) = shared.stamp.write(&shared.path, revision)
            {
                // Others notice the change when they look for changes the next time.
                tracing::error!(?error, "other processes learn of changes late");
            }
            Ok(revision)
        })
        .await
    }

    async fn get(&self, kind: &str, id: &str) -> tinpot_core::Result<Option<Record>> {
        let (kind, id) = (kind.to_owned(), id.to_owned());
        self.run(move |connection| documents::get(connection, &kind, &id)).await
    }

    async fn list(
        &self,
        kind: &str,
        after: &str,
        limit: usize,
    ) -> tinpot_core::Result<Vec<Record>> {
        let (kind, after) = (kind.to_owned(), after.to_owned());
        self.run(move |connection| documents::list(connection, &kind, &after, limit)).await
    }

    async fn changed(&self, after: u64) -> tinpot_core::Result<Changed> {
        self.run(move |connection| documents::changed(connection, after)).await
    }

    fn stamp(&self) -> Option<u64> {
        self.shared.stamp.read()
    }

    async fn append(
        &self,
        log: &str,
        after: Option<u64>,
        entries: &[Bytes],
    ) -> tinpot_core::Result<u64> {
        check_entries(log, entries)?;
        let (log, entries) = (log.to_owned(), entries.to_vec());
        self.run(move |connection| logs::append(connection, &log, after, &entries)).await
    }

    async fn entries(
        &self,
        log: &str,
        after: u64,
        limit: usize,
    ) -> tinpot_core::Result<Vec<(u64, Bytes)>> {
        let log = log.to_owned();
        self.run(move |connection| logs::entries(connection, &log, after, limit)).await
    }

    async fn trim(&self, log: &str, up_to: u64) -> tinpot_core::Result<()> {
        let log = log.to_owned();
        self.run(move |connection| logs::trim(connection, &log, up_to)).await
    }
}
