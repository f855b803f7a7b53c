//! One session: its keys, counters and windows.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::header::{FrameKind, HEADER_BYTES, Header, TAG_BYTES};
use super::suite::{SecretKey, SessionKeys, Suite};
use super::window::Window;
use crate::model::address::Lane;
use crate::protocol::tick::Tick;

/// The id of a session.
pub type SessionId = u64;

/// The number of frames, per lane and direction, after which a session gets new keys.
const FRAMES: u64 = 1 << 40;
/// The number of frames after which a session carries no more.
const LAST_FRAME: u64 = 1 << 48;

/// The two ends of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The worker, which sends up and receives down.
    Worker,
    /// The coordinator.
    Coordinator,
}

/// One end of a session.
///
/// Sealing and opening are separate from it, so that an owner that shares it holds no lock
/// meanwhile: [`sealing`](Self::sealing) assigns a counter, and [`Sealing::seal`] encrypts;
/// [`opening`](Self::opening) looks at the window, [`Opening::open`] decrypts, and
/// [`opened`](Self::opened) changes the window.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    side: Side,
    began: Tick,
    keys: Arc<SessionKeys>,
    /// The counters of the last frames that were sent, by lane.
    sent: [u64; 2],
    /// The counters of the frames that were received, by lane.
    received: [Window; 2],
}

impl Session {
    /// Creates one end of a session.
    pub fn new(now: Tick, id: SessionId, side: Side, keys: SessionKeys) -> Self {
        let (keys, sent, received) = (Arc::new(keys), Default::default(), Default::default());
        Self { id, side, began: now, keys, sent, received }
    }

    /// Returns the id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Returns true if the session needs new keys: at this age, or after 2^40 frames on a lane, in
    /// either direction.
    pub fn is_worn(&self, now: Tick, age: Duration) -> bool {
        let received = self.received.iter().map(Window::highest);
        now.since(self.began) >= age || received.chain(self.sent).any(|frames| frames >= FRAMES)
    }

    /// Assigns the next counter of a lane. `None` after 2^48 frames.
    pub fn sealing(&mut self, lane: Lane) -> Option<Sealing> {
        let sent = &mut self.sent[lane as usize];
        if *sent >= LAST_FRAME {
            return None;
        }
        *sent += 1;
        let header = Header { kind: FrameKind::Sealed, lane, session: self.id, counter: *sent };
        Some(Sealing { header, side: self.side, keys: self.keys.clone() })
    }

    /// Prepares to open a frame with this header. `None` if its counter is not fresh.
    pub fn opening(&self, header: Header) -> Option<Opening> {
        let fresh = self.received[header.lane as usize].is_fresh(header.counter);
        fresh.then(|| Opening { header, side: self.side, keys: self.keys.clone() })
    }

    /// Notes a frame that was opened. Returns false if another one with its counter was opened
    /// meanwhile.
    pub fn opened(&mut self, header: &Header) -> bool {
        self.received[header.lane as usize].note(header.counter)
    }
}

/// The right to seal one frame.
#[derive(Debug)]
#[must_use = "its counter is never assigned again"]
pub struct Sealing {
    header: Header,
    side: Side,
    keys: Arc<SessionKeys>,
}

impl Sealing {
    /// Seals a frame in place: a document behind [`HEADER_BYTES`] bytes, which become the header.
    /// The tag is appended.
    ///
    /// # Panics
    /// If the frame is shorter than a header.
    pub fn seal(self, suite: &dyn Suite, frame: &mut Vec<u8>) {
        let (head, body) = frame.split_at_mut(HEADER_BYTES);
        head.copy_from_slice(&self.header.encode());
        let key = key(&self.keys, self.side, self.header.lane);
        let tag = suite.seal(key, self.header.counter, head, body);
        frame.extend_from_slice(&tag);
    }
}

/// The attempt to open one frame.
#[derive(Debug)]
pub struct Opening {
    header: Header,
    side: Side,
    keys: Arc<SessionKeys>,
}

impl Opening {
    /// Returns the header of the frame.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Opens the frame in place, and returns where its document is. `None` if the tag is wrong.
    pub fn open(&self, suite: &dyn Suite, frame: &mut [u8]) -> Option<Range<usize>> {
        let end = frame.len().checked_sub(TAG_BYTES).filter(|end| *end >= HEADER_BYTES)?;
        let (head, body) = frame.split_at_mut(HEADER_BYTES);
        let from = match self.side {
            Side::Worker => Side::Coordinator,
            Side::Coordinator => Side::Worker,
        };
        let key = key(&self.keys, from, self.header.lane);
        suite.open(key, self.header.counter, head, body).then_some(HEADER_BYTES..end)
    }
}

/// Returns the key of the frames that one side sends on a lane.
fn key(keys: &SessionKeys, from: Side, lane: Lane) -> &SecretKey {
    let keys = match from {
        Side::Worker => &keys.up,
        Side::Coordinator => &keys.down,
    };
    &keys[lane as usize]
}
