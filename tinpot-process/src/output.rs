//! Reads the standard streams of a program.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tinpot_contain::{LineSplitter, OutputMeter, Part, Pipe};
use tinpot_core::{Context, Level, Stream};
use tokio::time::Instant;

/// The size of one read.
const READ_BYTES: usize = 64 * 1024;
/// After this number of reads in a row, each this soon after the one before, lines come quickly …
const QUICK_READS: u32 = 4;
const QUICKLY: Duration = Duration::from_millis(1);
/// … and the pipes are polled at this interval: a wake-up for each line costs more than the line.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// The longest line in the message of a failure.
const LAST_BYTES: usize = 500;

/// One standard stream.
#[derive(Debug)]
struct Output {
    pipe: Pipe,
    lines: LineSplitter,
    capacity: usize,
    stream: Stream,
    level: Level,
}

/// Both standard streams of a program.
#[derive(Debug)]
pub(crate) struct Outputs {
    both: [Output; 2],
    buffer: Box<[u8]>,
    found: Vec<Part>,
    /// Counts the output. Output beyond its limit is dropped.
    pub(crate) meter: Arc<OutputMeter>,
    /// The last lines that are not blank, of both streams.
    last: [String; 2],
}

impl Outputs {
    /// Creates the pipes of a program; returns the reading ends, and the writing ends of standard
    /// output and standard error.
    pub(crate) fn of_program() -> io::Result<(Self, OwnedFd, OwnedFd)> {
        Self::pipes([(Stream::Stdout, Level::Info), (Stream::Stderr, Level::Error)])
    }

    /// Creates the pipes of a tool that sets up an environment.
    pub(crate) fn of_setup() -> io::Result<(Self, OwnedFd, OwnedFd)> {
        Self::pipes([(Stream::System, Level::Info); 2])
    }

    fn pipes(kinds: [(Stream, Level); 2]) -> io::Result<(Self, OwnedFd, OwnedFd)> {
        let [first, second] = kinds;
        let (stdout, stdout_writer) = Output::pipe(first)?;
        let (stderr, stderr_writer) = Output::pipe(second)?;
        let outputs = Self {
            both: [stdout, stderr],
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            found: Vec::new(),
            meter: Arc::default(),
            last: Default::default(),
        };
        Ok((outputs, stdout_writer, stderr_writer))
    }

    /// Returns the last line that is not blank: of standard error, if there is one.
    pub(crate) fn last_line(self) -> String {
        let [stdout, stderr] = self.last;
        let mut line = if stderr.is_empty() { stdout } else { stderr };
        if line.len() > LAST_BYTES {
            let end = (0..=LAST_BYTES).rev().find(|at| line.is_char_boundary(*at));
            line.truncate(end.unwrap_or_default());
            line.push('…');
        }
        line
    }

    /// Writes lines to the log as they come, until `finishing` is set, once all writers are dead;
    /// then writes all that is in the pipes.
    pub(crate) async fn pump(&mut self, context: &Context, finishing: &AtomicBool) {
        let mut last = Instant::now();
        let mut quick = 0;
        while let Some(index) = Self::readable(&mut self.both, finishing).await {
            let read = self.both[index].pipe.read_ready(&mut self.buffer);
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
            while self.read_all(index, context).await > 0 {}
            self.both[index].lines.finish(&mut self.found);
            self.write(index, context).await;
        }
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
        if self.found.is_empty() {
            return;
        }
        let lines = self.found.drain(..).map(|part| match part {
            Part::Line(line) => line,
            // There is no prefix of marks.
            Part::Mark(mark) => String::from_utf8_lossy(&mark).into_owned(),
        });
        let lines: Vec<String> = lines.collect();
        if let Some(last) = lines.iter().rev().find(|line| !line.trim().is_empty()) {
            self.last[index].clone_from(last);
        }
        let Output { stream, level, .. } = self.both[index];
        context.logs().write(stream, level, lines).await;
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
    fn pipe((stream, level): (Stream, Level)) -> io::Result<(Self, OwnedFd)> {
        let (pipe, capacity, writer) = Pipe::open()?;
        Ok((Self { pipe, lines: LineSplitter::default(), capacity, stream, level }, writer))
    }
}
