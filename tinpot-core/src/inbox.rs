//! Incoming frames, and what is refused of them.

use crate::model::address::{Channel, Lane};
use crate::model::id::WorkerId;
use crate::protocol::{Frame, Message};
use crate::refusals::{Refusal, Refusals};
use crate::transport::Received;

/// Reads a frame. Unreadable messages are left out. `None` if the whole frame is unreadable, or if
/// it cannot come from its sender.
pub(crate) fn read_frame(refusals: &Refusals, received: &Received) -> Option<Frame> {
    let channel = &received.channel;
    match Frame::decode(&received.bytes) {
        Ok((frame, errors)) => {
            if !channel.admits(frame.from.as_ref()) {
                let from = frame.from.as_ref().map_or("coordinator", WorkerId::as_str);
                let detail = format_args!("it names {from}");
                refusals.note(Refusal::Sender, &channel.to_string(), &detail);
                return None;
            }
            for error in errors {
                refusals.note(Refusal::Unreadable, peer(&frame, channel), &error);
            }
            Some(frame)
        }
        Err(error) => {
            let peer = match channel {
                Channel::Worker { id, .. } => id.as_str(),
                _ => "unknown",
            };
            refusals.note(Refusal::Unreadable, peer, &error);
            None
        }
    }
}

/// Returns true if a frame comes from the coordinator and is for this worker; counts it otherwise.
pub(crate) fn is_for(refusals: &Refusals, frame: &Frame, id: &WorkerId) -> bool {
    if let Some(from) = &frame.from {
        refusals.note(Refusal::Sender, from.as_str(), &"it is not the coordinator's");
        return false;
    }
    if let Some(to) = frame.to.as_ref().filter(|to| *to != id) {
        refusals.note(Refusal::Addressee, "coordinator", to);
        return false;
    }
    true
}

/// Counts a message that is not handled: one of an unknown type, or one that belongs elsewhere.
pub(crate) fn refuse_message(refusals: &Refusals, from: &str, message: &Message, lane: Lane) {
    match message {
        Message::Unknown(key) => refusals.note(Refusal::UnknownMessage, from, key),
        other => {
            let detail = format_args!("{} on {lane:?}", other.key());
            refusals.note(Refusal::Lane, from, &detail);
        }
    }
}

fn peer<'a>(frame: &'a Frame, channel: &'a Channel) -> &'a str {
    match (&frame.from, channel) {
        (Some(from), _) => from.as_str(),
        (None, Channel::Worker { id, .. }) => id.as_str(),
        (None, _) => "coordinator",
    }
}
