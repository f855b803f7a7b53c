//! Messages of one turn, gathered into one frame per address.

use std::time::Duration;

use tokio::time::Instant;

use crate::id::WorkerId;
use crate::protocol::{Message, encode};
use crate::transport::{Address, Lane, Transport};

/// A frame is sent once it has so many messages: far below every transport's limit.
const FRAME_MESSAGES: usize = 512;
/// Messages that may wait for company, per address.
const LAZY_MESSAGES: usize = 64;

/// Gathers messages per address; whoever flushes sends all that is there *now*, so coalescing costs no latency.
///
/// A lazy message is one that nobody waits for. It travels with the next message to its address, and alone only after a while: a frame that
/// its receiver does not answer makes the next one wait for a delayed TCP acknowledgement wherever a broker has not disabled Nagle's
/// algorithm. With mosquitto's defaults that is 44 ms for every request of a client that sends one after the other, instead of 0.3 ms
/// (2026-11-21).
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    frames: Vec<(Address, Vec<Message>)>,
    lazy: Vec<(Address, Instant, Vec<Message>)>,
}

impl Outbox {
    pub(crate) fn push(&mut self, to: Address, message: Message) {
        self.frame(to).push(message);
    }

    fn frame(&mut self, to: Address) -> &mut Vec<Message> {
        let open = |(address, messages): &(Address, Vec<Message>)| {
            *address == to && messages.len() < FRAME_MESSAGES
        };
        let place = self.frames.iter().rposition(open).unwrap_or_else(|| {
            self.frames.push((to, Vec::new()));
            self.frames.len() - 1
        });
        &mut self.frames[place].1
    }

    /// Adds a message that may wait for company for `patience`.
    pub(crate) fn push_lazy(&mut self, to: Address, message: Message, patience: Duration) {
        match self.lazy.iter_mut().find(|(address, ..)| *address == to) {
            Some((.., messages)) => messages.push(message),
            None => self.lazy.push((to, Instant::now() + patience, vec![message])),
        }
    }

    /// When a lazy message has waited long enough.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.lazy.iter().map(|(_, at, _)| *at).min()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Encodes and sends everything. What a transport does not take is dropped: the protocol sends it again.
    pub(crate) async fn flush(
        &mut self,
        transport: &dyn Transport,
        lane: Lane,
        from: Option<&WorkerId>,
    ) {
        self.add_company();
        for (to, messages) in self.frames.drain(..) {
            let addressee = match &to {
                Address::Worker(id) => Some(id),
                Address::Coordinator | Address::AllWorkers => None,
            };
            let frame = encode(from, addressee, &messages);
            if let Err(error) = transport.send(&to, lane, frame).await {
                tracing::debug!(%to, ?lane, %error, "a frame was not handed over; its messages will be sent again");
            }
        }
    }

    /// Puts lazy messages into frames that go out anyway, or that have to now.
    fn add_company(&mut self) {
        if self.lazy.is_empty() {
            return;
        }
        let now = Instant::now();
        for (to, at, messages) in std::mem::take(&mut self.lazy) {
            if at <= now
                || messages.len() >= LAZY_MESSAGES
                || self.frames.iter().any(|(address, _)| *address == to)
            {
                self.frame(to).extend(messages);
            } else {
                self.lazy.push((to, at, messages));
            }
        }
    }
}
