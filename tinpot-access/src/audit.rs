//! [`ChainAudit`]: an audit in which each entry has the digest of the one before.

mod copy;
mod entry;
mod heads;
mod query;
mod retention;
mod verify;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tinpot_core::access::records::Records;
use tinpot_core::access::{AuditEvent, AuditSink};
use tinpot_core::seal::Suite;
use tinpot_core::{Error, ErrorKind, Result};
use tokio::sync::{mpsc, oneshot};

pub use self::copy::{AuditCopy, AuditCopyTarget};
pub use self::entry::AuditEntry;
pub use self::query::{AuditPage, AuditQuery, read_audit};
pub use self::verify::{AuditFault, AuditReport, verify_audit};
use self::writer::{Request, Writer};
use crate::secret::Digest;

/// The log of runs, reruns and calls: they are many.
pub const RUNS_LOG: &str = "audit.runs";
/// The log of everything else.
pub const AUDIT_LOG: &str = "audit";

/// Calls that wait for the writer. Beyond it, callers wait.
const WAITING: usize = 1_024;
/// The kind of the documents about what was trimmed.
const ANCHOR: &str = "audit_anchor";
/// Entries of one page.
const PAGE: usize = 1_000;

/// An audit in [`Records`]: two logs, in which each entry has the digest of the one before.
///
/// Calls that wait are combined into one write. Several processes can write to the same logs: each
/// entry names the one that it follows. A task writes; when the last clone is dropped, the task
/// writes what it has taken, and ends.
///
/// After 1,000 entries, at most once a second, and with the first entry after an hour, the number
/// and the digest of the last entry of a log are its head, which goes into the audit and to
/// `tracing`. A log whose end was cut off does not agree with its heads.
///
/// ```
/// use std::sync::Arc;
/// use tinpot_access::{AUDIT_LOG, AuditQuery, ChainAudit, verify_audit};
/// use tinpot_core::Timestamp;
/// use tinpot_core::access::{AuditEvent, AuditSink, AuditWho, MemoryRecords};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// let records = Arc::new(MemoryRecords::new());
/// let audit = ChainAudit::start(records.clone(), "node-1");
/// let ada = AuditWho::new("user", "user:7", "ada");
/// audit.record(&[AuditEvent::new(Timestamp::now(), ada, "token.create")]).await?;
///
/// let page = audit.page(AUDIT_LOG, &AuditQuery::new()).await?;
/// assert!(page.entries.iter().any(|entry| &*entry.event.what == "token.create"));
/// assert_eq!(verify_audit(&*records, AUDIT_LOG).await?.fault, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ChainAudit {
    records: Arc<dyn Records>,
    requests: mpsc::Sender<Request>,
}

/// The last of the entries that were trimmed: the first one that is left has its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Anchor {
    up_to: u64,
    digest: Digest,
}

impl ChainAudit {
    /// Starts the task that writes to these records, on the current runtime of tokio. `node` is the
    /// name of this process in each entry.
    pub fn start(records: Arc<dyn Records>, node: &str) -> Self {
        Self::start_signed(records, node, None)
    }

    /// Starts the task, as [`start`](Self::start) does. The key of the suite signs the heads of the
    /// logs; it should be the key of the namespace.
    pub fn start_signed(
        records: Arc<dyn Records>,
        node: &str,
        signer: Option<Arc<dyn Suite>>,
    ) -> Self {
        let (requests, inbox) = mpsc::channel(WAITING);
        let writer = Writer::new(records.clone(), node, signer);
        drop(tokio::spawn(writer.run(inbox)));
        Self { records, requests }
    }

    /// Returns at most `limit` entries of a log, in order, from the first with a number above
    /// `after`.
    ///
    /// # Errors
    /// `Malformed` if an entry cannot be read; those of [`Records`].
    pub async fn entries(&self, log: &str, after: u64, limit: usize) -> Result<Vec<AuditEntry>> {
        let page = self.records.entries(log, after, limit).await?;
        page.iter().map(|(_, bytes)| entry::parse(bytes)).collect()
    }

    /// Returns entries of a log, newest first, as [`read_audit`] does.
    ///
    /// # Errors
    /// Those of [`Records`].
    pub async fn page(&self, log: &str, query: &AuditQuery) -> Result<AuditPage> {
        read_audit(&*self.records, log, query).await
    }
}

#[async_trait]
impl AuditSink for ChainAudit {
    async fn record(&self, events: &[AuditEvent]) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let (answer, answered) = oneshot::channel();
        let request = Request { events: events.to_vec(), answer };
        let closed = || Error::new(ErrorKind::Closed, "the audit was shut down");
        self.requests.send(request).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }
}

/// Returns what was trimmed of a log.
async fn anchor(records: &dyn Records, log: &str) -> Result<Option<Anchor>> {
    let Some(found) = records.get(ANCHOR, log).await? else { return Ok(None) };
    serde_json::from_slice(&found.document).map(Some).map_err(|error| unreadable(&error))
}

/// Returns the number of the last entry of a log and its digest, also if it was trimmed.
async fn tail(records: &dyn Records, log: &str) -> Result<(u64, Digest)> {
    let last = records.append(log, None, &[]).await?;
    if last == 0 {
        return Ok((0, Digest::default()));
    }
    let found: Vec<(u64, Bytes)> = records.entries(log, last - 1, 1).await?;
    if let Some((number, bytes)) = found.first() {
        return Ok((*number, Digest::of(bytes)));
    }
    match anchor(records, log).await?.filter(|anchor| anchor.up_to == last) {
        Some(anchor) => Ok((last, anchor.digest)),
        None => {
            let message = format!("entry {last}, the last of the log {log:?}, is missing");
            Err(Error::new(ErrorKind::Malformed, message))
        }
    }
}

fn unreadable(error: &serde_json::Error) -> Error {
    Error::new(ErrorKind::Malformed, format!("a record of the audit cannot be read: {error}"))
}
