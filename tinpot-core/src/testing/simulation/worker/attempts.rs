//! The attempts of a worker.

use std::time::Duration;

use super::calls::Script;
use super::pump::Entry;
use crate::model::fence::Fence;
use crate::model::id::ExecutionId;
use crate::model::json::Json;
use crate::model::outcome::Outcome;
use crate::model::stop::{Stop, StopReason};
use crate::protocol::Dispatch;
use crate::testing::simulation::clock::{Moment, NEVER};
use crate::testing::simulation::events::{Happening, Host};
use crate::testing::simulation::world::{Checked, World};

/// An attempt that is alive.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) fence: Fence,
    pub(super) execution: ExecutionId,
    /// True if it ignores the request to stop.
    pub(super) stubborn: bool,
    pub(super) ends: Moment,
    pub(super) outcome: Outcome,
    /// The calls that it makes, if any.
    pub(super) script: Option<Script>,
    /// True if it was asked to stop.
    pub(super) asked: bool,
    /// True if a kill ends it.
    killed: bool,
}

impl Running {
    /// Returns true if it waits for a child.
    pub(super) fn waits(&self) -> bool {
        self.script.as_ref().is_some_and(Script::waits)
    }
}

impl World {
    pub(super) fn start(&mut self, index: usize, dispatch: &Dispatch) -> Checked {
        let Dispatch { fence, execution, .. } = *dispatch;
        self.report.starts += 1;
        self.trace(4, fence.number);
        self.tell(|| format!("w{index} runs {fence}, attempt {} of {execution}", dispatch.attempt));
        self.checks.started(self.workers[index].machine.id(), dispatch, &self.store)?;
        let random = &mut self.random;
        let unable = random.chance(self.plan.unable);
        let outcome = match random.chance(0.7) {
            _ if unable => Outcome::not_started("no interpreter"),
            true => Outcome::Succeeded(Json::null()),
            false => Outcome::failed("no"),
        };
        let longest = match &*dispatch.action {
            "quick" => Duration::from_millis(8),
            _ if random.chance(0.8) => Duration::from_secs(4),
            _ => Duration::from_secs(60),
        };
        let lasts = 500 + random.duration(longest).as_micros() as Moment;
        let hangs = dispatch.timeout.is_some() && random.chance(0.1) && !unable;
        let calls = &*dispatch.action == "parent" && !unable;
        let script = calls.then(|| Script::draw(random, execution, fence));
        let ends = if hangs || calls { NEVER } else { self.now + lasts };
        let (asked, killed) = (false, false);
        let stubborn = random.chance(self.plan.stubborn);
        let writes = match random.chance(self.plan.floods) {
            _ if unable => 0,
            true => 30,
            false => random.below(4),
        };
        let mut moments: Vec<Moment> =
            (0..writes).map(|_| self.now + random.number() % lasts).collect();
        moments.sort_unstable();
        let node = &mut self.workers[index];
        node.running.push(Running {
            fence,
            execution,
            stubborn,
            ends,
            outcome,
            script,
            asked,
            killed,
        });
        node.entries.push(Entry::new(fence));
        let (life, host) = (node.life, Host::Worker(index));
        for at in moments {
            self.happens(at, host, life, Happening::AttemptWrites(fence));
        }
        if ends < NEVER {
            self.happens(ends, host, life, Happening::AttemptEnds(fence));
        }
        if calls {
            let first = self.now + self.random.number() % 5_000;
            self.happens(first, host, life, Happening::AttemptCalls(fence));
        }
        Ok(())
    }

    pub(super) fn stop(&mut self, index: usize, fence: Fence, stop: Stop) {
        self.tell(|| format!("w{index} asks {fence} to end: {stop:?}"));
        let node = &mut self.workers[index];
        let (life, clock) = (node.life, node.clock);
        let Some(running) = node.running.iter_mut().find(|running| running.fence == fence) else {
            return;
        };
        let listens = !running.stubborn && !running.asked && !stop.grace.is_zero();
        let at = match listens {
            // It cleans up for a while.
            true => self.now + self.random.duration(stop.grace / 4).as_micros() as Moment,
            false => clock.moment(clock.tick(self.now) + stop.grace),
        };
        // Sometimes it succeeds nevertheless.
        let done = stop.reason == StopReason::Cancelled && self.random.chance(0.1);
        running.asked = true;
        if at < running.ends {
            running.ends = at;
            running.killed = !listens;
            if !done || running.killed {
                running.outcome = Outcome::Cancelled;
            }
            self.happens(at, Host::Worker(index), life, Happening::AttemptEnds(fence));
        }
    }

    /// Resumes the attempts that paused with their worker, and performs the kills that fell due
    /// meanwhile.
    pub(super) fn wake_attempts(&mut self, index: usize, slept: u64, all: bool) {
        let node = &mut self.workers[index];
        let life = node.life;
        let mut due = Vec::new();
        for running in &mut node.running {
            if running.killed {
                running.ends = running.ends.max(self.now);
            } else if all && running.ends < NEVER {
                running.ends += slept;
            } else {
                continue;
            }
            due.push((running.ends, running.fence));
        }
        for (at, fence) in due {
            self.happens(at, Host::Worker(index), life, Happening::AttemptEnds(fence));
        }
    }

    pub(super) fn attempt_ends(&mut self, index: usize, fence: Fence) -> Checked {
        let node = &mut self.workers[index];
        let due = |running: &Running| running.fence == fence && running.ends == self.now;
        let Some(place) = node.running.iter().position(due) else { return self.reap(index, fence) };
        if let Some(pause) = &mut node.paused {
            // A paused attempt does not end, and a paused worker does not kill. The worker notices
            // later what has ended by itself.
            if pause.all || node.running[place].killed {
                return Ok(());
            }
            pause.later.push(super::Later::Happening(Happening::AttemptEnds(fence)));
            let Running { execution, .. } = node.running[place];
            self.checks.ended(execution, fence);
            return Ok(());
        }
        self.finish(index, place)
    }

    /// Handles an attempt that ended while its worker was paused.
    fn reap(&mut self, index: usize, fence: Fence) -> Checked {
        let node = &self.workers[index];
        let over = |running: &Running| running.fence == fence && running.ends < self.now;
        match node.running.iter().position(over) {
            Some(place) if node.paused.is_none() => self.finish(index, place),
            _ => Ok(()),
        }
    }

    fn finish(&mut self, index: usize, place: usize) -> Checked {
        let Running { fence, execution, outcome, .. } =
            self.workers[index].running.swap_remove(place);
        self.tell(|| format!("w{index}: {fence} has ended: {outcome:?}"));
        self.checks.ended(execution, fence);
        if outcome.reason_not_started().is_some() {
            self.count("attempt not started");
            self.checks.never_ran(execution, fence);
        }
        let last_line = self.end_of_lines(index, fence);
        self.work(index, |machine, now, out| {
            machine.finished(now, fence, outcome, last_line, false, out);
        })?;
        self.pump(index)
    }
}
