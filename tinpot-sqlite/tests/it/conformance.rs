//! The conformance suite of stores.

use std::future::{Ready, ready};

use tinpot_core::testing::store::InDirectory;
use tinpot_sqlite::SqliteStore;

fn store() -> Ready<InDirectory<SqliteStore>> {
    ready(InDirectory::new(|directory| SqliteStore::builder(directory.join("tinpot.db")).build()))
}

mod one_handle {
    use super::store;

    tinpot_core::store_conformance!(store);
}

mod several_handles {
    use super::store;

    tinpot_core::store_reopen_conformance!(store);
}
