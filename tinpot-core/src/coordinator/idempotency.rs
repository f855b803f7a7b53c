//! Submissions with a key: the same key means the same execution.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::error::{Error, ErrorKind, Result};
use crate::model::id::ExecutionId;

/// The longest key, or name of who asks, in characters.
const NAME_MAX_CHARS: usize = 255;
/// Keys that the control loop remembers: those that a caller may have looked for in the store just before they were committed.
const RECENT_KEYS: usize = 65_536;

/// Checks a text by which submitters name something.
pub(super) fn check_name(what: &str, text: &str) -> Result<()> {
    let chars = text.chars().count();
    let message = if !(1..=NAME_MAX_CHARS).contains(&chars) {
        format!("{what} must have 1 to {NAME_MAX_CHARS} characters (got {chars})")
    } else if text.chars().any(char::is_control) {
        format!("{what} must not have control characters (got {text:?})")
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::InvalidInput, message))
}

/// How many commits of the control loop have succeeded.
#[derive(Debug, Default)]
pub(super) struct Commits(AtomicU64);

impl Commits {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn are(&self, count: u64) {
        self.0.store(count, Ordering::Release);
    }
}

/// The keys that were accepted lately. Whoever submits with a key looks for it in the store first; what was committed after that look is here.
#[derive(Debug, Default)]
pub(super) struct RecentKeys {
    ids: HashMap<Arc<str>, ExecutionId>,
    /// With the number of the commit that makes them visible in the store.
    order: VecDeque<(u64, Arc<str>)>,
    /// Of a key that was forgotten.
    forgotten: u64,
}

impl RecentKeys {
    pub(super) fn find(&self, key: &str) -> Option<ExecutionId> {
        self.ids.get(key).copied()
    }

    /// Whether a look into the store, begun after that many commits, may have missed a key that is not here any more.
    pub(super) fn may_have_missed(&self, commits: u64) -> bool {
        self.forgotten > commits
    }

    pub(super) fn insert(&mut self, commit: u64, key: Arc<str>, id: ExecutionId) {
        self.ids.insert(key.clone(), id);
        self.order.push_back((commit, key));
        if self.order.len() > RECENT_KEYS
            && let Some((commit, key)) = self.order.pop_front()
        {
            self.ids.remove(&key);
            self.forgotten = self.forgotten.max(commit);
        }
    }

    /// Forgets a key if it is that of an execution that is not in the store: it was not committed,
    /// or was removed.
    pub(super) fn remove(&mut self, key: &Arc<str>, id: ExecutionId) {
        if self.find(key) == Some(id) {
            self.ids.remove(key);
            self.order.retain(|(_, other)| other != key);
        }
    }
}
