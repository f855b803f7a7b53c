//! Reads what an interpreter writes to its standard streams.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tinpot_core::Context;
use tokio::time::Instant;

use super::limit_enforcer::OutputMeter;
use super::pipe::Pipe;
use crate::line_splitter::LineSplitter;
use crate::markup_lines::MarkupReader;

/// One read takes at most this much.
const READ_BYTES: usize = 64 * 1024;
/// So many reads in a row, each this soon after the one before, show that lines come quickly …
const QUICK_READS: u32 = 4;
const QUICKLY: Duration = Duration::from_millis(1);
/// … and so often the pipes are looked at while they do. Measured on 2026-11-21: 0.65 s for 100,000 lines when every write wakes the
/// runtime, 0.23 s with this.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// One standard stream of an interpreter.
#[derive(Debug)]
struct Output {
    pipe: Pipe,
    lines: LineSplitter,
    capacity: usize,
}

/// Both standard streams of an interpreter.
#[derive(Debug)]
pub(super) struct Outputs {
    both: [Output; 2],
    buffer: Box<[u8]>,
    found: Vec<String>,
    marks: MarkupReader,
    /// What is beyond its limit is not kept.
    pub(super) meter: Arc<OutputMeter>,
}

impl Outputs {
    /// Two pipes: the reading ends, and the writing ends of standard output and standard error.
    pub(super) fn pipes(mark: &str) -> io::Result<(Self, OwnedFd, OwnedFd)> {
        let (stdout, stdout_writer) = Output::pipe()?;
        let (stderr, stderr_writer) = Output::pipe()?;
        let outputs = Self {
            both: [stdout, stderr],
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            found: Vec::new(),
            marks: MarkupReader::new(mark),
            meter: Arc::default(),
        };
        Ok((outputs, stdout_writer, stderr_writer))
    }

    /// Hands on lines as they come, until `finishing` is set; then everything that is in the pipes, and returns.
    ///
    /// Writes to a pipe are synchronous: what the attempt wrote before its reply is in the pipe when the reply is here.
    pub(super) async fn pump(&mut self, context: &Context, finishing: &AtomicBool) {
        self.marks.reset();
        let mut last = Instant::now();
        let mut quick = 0;
        while let Some(index) = self.readable(finishing).await {
            let pipe = &mut self.both[index].pipe;
            let read = pipe.read_ready(&mut self.buffer);
            self.take(index, read);
            self.write(index, context).await;
            let now = Instant::now();
            quick = if now - last < QUICKLY { quick + 1 } else { 0 };
            last = now;
            if quick >= QUICK_READS {
                self.look_now_and_then(context, finishing).await;
                quick = 0;
            }
        }
        for index in 0..self.both.len() {
            // A process that the attempt did not start may go on writing: no more than a full pipe is the attempt's.
            self.read_all(index, context).await;
            self.both[index].lines.finish(&mut self.found, false);
            self.write(index, context).await;
        }
    }

    /// The same for as long as lines come quickly, without being woken for each.
    async fn look_now_and_then(&mut self, context: &Context, finishing: &AtomicBool) {
        self.both.iter_mut().for_each(|output| output.pipe.unwatch());
        loop {
            tokio::select! {
                biased;
                () = finished(finishing) => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let mut read = 0;
            for index in 0..self.both.len() {
                read += self.read_all(index, context).await;
            }
            if read == 0 {
                return;
            }
        }
    }

    /// Hands over what is in a pipe, at most as much as it can hold; returns how many bytes that were.
    async fn read_all(&mut self, index: usize, context: &Context) -> usize {
        let mut total = 0;
        while total < self.both[index].capacity {
            let read = self.both[index].pipe.read(&mut self.buffer);
            if read == 0 {
                break;
            }
            total += read;
            self.take(index, read);
            self.write(index, context).await;
        }
        total
    }

    /// LineSplitter, as soon as there are some.
    pub(super) async fn some(&mut self) -> Vec<String> {
        let never = AtomicBool::new(false);
        loop {
            if !self.found.is_empty() {
                return std::mem::take(&mut self.found);
            }
            let Some(index) = self.readable(&never).await else { return Vec::new() };
            let read = self.both[index].pipe.read_ready(&mut self.buffer);
            self.take(index, read);
        }
    }

    /// The lines that are there now.
    pub(super) fn rest(&mut self) -> Vec<String> {
        for index in 0..self.both.len() {
            self.empty(index);
        }
        std::mem::take(&mut self.found)
    }

    /// Cuts into lines what is in a pipe now, at most as much as it can hold.
    fn empty(&mut self, index: usize) {
        let mut left = self.both[index].capacity;
        while left > 0 {
            let read = self.both[index].pipe.read(&mut self.buffer);
            if read == 0 {
                break;
            }
            left = left.saturating_sub(read);
            self.take(index, read);
        }
    }

    pub(super) fn marks(&self) -> &MarkupReader {
        &self.marks
    }

    /// Waits for and reads what comes, and keeps the last of it: for an interpreter that is starting.
    pub(super) async fn watch(&mut self, tail: &mut Tail) {
        let never = AtomicBool::new(false);
        while let Some(index) = self.readable(&never).await {
            let read = self.both[index].pipe.read_ready(&mut self.buffer);
            self.take(index, read);
            tail.take(&mut self.found);
        }
    }

    /// Reads what is there now; what comes of it belongs to no attempt.
    pub(super) fn drain(&mut self, tail: &mut Tail) {
        for index in 0..self.both.len() {
            self.empty(index);
            self.both[index].lines.finish(&mut self.found, false);
            tail.take(&mut self.found);
        }
    }

    /// The next stream that can be read, or `None` when `finishing` is set.
    async fn readable(&mut self, finishing: &AtomicBool) -> Option<usize> {
        if !self.both.iter().all(|output| output.pipe.is_watched()) {
            self.both.iter_mut().for_each(|output| output.pipe.watch());
        }
        let [stdout, stderr] = &self.both;
        tokio::select! {
            biased;
            () = finished(finishing) => None,
            () = stdout.pipe.readable() => Some(0),
            () = stderr.pipe.readable() => Some(1),
        }
    }

    /// Cuts what was read into lines.
    fn take(&mut self, index: usize, read: usize) {
        let kept = self.meter.admit(read);
        self.both[index].lines.feed(&self.buffer[..kept], &mut self.found);
    }

    async fn write(&mut self, index: usize, context: &Context) {
        if !self.found.is_empty() {
            let lines = std::mem::take(&mut self.found);
            self.marks.write(context, index, lines).await;
        }
    }
}

/// Resolves when `finishing` is set; whoever sets it polls again by itself.
async fn finished(finishing: &AtomicBool) {
    let look = |_: &mut std::task::Context<'_>| match finishing.load(Ordering::Relaxed) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    };
    std::future::poll_fn(look).await;
}

impl Output {
    fn pipe() -> io::Result<(Self, OwnedFd)> {
        let (pipe, capacity, writer) = Pipe::open()?;
        Ok((Self { pipe, lines: LineSplitter::default(), capacity }, writer))
    }
}

/// The last lines of what an interpreter wrote while no attempt ran: what is told when it does not start.
#[derive(Debug, Default)]
pub(super) struct Tail(std::collections::VecDeque<String>);

impl Tail {
    const LINES: usize = 50;

    pub(super) fn take(&mut self, lines: &mut Vec<String>) {
        for line in lines.drain(..) {
            tracing::debug!(target: "tinpot_python", "outside of an attempt: {line}");
            if self.0.len() == Self::LINES {
                self.0.pop_front();
            }
            self.0.push_back(line);
        }
    }

    pub(super) fn text(&self) -> String {
        Vec::from_iter(self.0.iter().map(String::as_str)).join("\n")
    }
}
