//! The sessions of a worker.

use std::sync::Arc;
use std::time::Duration;

use super::handshake::{Accept, Hex, Init, KeyId, Notice, SUITE, Signed, VERSION, salt};
use super::header::{FrameKind, Header, is_plain};
use super::join::COORDINATOR_KEYS;
use super::refused::Refused;
use super::rotation::{KeyState, Successor};
use super::session::{Opening, Sealing, Session, SessionId, Side};
use super::suite::{Digest, Ephemeral, PublicKey, Suite};
use crate::model::address::Lane;
use crate::model::fence::Epoch;
use crate::model::id::WorkerId;
use crate::protocol::budget::Budget;
use crate::protocol::rotation::{ReplaceKey, Rotate, Rotated};
use crate::protocol::tick::Tick;

/// The only shard.
const SHARD: u32 = 0;
/// The time before the first repetition of an init, and the bound of the random time that is added.
const RETRY: Duration = Duration::from_secs(1);
/// The longest time between two inits.
const LONGEST_RETRY: Duration = Duration::from_secs(4);
/// The time for which the same init is repeated: coordinators remember it as long.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The time for which frames of a session are read after new keys have replaced it.
const FORMER: Duration = Duration::from_secs(10);
/// The time after which one of several sessions is given up if nothing was heard in it.
const SILENCE: Duration = Duration::from_secs(60);
/// The maximum number of coordinators that a worker has sessions with at once: one that takes over,
/// and the one before it.
const SIDE_BY_SIDE: usize = 2;
/// The maximum number of accepts, and of notices, whose signatures a worker verifies in a second.
const SIGNATURES: u32 = 20;

/// The coordinators that a worker believes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Pins {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The public keys of the namespace: one, or two while it changes.
    pub keys: Vec<PublicKey>,
    /// The age at which a session gets new keys. The default is 24 hours.
    pub session_age: Duration,
}

impl Pins {
    /// Pins the coordinators that have one of these keys.
    pub fn new(namespace: impl Into<Arc<str>>, keys: impl IntoIterator<Item = PublicKey>) -> Self {
        let session_age = Duration::from_secs(24 * 3600);
        Self { namespace: namespace.into(), keys: keys.into_iter().collect(), session_age }
    }

    /// Sets the age at which a session gets new keys.
    #[must_use]
    pub fn session_age(mut self, age: Duration) -> Self {
        self.session_age = age;
        self
    }
}

/// The handling of a frame that has arrived at a worker.
#[derive(Debug)]
pub enum WorkerFrame {
    /// Open it.
    Sealed(Opening),
    /// Pass it to [`WorkerSessions::accepted`].
    Accept,
    /// Pass it to [`WorkerSessions::noticed`].
    Notice,
}

/// The sessions of a worker with the coordinators of its namespace.
#[derive(Debug)]
pub struct WorkerSessions {
    suite: Arc<dyn Suite>,
    id: WorkerId,
    key: KeyId,
    namespace: Arc<str>,
    pins: Vec<(KeyId, PublicKey)>,
    session_age: Duration,
    held: Vec<Held>,
    handshake: Option<Handshake>,
    /// The coordinator to ask, of those in the pins; another one after each handshake without
    /// answer.
    turn: usize,
    /// When the next init is sent.
    due: Option<Tick>,
    /// When an init was sent last.
    asked: Option<Tick>,
    /// The number of inits of this handshake, and of those before it, without an answer.
    tries: u32,
    /// The epoch that a notice announced, which the next handshake is for.
    wanted: Option<Epoch>,
    /// The number of handshakes without an answer since the last accept.
    failed: u32,
    /// The key that is to replace the worker's.
    successor: Option<Successor>,
    /// If true, the coordinator asks for another key.
    is_to_rotate: bool,
    /// The reason why the last successor was refused.
    refused: Option<String>,
    /// The accepts and notices whose signatures may still be verified in this second.
    accepts: Budget,
    notices: Budget,
    jitter: u64,
}

#[derive(Debug)]
struct Held {
    epoch: Epoch,
    session: Session,
    /// The session before it, with the same coordinator, and how long it is read.
    former: Option<(Session, Tick)>,
    heard: Tick,
}

#[derive(Debug)]
struct Handshake {
    ephemeral: Box<dyn Ephemeral>,
    /// The key of the worker that signed the init.
    key: KeyId,
    digest: Digest,
    frame: Vec<u8>,
    to: usize,
    began: Tick,
    wanted: Option<Epoch>,
}

impl WorkerSessions {
    /// Creates the half of the worker with this id, whose key is that of the suite.
    pub fn new(suite: Arc<dyn Suite>, id: WorkerId, pins: Pins) -> Self {
        let key = KeyId::of(&*suite, &suite.public());
        let known = pins.keys.iter().map(|pinned| (KeyId::of(&*suite, pinned), *pinned));
        let digest = suite.digest(id.as_str().as_bytes());
        let jitter = digest.iter().take(8).fold(1, |seed, byte| seed << 8 | u64::from(*byte));
        Self {
            id,
            key,
            namespace: pins.namespace,
            pins: known.collect(),
            session_age: pins.session_age,
            suite,
            held: Vec::new(),
            handshake: None,
            turn: 0,
            due: Some(Tick(0)),
            asked: None,
            tries: 0,
            wanted: None,
            failed: 0,
            successor: None,
            is_to_rotate: false,
            refused: None,
            accepts: Budget::per_second(SIGNATURES),
            notices: Budget::per_second(SIGNATURES),
            jitter,
        }
    }

    /// Returns the number of inits since the last answer.
    pub fn unanswered(&self) -> u32 {
        self.tries
    }

    /// Returns the public keys of the coordinators that the worker believes.
    pub fn pinned(&self) -> impl Iterator<Item = PublicKey> {
        self.pins.iter().map(|(_, key)| *key)
    }

    /// Returns the id of the worker's key.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// Returns the state of the worker's key.
    pub fn key_state(&self) -> KeyState {
        let Self { key, is_to_rotate, refused, .. } = self;
        KeyState { key: *key, is_to_rotate: *is_to_rotate, refused: refused.clone() }
    }

    /// Takes in that the coordinator asks for another key.
    pub fn asked_to_replace(&mut self, asked: &ReplaceKey) {
        self.is_to_rotate |= asked.key == self.key.to_string();
    }

    /// Asks the coordinator to enrol another key, that of a suite, in place of the worker's. The
    /// worker uses it once the coordinator has accepted it in a handshake; until then, it has both.
    pub fn replace_key(&mut self, now: Tick, suite: Arc<dyn Suite>) {
        let successor = Successor::new(now, suite, &self.namespace, &self.key);
        if successor.key != self.key {
            (self.successor, self.refused) = (Some(successor), None);
        }
    }

    /// Returns the request to enrol another key, if it is to be sent now.
    pub fn rotate(&mut self, now: Tick) -> Option<Rotate> {
        self.successor.as_mut().filter(|_| !self.held.is_empty())?.ask(now)
    }

    /// Takes in the answer to that request. With the next handshake, the worker uses the other key.
    pub fn rotated(&mut self, now: Tick, answer: &Rotated) {
        let earliest = self.earliest(now);
        let Some(successor) = self.successor.as_mut().filter(|key| key.is_answered_by(answer))
        else {
            return;
        };
        if let Some(why) = &answer.refused {
            (self.successor, self.refused) = (None, Some(why.clone()));
        } else if !successor.is_enrolled {
            successor.is_enrolled = true;
            self.handshake = None;
            self.due = Some(self.due.map_or(earliest, |due| due.min(earliest)));
        }
    }

    /// Returns the key to sign the next init with. If a handshake got no answer, the coordinator may
    /// know only the other one.
    fn identity(&self) -> (&Arc<dyn Suite>, KeyId) {
        let other = self.successor.as_ref().filter(|successor| {
            // A session may be one that the coordinator has no more, since the key has ended.
            let may_be_known = self.held.is_empty() || successor.was_asked_for;
            let is_next = may_be_known && self.failed % 2 == 1;
            successor.is_enrolled != is_next
        });
        other.map_or((&self.suite, self.key), |successor| (&successor.suite, successor.key))
    }

    /// Returns the suite.
    pub fn suite(&self) -> &Arc<dyn Suite> {
        &self.suite
    }

    /// Returns true if the worker has a session.
    pub fn is_open(&self) -> bool {
        !self.held.is_empty()
    }

    /// Returns the sessions that the worker seals with, each with the epoch of its coordinator.
    pub fn held(&self) -> impl Iterator<Item = (SessionId, Epoch)> {
        self.held.iter().map(|held| (held.session.id(), held.epoch))
    }

    /// Returns what is to be done with a frame that arrived on a lane.
    ///
    /// # Errors
    /// The reason why it counts for nothing.
    pub fn look(&self, lane: Lane, frame: &[u8]) -> Result<WorkerFrame, Refused> {
        if is_plain(frame) {
            return Err(Refused::Plain);
        }
        let header = Header::decode(frame).ok_or(Refused::Malformed)?;
        match header.kind {
            FrameKind::Sealed if header.lane == lane => {
                let session = self.session(header.session).ok_or(Refused::UnknownSession)?;
                session.opening(header).map(WorkerFrame::Sealed).ok_or(Refused::Repeated)
            }
            FrameKind::Accept if lane == Lane::Control => Ok(WorkerFrame::Accept),
            FrameKind::Notice if lane == Lane::Control => Ok(WorkerFrame::Notice),
            _ => Err(Refused::Misplaced),
        }
    }

    /// Asks for a session at once if there is none: the link is up again, and what was sent before
    /// may be lost.
    pub fn link_up(&mut self, now: Tick) {
        if self.held.is_empty() {
            self.due = Some(now);
        }
    }

    /// Returns when to call [`tick`](Self::tick) at the latest.
    pub fn wake_at(&self) -> Option<Tick> {
        let successor = self.successor.as_ref().filter(|_| !self.held.is_empty());
        self.due.into_iter().chain(successor.and_then(Successor::due)).min()
    }

    /// Ends what is over. Returns an init to send to the coordinator on the control lane, if one is
    /// due.
    pub fn tick(&mut self, now: Tick) -> Option<Vec<u8>> {
        for held in &mut self.held {
            held.former.take_if(|(_, until)| *until <= now);
        }
        if self.held.len() > 1 {
            self.held.retain(|held| now.since(held.heard) < SILENCE);
        }
        let is_worn = |held: &&Held| held.session.is_worn(now, self.session_age);
        let is_replaced = self.successor.as_ref().is_some_and(|successor| successor.is_enrolled);
        let is_worn = |held: &&Held| is_replaced || is_worn(held);
        let worn = self.held.iter().find(is_worn).map(|held| held.epoch);
        if self.handshake.as_ref().is_some_and(|asked| now.since(asked.began) >= HANDSHAKE) {
            self.handshake = None;
            self.turn += 1;
            self.failed = self.failed.wrapping_add(1);
            // A notice may be of a coordinator that is gone. It does not repeat what it asked for.
            self.wanted = None;
            if !self.held.is_empty() && worn.is_none() {
                self.due = None;
            }
        }
        if worn.is_some() && self.due.is_none() {
            self.wanted = worn;
            self.due = Some(self.earliest(now));
        }
        self.due.filter(|due| *due <= now)?;
        let pause = RETRY * (self.tries + 1).min(LONGEST_RETRY.as_secs() as u32);
        self.tries = self.tries.saturating_add(1);
        self.due = Some(now + pause + self.jitter());
        self.asked = Some(now);
        if self.handshake.is_none() {
            self.handshake = self.begin(now);
        }
        self.handshake.as_ref().map(|handshake| handshake.frame.clone())
    }

    fn begin(&mut self, now: Tick) -> Option<Handshake> {
        let to = self.turn % self.pins.len().max(1);
        let (coordinator, _) = *self.pins.get(to)?;
        // Without randomness there is no session. The next tick tries again.
        let ephemeral = self.suite.ephemeral().ok()?;
        let (suite, key) = self.identity();
        let init = Init {
            v: VERSION,
            namespace: self.namespace.to_string(),
            to: coordinator,
            worker: self.id.clone(),
            key,
            shard: SHARD,
            e: Hex(ephemeral.public()),
            suites: vec![SUITE.to_owned()],
        };
        let frame = Signed::frame(&**suite, FrameKind::Init, &init);
        let digest = self.suite.digest(Signed::parts(FrameKind::Init, &frame)?.payload());
        let wanted = self.wanted;
        Some(Handshake { ephemeral, key, digest, frame, to, began: now, wanted })
    }

    /// Takes in a notice.
    ///
    /// # Errors
    /// The reason why the frame counts for nothing.
    pub fn noticed(&mut self, now: Tick, frame: &[u8]) -> Result<(), Refused> {
        let signed = Signed::parts(FrameKind::Notice, frame).ok_or(Refused::Malformed)?;
        if !self.notices.take(now) {
            return Err(Refused::Budget);
        }
        let signer = self.pins.iter().position(|(_, key)| signed.is_by(&*self.suite, key));
        let signer = signer.ok_or(Refused::Forged)?;
        let notice: Notice = signed.read().ok_or(Refused::Malformed)?;
        if notice.v != VERSION || *notice.namespace != *self.namespace || notice.shard != SHARD {
            return Err(Refused::Foreign);
        }
        let epoch = notice.epoch;
        let known = self.held.iter().find(|held| held.epoch.instance == epoch.instance);
        let wants = match known {
            Some(held) if held.epoch == epoch => {
                notice.session.is_some_and(|Hex(id)| u64::from_be_bytes(id) == held.session.id())
            }
            Some(held) => epoch.is_after(held.epoch),
            None => true,
        };
        if !wants {
            return Ok(());
        }
        // A worker without a session takes any: the notice may be of a coordinator that is gone.
        let wanted = Some(epoch).filter(|_| !self.held.is_empty());
        // The namespace may have got its other key.
        let asks_other = self.handshake.as_ref().is_some_and(|asked| asked.to != signer);
        if self.due.is_none() || self.wanted != wanted || asks_other {
            self.wanted = wanted;
            self.turn = signer;
            self.handshake.take_if(|asked| asked.wanted != wanted || asked.to != signer);
            let at = self.earliest(now) + self.jitter();
            self.due = Some(self.due.map_or(at, |due| due.min(at)));
        }
        Ok(())
    }

    /// Takes in an accept, and returns the epoch of the session that it opens. The worker then
    /// introduces itself: the coordinator seals with the session only once it has opened a frame in
    /// it.
    ///
    /// # Errors
    /// The reason why the frame counts for nothing.
    pub fn accepted(&mut self, now: Tick, frame: &[u8]) -> Result<Epoch, Refused> {
        let signed = Signed::parts(FrameKind::Accept, frame).ok_or(Refused::Malformed)?;
        let handshake = self.handshake.as_ref().ok_or(Refused::Unasked)?;
        if !self.accepts.take(now) {
            return Err(Refused::Budget);
        }
        let (coordinator, key) = self.pins[handshake.to];
        if !signed.is_by(&*self.suite, &key) {
            return Err(Refused::Forged);
        }
        let accept: Accept = signed.read().ok_or(Refused::Malformed)?;
        if accept.v != VERSION
            || *accept.namespace != *self.namespace
            || accept.worker != self.id
            || accept.worker_key != handshake.key
            || accept.key != coordinator
            || !accept.chain.is_empty()
            || accept.shard != SHARD
            || accept.suite != SUITE
        {
            return Err(Refused::Foreign);
        }
        if accept.init.0 != handshake.digest {
            return Err(Refused::Unasked);
        }
        let epoch = accept.epoch;
        let is_wanted = handshake
            .wanted
            .is_none_or(|wanted| wanted.instance == epoch.instance && !wanted.is_after(epoch));
        if !is_wanted || self.held.iter().any(|held| held.epoch.is_after(epoch)) {
            return Err(Refused::Epoch);
        }
        let handshake = self.handshake.take().ok_or(Refused::Unasked)?;
        (self.due, self.wanted, self.tries, self.failed) = (None, None, 0, 0);
        if let Some(successor) = self.successor.take_if(|key| key.key == handshake.key) {
            (self.suite, self.key) = (successor.suite, successor.key);
        }
        self.is_to_rotate = accept.rotate;
        let shared = handshake.ephemeral.agree(&accept.e.0).ok_or(Refused::Forged)?;
        let salt = salt(&*self.suite, &handshake.digest, signed.payload());
        let keys = self.suite.derive(&shared, &salt);
        let id = u64::from_be_bytes(accept.session.0);
        let session = Session::new(now, id, Side::Worker, keys);
        self.open(now, epoch, session);
        self.pin(&accept.keys, key);
        Ok(epoch)
    }

    /// Believes the keys that a coordinator states, if its own is among them.
    fn pin(&mut self, stated: &[Hex<32>], own: PublicKey) {
        let stated: Vec<PublicKey> = stated.iter().map(|Hex(key)| PublicKey(*key)).collect();
        if stated.len() <= COORDINATOR_KEYS && stated.contains(&own) {
            let known = stated.into_iter().map(|key| (KeyId::of(&*self.suite, &key), key));
            (self.pins, self.turn) = (known.collect(), 0);
        }
    }

    fn open(&mut self, now: Tick, epoch: Epoch, session: Session) {
        let mut held = Held { epoch, session, former: None, heard: now };
        let place = self.held.iter().position(|held| held.epoch.instance == epoch.instance);
        let before = place.map(|place| self.held.remove(place));
        if let Some(before) = before.filter(|before| before.epoch == epoch) {
            held.former = Some((before.session, now + FORMER));
        }
        if self.held.len() >= SIDE_BY_SIDE
            && let Some(silent) = (0..self.held.len()).min_by_key(|place| self.held[*place].heard)
        {
            self.held.remove(silent);
        }
        self.held.push(held);
    }

    /// Assigns a counter for a frame to each coordinator that the worker has a session with.
    pub fn sealings(&mut self, lane: Lane) -> impl Iterator<Item = Sealing> {
        self.held.iter_mut().filter_map(move |held| held.session.sealing(lane))
    }

    fn session(&self, id: u64) -> Option<&Session> {
        let mut sessions = self
            .held
            .iter()
            .flat_map(|held| [Some(&held.session), held.former.as_ref().map(|(old, _)| old)]);
        sessions.find_map(|session| session.filter(|session| session.id() == id))
    }

    /// Notes a frame that was opened.
    ///
    /// # Errors
    /// The reason why it counts for nothing.
    pub fn opened(&mut self, now: Tick, opening: &Opening) -> Result<(), Refused> {
        let header = opening.header();
        for held in &mut self.held {
            let former = held.former.as_mut().map(|(former, _)| former);
            let mut sessions = [Some(&mut held.session), former].into_iter().flatten();
            if let Some(session) = sessions.find(|session| session.id() == header.session) {
                held.heard = now;
                return session.opened(header).then_some(()).ok_or(Refused::Repeated);
            }
        }
        Err(Refused::UnknownSession)
    }

    /// Returns the earliest time of another init.
    fn earliest(&self, now: Tick) -> Tick {
        self.asked.map_or(now, |asked| now.max(asked + RETRY))
    }

    /// Returns a time below a second that differs between workers, so that many of them do not ask
    /// at once.
    fn jitter(&mut self) -> Duration {
        self.jitter =
            self.jitter.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        RETRY * (self.jitter >> 54) as u32 / 1024
    }
}
