//! The head of an ordered queue; its tail is in the store only.

use std::collections::BTreeMap;

/// The maximum size of the parameters in one window, in bytes.
const KEPT_MAX_BYTES: usize = 16 * 1024 * 1024;
/// The maximum size of the parameters in one read, in bytes.
pub(super) const LOAD_MAX_BYTES: usize = 4 * 1024 * 1024;

/// The first keys of a queue, up to a bound, and the number of the others.
#[derive(Debug)]
pub(super) struct Window<K> {
    /// The first keys, each with the number of bytes that it holds in memory.
    kept: BTreeMap<K, usize>,
    bytes: usize,
    /// The number of keys after the last one in memory.
    beyond: u64,
}

impl<K> Default for Window<K> {
    fn default() -> Self {
        Self { kept: BTreeMap::new(), bytes: 0, beyond: 0 }
    }
}

impl<K: Ord + Copy> Window<K> {
    /// Counts executions that only the store has.
    pub(super) fn add_beyond(&mut self, count: u64) {
        self.beyond += count;
    }

    /// Removes an execution that only the store has.
    pub(super) fn remove_beyond(&mut self) {
        self.beyond = self.beyond.saturating_sub(1);
    }

    /// Adds a new key. Returns true if it is kept in memory.
    pub(super) fn insert(&mut self, key: K, bytes: usize) -> bool {
        if self.beyond > 0 && self.last().is_none_or(|last| key > last) {
            self.beyond += 1;
            return false;
        }
        self.bytes += bytes;
        self.kept.insert(key, bytes);
        true
    }

    /// Adds the first key beyond the window, which has been read.
    pub(super) fn insert_read(&mut self, key: K, bytes: usize) {
        self.beyond = self.beyond.saturating_sub(1);
        self.bytes += bytes;
        self.kept.insert(key, bytes);
    }

    /// Notes that nothing was left to read.
    pub(super) fn read_to_the_end(&mut self) {
        self.beyond = 0;
    }

    /// Removes the last key if there are more than `max`: from now on only the store has it.
    pub(super) fn overflow(&mut self, max: usize) -> Option<K> {
        if self.kept.len() <= max && (self.bytes <= KEPT_MAX_BYTES || self.kept.len() < 2) {
            return None;
        }
        let (key, bytes) = self.kept.pop_last()?;
        self.bytes -= bytes;
        self.beyond += 1;
        Some(key)
    }

    /// Removes a key. Returns true if it was in memory.
    pub(super) fn remove(&mut self, key: &K) -> bool {
        let bytes = self.kept.remove(key);
        self.bytes -= bytes.unwrap_or(0);
        bytes.is_some()
    }

    /// Returns the keys in memory.
    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.kept.keys()
    }

    pub(super) fn first(&self) -> Option<K> {
        self.kept.first_key_value().map(|(key, _)| *key)
    }

    pub(super) fn last(&self) -> Option<K> {
        self.kept.last_key_value().map(|(key, _)| *key)
    }

    /// Returns the number of keys, in memory and beyond.
    pub(super) fn len(&self) -> usize {
        self.kept.len() + self.beyond as usize
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns true if more should be read before the window runs dry.
    pub(super) fn runs_low(&self, max: usize) -> bool {
        self.beyond > 0 && self.kept.len() <= max / 4 && self.bytes <= KEPT_MAX_BYTES / 4
    }
}
