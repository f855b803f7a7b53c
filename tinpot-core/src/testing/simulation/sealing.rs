//! Sealed frames between the processes, and what has to be true of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::adversary::{ADVERSARY, Adversary, is_adversary};
use super::events::{Event, Host};
use super::network::index_of;
use super::worker::Later;
use super::world::{Checked, World, broken};
use crate::model::address::{Address, Channel, Lane};
use crate::model::fence::Epoch;
use crate::model::id::WorkerId;
use crate::protocol::seal::{
    Accept, Admission, CoordinatorFrame, CoordinatorOptions, CoordinatorSessions, EnrolledKeys,
    FrameKind, HEADER_BYTES, Header, KeyId, Pins, Refused, SessionId, Side, Signed, Suite,
    WorkerFrame, WorkerGrant, WorkerSessions,
};
use crate::protocol::{Frame, Message};
use crate::testing::{Random, ToySuite};

const NAMESPACE: &str = "tinpot";
/// The identity of all coordinators. Workers have the numbers after it.
const COORDINATOR: u64 = 1;
/// The time after the last fault by which every worker has a session.
const ALL_CONNECTED: Duration = Duration::from_secs(10);
/// The number of frames that the adversary has at hand.
const RECORDED: usize = 512;

/// A frame on its way.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    pub(super) lane: Lane,
    pub(super) channel: Channel,
    pub(super) bytes: Bytes,
    pub(super) origin: Origin,
}

/// The origin of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It arrives for the first time, where it was sent to.
    Sent,
    /// It was sent by a participant, and arrives again or elsewhere.
    Copy,
    /// No participant has sent it like this: it may have no effect.
    Forged,
}

/// A frame by its session, direction, lane and counter.
type Place = (SessionId, bool, u8, u64);

/// The facts about a frame that was sealed.
#[derive(Debug)]
struct Sent {
    document: Bytes,
    from: Option<WorkerId>,
    epoch: Epoch,
    to: Option<WorkerId>,
}

/// The facts about a session that a coordinator has made.
#[derive(Debug)]
struct Made {
    epoch: Epoch,
    init: [u8; 32],
}

/// The keys, and the frames that were sealed and opened.
#[derive(Debug)]
pub(super) struct Sealing {
    pub(super) suite: ToySuite,
    pub(super) enrolled: Arc<EnrolledKeys>,
    pub(super) adversary: Adversary,
    /// The age at which sessions get new keys.
    age: Duration,
    sent: HashMap<Place, Sent>,
    opened: HashSet<Place>,
    made: HashMap<SessionId, Made>,
    /// The last init of each worker, by the digest of its payload.
    asked: HashMap<WorkerId, [u8; 32]>,
    /// The last session of each worker in which a coordinator of the epoch has heard it.
    heard: HashMap<(WorkerId, Epoch), SessionId>,
    heard_in: HashSet<SessionId>,
    pub(super) recorded: Vec<Parcel>,
}

impl Sealing {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x5ea1);
        let suite = ToySuite::new(COORDINATOR, random.number());
        Self {
            adversary: Adversary::new(&suite),
            suite,
            enrolled: Arc::default(),
            age: Duration::from_secs(10 + random.number() % 200),
            sent: HashMap::new(),
            opened: HashSet::new(),
            made: HashMap::new(),
            asked: HashMap::new(),
            heard: HashMap::new(),
            heard_in: HashSet::new(),
            recorded: Vec::new(),
        }
    }

    /// Returns the suite of the owner of a worker key.
    fn suite_of(&self, index: usize) -> ToySuite {
        self.suite.owned_by(COORDINATOR + 1 + index as u64)
    }

    /// Returns the sessions of a new start of a worker, whose key is enrolled.
    pub(super) fn worker(&self, index: usize, id: &WorkerId) -> WorkerSessions {
        let suite = self.suite_of(index);
        let grant = WorkerGrant::new(suite.public(), format!("w{index}"));
        self.enrolled.enrol(&suite, grant);
        WorkerSessions::new(Arc::new(suite), id.clone(), self.pins())
    }

    pub(super) fn pins(&self) -> Pins {
        Pins::new(NAMESPACE, [self.suite.public()]).session_age(self.age)
    }

    /// Returns the sessions of a new start of a coordinator.
    pub(super) fn coordinator(&self, epoch: Epoch) -> CoordinatorSessions {
        let options = CoordinatorOptions::new(NAMESPACE, self.enrolled.clone());
        CoordinatorSessions::new(Arc::new(self.suite.clone()), epoch, options)
    }

    /// Notes a frame that was sealed, and checks its session and its nonce.
    pub(super) fn sealed(
        &mut self,
        bytes: &[u8],
        document: &[u8],
        from: Option<WorkerId>,
        to: Option<WorkerId>,
        epoch: Epoch,
    ) -> Checked {
        let Some(header) = Header::decode(bytes) else {
            return broken("encoding", "a sealed frame has no header");
        };
        let side = if from.is_some() { Side::Worker } else { Side::Coordinator };
        if self.suite.has_reused_a_nonce() {
            return broken("nonce", format!("{header:?}: its key and counter were used before"));
        }
        if let Some(to) = &to
            && self.heard.get(&(to.clone(), epoch)) != Some(&header.session)
        {
            let what = format!("{to} gets a frame of a session that is not its present one");
            return broken("session", what);
        }
        let sent = Sent { document: Bytes::copy_from_slice(document), from, epoch, to };
        match self.sent.insert(place(&header, side), sent) {
            None => Ok(()),
            Some(_) => broken("nonce", format!("{header:?} is sealed twice")),
        }
    }

    /// Checks I11: a frame that was opened was sent to this participant by that peer, on that lane,
    /// and counts once.
    fn check_opened(
        &mut self,
        header: &Header,
        from: Option<&WorkerId>,
        to: Option<&WorkerId>,
        epoch: Epoch,
        document: &[u8],
    ) -> Checked {
        let side = if from.is_some() { Side::Worker } else { Side::Coordinator };
        let place = place(header, side);
        let Some(sent) = self.sent.get(&place) else {
            return broken("I11", format!("{header:?} was opened, and was never sent"));
        };
        let is_same = sent.from.as_ref() == from && sent.to.as_ref() == to && sent.epoch == epoch;
        if !is_same || sent.document != document {
            let what = format!("{header:?} was opened by {to:?} of {epoch} as from {from:?}");
            return broken("I11", format!("{what}, and was {sent:?}"));
        }
        if !self.opened.insert(place) {
            return broken("I11", format!("{header:?} was opened twice"));
        }
        if let Some(worker) = from
            && self.heard_in.insert(header.session)
        {
            self.heard.insert((worker.clone(), epoch), header.session);
        }
        Ok(())
    }

    /// Checks that a frame that arrives where it was sent to is refused only for a reason.
    fn check_refused(&self, parcel: &Parcel, side: Side, why: Refused) -> Checked {
        let Some(header) = Header::decode(&parcel.bytes) else { return Ok(()) };
        let opened = self.opened.contains(&place(&header, side));
        match why {
            Refused::Repeated if parcel.origin == Origin::Sent && !opened => {
                broken("I18", format!("{header:?} is refused as repeated, and was never opened"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn record(&mut self, parcel: &Parcel, random: &mut Random) {
        let parcel = Parcel { origin: Origin::Copy, ..parcel.clone() };
        if self.recorded.len() < RECORDED {
            self.recorded.push(parcel);
        } else {
            let place = random.below(RECORDED);
            self.recorded[place] = parcel;
        }
    }
}

fn place(header: &Header, side: Side) -> Place {
    (header.session, side == Side::Worker, header.lane as u8, header.counter)
}

/// Returns a frame with room for its header.
fn with_room(document: &[u8]) -> Vec<u8> {
    [&[0; HEADER_BYTES], document].concat()
}

impl World {
    /// Seals a frame and hands it to the network.
    pub(super) fn send_sealed(
        &mut self,
        from: Host,
        to: &Address,
        lane: Lane,
        frame: &Frame,
    ) -> Checked {
        let document = frame.encode();
        match (from, to) {
            (Host::Worker(index), Address::Coordinator) => {
                let node = &mut self.workers[index];
                let Some(sessions) = &mut node.sessions else { return Ok(()) };
                let epochs: Vec<Epoch> = sessions.held().map(|(_, epoch)| epoch).collect();
                let suite = sessions.suite().clone();
                let mut sealed = Vec::new();
                for (sealing, epoch) in sessions.sealings(lane).zip(epochs) {
                    let mut bytes = with_room(&document);
                    sealing.seal(&*suite, &mut bytes);
                    sealed.push((bytes, epoch));
                }
                let from = node.machine.id().clone();
                for (bytes, epoch) in sealed {
                    if let Some(sealing) = &mut self.sealing {
                        sealing.sealed(&bytes, &document, Some(from.clone()), None, epoch)?;
                    }
                    self.send_to_coordinators(index, lane, bytes.into());
                }
            }
            (Host::Coordinator(index), Address::Worker(worker)) => {
                let process = &mut self.coordinators[index];
                let now = process.clock.tick(self.now);
                let epoch = process.machine().epoch();
                let Some(sessions) = &mut process.sessions else { return Ok(()) };
                let suite = sessions.suite().clone();
                let Some(sealing) = sessions.sealing(now, worker, lane) else { return Ok(()) };
                let mut bytes = with_room(&document);
                sealing.seal(&*suite, &mut bytes);
                if let Some(sealing) = &mut self.sealing {
                    sealing.sealed(&bytes, &document, None, Some(worker.clone()), epoch)?;
                }
                let works = |message: &Message| matches!(message, Message::Dispatch(_));
                if is_adversary(worker) && frame.messages.iter().any(works) {
                    return broken("grant", format!("{worker} has no slots, and gets work"));
                }
                self.send_to_worker(index, worker, lane, bytes.into());
            }
            (Host::Coordinator(index), _) => {
                let Some(sessions) = &self.coordinators[index].sessions else { return Ok(()) };
                let notice: Bytes = sessions.notice().into();
                for worker in 0..self.workers.len() {
                    let parcel = parcel(Lane::Control, Channel::Coordinator, notice.clone());
                    self.transmit_parcel(Host::Coordinator(index), Host::Worker(worker), parcel);
                }
            }
            // A worker has no session with others. It tries plain frames.
            (Host::Worker(_), _) => {
                for worker in 0..self.workers.len() {
                    let parcel = parcel(lane, Channel::Coordinator, document.clone());
                    let parcel = Parcel { origin: Origin::Forged, ..parcel };
                    self.after(Duration::ZERO, Event::Parcel { to: Host::Worker(worker), parcel });
                }
            }
        }
        Ok(())
    }

    pub(super) fn send_init(&mut self, index: usize, init: Vec<u8>) {
        let id = self.workers[index].machine.id().clone();
        if let Some(sealing) = &mut self.sealing
            && let Some(signed) = Signed::parts(FrameKind::Init, &init)
        {
            sealing.asked.insert(id, sealing.suite.digest(signed.payload()));
        }
        self.send_to_coordinators(index, Lane::Control, init.into());
    }

    fn send_to_coordinators(&mut self, index: usize, lane: Lane, bytes: Bytes) {
        let worker = Address::Worker(self.workers[index].machine.id().clone());
        for coordinator in 0..self.coordinators.len() {
            let parcel = parcel(lane, Channel::of(&worker), bytes.clone());
            self.transmit_parcel(Host::Worker(index), Host::Coordinator(coordinator), parcel);
        }
    }

    fn send_to_worker(&mut self, index: usize, worker: &WorkerId, lane: Lane, bytes: Bytes) {
        let parcel = parcel(lane, Channel::Coordinator, bytes);
        if is_adversary(worker) {
            return self.adversary_hears(&parcel);
        }
        // No process listens to an earlier start of the worker any more.
        let to = index_of(worker);
        if self.workers[to].machine.id() == worker {
            self.transmit_parcel(Host::Coordinator(index), Host::Worker(to), parcel);
        }
    }

    fn transmit_parcel(&mut self, from: Host, to: Host, parcel: Parcel) {
        self.report.frames += 1;
        if let Some(sealing) = &mut self.sealing {
            sealing.record(&parcel, &mut self.random);
        }
        if self.is_lost(from, to) {
            return;
        }
        if self.plan.duplicate > 0.0 && self.random.chance(self.plan.duplicate) {
            self.count("frame duplicated");
            let (after, again) = (self.delay(), Parcel { origin: Origin::Copy, ..parcel.clone() });
            self.after(after, Event::Parcel { to, parcel: again });
        }
        if self.plan.spoil > 0.0 && self.random.chance(self.plan.spoil) {
            self.count("frame spoiled");
            let spoiled = self.spoiled_parcel(&parcel);
            let after = self.delay();
            self.after(after, Event::Parcel { to, parcel: spoiled });
        }
        let after = self.delay();
        self.after(after, Event::Parcel { to, parcel });
    }

    fn spoiled_parcel(&mut self, parcel: &Parcel) -> Parcel {
        let mut bytes = parcel.bytes.to_vec();
        let place = self.random.below(bytes.len());
        bytes[place] ^= 1 << self.random.below(8);
        Parcel { bytes: bytes.into(), origin: Origin::Forged, ..parcel.clone() }
    }

    /// Delivers a frame to its receiver.
    pub(super) fn parcel_arrives(&mut self, to: Host, parcel: Parcel) -> Checked {
        match to {
            Host::Coordinator(index) => self.parcel_at_coordinator(index, parcel),
            Host::Worker(index) => {
                let node = &mut self.workers[index];
                if !node.up {
                    return Ok(());
                }
                match &mut node.paused {
                    Some(pause) => {
                        pause.later.push(Later::Parcel(parcel));
                        Ok(())
                    }
                    None => self.parcel_at_worker(index, &parcel),
                }
            }
        }
    }

    fn parcel_at_coordinator(&mut self, index: usize, parcel: Parcel) -> Checked {
        let process = &mut self.coordinators[index];
        let now = process.clock.tick(self.now);
        let (epoch, is_paused) = (process.machine().epoch(), process.paused.is_some());
        let Some(sessions) = process.sessions.as_mut().filter(|_| process.up) else {
            return Ok(());
        };
        let Some(sealing) = &mut self.sealing else { return Ok(()) };
        let suite = sessions.suite().clone();
        let opening = match sessions.look(now, &parcel.channel, parcel.lane, &parcel.bytes) {
            Ok(CoordinatorFrame::Sealed(opening)) => opening,
            Ok(CoordinatorFrame::Init) if is_paused => return Ok(()),
            Ok(CoordinatorFrame::Init) => return self.init_arrives(index, &parcel),
            Ok(CoordinatorFrame::Plain) => return broken("I11", "a plain frame is taken"),
            Err(Refused::UnknownSession) => {
                let Channel::Worker { id, .. } = &parcel.channel else { return Ok(()) };
                let session = Header::decode(&parcel.bytes).map_or(0, |header| header.session);
                if let Some(notice) = sessions.answer_unknown(now, Some(id), session) {
                    self.send_to_worker(index, id, Lane::Control, notice.into());
                }
                return Ok(());
            }
            Err(why) => return sealing.check_refused(&parcel, Side::Worker, why),
        };
        let mut bytes = parcel.bytes.to_vec();
        let Some(place) = opening.open(&*suite, &mut bytes) else { return Ok(()) };
        let Ok(peer) = sessions.opened(now, &opening) else { return Ok(()) };
        let document = &bytes[place];
        let from = Some(&peer.worker);
        sealing.check_opened(opening.header(), from, None, epoch, document)?;
        if is_adversary(&peer.worker) && sealing.adversary.is_revoked {
            return broken("revoked", "a frame of a revoked key is taken");
        }
        let Ok((mut frame, _)) = Frame::decode(document) else { return Ok(()) };
        if peer.limit(&mut frame).is_err() {
            return Ok(());
        }
        if frame.from.as_ref() != from {
            return broken("I11", format!("{from:?} speaks as {:?}", frame.from));
        }
        self.note_frame(Host::Coordinator(index), &frame, None);
        self.take_frame(index, parcel.lane, frame, None)
    }

    fn init_arrives(&mut self, index: usize, parcel: &Parcel) -> Checked {
        let process = &mut self.coordinators[index];
        let now = process.clock.tick(self.now);
        let epoch = process.machine().epoch();
        let Some(sessions) = &mut process.sessions else { return Ok(()) };
        let suite = sessions.suite().clone();
        let accept = match sessions.admit(now, &parcel.channel, &parcel.bytes) {
            // Whatever its signature is: the init that it repeats was signed.
            Ok(Admission::Again { accept, .. }) => accept,
            Ok(Admission::New(handshake)) => {
                let Ok(answered) = handshake.answer(now, &*suite) else { return Ok(()) };
                let Ok(accept) = sessions.pend(now, answered) else { return Ok(()) };
                if parcel.origin == Origin::Forged {
                    return broken("I11", "a forged init is answered");
                }
                accept
            }
            Err(_) => return Ok(()),
        };
        let read = Signed::parts(FrameKind::Accept, &accept).and_then(|parts| parts.read());
        let Some(Accept { worker, session, init, .. }) = read else {
            return broken("encoding", "an accept cannot be read");
        };
        let id = SessionId::from_be_bytes(session.0);
        if let Some(sealing) = &mut self.sealing {
            sealing.made.insert(id, Made { epoch, init: init.0 });
        }
        self.trace(30, id);
        self.tell(|| format!("c{index} answers {worker} with session {id:016x}"));
        self.send_to_worker(index, &worker, Lane::Control, accept.into());
        Ok(())
    }

    fn parcel_at_worker(&mut self, index: usize, parcel: &Parcel) -> Checked {
        let node = &mut self.workers[index];
        let now = node.clock.tick(self.now);
        let Some(sessions) = &mut node.sessions else { return Ok(()) };
        let Some(sealing) = &mut self.sealing else { return Ok(()) };
        let suite = sessions.suite().clone();
        match sessions.look(parcel.lane, &parcel.bytes) {
            Ok(WorkerFrame::Sealed(opening)) => {
                let mut bytes = parcel.bytes.to_vec();
                let Some(place) = opening.open(&*suite, &mut bytes) else { return Ok(()) };
                if sessions.opened(now, &opening).is_err() {
                    return Ok(());
                }
                let header = opening.header();
                let epoch = sealing.made.get(&header.session).map(|made| made.epoch);
                let (epoch, id) = (epoch.unwrap_or(NO_EPOCH), node.machine.id().clone());
                let document = &bytes[place];
                sealing.check_opened(header, None, Some(&id), epoch, document)?;
                let Ok((frame, _)) = Frame::decode(document) else { return Ok(()) };
                self.note_frame(Host::Worker(index), &frame, None);
                self.take_frame_at_worker(index, parcel.lane, frame)?;
            }
            Ok(WorkerFrame::Notice) => {
                let taken = sessions.noticed(now, &parcel.bytes).is_ok();
                if taken && parcel.origin == Origin::Forged {
                    return broken("I11", "a forged notice counts");
                }
                self.arm_worker(index);
            }
            Ok(WorkerFrame::Accept) => {
                if sessions.accepted(now, &parcel.bytes).is_err() {
                    return Ok(());
                }
                if parcel.origin == Origin::Forged {
                    return broken("I11", "a forged accept opens a session");
                }
                self.session_opened(index)?;
                self.work(index, |machine, now, out| machine.link_up(now, out))?;
                self.arm_worker(index);
            }
            Err(why) => sealing.check_refused(parcel, Side::Coordinator, why)?,
        }
        self.sessions_are_true(index)
    }

    /// Checks that the session that a worker has opened answers its last init.
    fn session_opened(&mut self, index: usize) -> Checked {
        let node = &self.workers[index];
        let (Some(sessions), Some(sealing)) = (&node.sessions, &self.sealing) else {
            return Ok(());
        };
        let asked = sealing.asked.get(node.machine.id());
        let last = sessions.held().last().and_then(|(id, _)| sealing.made.get(&id));
        match last.map(|made| &made.init) == asked {
            true => Ok(()),
            false => broken("I11", format!("w{index} opens a session that it did not ask for")),
        }
    }

    /// Checks that the epochs that a worker follows are those of its sessions.
    fn sessions_are_true(&self, index: usize) -> Checked {
        let node = &self.workers[index];
        let (Some(sessions), Some(sealing)) = (&node.sessions, &self.sealing) else {
            return Ok(());
        };
        for (id, epoch) in sessions.held() {
            let made = sealing.made.get(&id).map(|made| made.epoch);
            if made != Some(epoch) {
                let what = format!("w{index} takes session {id:016x} for {epoch}, not {made:?}");
                return broken("I19", what);
            }
        }
        Ok(())
    }

    /// Schedules the check that every worker has a session after the last fault.
    pub(super) fn plan_sessions(&mut self) {
        if self.sealing.is_some() {
            self.after(ALL_CONNECTED, Event::Sessions);
        }
    }

    /// Checks I18: every worker that has been there for long enough has a session that its
    /// coordinator has, too.
    pub(super) fn all_have_sessions(&mut self) -> Checked {
        let Some(process) = self.coordinators.last() else { return Ok(()) };
        let (epoch, Some(coordinator)) = (process.machine().epoch(), &process.sessions) else {
            return Ok(());
        };
        for node in self.workers.iter().filter(|node| node.up && !node.gone) {
            let id = node.machine.id();
            // Its own clock counts from its start, and may be slow.
            if node.clock.tick(self.now).0 < 2 * ALL_CONNECTED.as_micros() as u64 {
                continue;
            }
            let Some(sessions) = &node.sessions else { continue };
            if !sessions.held().any(|(_, held)| held == epoch) || !coordinator.is_open(id) {
                return broken("I18", format!("{id} has no session with {epoch}"));
            }
        }
        Ok(())
    }

    /// Revokes the adversary's key, or enrols it.
    pub(super) fn enrol_adversary(&mut self, enrols: bool) {
        let Some(sealing) = &mut self.sealing else { return };
        let suite = sealing.suite.owned_by(ADVERSARY);
        sealing.adversary.is_revoked = !enrols;
        if enrols {
            let mut grant = WorkerGrant::new(suite.public(), "m*");
            grant.slots = Some(0);
            sealing.enrolled.enrol(&suite, grant);
        } else {
            sealing.enrolled.revoke(&KeyId::of(&suite, &suite.public()));
        }
    }
}

/// No coordinator has this epoch.
const NO_EPOCH: Epoch = Epoch { instance: 0, number: 0 };

pub(super) fn parcel(lane: Lane, channel: Channel, bytes: Bytes) -> Parcel {
    Parcel { lane, channel, bytes, origin: Origin::Sent }
}
