//! The conformance suites of records and of audit sinks on the implementations of this crate.

use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use tinpot_core::access::records::Change;
use tinpot_core::access::{AuditEvent, AuditSink, MemoryRecords, Records};
use tinpot_core::testing::{audit, records};
use tinpot_core::{ErrorKind, Result};

#[derive(Debug)]
struct Shared(Arc<dyn Records>);

#[async_trait]
impl records::Subject for Shared {
    async fn open(&self) -> Arc<dyn Records> {
        self.0.clone()
    }
}

mod memory {
    use super::{Arc, MemoryRecords, Ready, Shared, ready};

    fn subject() -> Ready<Shared> {
        ready(Shared(Arc::new(MemoryRecords::new())))
    }

    tinpot_core::records_conformance!(subject);
}

mod in_a_box {
    use super::{Arc, MemoryRecords, Ready, Records, Shared, ready};

    fn subject() -> Ready<Shared> {
        let boxed: Box<dyn Records> = Box::new(Arc::new(MemoryRecords::new()));
        ready(Shared(Arc::new(boxed)))
    }

    tinpot_core::records_conformance!(subject);
}

/// Keeps events in memory.
#[derive(Debug, Default)]
struct Kept(Mutex<Vec<AuditEvent>>);

#[async_trait]
impl AuditSink for Kept {
    async fn record(&self, events: &[AuditEvent]) -> Result<()> {
        self.0.lock().expect("a lock").extend_from_slice(events);
        Ok(())
    }
}

#[derive(Debug, Default)]
struct InMemory(Arc<Kept>);

#[async_trait]
impl audit::Subject for InMemory {
    fn sink(&self) -> Arc<dyn AuditSink> {
        Arc::new(self.0.clone())
    }

    async fn events(&self) -> Vec<AuditEvent> {
        self.0.0.lock().expect("a lock").clone()
    }
}

fn in_memory() -> Ready<InMemory> {
    ready(InMemory::default())
}

tinpot_core::audit_conformance!(in_memory);

#[tokio::test]
async fn a_memory_store_of_records_is_full_at_its_bound_and_has_room_after_a_removal() {
    let records = MemoryRecords::with_max_bytes(100);
    let create = |id: &str| Change::create("user", id, vec![b'x'; 40]);
    let first = records.change(&[create("a")]).await.expect("45 bytes");
    records.append("audit", None, &[Bytes::from(vec![b'x'; 40])]).await.expect("40 more");
    let error = records.change(&[create("b")]).await.expect_err("too much");
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    let entry = Bytes::from(vec![b'x'; 40]);
    let error =
        records.append("audit", None, std::slice::from_ref(&entry)).await.expect_err("too much");
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    assert!(error.to_string().contains("at most 100 bytes"), "{error}");
    records.trim("audit", 1).await.expect("a trim");
    records.append("audit", None, &[entry]).await.expect("room again");
    records.trim("audit", 2).await.expect("a trim");
    records.change(&[Change::remove("user", "a", first), create("b")]).await.expect("room");
}
