//! One lane: the state that senders and listeners share with the task that keeps it connected.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::Settings;
use super::subscriptions::Subscriptions;
use crate::model::address::{Address, Lane};
use crate::model::error::{Error, ErrorKind, Result};
use crate::transport::lane_links::LaneLinks;
use crate::transport::listener_queue::{ListenerStream, listener_queue};
use crate::transport::{Channel, Received};

/// Frames that wait to be written. Enough for a burst of a busy coordinator.
const QUEUE_FRAMES: usize = 4096;
/// The size up to which the bound on frames also bounds memory: 4,096 × 16 KiB are 64 MiB.
const SMALL_FRAME_BYTES: usize = 16 * 1024;
/// Bytes that larger frames may take together while they wait.
const LARGE_FRAMES_BYTES: usize = 64 * 1024 * 1024;
/// The time that one attempt to connect may take.
pub(super) const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// A frame that waits to be written.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) topic: String,
    pub(super) frame: Bytes,
    /// The share of a large frame in [`LARGE_FRAMES_BYTES`]; released once it is written.
    pub(super) _share: Option<OwnedSemaphorePermit>,
}

/// The activity of one connection, as its reader sees it.
#[derive(Debug)]
pub(super) struct Pulse {
    /// Frames received.
    pub(super) received: AtomicU64,
    /// The number of the last echo.
    pub(super) echoed: watch::Sender<u64>,
}

#[derive(Debug)]
pub(super) struct LaneState {
    pub(super) lane: Lane,
    /// Namespace and lane: the beginning of every topic.
    pub(super) prefix: String,
    pub(super) settings: Settings,
    links: Arc<LaneLinks>,
    /// Notified when the other lane broke.
    pub(super) doubted: Notify,
    /// The queue of the writer; there while the lane is up.
    queue: Mutex<Option<mpsc::Sender<Queued>>>,
    subscriptions: Mutex<Subscriptions>,
    /// Notified when subscriptions have changed.
    pub(super) changed: Notify,
    large_frames: Arc<Semaphore>,
}

impl LaneState {
    pub(super) fn new(
        lane: Lane,
        namespace: &str,
        settings: Settings,
        links: Arc<LaneLinks>,
    ) -> Self {
        let name = match lane {
            Lane::Control => "control",
            Lane::Logs => "logs",
        };
        Self {
            lane,
            prefix: format!("{namespace}/{name}"),
            settings,
            links,
            doubted: Notify::new(),
            queue: Mutex::new(None),
            subscriptions: Mutex::default(),
            changed: Notify::new(),
            large_frames: Arc::new(Semaphore::new(LARGE_FRAMES_BYTES)),
        }
    }

    fn topic(&self, address: &Address) -> String {
        let prefix = &self.prefix;
        match address {
            Address::Coordinator => format!("{prefix}/coordinator"),
            Address::Worker(id) => format!("{prefix}/worker/{id}"),
            Address::AllWorkers => format!("{prefix}/workers"),
            Address::Joins => format!("{prefix}/joins"),
            Address::Joiner(id) => format!("{prefix}/joiner/{id}"),
        }
    }

    pub(super) fn subscriptions(&self) -> MutexGuard<'_, Subscriptions> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Option<mpsc::Sender<Queued>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a frame for the writer, at once or not at all.
    pub(super) fn send(&self, to: &Address, frame: Bytes) -> Result<()> {
        let (bytes, max) = (frame.len(), self.settings.max_frame_bytes);
        if bytes > max {
            let message = format!("frame must be at most {max} bytes (got {bytes})");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let queue = self.queue();
        let Some(queue) = &*queue else {
            return Err(match self.links.is_closed() {
                true => closed(),
                false => self.down(),
            });
        };
        let overloaded = || {
            let message = "too many frames wait to be sent: the link is slower than its senders";
            Error::new(ErrorKind::Overloaded, message)
        };
        let share = if bytes > SMALL_FRAME_BYTES {
            let share = self.large_frames.clone().try_acquire_many_owned(bytes as u32);
            Some(share.map_err(|_| overloaded())?)
        } else {
            None
        };
        let queued = Queued { topic: self.topic(to), frame, _share: share };
        queue.try_send(queued).map_err(|_| overloaded())
    }

    fn down(&self) -> Error {
        let reason = self.links.reason(self.lane);
        let colon = if reason.is_empty() { "" } else { ": " };
        Error::new(ErrorKind::Unavailable, format!("the link is down{colon}{reason}"))
    }

    /// Returns a stream of the frames for `at`, once the subscription is in effect or the lane is
    /// down.
    pub(super) async fn listen(self: &Arc<Self>, at: &Address) -> Result<ListenerStream> {
        let topic = self.topic(at);
        let (stream, confirmed) = {
            let mut subscriptions = self.subscriptions();
            if self.links.is_closed() {
                return Err(closed());
            }
            let id = subscriptions.next_id();
            let lane = Arc::downgrade(self);
            let (sender, stream) = listener_queue({
                let topic = topic.clone();
                move || {
                    if let Some(lane) = lane.upgrade() {
                        lane.subscriptions().remove(&topic, id);
                        lane.changed.notify_one();
                    }
                }
            });
            (stream, subscriptions.add(&topic, id, sender))
        };
        self.changed.notify_one();
        if let Some(confirmed) = confirmed {
            // An error is a connection that broke: the stream works once there is another.
            let _ = confirmed.await;
        }
        Ok(stream)
    }

    /// Opens the lane for senders.
    pub(super) fn up(&self) -> mpsc::Receiver<Queued> {
        let (sender, receiver) = mpsc::channel(QUEUE_FRAMES);
        let mut queue = self.queue();
        // Checked under the lock that `close` takes afterwards: no queue outlives a close.
        if !self.links.is_closed() {
            *queue = Some(sender);
            self.links.up(self.lane);
        }
        receiver
    }

    /// Has the lane prove that it works: what broke the other one may have cut it, too.
    pub(super) fn doubt(&self) {
        self.links.doubt(self.lane);
        self.doubted.notify_one();
    }

    /// Records that the lane, which is open for senders, has proved that it works.
    pub(super) fn proved(&self) {
        self.links.up(self.lane);
    }

    pub(super) fn disconnected(&self, reason: String) {
        *self.queue() = None;
        self.subscriptions().disconnected();
        self.links.down(self.lane, reason);
    }

    /// Ends every stream, and refuses frames from now on.
    pub(super) fn close(&self) {
        *self.queue() = None;
        self.subscriptions().close();
    }

    /// Passes incoming frames on until the connection breaks, and returns why.
    pub(super) async fn read(
        &self,
        mut frames: BoxStream<'static, Result<(String, Bytes)>>,
        echo_topic: &str,
        pulse: &Pulse,
    ) -> String {
        loop {
            let (topic, frame) = match frames.next().await {
                Some(Ok(received)) => received,
                Some(Err(error)) => return format!("the connection broke: {error}"),
                None => return "the other side closed the connection".to_owned(),
            };
            pulse.received.fetch_add(1, Ordering::Relaxed);
            if topic != echo_topic {
                let received = Received::new(Channel::Unknown, frame);
                self.subscriptions().dispatch(&topic, received);
            } else if let Ok(number) = <[u8; 8]>::try_from(&*frame) {
                let number = u64::from_be_bytes(number);
                self.subscriptions().confirm(number);
                pulse.echoed.send_replace(number);
            }
        }
    }
}

/// Resolves when the transport is closed or dropped.
pub(super) async fn closed_by(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the transport is closed")
}
