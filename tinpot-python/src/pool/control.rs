//! The two pipes that carry requests to an interpreter and its replies.
//!
//! A socket would take twice the time for a round trip.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use tinpot_core::Context;
use tinpot_core::executor::Attempt;
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::extra_slots::ExtraSlot;
use super::fleet::Fleet;
use crate::calls::CallRequest;
use crate::isolation::Isolation;

/// The size of one read of a reply.
const READ_BYTES: usize = 16 * 1024;
/// The characters at the beginning of every line of an attempt: 128 random bits.
const NONCE_BYTES: usize = 32;
/// The lines of other attempts, or of none, after which an interpreter is given up.
const FOREIGN_MAX: usize = 1_000;
/// The buffer size to keep. A larger one, after a large request or reply, is freed.
const KEEP_BYTES: usize = 256 * 1024;

/// The reply of an attempt.
pub(super) struct ExchangeReply<'a> {
    pub(super) line: &'a [u8],
    /// If true, the interpreter also sent lines without the number of the attempt, which were left
    /// out. Code in it writes to the pipe, so it must not be used again.
    pub(super) has_foreign: bool,
}

/// The interpreter's ends of the pipes.
#[derive(Debug)]
pub(super) struct InterpreterEnds {
    pub(super) requests: OwnedFd,
    pub(super) replies: OwnedFd,
}

/// The worker's ends of the pipes.
#[derive(Debug)]
pub(super) struct Control {
    /// Does not block. The runtime watches it only while it is full.
    requests: OwnedFd,
    replies: Receiver,
    request: Vec<u8>,
    received: Vec<u8>,
    /// The number of the attempt that the interpreter repeats in each line. Code of another attempt
    /// that writes to the pipe cannot guess it.
    nonce: [u8; NONCE_BYTES],
    /// False until the first request that has a number.
    is_numbered: bool,
    max_line_bytes: usize,
    /// True if the interpreter did not get the whole request.
    left_unread: bool,
    has_answered: bool,
}

impl Control {
    /// Returns the worker's ends and the interpreter's.
    pub(super) fn pipes() -> io::Result<(Self, InterpreterEnds)> {
        let (their_requests, requests) = pipe_with(PipeFlags::CLOEXEC)?;
        let (replies, their_replies) = pipe_with(PipeFlags::CLOEXEC)?;
        // The flags of the two ends of a pipe are independent: the interpreter's ends block.
        for fd in [&requests, &replies] {
            rustix::fs::fcntl_setfl(fd, OFlags::NONBLOCK)?;
        }
        let control = Self {
            requests,
            replies: Receiver::from_owned_fd(replies)?,
            request: Vec::new(),
            received: Vec::new(),
            nonce: [0; NONCE_BYTES],
            is_numbered: false,
            max_line_bytes: usize::MAX,
            left_unread: false,
            has_answered: false,
        };
        Ok((control, InterpreterEnds { requests: their_requests, replies: their_replies }))
    }

    /// Sets the maximum size of a line. A longer one is an error of the kind `InvalidData`.
    pub(super) fn limit_lines(&mut self, bytes: usize) {
        self.max_line_bytes = bytes;
    }

    /// Returns true if the interpreter is connected and has sent nothing after its last reply: it
    /// may have died since its last use, or code that an attempt left behind may have written.
    pub(super) fn is_quiet(&self) -> bool {
        let reply = memchr::memchr(b'\n', &self.received).map_or(0, |end| end + 1);
        if self.received.len() > reply {
            return false;
        }
        matches!(rustix::io::read(&self.replies, &mut [0; 1]), Err(Errno::AGAIN))
    }

    /// Returns true if the interpreter, which has ended, did not read its request: none of the
    /// action's code ran.
    pub(super) fn was_never_read(&self) -> bool {
        let is_in_pipe = || rustix::io::ioctl_fionread(&self.requests).is_ok_and(|left| left > 0);
        // What is left may be an answer that was sent after the request.
        !self.has_answered && (self.left_unread || is_in_pipe())
    }

    /// Prepares the request to run an attempt.
    ///
    /// alone: if true, it runs in the process of the interpreter, also if the isolation is fresh.
    pub(super) fn prepare(&mut self, attempt: &Attempt, isolation: Isolation, alone: bool) {
        self.begin();
        self.request.extend_from_slice(&self.nonce);
        self.request.push(b'{');
        if isolation == Isolation::Fresh {
            let fresh: &[u8] = if alone { b"\"fresh\":1," } else { b"\"fresh\":true," };
            self.request.extend_from_slice(fresh);
        }
        describe(attempt, &mut self.request);
    }

    /// Returns another request, whose answers are the [own lines](Self::own_line).
    pub(super) fn request(&mut self, line: &str) -> Vec<u8> {
        self.begin();
        self.is_numbered = true;
        [&self.nonce, line.as_bytes()].concat()
    }

    fn begin(&mut self) {
        (self.left_unread, self.has_answered) = (false, false);
        self.received.clear();
        self.request.clear();
        self.request.shrink_to(KEEP_BYTES);
        self.received.shrink_to(KEEP_BYTES);
        Uuid::new_v4().simple().encode_lower(&mut self.nonce);
    }

    /// Returns the next line, which has to belong to the last request, if there was one.
    pub(super) async fn own_line(&mut self) -> io::Result<Option<&[u8]>> {
        let (nonce, is_numbered) = (self.nonce, self.is_numbered);
        let Some(line) = self.line().await? else { return Ok(None) };
        match line.strip_prefix(&nonce) {
            _ if !is_numbered => Ok(Some(line)),
            Some(line) => Ok(Some(line)),
            None => {
                let message = "it sent a message that belongs to no request";
                Err(io::Error::new(io::ErrorKind::InvalidData, message))
            }
        }
    }

    /// Sends the prepared request, answers the calls of the attempt, and returns the reply.
    ///
    /// Returns `None` if the interpreter closes the connection, and an error of the kind `TimedOut` if
    /// it does not read the request in time.
    pub(super) async fn exchange(
        &mut self,
        context: &Context,
        fleet: &Arc<Fleet>,
        start_timeout: Duration,
    ) -> io::Result<Option<ExchangeReply<'_>>> {
        let mut start = pin!(tokio::time::sleep(start_timeout));
        let request = std::mem::take(&mut self.request);
        let sent = tokio::select! {
            biased;
            sent = self.send(&request) => sent,
            () = &mut start => Err(io::ErrorKind::TimedOut.into()),
        };
        self.request = request;
        // It has not got all of it.
        self.left_unread = sent.is_err();
        match sent {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(None),
            Err(e) => return Err(e),
        }
        let (nonce, mut foreign) = (self.nonce, 0_usize);
        // Dropping this future aborts the calls.
        let mut calls = JoinSet::new();
        let (mut waiting, mut extra_slot) = (0_usize, None);
        let mut has_begun = false;
        loop {
            let answered = tokio::select! {
                biased;
                Some(answered) = calls.join_next() => answered.ok(),
                line = self.line() => {
                    let Some(line) = line? else { return Ok(None) };
                    let Some(line) = line.strip_prefix(&nonce) else {
                        self.consume();
                        foreign += 1;
                        if foreign > FOREIGN_MAX {
                            let message = "it sent many messages that belong to no attempt";
                            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
                        }
                        continue;
                    };
                    if !CallRequest::is_in(line) {
                        break;
                    }
                    let call = CallRequest::read(line).map_err(io::Error::other)?;
                    self.consume();
                    if call.wait {
                        waiting += 1;
                        extra_slot.get_or_insert_with(|| ExtraSlot::new(fleet));
                    }
                    let (context, wait) = (context.clone(), call.wait);
                    calls.spawn(async move { (wait, call.answer(&context).await) });
                    continue;
                }
                () = &mut start, if !has_begun => {
                    if self.was_never_read() {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    has_begun = true;
                    continue;
                }
            };
            let Some((waited, answer)) = answered else { continue };
            waiting -= usize::from(waited);
            if waiting == 0 {
                extra_slot = None;
            }
            self.has_answered = true;
            self.send(&answer).await?;
        }
        // The line is in the buffer.
        let line = self.line().await?;
        let line = line.and_then(|line| line.strip_prefix(&nonce));
        Ok(line.map(|line| ExchangeReply { line, has_foreign: foreign > 0 }))
    }

    pub(super) async fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            // Without waiting for readiness first: there is room nearly always.
            match rustix::io::write(&self.requests, bytes) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    Sender::from_owned_fd(self.requests.try_clone()?)?.writable().await?;
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// Returns the next line, without its end; `None` at the end of the stream.
    pub(super) async fn line(&mut self) -> io::Result<Option<&[u8]>> {
        let mut searched = 0;
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.received[searched..]) {
                return Ok(Some(&self.received[..searched + end]));
            }
            searched = self.received.len();
            if searched > self.max_line_bytes {
                let message = format!("sent a message of more than {} bytes", self.max_line_bytes);
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            self.replies.readable().await?;
            self.received.reserve(READ_BYTES);
            let room = self.received.capacity() - self.received.len();
            let received = &mut self.received;
            let read = read_ready(&self.replies, room, || {
                rustix::io::read(&self.replies, rustix::buffer::spare_capacity(received))
            });
            if read? == Some(0) {
                return Ok(None);
            }
        }
    }

    /// Removes the line that [`line`](Self::line) returned from the buffer.
    pub(super) fn consume(&mut self) {
        if let Some(end) = memchr::memchr(b'\n', &self.received) {
            self.received.drain(..=end);
        }
    }
}

/// Reads once; returns `None` if there was no data.
///
/// A read of less than `room` has emptied the pipe, so that the next wait can skip a read that
/// would fail.
fn read_ready(
    pipe: &Receiver,
    room: usize,
    read: impl FnOnce() -> Result<usize, Errno>,
) -> Result<Option<usize>, Errno> {
    let mut result = Ok(None);
    let _ = pipe.try_io(|| {
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

/// Appends the description of an attempt, without the opening brace.
pub(super) fn describe(attempt: &Attempt, line: &mut Vec<u8>) {
    line.extend_from_slice(b"\"action\":");
    // Cannot fail: it writes a string to memory.
    let _ = serde_json::to_writer(&mut *line, &*attempt.action);
    let Attempt { number, fence, execution, .. } = attempt;
    let about =
        format!(",\"attempt\":{number},\"fence\":\"{fence}\",\"execution\":\"{execution}\"");
    line.extend_from_slice(about.as_bytes());
    if let Some(trace) = &attempt.traceparent {
        line.extend_from_slice(b",\"traceparent\":");
        // As with the action: a worker takes it as it comes.
        let _ = serde_json::to_writer(&mut *line, &**trace);
    }
    if let Some(uploads) = &attempt.uploads {
        line.extend_from_slice(b",\"uploads\":");
        let _ = serde_json::to_writer(&mut *line, &uploads.to_string_lossy());
    }
    line.extend_from_slice(b",\"parameters\":");
    let start = line.len();
    line.extend_from_slice(attempt.parameters.as_str().as_bytes());
    // A request is one line. In valid JSON a line end occurs between tokens only, where a blank is
    // equivalent.
    while let Some(at) = memchr::memchr(b'\n', &line[start..]) {
        line[start + at] = b' ';
    }
    line.extend_from_slice(b"}\n");
}
