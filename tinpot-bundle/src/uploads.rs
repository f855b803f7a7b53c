//! Uploads: bytes to which the parameters of executions refer.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tinpot_core::access::records::{Change, MAX_CHANGES, Record, Records};
use tinpot_core::access::{UploadClaim, UploadKeeper};
use tinpot_core::{Coordinator, Error, ErrorKind, ExecutionId, Result, Timestamp};

use crate::apps::{Collection, read, write};
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
/// The size of the uploads to which the parameters of one execution refer, if they are several.
const TOGETHER: u64 = 256 << 20;
/// The least size that an upload counts: its records take room too.
const LEAST: u64 = 64 << 10;

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
    max_unused: u64,
    arriving: Arc<Arriving>,
}

/// The bytes of the uploads that arrive, by their callers.
#[derive(Debug, Default)]
pub(crate) struct Arriving(Mutex<HashMap<String, u64>>);

/// The room that an upload takes while it arrives.
struct Reserved<'a> {
    arriving: &'a Arriving,
    caller: &'a str,
    bytes: u64,
}

impl Arriving {
    /// Takes room, and returns the bytes of the caller that arrive now, with these.
    fn reserve<'a>(&'a self, caller: &'a str, bytes: u64) -> (Reserved<'a>, u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = all.entry(caller.to_owned()).or_default();
        *taken += bytes;
        (Reserved { arriving: self, caller, bytes }, *taken)
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut all = self.arriving.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = all.get_mut(self.caller) {
            *taken -= self.bytes;
            if *taken == 0 {
                all.remove(self.caller);
            }
        }
    }
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
    /// True once an execution that refers to it was accepted.
    #[serde(default)]
    used: bool,
}

/// The document of a reference.
#[derive(Debug, Serialize, Deserialize)]
struct Used {
    at: Timestamp,
}

impl Uploads {
    /// The size of the uploads of one caller that no execution refers to, in bytes. A small one counts
    /// as 64 KiB.
    pub const UNUSED_BYTES: u64 = 1 << 30;

    pub(crate) fn new(
        blobs: Arc<dyn BlobStore>,
        records: Arc<dyn Records>,
        rules: &Collection,
        arriving: Arc<Arriving>,
    ) -> Self {
        let (keep, max_unused) = (rules.keep_uploads, rules.unused_uploads);
        Self { blobs, records, keep, max_unused, arriving }
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
        let whose = format!("{team}/{caller}/");
        // Counted before it arrives, and until it is recorded: others arrive at the same time.
        let (_reserved, arriving) = self.arriving.reserve(&whose, max_bytes.max(LEAST));
        let unused = self.unused_bytes(&whose, now).await? + arriving;
        if unused > self.max_unused {
            let max = self.max_unused;
            let message = format!(
                "the uploads of a caller that no execution refers to must have at most {max} bytes \
                 (got {unused}, with those that arrive): submit with them, or wait for 24 hours until \
                 they expire"
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
    async fn unused_bytes(&self, prefix: &str, now: Timestamp) -> Result<u64> {
        let (mut bytes, mut after) = (0, prefix.to_owned());
        loop {
            let page = self.records.list(UPLOAD, &after, PAGE).await?;
            for record in &page {
                if !record.id.starts_with(prefix) {
                    return Ok(bytes);
                }
                let Some(owned) = readable::<Owned>(record) else { continue };
                if !owned.used && !self.is_expired(owned.at, now) {
                    bytes += owned.bytes.max(LEAST);
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

    /// Notes that an execution refers to an upload, and returns its size.
    async fn claim_one(&self, claim: &UploadClaim, digest: &Digest) -> Result<u64> {
        let missing = || {
            let message = format!(
                "upload {digest} not found: it was never made, has expired, or is that of another \
                 caller"
            );
            Err(Error::new(ErrorKind::NotFound, message))
        };
        let Some(info) = self.blobs.info(digest).await? else { return missing() };
        let now = Timestamp::now();
        let id = upload_id(&claim.team, &claim.caller, digest);
        for _ in 0..TRIES {
            let note = write(&Used { at: now })?;
            let mut changes = vec![Change::create(USE, use_id(digest, claim.execution), note)];
            match self.records.get(UPLOAD, &id).await? {
                Some(record) => {
                    let owned: Owned = read(&record)?;
                    let is_over = !owned.used && self.is_expired(owned.at, now);
                    if is_over {
                        let Some(renewed) = self.recorded(claim, digest, now).await? else {
                            return missing();
                        };
                        changes.push(renewed);
                    }
                    let owned = write(&Owned { at: now, ..owned })?;
                    // Renewed together with the note: a collection does not come between.
                    changes.push(Change::replace(UPLOAD, record.id, record.version, owned));
                }
                None => match self.recorded(claim, digest, now).await? {
                    Some(renewed) => changes.push(renewed),
                    None => return missing(),
                },
            }
            match self.records.change(&changes).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                changed => return changed.map(|_| info.bytes),
            }
        }
        Err(contended())
    }

    /// Returns the change that renews the note of the recorded execution that is submitted again, if
    /// that one refers to this: a collection that removes the note does not come between.
    async fn recorded(
        &self,
        claim: &UploadClaim,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<Option<Change>> {
        let Some(recorded) = claim.rerun_of else { return Ok(None) };
        let Some(record) = self.records.get(USE, &use_id(digest, recorded)).await? else {
            return Ok(None);
        };
        let note = write(&Used { at: now })?;
        Ok(Some(Change::replace(USE, record.id, record.version, note)))
    }

    /// Notes that an upload of a caller is needed by a recorded execution.
    async fn note_used(&self, claim: &UploadClaim, digest: &Digest) -> Result<()> {
        let id = upload_id(&claim.team, &claim.caller, digest);
        for _ in 0..TRIES {
            // A rerun may be of another caller's.
            let Some(record) = self.records.get(UPLOAD, &id).await? else { return Ok(()) };
            let owned: Owned = read(&record)?;
            if owned.used {
                return Ok(());
            }
            let owned = write(&Owned { used: true, ..owned })?;
            match self
                .records
                .change(&[Change::replace(UPLOAD, id.as_str(), record.version, owned)])
                .await
            {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                changed => return changed.map(drop),
            }
        }
        Err(contended())
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
                let used = readable::<Used>(record);
                let is_young = used.is_none_or(|used| !self.is_expired(used.at, now));
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
                    gone.push((digest, removal(record)));
                }
            }
            self.remove(&gone, &mut needed).await?;
        }
        let used = needed.clone();
        let mut after = String::new();
        loop {
            let page = self.records.list(UPLOAD, &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(needed) };
            after = last.id.to_string();
            let mut gone = Vec::new();
            for record in &page {
                let digest = record.id.rsplit('/').next().unwrap_or_default();
                let Ok(digest) = digest.parse::<Digest>() else { continue };
                // Its owner may submit again with what a recorded execution refers to.
                let is_over = readable::<Owned>(record).is_some_and(|owned| {
                    let is_used = owned.used && used.contains(&digest);
                    self.is_expired(owned.at, now) && !is_used
                });
                if is_over {
                    gone.push((digest, removal(record)));
                } else {
                    needed.insert(digest);
                }
            }
            self.remove(&gone, &mut needed).await?;
        }
    }

    /// Removes records. What stays is needed.
    async fn remove(&self, gone: &[(Digest, Change)], needed: &mut BTreeSet<Digest>) -> Result<()> {
        for gone in gone.chunks(MAX_CHANGES) {
            let changes: Vec<Change> = gone.iter().map(|(_, change)| change.clone()).collect();
            match self.records.change(&changes).await {
                // Used again meanwhile: the next collection looks at them.
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    needed.extend(gone.iter().map(|(digest, _)| *digest));
                }
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
        let mut bytes = 0;
        for digest in &claim.uploads {
            bytes += self.claim_one(claim, digest).await?;
        }
        check_together(got, bytes)
    }

    async fn accepted(&self, claim: &UploadClaim) -> Result<()> {
        for digest in &claim.uploads {
            self.note_used(claim, digest).await?;
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

/// Checks the size of all uploads of an execution.
fn check_together(uploads: usize, bytes: u64) -> Result<()> {
    if uploads <= 1 || bytes <= TOGETHER {
        return Ok(());
    }
    let message = format!(
        "the uploads to which parameters refer must have at most {TOGETHER} bytes together (got {bytes})"
    );
    Err(Error::new(ErrorKind::InvalidInput, message))
}

/// Returns the document of a record; `None` if it cannot be read, which holds up nothing else.
fn readable<T: DeserializeOwned>(record: &Record) -> Option<T> {
    read(record).inspect_err(|error| tracing::warn!("{error}")).ok()
}

fn removal(record: &Record) -> Change {
    Change::remove(record.kind.clone(), record.id.clone(), record.version)
}

fn contended() -> Error {
    Error::new(ErrorKind::Unavailable, "the upload is being changed by others: try again")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use tinpot_core::access::MemoryRecords;
    use tinpot_core::access::records::{Change, Records};

    use super::{TOGETHER, USE, check_together};
    use crate::{Apps, Digest, MemoryBlobStore};

    #[tokio::test]
    async fn what_is_used_again_during_a_collection_is_needed() {
        let records = Arc::new(MemoryRecords::new());
        let apps = Apps::new(Arc::new(MemoryBlobStore::new()), records.clone());
        let change = Change::create(USE, "id", Vec::new());
        records.change(&[change]).await.expect("a note");
        let found = records.get(USE, "id").await.expect("records").expect("a note");
        // The collection has read it, and then a claim renews it.
        let renewed = Change::replace(USE, "id", found.version, Vec::new());
        records.change(&[renewed]).await.expect("a claim");
        let (digest, mut needed) = (Digest::from([7; 32]), BTreeSet::new());
        let gone = [(digest, super::removal(&found))];
        apps.uploads().remove(&gone, &mut needed).await.expect("no failure");
        assert_eq!(needed, BTreeSet::from([digest]));
        assert!(records.get(USE, "id").await.expect("records").is_some());
    }

    #[test]
    fn several_uploads_are_bounded_together() {
        check_together(1, 1 << 30).expect("one alone");
        check_together(2, TOGETHER).expect("as many as may be");
        let error = check_together(2, TOGETHER + 1).expect_err("too many bytes");
        assert!(error.message().contains("at most 268435456 bytes together (got 268435457)"));
    }
}
