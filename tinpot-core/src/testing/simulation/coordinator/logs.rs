//! The log pipeline of a coordinator, in simulated time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::coordinator::{LogEnd, LogIntake, Registry};
use crate::model::address::{Address, Lane};
use crate::model::fence::Epoch;
use crate::protocol::{Frame, Heard, Message};
use crate::testing::simulation::clock::{Moment, NEVER};
use crate::testing::simulation::events::{Event, Happening, Host};
use crate::testing::simulation::world::{Checked, World, broken};

/// The same bound as in the pipeline.
const TURN_FRAMES: usize = 16;
const APPEND_RETRY: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(in super::super) struct Pipeline {
    pub(super) inbox: VecDeque<Frame>,
    pub(super) ends: VecDeque<LogEnd>,
    pub(super) intake: LogIntake,
    /// True if it waits for the store.
    pub(super) appending: bool,
    wake: Moment,
}

impl Pipeline {
    pub(super) fn new(registry: Arc<Registry>, epoch: Epoch) -> Self {
        Self {
            inbox: VecDeque::new(),
            ends: VecDeque::new(),
            intake: LogIntake::new(registry, epoch),
            appending: false,
            wake: NEVER,
        }
    }
}

impl World {
    /// Runs one turn of the log pipeline, unless it waits for the store.
    pub(in super::super) fn log_turn(&mut self, index: usize) -> Checked {
        let wall = self.wall(index);
        let process = &mut self.coordinators[index];
        let logs = &mut process.logs;
        let now = process.clock.tick(self.now);
        let due = logs.intake.wake_at().is_some_and(|at| at <= now);
        if logs.appending || process.paused.is_some() || !process.up {
            return Ok(());
        }
        if logs.inbox.is_empty() && logs.ends.is_empty() && !due {
            self.arm_logs(index);
            return Ok(());
        }
        for end in logs.ends.drain(..) {
            logs.intake.begin_end(now, end);
        }
        let count = |id, store: &super::super::store::SimulatedStore| {
            store.execution(id).map_or(0, |execution| execution.log_lines())
        };
        for _ in 0..TURN_FRAMES {
            let Some(Frame { from: Some(from), messages, .. }) = logs.inbox.pop_front() else {
                break;
            };
            for message in messages {
                let Message::Log(log) = message else { continue };
                match logs.intake.hears(&from, log.fence, None) {
                    Heard::Holder(live) => {
                        if !live.is_counted() {
                            live.counted(count(live.id, &self.store));
                        }
                        logs.intake.take(&from, live, log);
                    }
                    Heard::NotHolder => {}
                    Heard::Unknown => logs.intake.take_unknown(&from, log.fence),
                }
            }
        }
        while let Some(live) = logs.intake.give_up(now, wall) {
            live.counted(count(live.id, &self.store));
        }
        if logs.intake.batches().is_empty() {
            return self.tell_of_logs(index);
        }
        logs.appending = true;
        let longest = match self.random.chance(self.plan.slow_commit_chance) {
            true => self.plan.slow_commit,
            false => self.plan.commit,
        };
        let (after, life) = (self.random.duration(longest), self.coordinators[index].life);
        self.after(after, Event::To(Host::Coordinator(index), life, Happening::Appended));
        Ok(())
    }

    /// Handles the store's answer to an append.
    pub(super) fn appended(&mut self, index: usize) -> Checked {
        let crash = self.plan.crash_at_commit;
        if self.random.chance(crash) {
            return self.crash_coordinator(index);
        }
        if self.store.full {
            self.count("append refused");
            let life = self.coordinators[index].life;
            let event = Event::To(Host::Coordinator(index), life, Happening::Appended);
            self.after(APPEND_RETRY, event);
            return Ok(());
        }
        self.append(index)?;
        self.coordinators[index].logs.appending = false;
        if self.random.chance(crash) {
            return self.crash_coordinator(index);
        }
        self.tell_of_logs(index)
    }

    /// Appends the lines taken in, so that they survive a crash.
    pub(super) fn append(&mut self, index: usize) -> Checked {
        let life = self.coordinators[index].machine().epoch();
        for place in 0..self.coordinators[index].logs.intake.batches().len() {
            let batch = &self.coordinators[index].logs.intake.batches()[place];
            match self.store.append(life, std::slice::from_ref(batch)) {
                Ok(()) => {
                    self.report.lines +=
                        batch.chunks.iter().map(|chunk| chunk.lines.len() as u64).sum::<u64>();
                    self.checks.appended(batch, &self.store)?;
                    let line = self.is_told().then(|| format!("c{index} appends {batch:?}"));
                    self.tell(|| line.unwrap_or_default());
                }
                Err(error) if self.store.is_latest(life) => {
                    return broken("I8", format!("the store refuses lines: {error}"));
                }
                Err(_) => self.coordinators[index].logs.intake.refused(place),
            }
        }
        Ok(())
    }

    /// Acknowledges the stored lines to workers and lets complete logs end.
    fn tell_of_logs(&mut self, index: usize) -> Checked {
        let logs = &mut self.coordinators[index].logs;
        logs.intake.stored();
        let mut frames: Vec<(Address, Vec<Message>)> = Vec::new();
        for (worker, ack) in logs.intake.acks() {
            super::push(&mut frames, Address::Worker(worker), Message::LogAck(ack));
        }
        for (to, messages) in frames {
            let Address::Worker(worker) = &to else { continue };
            let frame = Frame { from: None, to: Some(worker.clone()), messages };
            self.send(Host::Coordinator(index), &to, Lane::Logs, frame)?;
        }
        let logs = &self.coordinators[index].logs;
        if logs.inbox.is_empty() && logs.ends.is_empty() {
            self.arm_logs(index);
        } else {
            let life = self.coordinators[index].life;
            self.happens(self.now, Host::Coordinator(index), life, Happening::WakeLogs);
        }
        Ok(())
    }

    fn arm_logs(&mut self, index: usize) {
        let process = &mut self.coordinators[index];
        let Some(tick) = process.logs.intake.wake_at() else { return };
        let wake = process.clock.moment(tick).max(self.now + 1);
        if wake < process.logs.wake || process.logs.wake <= self.now {
            process.logs.wake = wake;
            let life = process.life;
            if wake < NEVER {
                self.happens(wake, Host::Coordinator(index), life, Happening::WakeLogs);
            }
        }
    }
}
