//! The way of sealed frames from one process to another.

use std::time::Duration;

use bytes::Bytes;

use super::{Made, Origin, Parcel, parcel};
use crate::model::address::{Address, Channel, Lane};
use crate::model::fence::Epoch;
use crate::model::id::WorkerId;
use crate::protocol::seal::{
    Accept, Admission, CoordinatorFrame, FrameKind, HEADER_BYTES, Header, Refused, SessionId, Side,
    Signed, Suite, WorkerFrame,
};
use crate::protocol::{Frame, Message};
use crate::testing::simulation::adversary::is_adversary;
use crate::testing::simulation::events::{Event, Host};
use crate::testing::simulation::network::index_of;
use crate::testing::simulation::worker::Later;
use crate::testing::simulation::world::{Checked, World, broken};

/// No coordinator has this epoch.
const NO_EPOCH: Epoch = Epoch { instance: 0, number: 0 };

/// Returns a frame with room for its header.
fn with_room(document: &[u8]) -> Vec<u8> {
    [&[0; HEADER_BYTES], document].concat()
}

impl World {
    /// Seals a frame and hands it to the network.
    pub(in super::super) fn send_sealed(
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

    pub(in super::super) fn send_init(&mut self, index: usize, init: Vec<u8>) {
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
    pub(in super::super) fn parcel_arrives(&mut self, to: Host, parcel: Parcel) -> Checked {
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
                if let Some(notice) = sessions.answer_unknown(now, Some(id), Some(session)) {
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
        let Ok(is_introduced) = peer.limit(parcel.lane, &mut frame) else { return Ok(()) };
        let is_rotate = |message: &mut Message| matches!(message, Message::Rotate(_));
        let rotates: Vec<Message> = frame.messages.extract_if(.., is_rotate).collect();
        if frame.from.as_ref() != from {
            return broken("I11", format!("{from:?} speaks as {:?}", frame.from));
        }
        self.note_frame(Host::Coordinator(index), &frame, None);
        for rotate in rotates {
            self.rotate_arrives(index, &peer, &rotate)?;
        }
        if !is_introduced && parcel.lane == Lane::Control {
            self.coordinators[index].expect_hello(peer.worker.clone());
        }
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
                let Ok((mut frame, _)) = Frame::decode(document) else { return Ok(()) };
                self.note_frame(Host::Worker(index), &frame, None);
                frame.messages.retain(|message| match message {
                    Message::Rotated(answer) => {
                        if let Some(sessions) = &mut self.workers[index].sessions {
                            sessions.rotated(now, answer);
                        }
                        false
                    }
                    _ => true,
                });
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
                if !self.key_is_used(index) {
                    return Ok(());
                }
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
}
