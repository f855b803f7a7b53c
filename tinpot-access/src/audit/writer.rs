//! The task that writes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tinpot_core::access::AuditEvent;
use tinpot_core::access::records::Records;
use tinpot_core::seal::Suite;
use tinpot_core::{Error, ErrorKind, Result, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::{AUDIT_LOG, RUNS_LOG, entry, heads, tail};
use crate::secret::Digest;

/// The most calls of one write.
const CALLS: usize = 256;
/// The most entries of one append: the largest ones are as many bytes as records take.
const ENTRIES: usize = 2_048;
/// Tries of one append while other processes append to the same log.
const TRIES: usize = 64;
/// Entries after which the end of a log is written as a head, and the least time between two of those.
const HEAD_ENTRIES: u64 = 1_000;
const HEAD_PAUSE: Duration = Duration::from_secs(1);
/// The time after which it does so with the next entry.
const HEAD_INTERVAL: Duration = Duration::from_secs(3_600);

/// A call that waits for its events to be written.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) events: Vec<AuditEvent>,
    pub(super) answer: oneshot::Sender<Result<()>>,
}

/// The end of a log, and what `tracing` knows of it.
#[derive(Debug)]
struct End {
    number: u64,
    digest: Digest,
    told: u64,
    told_at: Instant,
}

pub(super) struct Writer {
    records: Arc<dyn Records>,
    node: String,
    signer: Option<Arc<dyn Suite>>,
    ends: HashMap<&'static str, End>,
}

impl Writer {
    pub(super) fn new(
        records: Arc<dyn Records>,
        node: &str,
        signer: Option<Arc<dyn Suite>>,
    ) -> Self {
        Self { records, node: node.to_owned(), signer, ends: HashMap::new() }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        let mut calls = Vec::with_capacity(CALLS);
        loop {
            let received = inbox.recv_many(&mut calls, CALLS);
            let received = match self.head_at() {
                Some(at) => timeout_at(at, received).await,
                None => Ok(received.await),
            };
            match received {
                Ok(0) => return self.write_late_heads(Duration::ZERO).await,
                Ok(_) => {}
                Err(_) => {
                    self.write_late_heads(HEAD_PAUSE).await;
                    continue;
                }
            }
            let events = calls.iter_mut().flat_map(|call| std::mem::take(&mut call.events));
            let written = self.write(events.collect()).await;
            for call in calls.drain(..) {
                let answer = match &written {
                    Ok(()) => Ok(()),
                    Err(error) => Err(Error::new(error.kind(), error.to_string())),
                };
                // The caller may have been dropped.
                let _ = call.answer.send(answer);
            }
        }
    }

    /// Returns when a head is due that had to wait.
    fn head_at(&self) -> Option<Instant> {
        let waits = |end: &&End| end.number.saturating_sub(end.told) >= HEAD_ENTRIES;
        self.ends.values().filter(waits).map(|end| end.told_at + HEAD_PAUSE).min()
    }

    /// Writes the heads that had to wait. Those that cannot be written come with a later entry.
    async fn write_late_heads(&mut self, pause: Duration) {
        if let Err(error) = self.write_heads(pause).await {
            tracing::debug!(%error, "the end of an audit log is not written");
        }
    }

    /// Writes events to their logs, in order.
    async fn write(&mut self, events: Vec<AuditEvent>) -> Result<()> {
        let is_run = |event: &AuditEvent| matches!(&*event.what, "run" | "rerun" | "call");
        let (runs, others): (Vec<_>, Vec<_>) = events.into_iter().partition(is_run);
        for (log, mut events) in [(AUDIT_LOG, others), (RUNS_LOG, runs)] {
            for event in &mut events {
                if event.node.is_empty() {
                    event.node.clone_from(&self.node);
                }
            }
            for part in events.chunks(ENTRIES) {
                self.append(log, part).await?;
            }
        }
        self.write_heads(HEAD_PAUSE).await
    }

    /// Writes the heads that are due to the audit, if the last ones are older than the pause, and tells
    /// `tracing` about them, where they are not cut off with the log.
    async fn write_heads(&mut self, pause: Duration) -> Result<()> {
        let now = Timestamp::now();
        let mut due = Vec::new();
        for (log, end) in &mut self.ends {
            let entries = end.number.saturating_sub(end.told);
            let age = end.told_at.elapsed();
            if (entries >= HEAD_ENTRIES && age >= pause) || (entries > 0 && age >= HEAD_INTERVAL) {
                (end.told, end.told_at) = (end.number, Instant::now());
                due.push((*log, end.number, end.digest));
            }
        }
        for (log, number, digest) in due {
            let mut head = heads::event(self.signer.as_ref(), log, number, digest, now);
            head.node.clone_from(&self.node);
            let detail = &head.detail;
            tracing::info!(
                log,
                number,
                digest = digest.to_hex(),
                detail,
                "the end of the audit log"
            );
            self.append(AUDIT_LOG, &[head]).await?;
        }
        Ok(())
    }

    async fn append(&mut self, log: &'static str, events: &[AuditEvent]) -> Result<()> {
        for _ in 0..TRIES {
            let (number, digest) = match self.ends.get(log) {
                Some(end) => (end.number, end.digest),
                None => tail(&*self.records, log).await?,
            };
            let mut last = digest;
            let mut entries: Vec<Bytes> = Vec::with_capacity(events.len());
            for (n, event) in (number + 1..).zip(events) {
                let bytes = entry::write(n, last, event)?;
                last = Digest::of(&bytes);
                entries.push(bytes);
            }
            match self.records.append(log, Some(number), &entries).await {
                Ok(number) => {
                    self.end(log, number, last);
                    return Ok(());
                }
                Err(error) => {
                    // Another process has appended; or the write may have happened.
                    if let Some(end) = self.ends.get_mut(log) {
                        (end.number, end.digest) = tail(&*self.records, log).await?;
                    }
                    if error.kind() != ErrorKind::Conflict {
                        return Err(error);
                    }
                }
            }
        }
        let message = format!("other processes write to the log {log:?} all the time");
        Err(Error::new(ErrorKind::Unavailable, message))
    }

    /// Notes the end of a log.
    fn end(&mut self, log: &'static str, number: u64, digest: Digest) {
        let new = End { number, digest, told: number, told_at: Instant::now() };
        let end = self.ends.entry(log).or_insert(new);
        (end.number, end.digest) = (number, digest);
    }
}
