//! The head of an ordered queue; its tail is in the store only.

use std::collections::{BTreeMap, BTreeSet};

/// The maximum size of the parameters in one window, in bytes.
const KEPT_MAX_BYTES: usize = 16 * 1024 * 1024;
/// The maximum size of the parameters in one read, in bytes.
pub(super) const LOAD_MAX_BYTES: usize = 4 * 1024 * 1024;

/// The facts about an execution that count in a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weight {
    /// The size of the parameters.
    pub(super) bytes: usize,
    /// If true, some parameters are secret.
    pub(super) is_secret: bool,
}

/// The first keys of a queue, up to a bound, and the number of the others.
#[derive(Debug)]
pub(super) struct Window<K> {
    /// The first keys, each with the number of bytes that it holds in memory.
    kept: BTreeMap<K, usize>,
    bytes: usize,
    /// The keys in memory whose executions have secret parameters.
    secret: BTreeSet<K>,
    /// The number of keys after the last one in memory.
    beyond: u64,
}

impl<K> Default for Window<K> {
    fn default() -> Self {
        Self { kept: BTreeMap::new(), bytes: 0, secret: BTreeSet::new(), beyond: 0 }
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
    pub(super) fn insert(&mut self, key: K, weight: Weight) -> bool {
        if self.beyond > 0 && self.last().is_none_or(|last| key > last) {
            self.beyond += 1;
            return false;
        }
        self.keep(key, weight);
        true
    }

    /// Adds the first key beyond the window, which has been read.
    pub(super) fn insert_read(&mut self, key: K, weight: Weight) {
        self.beyond = self.beyond.saturating_sub(1);
        self.keep(key, weight);
    }

    fn keep(&mut self, key: K, weight: Weight) {
        self.bytes += weight.bytes;
        self.kept.insert(key, weight.bytes);
        if weight.is_secret {
            self.secret.insert(key);
        }
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
        self.secret.remove(&key);
        self.bytes -= bytes;
        self.beyond += 1;
        Some(key)
    }

    /// Removes a key. Returns true if it was in memory.
    pub(super) fn remove(&mut self, key: &K) -> bool {
        let bytes = self.kept.remove(key);
        self.bytes -= bytes.unwrap_or(0);
        self.secret.remove(key);
        bytes.is_some()
    }

    /// Returns the keys in memory.
    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.kept.keys()
    }

    pub(super) fn first(&self) -> Option<K> {
        self.kept.first_key_value().map(|(key, _)| *key)
    }

    /// Returns the first key in memory whose execution has no secret parameters. Those beyond the
    /// window are not looked for.
    pub(super) fn first_without_secrets(&self) -> Option<K> {
        match self.secret.is_empty() {
            true => self.first(),
            false => self.keys().find(|key| !self.secret.contains(key)).copied(),
        }
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
