//! The retained messages of one prefix: which are there, and which should be.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::outbox::Message;

/// The shortest time between two restorations of a message that others replace.
const RESTORE: Duration = Duration::from_secs(10);

/// Payloads by topic.
pub(crate) type Payloads = BTreeMap<String, Bytes>;

/// The topics of retained messages that the broker sent.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Those of an earlier coordinator of this namespace.
    pub(crate) left_over: BTreeSet<String>,
    /// Those of other clients, and removals by other clients.
    pub(crate) overwritten: BTreeSet<String>,
}

/// The retained messages of one prefix.
#[derive(Debug, Default)]
pub(crate) struct Board {
    published: Payloads,
    restored: BTreeMap<String, Instant>,
}

impl Board {
    /// Forgets what was published: a broker may have lost it.
    pub(crate) fn connected(&mut self) {
        self.published.clear();
    }

    /// Returns the messages after which exactly these are there.
    pub(crate) fn update(&mut self, wanted: &Payloads, found: Found, now: Instant) -> Vec<Message> {
        let mut messages = Vec::new();
        let gone = self.published.keys().chain(&found.left_over);
        let gone: BTreeSet<_> = gone.filter(|at| !wanted.contains_key(*at)).cloned().collect();
        for topic in gone {
            self.published.remove(&topic);
            messages.push(Message::new(topic, Bytes::new()).retained());
        }
        self.restored.retain(|topic, at| {
            wanted.contains_key(topic) && now.saturating_duration_since(*at) < RESTORE
        });
        for (topic, payload) in wanted {
            let is_there = self.published.get(topic) == Some(payload);
            let was_replaced =
                found.overwritten.contains(topic) && !self.restored.contains_key(topic);
            if is_there && !was_replaced {
                continue;
            }
            if was_replaced {
                self.restored.insert(topic.clone(), now);
            }
            self.published.insert(topic.clone(), payload.clone());
            messages.push(Message::new(topic.clone(), payload.clone()).retained());
        }
        messages
    }

    /// Returns the messages after which there are none.
    pub(crate) fn clear(&mut self) -> Vec<Message> {
        self.update(&Payloads::new(), Found::default(), Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::{Duration, Instant};

    use super::{Board, Found, Message, Payloads};

    fn payloads(all: &[(&str, &str)]) -> Payloads {
        let owned = |(topic, text): &(&str, &str)| ((*topic).to_owned(), (*text).to_owned().into());
        all.iter().map(owned).collect()
    }

    fn topics(all: &[&str]) -> BTreeSet<String> {
        all.iter().map(|topic| (*topic).to_owned()).collect()
    }

    /// Returns the topics of the messages, with a minus before removals.
    fn step(board: &mut Board, wanted: &Payloads, found: Found, now: Instant) -> Vec<String> {
        let said = board.update(wanted, found, now);
        assert!(said.iter().all(|message| message.retain && message.acknowledged));
        let short = |message: &Message| {
            let sign = if message.payload.is_empty() { "-" } else { "" };
            format!("{sign}{}", message.topic)
        };
        said.iter().map(short).collect()
    }

    #[test]
    fn only_changes_are_published() {
        let (mut board, now) = (Board::default(), Instant::now());
        let mut to =
            |wanted: &[(&str, &str)], found: Found| step(&mut board, &payloads(wanted), found, now);
        assert_eq!(to(&[("a", "1"), ("b", "1")], Found::default()), ["a", "b"]);
        assert_eq!(to(&[("a", "1"), ("b", "1")], Found::default()), [""; 0]);
        assert_eq!(to(&[("a", "2"), ("b", "1")], Found::default()), ["a"]);
        assert_eq!(to(&[("a", "2")], Found::default()), ["-b"]);
        let found = Found { left_over: topics(&["a", "old"]), ..Found::default() };
        assert_eq!(to(&[("a", "2")], found), ["-old"]);
    }

    #[test]
    fn what_others_replace_is_restored_now_and_then() {
        let (mut board, start) = (Board::default(), Instant::now());
        let wanted = payloads(&[("a", "1")]);
        let replaced = || Found { overwritten: topics(&["a", "other"]), ..Found::default() };
        step(&mut board, &wanted, Found::default(), start);
        assert_eq!(step(&mut board, &wanted, replaced(), start), ["a"]);
        assert_eq!(step(&mut board, &wanted, replaced(), start), [""; 0]);
        let later = start + Duration::from_secs(11);
        assert_eq!(step(&mut board, &wanted, replaced(), later), ["a"]);
        board.connected();
        assert_eq!(step(&mut board, &wanted, Found::default(), later), ["a"]);
        assert_eq!(board.clear().len(), 1);
    }
}
