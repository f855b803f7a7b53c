//! Sealed frames between the processes, and what has to be true of them.

mod delivery;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::adversary::{ADVERSARY, Adversary};
use super::deploys::granted_to;
use super::events::Event;
use super::rotation::Rotations;
use super::teams::Teams;
use super::world::{Checked, World, broken};
use crate::model::address::{Channel, Lane};
use crate::model::fence::Epoch;
use crate::model::id::WorkerId;
use crate::protocol::Tick;
use crate::protocol::seal::{
    CoordinatorOptions, CoordinatorSessions, EnrolledKeys, Header, KeyId, Pins, Refused, SessionId,
    Side, Suite, WorkerGrant, WorkerSessions,
};
use crate::testing::{Random, ToySuite};

const NAMESPACE: &str = "tinpot";
/// The identity of all coordinators. Workers have the numbers after it.
const COORDINATOR: u64 = 1;
/// The time after the last fault by which every worker has a session. One whose first frame was not
/// answered, because a notice to it was lost within the second before, asks with its next beat.
const ALL_CONNECTED: Duration = Duration::from_secs(30);
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
    pub(super) rotations: Rotations,
    teams: Teams,
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
    pub(super) fn new(seed: u64, teams: Teams) -> Self {
        let mut random = Random::new(seed ^ 0x5ea1);
        let suite = ToySuite::new(COORDINATOR, random.number());
        Self {
            adversary: Adversary::new(&suite),
            rotations: Rotations::new(&mut random),
            suite,
            enrolled: Arc::default(),
            teams,
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

    /// Returns the sessions of a new start of a worker, whose key is enrolled. It goes on to replace
    /// the key if it has begun with that.
    pub(super) fn worker(&mut self, index: usize, id: &WorkerId) -> WorkerSessions {
        let (current, next) = self.rotations.keys(index);
        let suite = self.suite_of(index, current);
        if self.rotations.enrols(index) {
            let mut grant = WorkerGrant::new(suite.public(), format!("w{index}"));
            grant.actions = granted_to(index);
            grant.teams = self.teams.granted_to(index);
            self.enrolled.enrol(&suite, grant);
        }
        let mut sessions = WorkerSessions::new(Arc::new(suite), id.clone(), self.pins());
        if let Some(next) = next {
            sessions.replace_key(Tick(0), Arc::new(self.suite_of(index, next)));
        }
        sessions
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

impl World {
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

pub(super) fn parcel(lane: Lane, channel: Channel, bytes: Bytes) -> Parcel {
    Parcel { lane, channel, bytes, origin: Origin::Sent }
}
