//! The network between the processes.

use std::time::Duration;

use super::events::{Event, Host};
use super::world::{Checked, World, broken};
use crate::id::WorkerId;
use crate::protocol::{Frame, Message};
use crate::transport::{Address, Lane};

/// One frame in so many goes through the real encoding, and has to come out as it went in.
const ENCODED: u64 = 64;

impl World {
    /// Hands a frame to the network.
    pub(super) fn send(&mut self, from: Host, to: &Address, lane: Lane, frame: Frame) -> Checked {
        match to {
            Address::Worker(id) => self.transmit(from, Host::Worker(index_of(id)), lane, frame),
            Address::AllWorkers => {
                for worker in 1..self.workers.len() {
                    self.transmit(from, Host::Worker(worker), lane, frame.clone())?;
                }
                self.transmit(from, Host::Worker(0), lane, frame)
            }
            Address::Coordinator => self.transmit(from, Host::Coordinator(0), lane, frame),
        }
    }

    fn transmit(&mut self, from: Host, to: Host, lane: Lane, frame: Frame) -> Checked {
        self.report.frames += 1;
        if self.report.frames.is_multiple_of(ENCODED) {
            encoded(&frame)?;
        }
        let cut = match (from, to) {
            (Host::Worker(worker), _) => self.workers[worker].cut_up,
            (_, Host::Worker(worker)) => self.workers[worker].cut_down,
            _ => false,
        };
        if cut {
            return Ok(());
        }
        if self.random.chance(self.plan.loss) {
            self.count("frame lost");
            return Ok(());
        }
        if self.random.chance(self.plan.duplicate) {
            self.count("frame duplicated");
            let after = self.on_its_way();
            self.after(after, Event::Frame { to, lane, frame: Box::new(frame.clone()) });
        }
        let after = self.on_its_way();
        self.after(after, Event::Frame { to, lane, frame: Box::new(frame) });
        Ok(())
    }

    fn on_its_way(&mut self) -> Duration {
        if self.random.chance(self.plan.slow_chance) {
            self.random.duration(self.plan.slow)
        } else {
            Duration::from_micros(100) + self.random.duration(self.plan.quick)
        }
    }

    /// A frame has come.
    pub(super) fn arrive(&mut self, to: Host, lane: Lane, frame: Frame) -> Checked {
        match to {
            Host::Coordinator(index) => {
                if !self.coordinators[index].up {
                    return Ok(());
                }
                self.note_frame(to, &frame);
                match lane {
                    Lane::Control => self.coordinators[index].receive(frame),
                    Lane::Logs => {}
                }
                self.turn(index)
            }
            Host::Worker(index) => {
                let node = &self.workers[index];
                let addressed = frame.to.as_ref().is_none_or(|to| to == node.machine.id());
                if !node.up || !addressed {
                    return Ok(());
                }
                self.note_frame(to, &frame);
                for message in &frame.messages {
                    self.checks.told_worker(message, &self.store)?;
                }
                match lane {
                    Lane::Control => self.work(index, |machine, now, out| {
                        for message in frame.messages {
                            machine.receive(now, message, out);
                        }
                    }),
                    Lane::Logs => Ok(()),
                }
            }
        }
    }

    fn note_frame(&mut self, to: Host, frame: &Frame) {
        for message in &frame.messages {
            let (what, detail) = digest(message);
            self.trace(what, detail);
            self.tell(|| match &frame.from {
                Some(from) => format!("{to} <- {from}: {message:?}"),
                None => format!("{to} <- {message:?}"),
            });
        }
    }
}

/// The place of a worker in the world.
fn index_of(id: &WorkerId) -> usize {
    let digits = id.as_str().bytes().skip(1).take_while(u8::is_ascii_digit);
    digits.fold(0, |index, digit| index * 10 + usize::from(digit - b'0'))
}

/// What tells a message from others: its type and what it is about.
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
    }
}

/// The real encoding changes nothing.
fn encoded(frame: &Frame) -> Checked {
    match Frame::decode(&frame.encode()) {
        Ok((decoded, errors)) if errors.is_empty() && decoded == *frame => Ok(()),
        other => broken("encoding", format!("{frame:?} becomes {other:?}")),
    }
}
