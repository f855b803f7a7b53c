//! The writer thread: it takes all waiting requests, writes them as one transaction, and answers
//! when the transaction is on the disk.

mod checkpoint;
mod logs;
mod opening;
mod queue_actions;
mod records;
mod retention;
mod rewrite;
mod search_index;
mod writer_loop;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use tinpot_core::Timestamp;
use tinpot_core::log_sink::LogBatch;
use tinpot_core::store::{Opened, Transition};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use self::logs::Lines;
pub(crate) use self::rewrite::{Rewrite, has_secrets, mark};
use self::writer_loop::WriterLoop;
use crate::config::Config;
use crate::error::{Problem, Result};
use crate::readers::Readers;

/// The most requests at a time. A coordinator has one batch and one append at a time.
const REQUESTS: usize = 64;

/// The work of a request.
enum Work {
    Commit { batch: Vec<Transition>, at: Timestamp },
    Append(Vec<Lines>),
    Close,
}

struct Request {
    work: Work,
    answer: oneshot::Sender<Result<()>>,
    /// Bounds the channel.
    _permit: OwnedSemaphorePermit,
}

/// A handle on the thread. Dropping it ends the thread, and waits for the write that is under way.
#[derive(Debug)]
pub(crate) struct Writer {
    path: PathBuf,
    permits: Arc<Semaphore>,
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread, which locks and opens the database and starts the next epoch.
    pub(crate) async fn start(config: Config) -> Result<(Self, Readers, Opened)> {
        let path = config.path.clone();
        // A std channel, because the thread waits with a timeout. The permits bound it.
        let (requests, inbox) = mpsc::channel();
        let (opened, answer) = oneshot::channel();
        let run = move || match WriterLoop::open(&config) {
            Ok((writer, readers, told)) => {
                // If the caller of `open` was dropped, the lock is released at once.
                if opened.send(Ok((readers, told))).is_ok() {
                    writer.run(&inbox);
                }
            }
            Err(problem) => drop(opened.send(Err(problem))),
        };
        let failed =
            |source| Problem::Io { path: path.clone(), doing: "starting the writer of", source };
        let name = "tinpot-sqlite".to_owned();
        let thread = thread::Builder::new().name(name).spawn(run).map_err(failed)?;
        let permits = Arc::new(Semaphore::new(REQUESTS));
        let requests = Some(requests);
        let writer = Self { path, permits, requests, thread: Some(thread) };
        let (readers, told) = answer.await.unwrap_or_else(|_| Err(writer.stopped()))?;
        Ok((writer, readers, told))
    }

    pub(crate) async fn commit(&self, batch: Vec<Transition>, at: Timestamp) -> Result<()> {
        self.ask(Work::Commit { batch, at }).await
    }

    pub(crate) async fn append(&self, lines: Vec<Lines>) -> Result<()> {
        self.ask(Work::Append(lines)).await
    }

    /// Writes everything and closes the database. The lock is free when this returns.
    pub(crate) async fn close(&self) -> Result<()> {
        self.ask(Work::Close).await
    }

    async fn ask(&self, work: Work) -> Result<()> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| self.stopped())?;
        let (answer, answered) = oneshot::channel();
        let request = Request { work, answer, _permit: permit };
        let requests = self.requests.as_ref().ok_or_else(|| self.stopped())?;
        requests.send(request).map_err(|_| self.stopped())?;
        answered.await.unwrap_or_else(|_| Err(self.stopped()))
    }

    fn stopped(&self) -> Problem {
        Problem::Closed { path: self.path.clone() }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed already.
            let _ = thread.join();
        }
    }
}

/// Encodes and compresses log batches for the thread. Large batches take long: see [`is_much`].
pub(crate) fn prepare(batches: &[LogBatch]) -> Result<Vec<Lines>> {
    batches.iter().map(Lines::of).collect()
}

/// Returns true if [`prepare`] would block an async thread for too long.
pub(crate) fn is_much(batches: &[LogBatch]) -> bool {
    let chunks = batches.iter().flat_map(|batch| &batch.chunks);
    chunks.map(|chunk| chunk.size_bytes()).sum::<usize>() > 128 * 1024
}
