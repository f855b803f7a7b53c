//! The destination of what an attempt prints, and its calls of other actions.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll, Waker};

use pyo3::Python;
use tinpot_contain::{LineSplitter, Part};
use tinpot_core::Context;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::calls::CallRequest;
use crate::markup_lines::{self, MarkupReader};

/// Writes the output of one attempt to its log, line by line.
#[derive(Debug)]
pub(super) struct Sink {
    context: Context,
    /// The slots of all attempts. An attempt that waits for a child adds one for others.
    slots: Arc<Semaphore>,
    runtime: Handle,
    /// True once the future of the attempt was dropped. From then on its output is discarded, and
    /// printing never waits.
    given_up: watch::Receiver<bool>,
    lines: [Mutex<LineSplitter>; 2],
    marks: tokio::sync::Mutex<MarkupReader>,
    /// True while a task waits to show an unfinished line. Changed with `marks` locked.
    is_shown: AtomicBool,
}

impl Sink {
    pub(super) fn new(
        context: Context,
        slots: Arc<Semaphore>,
        given_up: watch::Receiver<bool>,
        mark: &str,
    ) -> Self {
        let marks = tokio::sync::Mutex::new(MarkupReader::new());
        let prefix = markup_lines::prefix(mark);
        let lines = [(); 2].map(|()| Mutex::new(LineSplitter::with_marks(&prefix)));
        let runtime = Handle::current();
        let is_shown = AtomicBool::new(false);
        Self { context, slots, runtime, given_up, lines, marks, is_shown }
    }

    /// Calls another action without the interpreter's lock.
    ///
    /// Returns the line to answer with; `None` if the attempt was stopped.
    pub(super) fn call(&self, py: Python<'_>, line: &[u8]) -> serde_json::Result<Option<Vec<u8>>> {
        let asked = CallRequest::read(line)?;
        let mut given_up = self.given_up.clone();
        let _slot = asked.wait.then(|| ExtraSlot::new(self));
        Ok(py.detach(|| {
            self.runtime.block_on(async {
                tokio::select! {
                    answer = asked.answer(&self.context) => Some(answer),
                    _ = given_up.wait_for(|given_up| *given_up) => None,
                    // The exception of a stop reaches Python code only, so this wait has to end.
                    _ = self.context.stopped() => None,
                }
            })
        }))
    }

    /// Writes output of standard output (0) or standard error (1).
    ///
    /// Waits, without the interpreter's lock, while the log is full.
    pub(super) fn write(self: &Arc<Self>, py: Python<'_>, stream: usize, data: &[u8]) {
        let mut found = Vec::new();
        self.with(stream, |lines| lines.split(data, &mut found));
        self.hand_on(py, stream, found);
    }

    /// Writes the last lines, which have no end.
    pub(super) fn finish(self: &Arc<Self>, py: Python<'_>) {
        for stream in 0..self.lines.len() {
            let mut found = Vec::new();
            self.with(stream, |lines| lines.finish(&mut found));
            self.hand_on(py, stream, found);
        }
        self.wait(py, async { self.marks.lock().await.finish(&self.context).await });
    }

    fn with(&self, stream: usize, change: impl FnOnce(&mut LineSplitter)) {
        if let Some(lines) = self.lines.get(stream) {
            change(&mut lines.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn hand_on(self: &Arc<Self>, py: Python<'_>, stream: usize, found: Vec<Part>) {
        self.wait(py, async {
            let mut marks = self.marks.lock().await;
            if !found.is_empty() {
                marks.write(&self.context, stream, found).await;
            }
            self.with_lines(|lines| marks.wrote(&self.context, lines));
            if let Some(due) = marks.due_at()
                && !self.is_shown.swap(true, Ordering::Relaxed)
            {
                self.runtime.spawn(self.clone().show(due));
            }
        });
    }

    /// Shows the line that has no end yet, from time to time.
    async fn show(self: Arc<Self>, mut due: Instant) {
        loop {
            tokio::time::sleep_until(due).await;
            let mut marks = self.marks.lock().await;
            self.with_lines(|lines| marks.show(&self.context, lines));
            match marks.due_at() {
                Some(next) => due = next,
                None => return self.is_shown.store(false, Ordering::Relaxed),
            }
        }
    }

    fn with_lines(&self, act: impl FnOnce(&[&LineSplitter])) {
        let [stdout, stderr] =
            self.lines.each_ref().map(|lines| lines.lock().unwrap_or_else(PoisonError::into_inner));
        act(&[&stdout, &stderr]);
    }

    /// Waits for a write, without the interpreter's lock, unless the log has no reader any more.
    fn wait(&self, py: Python<'_>, write: impl Future<Output = ()> + Send) {
        if *self.given_up.borrow() {
            return;
        }
        let mut write = pin!(write);
        // Usually there is room, so that nothing has to wait and the lock is kept.
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

/// An extra slot while an attempt waits for a child.
///
/// When this is dropped, the slot is removed as soon as one is free.
struct ExtraSlot<'a>(&'a Sink);

impl<'a> ExtraSlot<'a> {
    fn new(sink: &'a Sink) -> Self {
        sink.slots.add_permits(1);
        Self(sink)
    }
}

impl Drop for ExtraSlot<'_> {
    fn drop(&mut self) {
        let slots = self.0.slots.clone();
        self.0.runtime.spawn(async move {
            if let Ok(slot) = slots.acquire().await {
                slot.forget();
            }
        });
    }
}
