//! Runs, with their attempts and logs: the transitions that our coordinator would have made.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::try_join_all;
use tinpot_core::action::{DEFAULT_QUEUE, check_label};
use tinpot_core::store::{LogBatch, Transition};
use tinpot_core::{
    Execution, ExecutionId, Fence, Json, Level, LogChunk, Outcome, Result, Stream, Timestamp,
    WorkerId,
};

use super::source::{Attempt, Line, Run};
use super::{ActiveRuns, Import};
use crate::api::runs::after_losses;
use crate::gateway::failed;

/// The runs that are read at one time, and that are written side by side: a store writes what waits
/// as one transaction.
const PAGE: usize = 128;
/// The log lines that are read at one time: 16 MiB at most.
const LINES: usize = 2_000;
/// The lease in the records. It has ended.
const LEASE: Duration = Duration::from_secs(60);
/// The most retries of an execution.
const RETRIES: i64 = 1_000;

/// A run that is replayed.
struct Replay {
    run: Run,
    execution: Execution,
    attempts: Vec<Attempt>,
}

impl Import<'_> {
    pub(super) async fn runs(&mut self) -> Result<()> {
        let fences = AtomicU64::new(1);
        let now = Timestamp::now();
        let (mut after, mut latest) = (i64::MIN, 0);
        let mut left_out = BTreeMap::<String, u64>::new();
        loop {
            let page = self.source.runs(after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.id;
            let mut replays = Vec::with_capacity(page.len());
            for run in page {
                // Ids are in the order of the runs, whatever the clock did.
                latest = (run.created.0 / 1_000).max(latest);
                match self.execution(&run, latest) {
                    Ok(execution) => {
                        let attempts = self.source.attempts(run.id)?;
                        replays.push(Replay { run, execution, attempts });
                    }
                    Err(why) => *left_out.entry(why).or_default() += 1,
                }
            }
            self.done.runs += replays.len() as u64;
            let written = replays.into_iter().map(|replay| self.replay(replay, &fences, now));
            let lines = try_join_all(written).await?;
            self.done.log_lines += lines.into_iter().sum::<u64>();
        }
        for (why, count) in left_out {
            self.done.note(format!("{count} runs are not taken: {why}"));
        }
        Ok(())
    }

    /// Returns the execution that a run is, as it was accepted, or the reason why it cannot be one.
    fn execution(&self, run: &Run, millis: u64) -> Result<Execution, String> {
        let app = self.apps.get(&run.app).ok_or("their app was not taken")?;
        let Some(version) = app.versions.get(&run.version) else {
            return Err(format!("app {:?} does not have their version", &*app.name));
        };
        let number = u64::try_from(run.id).ok().filter(|number| *number > 0);
        let number = number.ok_or("their ids are below 1")?;
        let input = match run.input.as_deref().filter(|input| !input.is_empty()) {
            None => Json::empty_object(),
            Some(input) => Json::parse(input).map_err(|_| "their input is not JSON")?,
        };
        let id = execution_id(millis, number, self.target.epoch.instance);
        let mut execution = Execution::new(id, app.name.clone(), input);
        execution.number = number;
        execution.app_run = u64::try_from(run.number).unwrap_or_default();
        execution.bundle = Some(version.bundle.clone());
        execution.timeout = version.timeout;
        execution.team = app.team.clone();
        execution.priority =
            run.priority.clamp(i32::MIN.into(), i32::MAX.into()).try_into().unwrap_or_default();
        let retries = run.max_retries.clamp(0, RETRIES);
        execution.retry = after_losses(retries.try_into().unwrap_or_default());
        let queue = match check_label("environment", &run.environment) {
            Ok(()) => &*run.environment,
            Err(_) => DEFAULT_QUEUE,
        };
        execution.queue = queue.into();
        Ok(execution)
    }

    /// Writes a run as it went, and returns the number of its log lines.
    async fn replay(&self, replay: Replay, fences: &AtomicU64, now: Timestamp) -> Result<u64> {
        let Replay { run, execution, attempts } = replay;
        let id = execution.id;
        let mut at = run.created;
        self.commit(&[Transition::Accept(Arc::new(execution))], at).await?;
        let mut lines = 0;
        let mut live = None;
        for (place, attempt) in attempts.iter().enumerate() {
            let number = fences.fetch_add(1, Ordering::Relaxed);
            let fence = Fence { epoch: self.target.epoch, number };
            let number = u32::try_from(attempt.number).unwrap_or(place as u32 + 1);
            let worker = self.workers.get(&attempt.runner).cloned();
            let worker = worker.unwrap_or_else(|| WorkerId::generate("runner"));
            at = at.max(attempt.created);
            let grant =
                Transition::Grant { execution: id, fence, attempt: number, worker, lease: LEASE };
            self.commit(&[grant], at).await?;
            if let Some(started) = attempt.started {
                at = at.max(started);
                self.commit(&[Transition::Start { execution: id, fence }], at).await?;
            }
            let of_attempt = self.log(id, number, attempt.id, lines).await?;
            lines += of_attempt;
            let log_end = Some(of_attempt);
            if place + 1 < attempts.len() {
                at = at.max(attempt.finished.unwrap_or(at));
                self.commit(&[lost(id, fence, log_end)], at).await?;
            } else {
                live = Some((fence, log_end, attempt));
            }
        }
        self.end(&run, id, live, at, now).await?;
        Ok(lines)
    }

    /// Ends a run as it has ended, or as the caller has chosen for one that a runner had.
    async fn end(
        &self,
        run: &Run,
        id: ExecutionId,
        live: Option<(Fence, Option<u64>, &Attempt)>,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<()> {
        let last = live.map(|(.., attempt)| attempt);
        let ended = run.finished.or(last.and_then(|last| last.finished)).unwrap_or(at).max(at);
        let (outcome, ended) = match run.status.as_str() {
            "queued" => (None, ended),
            "completed" => (Some(Outcome::Succeeded(Json::null())), ended),
            "cancelled" => (Some(Outcome::Cancelled), ended),
            "dead" => (Some(Outcome::Lost), ended),
            "failed" => {
                let message = last.and_then(|last| last.error.clone()).unwrap_or_default();
                (Some(failed(last.and_then(|last| last.exit_code), message)), ended)
            }
            // A runner has it.
            _ if run.is_cancel_requested => (Some(Outcome::Cancelled), now.max(at)),
            _ => match self.active {
                Some(ActiveRuns::Requeue) => (None, now.max(at)),
                _ => (Some(Outcome::Lost), now.max(at)),
            },
        };
        let mut batch = Vec::new();
        if run.is_cancel_requested {
            batch.push(Transition::CancelRequested { execution: id, by: None, force: false });
        }
        match (outcome, live) {
            (Some(outcome), live) => {
                if run.is_cancel_requested && outcome == Outcome::Cancelled && live.is_some() {
                    batch.push(Transition::Cancelling { execution: id });
                }
                let fence = live.map(|(fence, ..)| fence);
                let log_end = live.and_then(|(_, log_end, _)| log_end);
                batch.push(Transition::Finish {
                    execution: id,
                    fence,
                    outcome,
                    ran: None,
                    log_end,
                });
            }
            (None, Some((fence, log_end, _))) => batch.push(lost(id, fence, log_end)),
            (None, None) => {}
        }
        if batch.is_empty() { Ok(()) } else { self.commit(&batch, ended).await }
    }

    async fn commit(&self, batch: &[Transition], at: Timestamp) -> Result<()> {
        self.target.session.commit(batch, at).await
    }

    /// Appends the log of an attempt after the lines of those before, and returns the number of its
    /// lines.
    async fn log(
        &self,
        execution: ExecutionId,
        attempt: u32,
        source: i64,
        before: u64,
    ) -> Result<u64> {
        let (mut after, mut next) = (i64::MIN, before + 1);
        loop {
            let page = self.source.lines(source, after, LINES)?;
            let Some(last) = page.last() else { return Ok(next - before - 1) };
            after = last.seq;
            let chunks = chunks(page, next);
            next = chunks.last().map_or(next, |last| last.last_seq() + 1);
            let batch = LogBatch::new(execution, attempt, chunks);
            self.target.session.append_logs(&[batch]).await?;
        }
    }
}

/// Returns the transition after an attempt that was lost.
fn lost(execution: ExecutionId, fence: Fence, log_end: Option<u64>) -> Transition {
    let outcome = Some(Outcome::Lost);
    Transition::Requeue { execution, fence, outcome, ran: None, log_end, not_before: None }
}

/// Puts consecutive lines of one stream and one time together.
fn chunks(lines: Vec<Line>, first: u64) -> Vec<Arc<LogChunk>> {
    let mut chunks = Vec::<LogChunk>::new();
    let mut next = first;
    for line in lines {
        let (stream, level) = match line.is_stderr {
            true => (Stream::Stderr, Level::Error),
            false => (Stream::Stdout, Level::Info),
        };
        // A runner of another kind may have sent a line with line ends.
        let texts: Vec<String> = line.text.split('\n').map(str::to_owned).collect();
        let seq = next;
        next += texts.len() as u64;
        match chunks.last_mut() {
            Some(last) if last.stream == stream && last.time == line.logged => {
                last.lines.extend(texts);
            }
            _ => chunks.push(LogChunk::new(seq, line.logged, stream, level, texts)),
        }
    }
    chunks.into_iter().map(Arc::new).collect()
}

/// Returns the id of the execution that a run becomes: a UUIDv7 of its time. Runs of the same
/// millisecond are in order; imports to several stores have different ids.
fn execution_id(millis: u64, run: u64, store: u32) -> ExecutionId {
    let time = u128::from(millis & 0xffff_ffff_ffff) << 80;
    // 42 bits and 32 bits, of which 12 are before the variant.
    let rest = u128::from(run & 0x3ff_ffff_ffff) << 32 | u128::from(store);
    let (high, low) = (rest >> 62, rest & ((1 << 62) - 1));
    ExecutionId::from_u128(time | 7 << 76 | high << 64 | 2 << 62 | low)
}

#[cfg(test)]
mod tests {
    use tinpot_core::Timestamp;

    use super::{Line, chunks, execution_id};

    #[test]
    fn ids_are_uuids_in_the_order_of_the_runs() {
        let id = execution_id(1_770_000_000_000, 1, 9);
        let text = id.to_string();
        assert!(text.starts_with("019c1c38-a400-7"), "{text}");
        assert!(matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{text}");
        assert!(execution_id(1_770_000_000_000, 2, 1) > id);
        assert!(
            execution_id(1_770_000_000_000, 1 << 41, 1) > execution_id(1_770_000_000_000, 3, 1)
        );
        assert!(
            execution_id(1_770_000_000_001, 1, 1) > execution_id(1_770_000_000_000, 1 << 41, 1)
        );
    }

    #[test]
    fn lines_of_one_time_and_stream_are_together() {
        let line = |seq, is_stderr, text: &str, at| {
            let (text, logged) = (text.to_owned(), Timestamp(at));
            Line { seq, is_stderr, text, logged }
        };
        let lines = vec![
            line(1, false, "a", 1),
            line(2, false, "b\nc", 1),
            line(3, true, "d", 1),
            line(7, true, "e", 2),
        ];
        let chunks = chunks(lines, 11);
        let found: Vec<_> =
            chunks.iter().map(|chunk| (chunk.first_seq, chunk.lines.len())).collect();
        assert_eq!(found, [(11, 3), (14, 1), (15, 1)]);
    }
}
