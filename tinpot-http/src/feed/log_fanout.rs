//! Executions that are followed. What is new of one is read and written once, however many follow it; who is behind reads on its own.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tinpot_core::{Coordinator, Event, ExecutionId};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::JoinHandle;

use super::frames::{self, BATCH_BYTES, Batch};

/// Batches that are kept for those who are a little behind, at most 4 MiB of an execution that floods its log.
const KEPT: usize = 64;
/// How long lines are gathered: nobody sees a tenth of a second, and a thousand connections are written to ten times a second.
const GATHER: Duration = Duration::from_millis(100);
/// What one who is behind reads at once.
const READ_BYTES: usize = 256 * 1024;
/// When lines that cannot be read now are tried again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The executions that somebody follows.
#[derive(Debug, Default)]
pub(crate) struct LogFanout(Mutex<HashMap<ExecutionId, Weak<Followed>>>);

/// Something new.
#[derive(Clone, Debug)]
struct News {
    bytes: Bytes,
    /// The numbers of the first and last line in it; none when it has none.
    lines: Option<(u64, u64)>,
    /// Nothing follows.
    last: bool,
}

/// What one who joins needs beside the log.
#[derive(Debug)]
struct Head {
    /// Everything up to this line has been told.
    position: u64,
    status: Option<Bytes>,
    progress: Option<Bytes>,
    end: Option<Bytes>,
}

#[derive(Debug)]
struct Shared {
    id: ExecutionId,
    head: Mutex<Head>,
    news: broadcast::Sender<News>,
}

/// An execution that is followed, for as long as anybody does.
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
    /// Follows an execution from a line on; `None` when it is not known.
    pub(super) async fn follow(
        &self,
        coordinator: &Coordinator,
        id: ExecutionId,
        after: u64,
    ) -> tinpot_core::Result<Option<Follower>> {
        let Some(execution) = coordinator.execution(id).await? else { return Ok(None) };
        let mut followed = lock(&self.0);
        followed.retain(|_, followed| followed.strong_count() > 0);
        let known = followed.get(&id).and_then(Weak::upgrade);
        let one = known.unwrap_or_else(|| {
            let one = Arc::new(Followed::start(coordinator, id, execution.log_lines()));
            followed.insert(id, Arc::downgrade(&one));
            one
        });
        drop(followed);
        Ok(Some(Follower::of(one, coordinator.clone(), after)))
    }
}

impl Followed {
    fn start(coordinator: &Coordinator, id: ExecutionId, position: u64) -> Self {
        let head = Head { position, status: None, progress: None, end: None };
        let news = broadcast::channel(KEPT).0;
        let shared = Arc::new(Shared { id, head: Mutex::new(head), news });
        let task = tokio::spawn(read(shared.clone(), coordinator.clone(), position));
        Self { shared, task }
    }
}

impl Shared {
    /// Tells everybody, and remembers what is for those who join later: both or neither, for anyone who looks.
    fn tell(
        &self,
        bytes: Bytes,
        lines: Option<(u64, u64)>,
        remember: impl FnOnce(&mut Head, Bytes),
    ) {
        let mut head = lock(&self.head);
        if let Some((_, last)) = lines {
            head.position = last;
        }
        remember(&mut head, bytes.clone());
        let last = head.end.is_some();
        // Nobody may be there just now.
        let _ = self.news.send(News { bytes, lines, last });
    }

    fn tell_lines(&self, batch: Batch) {
        if let Some((bytes, first, last)) = batch.finish() {
            self.tell(bytes, Some((first, last)), |_, _| ());
        }
    }
}

/// Reads what is new for all who follow.
async fn read(shared: Arc<Shared>, coordinator: Coordinator, mut position: u64) {
    let id = shared.id;
    let mut events = match coordinator.handle(id).await {
        Ok(handle) => handle.events(position),
        Err(error) => {
            tracing::warn!(execution = %id, %error, "cannot be followed");
            return shared.tell(Bytes::new(), None, |head, end| head.end = Some(end));
        }
    };
    loop {
        let mut batch = Batch::new(id, position);
        let mut event = Some(events.next().await);
        // What is there already goes out together.
        while let Some(next) = event.take() {
            match next {
                Some(Event::Logs(chunk)) => {
                    batch.take(&chunk, u64::MAX);
                    position = batch.last();
                    if batch.len() >= BATCH_BYTES {
                        shared.tell_lines(std::mem::replace(&mut batch, Batch::new(id, position)));
                    }
                }
                // The end of a status is told by `complete`, after the log.
                Some(Event::Status(status)) if status.is_terminal() => {}
                Some(Event::Status(status)) => {
                    let status = frames::status(id, position, status);
                    shared.tell(status, None, |head, status| head.status = Some(status));
                }
                Some(Event::Progress(progress)) => {
                    let progress = frames::progress(id, position, &progress);
                    shared.tell(progress, None, |head, progress| head.progress = Some(progress));
                }
                Some(Event::Finished(outcome)) => {
                    shared.tell_lines(batch);
                    let complete = frames::complete(id, position, &outcome);
                    return shared.tell(complete, None, |head, end| head.end = Some(end));
                }
                // Something newer than this crate.
                Some(_) => {}
                // The coordinator has shut down.
                None => {
                    shared.tell_lines(batch);
                    return shared.tell(Bytes::new(), None, |head, end| head.end = Some(end));
                }
            }
            event = events.next().now_or_never();
        }
        let few = batch.len() < BATCH_BYTES / 2;
        shared.tell_lines(batch);
        if few {
            tokio::time::sleep(GATHER).await;
        } else {
            tokio::task::yield_now().await;
        }
    }
}

/// One who follows an execution.
#[derive(Debug)]
pub(super) struct Follower {
    followed: Arc<Followed>,
    coordinator: Coordinator,
    news: broadcast::Receiver<News>,
    /// The last line that was handed over.
    after: u64,
    /// It reads on its own up to this line.
    until: u64,
    ready: VecDeque<Bytes>,
    /// What comes when it has read up to there.
    then: Vec<Bytes>,
    ended: bool,
}

impl Follower {
    fn of(followed: Arc<Followed>, coordinator: Coordinator, after: u64) -> Self {
        let news = followed.shared.news.subscribe();
        let mut follower = Self {
            followed,
            coordinator,
            news,
            after,
            until: 0,
            ready: VecDeque::new(),
            then: Vec::new(),
            ended: false,
        };
        follower.join();
        follower
    }

    /// From here on it is told everything; what was told before, it reads.
    fn join(&mut self) {
        let head = lock(&self.followed.shared.head);
        self.news = self.followed.shared.news.subscribe();
        self.until = head.position;
        self.ended = head.end.is_some();
        if head.end.is_none() {
            self.ready.extend(head.status.clone());
        }
        self.then = head.progress.iter().chain(&head.end).cloned().collect();
    }

    /// The next events; `None` after the end.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(bytes);
            }
            if self.after < self.until {
                self.read_on().await;
                continue;
            }
            self.ready.extend(self.then.drain(..).filter(|bytes| !bytes.is_empty()));
            if !self.ready.is_empty() {
                continue;
            }
            if self.ended {
                return None;
            }
            match self.news.recv().await {
                Ok(News { lines: Some((_, last)), .. }) if last <= self.after => {}
                // It has some of these lines already, from elsewhere.
                Ok(News { lines: Some((first, last)), .. }) if first != self.after + 1 => {
                    self.until = last;
                }
                Ok(news) => {
                    self.after = news.lines.map_or(self.after, |(_, last)| last);
                    self.ended = news.last;
                    self.ready.extend(Some(news.bytes).filter(|bytes| !bytes.is_empty()));
                }
                Err(RecvError::Lagged(_)) => self.join(),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Reads one portion of what it lacks.
    async fn read_on(&mut self) {
        let id = self.followed.shared.id;
        let mut batch = Batch::new(id, self.after);
        match self.coordinator.logs(id, self.after, READ_BYTES).await {
            Ok(chunks) => chunks.iter().for_each(|chunk| batch.take(chunk, self.until)),
            Err(error) if error.is_retryable() => {
                tracing::warn!(execution = %id, %error, "lines that are watched wait for the store");
                return tokio::time::sleep(LOOK_AGAIN).await;
            }
            Err(error) => tracing::warn!(execution = %id, %error, "the log cannot be read"),
        }
        // What will never be read, or is kept no longer, is passed over.
        let stuck = batch.last() == self.after;
        self.after = if stuck { self.until } else { batch.last() };
        self.ready
            .extend(batch.finish().map(|(bytes, ..)| bytes).filter(|bytes| !bytes.is_empty()));
    }
}
