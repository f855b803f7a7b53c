//! Frames: one JSON document with a version, its sender, and one or more messages.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::message::Message;
use crate::model::id::WorkerId;

/// The version of the protocol that this crate speaks.
pub const FRAME_VERSION: u32 = 1;

/// A frame: `{"v":1,"from":"web-1f2e3d4c","messages":[…]}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// The sending worker; `None` for the coordinator.
    pub from: Option<WorkerId>,
    /// The receiving worker; `None` for the coordinator, and for all workers.
    pub to: Option<WorkerId>,
    /// The messages, in the order in which they were created.
    pub messages: Vec<Message>,
}

/// An error in the bytes of a frame, or in one of its messages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The bytes are not a frame.
    #[error("not a frame: {0}")]
    NotAFrame(String),
    /// The version is not supported.
    #[error("a frame of version {0}; this side speaks version {FRAME_VERSION}")]
    Version(u32),
    /// One message cannot be read; the others can.
    #[error("message {index} of the frame cannot be read: {why}")]
    Message {
        /// The index of the message in the frame, from 0.
        index: usize,
        /// The reason.
        why: String,
    },
}

#[derive(Serialize)]
struct Outgoing<'a> {
    v: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a WorkerId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a WorkerId>,
    messages: &'a [Message],
}

#[derive(Deserialize)]
struct Incoming<M> {
    v: u32,
    #[serde(default)]
    from: Option<WorkerId>,
    #[serde(default)]
    to: Option<WorkerId>,
    messages: Vec<M>,
}

#[derive(Deserialize)]
struct IncomingRaw<'a> {
    v: u32,
    #[serde(default)]
    from: Option<WorkerId>,
    #[serde(default)]
    to: Option<WorkerId>,
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
}

impl Frame {
    /// Returns the encoded frame.
    pub fn encode(&self) -> Bytes {
        encode(0, self.from.as_ref(), self.to.as_ref(), &self.messages).into()
    }

    /// Reads a frame. A message that cannot be read is left out and reported in the second part;
    /// the others are returned.
    ///
    /// # Errors
    /// [`FrameError::NotAFrame`] and [`FrameError::Version`]: nothing of it can be used.
    pub fn decode(bytes: &[u8]) -> Result<(Frame, Vec<FrameError>), FrameError> {
        match serde_json::from_slice::<Incoming<Message>>(bytes) {
            Ok(frame) if frame.v == FRAME_VERSION => {
                Ok((Frame { from: frame.from, to: frame.to, messages: frame.messages }, Vec::new()))
            }
            Ok(frame) => Err(FrameError::Version(frame.v)),
            Err(_) => Self::decode_each(bytes),
        }
    }

    /// Reads a frame message by message: the slow path, for a frame that cannot be read as a whole.
    fn decode_each(bytes: &[u8]) -> Result<(Frame, Vec<FrameError>), FrameError> {
        let frame: IncomingRaw<'_> =
            serde_json::from_slice(bytes).map_err(|e| FrameError::NotAFrame(e.to_string()))?;
        if frame.v != FRAME_VERSION {
            return Err(FrameError::Version(frame.v));
        }
        let mut messages = Vec::new();
        let mut errors = Vec::new();
        for (index, raw) in frame.messages.iter().enumerate() {
            match serde_json::from_str(raw.get()) {
                Ok(message) => messages.push(message),
                Err(e) => errors.push(FrameError::Message { index, why: e.to_string() }),
            }
        }
        Ok((Frame { from: frame.from, to: frame.to, messages }, errors))
    }
}

/// Encodes a frame from borrowed parts, behind `head` bytes that are free for a header.
pub(crate) fn encode(
    head: usize,
    from: Option<&WorkerId>,
    to: Option<&WorkerId>,
    messages: &[Message],
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(head + 64 + messages.len() * 192);
    bytes.resize(head, 0);
    // Every message consists of strings, numbers and JSON that was checked on creation, so encoding
    // cannot fail.
    let written =
        serde_json::to_writer(&mut bytes, &Outgoing { v: FRAME_VERSION, from, to, messages });
    debug_assert!(written.is_ok(), "a frame always has a JSON form");
    bytes
}
