//! Log lines as they come in: what of them is new, how it is numbered, and when a log is at its end.
//!
//! Without clock, channels or I/O: the log pipeline and the simulator do what it says.

use std::sync::Arc;
use std::time::Duration;

use super::live::{Live, Registry};
use crate::model::execution::Execution;
use crate::model::fence::{Epoch, Fence};
use crate::model::id::WorkerId;
use crate::model::log::LogBatch;
use crate::model::log::{Level, LogChunk, Stream};
use crate::model::time::Timestamp;
use crate::protocol::{Log, LogAck, Tick};

/// How long the missing end of a log is waited for once its attempt has ended: several resends.
const LAST_LINES: Duration = Duration::from_secs(5);
/// The same after a restart: workers have to find the coordinator first.
const RESTORED_LINES: Duration = Duration::from_secs(60);
/// When a log whose numbering cannot be read now is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// An attempt has ended, and its log has not yet.
#[derive(Debug)]
pub(crate) struct LogEnd {
    pub(crate) live: Arc<Live>,
    pub(crate) fence: Fence,
    /// The number of the last line, when the worker said so.
    pub(crate) last_seq: Option<u64>,
}

/// Where lines that were taken came from.
#[derive(Debug)]
struct Origin {
    live: Arc<Live>,
    fence: Fence,
    last_seq: u64,
}

/// Takes lines, and knows which logs are about to end.
#[derive(Debug)]
pub(crate) struct LogIntake {
    registry: Arc<Registry>,
    epoch: Epoch,
    ends: Vec<(Tick, LogEnd)>,
    /// To be appended, and where each came from.
    batches: Vec<LogBatch>,
    origins: Vec<Origin>,
    acks: Vec<(WorkerId, LogAck)>,
}

impl LogIntake {
    /// The intake of that life of a coordinator.
    pub(crate) fn new(registry: Arc<Registry>, epoch: Epoch) -> Self {
        let (ends, batches, origins, acks) = Default::default();
        Self { registry, epoch, ends, batches, origins, acks }
    }

    /// Waits for the rest of a log that an earlier life did not see to its end.
    pub(crate) fn expect(&mut self, now: Tick, execution: &Execution, live: Arc<Live>) {
        for attempt in execution.attempts.iter().filter(|attempt| attempt.log_is_open()) {
            let (fence, last_seq) = (attempt.fence, attempt.log_end);
            self.ends.push((now + RESTORED_LINES, LogEnd { live: live.clone(), fence, last_seq }));
        }
    }

    /// An attempt has ended: its log ends when its lines are there, or soon.
    pub(crate) fn begin_end(&mut self, now: Tick, end: LogEnd) {
        let patience = if end.last_seq.is_some() { LAST_LINES } else { Duration::ZERO };
        self.ends.push((now + patience, end));
    }

    /// When a log is given up.
    pub(crate) fn wake_at(&self) -> Option<Tick> {
        self.ends.iter().map(|(at, _)| *at).min()
    }

    /// The execution of an attempt whose stored lines have to be counted before lines can be taken.
    pub(crate) fn uncounted(&self, fence: Fence) -> Option<Arc<Live>> {
        self.registry.by_fence(fence).filter(|live| live.lock_log().last_seq.is_none())
    }

    /// Takes what is new of the lines that a worker sent. Lines of an attempt whose execution is [`uncounted`](Self::uncounted) are left out: they
    /// come again.
    pub(crate) fn take(&mut self, from: &WorkerId, log: Log) {
        let Log { fence, chunk } = log;
        if fence.epoch.is_after(self.epoch) {
            // A later life of our store waits for these lines.
            return;
        }
        let Some(live) = self.registry.by_fence(fence) else {
            // Nobody waits for these lines any more: the worker may forget them.
            return self.acks.push((from.clone(), LogAck { fence, seq: u64::MAX }));
        };
        let mut state = live.lock_log();
        let place = state.open.iter().position(|open| open.fence == fence);
        let (Some(place), Some(stored)) = (place, state.last_seq) else { return };
        let open = &mut state.open[place];
        let attempt = open.attempt;
        let received = open.receiver.receive(chunk);
        let acknowledge = open.receiver.last_seq();
        if let Some(mut chunk) = received {
            // Within the execution lines are numbered on, whichever attempt they are of.
            chunk.first_seq = stored + 1;
            state.last_seq = Some(chunk.last_seq());
            drop(state);
            self.add(live, fence, attempt, chunk, false);
        }
        // The last one counts: an earlier acknowledgement of this turn says less.
        self.acks.retain(|(_, ack)| ack.fence != fence);
        self.acks.push((from.clone(), LogAck { fence, seq: acknowledge }));
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

    /// Marks the logs that were waited for long enough, with a line of our own: a gap is never silent. Answers an execution whose stored lines
    /// have to be counted before that; then it is to be called again.
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
                // It is closed already.
                (None, _) => {}
                // It is complete, and will be closed once it is stored.
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

    /// The lines of an execution cannot be counted now: its end is looked at again later.
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

    /// What is to be appended now.
    pub(crate) fn batches(&self) -> &[LogBatch] {
        &self.batches
    }

    /// Nothing could be appended, and trying again will not help: each batch has to be tried alone, and this one was refused. Its lines are not
    /// acknowledged: they are not kept.
    pub(crate) fn refused(&mut self, place: usize) {
        let Origin { live, fence, .. } = &self.origins[place];
        self.registry.abandon_logs(live);
        self.acks.retain(|(_, ack)| ack.fence != *fence);
    }

    /// Everything is appended (or refused): watchers may read it, and what is complete ends.
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

    /// What workers are to be told now that everything is stored.
    pub(crate) fn acks(&mut self) -> impl Iterator<Item = (WorkerId, LogAck)> + '_ {
        self.acks.drain(..)
    }
}
