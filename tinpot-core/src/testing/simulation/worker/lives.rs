//! Starts, ends and pauses of workers.

use std::time::Duration;

use super::{Later, Node, Pause};
use crate::model::address::Lane;
use crate::model::id::WorkerId;
use crate::protocol::{WorkerMachine, WorkerProfile};
use crate::testing::simulation::clock::{Clock, Moment, NEVER};
use crate::testing::simulation::events::{Event, Happening, Host};
use crate::testing::simulation::trouble::Repair;
use crate::testing::simulation::world::{Checked, World};

/// As in the control loop: the time to wait for kills and acknowledgements after the patience ends,
/// and then for log lines.
const LAST_REPORTS: Duration = Duration::from_secs(5);

/// Returns the queues of a worker: some serve one queue, the others both.
pub(super) fn queues_of(index: usize) -> Vec<String> {
    match index % 5 {
        3 => vec!["other".to_owned()],
        4 => vec!["default".to_owned()],
        _ => Vec::new(),
    }
}

impl World {
    pub(in super::super) fn add_worker(&mut self, index: usize) {
        let machine = self.worker_machine(index, 0, Vec::new());
        self.workers.push(Node {
            up: false,
            life: 0,
            machine,
            sessions: None,
            cut_up: false,
            cut_down: false,
            clock: Clock::new(0, 1),
            wake: NEVER,
            running: Vec::new(),
            entries: Vec::new(),
            wake_logs: NEVER,
            ending: None,
            gone: false,
            paused: None,
            may_pause: 0,
        });
        let after = self.random.duration(Duration::from_millis(50));
        self.after(after, Event::Repair(Repair::StartWorker(index)));
    }

    fn worker_machine(&self, index: usize, life: u64, clean_slate: Vec<WorkerId>) -> WorkerMachine {
        let id = match WorkerId::new(&format!("w{index}-{life}")) {
            Ok(id) => id,
            Err(_) => unreachable!("it is a good id"),
        };
        let name = format!("w{index}");
        let queues = queues_of(index);
        let slots = self.teams.slots_of(index);
        let (groups, version, started_at) = Default::default();
        let (pull, lease) = (self.plan.pulls(index), self.plan.own_lease(index));
        let profile = WorkerProfile {
            id,
            name,
            queues,
            groups,
            slots,
            clean_slate,
            version,
            started_at,
            pull,
            lease,
        };
        WorkerMachine::new(self.plan.worker_config.clone(), profile, self.offer_of(index, 0))
    }

    pub(in super::super) fn start_worker(&mut self, index: usize) -> Checked {
        if self.workers[index].up {
            return Ok(());
        }
        // The operator who starts it may know that the process before it is dead.
        let earlier = self.workers[index].machine.id().clone();
        let clean_slate = if self.random.chance(0.5) { vec![earlier] } else { Vec::new() };
        let life = self.workers[index].life + 1;
        self.tell(|| format!("w{index} starts: life {life}, clean slate {clean_slate:?}"));
        self.trace(3, life);
        let machine = self.worker_machine(index, life, clean_slate);
        let clock = Clock::new(self.now, self.random.rate(self.plan.rates));
        let sessions = self.sealing.as_mut().map(|sealing| sealing.worker(index, machine.id()));
        let node = &mut self.workers[index];
        *node = Node {
            up: true,
            life,
            machine,
            sessions,
            cut_up: node.cut_up,
            cut_down: node.cut_down,
            clock,
            wake: NEVER,
            running: Vec::new(),
            entries: Vec::new(),
            wake_logs: NEVER,
            ending: None,
            gone: false,
            paused: None,
            may_pause: node.may_pause,
        };
        self.work(index, |machine, now, out| machine.link_up(now, out))
    }

    /// Ends the process and everything that it started.
    pub(in super::super) fn crash_worker(&mut self, index: usize) {
        if self.workers[index].up {
            self.count("worker crash");
            self.tell(|| format!("w{index} crashes"));
            self.exit(index);
        }
    }

    /// Ends what is left of the process, and schedules the next start.
    pub(super) fn exit(&mut self, index: usize) {
        let node = &mut self.workers[index];
        node.up = false;
        node.paused = None;
        self.checks.died(node.machine.id(), self.now);
        for running in node.running.drain(..) {
            self.checks.ended(running.execution, running.fence);
        }
        self.tell(|| format!("w{index} is gone"));
        let longest = match self.random.chance(0.5) {
            true => Duration::from_secs(3),
            false => self.plan.config.coordinator_lease * 2,
        };
        let after = if self.calm { Duration::from_secs(1) } else { self.random.duration(longest) };
        self.after(after, Event::Repair(Repair::StartWorker(index)));
    }

    pub(in super::super) fn change_offer(&mut self, index: usize, offer: usize) -> Checked {
        let node = &self.workers[index];
        if !node.up || node.paused.is_some() {
            return Ok(());
        }
        let offer = self.offer_of(index, offer);
        self.work(index, |machine, now, out| machine.offer_changed(now, offer, out))
    }

    pub(in super::super) fn drain_worker(&mut self, index: usize) -> Checked {
        let node = &mut self.workers[index];
        if !node.up || node.paused.is_some() || node.ending.is_some() {
            return Ok(());
        }
        let patience = self.random.duration(Duration::from_secs(20));
        node.ending = Some(node.clock.tick(self.now) + patience + LAST_REPORTS);
        self.tell(|| format!("w{index} drains for {patience:?}"));
        self.work(index, |machine, now, out| machine.drain(now, patience, out))
    }

    /// Kills the attempts that still run, and says goodbye.
    pub(super) fn say_goodbye(&mut self, index: usize) -> Checked {
        let node = &mut self.workers[index];
        if std::mem::replace(&mut node.gone, true) {
            return Ok(());
        }
        for running in node.running.drain(..) {
            self.checks.ended(running.execution, running.fence);
        }
        self.checks.died(node.machine.id(), self.now);
        let goodbye = node.machine.goodbye();
        let until = node.clock.moment(node.clock.tick(self.now) + LAST_REPORTS);
        let life = node.life;
        self.tell(|| format!("w{index} says goodbye"));
        self.send_from(index, Lane::Control, vec![goodbye])?;
        self.happens(until, Host::Worker(index), life, Happening::Exit);
        Ok(())
    }

    /// Pauses the process or its whole machine. Clocks go on.
    pub(in super::super) fn pause_worker(&mut self, index: usize) {
        let node = &mut self.workers[index];
        if !node.up || node.paused.is_some() || self.now < node.may_pause {
            return;
        }
        let all = self.random.chance(0.5);
        let lease = self.plan.longest_patience();
        let longest = match self.plan.in_bounds() {
            true => self.plan.tolerated_pause(index, node.clock.rate()),
            false => lease * 3,
        };
        let life = node.life;
        node.paused = Some(Pause { since: self.now, all, later: Vec::new() });
        let after = self.random.duration(longest);
        // Two pauses within one lease would add up to a longer one.
        node.may_pause = self.now + (after + lease * 3).as_micros() as Moment;
        self.count("worker pause");
        self.tell(|| format!("w{index} is stopped, with what it started: {all}"));
        self.after(after, Event::Repair(Repair::Resume(Host::Worker(index), life)));
    }

    pub(in super::super) fn resume_worker(&mut self, index: usize, life: u64) -> Checked {
        let node = &mut self.workers[index];
        if !node.up || node.life != life {
            return Ok(());
        }
        let Some(pause) = node.paused.take() else { return Ok(()) };
        let slept = self.now - pause.since;
        // A clock that stops while its machine sleeps is out of bounds.
        if pause.all && !self.plan.in_bounds() && self.random.chance(0.5) {
            node.clock.sleep(slept);
        }
        node.wake = self.now;
        self.tell(|| format!("w{index} goes on"));
        self.wake_attempts(index, slept, pause.all);
        for later in pause.later {
            match later {
                Later::Frame(lane, frame) => self.take_frame_at_worker(index, lane, frame)?,
                Later::Parcel(parcel) => self.parcel_arrives(Host::Worker(index), parcel)?,
                Later::Happening(happening) => self.at_worker(index, life, happening)?,
            }
            if !self.workers[index].up {
                return Ok(());
            }
        }
        self.work(index, |_, _, _| {})
    }
}
