//! A template: an interpreter that makes others, which are copies of itself.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixDatagram;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::interpreter::{Interpreter, describe, exited};
use crate::error::PythonError;

/// The number of descriptors that go with a request.
const MAX_DESCRIPTORS: usize = 6;
const MAX_MESSAGE_BYTES: usize = 4096;
/// The number of failures in a row after which no more copies are made.
const MAX_FAILURES: u32 = 3;
/// The time for the template to say with which status a copy ended, once it has ended.
const REPORTING: Duration = Duration::from_secs(1);
/// The time for the template to end once its connection has failed.
const PATIENCE: Duration = Duration::from_secs(2);

/// A process that has imported the actions and makes copies of itself. When this is dropped, the
/// process is killed; the copies live on.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) process: Interpreter,
    socket: Arc<UnixDatagram>,
    copies: Arc<Mutex<Copies>>,
    /// The number of failures since the last copy.
    failures: AtomicU32,
    has_made_some: AtomicBool,
    reader: JoinHandle<()>,
}

/// A copy, which is a child of the template.
#[derive(Debug)]
pub(super) struct Copied {
    pub(super) pid: Pid,
    ended: oneshot::Receiver<ExitStatus>,
}

#[derive(Debug, Default)]
struct Copies {
    /// By cookie.
    wanted: HashMap<String, oneshot::Sender<Result<Copied, String>>>,
    /// By process id.
    running: HashMap<i32, oneshot::Sender<ExitStatus>>,
}

/// A request for a copy.
#[derive(Debug, Serialize)]
pub(super) struct Request<'a> {
    pub(super) old_cookie: &'a str,
    pub(super) cookie: &'a str,
    pub(super) mark: &'a str,
    pub(super) memory_by_cgroup: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Message {
    Forked { cookie: String, forked: i32 },
    Failed { cookie: String, error: String },
    Ended { ended: i32, status: i32 },
}

impl Template {
    /// Makes an interpreter that has run no attempt a template.
    pub(super) fn new(process: Interpreter, socket: UnixDatagram) -> Self {
        let (socket, copies) = (Arc::new(socket), Arc::<Mutex<Copies>>::default());
        let reader = tokio::spawn(read(socket.clone(), copies.clone()));
        let (failures, has_made_some) = (AtomicU32::new(0), AtomicBool::new(false));
        Self { process, socket, copies, failures, has_made_some, reader }
    }

    /// Returns true if a copy would be like an interpreter that starts now.
    pub(super) fn is_usable(&self) -> bool {
        self.failures.load(Ordering::Relaxed) < MAX_FAILURES
            && self.process.exit_status().is_none()
            && self.process.has_directory()
    }

    /// Returns true if it worked until a signal killed it, so that another will work, too.
    pub(super) fn was_killed(&self) -> bool {
        self.process.exit_status().is_some_and(|status| status.signal().is_some())
            && self.has_made_some.load(Ordering::Relaxed)
    }

    /// Remembers that a copy works.
    pub(super) fn has_worked(&self) {
        self.has_made_some.store(true, Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
    }

    /// Counts a failure. After some in a row, it makes no more copies.
    pub(super) fn failed(&self, error: &PythonError) {
        if self.was_killed() {
            return tracing::warn!("the template of interpreters is started again: it was killed");
        }
        let is_last = self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_FAILURES;
        let then = if is_last { ", and so do those that follow" } else { "" };
        let error = error.with_cause();
        tracing::warn!("an interpreter imports the files itself{then}: {error}");
    }

    /// Makes a copy, which gets the descriptors.
    pub(super) async fn copy(
        &self,
        request: &Request<'_>,
        descriptors: &[BorrowedFd<'_>],
        limit: Duration,
    ) -> io::Result<Copied> {
        let (answer, answered) = oneshot::channel();
        lock(&self.copies).wanted.insert(request.cookie.to_owned(), answer);
        let made = async {
            self.send(request, descriptors).await?;
            answered.await.map_err(io::Error::other)?.map_err(io::Error::other)
        };
        let mut exit = self.process.exit.clone();
        let made = tokio::select! {
            made = made => made,
            () = tokio::time::sleep(limit) => Err(io::ErrorKind::TimedOut.into()),
            status = exited(&mut exit) => {
                Err(io::Error::other(format!("it {}", describe(status))))
            }
        };
        lock(&self.copies).wanted.remove(request.cookie);
        if made.is_err() {
            // It may be dying: its connection goes first.
            let _ = tokio::time::timeout(PATIENCE, exited(&mut exit)).await;
        }
        made
    }

    async fn send(&self, request: &Request<'_>, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let text = serde_json::to_vec(request)?;
        let send = || {
            let mut space =
                [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            let sent = sendmsg(
                &self.socket,
                &[IoSlice::new(&text)],
                &mut ancillary,
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
            );
            Ok(sent.map(drop)?)
        };
        self.socket.async_io(Interest::WRITABLE, send).await
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Copied {
    /// Waits for the end of the copy. `template` has to live as long, because it knows the status.
    pub(super) async fn end(self, template: Arc<Template>) -> ExitStatus {
        let mut template_exit = template.process.exit.clone();
        let gone = async {
            match pidfd_open(self.pid, PidfdFlags::NONBLOCK)
                .map_err(io::Error::from)
                .and_then(watch)
            {
                Ok(process) => drop(process.readable().await),
                Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {}
                // This process has too many descriptors. The template reports the end.
                Err(_) => drop(exited(&mut template_exit.clone()).await),
            }
            // Sooner than the attempt gives up a connection that has closed.
            tokio::select! {
                () = tokio::time::sleep(REPORTING) => {}
                () = async {
                    exited(&mut template_exit).await;
                    tokio::time::sleep(REPORTING / 20).await;
                } => {}
            }
        };
        let status = tokio::select! {
            Ok(status) = self.ended => status,
            // The template was killed, most likely because memory ran out.
            () = gone => ExitStatus::from_raw(Signal::KILL.as_raw()),
        };
        drop(template);
        status
    }
}

#[allow(unsafe_code, reason = "the constructor asks for a promise about the descriptor")]
fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` stays open, and refers to the same file, for as long as it lives.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.map_err(io::Error::other)
}

fn lock(copies: &Mutex<Copies>) -> MutexGuard<'_, Copies> {
    copies.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads what the template reports.
async fn read(socket: Arc<UnixDatagram>, copies: Arc<Mutex<Copies>>) {
    let mut buffer = vec![0; MAX_MESSAGE_BYTES];
    while let Ok(size) = socket.recv(&mut buffer).await {
        match serde_json::from_slice(&buffer[..size]) {
            Ok(Message::Forked { cookie, forked }) => {
                let Some(pid) = Pid::from_raw(forked) else { continue };
                let (report, ended) = oneshot::channel();
                let mut copies = lock(&copies);
                copies.running.insert(forked, report);
                if let Some(wanted) = copies.wanted.remove(&cookie) {
                    let _ = wanted.send(Ok(Copied { pid, ended }));
                }
            }
            Ok(Message::Failed { cookie, error }) => {
                if let Some(wanted) = lock(&copies).wanted.remove(&cookie) {
                    let _ = wanted.send(Err(error));
                }
            }
            Ok(Message::Ended { ended, status }) => {
                let reported = lock(&copies).running.remove(&ended);
                if let Some(report) = reported {
                    let _ = report.send(ExitStatus::from_raw(status));
                }
                // From now on another process may get its id. In a task, because the template may
                // report many ends before it reads.
                let socket = socket.clone();
                tokio::spawn(async move {
                    let _ = socket.send(format!("{{\"reap\":{ended}}}").as_bytes()).await;
                });
            }
            Err(error) => tracing::warn!(%error, "the template sent a message that cannot be read"),
        }
    }
}

/// Returns the two ends of the connection to a template.
pub(super) fn connection() -> io::Result<(UnixDatagram, OwnedFd)> {
    let (ours, theirs) = std::os::unix::net::UnixDatagram::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixDatagram::from_std(ours)?, theirs.as_fd().try_clone_to_owned()?))
}
