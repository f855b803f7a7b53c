//! The sessions of a coordinator.

mod handshake;
mod peers;

use std::sync::Arc;
use std::time::Duration;

pub use self::handshake::Handshake;
use self::peers::Peers;
pub use self::peers::{Answered, Peer};
use super::grant::Enrolled;
use super::handshake::{Hex, Init, KeyId, Notice, SUITE, Signed, VERSION};
use super::header::{FrameKind, Header, is_plain};
use super::refused::Refused;
use super::rotation::Rotation;
use super::session::{Opening, Sealing};
use super::suite::{PublicKey, Suite};
use crate::model::address::{Channel, Lane};
use crate::model::fence::Epoch;
use crate::model::id::WorkerId;
use crate::protocol::budget::Budget;
use crate::protocol::frame::Frame;
use crate::protocol::message::Message;
use crate::protocol::rotation::{ReplaceKey, Rotate};
use crate::protocol::tick::Tick;

/// The only shard.
const SHARD: u32 = 0;
/// The maximum number of handshakes in a second.
const INITS: u32 = 1_000;
/// The maximum number of requests to replace a key in a second.
const ROTATIONS: u32 = 200;
/// The maximum number of notices in a second that answer unknown sessions.
const NOTICES: u32 = 100;
/// The time between two notices to one worker.
const NOTICE_INTERVAL: Duration = Duration::from_secs(1);

/// The treatment of plain frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlainFrames {
    /// They are dropped.
    #[default]
    Refuse,
    /// They are taken from workers whose names were never enrolled: for a migration.
    Allow,
}

/// The settings of a coordinator's sessions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CoordinatorOptions {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The keys of workers.
    pub enrolled: Arc<dyn Enrolled>,
    /// The treatment of plain frames.
    pub plain: PlainFrames,
    /// The keys of the namespace that workers learn: the present one and, before it is replaced, the
    /// next one. If it is empty, they keep those that they know.
    pub keys: Vec<PublicKey>,
}

impl CoordinatorOptions {
    /// Hears the workers of these keys in a namespace, and refuses plain frames.
    pub fn new(namespace: impl Into<Arc<str>>, enrolled: Arc<dyn Enrolled>) -> Self {
        let plain = PlainFrames::Refuse;
        Self { namespace: namespace.into(), enrolled, plain, keys: Vec::new() }
    }

    /// Sets the treatment of plain frames.
    #[must_use]
    pub fn plain(mut self, plain: PlainFrames) -> Self {
        self.plain = plain;
        self
    }

    /// Sets the keys of the namespace that workers learn with each session and when they join, in
    /// place of those that they know: the present one and, before it is replaced, the next one. Those
    /// that have learned both follow a coordinator with either.
    #[must_use]
    pub fn keys(mut self, keys: Vec<PublicKey>) -> Self {
        self.keys = keys;
        self
    }
}

/// The sessions of a coordinator with its workers.
///
/// A handshake has three steps, so that an owner that shares the sessions holds no lock while
/// signatures are made and verified: [`admit`](Self::admit), [`Handshake::answer`] and
/// [`pend`](Self::pend).
#[derive(Debug)]
pub struct CoordinatorSessions {
    suite: Arc<dyn Suite>,
    key: KeyId,
    epoch: Epoch,
    options: CoordinatorOptions,
    peers: Peers,
    inits: Budget,
    rotations: Budget,
    notices: Budget,
    /// The last notice to each worker of the last second.
    noticed: Vec<(Option<WorkerId>, Tick)>,
}

/// The handling of a frame that has arrived at a coordinator.
#[derive(Debug)]
pub enum CoordinatorFrame {
    /// Open it.
    Sealed(Opening),
    /// Pass it to [`CoordinatorSessions::admit`].
    Init,
    /// Read it, and take it if [`CoordinatorSessions::takes_plain`] says so of its sender.
    Plain,
}

/// The answer to an init, or the way to it.
#[derive(Debug)]
pub enum Admission {
    /// Its accept, which was sent before.
    Again {
        /// The worker that it is for.
        worker: WorkerId,
        /// The frame.
        accept: Vec<u8>,
    },
    /// A handshake to answer.
    New(Box<Handshake>),
}

impl CoordinatorSessions {
    /// Creates the half of a coordinator, whose key is that of the suite.
    pub fn new(suite: Arc<dyn Suite>, epoch: Epoch, options: CoordinatorOptions) -> Self {
        Self {
            key: KeyId::of(&*suite, &suite.public()),
            suite,
            epoch,
            options,
            peers: Peers::default(),
            inits: Budget::per_second(INITS),
            rotations: Budget::per_second(ROTATIONS),
            notices: Budget::per_second(NOTICES),
            noticed: Vec::new(),
        }
    }

    /// Returns the suite.
    pub fn suite(&self) -> &Arc<dyn Suite> {
        &self.suite
    }

    /// Returns the keys that it hears.
    pub fn enrolled(&self) -> &Arc<dyn Enrolled> {
        &self.options.enrolled
    }

    /// Looks at an init that came by this channel, without verifying it.
    ///
    /// # Errors
    /// The reason why it is not answered.
    pub fn admit(
        &mut self,
        now: Tick,
        channel: &Channel,
        frame: &[u8],
    ) -> Result<Admission, Refused> {
        self.expire(now);
        let signed = Signed::parts(FrameKind::Init, frame).ok_or(Refused::Malformed)?;
        let init: Init = signed.read().ok_or(Refused::Malformed)?;
        if init.v != VERSION
            || *init.namespace != *self.options.namespace
            || init.to != self.key
            || init.shard != SHARD
            || !init.suites.iter().any(|suite| suite == SUITE)
        {
            return Err(Refused::Foreign);
        }
        if !channel.admits(Some(&init.worker)) {
            return Err(Refused::Misplaced);
        }
        let grant = self.options.enrolled.find(&init.key).ok_or(Refused::NotEnrolled)?;
        if !grant.covers(init.worker.name()) {
            return Err(Refused::Name);
        }
        if self.peers.is_taken(&init.worker, &init.key, &grant) {
            return Err(Refused::Taken);
        }
        let digest = self.suite.digest(signed.payload());
        if let Some(accept) = self.peers.accept_of(&digest) {
            return Ok(Admission::Again { worker: init.worker, accept });
        }
        if self.peers.has_answered(&digest, &init.worker) {
            return Err(Refused::Repeated);
        }
        if !self.peers.may_ask(now, &init.key) || !self.inits.take(now) {
            return Err(Refused::Budget);
        }
        let (key, epoch, frame) = (self.key, self.epoch, frame.to_vec());
        let keys = self.options.keys.clone();
        let rotate = self.options.enrolled.is_to_rotate(&init.key);
        let handshake = Handshake { init, frame, digest, grant, key, epoch, keys, rotate };
        Ok(Admission::New(Box::new(handshake)))
    }

    /// Keeps a session until its worker uses it, or for 10 s. Returns the accept to send to the
    /// worker on the control lane.
    ///
    /// # Errors
    /// `NotEnrolled` or `Grant` if its key was revoked or changed since the init was admitted;
    /// `Budget` if there are too many sessions.
    pub fn pend(&mut self, now: Tick, answered: Answered) -> Result<Vec<u8>, Refused> {
        self.expire(now);
        // `expire` compares only the grants of sessions that it knows. This one is not among them.
        let Peer { key, grant, .. } = answered.peer();
        let current = self.options.enrolled.find(key).ok_or(Refused::NotEnrolled)?;
        if current != *grant {
            return Err(Refused::Grant);
        }
        self.peers.pend(now, answered)
    }

    /// Returns the announcement of this coordinator to all workers.
    pub fn notice(&self) -> Vec<u8> {
        self.notice_about(None)
    }

    fn notice_about(&self, session: Option<u64>) -> Vec<u8> {
        let notice = Notice {
            v: VERSION,
            namespace: self.options.namespace.to_string(),
            key: self.key,
            epoch: self.epoch,
            shard: SHARD,
            shards: 1,
            plain: self.allows_plain(),
            session: session.map(|id| Hex(id.to_be_bytes())),
        };
        Signed::frame(&*self.suite, FrameKind::Notice, &notice)
    }

    /// Returns the answer to a frame of an unknown session, or to a plain one that is refused. It
    /// came from this worker, or from one that the channel does not tell. `None` if one was sent a
    /// moment ago.
    pub fn answer_unknown(
        &mut self,
        now: Tick,
        worker: Option<&WorkerId>,
        session: Option<u64>,
    ) -> Option<Vec<u8>> {
        // At most as many as may be sent in a second.
        self.noticed.retain(|(_, at)| now.since(*at) < NOTICE_INTERVAL);
        let before = self.noticed.iter().any(|(to, _)| to.as_ref() == worker);
        if before || !self.notices.take(now) {
            return None;
        }
        self.noticed.push((worker.cloned(), now));
        Some(self.notice_about(session))
    }

    /// Returns true if a worker of this name may be heard by plain frames.
    pub fn takes_plain(&self, worker: &WorkerId) -> bool {
        self.options.plain == PlainFrames::Allow
            && !self.options.enrolled.is_reserved(worker.name())
    }

    /// Returns true if some workers may be heard by plain frames.
    pub fn allows_plain(&self) -> bool {
        self.options.plain == PlainFrames::Allow
    }

    /// Returns true if a worker has a session.
    pub fn is_open(&self, worker: &WorkerId) -> bool {
        self.peers.is_open(worker)
    }

    /// Assigns a counter for a frame to a worker. `None` if it has no session.
    pub fn sealing(&mut self, now: Tick, worker: &WorkerId, lane: Lane) -> Option<Sealing> {
        self.expire(now);
        self.peers.current(worker)?.sealing(lane)
    }

    /// Returns what is to be done with a frame that arrived on a lane and by a channel.
    ///
    /// # Errors
    /// The reason why it counts for nothing.
    pub fn look(
        &mut self,
        now: Tick,
        channel: &Channel,
        lane: Lane,
        frame: &[u8],
    ) -> Result<CoordinatorFrame, Refused> {
        if is_plain(frame) {
            return match self.options.plain {
                PlainFrames::Allow => Ok(CoordinatorFrame::Plain),
                PlainFrames::Refuse => Err(Refused::Plain),
            };
        }
        let header = Header::decode(frame).ok_or(Refused::Malformed)?;
        match header.kind {
            FrameKind::Sealed if header.lane == lane => {
                self.expire(now);
                let found = self.peers.find(header.session);
                let (session, peer) = found.ok_or(Refused::UnknownSession)?;
                if !channel.admits(Some(&peer.worker)) {
                    return Err(Refused::Misplaced);
                }
                session.opening(header).map(CoordinatorFrame::Sealed).ok_or(Refused::Repeated)
            }
            FrameKind::Init if lane == Lane::Control => Ok(CoordinatorFrame::Init),
            _ => Err(Refused::Misplaced),
        }
    }

    /// Notes a frame that was opened, and returns the worker that sent it. The first frame of a
    /// session makes it the one to seal with.
    ///
    /// # Errors
    /// The reason why it counts for nothing.
    pub fn opened(&mut self, now: Tick, opening: &Opening) -> Result<Arc<Peer>, Refused> {
        // The key may have been revoked since `look`.
        self.expire(now);
        let (peer, is_new) = self.peers.opened(now, opening.header())?;
        if is_new {
            self.options.enrolled.heard(&[peer.key]);
        }
        Ok(peer)
    }

    /// Returns the message that asks a peer to replace its key, if it is to do so and was not asked a
    /// moment ago. The owner calls it with each frame of the peer on the control lane.
    pub fn replace_key(&self, now: Tick, peer: &Peer) -> Option<ReplaceKey> {
        let is_asked = peer.is_to_look(now) && self.options.enrolled.is_to_rotate(&peer.key);
        is_asked.then(|| ReplaceKey { key: peer.key.to_string() })
    }

    /// Looks at a request of a peer to replace its key, without verifying it.
    ///
    /// # Errors
    /// The reason why it is not answered.
    pub fn rotation(
        &mut self,
        now: Tick,
        peer: &Peer,
        rotate: &Rotate,
    ) -> Result<Rotation, Refused> {
        if !self.peers.may_rotate(now, &peer.key) || !self.rotations.take(now) {
            return Err(Refused::Budget);
        }
        Rotation::read(&*self.suite, &self.options.namespace, peer.key, &peer.worker, rotate)
    }

    /// Leaves out of a frame of a peer what it says about workers of other keys: that they are dead.
    pub fn keep_own_claims(&self, peer: &Peer, frame: &mut Frame) {
        for message in &mut frame.messages {
            if let Message::Hello(hello) = message {
                hello
                    .clean_slate
                    .retain(|dead| self.peers.key_of(dead).is_none_or(|key| peer.is_of(&key)));
            }
        }
    }

    /// Ends sessions that are over, and those of keys that were revoked.
    fn expire(&mut self, now: Tick) {
        let heard = self.peers.expire(now);
        if !heard.is_empty() {
            self.options.enrolled.heard(&heard);
        }
        let enrolled = &self.options.enrolled;
        self.peers.revised(enrolled.revision(), |key| enrolled.find(key));
    }
}
