//! The way up: commands gather while a request is under way, and the next one takes them along.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::Sink;
use hyper::Method;
use tinpot_core::transport::Command;
use tinpot_core::{Error, Result};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::connection::{Requests, Task, unavailable};
use crate::record::{self, Kind};

/// The bytes of one request; a larger frame takes several. nginx refuses bodies of more than 1 MiB
/// unless its configuration allows more.
const REQUEST_BYTES: usize = 512 * 1024;
/// The bytes that gather before the sink is full. One more frame may go beyond.
const GATHERED_BYTES: usize = 1024 * 1024;
/// The time for the answer to a request.
const PATIENCE: Duration = Duration::from_secs(20);

/// The commands that wait for the next request.
#[derive(Debug, Default)]
struct Gathered {
    state: Mutex<State>,
    flushed: Notify,
}

#[derive(Debug, Default)]
struct State {
    bytes: BytesMut,
    broken: Option<String>,
    waker: Option<Waker>,
}

impl Gathered {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the body of the next request.
    fn take(&self) -> Bytes {
        let mut state = self.lock();
        let length = state.bytes.len().min(REQUEST_BYTES);
        let body = state.bytes.split_to(length).freeze();
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        body
    }

    fn break_off(&self, reason: String) {
        let mut state = self.lock();
        state.broken = Some(reason);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }
}

/// The sink of the commands of one lane.
#[derive(Debug)]
pub(super) struct Upload {
    gathered: Arc<Gathered>,
    /// The beginning of the topics of the commands.
    prefix: String,
    _task: Task,
}

impl Upload {
    /// Sends commands to this path, whose query lacks the number of the request. `broken` gets the
    /// reason when that fails.
    pub(super) fn start(
        requests: Requests,
        path: String,
        prefix: String,
        broken: watch::Sender<Option<String>>,
    ) -> Self {
        let gathered = Arc::new(Gathered::default());
        let task = Task::spawn({
            let gathered = gathered.clone();
            async move {
                let error = send_all(requests, &path, &gathered).await;
                gathered.break_off(error.to_string());
                broken.send_replace(Some(error.to_string()));
            }
        });
        Self { gathered, prefix, _task: task }
    }
}

/// Sends what gathers, in one request after the other, until one fails.
async fn send_all(mut requests: Requests, path: &str, gathered: &Gathered) -> Error {
    let mut number = 0_u64;
    loop {
        gathered.flushed.notified().await;
        loop {
            let body = gathered.take();
            if body.is_empty() {
                break;
            }
            let path = format!("{path}&n={number}");
            match timeout(PATIENCE, requests.send(Method::POST, &path, body)).await {
                Ok(Ok(_)) => number += 1,
                Ok(Err(error)) => return error,
                Err(_) => return unavailable(format!("no answer within {PATIENCE:?}")),
            }
        }
    }
}

impl Sink<Command> for Upload {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut state = self.gathered.lock();
        if let Some(reason) = &state.broken {
            return Poll::Ready(Err(unavailable(reason)));
        }
        if state.bytes.len() < GATHERED_BYTES {
            return Poll::Ready(Ok(()));
        }
        state.waker = Some(cx.waker().clone());
        drop(state);
        self.gathered.flushed.notify_one();
        Poll::Pending
    }

    fn start_send(self: Pin<&mut Self>, command: Command) -> Result<()> {
        let (kind, topic, frame) = match command {
            Command::Publish { topic, frame } => (Kind::Frame, topic, frame),
            Command::Subscribe { topic } => (Kind::Subscribe, topic, Bytes::new()),
            Command::Unsubscribe { topic } => (Kind::Unsubscribe, topic, Bytes::new()),
        };
        let topic = topic.strip_prefix(&self.prefix).unwrap_or(&topic);
        record::encode(&mut self.gathered.lock().bytes, kind, topic, &frame);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        if let Some(reason) = &self.gathered.lock().broken {
            return Poll::Ready(Err(unavailable(reason)));
        }
        // What is flushed is on its way. The transport knows that it has arrived by its echo.
        self.gathered.flushed.notify_one();
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_flush(cx)
    }
}
