//! Reads what an interpreter writes to its standard streams.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use tinpot_core::{Level, LogWriter, Stream};
use tokio::net::unix::pipe::Receiver;

use super::lines::Lines;

/// One read takes at most this much.
const READ_BYTES: usize = 64 * 1024;
/// What a pipe holds where the system allows it: 100,000 short lines then wait for the reader only a few times.
const PIPE_BYTES: usize = 1024 * 1024;

/// One standard stream of an interpreter.
#[derive(Debug)]
struct Output {
    pipe: Receiver,
    stream: Stream,
    level: Level,
    lines: Lines,
    capacity: usize,
    open: bool,
}

/// Both standard streams of an interpreter.
#[derive(Debug)]
pub(super) struct Outputs {
    both: [Output; 2],
    buffer: Box<[u8]>,
    found: Vec<String>,
}

impl Outputs {
    /// Two pipes: the reading ends, and the writing ends of standard output and standard error.
    pub(super) fn pipes() -> io::Result<(Self, OwnedFd, OwnedFd)> {
        let (stdout, stdout_writer) = Output::pipe(Stream::Stdout, Level::Info)?;
        let (stderr, stderr_writer) = Output::pipe(Stream::Stderr, Level::Error)?;
        let outputs = Self {
            both: [stdout, stderr],
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            found: Vec::new(),
        };
        Ok((outputs, stdout_writer, stderr_writer))
    }

    /// Hands lines to `logs` as they come, until `finishing` is set; then everything that is in the pipes, and returns.
    ///
    /// Writes to a pipe are synchronous: what the attempt wrote before its reply is in the pipe when the reply is here.
    pub(super) async fn pump(&mut self, logs: &LogWriter, finishing: &AtomicBool) {
        while let Some(index) = self.readable(finishing).await {
            self.read(index, true);
            self.write(index, logs).await;
        }
        for index in 0..self.both.len() {
            // A process that the attempt did not start may go on writing: no more than a full pipe is the attempt's.
            let mut left = self.both[index].capacity;
            loop {
                let read = self.read(index, false);
                left = left.saturating_sub(read);
                if read == 0 || left == 0 {
                    break;
                }
                self.write(index, logs).await;
            }
            self.both[index].lines.finish(&mut self.found, false);
            self.write(index, logs).await;
        }
    }

    /// Waits for and reads what comes, and keeps the last of it: for an interpreter that is starting.
    pub(super) async fn watch(&mut self, tail: &mut Tail) {
        let never = AtomicBool::new(false);
        while let Some(index) = self.readable(&never).await {
            self.read(index, true);
            tail.take(&mut self.found);
        }
    }

    /// Reads what is there now; what comes of it belongs to no attempt.
    pub(super) fn drain(&mut self, tail: &mut Tail) {
        for index in 0..self.both.len() {
            let mut left = self.both[index].capacity;
            loop {
                let read = self.read(index, false);
                left = left.saturating_sub(read);
                if read == 0 || left == 0 {
                    break;
                }
            }
            self.both[index].lines.finish(&mut self.found, false);
            tail.take(&mut self.found);
        }
    }

    /// The next stream that can be read, or `None` when `finishing` is set.
    async fn readable(&self, finishing: &AtomicBool) -> Option<usize> {
        let [stdout, stderr] = &self.both;
        let finished = std::future::poll_fn(|_| {
            if finishing.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
        });
        tokio::select! {
            biased;
            () = finished => None,
            () = stdout.readable(), if stdout.open => Some(0),
            () = stderr.readable(), if stderr.open => Some(1),
            else => std::future::pending().await,
        }
    }

    /// Reads once without waiting; 0 when there is nothing. `notified` says that [`readable`](Self::readable) came before.
    fn read(&mut self, index: usize, notified: bool) -> usize {
        let Output { pipe, lines, open, .. } = &mut self.both[index];
        if !*open {
            return 0;
        }
        let mut result = Err(Errno::AGAIN);
        if notified {
            // What filled less than the buffer has emptied the pipe: saying so here spares the next wait a try.
            let _ = pipe.try_io(|| {
                result = rustix::io::read(&*pipe, &mut *self.buffer);
                match result {
                    Ok(read) if read == 0 || read == self.buffer.len() => Ok(()),
                    _ => Err(std::io::ErrorKind::WouldBlock.into()),
                }
            });
        } else {
            // Without a look at readiness, which lags behind what is in the pipe.
            result = rustix::io::read(&*pipe, &mut *self.buffer);
        }
        match result {
            Ok(read) if read > 0 => {
                lines.feed(&self.buffer[..read], &mut self.found);
                read
            }
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Ok(_) | Err(_) => {
                *open = false;
                0
            }
        }
    }

    async fn write(&mut self, index: usize, logs: &LogWriter) {
        if !self.found.is_empty() {
            let lines = std::mem::take(&mut self.found);
            self.found.reserve(lines.len().min(1024));
            logs.write(self.both[index].stream, self.both[index].level, lines).await;
        }
    }
}

impl Output {
    fn pipe(stream: Stream, level: Level) -> io::Result<(Self, OwnedFd)> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        // The two ends have flags of their own: the interpreter's writes wait, our reads do not.
        rustix::fs::fcntl_setfl(&reader, OFlags::NONBLOCK)?;
        let capacity = rustix::pipe::fcntl_setpipe_size(&reader, PIPE_BYTES)
            .or_else(|_| rustix::pipe::fcntl_getpipe_size(&reader))
            .unwrap_or(READ_BYTES);
        let pipe = Receiver::from_owned_fd(reader)?;
        Ok((Self { pipe, stream, level, lines: Lines::default(), capacity, open: true }, writer))
    }

    async fn readable(&self) {
        match self.pipe.readable().await {
            Ok(()) => {}
            // The runtime is gone: nothing will ever be readable.
            Err(_) => std::future::pending().await,
        }
    }
}

/// The last lines of what an interpreter wrote while no attempt ran: what is told when it does not start.
#[derive(Debug, Default)]
pub(super) struct Tail(std::collections::VecDeque<String>);

impl Tail {
    const LINES: usize = 50;

    fn take(&mut self, lines: &mut Vec<String>) {
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
