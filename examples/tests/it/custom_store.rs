//! The conformance suites on a redb database.

use std::future::{Ready, ready};

use tinpot_core::store::{HistoryLimits, KeyValueAdapter};
use tinpot_core::testing::store::InDirectory;
use tinpot_examples::Redb;

fn limited(executions: usize) -> Ready<InDirectory<KeyValueAdapter<Redb>>> {
    ready(InDirectory::new(move |directory| {
        let database = Redb::open(directory.join("tinpot.redb")).expect("a database");
        let limits = HistoryLimits::default().executions(executions);
        KeyValueAdapter::with_limits(database, limits)
    }))
}

fn store() -> Ready<InDirectory<KeyValueAdapter<Redb>>> {
    limited(10_000)
}

tinpot_core::store_conformance!(store);
tinpot_core::store_reopen_conformance!(store);
tinpot_core::store_retention_conformance!(limited);
