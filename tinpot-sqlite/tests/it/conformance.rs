//! The conformance suites of stores.

use std::future::{Ready, ready};

use tinpot_core::testing::store::InDirectory;
use tinpot_sqlite::{Retention, SqliteStore};

fn store() -> Ready<InDirectory<SqliteStore>> {
    ready(InDirectory::new(|directory| SqliteStore::open(directory.join("tinpot.db"))))
}

fn limited(executions: usize) -> Ready<InDirectory<SqliteStore>> {
    ready(InDirectory::new(move |directory| {
        let retention = Retention::unbounded().executions(executions as u64);
        SqliteStore::builder(directory.join("tinpot.db")).retention(retention).build()
    }))
}

tinpot_core::store_conformance!(store);
tinpot_core::store_reopen_conformance!(store);
tinpot_core::store_retention_conformance!(limited);
