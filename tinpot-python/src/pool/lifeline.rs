//! Ties the interpreters to the worker and its guardian.

use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, pipe_with};

/// A pipe without data. When all writers are gone, the kernel kills the process groups of the
/// readers.
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

    /// Returns the end of an interpreter.
    ///
    /// The receiver of the kernel's signal is a property of the open file, so that each interpreter
    /// needs a file of its own.
    #[cfg(target_os = "linux")]
    pub(super) fn tie(&self) -> io::Result<OwnedFd> {
        use std::os::fd::AsRawFd;
        let path = format!("/proc/self/fd/{}", self.reader.as_raw_fd());
        match std::fs::File::open(&path) {
            Ok(file) => Ok(file.into()),
            Err(e) => Err(io::Error::new(e.kind(), format!("cannot open {path}: {e}"))),
        }
    }

    /// Returns the end of an interpreter, which waits for the end of the file.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn tie(&self) -> io::Result<OwnedFd> {
        self.reader.try_clone()
    }

    /// Returns another writing end. The pipe closes with the last one.
    pub(super) fn writer(&self) -> io::Result<OwnedFd> {
        self.writer.try_clone()
    }
}
