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

mod limits {
    use std::sync::Arc;

    use tinpot_core::store::{MemoryStoreLimits, Transition};
    use tinpot_core::{Execution, ExecutionId, Json, MemoryStore, Outcome, Store, Timestamp};

    #[tokio::test]
    async fn a_forgotten_execution_frees_its_key_and_one_that_has_not_ended_stays() {
        let store = MemoryStore::with_limits(MemoryStoreLimits::default().executions(1));
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
