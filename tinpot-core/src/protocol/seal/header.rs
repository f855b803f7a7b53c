//! The 24 bytes in front of every frame that is not plain.

use crate::model::address::Lane;

/// The size of a header.
pub const HEADER_BYTES: usize = 24;
/// The size of the tag behind a sealed document.
pub const TAG_BYTES: usize = 16;
/// The first bytes of a frame that is not plain: the version of the suite.
const MAGIC: [u8; 4] = *b"TPF1";

/// The kind of a frame that is not plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A document, sealed in a session.
    Sealed,
    /// The first message of a handshake, signed by a worker.
    Init,
    /// The second message of a handshake, signed by the coordinator.
    Accept,
    /// The announcement of a coordinator, signed by it.
    Notice,
    /// The request to enrol a key, signed by a join token and by the key.
    Join,
    /// The answer to it, signed by the coordinator.
    Joined,
}

impl FrameKind {
    /// All kinds, by their number on the wire.
    const ALL: [FrameKind; 6] =
        [Self::Sealed, Self::Init, Self::Accept, Self::Notice, Self::Join, Self::Joined];

    /// Returns the name in the signature of a signed frame.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Init => "init",
            Self::Accept => "accept",
            Self::Notice => "notice",
            Self::Join => "join",
            Self::Joined => "joined",
        }
    }
}

/// The header of a frame. Session and counter are 0 in signed frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The kind of the frame.
    pub kind: FrameKind,
    /// The lane on which the frame travels.
    pub lane: Lane,
    /// The id of the session.
    pub session: u64,
    /// The number of the frame in its session, lane and direction, from 1.
    pub counter: u64,
}

impl Header {
    /// Returns the header of a signed frame, which travels on the control lane.
    pub fn signed(kind: FrameKind) -> Self {
        Self { kind, lane: Lane::Control, session: 0, counter: 0 }
    }

    /// Returns the header as bytes, all numbers big-endian.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = self.kind as u8;
        bytes[5] = self.lane as u8;
        bytes[8..16].copy_from_slice(&self.session.to_be_bytes());
        bytes[16..].copy_from_slice(&self.counter.to_be_bytes());
        bytes
    }

    /// Reads the header of a frame; `None` if it has none, or one of another version.
    pub fn decode(frame: &[u8]) -> Option<Self> {
        let (head, _) = frame.split_first_chunk::<HEADER_BYTES>()?;
        let kind = *FrameKind::ALL.get(usize::from(head[4]))?;
        let lane = *Lane::ALL.get(usize::from(head[5]))?;
        let number = |at: usize| {
            head[at..at + 8].iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte))
        };
        let header = Self { kind, lane, session: number(8), counter: number(16) };
        // One form per header: whatever is not looked at must be as it is written.
        (header.encode() == *head).then_some(header)
    }
}

/// Returns true if these bytes are a plain frame, or nothing that this version knows.
pub fn is_plain(frame: &[u8]) -> bool {
    !frame.starts_with(&MAGIC)
}
