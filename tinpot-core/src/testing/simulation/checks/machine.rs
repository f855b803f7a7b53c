//! Invariants that hold whenever a coordinator rests, and at the end.

use std::time::Duration;

use crate::model::id::WorkerId;
use crate::testing::simulation::clock::Moment;
use crate::testing::simulation::world::{Checked, World, broken};

/// The number of rests between two comparisons of the machine's queue counts with the store.
const COUNTED: u64 = 16;

impl World {
    pub(in super::super) fn everything_has_ended(&self) -> bool {
        self.checks.unfinished == 0
            && self.client.open == 0
            && self.store.open_logs() == 0
            && self.coordinators.iter().all(|process| !process.up || process.open_logs().is_empty())
    }

    /// Checks that the worker of a grant is alive, or has died only recently.
    pub(in super::super) fn granted_to_the_living(&self, worker: &WorkerId) -> Checked {
        let Some(death) = self.checks.death(worker) else { return Ok(()) };
        let plan = &self.plan;
        // The bound is the delay of its last message, its lease, and a pause of the coordinator.
        let heard = plan.slow + plan.slow_commit * 2 + Duration::from_secs(1);
        let lease = plan.longest_patience();
        let longest = heard + lease * 5 / 4 + lease * 2;
        let dead = Duration::from_micros(self.now - death);
        if plan.in_bounds() && self.coordinators.len() == 1 && dead > longest {
            return broken("I11", format!("{worker} gets an attempt, and is dead for {dead:?}"));
        }
        Ok(())
    }

    /// Checks a coordinator that has nothing to do: nothing is overdue, and the machine's counts
    /// match the store.
    pub(in super::super) fn rests(&mut self, index: usize) -> Checked {
        if index + 1 < self.coordinators.len() {
            return Ok(());
        }
        let process = &mut self.coordinators[index];
        let Some((machine, wall, rests)) = process.at_rest(self.now) else { return Ok(()) };
        if machine.unfinished() != self.checks.unfinished {
            let (machine, store) = (machine.unfinished(), self.checks.unfinished);
            return broken("window", format!("the machine counts {machine}, the store {store}"));
        }
        let waiting = &self.store.synced.waiting;
        if let Some((at, id)) = waiting.first_delayed()
            && at.0 <= wall
        {
            let late = Duration::from_micros(wall - at.0);
            return broken("delay", format!("{id} could start since {late:?}, and is not ready"));
        }
        let interval = self.plan.config.beat_interval;
        // An execution that leaves memory just before it expires waits for the next look into the
        // store, and for a commit or two.
        let sweep = (interval * 2 + self.plan.slow_commit * 2).as_micros() as Moment;
        if let Some((at, id)) = waiting.first_expiring()
            && at.max(self.checks.queued(id)).0 + sweep <= wall
            && process.at_work() > interval
        {
            let late = Duration::from_micros(wall - at.0);
            return broken("expiry", format!("{id} has expired {late:?} ago, and waits"));
        }
        let at_work = process.at_work();
        self.callers_end(wall, at_work)?;
        match rests.is_multiple_of(COUNTED) {
            true => self.counts(index),
            false => Ok(()),
        }
    }

    /// Checks that the machine's queues are as long as those of the store.
    fn counts(&self, index: usize) -> Checked {
        let (mut ready, mut delayed) = (0, 0);
        for queue in self.coordinators[index].machine().queues() {
            ready += queue.waiting as u64;
            delayed += queue.delayed as u64;
        }
        let counts = self.store.synced.waiting.counts();
        let (in_store, later): (u64, u64) =
            counts.iter().fold((0, 0), |sum, count| (sum.0 + count.ready, sum.1 + count.delayed));
        if (ready, delayed) != (in_store, later) {
            let what = format!(
                "the machine counts {ready} ready and {delayed} delayed, the store {in_store} and {later}"
            );
            return broken("window", what);
        }
        Ok(())
    }

    /// Runs the checks that are possible only at the end.
    pub(in super::super) fn last_checks(&mut self) -> Checked {
        for id in &self.client.accepted {
            let Some(execution) = self.store.execution(*id) else {
                return broken("I7", format!("{id} was accepted, and is gone"));
            };
            if !execution.status.is_terminal() {
                return broken("I12", format!("{id} is {:?} long after", execution.status));
            }
        }
        if let Some(process) = self.coordinators.last()
            && let Some(fence) = process.open_logs().first()
        {
            let what = format!("the log of {fence} does not end");
            return broken("I12", what);
        }
        if !self.everything_has_ended() {
            let what = format!(
                "{} submissions, {} executions and {} logs do not end",
                self.client.open,
                self.checks.unfinished,
                self.store.open_logs()
            );
            return broken("I12", what);
        }
        self.checks.logs_are_whole(&self.store)?;
        for execution in self.store.all() {
            *self.report.ended.entry(execution.status.as_str()).or_default() += 1;
        }
        let Some(process) = self.coordinators.last() else { return Ok(()) };
        match process.machine().unfinished() {
            0 => self.counts(self.coordinators.len() - 1),
            left => {
                broken("window", format!("everything has ended, and the machine counts {left}"))
            }
        }
    }
}
