//! The reading end of a pipe that is either watched by the runtime or looked at now and then.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::net::unix::pipe::Receiver;

/// What a pipe holds where the system allows it: 100,000 short lines then wait for the reader only a few times.
const PIPE_BYTES: usize = 1024 * 1024;

/// The reading end of a pipe.
///
/// A watched pipe wakes the runtime at every write, however many writes nobody has read yet: with a process that writes line by line, that
/// costs both sides more than the lines do. While lines come quickly it is therefore better not to watch.
#[derive(Debug)]
pub(super) enum Pipe {
    Watched(Receiver),
    Unwatched(OwnedFd),
    /// Everybody who could write is gone.
    Ended,
}

impl Pipe {
    /// A watched reading end with its capacity in bytes, and the writing end.
    pub(super) fn open() -> io::Result<(Self, usize, OwnedFd)> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        // The two ends have flags of their own: the interpreter's writes wait, our reads do not.
        rustix::fs::fcntl_setfl(&reader, OFlags::NONBLOCK)?;
        let capacity = rustix::pipe::fcntl_setpipe_size(&reader, PIPE_BYTES)
            .or_else(|_| rustix::pipe::fcntl_getpipe_size(&reader))?;
        Ok((Self::Watched(Receiver::from_owned_fd(reader)?), capacity, writer))
    }

    pub(super) fn is_watched(&self) -> bool {
        matches!(self, Pipe::Watched(_))
    }

    /// Resolves when a watched pipe can be read; never when it is not watched.
    pub(super) async fn readable(&self) {
        match self {
            // The error says that the runtime is gone: nothing will ever be readable.
            Pipe::Watched(receiver) if receiver.readable().await.is_ok() => {}
            _ => std::future::pending().await,
        }
    }

    /// Lets the runtime watch it.
    pub(super) fn watch(&mut self) {
        *self = match std::mem::replace(self, Pipe::Ended) {
            Pipe::Unwatched(fd) => {
                Receiver::from_owned_fd_unchecked(fd).map_or(Pipe::Ended, Pipe::Watched)
            }
            other => other,
        }
    }

    /// Takes it from the runtime.
    pub(super) fn unwatch(&mut self) {
        *self = match std::mem::replace(self, Pipe::Ended) {
            Pipe::Watched(receiver) => {
                receiver.into_nonblocking_fd().map_or(Pipe::Ended, Pipe::Unwatched)
            }
            other => other,
        }
    }

    /// Reads what is there, without a look at what the runtime knows, which lags behind; 0 when there is nothing.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> usize {
        match self.fd().map(|fd| rustix::io::read(fd, buffer)) {
            Some(result) => self.judge(result),
            None => 0,
        }
    }

    /// Reads after [`readable`](Self::readable), and tells the runtime when that has emptied the pipe.
    pub(super) fn read_ready(&mut self, buffer: &mut [u8]) -> usize {
        let Pipe::Watched(receiver) = self else { return self.read(buffer) };
        let mut result = Err(Errno::AGAIN);
        let _ = receiver.try_io(|| {
            result = rustix::io::read(&*receiver, &mut *buffer);
            match result {
                Ok(read) if read == 0 || read == buffer.len() => Ok(()),
                _ => Err(io::ErrorKind::WouldBlock.into()),
            }
        });
        self.judge(result)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Pipe::Watched(receiver) => Some(receiver.as_fd()),
            Pipe::Unwatched(fd) => Some(fd.as_fd()),
            Pipe::Ended => None,
        }
    }

    fn judge(&mut self, result: Result<usize, Errno>) -> usize {
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
