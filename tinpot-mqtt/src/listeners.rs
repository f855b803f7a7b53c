//! The listeners of one lane by topic filter, and the state of their subscriptions.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use futures::Stream;
use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, RetainForwardRule, SubscribeReasonCode};
use tinpot_core::transport::{Channel, Received};
use tokio::sync::{mpsc, oneshot};

use crate::lane::LaneState;
use crate::topics::Topics;

/// Frames that wait at one stream. A frame carries many messages and the protocol keeps few in
/// flight: only a reader that does not read reaches this, and then frames are dropped here, where
/// nothing but that reader is hurt.
const STREAM_FRAMES: usize = 4096;

/// Bytes that wait at one stream, for large frames; one frame is always let in.
const STREAM_BYTES: usize = 64 * 1024 * 1024;

/// Topics whose channels are in memory: one of each worker that lives at one time.
const CHANNELS: usize = 10_000;

/// A subscription that the broker refused.
pub(crate) struct Refusal {
    pub(crate) filter: String,
    pub(crate) why: String,
}

/// The wanted subscriptions of one lane.
///
/// At most one SUBSCRIBE is in flight, for all filters that are not confirmed: so a SUBACK needs no
/// packet id to be matched, and a reconnect with many listeners is one round trip.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    wanted: HashMap<String, Subscription>,
    client: Option<AsyncClient>,
    in_flight: Option<Vec<(String, u64)>>,
    /// Filters to unsubscribe that found no room in the queue of requests.
    leaving: Vec<String>,
    /// The channels of the topics from which frames came, so that no frame has its topic parsed.
    channels: HashMap<String, Channel>,
    next_id: u64,
}

#[derive(Debug)]
struct Subscription {
    /// Distinguishes this subscription from an earlier one with the same filter.
    id: u64,
    confirmed: bool,
    streams: Vec<Sender>,
    waiting: Vec<oneshot::Sender<Result<(), String>>>,
}

#[derive(Debug)]
struct Sender {
    id: u64,
    frames: mpsc::Sender<Received>,
    bytes: Arc<AtomicUsize>,
    dropped: u64,
}

impl Sender {
    fn push(&mut self, filter: &str, frame: Received) {
        let size = frame.bytes.len();
        let before = self.bytes.fetch_add(size, Ordering::Relaxed);
        let fits = before == 0 || before + size <= STREAM_BYTES;
        if fits && self.frames.try_send(frame).is_ok() {
            return;
        }
        self.bytes.fetch_sub(size, Ordering::Relaxed);
        self.dropped += 1;
        if self.dropped.is_power_of_two() {
            tracing::warn!(filter, dropped = self.dropped, "a listener does not read its frames");
        }
    }
}

impl Listeners {
    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Returns the frames of `filter`, and a receiver of the broker's confirmation; `None` if there
    /// is nothing to wait for.
    pub(crate) fn add(
        &mut self,
        filter: String,
        lane: Weak<LaneState>,
    ) -> (FrameStream, Option<oneshot::Receiver<Result<(), String>>>) {
        let (frames, receiver) = mpsc::channel(STREAM_FRAMES);
        let bytes = Arc::new(AtomicUsize::new(0));
        let id = self.id();
        let connected = self.client.is_some();
        self.leaving.retain(|leaving| *leaving != filter);
        let subscription = self.wanted.entry(filter.clone()).or_insert_with(|| Subscription {
            id,
            confirmed: false,
            streams: Vec::new(),
            waiting: Vec::new(),
        });
        subscription.streams.push(Sender { id, frames, bytes: bytes.clone(), dropped: 0 });
        let confirmation = (connected && !subscription.confirmed).then(|| {
            let (confirm, confirmation) = oneshot::channel();
            subscription.waiting.push(confirm);
            confirmation
        });
        self.pump();
        (
            FrameStream {
                frames: receiver,
                bytes,
                subscription: SubscriptionGuard { filter, id, lane },
            },
            confirmation,
        )
    }

    fn remove(&mut self, filter: &str, id: u64) {
        let Some(subscription) = self.wanted.get_mut(filter) else { return };
        subscription.streams.retain(|stream| stream.id != id);
        if subscription.streams.is_empty() {
            self.wanted.remove(filter);
            self.leave(filter);
        }
    }

    fn leave(&mut self, filter: &str) {
        if self.client.is_some() && !self.leaving.iter().any(|leaving| leaving == filter) {
            self.leaving.push(filter.to_owned());
            self.pump();
        }
    }

    /// Starts over on a new connection. Returns true if there is nothing to subscribe to.
    pub(crate) fn connected(&mut self, client: AsyncClient) -> bool {
        self.disconnected();
        self.client = Some(client);
        self.pump();
        self.is_settled()
    }

    pub(crate) fn disconnected(&mut self) {
        self.client = None;
        self.in_flight = None;
        self.leaving.clear();
        for subscription in self.wanted.values_mut() {
            subscription.confirmed = false;
            // These streams work once the link is back: there is nothing more to wait for.
            subscription.waiting.clear();
        }
    }

    /// Ends every stream.
    pub(crate) fn close(&mut self) {
        self.disconnected();
        self.wanted.clear();
    }

    /// Sends outstanding requests to the broker, as far as there is room. Called again when there
    /// may be more room.
    pub(crate) fn pump(&mut self) {
        let Some(client) = &self.client else { return };
        while let Some(filter) = self.leaving.last() {
            if client.try_unsubscribe(filter.as_str()).is_err() {
                return;
            }
            self.leaving.pop();
        }
        if self.in_flight.is_some() {
            return;
        }
        let missing: Vec<_> = self
            .wanted
            .iter()
            .filter(|(_, subscription)| !subscription.confirmed)
            .map(|(filter, subscription)| (filter.clone(), subscription.id))
            .collect();
        if missing.is_empty() {
            return;
        }
        let filters = missing.iter().map(|(filter, _)| {
            let mut filter = Filter::new(filter.as_str(), QoS::AtMostOnce);
            // Tinpot retains no message, so a retained one is a mistake.
            filter.retain_forward_rule = RetainForwardRule::Never;
            filter
        });
        if client.try_subscribe_many(filters).is_ok() {
            self.in_flight = Some(missing);
        }
    }

    /// Returns true if [`pump`](Self::pump) has something to do.
    pub(crate) fn has_work(&self) -> bool {
        !self.leaving.is_empty()
            || self.in_flight.is_none() && self.wanted.values().any(|one| !one.confirmed)
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.wanted.values().all(|subscription| subscription.confirmed)
    }

    /// Takes the answer to the one SUBSCRIBE in flight. Returns a refusal that no caller waits for.
    pub(crate) fn acknowledged(&mut self, codes: &[SubscribeReasonCode]) -> Option<Refusal> {
        let mut refusal = None;
        for (at, (filter, id)) in self.in_flight.take().into_iter().flatten().enumerate() {
            let Some(subscription) = self.wanted.get_mut(&filter) else { continue };
            if subscription.id != id {
                continue;
            }
            match codes.get(at) {
                Some(SubscribeReasonCode::Success(_)) => {
                    subscription.confirmed = true;
                    for waiting in subscription.waiting.drain(..) {
                        let _ = waiting.send(Ok(()));
                    }
                }
                code => {
                    let why = code.map_or("no answer".to_owned(), |code| format!("{code:?}"));
                    if subscription.waiting.is_empty() {
                        refusal = Some(Refusal { filter, why });
                    } else {
                        for waiting in subscription.waiting.drain(..) {
                            let _ = waiting.send(Err(why.clone()));
                        }
                        self.wanted.remove(&filter);
                    }
                }
            }
        }
        self.pump();
        refusal
    }

    /// Returns the participant that may write to a topic. `None` if none of this protocol may.
    pub(crate) fn channel(&mut self, topic: &str, topics: &Topics) -> Option<Channel> {
        if let Some(channel) = self.channels.get(topic) {
            return Some(channel.clone());
        }
        let channel = topics.channel(topic)?;
        if self.channels.len() >= CHANNELS {
            self.channels.clear();
        }
        self.channels.insert(topic.to_owned(), channel.clone());
        Some(channel)
    }

    /// Passes a frame to every stream of `filter`.
    pub(crate) fn dispatch(&mut self, filter: &str, frame: Received) {
        let Some(subscription) = self.wanted.get_mut(filter) else {
            // Mostly a frame that was in flight while the last stream was dropped. Asking again is
            // harmless, and mends an unsubscribe that was lost.
            self.leave(filter);
            return;
        };
        if let Some((last, others)) = subscription.streams.split_last_mut() {
            for stream in others {
                stream.push(filter, frame.clone());
            }
            last.push(filter, frame);
        }
    }
}

/// The frames of one listener; dropping it ends the subscription.
#[derive(Debug)]
pub(crate) struct FrameStream {
    frames: mpsc::Receiver<Received>,
    bytes: Arc<AtomicUsize>,
    #[expect(dead_code, reason = "ends the subscription when it is dropped")]
    subscription: SubscriptionGuard,
}

#[derive(Debug)]
struct SubscriptionGuard {
    filter: String,
    id: u64,
    lane: Weak<LaneState>,
}

impl Stream for FrameStream {
    type Item = Received;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Received>> {
        let frame = self.frames.poll_recv(context);
        if let Poll::Ready(Some(frame)) = &frame {
            self.bytes.fetch_sub(frame.bytes.len(), Ordering::Relaxed);
        }
        frame
    }
}

impl Drop for SubscriptionGuard {
    fn drop(&mut self) {
        if let Some(lane) = self.lane.upgrade() {
            lane.listeners().remove(&self.filter, self.id);
        }
    }
}
