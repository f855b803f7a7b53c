//! The store of the executions.

use std::path::PathBuf;
use std::time::Duration;

use tinpot_core::{MemoryStore, Store};
use tinpot_sqlite::{Retention, SqliteRecords, SqliteStore};

/// The store of the executions, and its retention.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct StoreSettings {
    /// The file that keeps executions, created if missing; `memory` keeps them until the process
    /// ends. The default is ./tinpot.db for a coordinator and `memory` for a server in one process.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_STORE", value_name = "PATH"))]
    pub store: Option<PathBuf>,
    /// The number of days for which the file keeps executions that have ended.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_KEEP_DAYS",
            value_name = "DAYS",
            default_value_t = 30,
            value_parser = clap::value_parser!(u64).range(1..=36_500)
        )
    )]
    pub keep_days: u64,
    /// The number of executions that have ended which the file keeps; the oldest are removed first.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_KEEP_EXECUTIONS",
            value_name = "NUMBER",
            default_value_t = 1_000_000
        )
    )]
    pub keep_executions: u64,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self { store: None, keep_days: 30, keep_executions: 1_000_000 }
    }
}

impl StoreSettings {
    /// Returns the store that the settings name, or that at `default`; a coordinator opens it.
    pub fn store(&self, default: &str) -> Box<dyn Store> {
        match self.path(default) {
            path if path.as_os_str() == "memory" => Box::new(MemoryStore::new()),
            path => {
                let days = Duration::from_secs(self.keep_days * 86_400);
                let retention = Retention::default().age(days).executions(self.keep_executions);
                Box::new(SqliteStore::builder(path).retention(retention).build())
            }
        }
    }

    /// Returns the records of access control in the file of the store; `None` if it is in memory.
    pub(crate) fn records(&self, default: &str) -> Option<SqliteRecords> {
        let path = self.path(default);
        (path.as_os_str() != "memory").then(|| SqliteRecords::open(path))
    }

    pub(crate) fn path(&self, default: &str) -> PathBuf {
        // An environment variable that is set to nothing counts as not set.
        let named = self.store.clone().filter(|path| !path.as_os_str().is_empty());
        named.unwrap_or_else(|| default.into())
    }
}
