//! Collection: old versions are pruned, and blobs that nothing refers to are deleted.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tinpot_core::access::AuditWho;
use tinpot_core::access::records::{Change, MAX_CHANGES, Record};
use tinpot_core::observer::{Measure, Observer};
use tinpot_core::{ErrorKind, Result, Timestamp};

use super::documents::{APP, BLOB, VERSION, read, write};
use super::{App, Apps, MAX_VERSIONS, PAGE, Version};
use crate::blob::MAX_LIST;
use crate::digest::Digest;
use crate::failpoint::failpoint;
use crate::uploads::Uploads;

/// The kind of the documents that say when a bundle was used last.
const USE: &str = "app.use";
/// The age from which on the record of a use is written again.
const USE_AGE: Duration = Duration::from_secs(3600);
/// The bundles whose uses are remembered between two calls of [`Apps::note_uses`]: some megabytes.
const USES: usize = 100_000;

/// The rules by which versions are pruned and blobs are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Collection {
    /// The number of versions of each app to keep, the newest; all by default.
    pub keep_versions: Option<u32>,
    /// The time for which a version stays after its last execution was accepted or started; 30 days
    /// by default.
    pub keep_used: Duration,
    /// The time for which a blob stays after its last upload; 24 hours by default.
    pub keep_uploads: Duration,
    /// The size of the uploads of one caller that no execution refers to, in bytes;
    /// [`Uploads::UNUSED_BYTES`](crate::Uploads::UNUSED_BYTES) by default. A small upload counts as
    /// 64 KiB.
    pub unused_uploads: u64,
}

impl Default for Collection {
    fn default() -> Self {
        Self {
            keep_versions: None,
            keep_used: Duration::from_secs(30 * 86_400),
            keep_uploads: Duration::from_secs(86_400),
            unused_uploads: Uploads::UNUSED_BYTES,
        }
    }
}

impl Collection {
    /// Sets the number of versions of each app to keep.
    #[must_use]
    pub fn keep_versions(mut self, number: Option<u32>) -> Self {
        self.keep_versions = number;
        self
    }

    /// Sets the size of the uploads of one caller that no execution refers to.
    #[must_use]
    pub fn unused_uploads(mut self, bytes: u64) -> Self {
        self.unused_uploads = bytes;
        self
    }
}

/// The result of a collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Collected {
    /// The number of versions that were pruned.
    pub versions: usize,
    /// The number of blobs that were deleted.
    pub blobs: usize,
    /// The size of these blobs.
    pub bytes: u64,
}

/// The observer that remembers which bundles are used; made by [`Apps::uses`].
#[derive(Clone, Debug, Default)]
pub struct Uses(Arc<Mutex<BTreeMap<Digest, Timestamp>>>);

impl Uses {
    fn take(&self) -> BTreeMap<Digest, Timestamp> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_back(&self, uses: BTreeMap<Digest, Timestamp>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (bundle, at) in uses {
            let last = all.entry(bundle).or_insert(at);
            *last = (*last).max(at);
        }
    }
}

impl Observer for Uses {
    fn observe(&self, measure: &Measure<'_>) {
        let (Measure::Accepted { execution } | Measure::Granted { execution, .. }) = measure else {
            return;
        };
        let Some(bundle) = &execution.bundle else { return };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < USES || all.contains_key(&bundle.bundle) {
            all.insert(bundle.bundle, Timestamp::now());
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Use {
    at: Timestamp,
}

impl Apps {
    /// Sets the rules of [`collect`](Self::collect).
    #[must_use]
    pub fn collection(mut self, rules: Collection) -> Self {
        self.rules = rules;
        self
    }

    /// Returns the observer for the coordinator of these apps. Without it, no version counts as
    /// used.
    pub fn uses(&self) -> Uses {
        self.uses.clone()
    }

    /// Writes which bundles were used since the last call.
    ///
    /// # Errors
    /// Those of the records. What was not written is tried again.
    pub async fn note_uses(&self) -> Result<()> {
        let mut uses = self.uses.take();
        while let Some((bundle, at)) = uses.pop_first() {
            if let Err(error) = self.note_use(&bundle, at).await {
                uses.insert(bundle, at);
                self.uses.put_back(uses);
                return Err(error);
            }
        }
        Ok(())
    }

    async fn note_use(&self, bundle: &Digest, at: Timestamp) -> Result<()> {
        let id = bundle.to_string();
        let change = match self.records.get(USE, &id).await? {
            None => Change::create(USE, id, write(&Use { at })?),
            Some(record) if read::<Use>(&record)?.at >= before(at, USE_AGE) => return Ok(()),
            Some(record) => Change::replace(USE, id, record.version, write(&Use { at })?),
        };
        match self.records.change(&[change]).await {
            // Another process was faster.
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
            changed => changed.map(drop),
        }
    }

    /// Prunes old versions, and then deletes the blobs that nothing refers to.
    ///
    /// The active version of an app stays, and so do those that were used lately. A pruned version
    /// stays in lists, with its Towerfile and the names of its files; its archive goes. No blob
    /// goes that was uploaded lately: its deploy may follow.
    ///
    /// # Errors
    /// Those of the stores and the audit. What is not done then is done by the next call.
    pub async fn collect(&self, now: Timestamp) -> Result<Collected> {
        self.note_uses().await?;
        let mut collected = Collected::default();
        if let Some(keep) = self.rules.keep_versions {
            let mut after = String::new();
            loop {
                let page = self.records.list(APP, &after, PAGE).await?;
                let Some(last) = page.last() else { break };
                after = last.id.to_string();
                for record in &page {
                    let app: App = read(record)?;
                    collected.versions += self.prune(&app, keep, now).await?;
                }
            }
        }
        self.sweep(now, &mut collected).await?;
        Ok(collected)
    }

    /// Prunes the versions of an app; returns their number.
    async fn prune(&self, app: &App, keep: u32, now: Timestamp) -> Result<usize> {
        let _changing = self.changing.lock().await;
        // As it is now that nothing changes it.
        let (_, app) = self.find(&app.team, &app.name).await?;
        let mut changes = Vec::new();
        let (mut numbers, mut pruned) = (Vec::new(), 0);
        let newest = app.versions.saturating_sub(keep);
        let mut end = newest;
        while end > 0 {
            let first = end.saturating_sub(MAX_VERSIONS as u32);
            for record in self.version_records(&app, first, end).await? {
                let mut version: Version = read(&record)?;
                let is_active = app.active == Some(version.number);
                if is_active || version.pruned_at.is_some() || self.is_used(&version, now).await? {
                    continue;
                }
                version.pruned_at = Some(now);
                numbers.push(version.number);
                let document = write(&version)?;
                changes.push(Change::replace(VERSION, record.id, record.version, document));
            }
            end = first;
        }
        if changes.is_empty() {
            return Ok(0);
        }
        numbers.sort_unstable();
        let by = AuditWho::new("coordinator", "", "");
        let shown: Vec<String> = numbers.iter().take(20).map(ToString::to_string).collect();
        let more = if numbers.len() > shown.len() { " and more" } else { "" };
        let detail = format!("{} versions: {}{more}", numbers.len(), shown.join(", "));
        self.record(&by, "app.prune", &app, detail).await?;
        for changes in changes.chunks(MAX_CHANGES) {
            self.records.change(changes).await?;
            failpoint("collect.pruned");
            pruned += changes.len();
        }
        Ok(pruned)
    }

    async fn is_used(&self, version: &Version, now: Timestamp) -> Result<bool> {
        let used = self.records.get(USE, &version.bundle.to_string()).await?;
        let since = before(now, self.rules.keep_used);
        Ok(match used {
            Some(record) => read::<Use>(&record)?.at >= since,
            None => false,
        })
    }

    /// Deletes the blobs that nothing refers to, and the records of uploads without a blob: also of
    /// blobs that a sweep has deleted which was interrupted then.
    async fn sweep(&self, now: Timestamp, collected: &mut Collected) -> Result<()> {
        // Deploys go on meanwhile: this may read many executions.
        let uploads = self.uploads().collect(now, self.coordinator.as_ref()).await?;
        // No version is added meanwhile that refers to one of them.
        let _changing = self.changing.lock().await;
        let (mut referred, mut kept, mut pruned) =
            (HashSet::new(), HashSet::new(), BTreeSet::new());
        self.each(VERSION, |record| {
            let version: Version = read(record)?;
            referred.extend([version.bundle, version.towerfile]);
            if version.pruned_at.is_none() {
                referred.insert(version.artifact.digest);
                kept.insert(version.bundle);
            } else {
                pruned.insert(version.bundle);
            }
            Ok(None)
        })
        .await?;
        if let Some(coordinator) = &self.coordinator {
            // Two versions can have one bundle.
            pruned.retain(|bundle| !kept.contains(bundle));
            coordinator.remove_bundles(pruned).await?;
        }
        referred.extend(uploads);
        let uploaded = before(now, self.rules.keep_uploads);
        let mut stored = HashSet::new();
        let mut after = None;
        loop {
            let page = self.blobs.list(after.as_ref(), MAX_LIST).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.digest);
            for info in page {
                let is_old = info.used_at < uploaded && !referred.contains(&info.digest);
                if !is_old || !self.blobs.delete(&info.digest, uploaded).await? {
                    stored.insert(info.digest);
                } else {
                    collected.blobs += 1;
                    collected.bytes += info.bytes;
                }
            }
        }
        failpoint("collect.deleted");
        self.forget_uploads(&stored).await?;
        failpoint("collect.forgotten");
        let used = before(now, self.rules.keep_used);
        self.each(USE, |record| {
            let bundle = record.id.parse::<Digest>();
            let is_needed = bundle.is_ok_and(|bundle| referred.contains(&bundle));
            let is_recent = read::<Use>(record)?.at >= used;
            Ok((!is_needed && !is_recent).then(|| removal(record)))
        })
        .await
    }

    /// Removes the records of uploads whose blobs are not stored. `stored` are blobs that are.
    async fn forget_uploads(&self, stored: &HashSet<Digest>) -> Result<()> {
        let mut suspects = Vec::new();
        self.each(BLOB, |record| {
            suspects.extend(digest_of(record).filter(|digest| !stored.contains(digest)));
            Ok(None)
        })
        .await?;
        let mut missing = HashSet::new();
        for digest in suspects {
            // It may have been uploaded since.
            if self.blobs.info(&digest).await?.is_none() {
                missing.insert(digest);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let is_missing =
            |record: &Record| digest_of(record).is_some_and(|one| missing.contains(&one));
        self.each(BLOB, |record| Ok(is_missing(record).then(|| removal(record)))).await
    }

    /// Reads all documents of a kind, and applies the change that is returned for each.
    async fn each(
        &self,
        kind: &str,
        mut look: impl FnMut(&Record) -> Result<Option<Change>> + Send,
    ) -> Result<()> {
        let mut after = String::new();
        loop {
            let page = self.records.list(kind, &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id.to_string();
            let mut changes = Vec::new();
            for record in &page {
                changes.extend(look(record)?);
            }
            for changes in changes.chunks(MAX_CHANGES) {
                match self.records.change(changes).await {
                    // Used again meanwhile: the next collection looks at them.
                    Err(error) if error.kind() == ErrorKind::Conflict => {}
                    changed => drop(changed?),
                }
            }
        }
    }
}

fn removal(record: &Record) -> Change {
    Change::remove(record.kind.clone(), record.id.clone(), record.version)
}

/// Returns the digest of the blob that the record of an upload names.
fn digest_of(record: &Record) -> Option<Digest> {
    record.id.rsplit('/').next()?.parse().ok()
}

fn before(time: Timestamp, age: Duration) -> Timestamp {
    Timestamp(time.0.saturating_sub(age.as_micros() as u64))
}
