//! Followed executions. What is new is read and encoded once per execution, for all its followers.
//! A follower that lags, or that joins late, reads the lines that it lacks on its own.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tinpot_core::{Coordinator, Event, ExecutionId, Readable};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::JoinHandle;

use super::log_batch::{BATCH_BYTES, LogBatch, execution_event};
use crate::sse::ExecutionEvent;

/// The batches that are kept for followers that lag: at most 4 MiB of an execution that floods its
/// log.
const KEPT: usize = 64;
/// The time for which lines are gathered. A tenth of a second is not visible, and a thousand
/// connections are written to ten times per second only.
const GATHER: Duration = Duration::from_millis(100);
/// The bytes that a lagging follower reads at once.
const READ_BYTES: usize = 256 * 1024;
/// The pause before lines are read again from a store that was unavailable.
const RETRY_AFTER: Duration = Duration::from_millis(500);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An execution that is followed, with its calls of other actions or without.
type Key = (ExecutionId, bool);

/// The executions that have followers.
#[derive(Debug)]
pub(crate) struct LogFanout {
    coordinator: Coordinator,
    followed: Mutex<HashMap<Key, Weak<Followed>>>,
}

/// Encoded events for all followers.
#[derive(Clone, Debug)]
struct Batch {
    bytes: Bytes,
    /// The numbers of the first and last line, if it has lines.
    lines: Option<(u64, u64)>,
    /// If true, nothing follows.
    last: bool,
}

/// The latest events, for followers that join.
#[derive(Debug)]
struct Head {
    /// The last line that was sent to the followers.
    position: u64,
    status: Option<Bytes>,
    progress: Option<Bytes>,
    end: Option<Bytes>,
}

#[derive(Debug)]
struct Shared {
    id: ExecutionId,
    calls: bool,
    head: Mutex<Head>,
    batches: broadcast::Sender<Batch>,
}

/// An execution with at least one follower. The followers own the task that reads it.
#[derive(Debug)]
struct Followed {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl LogFanout {
    pub(crate) fn new(coordinator: Coordinator) -> Self {
        Self { coordinator, followed: Mutex::default() }
    }

    /// Follows an execution from a line on. A caller who does not see everything receives nothing of
    /// the actions that it calls.
    pub(super) fn follow(&self, readable: Readable, after: u64) -> Follower {
        let key = (readable.id(), readable.sight().is_everything());
        let mut all = lock(&self.followed);
        all.retain(|_, followed| followed.strong_count() > 0);
        let known = all.get(&key).and_then(Weak::upgrade);
        let followed = known.unwrap_or_else(|| {
            let position = readable.execution.log_lines();
            let followed = Arc::new(Followed::start(&self.coordinator, key, position));
            all.insert(key, Arc::downgrade(&followed));
            followed
        });
        drop(all);
        Follower::of(followed, readable, after)
    }
}

impl Followed {
    fn start(coordinator: &Coordinator, (id, calls): Key, position: u64) -> Self {
        let head = Head { position, status: None, progress: None, end: None };
        let batches = broadcast::channel(KEPT).0;
        let shared = Arc::new(Shared { id, calls, head: Mutex::new(head), batches });
        let task = tokio::spawn(read(shared.clone(), coordinator.clone(), position));
        Self { shared, task }
    }
}

impl Shared {
    /// Sends a batch to all followers and updates the head.
    ///
    /// Both happen under the lock that [`Follower::join`] takes: a follower that joins has either
    /// the new head, or a subscription that receives the batch, and never both or neither.
    fn send(
        &self,
        bytes: Bytes,
        lines: Option<(u64, u64)>,
        remember: impl FnOnce(&mut Head, &Bytes),
    ) {
        let mut head = lock(&self.head);
        if let Some((_, last)) = lines {
            head.position = last;
        }
        remember(&mut head, &bytes);
        let last = head.end.is_some();
        // Sending fails only if the last follower has just left.
        let _ = self.batches.send(Batch { bytes, lines, last });
    }

    fn send_lines(&self, batch: LogBatch) {
        if let Some((bytes, first, last)) = batch.finish() {
            self.send(bytes, Some((first, last)), |_, _| ());
        }
    }

    fn send_event(&self, position: u64, event: ExecutionEvent<'_>) {
        let latest: Option<fn(&mut Head) -> &mut Option<Bytes>> = match event {
            ExecutionEvent::Status(_) => Some(|head| &mut head.status),
            ExecutionEvent::Progress(_) => Some(|head| &mut head.progress),
            ExecutionEvent::Complete(_) => Some(|head| &mut head.end),
            _ => None,
        };
        self.send(execution_event(self.id, position, event), None, |head, bytes| {
            if let Some(latest) = latest {
                *latest(head) = Some(bytes.clone());
            }
        });
    }

    /// Ends the stream of all followers, without an event.
    fn send_end(&self) {
        self.send(Bytes::new(), None, |head, empty| head.end = Some(empty.clone()));
    }
}

/// Reads an execution for all its followers.
async fn read(shared: Arc<Shared>, coordinator: Coordinator, mut position: u64) {
    let (id, calls) = (shared.id, shared.calls);
    let mut events = match coordinator.handle(id).await {
        Ok(handle) => handle.events(position),
        Err(error) => {
            tracing::warn!(execution = %id, %error, "cannot follow an execution");
            return shared.send_end();
        }
    };
    loop {
        let mut batch = LogBatch::new(id, position, calls);
        let mut event = Some(events.next().await);
        // Events that are ready now are sent together.
        while let Some(next) = event.take() {
            match next {
                // The coordinator has shut down.
                None => {
                    shared.send_lines(batch);
                    return shared.send_end();
                }
                Some(Event::Logs(chunk)) => {
                    batch.append(&chunk, u64::MAX);
                    position = batch.last();
                    if batch.len() >= BATCH_BYTES {
                        let next = LogBatch::new(id, position, calls);
                        shared.send_lines(std::mem::replace(&mut batch, next));
                    }
                }
                Some(event) => {
                    if let Some(event) = ExecutionEvent::of(&event) {
                        let last = event.is_last();
                        if last {
                            let next = LogBatch::new(id, position, calls);
                            shared.send_lines(std::mem::replace(&mut batch, next));
                        }
                        shared.send_event(position, event);
                        if last {
                            return;
                        }
                    }
                }
            }
            event = events.next().now_or_never();
        }
        let few = batch.len() < BATCH_BYTES / 2;
        shared.send_lines(batch);
        if few {
            tokio::time::sleep(GATHER).await;
        } else {
            tokio::task::yield_now().await;
        }
    }
}

/// A client that follows an execution.
#[derive(Debug)]
pub(super) struct Follower {
    followed: Arc<Followed>,
    readable: Readable,
    batches: broadcast::Receiver<Batch>,
    /// The last line that was returned.
    after: u64,
    /// The line up to which it reads on its own.
    until: u64,
    ready: VecDeque<Bytes>,
    /// The events that follow the lines that it reads on its own.
    then: Vec<Bytes>,
    ended: bool,
}

impl Follower {
    fn of(followed: Arc<Followed>, readable: Readable, after: u64) -> Self {
        let batches = followed.shared.batches.subscribe();
        let mut follower = Self {
            followed,
            readable,
            batches,
            after,
            until: 0,
            ready: VecDeque::new(),
            then: Vec::new(),
            ended: false,
        };
        follower.join();
        follower
    }

    /// Subscribes to all batches from now on, and reads the lines before them on its own.
    fn join(&mut self) {
        let head = lock(&self.followed.shared.head);
        self.batches = self.followed.shared.batches.subscribe();
        self.until = head.position;
        self.ended = head.end.is_some();
        if head.end.is_none() {
            self.ready.extend(head.status.clone());
        }
        self.then = head.progress.iter().chain(&head.end).cloned().collect();
    }

    /// Returns the next events; `None` after the end, and once the caller may not read them.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        let bytes = self.next_of_all().await?;
        self.readable.sight().shows(&self.readable.execution).then_some(bytes)
    }

    async fn next_of_all(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(bytes);
            }
            if self.after < self.until {
                self.read_missing().await;
                continue;
            }
            self.ready.extend(self.then.drain(..).filter(|bytes| !bytes.is_empty()));
            if !self.ready.is_empty() {
                continue;
            }
            if self.ended {
                return None;
            }
            match self.batches.recv().await {
                Ok(Batch { lines: Some((_, last)), .. }) if last <= self.after => {}
                // The client has some of these lines already: read the others on its own.
                Ok(Batch { lines: Some((first, last)), .. }) if first != self.after + 1 => {
                    self.until = last;
                }
                Ok(batch) => {
                    self.after = batch.lines.map_or(self.after, |(_, last)| last);
                    self.ended = batch.last;
                    self.ready.extend(Some(batch.bytes).filter(|bytes| !bytes.is_empty()));
                }
                Err(RecvError::Lagged(_)) => self.join(),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Reads one portion of the lines that it lacks.
    async fn read_missing(&mut self) {
        let id = self.followed.shared.id;
        let mut batch = LogBatch::new(id, self.after, self.followed.shared.calls);
        match self.readable.logs(self.after, READ_BYTES).await {
            Ok(chunks) => chunks.iter().for_each(|chunk| batch.append(chunk, self.until)),
            Err(error) if error.is_retryable() => {
                tracing::warn!(execution = %id, %error, "followed lines wait for the store");
                return tokio::time::sleep(RETRY_AFTER).await;
            }
            Err(error) => tracing::warn!(execution = %id, %error, "cannot read a followed log"),
        }
        // Skip lines that can never be read, or were removed by the retention limit.
        let stuck = batch.last() == self.after;
        self.after = if stuck { self.until } else { batch.last() };
        self.ready
            .extend(batch.finish().map(|(bytes, ..)| bytes).filter(|bytes| !bytes.is_empty()));
    }
}
