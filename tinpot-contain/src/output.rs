//! Reads the standard streams of a program.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use crate::{LineSplitter, OutputMeter, Part, Pipe};

/// The size of one read.
const READ_BYTES: usize = 64 * 1024;
/// After this number of reads in a row, each this soon after the one before, lines come quickly …
const QUICK_READS: u32 = 4;
const QUICKLY: Duration = Duration::from_millis(1);
/// … and the pipes are polled at this interval. With 100,000 lines on 2026-11-21, it took 0.65 s to
/// wake the runtime at every write, and 0.23 s to poll.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// The destination of the output that [`OutputPipes::pump`] reads.
pub trait OutputSink: Send {
    /// Takes lines and marks of standard output (0) or standard error (1).
    fn write(&mut self, stream: usize, parts: Vec<Part>) -> impl Future<Output = ()> + Send;

    /// Takes note that all that was read has been written. `splitters` have what is unfinished.
    fn wrote(&mut self, splitters: [&LineSplitter; 2]);

    /// Resolves when an unfinished line is to be shown.
    fn due(&self) -> impl Future<Output = ()> + Send;

    /// Shows an unfinished line if it is time to.
    fn show(&mut self, splitters: [&LineSplitter; 2]);
}

/// Pipes for both standard streams of a program.
#[derive(Debug)]
pub struct OutputPipes {
    both: [Output; 2],
    buffer: Box<[u8]>,
    found: Vec<Part>,
    meter: Arc<OutputMeter>,
}

/// One standard stream.
#[derive(Debug)]
struct Output {
    pipe: Pipe,
    lines: LineSplitter,
    capacity: usize,
}

impl OutputPipes {
    /// Creates two pipes; returns the reading ends, and the writing ends of standard output and
    /// standard error. Lines that begin with `prefix`, if there is one, are marks.
    ///
    /// # Errors
    /// The system's, if it gives no pipes.
    pub fn open(prefix: Option<&Arc<[u8]>>) -> io::Result<(Self, OwnedFd, OwnedFd)> {
        let (stdout, stdout_writer) = Output::open(prefix)?;
        let (stderr, stderr_writer) = Output::open(prefix)?;
        let pipes = Self {
            both: [stdout, stderr],
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            found: Vec::new(),
            meter: Arc::default(),
        };
        Ok((pipes, stdout_writer, stderr_writer))
    }

    /// Returns the meter of the output. Output beyond its limit is dropped.
    pub fn meter(&self) -> &Arc<OutputMeter> {
        &self.meter
    }

    /// Hands lines to `sink` as they come, until `finishing` is set; then all that is in the pipes,
    /// the unfinished lines too.
    ///
    /// Writes to a pipe are synchronous: what a program wrote before it reported its end is in the
    /// pipe when the report is here.
    pub async fn pump(&mut self, sink: &mut impl OutputSink, finishing: &AtomicBool) {
        let mut last = Instant::now();
        let mut quick = 0;
        loop {
            let readable = tokio::select! {
                biased;
                readable = Self::readable(&mut self.both, finishing) => readable,
                () = sink.due() => {
                    sink.show(self.splitters());
                    continue;
                }
            };
            let Some(index) = readable else { break };
            let read = self.both[index].pipe.read_ready(&mut self.buffer);
            self.take(index, read);
            self.write(index, sink).await;
            let now = Instant::now();
            quick = if now - last < QUICKLY { quick + 1 } else { 0 };
            last = now;
            if quick >= QUICK_READS {
                self.poll_while_busy(sink, finishing).await;
                quick = 0;
            }
        }
        for index in 0..self.both.len() {
            // A process that does not belong to the attempt may go on writing: at most one full pipe
            // is the attempt's.
            self.read_all(index, sink).await;
            self.both[index].lines.finish(&mut self.found);
            self.write(index, sink).await;
        }
    }

    /// Waits for output and returns it.
    pub async fn parts(&mut self) -> Vec<Part> {
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
    pub fn available_parts(&mut self) -> Vec<Part> {
        for index in 0..self.both.len() {
            self.split_available(index);
        }
        std::mem::take(&mut self.found)
    }

    /// Returns the available output, with the lines that have no end.
    pub fn last_parts(&mut self) -> Vec<Part> {
        for index in 0..self.both.len() {
            self.split_available(index);
            self.both[index].lines.finish(&mut self.found);
        }
        std::mem::take(&mut self.found)
    }

    fn splitters(&self) -> [&LineSplitter; 2] {
        self.both.each_ref().map(|output| &output.lines)
    }

    /// Polls the pipes while lines come quickly, without a wake-up for each.
    async fn poll_while_busy(&mut self, sink: &mut impl OutputSink, finishing: &AtomicBool) {
        self.both.iter_mut().for_each(|output| output.pipe.unwatch());
        loop {
            tokio::select! {
                biased;
                () = finished(finishing) => return,
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
            let mut read = 0;
            for index in 0..self.both.len() {
                read += self.read_all(index, sink).await;
            }
            sink.show(self.splitters());
            if read == 0 {
                return;
            }
        }
    }

    /// Hands the content of a pipe to `sink`, at most its capacity; returns the number of bytes.
    async fn read_all(&mut self, index: usize, sink: &mut impl OutputSink) -> usize {
        let mut total = 0;
        while total < self.both[index].capacity {
            let read = self.both[index].pipe.read(&mut self.buffer);
            if read == 0 {
                break;
            }
            total += read;
            self.take(index, read);
            self.write(index, sink).await;
        }
        total
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

    async fn write(&mut self, index: usize, sink: &mut impl OutputSink) {
        if !self.found.is_empty() {
            sink.write(index, std::mem::take(&mut self.found)).await;
        }
        sink.wrote(self.splitters());
    }
}

impl Output {
    fn open(prefix: Option<&Arc<[u8]>>) -> io::Result<(Self, OwnedFd)> {
        let (pipe, capacity, writer) = Pipe::open()?;
        let lines = prefix.map_or_else(LineSplitter::default, LineSplitter::with_marks);
        Ok((Self { pipe, lines, capacity }, writer))
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
