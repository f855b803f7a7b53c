//! How a store is set up.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use crate::store::SqliteStore;

/// How long, and how many, executions that have ended are kept; `None` is without a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keep {
    /// How long after their end.
    pub age: Option<Duration>,
    /// How many; those that were accepted first go first.
    pub executions: Option<u64>,
}

impl Keep {
    /// Sets how long after their end they are kept.
    #[must_use]
    pub fn age(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }

    /// Sets how many are kept.
    #[must_use]
    pub fn executions(mut self, executions: u64) -> Self {
        self.executions = Some(executions);
        self
    }
}

/// What is kept of executions that have ended, with their logs. What has not ended is always kept.
///
/// What is beyond it is removed in small steps between other work: soon, not at once. Ages are told by the times of the commits, so nothing
/// ages before the first commit after opening.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// The age for actions that have none of their own, and the number of all together. By default 30 days and 1,000,000 executions.
    pub overall: Keep,
    /// Single actions, by name: an age in place of the overall one, and how many of this action.
    pub actions: BTreeMap<String, Keep>,
}

impl Default for Retention {
    fn default() -> Self {
        let overall = Keep::default().age(Duration::from_secs(30 * 86_400)).executions(1_000_000);
        Self { overall, actions: BTreeMap::new() }
    }
}

impl Retention {
    /// Everything is kept for ever.
    pub fn unbounded() -> Self {
        Self { overall: Keep::default(), actions: BTreeMap::new() }
    }

    /// Sets how long after their end executions are kept, of all actions that have no age of their own.
    #[must_use]
    pub fn age(mut self, age: Duration) -> Self {
        self.overall.age = Some(age);
        self
    }

    /// Sets how many executions are kept, of all actions together.
    #[must_use]
    pub fn executions(mut self, executions: u64) -> Self {
        self.overall.executions = Some(executions);
        self
    }

    /// Sets what is kept of one action.
    #[must_use]
    pub fn action(mut self, name: impl Into<String>, keep: Keep) -> Self {
        self.actions.insert(name.into(), keep);
        self
    }

    /// How long executions of this action are kept.
    pub(crate) fn age_of(&self, action: &str) -> Option<Duration> {
        self.actions.get(action).and_then(|keep| keep.age).or(self.overall.age)
    }
}

/// Everything that a store is told.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) path: PathBuf,
    pub(crate) retention: Retention,
    pub(crate) max_bytes: Option<NonZeroU64>,
}

/// Sets up a [`SqliteStore`].
#[derive(Clone, Debug)]
#[must_use]
pub struct SqliteStoreBuilder {
    config: Config,
}

impl SqliteStoreBuilder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { config: Config { path, retention: Retention::default(), max_bytes: None } }
    }

    /// Sets what is kept of executions that have ended.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.config.retention = retention;
        self
    }

    /// Sets the largest size of the database file, in bytes, without the write-ahead log beside it; a write that needs more fails as on a full
    /// disk. No bound by default.
    pub fn max_bytes(mut self, max_bytes: NonZeroU64) -> Self {
        self.config.max_bytes = Some(max_bytes);
        self
    }

    /// The store, which is not open yet and has touched nothing.
    pub fn build(self) -> SqliteStore {
        SqliteStore::new(self.config)
    }
}
