//! The messages of a link.
//!
//! The first message of a client has one part: [`HELLO`] and the name of the lane. Every other one
//! has records, of two parts each: a head, which is a byte for the kind and the topic, and a frame.
//! A message of the server with one part only is a refusal: its text says why the link has ended.

use bytes::Bytes;
use omq_tokio::Message;
use tinpot_core::transport::Lane;

/// The beginning of the first message: the protocol and its version.
pub(crate) const HELLO: &str = "tinpot/1/";
/// More than any topic has.
const TOPIC_BYTES: usize = 300;
/// The bytes of the records that are sent as one message; a larger record is one by itself.
const BATCH_BYTES: usize = 64 * 1024;
/// The records that are sent as one message.
const BATCH_RECORDS: usize = 256;
/// The part of a refusal that is shown.
const REFUSAL_BYTES: usize = 1024;
/// The room in a message for everything but a frame: a batch, and what the library counts per part.
const BESIDES_BYTES: usize = BATCH_BYTES + BATCH_RECORDS * 2 * 64;

/// Returns the size of the largest message, given that of the largest frame.
pub(crate) fn max_message_bytes(max_frame_bytes: usize) -> usize {
    max_frame_bytes + BESIDES_BYTES
}

pub(crate) fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Control => "control",
        Lane::Logs => "logs",
    }
}

/// Returns the first message of a client.
pub(crate) fn hello(lane: Lane) -> Message {
    Message::single(format!("{HELLO}{}", lane_name(lane)))
}

/// Returns the lane of a message that is a first one, or why there is none.
pub(crate) fn lane_of(message: &Message) -> Result<Option<Lane>, Malformed> {
    if message.len() != 1 {
        return Ok(None);
    }
    let text = message.part_slice(0).and_then(|part| std::str::from_utf8(part).ok());
    match text.and_then(|text| text.strip_prefix(HELLO)) {
        Some("control") => Ok(Some(Lane::Control)),
        Some("logs") => Ok(Some(Lane::Logs)),
        _ => Err(Malformed::Hello),
    }
}

/// The kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A frame for the listeners of the topic.
    Frame = b'F' as isize,
    /// A request for the frames of the topic.
    Subscribe = b'S' as isize,
    /// The end of such a request.
    Unsubscribe = b'U' as isize,
}

/// Returns the head of a record.
pub(crate) fn head(kind: Kind, topic: &str) -> Bytes {
    let mut head = Vec::with_capacity(1 + topic.len());
    head.push(kind as u8);
    head.extend_from_slice(topic.as_bytes());
    head.into()
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) topic: String,
    pub(crate) frame: Bytes,
}

/// A reason why a message is none of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("the first message must be {HELLO}control or {HELLO}logs")]
    Hello,
    #[error("a record must have two parts")]
    Parts,
    #[error("a record has the unknown kind {0}")]
    Kind(u8),
    #[error("a record has no topic of at most {TOPIC_BYTES} bytes")]
    Topic,
}

/// Returns the records of a message.
pub(crate) fn records(message: &Message) -> impl Iterator<Item = Result<Record, Malformed>> {
    (0..message.len()).step_by(2).map(|at| {
        let head = message.part_slice(at).unwrap_or_default();
        let frame = message.part_bytes(at + 1).ok_or(Malformed::Parts)?;
        let (kind, topic) = head.split_first().ok_or(Malformed::Topic)?;
        let kind = match kind {
            b'F' => Kind::Frame,
            b'S' => Kind::Subscribe,
            b'U' => Kind::Unsubscribe,
            other => return Err(Malformed::Kind(*other)),
        };
        let topic = std::str::from_utf8(topic).ok().filter(|topic| topic.len() <= TOPIC_BYTES);
        let topic = topic.ok_or(Malformed::Topic)?.to_owned();
        Ok(Record { kind, topic, frame })
    })
}

/// Returns the reason in a refusal; `None` if the message is none.
pub(crate) fn refusal(message: &Message) -> Option<String> {
    let text = message.part_slice(0).filter(|_| message.len() == 1)?;
    let text = String::from_utf8_lossy(&text[..text.len().min(REFUSAL_BYTES)]);
    Some(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
}

/// Records that are sent as one message.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    parts: Vec<Bytes>,
    bytes: usize,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Returns true if there is room for a record of this size. There always is for a first one.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let fits = self.bytes + bytes <= BATCH_BYTES && self.parts.len() < 2 * BATCH_RECORDS;
        self.is_empty() || fits
    }

    pub(crate) fn push(&mut self, head: Bytes, frame: Bytes) {
        self.bytes += head.len() + frame.len();
        self.parts.extend([head, frame]);
    }

    pub(crate) fn take(&mut self) -> Message {
        self.bytes = 0;
        Message::multipart(std::mem::take(&mut self.parts))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use omq_tokio::Message;
    use tinpot_core::transport::Lane;

    use super::{Batch, Kind, Malformed, head, hello, lane_of, records, refusal};

    #[test]
    fn a_batch_is_read_as_it_was_written() {
        let mut batch = Batch::default();
        assert!(batch.is_empty() && batch.has_room(usize::MAX / 2));
        batch.push(head(Kind::Subscribe, "workers"), Bytes::new());
        batch.push(head(Kind::Frame, "coordinator"), "hello".into());
        assert!(batch.has_room(1000) && !batch.has_room(64 * 1024));
        let message = batch.take();
        let read: Vec<_> = records(&message).map(Result::unwrap).collect();
        assert_eq!((read[0].kind, &*read[0].topic), (Kind::Subscribe, "workers"));
        assert_eq!((read[1].kind, &read[1].frame[..]), (Kind::Frame, &b"hello"[..]));
        assert!(batch.is_empty() && lane_of(&message) == Ok(None));
        for lane in Lane::ALL {
            assert_eq!(lane_of(&hello(lane)), Ok(Some(lane)));
        }
    }

    #[test]
    fn other_messages_are_refused() {
        let first = |parts: &[&'static [u8]]| {
            records(&Message::multipart(parts.iter().copied())).next().unwrap()
        };
        assert_eq!(first(&[b"Fa"]), Err(Malformed::Parts));
        assert_eq!(first(&[b"", b""]), Err(Malformed::Topic));
        assert_eq!(first(&[b"F\xff", b""]), Err(Malformed::Topic));
        assert_eq!(first(&[b"Xa", b""]), Err(Malformed::Kind(b'X')));
        for text in ["", "tinpot/1/", "tinpot/2/control", "GET /"] {
            assert_eq!(lane_of(&Message::single(text)), Err(Malformed::Hello), "{text}");
        }
        assert_eq!(refusal(&Message::single("no\nmore")).as_deref(), Some("no more"));
        assert_eq!(refusal(&Message::multipart(["a", "b"])), None);
    }
}
