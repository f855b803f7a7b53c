//! The delivery of log batches to the sinks of a coordinator: bounded, retried, flushed and closed.
//!
//! Each sink has a queue and a task of its own, so a sink that fails or hangs delays neither the
//! store nor live watchers nor another sink.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{LogBatch, LogSink};
use crate::clock::until;
use crate::model::error::{Error, ErrorKind};

/// Lines that wait for one sink, in bytes. The chunks are shared with the other sinks and with live
/// watchers. Covers an outage of some seconds at a busy coordinator.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;
/// The most that one `append` receives, in bytes.
const APPEND_BYTES: usize = 1024 * 1024;
/// The time after which lines that a sink cannot take are lost, counted from the first attempt.
const RETRY_FOR: Duration = Duration::from_secs(30);
/// The pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The longest time that appended lines wait for a flush, unless the sink is busy.
const FLUSH_AFTER: Duration = Duration::from_secs(1);
/// The time that all sinks together have to take what waits, flush and close at a shutdown.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// The feeds of all sinks of a coordinator.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogSinkFeeds {
    queues: Arc<[Arc<Queue>]>,
}

impl LogSinkFeeds {
    /// Returns the feeds, and the future that serves each of them.
    pub(crate) fn new(
        sinks: Vec<Arc<dyn LogSink>>,
    ) -> (Self, Vec<impl Future<Output = ()> + Send + 'static>) {
        let queue = |place| Arc::new(Queue { place, ..Queue::default() });
        let queues: Arc<[_]> = (0..sinks.len()).map(queue).collect();
        let deliveries = queues.iter().zip(sinks);
        let deliveries = deliveries.map(|(queue, sink)| Delivery::new(queue.clone(), sink).run());
        (Self { queues: queues.clone() }, deliveries.collect())
    }

    /// Returns true if there is no sink.
    pub(crate) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Queues batches for every sink. Never waits: batches that find no room are counted as lost.
    pub(crate) fn push(&self, batches: &[LogBatch]) {
        for queue in &*self.queues {
            queue.push(batches);
        }
    }

    /// Waits until every sink has taken its queue, is flushed and closed, for at most
    /// [`CLOSE_PATIENCE`]. Later batches are dropped.
    pub(crate) async fn close(&self) {
        let closing: Vec<_> = self.queues.iter().map(|queue| queue.close()).collect();
        let closed = futures::future::join_all(closing);
        if timeout(CLOSE_PATIENCE, closed).await.is_err() {
            for queue in &*self.queues {
                queue.give_up();
            }
        }
    }
}

/// The batches that wait for one sink.
#[derive(Debug, Default)]
struct Queue {
    /// The place of the sink in the coordinator's list, for log events.
    place: usize,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    batches: VecDeque<LogBatch>,
    bytes: usize,
    /// Lines that the sink is taking at the moment.
    taking: u64,
    /// Lines lost since the start.
    lost: u64,
    /// Lines that found no room since that was last reported.
    overflowed: u64,
    closing: bool,
    closed: Vec<oneshot::Sender<()>>,
    /// The delivery has ended.
    ended: bool,
}

fn lines(batches: &[LogBatch]) -> u64 {
    let chunks = batches.iter().flat_map(|batch| &batch.chunks);
    chunks.map(|chunk| chunk.lines.len() as u64).sum()
}

fn size_bytes(batch: &LogBatch) -> usize {
    64 + batch.chunks.iter().map(|chunk| chunk.size_bytes()).sum::<usize>()
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, batches: &[LogBatch]) {
        let mut state = self.lock();
        if state.closing {
            return;
        }
        for batch in batches {
            let bytes = size_bytes(batch);
            // An empty queue takes a batch of any size.
            if state.bytes > 0 && state.bytes + bytes > QUEUE_BYTES {
                let lines = lines(std::slice::from_ref(batch));
                state.overflowed += lines;
                state.lost += lines;
                continue;
            }
            state.bytes += bytes;
            state.batches.push_back(batch.clone());
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Takes the oldest batches; `None` once the feed closes and nothing is left.
    async fn take(&self) -> Option<Vec<LogBatch>> {
        loop {
            {
                let mut state = self.lock();
                let mut bytes = 0;
                let mut taken = Vec::new();
                while bytes < APPEND_BYTES
                    && let Some(batch) = state.batches.pop_front()
                {
                    bytes += size_bytes(&batch);
                    taken.push(batch);
                }
                state.bytes -= bytes;
                if !taken.is_empty() {
                    state.taking = lines(&taken);
                    return Some(taken);
                }
                if state.closing {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// The lines that found no room since the last call, and all lines lost so far.
    fn overflowed(&self) -> (u64, u64) {
        let mut state = self.lock();
        (std::mem::take(&mut state.overflowed), state.lost)
    }

    fn lose(&self, lines: u64) -> u64 {
        let mut state = self.lock();
        state.lost += lines;
        state.lost
    }

    /// Returns a future that resolves when the delivery has ended.
    fn close(&self) -> impl Future<Output = ()> + use<> {
        let (closed, wait) = oneshot::channel();
        let mut state = self.lock();
        state.closing = true;
        if !state.ended {
            state.closed.push(closed);
        }
        drop(state);
        self.changed.notify_one();
        async move {
            let _ = wait.await;
        }
    }

    /// Reports what is left after the patience for a shutdown.
    fn give_up(&self) {
        let mut state = self.lock();
        if state.ended {
            return;
        }
        let lines = state.taking + lines(state.batches.make_contiguous());
        state.batches.clear();
        state.bytes = 0;
        state.lost += lines;
        let (sink, total) = (self.place, state.lost);
        drop(state);
        tracing::warn!(
            sink,
            lines,
            total,
            "a log sink did not close within {CLOSE_PATIENCE:?}; the lines left are lost"
        );
    }
}

/// Ends with the delivery, even if its task is aborted.
struct Ends(Arc<Queue>);

impl Drop for Ends {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        state.closed.clear();
    }
}

/// The task of one sink.
struct Delivery {
    queue: Arc<Queue>,
    sink: Arc<dyn LogSink>,
    /// The time of the next flush, if lines are not flushed.
    flush_at: Option<Instant>,
    /// Lines appended since the last flush that succeeded.
    unflushed: u64,
    flush_pause: Duration,
}

impl Delivery {
    fn new(queue: Arc<Queue>, sink: Arc<dyn LogSink>) -> Self {
        Self { queue, sink, flush_at: None, unflushed: 0, flush_pause: FIRST_PAUSE }
    }

    async fn run(mut self) {
        let _ends = Ends(self.queue.clone());
        loop {
            // Biased towards the flush: a queue that never runs dry must not put it off.
            tokio::select! {
                biased;
                () = until(self.flush_at) => self.flush().await,
                batches = self.queue.take() => match batches {
                    Some(batches) => self.append(&batches).await,
                    None => break,
                },
            }
        }
        // At the end a flush is asked for even if nothing was appended: the sink may buffer what it
        // took before an error.
        self.flush_at = None;
        while let Err(error) = self.sink.flush().await {
            if !error.is_retryable() {
                self.unconfirmed(&error);
                break;
            }
            sleep(FIRST_PAUSE).await;
        }
        if let Err(error) = self.sink.close().await {
            tracing::warn!(sink = self.queue.place, %error, "a log sink did not close cleanly");
        }
    }

    /// Appends, again and again while that may help, for at most [`RETRY_FOR`].
    async fn append(&mut self, batches: &[LogBatch]) {
        let (lost, total) = self.queue.overflowed();
        if lost > 0 {
            tracing::warn!(
                sink = self.queue.place,
                lines = lost,
                total,
                "a log sink is too slow: lines that found no room in its queue are lost"
            );
        }
        let deadline = Instant::now() + RETRY_FOR;
        let mut pause = FIRST_PAUSE;
        let error = loop {
            let error = match timeout_at(deadline, self.sink.append(batches)).await {
                Ok(Ok(())) => {
                    self.unflushed += lines(batches);
                    self.flush_at.get_or_insert_with(|| Instant::now() + FLUSH_AFTER);
                    self.queue.lock().taking = 0;
                    return;
                }
                Ok(Err(error)) => error,
                Err(_) => timed_out("append"),
            };
            if !error.is_retryable() || Instant::now() + pause > deadline {
                break error;
            }
            if pause == FIRST_PAUSE {
                tracing::warn!(sink = self.queue.place, %error, "a log sink failed; trying again");
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        let lines = lines(batches);
        self.queue.lock().taking = 0;
        let total = self.queue.lose(lines);
        tracing::warn!(sink = self.queue.place, lines, total, %error, "a log sink lost lines");
    }

    /// Flushes once; a retryable error puts the next try off.
    async fn flush(&mut self) {
        let flushed = timeout(RETRY_FOR, self.sink.flush()).await;
        match flushed.unwrap_or_else(|_| Err(timed_out("flush"))) {
            Ok(()) => {
                self.flush_at = None;
                self.unflushed = 0;
                self.flush_pause = FIRST_PAUSE;
            }
            Err(error) if error.is_retryable() => {
                if self.flush_pause == FIRST_PAUSE {
                    self.unconfirmed(&error);
                }
                self.flush_at = Some(Instant::now() + self.flush_pause);
                self.flush_pause = (self.flush_pause * 2).min(LONGEST_PAUSE);
            }
            Err(error) => {
                self.unconfirmed(&error);
                self.flush_at = None;
                self.unflushed = 0;
            }
        }
    }

    fn unconfirmed(&self, error: &Error) {
        tracing::warn!(
            sink = self.queue.place,
            lines = self.unflushed,
            %error,
            "a log sink cannot flush: these lines may be lost"
        );
    }
}

fn timed_out(call: &str) -> Error {
    Error::new(ErrorKind::TimedOut, format!("{call} did not return within {RETRY_FOR:?}"))
}
