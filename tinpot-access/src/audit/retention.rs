//! The end of entries: they are trimmed from the front only, and an entry says what went.

use tinpot_core::access::records::Change;
use tinpot_core::access::{AuditEvent, AuditSink, AuditWho};
use tinpot_core::{Result, Timestamp};

use super::{ANCHOR, Anchor, ChainAudit, PAGE, entry, unreadable};
use crate::secret::Digest;

/// The entries that are removed in one write, so that the store can write between them.
const PART: u64 = 10_000;
/// The entries by which the size of a log is estimated, at each of three places.
const SAMPLE: usize = 200;

impl ChainAudit {
    /// Removes the entries of a log that are older than this time, from the front. The digest of
    /// the last one is kept, and an entry records what was removed.
    ///
    /// Returns the number of the last entry that was removed; `None` if there was nothing to remove.
    ///
    /// # Errors
    /// Those of [`Records`](tinpot_core::access::Records).
    pub async fn trim(&self, by: &AuditWho, log: &str, before: Timestamp) -> Result<Option<u64>> {
        match self.last_before(log, before).await? {
            Some(last) => self.trim_to(by, log, last).await,
            None => Ok(None),
        }
    }

    /// Removes entries of a log from the front, as [`trim`](Self::trim) does, until the log has
    /// about this size, which is estimated from samples.
    ///
    /// # Errors
    /// Those of [`Records`](tinpot_core::access::Records).
    pub async fn trim_bytes(
        &self,
        by: &AuditWho,
        log: &str,
        max_bytes: u64,
    ) -> Result<Option<u64>> {
        let last = self.records.append(log, None, &[]).await?;
        let front = self.records.entries(log, 0, 1).await?;
        let Some((first, _)) = front.first() else { return Ok(None) };
        let number = last + 1 - first;
        let (mut bytes, mut seen) = (0, 0);
        for at in [first - 1, first + number / 2, last.saturating_sub(SAMPLE as u64)] {
            let sample = self.records.entries(log, at, SAMPLE).await?;
            bytes += sample.iter().map(|(_, entry)| entry.len() as u64).sum::<u64>();
            seen += sample.len() as u64;
        }
        let each = (bytes / seen.max(1)).max(1);
        let kept = max_bytes / each;
        if kept >= number {
            return Ok(None);
        }
        let up_to = last - kept;
        let found = self.records.entries(log, up_to - 1, 1).await?;
        let Some((number, bytes)) = found.first().filter(|(number, _)| *number == up_to) else {
            return Ok(None);
        };
        let anchor = Anchor { up_to: *number, digest: Digest::of(bytes) };
        self.trim_to(by, log, anchor).await
    }

    async fn trim_to(&self, by: &AuditWho, log: &str, last: Anchor) -> Result<Option<u64>> {
        let now = Timestamp::now();
        let event = AuditEvent::new(now, by.clone(), "audit.trim").detail(format!(
            "{log} up to {}, digest {}",
            last.up_to,
            last.digest.to_hex()
        ));
        self.record(&[event]).await?;
        let found = self.records.get(ANCHOR, log).await?;
        let version = found.map_or(0, |found| found.version);
        let document = serde_json::to_vec(&last).map_err(|error| unreadable(&error))?;
        self.records.change(&[Change::replace(ANCHOR, log, version, document)]).await?;
        // After a crash here, the entries are still there, and the next trim removes them.
        let front = self.records.entries(log, 0, 1).await?;
        let mut up_to = front.first().map_or(last.up_to, |(first, _)| first - 1);
        while up_to < last.up_to {
            up_to = last.up_to.min(up_to + PART);
            self.records.trim(log, up_to).await?;
        }
        Ok(Some(last.up_to))
    }

    /// Returns the last of the entries at the front that are older than this time. Those that cannot be
    /// read are as old as those behind them.
    async fn last_before(&self, log: &str, before: Timestamp) -> Result<Option<Anchor>> {
        let (mut after, mut last) = (0, None);
        loop {
            let page = self.records.entries(log, after, PAGE).await?;
            let Some((end, _)) = page.last() else { return Ok(last) };
            after = *end;
            for (number, bytes) in &page {
                match entry::parse(bytes) {
                    Ok(found) if found.event.time >= before => return Ok(last),
                    Ok(_) => {}
                    // It goes with the next older one that can be read, since it stands before it.
                    Err(_) => continue,
                }
                last = Some(Anchor { up_to: *number, digest: Digest::of(bytes) });
            }
        }
    }
}
