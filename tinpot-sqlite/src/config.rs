//! The configuration of a store.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tinpot_core::{Execution, Json};

use crate::damage::Damage;
use crate::store::SqliteStore;
use crate::writer::Rewrite;

/// Bounds of the ended executions that are kept. `None` is no bound.
///
/// [`Retention`] has an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keep {
    /// The time after their end.
    pub age: Option<Duration>,
    /// Their number. Those that were accepted first are removed first.
    pub executions: Option<u64>,
}

impl Keep {
    /// Sets the time after their end.
    #[must_use]
    pub fn age(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }

    /// Sets their number.
    #[must_use]
    pub fn executions(mut self, executions: u64) -> Self {
        self.executions = Some(executions);
        self
    }
}

/// The ended executions that are kept, with their logs. Executions that have not ended are always
/// kept.
///
/// The store removes executions beyond the bounds in small steps between other work: soon, not at
/// once. Ages are measured by the times of commits, so no execution ages before the first commit of
/// a session.
///
/// ```
/// use std::time::Duration;
/// use tinpot_sqlite::{Keep, Retention, SqliteStore};
///
/// let week = Duration::from_secs(7 * 86_400);
/// let retention =
///     Retention::default().age(week).action("check_health", Keep::default().executions(100));
/// assert_eq!(retention.overall.executions, Some(1_000_000));
/// let store = SqliteStore::builder("tinpot.db").retention(retention).build();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// The age for actions without an age of their own, and the number of all executions together.
    /// By default 30 days and 1,000,000 executions.
    pub overall: Keep,
    /// Bounds of single actions, by name: an age in place of the overall one, and a number of their
    /// own.
    pub actions: BTreeMap<String, Keep>,
}

impl Default for Retention {
    fn default() -> Self {
        let overall = Keep::default().age(Duration::from_secs(30 * 86_400)).executions(1_000_000);
        Self { overall, actions: BTreeMap::new() }
    }
}

impl Retention {
    /// Returns bounds that keep everything forever.
    pub fn unbounded() -> Self {
        Self { overall: Keep::default(), actions: BTreeMap::new() }
    }

    /// Sets the time after their end, for actions without an age of their own.
    #[must_use]
    pub fn age(mut self, age: Duration) -> Self {
        self.overall.age = Some(age);
        self
    }

    /// Sets the number of executions of all actions together.
    #[must_use]
    pub fn executions(mut self, executions: u64) -> Self {
        self.overall.executions = Some(executions);
        self
    }

    /// Sets the bounds of one action.
    #[must_use]
    pub fn action(mut self, name: impl Into<String>, keep: Keep) -> Self {
        self.actions.insert(name.into(), keep);
        self
    }

    /// Returns the time for which executions of this action are kept.
    pub(crate) fn age_of(&self, action: &str) -> Option<Duration> {
        self.actions.get(action).and_then(|keep| keep.age).or(self.overall.age)
    }
}

/// The settings of a store.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) path: PathBuf,
    pub(crate) retention: Retention,
    pub(crate) max_bytes: Option<NonZeroU64>,
    pub(crate) rewrite: Option<Rewrite>,
    pub(crate) damage: Arc<Damage>,
}

/// Builds a [`SqliteStore`].
///
/// [`Retention`] has an example.
#[derive(Clone, Debug)]
#[must_use]
pub struct SqliteStoreBuilder {
    config: Config,
}

impl SqliteStoreBuilder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            config: Config {
                path,
                retention: Retention::default(),
                max_bytes: None,
                rewrite: None,
                damage: Arc::default(),
            },
        }
    }

    /// Sets the ended executions that are kept.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.config.retention = retention;
        self
    }

    /// Sets the largest size of the database file in bytes, without its write-ahead log. A write
    /// that needs more fails as on a full disk. No bound by default.
    pub fn max_bytes(mut self, max_bytes: NonZeroU64) -> Self {
        self.config.max_bytes = Some(max_bytes);
        self
    }

    /// Gives other parameters to all stored executions that have secrets, when the store is opened
    /// and before it is served; `None` leaves those of an execution as they are. The file is then
    /// written again, so that nothing of the former parameters is left in it.
    ///
    /// This is done once for each `mark`, such as the id of the key that seals the secrets now.
    pub fn rewrite_secrets(
        mut self,
        mark: impl Into<String>,
        with: impl Fn(&Execution) -> tinpot_core::Result<Option<Json>> + Send + Sync + 'static,
    ) -> Self {
        self.config.rewrite = Some(Rewrite { mark: mark.into(), with: Arc::new(with) });
        self
    }

    /// Builds the store. Nothing is touched before the coordinator opens it.
    pub fn build(self) -> SqliteStore {
        SqliteStore::new(self.config)
    }
}
