//! The network between the processes.

use std::time::Duration;

use super::events::{Event, Host};
use super::world::{Checked, World, broken};
use crate::model::address::{Address, Lane};
use crate::model::id::WorkerId;
use crate::protocol::{Frame, Message};

/// The interval of frames that go through the real encoding and must come out unchanged. Corrupted
/// frames always go through it.
const ENCODED: u64 = 64;

impl World {
    /// Hands a frame to the network.
    pub(super) fn send(&mut self, from: Host, to: &Address, lane: Lane, frame: Frame) -> Checked {
        if self.sealing.is_some() {
            return self.send_sealed(from, to, lane, &frame);
        }
        match to {
            Address::Worker(id) => self.transmit(from, Host::Worker(index_of(id)), lane, frame),
            Address::AllWorkers => (0..self.workers.len()).try_for_each(|worker| {
                self.transmit(from, Host::Worker(worker), lane, frame.clone())
            }),
            Address::Coordinator => {
                for index in 1..self.coordinators.len() {
                    self.transmit(from, Host::Coordinator(index), lane, frame.clone())?;
                }
                self.transmit(from, Host::Coordinator(0), lane, frame)
            }
            Address::Joins | Address::Joiner(_) => Ok(()),
        }
    }

    fn transmit(&mut self, from: Host, to: Host, lane: Lane, frame: Frame) -> Checked {
        self.report.frames += 1;
        if self.report.frames.is_multiple_of(ENCODED) {
            encoded(&frame)?;
        }
        if self.is_lost(from, to) {
            return Ok(());
        }
        if self.plan.duplicate > 0.0 && self.random.chance(self.plan.duplicate) {
            self.count("frame duplicated");
            self.put_on_its_way(to, lane, frame.clone());
        }
        if self.plan.spoil > 0.0 && self.random.chance(self.plan.spoil) {
            self.count("frame spoiled");
            if let Some(frame) = self.spoiled(&frame) {
                self.put_on_its_way(to, lane, frame);
            }
        }
        self.put_on_its_way(to, lane, frame);
        Ok(())
    }

    /// Returns true if the network loses this frame.
    pub(super) fn is_lost(&mut self, from: Host, to: Host) -> bool {
        let cut = match (from, to) {
            (Host::Worker(worker), _) => self.workers[worker].cut_up,
            (_, Host::Worker(worker)) => self.workers[worker].cut_down,
            _ => false,
        };
        let deaf = match to {
            Host::Coordinator(index) => self.coordinators[index].deaf,
            Host::Worker(_) => 0.0,
        };
        if cut || self.broker_down || (deaf > 0.0 && self.random.chance(deaf)) {
            return true;
        }
        let lost = self.plan.loss > 0.0 && self.random.chance(self.plan.loss);
        if lost {
            self.count("frame lost");
        }
        lost
    }

    /// Draws the time that a frame takes.
    pub(super) fn delay(&mut self) -> Duration {
        let slow = self.plan.slow_chance > 0.0 && self.random.chance(self.plan.slow_chance);
        match slow {
            true => self.random.duration(self.plan.slow),
            false => Duration::from_micros(100) + self.random.duration(self.plan.quick),
        }
    }

    fn put_on_its_way(&mut self, to: Host, lane: Lane, frame: Frame) {
        let after = self.delay();
        let frame = Box::new(frame);
        self.after(after, Event::Frame { to, lane, frame, again: None });
    }

    /// Corrupts some bytes of a frame and returns what can still be decoded. Frames have no
    /// signatures, so a receiver cannot detect a valid message with changed contents. Such a frame
    /// is dropped.
    fn spoiled(&mut self, frame: &Frame) -> Option<Frame> {
        let mut bytes = frame.encode().to_vec();
        for _ in 0..1 + self.random.below(4) {
            let place = self.random.below(bytes.len());
            match self.random.below(4) {
                0 => bytes.truncate(place.max(1)),
                1 => bytes.insert(place, self.random.number() as u8),
                2 => drop(bytes.remove(place.min(bytes.len() - 1))),
                _ => bytes[place] = self.random.number() as u8,
            }
            if bytes.is_empty() {
                return None;
            }
        }
        let (left, _) = Frame::decode(&bytes).ok()?;
        let mut meant = frame.messages.iter();
        let is_meant = |message: &Message| meant.any(|meant| meant == message);
        let same = left.from == frame.from && left.to == frame.to;
        if same && left.messages.iter().all(is_meant) {
            return Some(left);
        }
        self.count("frame forged, dropped");
        None
    }

    /// Delivers a frame to its receiver.
    pub(super) fn arrive(
        &mut self,
        to: Host,
        lane: Lane,
        frame: Frame,
        again: Option<u64>,
    ) -> Checked {
        let (up, life) = match to {
            Host::Coordinator(index) => {
                (self.coordinators[index].up, self.coordinators[index].life)
            }
            Host::Worker(index) => {
                let node = &self.workers[index];
                let addressed = frame.to.as_ref().is_none_or(|to| to == node.machine.id());
                (node.up && addressed, node.life)
            }
        };
        if !up {
            return Ok(());
        }
        if self.plan.replay > 0.0 && self.random.chance(self.plan.replay) {
            self.count("frame replayed");
            let after = self.random.duration(Duration::from_secs(400));
            let frame = Box::new(frame.clone());
            self.after(after, Event::Frame { to, lane, frame, again: Some(life) });
        }
        self.note_frame(to, &frame, again);
        match to {
            Host::Coordinator(index) => self.take_frame(index, lane, frame, again),
            Host::Worker(index) => self.take_frame_at_worker(index, lane, frame),
        }
    }

    pub(super) fn note_frame(&mut self, to: Host, frame: &Frame, again: Option<u64>) {
        for message in &frame.messages {
            let (what, detail) = digest(message);
            self.trace(what, detail);
            self.tell(|| {
                let again = if again.is_some() { "once more " } else { "" };
                match &frame.from {
                    Some(from) => format!("{to} <- {again}{from}: {message:?}"),
                    None => format!("{to} <- {again}{message:?}"),
                }
            });
        }
    }
}

/// Returns the index of a worker in the world.
pub(super) fn index_of(id: &WorkerId) -> usize {
    let digits = id.as_str().bytes().skip(1).take_while(u8::is_ascii_digit);
    digits.fold(0, |index, digit| index * 10 + usize::from(digit - b'0'))
}

/// Returns two hashes that distinguish messages: of the type, and of the subject.
fn digest(message: &Message) -> (u64, u64) {
    match message {
        Message::Hello(hello) => (10, u64::from(hello.slots)),
        Message::Beat(beat) => (11, beat.seq << 8 | beat.held.len() as u64),
        Message::Goodbye(goodbye) => (12, goodbye.held.len() as u64),
        Message::Accept(accept) => (13, accept.fence.number << 1 | u64::from(accept.running)),
        Message::Reject(reject) => (14, reject.fence.number),
        Message::Result(report) => (15, report.fence.number << 16 | report.last_log_seq),
        Message::Released(released) => (16, released.fence.number),
        Message::Dispatch(dispatch) => (17, dispatch.fence.number << 16 | dispatch.seq_echo),
        Message::BeatAck(ack) => (18, ack.seq_echo << 8 | ack.drop.len() as u64),
        Message::Cancel(cancel) => (19, cancel.fence.number),
        Message::Probe(probe) => (20, probe.fence.number),
        Message::ResultAck(ack) => (21, ack.fence.number),
        Message::WhoIsThere(who) => (22, u64::from(who.epoch.number)),
        Message::Log(log) => (23, log.fence.number << 16 | log.chunk.first_seq),
        Message::LogAck(ack) => (24, ack.fence.number << 16 ^ ack.seq),
        Message::Progress(progress) => (25, progress.fence.number),
        Message::Unknown(_) => (26, 0),
        Message::Call(call) => (27, call.number),
        Message::Called(called) => (28, called.number),
        Message::Drain(drain) => (29, u64::from(drain.epoch.number)),
        Message::SecretGet(get) => (30, get.fence.number),
        Message::Secret(answer) => (31, answer.fence.number),
        Message::Rotate(_) => (32, 0),
        Message::Rotated(answer) => (33, u64::from(answer.refused.is_some())),
        Message::ReplaceKey(_) => (34, 0),
    }
}

/// Checks that the real encoding changes nothing.
fn encoded(frame: &Frame) -> Checked {
    match Frame::decode(&frame.encode()) {
        Ok((decoded, errors)) if errors.is_empty() && decoded == *frame => Ok(()),
        other => broken("encoding", format!("{frame:?} becomes {other:?}")),
    }
}
