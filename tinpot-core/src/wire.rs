//! The way of frames between the tasks of a participant and its transport: plain, or sealed.

mod coordinator;
mod worker;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

pub(crate) use self::coordinator::CoordinatorEnd;
pub(crate) use self::worker::WorkerEnd;
use crate::clock::Clock;
use crate::inbox::read_frame;
use crate::model::address::{Address, Channel, Lane};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::id::WorkerId;
use crate::model::names::Names;
use crate::observer::{Direction, Measure, Observer};
use crate::protocol::seal::{
    FrameKind, HEADER_BYTES, Notice, Opening, Refused, Signed, Suite, WorkerGrant, is_plain,
};
use crate::protocol::{Frame, Message};
use crate::refusals::{Refusal, Refusals};
use crate::transport::{Received, Transport};

/// Something that has arrived.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A frame.
    Frame(Frame),
    /// A frame of a session of a worker. It is within the sender's grant.
    Sealed(Frame, Sender),
    /// A frame of a worker that this process runs.
    Local(Frame),
    /// The worker has a session, or another one: it introduces itself in it.
    Session,
}

/// The sender of a sealed frame.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) grant: Arc<WorkerGrant>,
    /// If false, what the worker said of itself before counts no more: its grant is another one.
    pub(crate) is_introduced: bool,
}

/// The end of a participant: its transport, and its sessions if frames are sealed.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    transport: Arc<dyn Transport>,
    clock: Clock,
    end: End,
    observer: Option<Arc<dyn Observer>>,
}

#[derive(Clone, Debug)]
enum End {
    Plain,
    Worker(Arc<WorkerEnd>),
    Coordinator(Arc<CoordinatorEnd>),
}

impl Wire {
    /// Creates the end of a participant whose frames are plain.
    pub(crate) fn plain(transport: Arc<dyn Transport>, clock: Clock) -> Self {
        Self { transport, clock, end: End::Plain, observer: None }
    }

    /// Creates the end of a worker whose frames are sealed.
    pub(crate) fn of_worker(transport: Arc<dyn Transport>, clock: Clock, end: WorkerEnd) -> Self {
        Self { transport, clock, end: End::Worker(Arc::new(end)), observer: None }
    }

    /// Creates the end of a coordinator whose frames are sealed.
    pub(crate) fn of_coordinator(
        transport: Arc<dyn Transport>,
        clock: Clock,
        end: Arc<CoordinatorEnd>,
    ) -> Self {
        Self { transport, clock, end: End::Coordinator(end), observer: None }
    }

    /// Counts frames by this observer.
    pub(crate) fn observed(mut self, observer: Option<Arc<dyn Observer>>) -> Self {
        self.observer = observer;
        self
    }

    fn count(&self, lane: Lane, direction: Direction) {
        if let Some(observer) = &self.observer {
            observer.observe(&Measure::Frame { lane, direction });
        }
    }

    pub(crate) fn transport(&self) -> &dyn Transport {
        &*self.transport
    }

    /// Returns the number of bytes to leave free in front of each frame.
    pub(crate) fn head_bytes(&self) -> usize {
        match self.end {
            End::Plain => 0,
            End::Worker(_) | End::Coordinator(_) => HEADER_BYTES,
        }
    }

    /// Sends a frame: a document behind [`head_bytes`](Self::head_bytes) bytes. It is sealed in
    /// place.
    ///
    /// # Errors
    /// Those of the transport, and `Unavailable` without a session.
    pub(crate) async fn send(&self, to: &Address, lane: Lane, frame: Vec<u8>) -> Result<()> {
        // The clock is read for sealed frames only: plain ones have no use for it.
        let sealed = match &self.end {
            End::Plain => {
                self.transport.send(to, lane, frame.into()).await?;
                self.count(lane, Direction::Sent);
                return Ok(());
            }
            End::Worker(end) => end.seal(lane, frame)?,
            End::Coordinator(end) => end.seal(self.clock.now(), to, lane, frame)?,
        };
        for frame in sealed {
            self.transport.send(to, lane, frame).await?;
            self.count(lane, Direction::Sent);
        }
        Ok(())
    }

    /// Returns the worker that has sent a frame, if the frame is plain and may be taken.
    pub(crate) fn plain_sender<'a>(&self, received: &'a Received) -> Option<&'a WorkerId> {
        let Channel::Worker { id, .. } = &received.channel else { return None };
        let takes_plain = match &self.end {
            End::Plain => true,
            End::Worker(_) => false,
            End::Coordinator(end) => end.allows_plain(),
        };
        (takes_plain && is_plain(&received.bytes)).then_some(id)
    }

    /// Takes in revocations of other processes: to be awaited before frames are opened or sealed.
    pub(crate) async fn keep_current(&self) {
        if let End::Coordinator(end) = &self.end {
            end.keep_current().await;
        }
    }

    /// Reads what has arrived on a lane; `None` if it counts for nothing here.
    pub(crate) fn read(
        &self,
        refusals: &Refusals,
        lane: Lane,
        received: Received,
    ) -> Option<Incoming> {
        self.count(lane, Direction::Received);
        let channel = received.channel.clone();
        if let Channel::Local { id } = &channel {
            return self.read_local(refusals, id, &received);
        }
        let read = match &self.end {
            End::Plain if !is_plain(&received.bytes) => {
                if let Some(notice) = Signed::parts(FrameKind::Notice, &received.bytes)
                    && notice.read::<Notice>().is_some_and(|notice| !notice.plain)
                {
                    refusals.note(Refusal::NotEnrolled, "coordinator", &"its frames are sealed");
                }
                return None;
            }
            End::Plain => return read_frame(refusals, &received).map(Incoming::Frame),
            End::Worker(end) => end.read(refusals, self.clock.now(), lane, received),
            End::Coordinator(end) => end.read(refusals, self.clock.now(), lane, received),
        };
        read.unwrap_or_else(|why| {
            refuse(refusals, &channel, why);
            None
        })
    }

    /// Reads a frame of a worker that this process runs. Only a coordinator has such workers.
    fn read_local(
        &self,
        refusals: &Refusals,
        id: &WorkerId,
        received: &Received,
    ) -> Option<Incoming> {
        match &self.end {
            End::Worker(_) => return None,
            End::Coordinator(end) => end.heard_local(id),
            End::Plain => {}
        }
        let mut frame = read_frame(refusals, received)?;
        for message in &mut frame.messages {
            if let Message::Hello(hello) = message {
                hello.granted.teams = Some(Names::any());
            }
        }
        Some(Incoming::Local(frame))
    }

    /// Returns true if frames are sealed, at least those of peers that have a key.
    pub(crate) fn is_sealed(&self) -> bool {
        !matches!(self.end, End::Plain)
    }

    /// Returns when to call [`tick`](Self::tick) at the latest.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let End::Worker(end) = &self.end else { return None };
        end.wake_at().map(|tick| self.clock.instant(tick))
    }

    /// Asks for a session at once if there is none.
    pub(crate) fn link_up(&self) {
        if let End::Worker(end) = &self.end {
            end.link_up(self.clock.now());
        }
    }

    /// Has the coordinator enrol another key in place of the worker's.
    pub(crate) fn replace_key(&self, suite: Arc<dyn Suite>) {
        if let End::Worker(end) = &self.end {
            end.replace_key(self.clock.now(), suite);
        }
    }

    /// Continues the handshakes of a worker, and the replacement of its key.
    pub(crate) async fn tick(&self, id: &WorkerId) {
        let End::Worker(end) = &self.end else { return };
        let init = end.tick(self.clock.now()).map(Bytes::from);
        for frame in init.into_iter().chain(end.rotate(self.clock.now(), id)) {
            let sent = self.transport.send(&Address::Coordinator, Lane::Control, frame).await;
            if let Err(error) = sent {
                tracing::debug!(%error, "a handshake was not sent: it will be repeated");
            }
        }
    }
}

/// Opens a frame, in place where it is the only one with its bytes. `None` if its tag is wrong.
fn open(suite: &dyn Suite, opening: &Opening, frame: Bytes) -> Option<Bytes> {
    let mut frame = frame.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    let place = opening.open(suite, &mut frame)?;
    Some(frame.freeze().slice(place))
}

fn no_session(with: &Address) -> Error {
    Error::new(ErrorKind::Unavailable, format!("no session with {with} yet"))
}

/// Counts a frame that is refused, and logs it if that says something about its sender.
fn refuse(refusals: &Refusals, channel: &Channel, why: Refused) {
    let reason = match why {
        Refused::Plain => Refusal::Plain,
        Refused::Malformed => Refusal::Unreadable,
        Refused::Forged => Refusal::Forged,
        Refused::Foreign => Refusal::Sender,
        // These happen by themselves: after a restart, and where a network repeats frames.
        Refused::UnknownSession => return refusals.count_quietly(Refusal::Session),
        Refused::Repeated | Refused::Unasked => return refusals.count_quietly(Refusal::Repeated),
        _ => Refusal::Handshake,
    };
    refusals.note(reason, &channel.to_string(), &why);
}
