//! The conformance suite on the memory store and on the wrappers, and the limits of the memory
//! store itself.

use std::sync::Arc;

use tinpot_core::MemoryStore;

mod memory {
    use super::MemoryStore;

    fn store() -> std::future::Ready<MemoryStore> {
        std::future::ready(MemoryStore::new())
    }

    fn limited(executions: usize) -> std::future::Ready<MemoryStore> {
        let limits = tinpot_core::store::HistoryLimits::default().executions(executions);
        std::future::ready(MemoryStore::with_limits(limits))
    }

    tinpot_core::store_conformance!(store);
    tinpot_core::store_retention_conformance!(limited);
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

/// The key-value adapter on a map.
mod key_value {
    use std::collections::BTreeMap;
    use std::future::{Ready, ready};
    use std::ops::Range;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use async_trait::async_trait;
    use tinpot_core::Result;
    use tinpot_core::store::{
        HistoryLimits, KeyValue, KeyValueAdapter, KeyValueChange, KeyValueStore,
    };
    use tinpot_core::testing::store::InDirectory;

    #[derive(Debug, Default)]
    struct Map(Mutex<BTreeMap<Vec<u8>, Vec<u8>>>);

    #[async_trait]
    impl KeyValueStore for Map {
        async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
            Ok(self.0.lock().expect("a lock").get(key).cloned())
        }

        async fn scan(&self, range: Range<Vec<u8>>, limit: usize) -> Result<Vec<KeyValue>> {
            let map = self.0.lock().expect("a lock");
            let pairs = map.range(range).take(limit);
            Ok(pairs.map(|(key, value)| (key.clone(), value.clone())).collect())
        }

        async fn write(&self, changes: Vec<KeyValueChange>) -> Result<()> {
            let mut map = self.0.lock().expect("a lock");
            for (key, value) in changes {
                match value {
                    Some(value) => map.insert(key, value),
                    None => map.remove(&key),
                };
            }
            Ok(())
        }
    }

    fn store() -> Ready<InDirectory<KeyValueAdapter<Arc<Map>>>> {
        let map = Arc::new(Map::default());
        ready(InDirectory::new(move |_| KeyValueAdapter::new(map.clone())))
    }

    fn limited(executions: usize) -> Ready<KeyValueAdapter<Map>> {
        let limits = HistoryLimits::default().executions(executions);
        ready(KeyValueAdapter::with_limits(Map::default(), limits))
    }

    tinpot_core::store_conformance!(store, Duration::from_secs(60));
    tinpot_core::store_reopen_conformance!(store);
    tinpot_core::store_retention_conformance!(limited);
}

mod limits {
    use std::sync::Arc;

    use tinpot_core::store::{HistoryLimits, Transition};
    use tinpot_core::{Execution, ExecutionId, Json, MemoryStore, Outcome, Store, Timestamp};

    #[tokio::test]
    async fn a_forgotten_execution_frees_its_key_and_one_that_has_not_ended_stays() {
        let store = MemoryStore::with_limits(HistoryLimits::default().executions(1));
        let (_, session) = store.open().await.expect("open");
        let new = |number| {
            let id = ExecutionId::from_u128(number);
            let mut new = Execution::new(id, "act", Json::empty_object());
            new.idempotency_key = Some(format!("key {}", number % 10).into());
            Transition::Accept(Arc::new(new))
        };
        let end = |number| Transition::Finish {
            execution: ExecutionId::from_u128(number),
            fence: None,
            outcome: Outcome::Cancelled,
            ran: None,
            log_end: None,
        };
        let commit = async |batch: &[Transition]| session.commit(batch, Timestamp(1)).await;
        commit(&[new(1), new(2), new(3), end(2)]).await.expect("a commit");
        commit(&[new(12)]).await.expect_err("the key of 2");
        commit(&[end(3)]).await.expect("a commit");
        commit(&[new(12)]).await.expect("2 is forgotten");
        commit(&[new(11)]).await.expect_err("the key of 1, which waits");
        assert!(store.execution(ExecutionId::from_u128(2)).await.expect("a read").is_none());
    }
}
