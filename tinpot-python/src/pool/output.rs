//! Reads the standard streams of an interpreter.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tinpot_contain::{LineSplitter, OutputMeter, Part, Pipe};
use tinpot_core::Context;
use tokio::time::Instant;

use crate::markup_lines::{self, MarkupReader};

/// The target of log events that are output of Python code, of which programs that print no other
/// events show at least these.
const TARGET: &str = "tinpot_python::output";
/// The size of one read.
const READ_BYTES: usize = 64 * 1024;
/// After this number of reads in a row, each this soon after the one before, lines come quickly …
const QUICK_READS: u32 = 4;
const QUICKLY: Duration = Duration::from_millis(1);
/// … and the pipes are polled at this interval. With 100,000 lines on 2026-11-21, it took 0.65 s to
/// wake the runtime at every write, and 0.23 s to poll.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

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
    found: Vec<Part>,
    markup: MarkupReader,
    /// Counts the output. Output beyond its limit is dropped.
    pub(super) meter: Arc<OutputMeter>,
}

impl Outputs {
    /// Creates two pipes; returns the reading ends, and the writing ends of standard output and
    /// standard error.
    pub(super) fn pipes(mark: &str) -> io::Result<(Self, OwnedFd, OwnedFd)> {
        let prefix = markup_lines::prefix(mark);
        let (stdout, stdout_writer) = Output::pipe(&prefix)?;
        let (stderr, stderr_writer) = Output::pipe(&prefix)?;
        let outputs = Self {
            both: [stdout, stderr],
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            found: Vec::new(),
            markup: MarkupReader::new(),
            meter: Arc::default(),
        };
        Ok((outputs, stdout_writer, stderr_writer))
    }

    /// Writes lines to the log as they come, until `finishing` is set; then writes all that is in
    /// the pipes.
    ///
    /// Writes to a pipe are synchronous: the output of the attempt is in the pipe when its reply is
    /// here.
    pub(super) async fn pump(&mut self, context: &Context, finishing: &AtomicBool) {
        self.markup = MarkupReader::new();
        let mut last = Instant::now();
        let mut quick = 0;
        loop {
            let readable = tokio::select! {
                biased;
                readable = Self::readable(&mut self.both, finishing) => readable,
                () = self.markup.due() => {
                    self.show(context);
                    continue;
                }
            };
            let Some(index) = readable else { break };
            let pipe = &mut self.both[index].pipe;
            let read = pipe.read_ready(&mut self.buffer);
            self.take(index, read);
            self.write(index, context).await;
            let now = Instant::now();
            quick = if now - last < QUICKLY { quick + 1 } else { 0 };
            last = now;
            if quick >= QUICK_READS {
                self.poll_while_busy(context, finishing).await;
                quick = 0;
            }
        }
        for index in 0..self.both.len() {
            // A process of another attempt may go on writing: at most one full pipe belongs to this
            // attempt.
            self.read_all(index, context).await;
            self.both[index].lines.finish(&mut self.found);
            self.write(index, context).await;
        }
        self.markup.finish(context).await;
    }

    /// Shows the line that has no end yet.
    fn show(&mut self, context: &Context) {
        let [stdout, stderr] = &self.both;
        self.markup.show(context, &[&stdout.lines, &stderr.lines]);
    }

    /// Polls the pipes while lines come quickly, without a wake-up for each.
    async fn poll_while_busy(&mut self, context: &Context, finishing: &AtomicBool) {
        self.both.iter_mut().for_each(|output| output.pipe.unwatch());
        loop {
            tokio::select! {
                biased;
                () = finished(finishing) => return,
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
            let mut read = 0;
            for index in 0..self.both.len() {
                read += self.read_all(index, context).await;
            }
            self.show(context);
            if read == 0 {
                return;
            }
        }
    }

    /// Writes the content of a pipe to the log, at most its capacity; returns the number of bytes.
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

    /// Waits for output and returns it.
    pub(super) async fn parts(&mut self) -> Vec<Part> {
        let never = AtomicBool::new(false);
        loop {
            if !self.found.is_empty() {
                return std::mem::take(&mut self.found);
            }
            let readable = Self::readable(&mut self.both, &never).await;
            let Some(index) = readable else { return Vec::new() };
            let read = self.both[index].pipe.read_ready(&mut self.buffer);
            self.take(index, read);
        }
    }

    /// Returns the available output.
    pub(super) fn available_parts(&mut self) -> Vec<Part> {
        for index in 0..self.both.len() {
            self.split_available(index);
        }
        std::mem::take(&mut self.found)
    }

    /// Splits the content of a pipe into lines, at most its capacity.
    fn split_available(&mut self, index: usize) {
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

    /// Reads the output of an interpreter that is starting, and keeps the last lines.
    pub(super) async fn watch(&mut self, tail: &mut Tail) {
        let never = AtomicBool::new(false);
        while let Some(index) = Self::readable(&mut self.both, &never).await {
            let read = self.both[index].pipe.read_ready(&mut self.buffer);
            self.take(index, read);
            tail.take(&mut self.found);
        }
    }

    /// Reads the available output, which belongs to no attempt.
    pub(super) fn drain(&mut self, tail: &mut Tail) {
        for index in 0..self.both.len() {
            self.split_available(index);
            self.both[index].lines.finish(&mut self.found);
            tail.take(&mut self.found);
        }
    }

    /// Returns the next stream with output, or `None` once `finishing` is set.
    async fn readable(both: &mut [Output; 2], finishing: &AtomicBool) -> Option<usize> {
        if !both.iter().all(|output| output.pipe.is_watched()) {
            both.iter_mut().for_each(|output| output.pipe.watch());
        }
        let [stdout, stderr] = &*both;
        tokio::select! {
            biased;
            () = finished(finishing) => None,
            () = stdout.pipe.readable() => Some(0),
            () = stderr.pipe.readable() => Some(1),
        }
    }

    /// Splits the bytes that were read into lines.
    fn take(&mut self, index: usize, read: usize) {
        let kept = self.meter.admit(read);
        self.both[index].lines.split(&self.buffer[..kept], &mut self.found);
    }

    async fn write(&mut self, index: usize, context: &Context) {
        if !self.found.is_empty() {
            let parts = std::mem::take(&mut self.found);
            self.markup.write(context, index, parts).await;
        }
        let [stdout, stderr] = &self.both;
        self.markup.wrote(context, &[&stdout.lines, &stderr.lines]);
    }
}

/// Resolves once `finishing` is set. No waker is registered: the setter polls this future itself.
async fn finished(finishing: &AtomicBool) {
    let poll = |_: &mut std::task::Context<'_>| match finishing.load(Ordering::Relaxed) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    };
    std::future::poll_fn(poll).await;
}

impl Output {
    fn pipe(prefix: &Arc<[u8]>) -> io::Result<(Self, OwnedFd)> {
        let (pipe, capacity, writer) = Pipe::open()?;
        Ok((Self { pipe, lines: LineSplitter::with_marks(prefix), capacity }, writer))
    }
}

/// Output that belongs to no attempt. It is written to the worker's own log.
///
/// Keeps the last lines, for the error if an interpreter does not start.
#[derive(Debug, Default)]
pub(super) struct Tail {
    lines: VecDeque<String>,
    is_of_start: bool,
}

impl Tail {
    const LINES: usize = 50;

    /// Returns a tail of the output of an interpreter that is starting. Each one prints the same.
    pub(super) fn of_start() -> Self {
        Self { is_of_start: true, ..Self::default() }
    }

    pub(super) fn take(&mut self, parts: &mut Vec<Part>) {
        for part in parts.drain(..) {
            let line = match part {
                Part::Line(line) => line,
                Part::Mark(mark) => match markup_lines::read(&mark) {
                    Some(mark) if mark.has_text() => mark.into_text(),
                    _ => continue,
                },
            };
            let what = "output outside of an attempt";
            if self.is_of_start {
                tracing::debug!(target: TARGET, "{what}: {line}");
            } else {
                tracing::info!(target: TARGET, "{what}: {line}");
            }
            if self.lines.len() == Self::LINES {
                self.lines.pop_front();
            }
            self.lines.push_back(line);
        }
    }

    pub(super) fn text(&self) -> String {
        Vec::from_iter(self.lines.iter().map(String::as_str)).join("\n")
    }
}
