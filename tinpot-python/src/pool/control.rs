//! The socket on which requests go to an interpreter and replies come back.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use tinpot_core::{Attempt, Context};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::extra_slots::ExtraSlot;
use super::fleet::Fleet;
use crate::calls::CallRequest;

/// A reply is read in pieces of this size.
const READ_BYTES: usize = 16 * 1024;
/// Buffers that a large request or reply has blown up are given back beyond this.
const KEEP_BYTES: usize = 256 * 1024;

/// The worker's end.
#[derive(Debug)]
pub(super) struct Control {
    socket: UnixStream,
    request: Vec<u8>,
    received: Vec<u8>,
}

impl Control {
    /// The worker's end, and the interpreter's.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let control =
            Self { socket: UnixStream::from_std(ours)?, request: Vec::new(), received: Vec::new() };
        Ok((control, theirs.into()))
    }

    /// Whether the interpreter is at the other end, and has nothing to say: it may have died since it was last used.
    pub(super) fn is_quiet(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        matches!(rustix::net::recv(&self.socket, &mut [0; 1], flags), Err(Errno::AGAIN))
    }

    /// Prepares the request to run an attempt.
    pub(super) fn prepare(&mut self, attempt: &Attempt) {
        self.received.clear();
        self.request.clear();
        self.request.shrink_to(KEEP_BYTES);
        self.received.shrink_to(KEEP_BYTES);
        self.request.push(b'{');
        describe(attempt, &mut self.request);
    }

    /// Sends what was prepared, has the actions run that the attempt calls, and returns the reply that comes in the end; `None` when the
    /// interpreter is gone.
    pub(super) async fn converse(
        &mut self,
        context: &Context,
        fleet: &Arc<Fleet>,
    ) -> io::Result<Option<&[u8]>> {
        let request = std::mem::take(&mut self.request);
        let sent = self.send(&request).await;
        self.request = request;
        match sent {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(None),
            Err(e) => return Err(e),
        }
        // Aborted when this future is dropped.
        let mut calls = JoinSet::new();
        let (mut waiting, mut parked) = (0_usize, None);
        loop {
            let answered = tokio::select! {
                biased;
                Some(answered) = calls.join_next() => answered.ok(),
                line = self.line() => {
                    let Some(line) = line? else { return Ok(None) };
                    if !CallRequest::is_in(line) {
                        break;
                    }
                    let asked = CallRequest::read(line).map_err(io::Error::other)?;
                    self.consume();
                    if asked.wait {
                        waiting += 1;
                        parked.get_or_insert_with(|| ExtraSlot::new(fleet));
                    }
                    let (context, wait) = (context.clone(), asked.wait);
                    calls.spawn(async move { (wait, asked.answer(&context).await) });
                    continue;
                }
            };
            let Some((waited, answer)) = answered else { continue };
            waiting -= usize::from(waited);
            if waiting == 0 {
                parked = None;
            }
            self.send(&answer).await?;
        }
        // It is here already.
        self.line().await
    }

    pub(super) async fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            // Without a look at readiness first: nearly always there is room.
            match rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.socket.writable().await?;
                    let send = || Ok(rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL)?);
                    match self.socket.try_io(Interest::WRITABLE, send) {
                        Ok(sent) => bytes = &bytes[sent..],
                        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                        Err(e) => return Err(e),
                    }
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// The next line, without its end; `None` at the end of the stream.
    pub(super) async fn line(&mut self) -> io::Result<Option<&[u8]>> {
        let mut searched = 0;
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.received[searched..]) {
                return Ok(Some(&self.received[..searched + end]));
            }
            searched = self.received.len();
            self.socket.readable().await?;
            self.received.reserve(READ_BYTES);
            let room = self.received.capacity() - self.received.len();
            let received = &mut self.received;
            let read = read_ready(&self.socket, room, || {
                rustix::io::read(&self.socket, rustix::buffer::spare_capacity(received))
            });
            match read {
                Ok(Some(0)) | Err(Errno::CONNRESET) => return Ok(None),
                Ok(_) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Forgets the line that [`line`](Self::line) returned.
    pub(super) fn consume(&mut self) {
        if let Some(end) = memchr::memchr(b'\n', &self.received) {
            self.received.drain(..=end);
        }
    }
}

/// Reads once; `None` when there was nothing. What filled less than the `room` has emptied the socket: the next wait need not try first.
fn read_ready(
    socket: &UnixStream,
    room: usize,
    read: impl FnOnce() -> Result<usize, Errno>,
) -> Result<Option<usize>, Errno> {
    let mut result = Ok(None);
    let _ = socket.try_io(Interest::READABLE, || {
        result = match read() {
            Ok(read) => Ok(Some(read)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(e) => Err(e),
        };
        match result {
            Ok(Some(read)) if read == room || read == 0 => Ok(()),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    });
    result
}

/// Appends what an interpreter is told about an attempt, without the brace before it.
pub(super) fn describe(attempt: &Attempt, line: &mut Vec<u8>) {
    line.extend_from_slice(b"\"action\":");
    // Writing a string to memory cannot fail.
    let _ = serde_json::to_writer(&mut *line, &*attempt.action);
    let Attempt { number, fence, execution, .. } = attempt;
    let about =
        format!(",\"attempt\":{number},\"fence\":\"{fence}\",\"execution\":\"{execution}\"");
    line.extend_from_slice(about.as_bytes());
    line.extend_from_slice(b",\"parameters\":");
    let start = line.len();
    line.extend_from_slice(attempt.parameters.as_str().as_bytes());
    // A request is one line. In JSON a line end stands between tokens only, where a blank means the same.
    while let Some(at) = memchr::memchr(b'\n', &line[start..]) {
        line[start + at] = b' ';
    }
    line.extend_from_slice(b"}\n");
}
