//! An adversary that owns the network, and one enrolled key. Nothing of it may have an effect that
//! its own key does not allow.

use std::sync::Arc;
use std::time::Duration;

use super::events::{Event, Host};
use super::sealing::{Origin, Parcel, parcel};
use super::world::{Checked, World};
use crate::model::address::{Address, Channel, Lane};
use crate::model::fence::Epoch;
use crate::model::id::WorkerId;
use crate::protocol::seal::{
    Accept, FrameKind, HEADER_BYTES, Header, Hex, Init, KeyId, Notice, Signed, Suite, TAG_BYTES,
    WorkerFrame, WorkerSessions,
};
use crate::protocol::{Beat, BeatAck, Frame, Goodbye, Hello, Message};
use crate::testing::ToySuite;

/// The identity of the adversary's worker key, and of its namespace key, which no worker has pinned.
pub(super) const ADVERSARY: u64 = 1_000_000;
const FOREIGN: u64 = ADVERSARY + 1;
/// The mean time between two acts.
const INTERVAL: Duration = Duration::from_millis(700);
/// The longest flood: more inits than a coordinator looks at in a second.
const FLOOD: usize = 250;

/// The state of the adversary.
#[derive(Debug)]
pub(super) struct Adversary {
    suite: ToySuite,
    sessions: Option<WorkerSessions>,
    life: u64,
    pub(super) is_revoked: bool,
}

impl Adversary {
    pub(super) fn new(suite: &ToySuite) -> Self {
        Self { suite: suite.clone(), sessions: None, life: 0, is_revoked: true }
    }

    fn id(&self) -> WorkerId {
        match WorkerId::new(&format!("m0-{}", self.life)) {
            Ok(id) => id,
            Err(_) => unreachable!("it is a good id"),
        }
    }
}

/// Returns true if a worker is the adversary's.
pub(super) fn is_adversary(worker: &WorkerId) -> bool {
    worker.as_str().starts_with('m')
}

impl World {
    pub(super) fn plan_adversary(&mut self) {
        if self.sealing.is_some() && self.plan.profile != super::Profile::Calm {
            self.enrol_adversary(true);
            let after = self.random.interval(INTERVAL);
            self.after(after, Event::Adversary);
        }
    }

    pub(super) fn adversary_acts(&mut self) -> Checked {
        if self.calm {
            return Ok(());
        }
        let after = self.random.interval(INTERVAL);
        self.after(after, Event::Adversary);
        match self.random.below(12) {
            0..3 => self.replays(),
            3 => self.floods(),
            4 => self.changes_a_counter(),
            5 => self.speaks_plain(),
            6 => self.signs_as_a_coordinator(),
            7 => self.signs_for_others(),
            8 => {
                let revoked = self.sealing.as_ref().is_some_and(|s| s.adversary.is_revoked);
                let enrols = revoked || self.random.chance(0.5);
                self.enrol_adversary(enrols);
            }
            9 => self.asks_for_a_session(),
            _ => self.speaks_in_its_session()?,
        }
        Ok(())
    }

    fn recorded(&mut self) -> Option<Parcel> {
        let recorded = &self.sealing.as_ref()?.recorded;
        recorded.get(self.random.below(recorded.len())).cloned()
    }

    fn recorded_of(&mut self, kind: FrameKind) -> Option<Parcel> {
        let is_it = |parcel: &Parcel| {
            Header::decode(&parcel.bytes).is_some_and(|header| header.kind == kind)
        };
        (0..50).find_map(|_| self.recorded().filter(is_it))
    }

    fn anyone(&mut self) -> Host {
        match self.random.chance(0.5) {
            true => Host::Coordinator(self.random.below(self.coordinators.len())),
            false => Host::Worker(self.random.below(self.workers.len())),
        }
    }

    fn any_channel(&mut self) -> Channel {
        let worker = self.random.below(self.workers.len());
        match self.random.below(3) {
            0 => Channel::Unknown,
            1 => Channel::Coordinator,
            _ => Channel::of(&Address::Worker(self.workers[worker].machine.id().clone())),
        }
    }

    fn delivers(&mut self, to: Host, parcel: Parcel) {
        let after = self.random.duration(Duration::from_millis(20));
        self.after(after, Event::Parcel { to, parcel });
    }

    /// Delivers a frame again, as it was or on another lane, to another host or by another channel.
    fn replays(&mut self) {
        self.count("frame replayed");
        let Some(mut parcel) = self.recorded() else { return };
        let to = self.anyone();
        if self.random.chance(0.3) {
            parcel.lane = Lane::ALL[self.random.below(2)];
        }
        if self.random.chance(0.3) {
            parcel.channel = self.any_channel();
        }
        self.delivers(to, parcel);
    }

    fn floods(&mut self) {
        self.count("flood");
        let kind = [FrameKind::Init, FrameKind::Accept, FrameKind::Notice][self.random.below(3)];
        let Some(parcel) = self.recorded_of(kind) else { return };
        let to = self.anyone();
        for _ in 0..self.random.below(FLOOD) {
            self.delivers(to, parcel.clone());
        }
    }

    /// Moves the counter of a frame ahead, or changes its lane.
    fn changes_a_counter(&mut self) {
        let Some(mut parcel) = self.recorded_of(FrameKind::Sealed) else { return };
        let Some(mut header) = Header::decode(&parcel.bytes) else { return };
        match self.random.chance(0.7) {
            true => header.counter += 5_000,
            false => {
                header.lane = Lane::ALL[1 - header.lane as usize];
                parcel.lane = header.lane;
            }
        }
        let bytes = [&header.encode(), &parcel.bytes[HEADER_BYTES..]].concat();
        parcel = Parcel { bytes: bytes.into(), origin: Origin::Forged, ..parcel };
        let to = self.anyone();
        self.delivers(to, parcel);
    }

    fn speaks_plain(&mut self) {
        let to = self.anyone();
        let victim = self.random.below(self.workers.len());
        let id = self.workers[victim].machine.id().clone();
        let channel = self.any_channel();
        let (from, message) = match to {
            Host::Coordinator(_) => (Some(id), Message::Goodbye(Goodbye { held: Vec::new() })),
            Host::Worker(_) => {
                let epoch = Epoch { instance: 0, number: 2_000_000 };
                let (lease, beat_interval, drop, cancel) = Default::default();
                let (seq_echo, settled) = (1, 1);
                let ack = BeatAck { epoch, seq_echo, settled, lease, beat_interval, drop, cancel };
                (None, Message::BeatAck(ack))
            }
        };
        let frame = Frame { from, to: None, messages: vec![message] };
        let parcel = parcel(Lane::Control, channel, frame.encode());
        self.delivers(to, Parcel { origin: Origin::Forged, ..parcel });
    }

    /// Signs a recorded accept or notice with a namespace key of its own.
    fn signs_as_a_coordinator(&mut self) {
        let kind = [FrameKind::Accept, FrameKind::Notice][self.random.below(2)];
        let Some(recorded) = self.recorded_of(kind) else { return };
        let Some(signed) = Signed::parts(kind, &recorded.bytes) else { return };
        let Some(sealing) = &self.sealing else { return };
        let suite = sealing.suite.owned_by(FOREIGN);
        let bytes = match kind {
            FrameKind::Accept => {
                let Some(accept) = signed.read::<Accept>() else { return };
                Signed::frame(&suite, kind, &accept)
            }
            _ => {
                let Some(notice) = signed.read::<Notice>() else { return };
                let epoch = Epoch { number: notice.epoch.number + 1, ..notice.epoch };
                Signed::frame(&suite, kind, &Notice { epoch, ..notice })
            }
        };
        let forged = Parcel { bytes: bytes.into(), origin: Origin::Forged, ..recorded };
        for worker in 0..self.workers.len() {
            self.delivers(Host::Worker(worker), forged.clone());
        }
    }

    /// Signs inits with its own key that it may not: for another coordinator, shard or namespace,
    /// or as another worker.
    fn signs_for_others(&mut self) {
        let Some(recorded) = self.recorded_of(FrameKind::Init) else { return };
        let read = Signed::parts(FrameKind::Init, &recorded.bytes).and_then(|parts| parts.read());
        let Some(init) = read else { return };
        let Some(sealing) = &self.sealing else { return };
        let suite = sealing.suite.owned_by(ADVERSARY);
        let key = KeyId::of(&suite, &suite.public());
        let worker = sealing.adversary.id();
        let mut init = Init { worker, key, ..init };
        match self.random.below(3) {
            0 => init.to = Hex([7; 16]),
            1 => init.shard = 1,
            _ => init.namespace = "other".to_owned(),
        }
        let channel = Channel::of(&Address::Worker(init.worker.clone()));
        let bytes = Signed::frame(&suite, FrameKind::Init, &init);
        let forged =
            Parcel { origin: Origin::Forged, ..parcel(Lane::Control, channel, bytes.into()) };
        let coordinator = self.coordinators.len() - 1;
        self.delivers(Host::Coordinator(coordinator), forged);
    }

    /// Asks for a session with its own key, under a new id.
    fn asks_for_a_session(&mut self) {
        let coordinator = self.coordinators.len() - 1;
        let now = self.coordinators[coordinator].clock.tick(self.now);
        let Some(sealing) = &mut self.sealing else { return };
        let pins = sealing.pins();
        let adversary = &mut sealing.adversary;
        adversary.life += 1;
        let (id, suite) = (adversary.id(), Arc::new(adversary.suite.owned_by(ADVERSARY)));
        let mut sessions = WorkerSessions::new(suite, id.clone(), pins);
        let init = sessions.tick(now);
        adversary.sessions = Some(sessions);
        let channel = Channel::of(&Address::Worker(id));
        if let Some(init) = init {
            let parcel = parcel(Lane::Control, channel, init.into());
            self.delivers(Host::Coordinator(coordinator), parcel);
        }
    }

    /// Takes in what a coordinator sends to the adversary's worker.
    pub(super) fn adversary_hears(&mut self, parcel: &Parcel) {
        let Some(process) = self.coordinators.last() else { return };
        let now = process.clock.tick(self.now);
        let Some(sealing) = &mut self.sealing else { return };
        if let Some(sessions) = &mut sealing.adversary.sessions
            && let Ok(WorkerFrame::Accept) = sessions.look(parcel.lane, &parcel.bytes)
        {
            let _ = sessions.accepted(now, &parcel.bytes);
        }
    }

    /// Speaks in its own session: as another worker, or for more than it was granted.
    fn speaks_in_its_session(&mut self) -> Checked {
        let index = self.random.below(self.workers.len());
        let victim = self.workers[index].machine.id().clone();
        let act = self.random.below(5);
        let offer = (*self.offer_of(0, 0)).clone();
        let Some(sealing) = &mut self.sealing else { return Ok(()) };
        let id = sealing.adversary.id();
        let own = sealing.suite.owned_by(ADVERSARY);
        let rotate = sealing.forged_rotation(index, &own);
        let Some(sessions) = &mut sealing.adversary.sessions else { return Ok(()) };
        let suite = sessions.suite().clone();
        let Some((_, epoch)) = sessions.held().next() else { return Ok(()) };
        let Some(sealed) = sessions.sealings(Lane::Control).next() else { return Ok(()) };
        let (from, messages) = match act {
            0 => (id.clone(), vec![Message::Rotate(Box::new(rotate))]),
            1..3 => (victim, vec![Message::Goodbye(Goodbye { held: Vec::new() })]),
            _ => {
                let (queues, groups, clean_slate, version, started_at) = Default::default();
                let name = id.name().to_owned();
                let hello = Hello {
                    name,
                    queues,
                    groups,
                    slots: 9,
                    offer,
                    clean_slate,
                    epoch: Some(epoch),
                    version,
                    started_at,
                    ..Hello::default()
                };
                let beat = Beat { seq: 1, free: 9, held: Vec::new(), epoch: Some(epoch) };
                (id.clone(), vec![Message::Hello(hello), Message::Beat(beat)])
            }
        };
        let document = Frame { from: Some(from), to: None, messages }.encode();
        let mut bytes = Vec::with_capacity(HEADER_BYTES + document.len() + TAG_BYTES);
        bytes.extend_from_slice(&[0; HEADER_BYTES]);
        bytes.extend_from_slice(&document);
        sealed.seal(&*suite, &mut bytes);
        sealing.sealed(&bytes, &document, Some(id.clone()), None, epoch)?;
        let channel = Channel::of(&Address::Worker(id));
        let coordinator = self.coordinators.len() - 1;
        let parcel = parcel(Lane::Control, channel, bytes.into());
        self.delivers(Host::Coordinator(coordinator), parcel);
        Ok(())
    }
}
