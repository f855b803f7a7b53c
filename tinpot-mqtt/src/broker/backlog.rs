//! The frames that wait for clients, bounded in bytes.
//!
//! The library counts the frames that wait for a client, whatever their size, and releases the bytes
//! of a frame when the last client has got it. So the bytes of a frame are owned here by a value that
//! takes them off the count at that moment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use mqtt5::QoS;
use mqtt5::broker::events::RetainedSetEvent;
use mqtt5::broker::{BrokerEventHandler, ClientConnectEvent, ClientPublishEvent, PublishAction};
use mqtt5::packet::publish::PublishPacket;

use super::retained::{Retained, expiry};
use super::rights::{Answer, Guard};

/// Frames below this size are not counted: the number of those that wait is bounded.
const SMALL_BYTES: usize = 1024;
/// The bytes that may wait in one topic, unless it is a single frame: more than a worker can have
/// outstanding in a sensible set-up.
const TOPIC_BYTES: usize = 16 << 20;
/// The bytes that may wait in all topics. Beyond it, each topic has room for one frame.
const ALL_BYTES: usize = 256 << 20;

/// The bytes that wait, by topic.
#[derive(Clone, Debug, Default)]
pub(super) struct Backlog(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    topics: HashMap<Arc<str>, usize>,
    all: usize,
}

/// The bytes of a frame, counted until the last copy is dropped.
struct Counted {
    bytes: Bytes,
    topic: Arc<str>,
    backlog: Backlog,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut waiting = self.backlog.waiting();
        waiting.all -= self.bytes.len();
        if let Some(bytes) = waiting.topics.get_mut(&self.topic) {
            *bytes -= self.bytes.len();
            if *bytes == 0 {
                waiting.topics.remove(&self.topic);
            }
        }
    }
}

impl Backlog {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a frame. Returns its bytes, or `None` if there is no room for it.
    fn take(&self, topic: &Arc<str>, bytes: Bytes) -> Option<Bytes> {
        let mut waiting = self.waiting();
        let before = waiting.topics.get(topic).copied().unwrap_or_default();
        let has_room =
            before + bytes.len() <= TOPIC_BYTES && waiting.all + bytes.len() <= ALL_BYTES;
        if before > 0 && !has_room {
            return None;
        }
        *waiting.topics.entry(topic.clone()).or_default() += bytes.len();
        waiting.all += bytes.len();
        drop(waiting);
        let (topic, backlog) = (topic.clone(), self.clone());
        Some(Bytes::from_owner(Counted { bytes, topic, backlog }))
    }

    /// Decides about a frame. With `retain`, the broker keeps it.
    fn judge(&self, event: ClientPublishEvent, retain: bool) -> PublishAction {
        // A result is kept for its time, whatever its publisher says.
        let kept_for = expiry(&event.topic).filter(|_| retain && !event.payload.is_empty());
        let is_as_it_was = retain == event.retain && kept_for.is_none();
        let is_small = event.payload.len() <= SMALL_BYTES || event.qos != QoS::AtMostOnce;
        if is_small && is_as_it_was {
            return PublishAction::Continue;
        }
        let ClientPublishEvent { topic, payload, qos, response_topic, correlation_data, .. } =
            event;
        let size = payload.len();
        let payload = if is_small { Some(payload) } else { self.take(&topic, payload) };
        match payload {
            Some(payload) => {
                let mut packet = PublishPacket::new(&*topic, payload, qos).with_retain(retain);
                if let Some(topic) = response_topic {
                    packet.properties.set_response_topic(topic.to_string());
                }
                if let Some(data) = correlation_data {
                    packet.properties.set_correlation_data(data);
                }
                if let Some(time) = kept_for {
                    let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
                    packet.properties.set_message_expiry_interval(seconds);
                }
                PublishAction::Transform(packet)
            }
            None => {
                tracing::debug!(size, %topic, "the broker drops a frame: its reader is too slow");
                PublishAction::Handled
            }
        }
    }
}

/// The events of a broker.
pub(super) struct Events {
    pub(super) guard: Option<Arc<Guard>>,
    pub(super) backlog: Backlog,
    pub(super) retained: Arc<Retained>,
}

impl BrokerEventHandler for Events {
    fn on_client_connect<'a>(&'a self, event: ClientConnectEvent) -> Answer<'a, ()> {
        match &self.guard {
            Some(guard) => guard.on_client_connect(event),
            None => Box::pin(async {}),
        }
    }

    fn on_client_publish<'a>(&'a self, event: ClientPublishEvent) -> Answer<'a, PublishAction> {
        Box::pin(async move {
            if let Some(guard) = &self.guard
                && let PublishAction::Handled = guard.on_client_publish(event.clone()).await
            {
                return PublishAction::Handled;
            }
            let mut retain = event.retain;
            if retain {
                let user_id = event.user_id.as_deref();
                if self.guard.as_ref().is_some_and(|guard| !guard.may_retain(user_id)) {
                    tracing::debug!(topic = %event.topic, "the broker drops a retained frame");
                    return PublishAction::Handled;
                }
                retain = self.retained.admit(&event.topic, event.payload.len()).await;
            }
            self.backlog.judge(event, retain)
        })
    }

    fn on_retained_set<'a>(&'a self, event: RetainedSetEvent) -> Answer<'a, ()> {
        let size = if event.cleared { 0 } else { event.payload.len() };
        Box::pin(async move { self.retained.set(&event.topic, size).await })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{ALL_BYTES, Backlog, TOPIC_BYTES};

    #[test]
    fn frames_count_until_the_last_reader_has_them() {
        let backlog = Backlog::default();
        let take =
            |topic: &str, size: usize| backlog.take(&topic.into(), Bytes::from(vec![7; size]));
        let half = TOPIC_BYTES / 2;
        let first = take("a", half).expect("room");
        assert!(first.iter().all(|byte| *byte == 7) && first.len() == half);
        let second = take("a", half).expect("room");
        assert!(take("a", 1).is_none());
        // Other topics have room of their own, also for one frame that is larger.
        let large = take("b", TOPIC_BYTES + 1).expect("one frame");
        assert!(take("b", 1).is_none());
        let copy = second.clone();
        drop(second);
        assert!(take("a", half).is_none(), "a copy waits");
        drop(copy);
        let again = take("a", half).expect("room");
        drop((first, again, large));
        let waiting = backlog.waiting();
        assert!(waiting.all == 0 && waiting.topics.is_empty(), "{waiting:?}");
    }

    #[test]
    fn beyond_the_room_of_all_each_topic_has_one_frame() {
        let backlog = Backlog::default();
        let (frame, mut held) = (Bytes::from(vec![0; TOPIC_BYTES / 2]), Vec::new());
        for topic in 0.. {
            let take = || backlog.take(&topic.to_string().into(), frame.clone());
            held.push(take().expect("one frame"));
            if let Some(second) = take() {
                held.push(second);
            } else {
                break;
            }
        }
        assert!(held.len() * frame.len() >= ALL_BYTES - 2 * frame.len(), "{}", held.len());
        let late = backlog.take(&"late".into(), frame.clone()).expect("one frame");
        assert!(backlog.take(&"late".into(), frame).is_none());
        drop((late, held));
        assert_eq!(backlog.waiting().all, 0);
    }
}
