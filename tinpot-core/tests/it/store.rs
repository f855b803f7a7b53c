//! The conformance suite on the memory store and on the wrappers, and the memory store's own limits.

use std::sync::Arc;

use tinpot_core::MemoryStore;

mod memory {
    use super::MemoryStore;

    fn store() -> std::future::Ready<MemoryStore> {
        std::future::ready(MemoryStore::new())
    }

    tinpot_core::store_conformance!(store);
}

mod in_an_arc {
    use super::{Arc, MemoryStore};

    fn store() -> std::future::Ready<Arc<MemoryStore>> {
        std::future::ready(Arc::new(MemoryStore::new()))
    }

    tinpot_core::store_conformance!(store);
}

mod in_a_box {
    use super::MemoryStore;

    fn store() -> std::future::Ready<Box<dyn tinpot_core::Store>> {
        std::future::ready(Box::new(MemoryStore::new()))
    }

    tinpot_core::store_conformance!(store);
}
