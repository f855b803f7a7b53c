//! Records in memory: they end with the process.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Change, Changed, MAX_CHANGES, MAX_ENTRIES, Record, Records, check_changes, check_entries,
    end_conflict, version_conflict,
};
use crate::model::error::{Error, ErrorKind, Result};

/// Removed documents that are remembered for [`Records::changed`]. Readers ask every second; beyond
/// this number they list everything again.
const REMEMBERED: usize = 10_000;
/// The size of all documents and entries together, as far as it counts here, in bytes.
const DEFAULT_BYTES: usize = 256 * 1024 * 1024;

/// Records in memory: for tests, for trials, and for servers of one user.
#[derive(Debug)]
pub struct MemoryRecords {
    max_bytes: usize,
    state: Mutex<State>,
}

impl Default for MemoryRecords {
    fn default() -> Self {
        Self::with_max_bytes(DEFAULT_BYTES)
    }
}

impl MemoryRecords {
    /// Creates an empty store of at most 256 MiB.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates an empty store that takes documents and entries of this size together, names
    /// included; more fails with `StorageFull`.
    pub fn with_max_bytes(max_bytes: usize) -> Self {
        Self { max_bytes, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_room(&self, used: usize) -> Result<()> {
        if used > self.max_bytes {
            let message = format!("records in memory: at most {} bytes", self.max_bytes);
            return Err(Error::new(ErrorKind::StorageFull, message));
        }
        Ok(())
    }
}

type Key = (Arc<str>, Arc<str>);

#[derive(Debug, Default)]
struct State {
    revision: u64,
    records: BTreeMap<Key, Record>,
    /// The keys of records by their versions, and their positions in the call that wrote them.
    versions: BTreeMap<(u64, usize), Key>,
    /// Removed documents with the revisions that removed them, oldest first.
    removed: VecDeque<(u64, Key)>,
    /// The revision up to which removed documents are forgotten.
    forgotten: u64,
    logs: BTreeMap<Arc<str>, Log>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Log {
    last: u64,
    entries: VecDeque<Bytes>,
}

impl Log {
    fn first(&self) -> u64 {
        self.last + 1 - self.entries.len() as u64
    }
}

/// Returns the size of a document as it counts against the bound.
fn size_of(kind: &str, id: &str, document: &Bytes) -> usize {
    kind.len() + id.len() + document.len()
}

impl State {
    fn apply(&mut self, changes: &[Change]) -> u64 {
        self.revision += 1;
        for (position, change) in changes.iter().enumerate() {
            let key = (change.kind.clone(), change.id.clone());
            if let Some(old) = self.records.remove(&key) {
                self.bytes -= size_of(&old.kind, &old.id, &old.document);
                self.versions.retain_version(&old, &key);
            }
            match &change.document {
                Some(document) => {
                    self.bytes += size_of(&key.0, &key.1, document);
                    let (kind, id) = key.clone();
                    let record = Record::new(kind, id, self.revision, document.clone());
                    self.versions.insert((self.revision, position), key.clone());
                    self.records.insert(key, record);
                }
                None => self.removed.push_back((self.revision, key)),
            }
        }
        while self.removed.len() > REMEMBERED
            && let Some((revision, _)) = self.removed.pop_front()
        {
            self.forgotten = revision;
        }
        self.revision
    }

    /// Returns the size after these changes.
    fn bytes_after(&self, changes: &[Change]) -> usize {
        let mut bytes = self.bytes;
        for Change { kind, id, document, .. } in changes {
            if let Some(old) = self.records.get(&(kind.clone(), id.clone())) {
                bytes -= size_of(&old.kind, &old.id, &old.document);
            }
            bytes += document.as_ref().map_or(0, |document| size_of(kind, id, document));
        }
        bytes
    }

    fn changed(&self, after: u64) -> Changed {
        if after > self.revision || after < self.forgotten {
            return Changed { revision: self.revision, is_reset: true, ..Changed::default() };
        }
        // Whole revisions, so that the next call goes on after them.
        let start = (Bound::Excluded((after, usize::MAX)), Bound::Unbounded);
        let mut versions = self.versions.range(start);
        let last = versions.nth(MAX_CHANGES).map_or(self.revision, |((version, _), _)| *version);
        let range = (start.0, Bound::Included((last, usize::MAX)));
        let records = self.versions.range(range).filter_map(|(_, key)| self.records.get(key));
        let from = self.removed.partition_point(|(revision, _)| *revision <= after);
        let to = self.removed.partition_point(|(revision, _)| *revision <= last);
        let removed = self.removed.range(from..to.max(from)).map(|(_, key)| key);
        let mut removed: Vec<Key> =
            removed.filter(|key| !self.records.contains_key(key)).cloned().collect();
        removed.sort_unstable();
        removed.dedup();
        Changed { revision: last, is_reset: false, records: records.cloned().collect(), removed }
    }
}

/// The index of records by version.
trait Versions {
    fn retain_version(&mut self, old: &Record, key: &Key);
}

impl Versions for BTreeMap<(u64, usize), Key> {
    /// Removes the entry of a record that is replaced: one of the few of its version.
    fn retain_version(&mut self, old: &Record, key: &Key) {
        let range = (old.version, 0)..=(old.version, usize::MAX);
        let found = self.range(range).find(|(_, found)| *found == key);
        if let Some(position) = found.map(|(position, _)| *position) {
            self.remove(&position);
        }
    }
}

#[async_trait]
impl Records for MemoryRecords {
    async fn change(&self, changes: &[Change]) -> Result<u64> {
        check_changes(changes)?;
        let mut state = self.state();
        for change in changes {
            let key = (change.kind.clone(), change.id.clone());
            let found = state.records.get(&key).map_or(0, |record| record.version);
            if found != change.replaces {
                return Err(version_conflict(change, found));
            }
        }
        let bytes = state.bytes_after(changes);
        if bytes > state.bytes {
            self.check_room(bytes)?;
        }
        Ok(if changes.is_empty() { state.revision } else { state.apply(changes) })
    }

    async fn get(&self, kind: &str, id: &str) -> Result<Option<Record>> {
        Ok(self.state().records.get(&(Arc::from(kind), Arc::from(id))).cloned())
    }

    async fn list(&self, kind: &str, after: &str, limit: usize) -> Result<Vec<Record>> {
        let state = self.state();
        let start = (Arc::from(kind), Arc::from(after));
        let rest = state.records.range::<Key, _>((Bound::Excluded(&start), Bound::Unbounded));
        let of_kind = rest.take_while(|((found, _), _)| **found == *kind);
        Ok(of_kind.take(limit.min(MAX_ENTRIES)).map(|(_, record)| record.clone()).collect())
    }

    async fn changed(&self, after: u64) -> Result<Changed> {
        Ok(self.state().changed(after))
    }

    fn stamp(&self) -> Option<u64> {
        Some(self.state().revision)
    }

    async fn append(&self, log: &str, after: Option<u64>, entries: &[Bytes]) -> Result<u64> {
        check_entries(log, entries)?;
        let mut state = self.state();
        let last = state.logs.get(log).map_or(0, |log| log.last);
        if let Some(after) = after.filter(|after| *after != last) {
            return Err(end_conflict(log, after, last));
        }
        if entries.is_empty() {
            return Ok(last);
        }
        let bytes = state.bytes + entries.iter().map(Bytes::len).sum::<usize>();
        self.check_room(bytes)?;
        state.bytes = bytes;
        let log = state.logs.entry(log.into()).or_default();
        log.entries.extend(entries.iter().cloned());
        log.last += entries.len() as u64;
        Ok(log.last)
    }

    async fn entries(&self, log: &str, after: u64, limit: usize) -> Result<Vec<(u64, Bytes)>> {
        let state = self.state();
        let Some(log) = state.logs.get(log) else { return Ok(Vec::new()) };
        let skipped = (after.saturating_add(1)).saturating_sub(log.first());
        let from = usize::try_from(skipped).unwrap_or(usize::MAX).min(log.entries.len());
        let numbered = (log.first() + from as u64..).zip(log.entries.range(from..).cloned());
        Ok(numbered.take(limit.min(MAX_ENTRIES)).collect())
    }

    async fn trim(&self, log: &str, up_to: u64) -> Result<()> {
        let mut state = self.state();
        let Some(log) = state.logs.get_mut(log) else { return Ok(()) };
        let gone = up_to.saturating_add(1).saturating_sub(log.first());
        let gone = usize::try_from(gone).unwrap_or(usize::MAX).min(log.entries.len());
        let bytes = log.entries.drain(..gone).map(|entry| entry.len()).sum::<usize>();
        state.bytes -= bytes;
        Ok(())
    }
}
