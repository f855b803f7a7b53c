//! The log pump: from the attempts' buffers to lane Logs, within a window per attempt.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::{BoxStream, StreamExt};
use tokio::sync::{Notify, watch};

use crate::clock::{Clock, until};
use crate::executor::LogBuffer;
use crate::inbox::{is_for, refuse_message};
use crate::model::address::{Address, Lane};
use crate::model::fence::Fence;
use crate::model::id::WorkerId;
use crate::model::log::Progress;
use crate::observer::{Observer, hook};
use crate::outbox::Outbox;
use crate::protocol::{Log, LogAck, LogSender, Message, ProgressReport, Tick};
use crate::refusals::Refusals;
use crate::transport::Received;
use crate::wire::{Incoming, Wire};

/// The number of bytes in flight per attempt at which no more are sent: what a connection carries
/// in a few milliseconds. The last chunk may exceed it, and the protocol allows 512 KiB in all.
const WINDOW_BYTES: usize = (512 - 128) * 1024;
/// The maximum number of bytes of text in one frame.
const FRAME_BYTES: usize = 128 * 1024;
/// The minimum time between two progress messages of one attempt.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(50);

/// The log of one attempt on its way to the coordinator.
#[derive(Debug)]
pub(super) struct LogEntry {
    buffer: LogBuffer,
    sender: LogSender,
    progress: watch::Receiver<Option<Progress>>,
    /// The progress that was sent last, and when. The receiver's own change mark is gone once the
    /// attempt has dropped its sender.
    progress_sent: Option<Progress>,
    progress_at: Option<Tick>,
    finished: bool,
}

impl LogEntry {
    pub(super) fn new(buffer: LogBuffer, progress: watch::Receiver<Option<Progress>>) -> Self {
        Self {
            buffer,
            sender: LogSender::new(WINDOW_BYTES),
            progress,
            progress_sent: None,
            progress_at: None,
            finished: false,
        }
    }
}

#[derive(Debug, Default)]
struct Entries {
    entries: Mutex<BTreeMap<Fence, LogEntry>>,
    /// Notified whenever the last entry is gone.
    empty: Notify,
}

/// The logs of all attempts: shared by the control loop, which adds and ends them, and the pump.
#[derive(Clone, Debug)]
pub(super) struct LogEntries {
    shared: Arc<Entries>,
    ready: Arc<Notify>,
}

impl LogEntries {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Fence, LogEntry>> {
        self.shared.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ready(&self) -> Arc<Notify> {
        self.ready.clone()
    }

    pub(super) fn insert(&self, fence: Fence, entry: LogEntry) {
        self.lock().insert(fence, entry);
    }

    /// Ends the log of an attempt, and returns the number of its last line.
    pub(super) fn finish(&self, fence: Fence) -> u64 {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(&fence) else { return 0 };
        entry.finished = true;
        let last_seq = entry.buffer.last_seq();
        if last_seq == 0 && !entry.has_news() {
            entries.remove(&fence);
        } else {
            self.ready.notify_one();
        }
        last_seq
    }

    /// Drops a log that is not wanted any more.
    pub(super) fn forget(&self, fence: Fence) {
        if let Some(entry) = self.lock().remove(&fence) {
            entry.buffer.abandon();
        }
    }

    /// Waits until every log is acknowledged, but not for long.
    pub(super) async fn drained(&self, patience: Duration) {
        let drained = async {
            loop {
                let mut empty = std::pin::pin!(self.shared.empty.notified());
                empty.as_mut().enable();
                if self.lock().is_empty() {
                    return;
                }
                empty.await;
            }
        };
        let _ = tokio::time::timeout(patience, drained).await;
    }
}

#[derive(Debug)]
pub(super) struct LogPump {
    id: WorkerId,
    wire: Wire,
    clock: Clock,
    resend_interval: Duration,
    entries: LogEntries,
    outbox: Outbox,
    refusals: Refusals,
}

impl LogPump {
    pub(super) fn new(
        id: WorkerId,
        wire: Wire,
        clock: Clock,
        resend_interval: Duration,
        ready: Arc<Notify>,
    ) -> Self {
        let entries = LogEntries { shared: Arc::default(), ready };
        let refusals = Refusals::default();
        Self { id, wire, clock, resend_interval, entries, outbox: Outbox::default(), refusals }
    }

    /// Measures refusals by this observer.
    pub(super) fn observed(self, observer: Option<Arc<dyn Observer>>) -> Self {
        Self { refusals: Refusals::new(observer.map(hook)), ..self }
    }

    pub(super) fn entries(&self) -> LogEntries {
        self.entries.clone()
    }

    pub(super) async fn run(mut self, mut frames: BoxStream<'static, Received>) {
        let ready = self.entries.ready();
        let mut link = self.wire.transport().status();
        let mut wake: Option<Tick> = None;
        loop {
            let due = wake.map(|tick| self.clock.instant(tick));
            tokio::select! {
                frame = frames.next() => match frame {
                    Some(frame) => self.take_frame(frame),
                    None => return,
                },
                () = ready.notified() => {}
                Some(_) = link.next() => {}
                () = until(due) => {}
            }
            let up = link.current().is_up();
            wake = self.pump(up).await;
        }
    }

    fn take_frame(&mut self, received: Received) {
        let read = self.wire.read(&self.refusals, Lane::Logs, received);
        let Some(Incoming::Frame(frame)) = read else { return };
        if !is_for(&self.refusals, &frame, &self.id) {
            return;
        }
        for message in frame.messages {
            match message {
                Message::LogAck(ack) => self.acknowledged(ack),
                other => refuse_message(&self.refusals, "coordinator", &other, Lane::Logs),
            }
        }
    }

    fn acknowledged(&mut self, ack: LogAck) {
        let now = self.clock.now();
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.get_mut(&ack.fence) {
            entry.sender.acknowledged(now, ack.seq);
            if ack.seq == u64::MAX {
                entry.buffer.abandon();
            }
        }
    }

    /// Sends what may be sent, and returns when to look again.
    async fn pump(&mut self, up: bool) -> Option<Tick> {
        loop {
            let (mut full, mut frame_bytes, mut wake) = (false, 0, None);
            {
                let now = self.clock.now();
                let mut entries = self.entries.lock();
                entries.retain(|fence, entry| {
                    if up {
                        full |= fill(
                            &mut self.outbox,
                            *fence,
                            entry,
                            now,
                            self.resend_interval,
                            &mut frame_bytes,
                        );
                        let resend = entry.sender.resend_at(self.resend_interval);
                        let progress = entry.progress_due();
                        wake = [wake, resend, progress].into_iter().flatten().min();
                    }
                    !(entry.finished
                        && entry.buffer.is_empty()
                        && entry.sender.is_empty()
                        && !(up && entry.has_news()))
                });
                if entries.is_empty() {
                    self.entries.shared.empty.notify_waiters();
                }
            }
            if self.outbox.is_empty() {
                return wake;
            }
            self.outbox.flush(&self.wire, Lane::Logs, Some(&self.id)).await;
            if !full {
                return wake;
            }
        }
    }
}

impl LogEntry {
    /// Returns true if there is progress that was not sent.
    fn has_news(&self) -> bool {
        *self.progress.borrow() != self.progress_sent
    }

    /// Returns when progress that was held back may be sent.
    fn progress_due(&self) -> Option<Tick> {
        let waiting = self.has_news();
        self.progress_at.filter(|_| waiting).map(|at| at + PROGRESS_INTERVAL)
    }
}

/// Moves what one attempt may send into the outbox. Returns true if there was more than one frame
/// takes.
fn fill(
    outbox: &mut Outbox,
    fence: Fence,
    entry: &mut LogEntry,
    now: Tick,
    resend_interval: Duration,
    frame_bytes: &mut usize,
) -> bool {
    let mut send = |message| outbox.push(Address::Coordinator, message);
    if entry.has_news()
        && (entry.finished || entry.progress_at.is_none_or(|at| now.since(at) >= PROGRESS_INTERVAL))
    {
        entry.progress_at = Some(now);
        entry.progress_sent = entry.progress.borrow().clone();
        if let Some(progress) = entry.progress_sent.clone() {
            send(Message::Progress(ProgressReport { fence, progress }));
        }
    }
    if entry.sender.resend_at(resend_interval).is_some_and(|at| at <= now) {
        for chunk in entry.sender.resend(now) {
            send(Message::Log(Log { fence, chunk: chunk.clone() }));
        }
    }
    let room = entry.sender.room_bytes().min(FRAME_BYTES.saturating_sub(*frame_bytes));
    if room == 0 {
        return entry.sender.room_bytes() > 0 && !entry.buffer.is_empty();
    }
    for chunk in entry.buffer.take(room).into_iter().map(Arc::new) {
        *frame_bytes += chunk.size_bytes();
        send(Message::Log(Log { fence, chunk: chunk.clone() }));
        entry.sender.sent(now, chunk);
    }
    entry.sender.room_bytes() > 0 && !entry.buffer.is_empty()
}
