//! The retained messages of a broker, bounded in number and in bytes.
//!
//! The library keeps them in memory without a bound on their bytes, and does not remove those that
//! have expired. So they are counted here, and a message beyond the bounds is delivered and not kept:
//! nothing that others have announced goes for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mqtt5::QoS;
use mqtt5::broker::router::MessageRouter;
use mqtt5::packet::publish::PublishPacket;

/// The number of retained messages: fewer than wait for one client, so that a new subscription gets
/// all of them.
const MESSAGES: usize = 4000;
/// The number of retained results of executions among them, so that a flood of these leaves room
/// for announcements.
const RESULTS: usize = 2000;
/// The largest retained message, in bytes.
const MESSAGE_BYTES: usize = 64 * 1024;
/// The bytes of all retained messages, with their topics.
const ALL_BYTES: usize = 32 << 20;
/// The bytes of results among them.
const RESULT_BYTES: usize = ALL_BYTES / 2;
/// The time for which a result is kept, whatever its publisher says.
const RESULT_EXPIRY: Duration = Duration::from_secs(3600);
/// The shortest time between two warnings.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// The retained messages, by topic.
#[derive(Debug, Default)]
pub(super) struct Retained {
    kept: Mutex<Kept>,
    /// The router of the broker, whose events come here.
    router: OnceLock<Weak<MessageRouter>>,
}

#[derive(Debug, Default)]
struct Kept {
    topics: HashMap<Arc<str>, Entry>,
    bytes: usize,
    results: usize,
    result_bytes: usize,
    warned_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    bytes: usize,
    expires_at: Option<Instant>,
}

/// Returns the time for which a message at this topic is kept, if it is bounded: a topic such as
/// `home/exec/1/result` has the result of an execution.
pub(super) fn expiry(topic: &str) -> Option<Duration> {
    let mut levels = topic.rsplit('/');
    let is_result = levels.next() == Some("result") && levels.nth(1) == Some("exec");
    is_result.then_some(RESULT_EXPIRY)
}

impl Kept {
    fn remove(&mut self, topic: &str) -> bool {
        let Some(entry) = self.topics.remove(topic) else { return false };
        self.bytes -= entry.bytes;
        if entry.expires_at.is_some() {
            self.results -= 1;
            self.result_bytes -= entry.bytes;
        }
        true
    }

    fn set(&mut self, topic: &Arc<str>, size: usize, now: Instant) {
        self.remove(topic);
        let bytes = topic.len() + size;
        let expires_at = expiry(topic).map(|time| now + time);
        self.bytes += bytes;
        if expires_at.is_some() {
            self.results += 1;
            self.result_bytes += bytes;
        }
        self.topics.insert(topic.clone(), Entry { bytes, expires_at });
    }

    /// Returns the reason why a message is not kept, if there is one.
    fn refusal(&self, topic: &str, size: usize) -> Option<String> {
        if size > MESSAGE_BYTES {
            return Some(format!("it must have at most {MESSAGE_BYTES} bytes (got {size})"));
        }
        // The one that it replaces goes.
        let (known, known_bytes) = self.topics.get(topic).map_or((0, 0), |one| (1, one.bytes));
        let full = |number: usize, bytes: usize, most: usize, room: usize| {
            let (number, bytes) = (number - known, bytes - known_bytes);
            let is_full = number >= most || bytes + topic.len() + size > room;
            is_full.then(|| format!("{number} others with {bytes} bytes are kept"))
        };
        let of_results = || full(self.results, self.result_bytes, RESULTS, RESULT_BYTES);
        full(self.topics.len(), self.bytes, MESSAGES, ALL_BYTES)
            .or_else(|| expiry(topic).and_then(|_| of_results()))
    }

    /// Returns true if more is kept than may be: the last will of a client comes without a question.
    fn is_beyond(&self, size: usize) -> bool {
        size > MESSAGE_BYTES || self.topics.len() > MESSAGES || self.bytes > ALL_BYTES
    }
}

impl Retained {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the router of the broker.
    pub(super) fn set_router(&self, router: &Arc<MessageRouter>) {
        let _ = self.router.set(Arc::downgrade(router));
    }

    /// Notes that the library keeps a message at a topic, or none.
    pub(super) async fn set(&self, topic: &Arc<str>, size: usize) {
        let is_beyond = {
            let mut kept = self.kept();
            match size {
                0 => drop(kept.remove(topic)),
                _ => kept.set(topic, size, Instant::now()),
            }
            size > 0 && kept.is_beyond(size)
        };
        if is_beyond {
            self.warn(topic, "it is beyond the bounds");
            self.remove(topic).await;
        }
    }

    /// Returns true if there is room for a message. If there is none, nothing is kept at its topic.
    pub(super) async fn admit(&self, topic: &str, size: usize) -> bool {
        if size == 0 {
            return true;
        }
        if self.refusal(topic, size).is_none() {
            return true;
        }
        self.remove_expired(Instant::now()).await;
        let Some(why) = self.refusal(topic, size) else { return true };
        self.warn(topic, &why);
        // An older message there is no longer true.
        if self.kept().topics.contains_key(topic) {
            self.remove(topic).await;
        }
        false
    }

    fn refusal(&self, topic: &str, size: usize) -> Option<String> {
        self.kept().refusal(topic, size)
    }

    fn warn(&self, topic: &str, why: &str) {
        let now = Instant::now();
        let mut kept = self.kept();
        let is_late = |at: Instant| now.saturating_duration_since(at) >= WARN_EVERY;
        if kept.warned_at.is_none_or(is_late) {
            kept.warned_at = Some(now);
            let topic: String = topic.chars().take(256).collect();
            tracing::warn!(
                "the broker delivers the message at {topic:?} and does not keep it: {why}"
            );
        }
    }

    async fn remove_expired(&self, now: Instant) {
        let expired: Vec<Arc<str>> = {
            let kept = self.kept();
            let is_over = |entry: &Entry| entry.expires_at.is_some_and(|at| at <= now);
            let expired = kept.topics.iter().filter(|(_, entry)| is_over(entry));
            expired.map(|(topic, _)| topic.clone()).collect()
        };
        for topic in expired {
            self.remove(&topic).await;
        }
    }

    /// Lets the library remove the message at a topic. Subscribers get an empty one.
    async fn remove(&self, topic: &str) {
        if let Some(router) = self.router.get().and_then(Weak::upgrade) {
            let empty = PublishPacket::new(topic, Bytes::new(), QoS::AtMostOnce).with_retain(true);
            router.route_message_local_only(&empty, None).await;
        }
        self.kept().remove(topic);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{ALL_BYTES, MESSAGE_BYTES, MESSAGES, RESULTS, Retained, expiry};

    #[tokio::test]
    async fn messages_are_bounded_in_number_and_results_leave_room() {
        let retained = Retained::default();
        for number in 0..MESSAGES {
            let topic = format!("home/exec/{number}/result");
            let fits = retained.admit(&topic, 10).await;
            assert_eq!(fits, number < RESULTS, "{number}");
            if fits {
                retained.set(&topic.into(), 10).await;
            }
        }
        // One that is there may be replaced, and announcements have the rest.
        assert!(retained.admit("home/exec/0/result", 20).await);
        for number in 0..MESSAGES {
            let topic = format!("home/actions/{number}");
            let fits = retained.admit(&topic, 10).await;
            assert_eq!(fits, number < MESSAGES - RESULTS, "{number}");
            if fits {
                retained.set(&topic.into(), 10).await;
            }
        }
        assert!(retained.admit("home/actions/0", 0).await, "a removal");
        retained.set(&"home/actions/0".into(), 0).await;
        assert!(retained.admit("home/actions/new", 10).await);
        // Results that have expired are no longer there.
        retained.remove_expired(Instant::now() + Duration::from_secs(3700)).await;
        assert!(retained.admit("home/exec/new/result", 10).await);
        let kept = retained.kept();
        assert_eq!((kept.results, kept.result_bytes), (0, 0));
    }

    #[tokio::test]
    async fn messages_are_bounded_in_bytes() {
        let retained = Retained::default();
        assert!(!retained.admit("a", MESSAGE_BYTES + 1).await);
        let mut number = 0;
        while retained.admit(&format!("a/{number}"), MESSAGE_BYTES).await {
            retained.set(&format!("a/{number}").into(), MESSAGE_BYTES).await;
            number += 1;
        }
        assert!(retained.kept().bytes <= ALL_BYTES);
        assert_eq!(number, ALL_BYTES / MESSAGE_BYTES - 1, "the topics count, too");
        // One that no longer fits is not kept in its old form, either.
        retained.set(&"a/0".into(), 10).await;
        assert!(!retained.admit("a/0", MESSAGE_BYTES + 1).await);
        assert!(!retained.kept().topics.contains_key("a/0"));
    }

    #[test]
    fn results_are_known_by_their_topics() {
        for topic in ["home/exec/1/result", "a/b/exec/x/result"] {
            assert!(expiry(topic).is_some(), "{topic}");
        }
        for topic in ["home/exec/1/log", "home/actions/result", "exec/result", "result"] {
            assert!(expiry(topic).is_none(), "{topic}");
        }
    }
}
