//! Faults and their ends.

use std::time::Duration;

use super::events::{Event, Happening, Host};
use super::world::{Checked, World};

/// A fault.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    CrashCoordinator,
    PauseCoordinator,
    SecondCoordinator,
    CrashWorker(usize),
    PauseWorker(usize),
    Drain(usize),
    /// A pause of a queue.
    Pause,
    Offer(usize),
    Cut(usize),
    Broker,
    /// A lie of one worker.
    Lie,
    FillStore,
    CopyStore,
    PutStoreBack,
}

/// The end of a fault.
#[derive(Clone, Copy, Debug)]
pub(super) enum Repair {
    StartCoordinator(usize),
    StartWorker(usize),
    /// The end of a pause, for that start of the process.
    Resume(Host, u64),
    Heal(usize),
    Broker,
    EmptyStore,
}

impl World {
    pub(super) fn plan_faults(&mut self) {
        for worker in 0..self.plan.workers {
            for fault in [
                Fault::CrashWorker(worker),
                Fault::PauseWorker(worker),
                Fault::Drain(worker),
                Fault::Offer(worker),
                Fault::Cut(worker),
            ] {
                self.plan_fault(fault);
            }
        }
        for fault in [
            Fault::CrashCoordinator,
            Fault::PauseCoordinator,
            Fault::SecondCoordinator,
            Fault::Broker,
            Fault::FillStore,
            Fault::Pause,
            Fault::Lie,
        ] {
            self.plan_fault(fault);
        }
        if let Some((copied, put_back)) = self.plan.restore {
            self.after(copied, Event::Fault(Fault::CopyStore));
            self.after(put_back, Event::Fault(Fault::PutStoreBack));
        }
    }

    /// Schedules the next fault of a kind, if the plan allows any.
    fn plan_fault(&mut self, fault: Fault) {
        let plan = &self.plan;
        let interval = match fault {
            Fault::CrashCoordinator => plan.coordinator_crash_interval,
            Fault::PauseCoordinator => plan.coordinator_pause_interval,
            Fault::SecondCoordinator => plan.second_interval,
            Fault::CrashWorker(_) => plan.worker_crash_interval,
            Fault::PauseWorker(_) => plan.worker_pause_interval,
            Fault::Drain(_) => plan.drain_interval,
            Fault::Pause => plan.pause_interval,
            Fault::Offer(_) => plan.offer_interval,
            Fault::Cut(_) => plan.cut_interval,
            Fault::Broker => plan.broker_interval,
            Fault::Lie => plan.lie_interval,
            Fault::FillStore => plan.full_interval,
            Fault::CopyStore | Fault::PutStoreBack => Duration::ZERO,
        };
        if !interval.is_zero() {
            let after = self.random.interval(interval);
            self.after(after, Event::Fault(fault));
        }
    }

    pub(super) fn strike(&mut self, fault: Fault) -> Checked {
        if self.calm {
            return Ok(());
        }
        self.plan_fault(fault);
        let lease = self.plan.config.coordinator_lease;
        let current = self.coordinators.len() - 1;
        match fault {
            Fault::CrashCoordinator => self.crash_coordinator(current),
            Fault::PauseCoordinator => {
                let longest = if self.random.chance(0.5) { lease * 2 } else { lease / 10 };
                self.pause_coordinator(current, longest);
                Ok(())
            }
            Fault::SecondCoordinator => {
                self.count("second coordinator");
                self.tell(|| "another coordinator opens the store".to_owned());
                // A failover starts a second coordinator only when the first cannot be reached.
                if self.random.chance(0.5) {
                    self.pause_coordinator(current, lease);
                } else {
                    self.coordinators[current].deaf = self.random.part(1.0);
                }
                self.add_coordinator();
                Ok(())
            }
            Fault::CrashWorker(worker) => {
                self.crash_worker(worker);
                Ok(())
            }
            Fault::PauseWorker(worker) => {
                self.pause_worker(worker);
                Ok(())
            }
            Fault::Drain(worker) => {
                self.count("drain");
                if self.random.chance(0.5) {
                    self.send_home(self.workers[worker].machine.id().clone());
                    return Ok(());
                }
                self.drain_worker(worker)
            }
            Fault::Pause => {
                self.count("queue paused");
                let queue = ["default", "other"][self.random.below(2)];
                self.set_paused(queue, true);
                let after = self.random.duration(lease);
                self.after(after, Event::SetPaused { queue, paused: false });
                Ok(())
            }
            Fault::Offer(worker) => {
                let offer = self.random.below(self.offers.len());
                self.change_offer(worker, offer)
            }
            Fault::Cut(worker) => {
                self.count("cut");
                let (up, down) = (self.random.chance(0.6), self.random.chance(0.6));
                let node = &mut self.workers[worker];
                (node.cut_up, node.cut_down) = (up, down);
                self.tell(|| format!("w{worker} is cut off: up {up}, down {down}"));
                let longest = if self.random.chance(0.5) { lease * 2 } else { lease / 3 };
                let after = self.random.duration(longest);
                self.after(after, Event::Repair(Repair::Heal(worker)));
                Ok(())
            }
            Fault::Broker => {
                self.count("broker restart");
                self.broker_down = true;
                self.tell(|| "the broker is down".to_owned());
                let longest = if self.random.chance(0.5) { lease } else { lease / 20 };
                let after = self.random.duration(longest);
                self.after(after, Event::Repair(Repair::Broker));
                Ok(())
            }
            Fault::Lie => self.lie(),
            Fault::FillStore => {
                self.count("store full");
                self.store.full = true;
                self.tell(|| "the store is full".to_owned());
                let after = self.random.duration(lease);
                self.after(after, Event::Repair(Repair::EmptyStore));
                Ok(())
            }
            Fault::CopyStore => {
                self.tell(|| "the store is copied".to_owned());
                self.store.copy();
                Ok(())
            }
            Fault::PutStoreBack => self.put_store_back(),
        }
    }

    pub(super) fn repair(&mut self, repair: Repair) -> Checked {
        match repair {
            Repair::StartCoordinator(coordinator) => self.start_coordinator(coordinator),
            Repair::StartWorker(worker) => self.start_worker(worker),
            Repair::Resume(Host::Coordinator(index), life) => {
                self.resume_coordinator(index, life);
                Ok(())
            }
            Repair::Resume(Host::Worker(index), life) => self.resume_worker(index, life),
            Repair::Heal(worker) => {
                let node = &mut self.workers[worker];
                (node.cut_up, node.cut_down) = (false, false);
                self.tell(|| format!("w{worker} is not cut off any more"));
                Ok(())
            }
            Repair::Broker => {
                self.broker_is_up();
                Ok(())
            }
            Repair::EmptyStore => {
                self.store.full = false;
                self.tell(|| "the store has room again".to_owned());
                Ok(())
            }
        }
    }

    /// Reconnects every process to the broker, sooner or later.
    fn broker_is_up(&mut self) {
        if !std::mem::take(&mut self.broker_down) {
            return;
        }
        self.tell(|| "the broker is up".to_owned());
        let lives = self.coordinators.iter().map(|process| process.life);
        let coordinators = lives.enumerate().map(|(index, life)| (Host::Coordinator(index), life));
        let lives = self.workers.iter().map(|node| node.life);
        let workers = lives.enumerate().map(|(index, life)| (Host::Worker(index), life));
        let all: Vec<(Host, u64)> = coordinators.chain(workers).collect();
        for (host, life) in all {
            let after = self.random.duration(Duration::from_secs(3));
            self.after(after, Event::To(host, life, Happening::LinkUp));
        }
    }

    /// Restores the store from its copy, while no coordinator runs.
    fn put_store_back(&mut self) -> Checked {
        self.count("store restored");
        for index in 0..self.coordinators.len() {
            self.crash_coordinator(index)?;
        }
        self.tell(|| "the store is put back".to_owned());
        self.store.put_back();
        self.checks.put_back(&self.store);
        self.client_forgets();
        Ok(())
    }

    /// Ends all faults and repairs what is broken.
    pub(super) fn calm_down(&mut self) -> Checked {
        self.tell(|| "nothing goes wrong from now on".to_owned());
        self.calm = true;
        let plan = &mut self.plan;
        (plan.loss, plan.duplicate, plan.slow_chance) = (0.0, 0.0, 0.0);
        (plan.replay, plan.spoil, plan.unable) = (0.0, 0.0, 0.0);
        (plan.crash_at_commit, plan.slow_commit_chance) = (0.0, 0.0);
        self.repair(Repair::EmptyStore)?;
        for queue in ["default", "other"] {
            // This is later than any earlier request.
            self.after(Duration::from_secs(1), Event::SetPaused { queue, paused: false });
        }
        self.deploy_for_good();
        self.broker_is_up();
        for index in 0..self.workers.len() {
            self.repair(Repair::Heal(index))?;
            self.resume_worker(index, self.workers[index].life)?;
            if !self.workers[index].up {
                self.start_worker(index)?;
            }
            self.change_offer(index, 0)?;
        }
        self.plan_sessions();
        let current = self.coordinators.len() - 1;
        for index in 0..=current {
            self.resume_coordinator(index, self.coordinators[index].life);
            // A coordinator that shared its store may not know what the others did.
            if current > 0 {
                self.crash_coordinator(index)?;
            }
        }
        if !self.coordinators[current].up {
            self.start_coordinator(current)?;
        }
        Ok(())
    }
}
