//! Where what an attempt prints goes.

use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use pyo3::Python;
use tinpot_core::{Level, LogWriter, Stream};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::lines::Lines;

/// Takes what one attempt prints, and hands it on line by line.
#[derive(Debug)]
pub(super) struct Sink {
    logs: LogWriter,
    runtime: Handle,
    /// Set when nobody waits for the attempt any more: from then on nothing it prints is kept, and printing never waits.
    given_up: watch::Receiver<bool>,
    lines: [Mutex<Lines>; 2],
}

impl Sink {
    pub(super) fn new(logs: LogWriter, runtime: Handle, given_up: watch::Receiver<bool>) -> Self {
        Self { logs, runtime, given_up, lines: Default::default() }
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

    fn with(&self, stream: usize, change: impl FnOnce(&mut Lines)) {
        if let Some(lines) = self.lines.get(stream) {
            change(&mut lines.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn hand_on(&self, py: Python<'_>, stream: usize, found: Vec<String>) {
        if found.is_empty() || *self.given_up.borrow() {
            return;
        }
        let (stream, level) = match stream {
            0 => (Stream::Stdout, Level::Info),
            _ => (Stream::Stderr, Level::Error),
        };
        let mut write = pin!(self.logs.write(stream, level, found));
        // Nearly always there is room, and nothing to wait for.
        if let Poll::Ready(()) = write.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
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
