//! A worker's process: what its control loop does with the machine, and the attempts that run there.

use std::time::Duration;

use super::clock::{Clock, Moment, NEVER};
use super::events::{Event, Host, Repair};
use super::world::{Checked, World};
use crate::execution;
use crate::executor::{Stop, StopReason};
use crate::id::{ExecutionId, WorkerId};
use crate::json::Json;
use crate::protocol::{Dispatch, Fence, Frame, Tick, WorkerEffect, WorkerMachine, WorkerProfile};
use crate::transport::{Address, Lane};

/// One process; every start of it is another life.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) up: bool,
    pub(super) life: u64,
    pub(super) machine: WorkerMachine,
    pub(super) wake: Moment,
    /// Nothing from it arrives.
    pub(super) cut_up: bool,
    /// Nothing arrives there.
    pub(super) cut_down: bool,
    clock: Clock,
    running: Vec<Running>,
}

/// An attempt that is alive.
#[derive(Debug)]
struct Running {
    fence: Fence,
    execution: ExecutionId,
    /// It does not listen to the request to end.
    stubborn: bool,
    ends: Moment,
    outcome: execution::Outcome,
    asked: bool,
}

impl World {
    pub(super) fn add_worker(&mut self, index: usize) {
        let machine = self.worker_machine(index, 0, Vec::new());
        self.workers.push(Node {
            up: false,
            life: 0,
            machine,
            wake: NEVER,
            cut_up: false,
            cut_down: false,
            clock: Clock::new(0, 1),
            running: Vec::new(),
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
        // Some serve one queue only; nobody else serves all of both.
        let queues = match index % 5 {
            3 => vec!["other".to_owned()],
            4 => vec!["default".to_owned()],
            _ => Vec::new(),
        };
        let slots = 1 + (index as u32 % 3);
        let profile = WorkerProfile { id, name, queues, groups: Vec::new(), slots, clean_slate };
        WorkerMachine::new(self.plan.config.clone(), profile, self.offer.clone())
    }

    pub(super) fn worker_lives(&self, index: usize, life: u64) -> bool {
        self.workers[index].up && self.workers[index].life == life
    }

    pub(super) fn start_worker(&mut self, index: usize) -> Checked {
        if self.workers[index].up {
            return Ok(());
        }
        // Whoever starts it may know that the one before is dead.
        let earlier = self.workers[index].machine.id().clone();
        let clean_slate = if self.random.chance(0.5) { vec![earlier] } else { Vec::new() };
        let life = self.workers[index].life + 1;
        self.tell(|| format!("w{index} starts: life {life}, clean slate {clean_slate:?}"));
        self.trace(3, life);
        let machine = self.worker_machine(index, life, clean_slate);
        let clock = Clock::new(self.now, self.random.rate(self.plan.rates));
        let node = &mut self.workers[index];
        (node.up, node.life, node.machine, node.clock) = (true, life, machine, clock);
        (node.wake, node.running) = (NEVER, Vec::new());
        self.work(index, |machine, now, out| machine.link_up(now, out))
    }

    /// The process is gone, and with it everything that it started.
    pub(super) fn crash_worker(&mut self, index: usize) {
        self.count("worker crash");
        self.tell(|| format!("w{index} crashes"));
        let node = &mut self.workers[index];
        node.up = false;
        for running in node.running.drain(..) {
            self.checks.ended(running.execution, running.fence);
        }
        let longest = if self.random.chance(0.5) {
            Duration::from_secs(3)
        } else {
            self.plan.config.coordinator_lease * 2
        };
        let after = self.random.duration(longest);
        self.after(after, Event::Repair(Repair::StartWorker(index)));
    }

    /// One round of the control loop.
    pub(super) fn work(
        &mut self,
        index: usize,
        act: impl FnOnce(&mut WorkerMachine, Tick, &mut Vec<WorkerEffect>),
    ) -> Checked {
        let node = &mut self.workers[index];
        let now = node.clock.tick(self.now);
        let mut effects = Vec::new();
        act(&mut node.machine, now, &mut effects);
        node.machine.tick(now, &mut effects);
        let mut messages = Vec::new();
        for effect in effects {
            match effect {
                WorkerEffect::Send(message) => {
                    self.checks.reports(&message);
                    messages.push(message);
                }
                WorkerEffect::Start(dispatch) => self.start(index, &dispatch)?,
                WorkerEffect::Stop(fence, stop) => self.stop(index, fence, stop),
                WorkerEffect::Forget(_) => {}
            }
        }
        if !messages.is_empty() {
            let from = Some(self.workers[index].machine.id().clone());
            let frame = Frame { from, to: None, messages };
            self.send(Host::Worker(index), &Address::Coordinator, Lane::Control, frame)?;
        }
        self.arm_worker(index);
        Ok(())
    }

    fn arm_worker(&mut self, index: usize) {
        let node = &mut self.workers[index];
        let Some(tick) = node.machine.wake_at() else { return };
        let wake = node.clock.moment(tick).max(self.now + 1);
        if wake < node.wake || node.wake <= self.now {
            node.wake = wake;
            let life = node.life;
            if wake < NEVER {
                self.events.push(wake, Event::WakeWorker { worker: index, life });
            }
        }
    }

    fn start(&mut self, index: usize, dispatch: &Dispatch) -> Checked {
        let Dispatch { fence, execution, .. } = *dispatch;
        self.report.starts += 1;
        self.trace(4, fence.number);
        self.tell(|| format!("w{index} runs {fence}, attempt {} of {execution}", dispatch.attempt));
        let id = self.workers[index].machine.id();
        self.checks.started(id, dispatch, &self.store)?;
        let random = &mut self.random;
        let outcome = if random.chance(0.7) {
            execution::Outcome::Succeeded(Json::null())
        } else {
            execution::Outcome::failed("no")
        };
        let longest = match &*dispatch.action {
            "quick" => Duration::from_millis(8),
            _ if random.chance(0.8) => Duration::from_secs(4),
            _ => Duration::from_secs(60),
        };
        let hangs = dispatch.timeout.is_some() && random.chance(0.1);
        let ends = if hangs {
            NEVER
        } else {
            self.now + 500 + random.duration(longest).as_micros() as Moment
        };
        let stubborn = random.chance(self.plan.stubborn);
        let node = &mut self.workers[index];
        node.running.push(Running { fence, execution, stubborn, ends, outcome, asked: false });
        if ends < NEVER {
            let life = node.life;
            self.events.push(ends, Event::AttemptEnds { worker: index, life, fence });
        }
        Ok(())
    }

    fn stop(&mut self, index: usize, fence: Fence, stop: Stop) {
        self.tell(|| format!("w{index} asks {fence} to end: {stop:?}"));
        let node = &mut self.workers[index];
        let (life, clock) = (node.life, node.clock);
        let Some(running) = node.running.iter_mut().find(|running| running.fence == fence) else {
            return;
        };
        let killed = clock.moment(clock.tick(self.now) + stop.grace);
        let listens = !running.stubborn && !running.asked;
        let at = if listens {
            // It cleans up for a while.
            self.now + self.random.duration(stop.grace / 4).as_micros() as Moment
        } else {
            killed
        };
        // Now and then it is done in spite of it.
        let done = stop.reason == StopReason::Cancelled && self.random.chance(0.1);
        running.asked = true;
        if at < running.ends {
            running.ends = at;
            if !done {
                running.outcome = execution::Outcome::Cancelled;
            }
            self.events.push(at, Event::AttemptEnds { worker: index, life, fence });
        }
    }

    pub(super) fn attempt_ends(&mut self, index: usize, fence: Fence) -> Checked {
        let node = &mut self.workers[index];
        let Some(place) = node
            .running
            .iter()
            .position(|running| running.fence == fence && running.ends == self.now)
        else {
            return Ok(());
        };
        let Running { execution, outcome, .. } = node.running.swap_remove(place);
        self.tell(|| format!("w{index}: {fence} has ended: {outcome:?}"));
        self.checks.ended(execution, fence);
        self.work(index, |machine, now, out| machine.finished(now, fence, outcome, 0, out))
    }
}
