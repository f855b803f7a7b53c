//! Ties the life of interpreters to that of the worker and of its guardian.

use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, pipe_with};

/// A pipe that nobody ever writes to: when everybody who could is gone, the kernel kills the process groups of those who read.
#[derive(Debug)]
pub(super) struct Lifeline {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Lifeline {
    pub(super) fn open() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        Ok(Self { reader, writer })
    }

    /// The end of an interpreter.
    ///
    /// Whom the kernel signals is a property of the open file, so that each needs one of its own.
    #[cfg(target_os = "linux")]
    pub(super) fn tie(&self) -> io::Result<OwnedFd> {
        use std::os::fd::AsRawFd;
        let path = format!("/proc/self/fd/{}", self.reader.as_raw_fd());
        match std::fs::File::open(&path) {
            Ok(file) => Ok(file.into()),
            Err(e) => Err(io::Error::new(e.kind(), format!("{path} cannot be opened: {e}"))),
        }
    }

    /// The end of an interpreter, which waits for the end of the file.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn tie(&self) -> io::Result<OwnedFd> {
        self.reader.try_clone()
    }

    /// An end like the worker's own, which closes with the last of them.
    pub(super) fn hold(&self) -> io::Result<OwnedFd> {
        self.writer.try_clone()
    }
}
