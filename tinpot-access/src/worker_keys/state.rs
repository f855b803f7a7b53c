//! The keys and tokens in memory.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tinpot_core::Timestamp;
use tinpot_core::access::records::Record;
use tinpot_core::seal::{KeyId, PublicKey, WorkerGrant};

use super::documents::{JoinTokenInfo, KEY, NAMES, TOKEN, WorkerKey};
use crate::stored::{Stored, read};

/// A key, and the time at which this process last heard it.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) stored: Stored<WorkerKey>,
    heard: AtomicU64,
}

impl Heard {
    pub(super) fn note(&self, now: Timestamp) {
        self.heard.fetch_max(now.0, Ordering::Relaxed);
    }

    pub(super) fn last_heard(&self) -> Option<Timestamp> {
        let here = Timestamp(self.heard.load(Ordering::Relaxed));
        Some(here).filter(|here| here.0 > 0).max(self.stored.value.last_heard)
    }
}

/// All documents, and what follows from them.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The revision of the records up to which changes are known.
    pub(super) records_revision: u64,
    /// The number of changes of grants.
    pub(super) revision: u64,
    pub(super) keys: BTreeMap<KeyId, Heard>,
    pub(super) tokens: BTreeMap<KeyId, Stored<JoinTokenInfo>>,
    pub(super) grants: HashMap<KeyId, Arc<WorkerGrant>>,
    /// The keys that end, since others have replaced them.
    ending: BTreeSet<(Timestamp, KeyId)>,
    /// The last keys of workers, by their users at the broker.
    users: HashMap<KeyId, KeyId>,
    /// Names that a key has or had.
    pub(super) names: HashSet<Arc<str>>,
    /// The number of documents with the name of a temporary key.
    pub(super) kept_names: usize,
    /// Patterns of names that an earlier version has kept for temporary keys.
    pub(super) patterns: HashSet<Arc<str>>,
    /// If true, there is or was the document of a key, or one that cannot be read.
    pub(super) has_enrolled: bool,
}

impl State {
    /// Takes the place of all that was known.
    pub(super) fn replace(&mut self, listed: State) {
        let revision = self.revision + listed.revision + 1;
        *self = State { revision, ..listed };
    }

    /// Takes a document in.
    pub(super) fn put(&mut self, record: &Record) {
        let id = &*record.id;
        self.has_enrolled |= matches!(&*record.kind, KEY | NAMES);
        let taken = match &*record.kind {
            KEY => read(record).map(|stored| self.put_key(stored)),
            TOKEN => read(record).map(|stored: Stored<JoinTokenInfo>| {
                self.tokens.insert(stored.value.id, stored);
            }),
            NAMES if id.contains('*') => {
                self.patterns.insert(record.id.clone());
                Ok(())
            }
            NAMES => {
                self.kept_names += 1;
                self.names.insert(record.id.clone());
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(error) = taken {
            // No worker is heard without it.
            tracing::error!(kind = &*record.kind, id, %error, "skipped a record of worker keys that cannot be read");
            self.remove(&record.kind, id);
        }
    }

    fn put_key(&mut self, stored: Stored<WorkerKey>) {
        let key = &stored.value;
        self.names.insert(key.limits.names.as_str().into());
        let mut grant = WorkerGrant::limited(PublicKey(key.key.0), key.limits.clone());
        grant.follows = key.follows;
        if let Some(ends) = key.ends {
            self.ending.insert((ends, key.id));
        }
        if key.replaced_by.is_none() {
            self.users.insert(key.broker_user(), key.id);
        }
        let before = match key.revoked {
            None => self.grants.insert(key.id, Arc::new(grant.clone())),
            Some(_) => self.grants.remove(&key.id),
        };
        if before.as_deref() != Some(&grant) || key.revoked.is_some() {
            self.revision += 1;
        }
        let heard = self.keys.remove(&key.id).map_or_else(AtomicU64::default, |key| key.heard);
        self.keys.insert(key.id, Heard { stored, heard });
    }

    /// Ends the keys whose time is over.
    pub(super) fn expire(&mut self, now: Timestamp) {
        while let Some((ends, key)) = self.ending.first().copied().filter(|(at, _)| *at <= now) {
            self.ending.remove(&(ends, key));
            if self.grants.remove(&key).is_some() {
                self.revision += 1;
            }
        }
    }

    /// Returns the keys that a key has replaced, from the last one on, and that are valid.
    pub(super) fn former_keys(
        &self,
        key: &WorkerKey,
        now: Timestamp,
    ) -> impl Iterator<Item = &Stored<WorkerKey>> {
        let before = move |key: &WorkerKey| Some(&self.keys.get(&key.follows?)?.stored);
        // A key follows one that was there before it: there is no circle.
        let all = std::iter::successors(before(key), move |stored: &&Stored<WorkerKey>| {
            before(&stored.value)
        });
        all.filter(move |stored| stored.value.is_valid(now))
    }

    /// Returns the last of the keys that have replaced a key, if it is valid.
    pub(super) fn last_successor(&self, key: &WorkerKey, now: Timestamp) -> Option<KeyId> {
        let after = move |key: &WorkerKey| Some(&self.keys.get(&key.replaced_by?)?.stored.value);
        let all = std::iter::successors(after(key), |key| after(key));
        all.filter(|key| key.is_valid(now)).last().map(|key| key.id)
    }

    /// Returns the last key of the worker with this user at the broker.
    pub(super) fn key_of_user(&self, user: &KeyId) -> Option<&WorkerKey> {
        let key = self.users.get(user).unwrap_or(user);
        self.keys.get(key).map(|key| &key.stored.value)
    }

    /// Forgets what follows from a key that is removed.
    fn forget(&mut self, key: &WorkerKey) {
        if let Some(ends) = key.ends {
            self.ending.remove(&(ends, key.id));
        }
        if let Entry::Occupied(user) = self.users.entry(key.broker_user())
            && *user.get() == key.id
        {
            user.remove();
        }
    }

    /// Forgets a document.
    pub(super) fn remove(&mut self, kind: &str, id: &str) {
        // Names stay reserved: nothing removes their documents.
        let Ok(key) = id.parse::<KeyId>() else { return };
        match kind {
            KEY => {
                if let Some(removed) = self.keys.remove(&key) {
                    self.forget(&removed.stored.value);
                }
                if self.grants.remove(&key).is_some() {
                    self.revision += 1;
                }
            }
            TOKEN => drop(self.tokens.remove(&key)),
            _ => {}
        }
    }
}
