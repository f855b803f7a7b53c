//! The intake of log lines: finds the new lines, numbers them, and decides when a log ends.
//!
//! It has no clock, channels or I/O: the log pipeline and the simulator perform its decisions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::watch_registry::{Live, LogEnd, Registry};
use crate::model::execution::Execution;
use crate::model::fence::{Epoch, Fence};
use crate::model::id::WorkerId;
use crate::model::log::LogBatch;
use crate::model::log::{Level, LogChunk, Stream};
use crate::model::time::Timestamp;
use crate::protocol::seal::WorkerGrant;
use crate::protocol::{Heard, Log, LogAck, Tick};

/// The time to wait for the missing end of a log once its attempt has ended: several resends.
const LAST_LINES: Duration = Duration::from_secs(5);
/// The same time after a restart: workers have to find the coordinator first.
const RESTORED_LINES: Duration = Duration::from_secs(60);
/// The time before a log is tried again whose numbering cannot be read now.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The origin of lines that were received.
#[derive(Debug)]
struct Origin {
    live: Arc<Live>,
    fence: Fence,
    last_seq: u64,
}

/// The intake of log lines, which knows the logs that are about to end.
#[derive(Debug)]
pub(crate) struct LogIntake {
    registry: Arc<Registry>,
    epoch: Epoch,
    ends: Vec<(Tick, LogEnd)>,
    /// The batches to append, each with its origin.
    batches: Vec<LogBatch>,
    origins: Vec<Origin>,
    /// The last line to acknowledge, for each log and the worker that sends it. An earlier
    /// acknowledgement of the same turn covers less.
    acks: BTreeMap<(Fence, WorkerId), u64>,
}

impl LogIntake {
    /// Creates the intake of an epoch.
    pub(crate) fn new(registry: Arc<Registry>, epoch: Epoch) -> Self {
        let (ends, batches, origins, acks) = Default::default();
        Self { registry, epoch, ends, batches, origins, acks }
    }

    /// Waits for the rest of a log that did not end in an earlier epoch.
    pub(crate) fn expect(&mut self, now: Tick, execution: &Execution, live: Arc<Live>) {
        for attempt in execution.attempts.iter().filter(|attempt| attempt.log_is_open()) {
            let (fence, last_seq) = (attempt.fence, attempt.log_end);
            self.ends.push((now + RESTORED_LINES, LogEnd { live: live.clone(), fence, last_seq }));
        }
    }

    /// Begins the end of a log whose attempt has ended: it ends when its lines have arrived, or
    /// soon.
    pub(crate) fn begin_end(&mut self, now: Tick, end: LogEnd) {
        let patience = if end.last_seq.is_some() { LAST_LINES } else { Duration::ZERO };
        self.ends.push((now + patience, end));
    }

    /// Returns when a log must be given up.
    pub(crate) fn wake_at(&self) -> Option<Tick> {
        self.ends.iter().map(|(at, _)| *at).min()
    }

    /// Finds the execution that a worker sends lines of. `grant` is that of the worker's key, if it
    /// has one.
    pub(crate) fn hears(
        &self,
        from: &WorkerId,
        fence: Fence,
        grant: Option<&WorkerGrant>,
    ) -> Heard<Arc<Live>> {
        self.registry.hears(from, fence, grant)
    }

    /// Answers lines of an attempt that is unknown here, or not known any more: the worker may
    /// forget them.
    pub(crate) fn take_unknown(&mut self, from: &WorkerId, fence: Fence) {
        // A later epoch of this store may wait for these lines.
        if !fence.epoch.is_after(self.epoch) {
            self.acks.insert((fence, from.clone()), u64::MAX);
        }
    }

    /// Accepts the new lines of a message from the [holder](Self::hears) of the attempt. Lines of
    /// an execution whose stored lines are not [counted](Live::is_counted) are left out: they will
    /// be resent.
    pub(crate) fn take(&mut self, from: &WorkerId, live: Arc<Live>, log: Log) {
        let Log { fence, chunk } = log;
        let mut state = live.lock_log();
        let place = state.open.iter().position(|open| open.fence == fence);
        let (Some(place), Some(stored)) = (place, state.last_seq) else { return };
        let open = &mut state.open[place];
        let attempt = open.attempt;
        let received = open.receiver.receive(chunk);
        let acknowledge = open.receiver.last_seq();
        if let Some(mut chunk) = received {
            // Lines are numbered within the execution, across its attempts.
            chunk.first_seq = stored + 1;
            state.last_seq = Some(chunk.last_seq());
            drop(state);
            self.add(live, fence, attempt, chunk, false);
        }
        self.acks.insert((fence, from.clone()), acknowledge);
    }

    fn add(&mut self, live: Arc<Live>, fence: Fence, attempt: u32, chunk: LogChunk, ends: bool) {
        let last_seq = chunk.last_seq();
        if let (Some(batch), Some(origin)) = (self.batches.last_mut(), self.origins.last_mut())
            && origin.fence == fence
        {
            batch.chunks.push(Arc::new(chunk));
            batch.ends = ends;
            origin.last_seq = last_seq;
            return;
        }
        let chunks = vec![Arc::new(chunk)];
        self.batches.push(LogBatch::new(live.id, attempt, chunks).ends(ends));
        self.origins.push(Origin { live, fence, last_seq });
    }

    /// Marks the logs that are given up with a line, so that a gap is never silent. Returns an
    /// execution whose stored lines have to be counted first; then it has to be called again.
    pub(crate) fn give_up(&mut self, now: Tick, time: Timestamp) -> Option<Arc<Live>> {
        while let Some(place) = self.ends.iter().position(|(at, _)| *at <= now) {
            let end = &self.ends[place].1;
            let said = end.last_seq.unwrap_or(0);
            let missing = self.registry.missing(&end.live, end.fence, said);
            if missing.is_some() && end.live.lock_log().last_seq.is_none() {
                return Some(end.live.clone());
            }
            let (_, end) = self.ends.swap_remove(place);
            match (missing, end.last_seq) {
                // The log is closed already.
                (None, _) => {}
                // The log is complete, and will be closed once it is stored.
                (Some(0), Some(_)) => self.ends.push((Tick(u64::MAX), end)),
                (Some(missing), said) => {
                    let line = match said {
                        Some(_) => {
                            format!("[tinpot] {missing} lines of this log were lost on the way")
                        }
                        None => "[tinpot] the worker went silent: its last lines may be missing"
                            .to_owned(),
                    };
                    self.mark(end, line, time);
                }
            }
        }
        None
    }

    /// Retries the end of a log later, because the lines of its execution cannot be counted now.
    pub(crate) fn not_counted(&mut self, now: Tick, live: &Live) {
        for (at, end) in &mut self.ends {
            if end.live.id == live.id {
                *at = (*at).max(now + LOOK_AGAIN);
            }
        }
    }

    fn mark(&mut self, end: LogEnd, line: String, time: Timestamp) {
        let LogEnd { live, fence, .. } = end;
        let mut state = live.lock_log();
        let attempt = state.open.iter().find(|open| open.fence == fence).map(|open| open.attempt);
        let (Some(attempt), Some(stored)) = (attempt, state.last_seq) else { return };
        let first_seq = stored + 1;
        state.last_seq = Some(first_seq);
        drop(state);
        let (stream, level, lines) = (Stream::System, Level::Warning, vec![line]);
        let chunk = LogChunk::new(first_seq, time, stream, level, lines);
        self.add(live, fence, attempt, chunk, true);
    }

    /// Returns the batches to append now.
    pub(crate) fn batches(&self) -> &[LogBatch] {
        &self.batches
    }

    /// Handles a batch that the store refused when, after an append that can never succeed, each
    /// batch was tried alone. Its lines are not acknowledged, because they are not stored.
    pub(crate) fn refused(&mut self, place: usize) {
        let Origin { live, fence, .. } = &self.origins[place];
        self.registry.abandon_logs(live);
        self.acks.retain(|(acknowledged, _), _| acknowledged != fence);
    }

    /// Notes that everything is appended or refused. Watchers may read it, and complete logs end.
    pub(crate) fn stored(&mut self) -> Vec<LogBatch> {
        let batches = std::mem::take(&mut self.batches);
        for (batch, Origin { live, fence, last_seq }) in batches.iter().zip(self.origins.drain(..))
        {
            live.state.send_modify(|state| state.last_seq = state.last_seq.max(last_seq));
            if batch.ends {
                self.registry.close_log(&live, fence);
            }
        }
        let registry = &self.registry;
        self.ends.retain(|(_, end)| {
            let missing = registry.missing(&end.live, end.fence, end.last_seq.unwrap_or(0));
            if missing == Some(0) && end.last_seq.is_some() {
                registry.close_log(&end.live, end.fence);
            }
            missing.is_some_and(|missing| missing > 0 || end.last_seq.is_none())
        });
        batches
    }

    /// Returns the acknowledgements to send now that everything is stored.
    pub(crate) fn acks(&mut self) -> impl Iterator<Item = (WorkerId, LogAck)> {
        let acks = std::mem::take(&mut self.acks);
        acks.into_iter().map(|((fence, worker), seq)| (worker, LogAck { fence, seq }))
    }
}
