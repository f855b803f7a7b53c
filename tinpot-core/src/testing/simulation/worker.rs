//! The process of a worker: its control loop around the machine, in simulated time.

mod attempts;
mod calls;
mod lies;
mod lives;
mod pump;

use self::attempts::Running;
use self::pump::Entry;
pub(super) use self::pump::line;
use super::clock::{Clock, Moment, NEVER};
use super::events::{Happening, Host};
use super::sealing::Parcel;
use super::world::{Checked, World};
use crate::model::address::{Address, Lane};
use crate::protocol::seal::WorkerSessions;
use crate::protocol::{Frame, Message, Tick, WorkerEffect, WorkerMachine};

/// One process. Every start of it is a new incarnation.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) up: bool,
    pub(super) life: u64,
    pub(super) machine: WorkerMachine,
    /// The sessions of this start, if frames are sealed.
    pub(super) sessions: Option<WorkerSessions>,
    /// True if no frame from it arrives.
    pub(super) cut_up: bool,
    /// True if no frame reaches it.
    pub(super) cut_down: bool,
    pub(super) clock: Clock,
    wake: Moment,
    running: Vec<Running>,
    entries: Vec<Entry>,
    wake_logs: Moment,
    /// The time by which it says goodbye, if it drains.
    ending: Option<Tick>,
    /// True if it has said goodbye and only its log pump still runs.
    pub(super) gone: bool,
    /// The pause, if the process is paused.
    pub(super) paused: Option<Pause>,
    /// The earliest moment of the next pause.
    may_pause: Moment,
}

impl Node {
    /// Returns the number of attempts that take slots.
    pub(super) fn busy(&self) -> usize {
        self.running.iter().filter(|running| !running.waits()).count()
    }
}

#[derive(Debug)]
pub(super) struct Pause {
    since: Moment,
    /// True if the attempts are paused too.
    all: bool,
    /// The events that happen when the process resumes.
    pub(super) later: Vec<Later>,
}

#[derive(Debug)]
pub(super) enum Later {
    Frame(Lane, Frame),
    Parcel(Parcel),
    Happening(Happening),
}

impl World {
    pub(super) fn at_worker(&mut self, index: usize, life: u64, happening: Happening) -> Checked {
        let node = &mut self.workers[index];
        if !node.up || node.life != life {
            return Ok(());
        }
        if let Happening::AttemptEnds(fence) = happening {
            return self.attempt_ends(index, fence);
        }
        if let Some(pause) = &mut node.paused {
            pause.later.push(Later::Happening(happening));
            return Ok(());
        }
        match happening {
            Happening::Wake if node.wake <= self.now => self.work(index, |_, _, _| {}),
            Happening::LinkUp => {
                if let Some(sessions) = &mut node.sessions {
                    sessions.link_up(node.clock.tick(self.now));
                }
                self.pump(index)?;
                self.work(index, |machine, now, out| machine.link_up(now, out))
            }
            Happening::AttemptCalls(fence) => self.attempt_calls(index, fence),
            Happening::AttemptWrites(fence) => self.attempt_writes(index, fence),
            Happening::WakeLogs => self.pump(index),
            Happening::Exit => {
                self.exit(index);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes in a frame that has arrived.
    pub(super) fn take_frame_at_worker(
        &mut self,
        index: usize,
        lane: Lane,
        frame: Frame,
    ) -> Checked {
        if let Some(pause) = &mut self.workers[index].paused {
            pause.later.push(Later::Frame(lane, frame));
            return Ok(());
        }
        if lane == Lane::Logs {
            return self.take_log_acks(index, &frame);
        }
        for message in &frame.messages {
            self.checks.told_worker(message, &self.store)?;
            self.checks.given_to(self.workers[index].machine.id(), message)?;
        }
        self.work(index, |machine, now, out| {
            for message in frame.messages {
                machine.receive(now, message, out);
            }
        })
    }

    /// Runs one turn of the control loop.
    pub(super) fn work(
        &mut self,
        index: usize,
        act: impl FnOnce(&mut WorkerMachine, Tick, &mut Vec<WorkerEffect>),
    ) -> Checked {
        let node = &mut self.workers[index];
        if node.gone {
            return Ok(());
        }
        let now = node.clock.tick(self.now);
        let init = node.sessions.as_mut().and_then(|sessions| sessions.tick(now));
        let mut effects = Vec::new();
        act(&mut node.machine, now, &mut effects);
        node.machine.tick(now, &mut effects);
        let mut messages: Vec<Message> = self.rotate_due(index, now).into_iter().collect();
        let mut asked_to_end = false;
        for effect in effects {
            match effect {
                WorkerEffect::Send(message) => {
                    self.checks.reports(&message);
                    messages.push(message);
                }
                WorkerEffect::Start(dispatch) => self.start(index, &dispatch)?,
                WorkerEffect::Stop(fence, stop) => self.stop(index, fence, stop),
                WorkerEffect::CallUpdate(id, state) => self.call_updated(index, id, &state),
                WorkerEffect::SecretUpdate(fence, _, state) => {
                    self.secret_updated(index, fence, &state)?;
                }
                WorkerEffect::DrainRequested => asked_to_end = true,
                WorkerEffect::Forget(fence) => {
                    self.workers[index].entries.retain(|entry| entry.fence != fence);
                }
            }
        }
        if let Some(init) = init {
            self.send_init(index, init);
        }
        if !messages.is_empty() {
            self.send_from(index, Lane::Control, messages)?;
        }
        if asked_to_end {
            // The programs do the same.
            self.drain_worker(index)?;
        }
        self.slots_are_used(index)?;
        self.follows_the_truth(index)?;
        let node = &self.workers[index];
        if node.ending.is_some_and(|at| at <= now || node.machine.is_empty()) {
            return self.say_goodbye(index);
        }
        self.arm_worker(index);
        Ok(())
    }

    fn send_from(&mut self, index: usize, lane: Lane, messages: Vec<Message>) -> Checked {
        let from = Some(self.workers[index].machine.id().clone());
        let frame = Frame { from, to: None, messages };
        self.send(Host::Worker(index), &Address::Coordinator, lane, frame)
    }

    pub(super) fn arm_worker(&mut self, index: usize) {
        let node = &mut self.workers[index];
        let session = node.sessions.as_ref().and_then(WorkerSessions::wake_at);
        let due = node.machine.wake_at().into_iter().chain(node.ending).chain(session);
        let Some(tick) = due.min() else { return };
        let wake = node.clock.moment(tick).max(self.now + 1);
        if wake < node.wake || node.wake <= self.now {
            node.wake = wake;
            let life = node.life;
            if wake < NEVER {
                self.happens(wake, Host::Worker(index), life, Happening::Wake);
            }
        }
    }
}
