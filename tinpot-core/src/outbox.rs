//! Messages of one turn, gathered into one frame per address.

use crate::id::WorkerId;
use crate::protocol::{Message, encode};
use crate::transport::{Address, Lane, Transport};

/// A frame is sent once its messages weigh about this much: far below every transport's limit.
const FRAME_MESSAGES: usize = 512;

/// Gathers messages per address; whoever flushes sends all that is there *now*, so coalescing costs no latency.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    frames: Vec<(Address, Vec<Message>)>,
}

impl Outbox {
    pub(crate) fn push(&mut self, to: Address, message: Message) {
        match self
            .frames
            .iter_mut()
            .rev()
            .find(|(address, messages)| *address == to && messages.len() < FRAME_MESSAGES)
        {
            Some((_, messages)) => messages.push(message),
            None => self.frames.push((to, vec![message])),
        }
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
}
