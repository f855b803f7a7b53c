//! The records that both directions of a link consist of.
//!
//! A record is its length in four bytes, the most significant one first, and that many bytes: one
//! for its kind, two for the length of its topic, the topic, and the frame. A record of length 0
//! only shows that the link is alive. Records follow each other without regard to the bodies of
//! requests: a large one may begin in one request and end in another.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes of a record without topic and frame, its length included.
pub(crate) const HEAD_BYTES: usize = 7;
/// More than any topic has.
pub(crate) const TOPIC_BYTES: usize = 300;
/// The record that only shows that the link is alive.
#[cfg(feature = "server")]
pub(crate) const ALIVE: &[u8] = &[0; 4];

/// The header that names the worker. Pages of other sites cannot set it.
pub(crate) const WORKER_HEADER: &str = "tinpot-worker";

/// The kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A frame for the listeners of the topic.
    Frame = 0,
    /// A request for the frames of the topic.
    Subscribe = 1,
    /// The end of such a request.
    Unsubscribe = 2,
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) topic: String,
    pub(crate) frame: Bytes,
}

/// A reason why bytes are no records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("a record must have at most {max} bytes (got {bytes})")]
    TooLarge { bytes: usize, max: usize },
    #[error("a record has no whole topic")]
    Topic,
    #[error("a record has the unknown kind {0}")]
    Kind(u8),
}

/// Appends a record.
pub(crate) fn encode(into: &mut BytesMut, kind: Kind, topic: &str, frame: &[u8]) {
    into.reserve(HEAD_BYTES + topic.len() + frame.len());
    into.put_u32((HEAD_BYTES - 4 + topic.len() + frame.len()) as u32);
    into.put_u8(kind as u8);
    into.put_u16(topic.len() as u16);
    into.put(topic.as_bytes());
    into.put(frame);
}

/// Takes records out of bytes that arrive in pieces.
#[derive(Debug)]
pub(crate) struct Decoder {
    bytes: BytesMut,
    max_bytes: usize,
}

impl Decoder {
    /// Returns a decoder of records with frames of at most this size.
    pub(crate) fn new(max_frame_bytes: usize) -> Self {
        let max_bytes = HEAD_BYTES + TOPIC_BYTES + max_frame_bytes;
        Self { bytes: BytesMut::new(), max_bytes }
    }

    /// Adds bytes. The caller takes every whole record before it adds more.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the next whole record.
    pub(crate) fn next(&mut self) -> Result<Option<Record>, Malformed> {
        loop {
            let Some(mut head) = self.bytes.get(..4) else { return Ok(None) };
            let length = head.get_u32() as usize;
            if length > self.max_bytes {
                return Err(Malformed::TooLarge { bytes: length, max: self.max_bytes });
            }
            if self.bytes.len() < 4 + length {
                return Ok(None);
            }
            self.bytes.advance(4);
            if length > 0 {
                return record(self.bytes.split_to(length).freeze()).map(Some);
            }
        }
    }
}

fn record(mut bytes: Bytes) -> Result<Record, Malformed> {
    let kind = match bytes.try_get_u8().map_err(|_| Malformed::Topic)? {
        0 => Kind::Frame,
        1 => Kind::Subscribe,
        2 => Kind::Unsubscribe,
        other => return Err(Malformed::Kind(other)),
    };
    let length = usize::from(bytes.try_get_u16().map_err(|_| Malformed::Topic)?);
    if length > TOPIC_BYTES || bytes.len() < length {
        return Err(Malformed::Topic);
    }
    let topic = bytes.split_to(length);
    let topic = std::str::from_utf8(&topic).map_err(|_| Malformed::Topic)?.to_owned();
    Ok(Record { kind, topic, frame: bytes })
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};

    use super::{Decoder, Kind, Malformed, Record, encode};

    #[test]
    fn records_arrive_in_any_pieces() {
        let mut bytes = BytesMut::new();
        encode(&mut bytes, Kind::Subscribe, "workers", b"");
        bytes.put_u32(0);
        encode(&mut bytes, Kind::Frame, "coordinator", b"hello");
        for size in 1..=bytes.len() {
            let mut decoder = Decoder::new(1024);
            let mut records = Vec::new();
            for piece in bytes.chunks(size) {
                decoder.push(piece);
                while let Some(record) = decoder.next().unwrap() {
                    records.push(record);
                }
            }
            let record = |kind, topic: &str, frame: &'static [u8]| Record {
                kind,
                topic: topic.to_owned(),
                frame: frame.into(),
            };
            let sent = [
                record(Kind::Subscribe, "workers", b""),
                record(Kind::Frame, "coordinator", b"hello"),
            ];
            assert_eq!(records, sent, "in pieces of {size}");
        }
    }

    #[test]
    fn bad_records_are_refused_before_they_are_kept() {
        let next = |bytes: &[u8]| {
            let mut decoder = Decoder::new(1024);
            decoder.push(bytes);
            decoder.next()
        };
        let large = next(&[0x7f, 0, 0, 0]);
        assert!(matches!(large, Err(Malformed::TooLarge { .. })), "{large:?}");
        assert_eq!(next(&[0, 0, 0, 1, 9]), Err(Malformed::Kind(9)));
        assert_eq!(next(&[0, 0, 0, 2, 0, 0]), Err(Malformed::Topic));
        assert_eq!(next(&[0, 0, 0, 4, 0, 0, 2, b'a']), Err(Malformed::Topic));
        assert_eq!(next(&[0, 0, 0, 4, 0, 0, 1, 0xff]), Err(Malformed::Topic));
        assert_eq!(next(&[0, 0, 0]), Ok(None));
    }
}
