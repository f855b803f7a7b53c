//! A store on any ordered key-value database.

mod keys;
mod opening;
mod reads;
mod record;
mod retention;
mod session;

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;

use self::session::KeyValueSession;
use super::{HistoryLimits, ListOptions, Opened, Session, Store};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::Execution;
use crate::model::id::ExecutionId;
use crate::model::log::LogChunk;

/// A key and its value.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// One change of a key-value database: the new value of a key, or `None` to remove the key.
pub type KeyValueChange = (Vec<u8>, Option<Vec<u8>>);

/// An ordered key-value database, which a [`KeyValueAdapter`] turns into a [`Store`].
///
/// # Contract
/// - **Order**: keys are byte strings in lexicographic order.
/// - **Atomic**: a write is applied as a whole or not at all. A read, and one scan, see each write
///   either as a whole or not at all.
/// - **Durable**: once `write` resolved with `Ok`, its changes survive every failure that the
///   database claims to survive.
/// - **Visible**: a read that starts after a write resolved sees its changes.
/// - **Exclusive**: the adapter is the only writer. A database that several processes can open at
///   the same time must refuse the second one itself.
#[async_trait]
pub trait KeyValueStore: fmt::Debug + Send + Sync + 'static {
    /// Returns the value of a key.
    ///
    /// # Errors
    /// `Malformed` if the database is damaged.
    async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Returns the first `limit` pairs whose keys are in the range, in ascending order.
    ///
    /// # Errors
    /// `Malformed` if the database is damaged.
    async fn scan(&self, range: Range<Vec<u8>>, limit: usize) -> Result<Vec<KeyValue>>;

    /// Applies changes, in order.
    ///
    /// # Errors
    /// `StorageFull` if the database cannot write now. In each case nothing was applied.
    async fn write(&self, changes: Vec<KeyValueChange>) -> Result<()>;
}

/// A [`Store`] on an ordered key-value database.
///
/// Executions are found by id, by idempotency key, by parent and by queue through an index each.
/// The other filters of lists scan the history from its newest execution on.
///
/// The records contain the instance of the store, so a copy of the database has the same one: open
/// only one of them.
#[derive(Debug)]
pub struct KeyValueAdapter<K> {
    shared: Arc<Shared<K>>,
}

/// The database, and what its sessions share.
#[derive(Debug)]
struct Shared<K> {
    database: K,
    limits: HistoryLimits,
    /// Held by the open session, and by the last write of a dropped one until it has ended.
    lock: Arc<tokio::sync::Mutex<()>>,
    /// Alive as long as the last session.
    session: Mutex<Weak<()>>,
}

impl<K: KeyValueStore> KeyValueAdapter<K> {
    /// Creates a store on a database, with the default limits.
    pub fn new(database: K) -> Self {
        Self::with_limits(database, HistoryLimits::default())
    }

    /// Creates a store on a database, with these limits.
    pub fn with_limits(database: K, limits: HistoryLimits) -> Self {
        Self {
            shared: Arc::new(Shared {
                database,
                limits,
                lock: Arc::default(),
                session: Mutex::default(),
            }),
        }
    }
}

impl<K> Shared<K> {
    fn has_session(&self) -> bool {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        session.strong_count() > 0
    }
}

#[async_trait]
impl<K: KeyValueStore> Store for KeyValueAdapter<K> {
    async fn open(&self) -> Result<(Opened, Arc<dyn Session>)> {
        let guard = match self.shared.lock.clone().try_lock_owned() {
            Ok(guard) => guard,
            Err(_) if self.shared.has_session() => {
                let message = "the store already has an open session: close or drop that one first";
                return Err(Error::new(ErrorKind::Conflict, message));
            }
            Err(_) => self.shared.lock.clone().lock_owned().await,
        };
        let opened = self.shared.begin().await?;
        let (session, alive) = KeyValueSession::start(self.shared.clone(), guard).await?;
        *self.shared.session.lock().unwrap_or_else(PoisonError::into_inner) = alive;
        Ok((opened, Arc::new(session)))
    }

    async fn execution(&self, id: ExecutionId) -> Result<Option<Arc<Execution>>> {
        Ok(self.shared.execution(id).await?.map(Arc::new))
    }

    async fn executions(&self, options: &ListOptions) -> Result<Vec<Arc<Execution>>> {
        self.shared.executions(options).await
    }

    async fn logs(
        &self,
        id: ExecutionId,
        after: u64,
        max_bytes: usize,
    ) -> Result<Vec<Arc<LogChunk>>> {
        self.shared.logs(id, after, max_bytes).await
    }
}
