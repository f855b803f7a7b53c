//! The topics that one lane listens to, and how much of that the other side has confirmed.

use std::collections::HashMap;

use tokio::sync::oneshot;

use super::Command;
use crate::transport::Received;
use crate::transport::listener_queue::ListenerSender;

/// The state of one subscription on the current connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be requested.
    Wanted,
    /// Requested before the echo with this number.
    Requested(u64),
    /// In effect.
    Confirmed,
}

#[derive(Debug)]
struct Subscription {
    state: State,
    listeners: Vec<(u64, ListenerSender)>,
    /// Calls of `listen` that wait for the confirmation.
    waiting: Vec<oneshot::Sender<()>>,
}

/// The subscriptions of one lane.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    topics: HashMap<String, Subscription>,
    /// Topics to unsubscribe from.
    unwanted: Vec<String>,
    connected: bool,
    next_id: u64,
}

impl Subscriptions {
    /// Returns the id of the next listener.
    pub(super) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Adds a listener. Returns a receiver of the confirmation, or `None` if there is nothing to
    /// wait for.
    pub(super) fn add(
        &mut self,
        topic: &str,
        id: u64,
        sender: ListenerSender,
    ) -> Option<oneshot::Receiver<()>> {
        self.unwanted.retain(|unwanted| unwanted != topic);
        let subscription = self.topics.entry(topic.to_owned()).or_insert_with(|| Subscription {
            state: State::Wanted,
            listeners: Vec::new(),
            waiting: Vec::new(),
        });
        subscription.listeners.push((id, sender));
        (self.connected && subscription.state != State::Confirmed).then(|| {
            let (confirm, confirmed) = oneshot::channel();
            subscription.waiting.push(confirm);
            confirmed
        })
    }

    pub(super) fn remove(&mut self, topic: &str, id: u64) {
        let Some(subscription) = self.topics.get_mut(topic) else { return };
        subscription.listeners.retain(|(listener, _)| *listener != id);
        if subscription.listeners.is_empty() {
            let state = subscription.state;
            self.topics.remove(topic);
            if self.connected && state != State::Wanted {
                self.unwanted.push(topic.to_owned());
            }
        }
    }

    /// Starts over on a new connection, on which nothing is subscribed.
    pub(super) fn connected(&mut self) {
        self.disconnected();
        self.connected = true;
    }

    pub(super) fn disconnected(&mut self) {
        self.connected = false;
        self.unwanted.clear();
        for subscription in self.topics.values_mut() {
            subscription.state = State::Wanted;
            // These listeners work once the link is back: there is nothing more to wait for.
            subscription.waiting.clear();
        }
    }

    /// Ends every stream.
    pub(super) fn close(&mut self) {
        self.disconnected();
        self.topics.clear();
    }

    /// Returns the commands that bring the other side up to date. They are in effect once it has
    /// returned the echo with number `echo`.
    pub(super) fn take_changes(&mut self, echo: u64) -> Vec<Command> {
        let unwanted = self.unwanted.drain(..).map(|topic| Command::Unsubscribe { topic });
        let mut changes: Vec<Command> = unwanted.collect();
        for (topic, subscription) in &mut self.topics {
            if subscription.state == State::Wanted {
                subscription.state = State::Requested(echo);
                changes.push(Command::Subscribe { topic: topic.clone() });
            }
        }
        changes
    }

    /// Records that everything requested before the echo with number `echo` is in effect.
    pub(super) fn confirm(&mut self, echo: u64) {
        for subscription in self.topics.values_mut() {
            if matches!(subscription.state, State::Requested(requested) if requested <= echo) {
                subscription.state = State::Confirmed;
                for waiting in subscription.waiting.drain(..) {
                    let _ = waiting.send(());
                }
            }
        }
    }

    /// Returns true if every subscription is in effect.
    pub(super) fn is_settled(&self) -> bool {
        self.topics.values().all(|subscription| subscription.state == State::Confirmed)
    }

    /// Passes a frame to every listener of its topic.
    pub(super) fn dispatch(&mut self, topic: &str, frame: Received) {
        // A frame without a listener was on its way when the last one was dropped.
        let Some(subscription) = self.topics.get_mut(topic) else { return };
        if let Some(((_, last), others)) = subscription.listeners.split_last_mut() {
            for (_, listener) in others {
                listener.push(topic, frame.clone());
            }
            last.push(topic, frame);
        }
    }
}
