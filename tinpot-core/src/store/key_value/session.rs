//! The session: the only writer of the database.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::record::{self, LARGE_PARAMETERS_BYTES, Record, decode, encode};
use super::{KeyValue, KeyValueChange, KeyValueStore, Shared, keys};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::Execution;
use crate::model::fence::Epoch;
use crate::model::id::ExecutionId;
use crate::model::json::{Json, mask};
use crate::model::log::LogBatch;
use crate::model::page::QueuePage;
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::store::conditions::{LogSpan, key_is_taken, number_is_taken};
use crate::store::{CachedExecution, Session, WriteCache};

/// The stored state of an execution that is in the cache.
#[derive(Debug, Default)]
struct Row {
    index: Vec<KeyValue>,
    log_bytes: u64,
    large_parameters: bool,
    /// If true, the record exists.
    stored: bool,
}

/// The number of ended executions, the bytes of their logs, and the largest number of an execution.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Counts {
    pub(super) ended: u64,
    pub(super) log_bytes: u64,
    #[serde(default)]
    pub(super) last_number: u64,
}

/// The state of the open session.
#[derive(Debug)]
pub(super) struct Writer<K> {
    pub(super) shared: Arc<Shared<K>>,
    cache: WriteCache<Row>,
    pub(super) counts: Counts,
    /// If true, a write began and its end is not known.
    unsettled: bool,
    /// Keeps others from opening the store.
    _session: OwnedMutexGuard<()>,
}

#[derive(Debug)]
pub(super) struct KeyValueSession<K> {
    /// None once the session is closed.
    writer: Arc<Mutex<Option<Writer<K>>>>,
    /// Shows that the session was not dropped.
    _alive: Arc<()>,
}

impl<K: KeyValueStore> KeyValueSession<K> {
    pub(super) async fn start(
        shared: Arc<Shared<K>>,
        session: OwnedMutexGuard<()>,
    ) -> Result<(Self, Weak<()>)> {
        let counts = shared.counts().await?;
        let cache = WriteCache::new().last_number(counts.last_number);
        let writer = Writer { shared, cache, counts, unsettled: false, _session: session };
        let _alive = Arc::new(());
        let alive = Arc::downgrade(&_alive);
        Ok((Self { writer: Arc::new(Mutex::new(Some(writer))), _alive }, alive))
    }

    /// Runs a write to its end, even if the caller is dropped meanwhile: the cache must know the
    /// result of every write that the database has begun.
    async fn write(&self, work: Work) -> Result<()> {
        let mut writer = self.writer.clone().lock_owned().await;
        let closed = || Error::new(ErrorKind::Closed, "this session of the store is closed");
        let task = tokio::spawn(async move {
            let writer = writer.as_mut().ok_or_else(closed)?;
            match work {
                Work::Commit(batch, at) => writer.commit(&batch, at).await,
                Work::Append(batches) => writer.append(&batches).await,
            }
        });
        task.await.unwrap_or_else(|_| Err(closed()))
    }
}

enum Work {
    Commit(Vec<Transition>, Timestamp),
    Append(Vec<LogBatch>),
}

#[async_trait]
impl<K: KeyValueStore> Session for KeyValueSession<K> {
    async fn commit(&self, batch: &[Transition], at: Timestamp) -> Result<()> {
        self.write(Work::Commit(batch.to_vec(), at)).await
    }

    async fn append_logs(&self, batches: &[LogBatch]) -> Result<()> {
        self.write(Work::Append(batches.to_vec())).await
    }

    async fn queued(&self, page: &QueuePage) -> Result<Vec<Arc<Execution>>> {
        // Not during a write: the index and the records are read one after the other.
        match &*self.writer.lock().await {
            Some(writer) => writer.shared.queued(page).await,
            None => Err(Error::new(ErrorKind::Closed, "this session of the store is closed")),
        }
    }

    async fn current(&self) -> Result<Epoch> {
        let closed = || Error::new(ErrorKind::Closed, "this session of the store is closed");
        let shared = match &*self.writer.lock().await {
            Some(writer) => writer.shared.clone(),
            None => return Err(closed()),
        };
        let bytes = shared.database.get(&keys::epoch().0).await?;
        bytes.map_or_else(|| Err(closed()), |bytes| decode(&bytes))
    }

    async fn close(&self) -> Result<()> {
        self.writer.lock().await.take();
        Ok(())
    }
}

impl<K: KeyValueStore> Shared<K> {
    pub(super) async fn counts(&self) -> Result<Counts> {
        let bytes = self.database.get(&keys::counts().0).await?;
        bytes.map_or(Ok(Counts::default()), |bytes| decode(&bytes))
    }
}

impl<K: KeyValueStore> Writer<K> {
    async fn commit(&mut self, batch: &[Transition], at: Timestamp) -> Result<()> {
        self.settle().await?;
        self.check_new(batch).await?;
        for id in self.cache.missing(batch) {
            self.load(id).await?;
        }
        let forgotten = self.forgotten_secrets(batch).await?;
        self.cache.apply(batch, at, |_| Ok::<_, Error>(Row::default()))?;
        let changes = batch.iter().filter_map(setting).collect::<Result<Vec<_>>>();
        self.write(changes.map(|changes| [changes, forgotten].concat())).await?;
        self.remove_oldest(batch.len()).await;
        Ok(())
    }

    /// Returns the changes that erase secrets from parameters that are not in the records of their
    /// executions.
    async fn forgotten_secrets(&self, batch: &[Transition]) -> Result<Vec<KeyValueChange>> {
        let ends = |transition: &Transition| match transition {
            Transition::Finish { execution, .. } => self.cache.get(*execution),
            _ => None,
        };
        let is_stored = |entry: &&CachedExecution<Row>| {
            entry.execution.forgets_secrets && entry.row.large_parameters
        };
        let entries = batch.iter().filter_map(ends).filter(is_stored);
        let found = entries.map(|entry| (entry.execution.id, entry.execution.secrets.clone()));
        let mut changes = Vec::new();
        for (id, secrets) in found.collect::<Vec<_>>() {
            let key = keys::parameters(id).0;
            let Some(bytes) = self.shared.database.get(&key).await? else { continue };
            let parameters = Json::parse(String::from_utf8_lossy(&bytes))?;
            let shown = mask::at_places(&parameters, &secrets);
            changes.push((key, Some(shown.as_str().as_bytes().to_vec())));
        }
        Ok(changes)
    }

    async fn append(&mut self, batches: &[LogBatch]) -> Result<()> {
        self.settle().await?;
        let spans = batches.iter().map(LogSpan::of).collect::<Result<Vec<_>>>()?;
        for span in &spans {
            if self.cache.get(span.execution).is_none() {
                self.load(span.execution).await?;
            }
        }
        self.cache.append(&spans)?;
        let chunks = batches.iter().flat_map(|batch| {
            let chunks = batch.chunks.iter().filter(|chunk| !chunk.lines.is_empty());
            chunks.map(|chunk| {
                let key = keys::log_until(batch.execution, chunk.last_seq());
                Ok((key.0, Some(encode(&**chunk)?)))
            })
        });
        let changes = chunks.collect::<Result<Vec<_>>>();
        for batch in batches {
            let bytes = batch.chunks.iter().map(|chunk| chunk.size_bytes() as u64).sum::<u64>();
            if let Some(entry) = self.cache.get_mut(batch.execution) {
                entry.row.log_bytes += bytes;
                if entry.execution.status.is_terminal() {
                    self.counts.log_bytes += bytes;
                }
            }
        }
        self.write(changes).await?;
        self.remove_oldest(0).await;
        Ok(())
    }

    /// Checks that ids, numbers and idempotency keys of accepted executions are new.
    async fn check_new(&mut self, batch: &[Transition]) -> Result<()> {
        let (mut keys_of_batch, mut numbers_of_batch) = (HashSet::new(), HashSet::new());
        for transition in batch {
            let Transition::Accept(new) = transition else { continue };
            if self.cache.get(new.id).is_none() {
                // If it exists, the cache refuses it.
                self.load(new.id).await?;
            }
            if let Some(key) = &new.idempotency_key
                && (!keys_of_batch.insert(key)
                    || self.shared.database.get(&keys::idempotency_key(key).0).await?.is_some())
            {
                return Err(key_is_taken(key));
            }
            let number = new.number;
            if number != 0
                && (!numbers_of_batch.insert(number)
                    || self.shared.database.get(&keys::number(number).0).await?.is_some())
            {
                return Err(number_is_taken(number));
            }
        }
        Ok(())
    }

    async fn load(&mut self, id: ExecutionId) -> Result<()> {
        let Some(record) = self.shared.record(id).await? else { return Ok(()) };
        let Record { execution, lease, log_bytes, large_parameters } = record;
        let lease = lease.map(Duration::from_micros);
        let index = record::index(&execution, lease);
        let row = Row { index, log_bytes, large_parameters, stored: true };
        let bytes = execution.parameters.as_str().len();
        self.cache.insert(execution, lease, row, bytes);
        Ok(())
    }

    /// Writes the changed records, with other changes, as one.
    async fn write(&mut self, changes: Result<Vec<KeyValueChange>>) -> Result<()> {
        self.unsettled = true;
        let mut counts = self.counts;
        let encoded = changes.and_then(|mut changes| {
            self.cache.write(|entry| write_record(entry, &mut changes, &mut counts))?;
            changes.push((keys::counts().0, Some(encode(&counts)?)));
            Ok(changes)
        });
        let written = match encoded {
            Ok(changes) => self.shared.database.write(changes).await,
            Err(error) => Err(error),
        };
        match written {
            Ok(()) => {
                self.cache.commit(drop);
                (self.counts, self.unsettled) = (counts, false);
                Ok(())
            }
            Err(error) => {
                // Even if it cannot be read now, the next write starts from what is stored.
                let _ = self.settle().await;
                Err(error)
            }
        }
    }

    /// Goes back to what is stored, if a write did not end well.
    async fn settle(&mut self) -> Result<()> {
        if self.unsettled {
            self.cache.rollback();
            self.counts = self.shared.counts().await?;
            self.unsettled = false;
        }
        Ok(())
    }

    /// Forgets an execution that was removed.
    pub(super) fn forget(&mut self, id: ExecutionId) {
        self.cache.remove(id);
    }
}

/// Adds the changes of one record, and returns the size of what is kept of it in memory.
fn write_record(
    entry: &mut CachedExecution<Row>,
    changes: &mut Vec<KeyValueChange>,
    counts: &mut Counts,
) -> Result<usize> {
    let CachedExecution { execution, lease, row, .. } = entry;
    let id = execution.id;
    if !row.stored {
        row.stored = true;
        let value = id.as_u128().to_be_bytes().to_vec();
        counts.last_number = counts.last_number.max(execution.number);
        changes.push((keys::number(execution.number).0, Some(value.clone())));
        if let Some(key) = &execution.idempotency_key {
            changes.push((keys::idempotency_key(key).0, Some(value)));
        }
        if let Some(parent) = &execution.parent {
            changes.push((keys::child(parent.execution, id).0, Some(Vec::new())));
        }
        if execution.parameters.as_str().len() > LARGE_PARAMETERS_BYTES {
            let parameters = std::mem::replace(&mut execution.parameters, Json::empty_object());
            changes.push((keys::parameters(id).0, Some(parameters.as_str().as_bytes().to_vec())));
            row.large_parameters = true;
        }
    }
    let index = record::index(execution, *lease);
    let was_ended = row.index.iter().any(|(key, _)| keys::is_ended(key));
    if execution.status.is_terminal() && !was_ended {
        counts.ended += 1;
        counts.log_bytes += row.log_bytes;
    }
    let gone = row.index.iter().filter(|pair| !index.iter().any(|(key, _)| *key == pair.0));
    changes.extend(gone.map(|(key, _)| (key.clone(), None)));
    let new = index.iter().filter(|pair| !row.index.contains(pair));
    changes.extend(new.map(|(key, value)| (key.clone(), Some(value.clone()))));
    row.index = index;
    let record = encode(&Record {
        execution: &*execution,
        lease: lease.map(record::micros),
        log_bytes: row.log_bytes,
        large_parameters: row.large_parameters,
    })?;
    let bytes = record.len();
    changes.push((keys::execution(id).0, Some(record)));
    Ok(bytes)
}

/// Returns the change by a transition that is about an action or a queue.
fn setting(transition: &Transition) -> Option<Result<KeyValueChange>> {
    let put =
        |key: keys::Key, value: Result<Vec<u8>>| Some(value.map(|value| (key.0, Some(value))));
    match transition {
        Transition::Offer(action) => put(keys::action(&action.key()), encode(&**action)),
        Transition::Pause { queue, since } => {
            put(keys::paused_queue(queue), encode(&(queue, since)))
        }
        Transition::Resume { queue } => Some(Ok((keys::paused_queue(queue).0, None))),
        _ => None,
    }
}
