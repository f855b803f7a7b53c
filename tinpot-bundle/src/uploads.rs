//! Uploads: bytes to which the parameters of executions refer.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tinpot_core::access::records::{Change, MAX_CHANGES, Record, Records};
use tinpot_core::access::{UploadClaim, UploadKeeper};
use tinpot_core::{Coordinator, Error, ErrorKind, ExecutionId, Result, Timestamp};

use crate::apps::{read, write};
use crate::blob::{BlobStore, Body, PutOptions};
use crate::digest::Digest;

/// The kind of the documents that say which caller has uploaded what.
const UPLOAD: &str = "upload";
/// The kind of the documents that say which execution refers to what.
const USE: &str = "upload.use";
/// The documents of one page.
const PAGE: usize = 1_000;
/// The tries of one change while others change the same document.
const TRIES: usize = 32;
/// The uploads to which the parameters of one execution may refer.
const REFERENCES: usize = 256;

/// The bytes that callers upload, for the parameters of executions to refer to.
///
/// - An upload belongs to a caller of a team, who alone may refer to it.
/// - It stays for as long as an execution that refers to it is recorded. One that no execution refers
///   to stays for 24 hours.
/// - Uploads of the same content are stored once.
///
/// [`Apps::uploads`](crate::Apps::uploads) returns those that are next to the apps, whose
/// [collection](crate::Apps::collect) deletes those that are not needed.
///
/// ```
/// # use std::sync::Arc;
/// # use tinpot_core::access::MemoryRecords;
/// use tinpot_bundle::{Apps, MemoryBlobStore, body};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// let apps = Apps::new(Arc::new(MemoryBlobStore::new()), Arc::new(MemoryRecords::new()));
/// let upload = apps.uploads().put("default", "user:ada", body("data"), 64 << 20, None).await?;
/// assert_eq!(upload.bytes, 4);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Uploads {
    blobs: Arc<dyn BlobStore>,
    records: Arc<dyn Records>,
    keep: Duration,
}

impl fmt::Debug for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uploads").field("blobs", &self.blobs).finish_non_exhaustive()
    }
}

/// An upload, without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Upload {
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content.
    pub bytes: u64,
    /// The time at which it expires, unless an execution refers to it by then.
    pub expires_at: Timestamp,
}

/// The document of an upload.
#[derive(Debug, Serialize, Deserialize)]
struct Owned {
    bytes: u64,
    /// The time of the last upload or submission.
    at: Timestamp,
    /// True once an execution has referred to it.
    #[serde(default)]
    used: bool,
}

/// The document of a reference.
#[derive(Debug, Serialize, Deserialize)]
struct Used {
    at: Timestamp,
}

impl Uploads {
    /// The size of the uploads of one caller that no execution refers to, in bytes.
    pub const UNUSED_BYTES: u64 = 1 << 30;

    pub(crate) fn new(
        blobs: Arc<dyn BlobStore>,
        records: Arc<dyn Records>,
        keep: Duration,
    ) -> Self {
        Self { blobs, records, keep }
    }

    /// Stores content that a caller uploads, of at most `max_bytes`.
    ///
    /// # Errors
    /// `Overloaded` if the caller has too many bytes that no execution refers to; those of
    /// [`BlobStore::put`] and of the records.
    pub async fn put(
        &self,
        team: &str,
        caller: &str,
        body: Body,
        max_bytes: u64,
        digest: Option<Digest>,
    ) -> Result<Upload> {
        let now = Timestamp::now();
        let unused = self.unused_bytes(team, caller, now).await?;
        if unused >= Self::UNUSED_BYTES {
            let max = Self::UNUSED_BYTES;
            let message = format!(
                "the uploads of a caller that no execution refers to must have at most {max} bytes \
                 (got {unused}): submit with them, or wait for 24 hours until they expire"
            );
            return Err(Error::new(ErrorKind::Overloaded, message));
        }
        let mut options = PutOptions::default().max_bytes(max_bytes);
        options.digest = digest;
        let info = self.blobs.put(body, options).await?;
        let id = upload_id(team, caller, &info.digest);
        for _ in 0..TRIES {
            let record = self.records.get(UPLOAD, &id).await?;
            let (version, used) = match &record {
                Some(record) => (record.version, read::<Owned>(record)?.used),
                None => (0, false),
            };
            let owned = Owned { bytes: info.bytes, at: now, used };
            let change = Change::replace(UPLOAD, id.as_str(), version, write(&owned)?);
            match self.records.change(&[change]).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
                Ok(_) => {
                    let expires_at = Timestamp(now.0 + self.keep.as_micros() as u64);
                    return Ok(Upload { digest: info.digest, bytes: info.bytes, expires_at });
                }
            }
        }
        Err(contended())
    }

    /// Returns the size of the uploads of a caller that no execution has referred to.
    async fn unused_bytes(&self, team: &str, caller: &str, now: Timestamp) -> Result<u64> {
        let prefix = format!("{team}/{caller}/");
        let (mut bytes, mut after) = (0, prefix.clone());
        loop {
            let page = self.records.list(UPLOAD, &after, PAGE).await?;
            for record in &page {
                if !record.id.starts_with(&prefix) {
                    return Ok(bytes);
                }
                let owned: Owned = read(record)?;
                if !owned.used && !self.is_expired(owned.at, now) {
                    bytes += owned.bytes;
                }
            }
            match page.last() {
                Some(last) => after = last.id.to_string(),
                None => return Ok(bytes),
            }
        }
    }

    fn is_expired(&self, at: Timestamp, now: Timestamp) -> bool {
        at.0.saturating_add(self.keep.as_micros() as u64) <= now.0
    }

    /// Notes that an execution refers to an upload.
    async fn claim_one(&self, claim: &UploadClaim, digest: &Digest) -> Result<()> {
        let missing = || {
            let message = format!(
                "upload {digest} not found: it was never made, has expired, or is that of another \
                 caller"
            );
            Err(Error::new(ErrorKind::NotFound, message))
        };
        if self.blobs.info(digest).await?.is_none() {
            return missing();
        }
        let now = Timestamp::now();
        let id = upload_id(&claim.team, &claim.caller, digest);
        for _ in 0..TRIES {
            let note = write(&Used { at: now })?;
            let mut changes = vec![Change::create(USE, use_id(digest, claim.execution), note)];
            match self.records.get(UPLOAD, &id).await? {
                Some(record) => {
                    let owned: Owned = read(&record)?;
                    let is_over = !owned.used && self.is_expired(owned.at, now);
                    if is_over && !self.is_recorded(claim, digest).await? {
                        return missing();
                    }
                    let owned = write(&Owned { at: now, used: true, ..owned })?;
                    // Renewed together with the note: a collection does not come between.
                    changes.push(Change::replace(UPLOAD, record.id, record.version, owned));
                }
                None if self.is_recorded(claim, digest).await? => {}
                None => return missing(),
            }
            match self.records.change(&changes).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                changed => return changed.map(drop),
            }
        }
        Err(contended())
    }

    /// Returns true if the recorded execution that is submitted again refers to this.
    async fn is_recorded(&self, claim: &UploadClaim, digest: &Digest) -> Result<bool> {
        let Some(recorded) = claim.rerun_of else { return Ok(false) };
        Ok(self.records.get(USE, &use_id(digest, recorded)).await?.is_some())
    }

    /// Removes the records of what is not needed any more, and returns the digests of the rest, which
    /// must stay.
    pub(crate) async fn collect(
        &self,
        now: Timestamp,
        coordinator: Option<&Coordinator>,
    ) -> Result<BTreeSet<Digest>> {
        let (mut needed, mut after) = (BTreeSet::new(), String::new());
        loop {
            let page = self.records.list(USE, &after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.id.to_string();
            let mut gone = Vec::new();
            for record in &page {
                let Some((digest, execution)) = parse_use(&record.id) else { continue };
                let is_young = !self.is_expired(read::<Used>(record)?.at, now);
                let stays = match coordinator {
                    // The execution may be accepted in a moment.
                    Some(coordinator) if !is_young => {
                        coordinator.execution(execution).await?.is_some()
                    }
                    _ => true,
                };
                if stays {
                    needed.insert(digest);
                } else {
                    gone.push(removal(record));
                }
            }
            self.remove(&gone).await?;
        }
        let used = needed.clone();
        let mut after = String::new();
        loop {
            let page = self.records.list(UPLOAD, &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(needed) };
            after = last.id.to_string();
            let mut gone = Vec::new();
            for record in &page {
                let owned: Owned = read(record)?;
                let digest = record.id.rsplit('/').next().unwrap_or_default();
                let Ok(digest) = digest.parse::<Digest>() else { continue };
                // Its owner may submit again with what a recorded execution refers to.
                let is_used = owned.used && used.contains(&digest);
                if self.is_expired(owned.at, now) && !is_used {
                    gone.push(removal(record));
                } else {
                    needed.insert(digest);
                }
            }
            self.remove(&gone).await?;
        }
    }

    async fn remove(&self, changes: &[Change]) -> Result<()> {
        for changes in changes.chunks(MAX_CHANGES) {
            match self.records.change(changes).await {
                // Used again meanwhile: the next collection looks at them.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                changed => drop(changed?),
            }
        }
        Ok(())
    }
}

#[async_trait]
impl UploadKeeper for Uploads {
    async fn claim(&self, claim: &UploadClaim) -> Result<()> {
        let got = claim.uploads.len();
        if got > REFERENCES {
            let message =
                format!("parameters must refer to at most {REFERENCES} uploads (got {got})");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        for digest in &claim.uploads {
            self.claim_one(claim, digest).await?;
        }
        Ok(())
    }
}

fn upload_id(team: &str, caller: &str, digest: &Digest) -> String {
    format!("{team}/{caller}/{digest}")
}

fn use_id(digest: &Digest, execution: ExecutionId) -> String {
    format!("{digest}/{execution}")
}

fn parse_use(id: &str) -> Option<(Digest, ExecutionId)> {
    let (digest, execution) = id.split_once('/')?;
    Some((digest.parse().ok()?, execution.parse().ok()?))
}

fn removal(record: &Record) -> Change {
    Change::remove(record.kind.clone(), record.id.clone(), record.version)
}

fn contended() -> Error {
    Error::new(ErrorKind::Unavailable, "the upload is being changed by others: try again")
}
