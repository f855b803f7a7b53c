//! One lane: the state that senders and listeners share with the task that keeps it connected.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAck, Publish, SubscribeReasonCode};
use tinpot_core::transport::{Address, Lane, LaneLinks, Received};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::connection::{Endpoint, QUEUE_REQUESTS};
use crate::error::MqttError;
use crate::listeners::{FrameStream, Listeners, Refusal};
use crate::topics::{Topics, lane_name};

/// Up to this size the bound on requests bounds memory as well: 4096 × 16 KiB are 64 MiB.
pub(crate) const SMALL_FRAME_BYTES: usize = 16 * 1024;

/// The bytes that larger frames may take together while they wait.
const LARGE_FRAMES_BYTES: usize = 64 * 1024 * 1024;

/// The overhead of MQTT besides topic and frame: type, length, length of the topic, properties.
const PACKET_OVERHEAD_BYTES: usize = 16;

#[derive(Debug)]
pub(crate) struct LaneState {
    lane: Lane,
    topics: Topics,
    max_frame_bytes: usize,
    links: Arc<LaneLinks>,
    /// The way out for frames; there while the lane is up.
    exit: RwLock<Option<Exit>>,
    listeners: Mutex<Listeners>,
    large_frames: Arc<Semaphore>,
}

#[derive(Clone, Debug)]
struct Exit {
    client: AsyncClient,
    max_packet_bytes: Option<u32>,
}

/// A large frame and its share of the budget, which is free again once the bytes are written.
pub(crate) struct Budgeted {
    pub(crate) frame: Bytes,
    pub(crate) _share: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Budgeted {
    fn as_ref(&self) -> &[u8] {
        &self.frame
    }
}

impl LaneState {
    pub(crate) fn new(
        lane: Lane,
        topics: Topics,
        max_frame_bytes: usize,
        links: Arc<LaneLinks>,
    ) -> Self {
        Self {
            lane,
            topics,
            max_frame_bytes,
            links,
            exit: RwLock::new(None),
            listeners: Mutex::default(),
            large_frames: Arc::new(Semaphore::new(LARGE_FRAMES_BYTES)),
        }
    }

    pub(crate) fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_exit(&self, exit: Option<Exit>) {
        *self.exit.write().unwrap_or_else(PoisonError::into_inner) = exit;
    }

    /// Queues a frame for the event loop, at once or not at all.
    pub(crate) fn send(&self, to: &Address, frame: Bytes) -> Result<(), MqttError> {
        let bytes = frame.len();
        if bytes > self.max_frame_bytes {
            let (limit_bytes, limited_by) = (self.max_frame_bytes, "this transport");
            return Err(MqttError::TooLarge { bytes, limit_bytes, limited_by });
        }
        let exit = self.exit.read().unwrap_or_else(PoisonError::into_inner);
        let Some(exit) = &*exit else {
            return Err(if self.links.is_closed() {
                MqttError::Closed
            } else {
                MqttError::Down { reason: self.links.reason(self.lane) }
            });
        };
        let topic = self.topics.topic(to)?;
        if let Some(max) = exit.max_packet_bytes {
            // A packet over the broker's limit would make the client library end the connection.
            let limit_bytes = (max as usize).saturating_sub(PACKET_OVERHEAD_BYTES + topic.len());
            if bytes > limit_bytes {
                return Err(MqttError::TooLarge { bytes, limit_bytes, limited_by: "the broker" });
            }
        }
        let frame = if bytes > SMALL_FRAME_BYTES { self.within_budget(frame)? } else { frame };
        exit.client
            .try_publish(topic, QoS::AtMostOnce, false, frame)
            .map_err(|_| MqttError::QueueFull { waiting: QUEUE_REQUESTS })
    }

    fn within_budget(&self, frame: Bytes) -> Result<Bytes, MqttError> {
        let bytes = frame.len();
        // One frame always finds room when no other waits, however large it is.
        let share = bytes.min(LARGE_FRAMES_BYTES) as u32;
        match self.large_frames.clone().try_acquire_many_owned(share) {
            Ok(share) => Ok(Bytes::from_owner(Budgeted { frame, _share: share })),
            Err(_) => {
                let waiting_bytes = LARGE_FRAMES_BYTES - self.large_frames.available_permits();
                Err(MqttError::LargeFramesFull { waiting_bytes, bytes })
            }
        }
    }

    /// Returns the frames for `at`, once the broker has confirmed the subscription or the lane is
    /// down.
    pub(crate) async fn listen(self: &Arc<Self>, at: &Address) -> Result<FrameStream, MqttError> {
        let filter = self.topics.filter(at)?;
        let (stream, confirmation) = {
            let mut listeners = self.listeners();
            if self.links.is_closed() {
                return Err(MqttError::Closed);
            }
            listeners.add(filter.clone(), Arc::downgrade(self))
        };
        match confirmation {
            None => Ok(stream),
            Some(confirmation) => match confirmation.await {
                Ok(Err(why)) => Err(MqttError::ListenRefused { filter, why }),
                // An error is a connection that broke: the stream works once there is another.
                Ok(Ok(())) | Err(_) => Ok(stream),
            },
        }
    }

    fn up(&self, client: &AsyncClient, max_packet_bytes: Option<u32>) {
        self.set_exit(Some(Exit { client: client.clone(), max_packet_bytes }));
        if self.links.is_closed() {
            // Closed by another task in between.
            return self.set_exit(None);
        }
        self.links.up(self.lane);
        tracing::debug!(lane = ?self.lane, "the link is up");
    }

    /// Ends every stream, and refuses frames from now on.
    pub(crate) fn close(&self) {
        self.set_exit(None);
        self.listeners().close();
    }
}

impl Endpoint for LaneState {
    fn name(&self) -> &str {
        lane_name(self.lane)
    }

    /// Subscribes on a new connection, and opens the lane if there is nothing to confirm.
    fn connected(&self, client: &AsyncClient, connack: &ConnAck) {
        let max_packet_bytes = connack.properties.as_ref().and_then(|all| all.max_packet_size);
        let settled = self.listeners().connected(client.clone());
        if settled {
            self.up(client, max_packet_bytes);
        }
    }

    /// Takes the answer to a SUBSCRIBE. The lane is up once every subscription is confirmed; later
    /// ones leave it up.
    fn subscribed(
        &self,
        client: &AsyncClient,
        max_packet_bytes: Option<u32>,
        codes: &[SubscribeReasonCode],
    ) -> Option<Refusal> {
        let mut listeners = self.listeners();
        let refusal = listeners.acknowledged(codes);
        let settled = listeners.is_settled();
        drop(listeners);
        let down = self.exit.read().unwrap_or_else(PoisonError::into_inner).is_none();
        if settled && down && refusal.is_none() {
            self.up(client, max_packet_bytes);
        }
        refusal
    }

    /// Closes the lane for senders, with the reason.
    fn disconnected(&self, reason: String) {
        self.set_exit(None);
        self.listeners().disconnected();
        self.links.down(self.lane, reason);
    }

    /// Sends requests that found no room before.
    fn has_room(&self) {
        let mut listeners = self.listeners();
        if listeners.has_work() {
            listeners.pump();
        }
    }

    /// Passes a frame of the broker to its listeners.
    fn receive(&self, publish: Publish) {
        if publish.retain {
            return;
        }
        let Ok(topic) = std::str::from_utf8(&publish.topic) else { return };
        let mut listeners = self.listeners();
        let Some(channel) = listeners.channel(topic, &self.topics) else {
            return tracing::debug!(topic, "a frame of a topic that no participant may write to");
        };
        let received = Received::new(channel, publish.payload);
        listeners.dispatch(self.topics.filter_of(topic), received);
    }
}
