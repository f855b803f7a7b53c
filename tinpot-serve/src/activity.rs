//! The times of one connection: what it waits for, and since when.
//!
//! Nothing here is a timer. A read, a write and a request only note the time; the task of the
//! connection looks at the earliest deadline when it would otherwise sleep.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::Body;
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::sync::Notify;
use tokio::time::Sleep;

use crate::ConnectionLimits;

/// Shared by the parts of one connection, which run on one task, most of the time.
#[derive(Debug)]
pub(super) struct Activity {
    begin: Instant,
    /// The requests that are being answered: one, or none.
    requests: AtomicU32,
    /// The milliseconds at which the wait for a head began.
    waiting_since: AtomicU64,
    /// One if a part of the head has arrived, or if it is the first.
    in_head: AtomicU32,
    /// The milliseconds at which a write had to wait, plus one; zero if none waits.
    blocked_since: AtomicU64,
    /// Told once if the connection has to make room for others.
    given_up: Notify,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            begin: Instant::now(),
            requests: AtomicU32::new(0),
            waiting_since: AtomicU64::new(0),
            in_head: AtomicU32::new(1),
            blocked_since: AtomicU64::new(0),
            given_up: Notify::new(),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Ends the connection if it has no request. Returns false if it has one.
    pub(super) fn give_up(&self) -> bool {
        let is_waiting = self.is_waiting();
        if is_waiting {
            self.given_up.notify_one();
        }
        is_waiting
    }

    /// Waits until the connection has to end. Only one part of it may wait.
    pub(super) async fn given_up(&self) {
        self.given_up.notified().await;
    }

    /// Returns true if the connection has no request.
    pub(super) fn is_waiting(&self) -> bool {
        self.requests.load(Relaxed) == 0
    }

    /// A request has arrived. It ends with the returned value.
    pub(super) fn request(self: &Arc<Self>) -> Request {
        self.requests.fetch_add(1, Relaxed);
        Request(self.clone())
    }

    /// Bytes have arrived.
    fn arrived(&self) {
        if self.requests.load(Relaxed) == 0 && self.in_head.swap(1, Relaxed) == 0 {
            self.waiting_since.store(self.now(), Relaxed);
        }
    }

    fn wrote(&self, done: bool) {
        if done {
            if self.blocked_since.load(Relaxed) != 0 {
                self.blocked_since.store(0, Relaxed);
            }
        } else if self.blocked_since.load(Relaxed) == 0 {
            self.blocked_since.store(self.now() + 1, Relaxed);
        }
    }

    /// Returns the next deadline, if there is one, and what is late then.
    pub(super) fn deadline(&self, limits: &ConnectionLimits) -> Option<(Instant, &'static str)> {
        let at = |since: u64, limit: Duration| self.begin + Duration::from_millis(since) + limit;
        let blocked = self.blocked_since.load(Relaxed);
        let writing =
            (blocked > 0).then(|| (at(blocked - 1, limits.write), "client reads nothing"));
        let since = self.waiting_since.load(Relaxed);
        let reading =
            (self.requests.load(Relaxed) == 0).then(|| match self.in_head.load(Relaxed) {
                0 => (at(since, limits.idle), "connection is idle"),
                _ => (at(since, limits.head), "head of a request is incomplete"),
            });
        [writing, reading].into_iter().flatten().min_by_key(|(deadline, _)| *deadline)
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Request(Arc<Activity>);

impl Drop for Request {
    fn drop(&mut self) {
        if self.0.requests.fetch_sub(1, Relaxed) == 1 {
            self.0.waiting_since.store(self.0.now(), Relaxed);
            self.0.in_head.store(0, Relaxed);
        }
    }
}

/// A connection that notes its reads and writes.
#[derive(Debug)]
pub(super) struct Noted<IO> {
    io: IO,
    activity: Arc<Activity>,
}

impl<IO> Noted<IO> {
    pub(super) fn new(io: IO, activity: Arc<Activity>) -> Self {
        Self { io, activity }
    }
}

impl<IO: Read + Unpin> Read for Noted<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, buf));
        self.activity.arrived();
        Poll::Ready(read)
    }
}

impl<IO: Write + Unpin> Write for Noted<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.activity.wrote(written.is_ready());
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.activity.wrote(written.is_ready());
        written
    }
}

/// The body of a request, which fails if it does not arrive.
#[derive(Debug)]
pub(super) struct Arriving {
    body: Incoming,
    limit: Duration,
    /// Set up at the first wait: most bodies arrive with their heads.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Arriving {
    pub(super) fn new(body: Incoming, limit: Duration) -> Self {
        Self { body, limit, timer: None }
    }
}

impl hyper::body::Body for Arriving {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.timer = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(this.limit)));
        ready!(timer.as_mut().poll(cx));
        let why = format!("no byte of the body arrived within {} s", this.limit.as_secs_f64());
        Poll::Ready(Some(Err(std::io::Error::new(std::io::ErrorKind::TimedOut, why).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer, whose end is that of the request.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) body: Body,
    pub(super) _request: Request,
}

impl hyper::body::Body for Leaving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
