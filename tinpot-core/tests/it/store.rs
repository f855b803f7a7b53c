//! The conformance suite on the memory store and on the wrappers, and the memory store's own limits.

use std::sync::Arc;

use tinpot_core::MemoryStore;

mod memory {
    use super::MemoryStore;

    async fn store() -> MemoryStore {
        MemoryStore::new()
    }

    tinpot_core::store_conformance!(store);
}

mod in_an_arc {
    use super::{Arc, MemoryStore};

    async fn store() -> Arc<MemoryStore> {
        Arc::new(MemoryStore::new())
    }

    tinpot_core::store_conformance!(store);
}

mod in_a_box {
    use super::MemoryStore;

    async fn store() -> Box<dyn tinpot_core::Store> {
        Box::new(MemoryStore::new())
    }

    tinpot_core::store_conformance!(store);
}
