//! The reading end of a pipe, which the runtime watches or which is polled.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::net::unix::pipe::Receiver;

/// The capacity of a pipe, if the system allows it: 100,000 short lines then wait for the reader
/// only a few times.
const PIPE_BYTES: usize = 1024 * 1024;

/// The reading end of a pipe.
///
/// A watched pipe wakes the runtime at every write, even if earlier ones have not been read. If a
/// process writes line by line, that costs both sides more than the lines themselves. Polling is
/// cheaper while lines come quickly.
#[derive(Debug)]
pub enum Pipe {
    /// A pipe that the runtime watches.
    Watched(Receiver),
    /// A pipe that is polled.
    Unwatched(OwnedFd),
    /// All writers are gone.
    Ended,
}

impl Pipe {
    /// Returns a watched reading end, its capacity in bytes, and the writing end.
    ///
    /// # Errors
    /// Fails without file descriptors or a runtime.
    pub fn open() -> io::Result<(Self, usize, OwnedFd)> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        // The flags of the two ends are independent: writes of the interpreter block, reads of the
        // worker do not.
        rustix::fs::fcntl_setfl(&reader, OFlags::NONBLOCK)?;
        let capacity = rustix::pipe::fcntl_setpipe_size(&reader, PIPE_BYTES)
            .or_else(|_| rustix::pipe::fcntl_getpipe_size(&reader))?;
        Ok((Self::Watched(Receiver::from_owned_fd(reader)?), capacity, writer))
    }

    /// Returns true if the runtime watches the pipe.
    pub fn is_watched(&self) -> bool {
        matches!(self, Pipe::Watched(_))
    }

    /// Resolves when a watched pipe has data; never for an unwatched one.
    pub async fn readable(&self) {
        match self {
            // Fails if the runtime is gone: then no pipe ever becomes readable.
            Pipe::Watched(receiver) if receiver.readable().await.is_ok() => {}
            _ => std::future::pending().await,
        }
    }

    /// Makes the runtime watch the pipe.
    pub fn watch(&mut self) {
        *self = match std::mem::replace(self, Pipe::Ended) {
            Pipe::Unwatched(fd) => {
                Receiver::from_owned_fd_unchecked(fd).map_or(Pipe::Ended, Pipe::Watched)
            }
            other => other,
        }
    }

    /// Stops watching.
    pub fn unwatch(&mut self) {
        *self = match std::mem::replace(self, Pipe::Ended) {
            Pipe::Watched(receiver) => {
                receiver.into_nonblocking_fd().map_or(Pipe::Ended, Pipe::Unwatched)
            }
            other => other,
        }
    }

    /// Reads available data regardless of the runtime's knowledge, which lags behind; returns 0 if
    /// there is none.
    pub fn read(&mut self, buffer: &mut [u8]) -> usize {
        match self.fd().map(|fd| rustix::io::read(fd, buffer)) {
            Some(result) => self.count(result),
            None => 0,
        }
    }

    /// Reads after [`readable`](Self::readable), and tells the runtime if the pipe is empty now.
    pub fn read_ready(&mut self, buffer: &mut [u8]) -> usize {
        let Pipe::Watched(receiver) = self else { return self.read(buffer) };
        let mut result = Err(Errno::AGAIN);
        let _ = receiver.try_io(|| {
            result = rustix::io::read(&*receiver, &mut *buffer);
            match result {
                Ok(read) if read == 0 || read == buffer.len() => Ok(()),
                _ => Err(io::ErrorKind::WouldBlock.into()),
            }
        });
        self.count(result)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Pipe::Watched(receiver) => Some(receiver.as_fd()),
            Pipe::Unwatched(fd) => Some(fd.as_fd()),
            Pipe::Ended => None,
        }
    }

    fn count(&mut self, result: Result<usize, Errno>) -> usize {
        match result {
            Ok(read) if read > 0 => read,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Ok(_) | Err(_) => {
                *self = Pipe::Ended;
                0
            }
        }
    }
}
