//! The log pipeline: from lane Logs to the store, the sinks and whoever watches.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::stream::{BoxStream, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Shared;
use super::live::Live;
use crate::clock::until;
use crate::error::ErrorKind;
use crate::execution::Execution;
use crate::failpoint::failpoint;
use crate::id::WorkerId;
use crate::inbox::read_frame;
use crate::log::{Level, LogChunk, Stream};
use crate::log_sink::{LogBatch, LogSink};
use crate::outbox::Outbox;
use crate::protocol::{Fence, Log, LogAck, Message};
use crate::time::Timestamp;
use crate::transport::{Address, Lane};

/// How long the missing end of a log is waited for once its attempt has ended: several resends.
const LAST_LINES: Duration = Duration::from_secs(5);
/// The same after a restart: workers have to find the coordinator first.
const RESTORED_LINES: Duration = Duration::from_secs(60);
/// Frames taken in one turn, and stored together.
const TURN_FRAMES: usize = 16;

/// An attempt has ended, and its log has not yet.
#[derive(Debug)]
pub(super) struct LogEnd {
    pub(super) live: Arc<Live>,
    pub(super) fence: Fence,
    /// The number of the last line, when the worker said so.
    pub(super) last_seq: Option<u64>,
}

#[derive(Debug)]
pub(super) struct LogPipeline {
    shared: Arc<Shared>,
    sinks: Vec<Arc<dyn LogSink>>,
    ends: Vec<(Instant, LogEnd)>,
    outbox: Outbox,
    acks: Vec<(WorkerId, LogAck)>,
}

/// Lines that one turn has taken from one attempt, not stored yet.
struct Taken {
    live: Arc<Live>,
    batch: LogBatch,
    fence: Fence,
    last_seq: u64,
}

impl LogPipeline {
    pub(super) fn new(shared: Arc<Shared>, sinks: Vec<Arc<dyn LogSink>>) -> Self {
        Self { shared, sinks, ends: Vec::new(), outbox: Outbox::default(), acks: Vec::new() }
    }

    /// Waits for the rest of a log that an earlier life did not see to its end.
    pub(super) fn expect(&mut self, execution: &Execution, live: Arc<Live>) {
        let deadline = Instant::now() + RESTORED_LINES;
        for attempt in execution.attempts.iter().filter(|attempt| attempt.log_is_open()) {
            let (fence, last_seq) = (attempt.fence, attempt.log_end);
            self.ends.push((deadline, LogEnd { live: live.clone(), fence, last_seq }));
        }
    }

    pub(super) async fn run(
        mut self,
        mut frames: BoxStream<'static, Bytes>,
        mut ends: mpsc::Receiver<LogEnd>,
    ) {
        loop {
            let deadline = self.ends.iter().map(|(at, _)| *at).min();
            let mut taken = Vec::new();
            tokio::select! {
                biased;
                Some(end) = ends.recv() => self.begin_end(end),
                frame = frames.next() => match frame {
                    Some(frame) => {
                        self.take_frame(&frame, &mut taken).await;
                        for _ in 1..TURN_FRAMES {
                            let Some(frame) = frames.next().now_or_never().flatten() else { break };
                            self.take_frame(&frame, &mut taken).await;
                        }
                    }
                    None => return,
                },
                () = until(deadline) => {}
            }
            self.store(taken).await;
            self.end_logs().await;
            for (worker, ack) in self.acks.drain(..) {
                self.outbox.push(Address::Worker(worker), Message::LogAck(ack));
            }
            if !self.outbox.is_empty() {
                self.outbox.flush(&*self.shared.transport, Lane::Logs, None).await;
            }
        }
    }

    fn begin_end(&mut self, end: LogEnd) {
        let patience = if end.last_seq.is_some() { LAST_LINES } else { Duration::ZERO };
        self.ends.push((Instant::now() + patience, end));
    }

    async fn take_frame(&mut self, bytes: &[u8], taken: &mut Vec<Taken>) {
        let Some(frame) = read_frame(Lane::Logs, bytes) else { return };
        let Some(from) = frame.from else {
            return tracing::warn!("a log frame without a sender is dropped");
        };
        for message in frame.messages {
            match message {
                Message::Log(log) => self.take_lines(&from, log, taken).await,
                Message::Progress(report) => {
                    if let Some(live) = self.shared.registry.by_fence(report.fence) {
                        live.state
                            .send_modify(|state| state.progress = Some(Arc::new(report.progress)));
                    }
                }
                other => {
                    tracing::warn!(%from, "a message of type {:?} does not belong on lane Logs", other.key())
                }
            }
        }
    }

    async fn take_lines(&mut self, from: &WorkerId, log: Log, taken: &mut Vec<Taken>) {
        let Some(live) = self.shared.registry.by_fence(log.fence) else {
            // Nobody waits for these lines any more: the worker may forget them.
            return self.acks.push((from.clone(), LogAck { fence: log.fence, seq: u64::MAX }));
        };
        if !self.knows_end(&live).await {
            // Not acknowledged, so it comes again.
            return;
        }
        let mut state = live.lock_log();
        let place = state.open.iter().position(|open| open.fence == log.fence);
        let (Some(place), Some(stored)) = (place, state.last_seq) else { return };
        let open = &mut state.open[place];
        let attempt = open.attempt;
        let received = open.receiver.receive(log.chunk);
        let acknowledge = open.receiver.last_seq();
        if let Some(mut chunk) = received {
            // Within the execution lines are numbered on, whichever attempt they are of.
            chunk.first_seq = stored + 1;
            state.last_seq = Some(chunk.last_seq());
            drop(state);
            let last_seq = chunk.last_seq();
            match taken.last_mut().filter(|taken| taken.fence == log.fence) {
                Some(last) => {
                    last.batch.chunks.push(Arc::new(chunk));
                    last.last_seq = last_seq;
                }
                None => {
                    let chunks = vec![Arc::new(chunk)];
                    let batch = LogBatch { execution: live.id, attempt, chunks, ends: false };
                    taken.push(Taken { live: live.clone(), batch, fence: log.fence, last_seq });
                }
            }
        }
        // The last one counts: an earlier acknowledgement of this turn says less.
        self.acks.retain(|(_, ack)| ack.fence != log.fence);
        self.acks.push((from.clone(), LogAck { fence: log.fence, seq: acknowledge }));
    }

    /// Finds out how many lines of an execution are stored; `false` when that cannot be found out now.
    async fn knows_end(&self, live: &Live) -> bool {
        if live.lock_log().last_seq.is_some() {
            return true;
        }
        match self.shared.store.execution(live.id).await {
            Ok(Some(execution)) => {
                live.lock_log().last_seq.get_or_insert(execution.log_lines());
                true
            }
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(execution = %live.id, %error, "its log lines wait for the store");
                false
            }
        }
    }

    /// Stores what was taken, then tells watchers and sinks.
    async fn store(&mut self, taken: Vec<Taken>) {
        if taken.is_empty() {
            return;
        }
        let (batches, origins): (Vec<LogBatch>, Vec<_>) =
            taken.into_iter().map(|taken| (taken.batch, (taken.live, taken.last_seq))).unzip();
        if !self.append(&batches).await {
            // One of them cannot be stored, and must not take the others with it.
            for (batch, (live, ..)) in batches.iter().zip(&origins) {
                if !self.append(std::slice::from_ref(batch)).await {
                    self.shared.registry.abandon_logs(live);
                }
            }
        }
        for (live, last_seq) in &origins {
            live.state.send_modify(|state| state.last_seq = state.last_seq.max(*last_seq));
        }
        for sink in &self.sinks {
            if let Err(error) = sink.append(&batches).await {
                tracing::warn!(%error, "a log sink failed");
            }
        }
    }

    /// Appends to the store, for as long as trying again may help; whether it did.
    async fn append(&self, batches: &[LogBatch]) -> bool {
        failpoint("logs.before-append");
        while let Err(error) = self.shared.store.append_logs(batches).await {
            if !error.is_retryable() {
                if batches.len() == 1 && error.kind() != ErrorKind::NotFound {
                    tracing::error!(%error, "the rest of a log cannot be stored");
                }
                return false;
            }
            // Nothing is acknowledged meanwhile, so the workers' windows fill and their actions wait: back-pressure, not loss.
            tracing::warn!(%error, "log lines wait for the store");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        failpoint("logs.after-append");
        true
    }

    /// Closes the logs that are complete, and those that were waited for long enough.
    async fn end_logs(&mut self) {
        let now = Instant::now();
        let mut open = Vec::new();
        for (deadline, end) in std::mem::take(&mut self.ends) {
            let missing =
                self.shared.registry.missing(&end.live, end.fence, end.last_seq.unwrap_or(0));
            match missing {
                None => {}
                Some(0) if end.last_seq.is_some() => {
                    self.shared.registry.close_log(&end.live, end.fence)
                }
                Some(_) if now < deadline => open.push((deadline, end)),
                Some(missing) => {
                    let what = match end.last_seq {
                        Some(_) => {
                            format!("[tinpot] {missing} lines of this log were lost on the way")
                        }
                        None => "[tinpot] the worker went silent: its last lines may be missing"
                            .to_owned(),
                    };
                    self.mark(&end, what).await;
                    self.shared.registry.close_log(&end.live, end.fence);
                }
            }
        }
        self.ends = open;
    }

    /// A line of our own, so that a gap is never silent.
    async fn mark(&mut self, end: &LogEnd, line: String) {
        if !self.knows_end(&end.live).await {
            return;
        }
        let (attempt, first_seq) = {
            let mut state = end.live.lock_log();
            let open = state.open.iter().find(|open| open.fence == end.fence);
            let Some(attempt) = open.map(|open| open.attempt) else { return };
            let first_seq = state.last_seq.unwrap_or(0) + 1;
            state.last_seq = Some(first_seq);
            (attempt, first_seq)
        };
        let chunk = LogChunk {
            first_seq,
            time: Timestamp::now(),
            stream: Stream::System,
            level: Level::Warning,
            lines: vec![line],
        };
        let chunks = vec![Arc::new(chunk)];
        let batch = LogBatch { execution: end.live.id, attempt, chunks, ends: true };
        if let Err(error) = self.shared.store.append_logs(std::slice::from_ref(&batch)).await {
            tracing::warn!(%error, "the mark of a gap cannot be stored");
        }
        end.live.state.send_modify(|state| state.last_seq = state.last_seq.max(first_seq));
        for sink in &self.sinks {
            if let Err(error) = sink.append(std::slice::from_ref(&batch)).await {
                tracing::warn!(%error, "a log sink failed");
            }
        }
    }
}
