use async_trait::async_trait;
use bytes::Bytes;
use tinpot_core::access::records::{Change, Changed, Record};

use super::*;

/// Records of which one log cannot be trimmed.
#[derive(Debug)]
struct Stuck(MemoryRecords);

#[async_trait]
impl Records for Stuck {
    async fn change(&self, changes: &[Change]) -> Result<u64> {
        self.0.change(changes).await
    }

    async fn get(&self, kind: &str, id: &str) -> Result<Option<Record>> {
        self.0.get(kind, id).await
    }

    async fn list(&self, kind: &str, after: &str, limit: usize) -> Result<Vec<Record>> {
        self.0.list(kind, after, limit).await
    }

    async fn changed(&self, after: u64) -> Result<Changed> {
        self.0.changed(after).await
    }

    fn stamp(&self) -> Option<u64> {
        self.0.stamp()
    }

    async fn append(&self, log: &str, after: Option<u64>, entries: &[Bytes]) -> Result<u64> {
        self.0.append(log, after, entries).await
    }

    async fn entries(&self, log: &str, after: u64, limit: usize) -> Result<Vec<(u64, Bytes)>> {
        self.0.entries(log, after, limit).await
    }

    async fn trim(&self, log: &str, up_to: u64) -> Result<()> {
        match log {
            AUDIT_LOG => Err(Error::new(ErrorKind::Unavailable, "stuck")),
            _ => self.0.trim(log, up_to).await,
        }
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_trimmed_does_not_keep_the_other_one_from_it() {
    let records: Arc<dyn Records> = Arc::new(Stuck(MemoryRecords::new()));
    let audit = ChainAudit::start(records.clone(), NODE);
    let who = || AuditWho::new("user", "user:1", "ada");
    let events = ["run", "token.create"].map(|what| AuditEvent::new(Timestamp(1), who(), what));
    audit.record(&events).await.expect("a record");
    trim(&audit, 1).await;
    assert!(!records.entries(AUDIT_LOG, 0, 1).await.expect("entries").is_empty());
    assert!(records.entries(RUNS_LOG, 0, 1).await.expect("entries").is_empty());
}
