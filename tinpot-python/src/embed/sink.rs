//! Where what an attempt prints goes.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll, Waker};

use pyo3::Python;
use tinpot_core::Context;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use crate::calls::CallRequest;
use crate::line_splitter::LineSplitter;
use crate::markup_lines::MarkupReader;

/// Takes what one attempt prints, and hands it on line by line.
#[derive(Debug)]
pub(super) struct Sink {
    context: Context,
    /// Of all attempts: one that waits for a child gives its own away.
    slots: Arc<Semaphore>,
    runtime: Handle,
    /// Set when nobody waits for the attempt any more: from then on nothing it prints is kept, and printing never waits.
    given_up: watch::Receiver<bool>,
    lines: [Mutex<LineSplitter>; 2],
    marks: tokio::sync::Mutex<MarkupReader>,
}

impl Sink {
    pub(super) fn new(
        context: Context,
        slots: Arc<Semaphore>,
        given_up: watch::Receiver<bool>,
        mark: &str,
    ) -> Self {
        let marks = tokio::sync::Mutex::new(MarkupReader::new(mark));
        let runtime = Handle::current();
        Self { context, slots, runtime, given_up, lines: Default::default(), marks }
    }

    /// Has another action run, without the interpreter's lock; the line to answer with, `None` when nobody waits for the attempt any more.
    pub(super) fn call(&self, py: Python<'_>, line: &[u8]) -> serde_json::Result<Option<Vec<u8>>> {
        let asked = CallRequest::read(line)?;
        let mut given_up = self.given_up.clone();
        let _away = asked.wait.then(|| PlaceGivenAway::new(self));
        Ok(py.detach(|| {
            self.runtime.block_on(async {
                tokio::select! {
                    answer = asked.answer(&self.context) => Some(answer),
                    _ = given_up.wait_for(|given_up| *given_up) => None,
                    // A request to end is an exception, which only code that runs can meet.
                    _ = self.context.stopped() => None,
                }
            })
        }))
    }

    /// Takes what was printed to standard output (0) or standard error (1); waits, without the interpreter's lock, while the log is full.
    pub(super) fn write(&self, py: Python<'_>, stream: usize, data: &[u8]) {
        let mut found = Vec::new();
        self.with(stream, |lines| lines.feed(data, &mut found));
        self.hand_on(py, stream, found);
    }

    /// Hands on what was printed without a line end.
    pub(super) fn finish(&self, py: Python<'_>) {
        for stream in 0..self.lines.len() {
            let mut found = Vec::new();
            self.with(stream, |lines| lines.finish(&mut found, false));
            self.hand_on(py, stream, found);
        }
    }

    fn with(&self, stream: usize, change: impl FnOnce(&mut LineSplitter)) {
        if let Some(lines) = self.lines.get(stream) {
            change(&mut lines.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn hand_on(&self, py: Python<'_>, stream: usize, found: Vec<String>) {
        if found.is_empty() || *self.given_up.borrow() {
            return;
        }
        let mut write = pin!(async {
            self.marks.lock().await.write(&self.context, stream, found).await;
        });
        // Nearly always there is room, and nothing to wait for.
        if let Poll::Ready(()) = write.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
            return;
        }
        let mut given_up = self.given_up.clone();
        py.detach(|| {
            self.runtime.block_on(async {
                tokio::select! {
                    () = write => {}
                    _ = given_up.wait_for(|given_up| *given_up) => {}
                }
            });
        });
    }
}

/// A place that another attempt may have; it is taken away again once this is dropped and one is free.
struct PlaceGivenAway<'a>(&'a Sink);

impl<'a> PlaceGivenAway<'a> {
    fn new(sink: &'a Sink) -> Self {
        sink.slots.add_permits(1);
        Self(sink)
    }
}

impl Drop for PlaceGivenAway<'_> {
    fn drop(&mut self) {
        let slots = self.0.slots.clone();
        self.0.runtime.spawn(async move {
            if let Ok(place) = slots.acquire().await {
                place.forget();
            }
        });
    }
}
