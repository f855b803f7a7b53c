//! Starts, crashes and pauses of coordinators.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::credit::Credits;
use super::{Input, Pipeline, Process};
use crate::coordinator::{Core, Registry};
use crate::model::fence::Epoch;
use crate::model::time::Timestamp;
use crate::protocol::{CoordinatorMachine, Tick};
use crate::testing::simulation::clock::{Clock, NEVER};
use crate::testing::simulation::events::{Event, Happening, Host};
use crate::testing::simulation::trouble::Repair;
use crate::testing::simulation::world::{Checked, World};

/// The time that wall clocks show at the beginning.
const BEGINNING: u64 = 1_700_000_000_000_000;

impl World {
    pub(in super::super) fn add_coordinator(&mut self) {
        let index = self.coordinators.len();
        let registry = Arc::new(Registry::default());
        let epoch = Epoch { instance: 0, number: 0 };
        self.coordinators.push(Process {
            up: false,
            life: 0,
            clock: Clock::new(0, 1),
            started: 0,
            wake: NEVER,
            core: Core::new(CoordinatorMachine::new(self.plan.config.clone(), epoch)),
            sessions: None,
            inbox: VecDeque::new(),
            committing: None,
            outputs: Vec::new(),
            outbox: Vec::new(),
            lazy: Vec::new(),
            open: Vec::new(),
            logs: Pipeline::new(registry.clone(), epoch),
            registry,
            deaf: 0.0,
            paused: None,
            at_work_since: Tick(0),
            ticked: Tick(0),
            rests: 0,
            credits: Credits::default(),
        });
        self.after(Duration::ZERO, Event::Repair(Repair::StartCoordinator(index)));
    }

    pub(in super::super) fn start_coordinator(&mut self, index: usize) -> Checked {
        if self.coordinators[index].up || index + 1 < self.coordinators.len() {
            return Ok(());
        }
        let opened = self.store.open()?;
        self.checks.opened(&opened)?;
        let epoch = opened.epoch;
        let life = self.coordinators[index].life + 1;
        self.tell(|| format!("c{index} starts: life {life}, epoch {epoch}"));
        self.trace(1, u64::from(epoch.number));
        let clock = Clock::new(self.now, self.random.rate(self.plan.rates));
        let registry = Arc::new(Registry::default());
        let mut logs = Pipeline::new(registry.clone(), epoch);
        for execution in opened.granted.iter().chain(&opened.open_logs) {
            logs.intake.expect(Tick(0), execution, registry.restore(execution));
        }
        let mut core = Core::new(CoordinatorMachine::new(self.plan.config.clone(), epoch));
        let started = BEGINNING + self.now;
        core.restore(clock.tick(self.now), Timestamp(started), opened);
        self.coordinators[index] = Process {
            up: true,
            life,
            clock,
            started,
            wake: NEVER,
            core,
            sessions: self.sealing.as_ref().map(|sealing| sealing.coordinator(epoch)),
            inbox: VecDeque::from([Input::LinkUp]),
            committing: None,
            outputs: Vec::new(),
            outbox: Vec::new(),
            lazy: Vec::new(),
            open: Vec::new(),
            registry,
            logs,
            deaf: 0.0,
            paused: None,
            at_work_since: Tick(0),
            ticked: Tick(0),
            rests: 0,
            credits: Credits::default(),
        };
        self.knows_what_is_deployed(index)?;
        self.log_turn(index)?;
        self.turn(index)
    }

    /// Ends the process. It loses everything that it had not synced or sent.
    pub(in super::super) fn crash_coordinator(&mut self, index: usize) -> Checked {
        let process = &mut self.coordinators[index];
        if !std::mem::take(&mut process.up) {
            return Ok(());
        }
        self.count("coordinator crash");
        self.tell(|| format!("c{index} crashes"));
        // The power fails before the current write is synced, or right after.
        if self.coordinators[index].committing.is_some()
            && !self.store.full
            && self.random.chance(0.5)
        {
            self.tell(|| "its batch is synced".to_owned());
            self.sync(index)?;
        }
        if self.coordinators[index].logs.appending && !self.store.full && self.random.chance(0.5) {
            self.tell(|| "its log lines are synced".to_owned());
            self.append(index)?;
        }
        let process = &mut self.coordinators[index];
        process.inbox.clear();
        process.paused = None;
        for ticket in std::mem::take(&mut process.open) {
            self.disconnected(ticket);
        }
        let longest = match self.random.chance(0.5) {
            true => Duration::from_secs(2),
            false => self.plan.config.coordinator_lease,
        };
        let after = self.random.duration(longest);
        self.after(after, Event::Repair(Repair::StartCoordinator(index)));
        Ok(())
    }

    /// Pauses the process. Its clocks go on.
    pub(in super::super) fn pause_coordinator(&mut self, index: usize, longest: Duration) {
        let process = &mut self.coordinators[index];
        if !process.up || process.paused.is_some() {
            return;
        }
        process.paused = Some(Vec::new());
        let life = process.life;
        self.count("coordinator pause");
        self.tell(|| format!("c{index} is stopped"));
        let after = self.random.duration(longest);
        self.after(after, Event::Repair(Repair::Resume(Host::Coordinator(index), life)));
    }

    pub(in super::super) fn resume_coordinator(&mut self, index: usize, life: u64) {
        let process = &mut self.coordinators[index];
        if process.life != life {
            return;
        }
        if let Some(happenings) = process.paused.take() {
            process.wake = self.now;
            self.tell(|| format!("c{index} goes on"));
            let host = Host::Coordinator(index);
            for happening in happenings {
                self.happens(self.now, host, life, happening);
            }
            self.happens(self.now, host, life, Happening::Turn);
            self.happens(self.now, host, life, Happening::WakeLogs);
        }
    }
}
