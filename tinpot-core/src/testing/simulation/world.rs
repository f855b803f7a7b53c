//! The world: its processes, and what happens to them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::checks::Checks;
use super::client::{Client, Request};
use super::clock::Moment;
use super::coordinator::Process;
use super::events::{Event, Events, Fault, Host, Repair};
use super::plan::{Plan, Scenario};
use super::store::SimulatedStore;
use super::worker::Node;
use super::{Report, Violation};
use crate::action::{Action, Offer};
use crate::testing::Random;

/// What becomes of it when a promise is not kept.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) invariant: &'static str,
    pub(super) what: String,
}

pub(super) type Checked<T = ()> = Result<T, Broken>;

/// A promise that is not kept.
pub(super) fn broken<T>(invariant: &'static str, what: impl Into<String>) -> Checked<T> {
    Err(Broken { invariant, what: what.into() })
}

pub(super) type Tell = Box<dyn FnMut(String)>;

/// How long everything may take to come to an end once nothing goes wrong any more: leases, backoffs, and what still waits.
const BOUND: Duration = Duration::from_secs(1_500);

pub(super) struct World {
    pub(super) seed: u64,
    pub(super) random: Random,
    pub(super) plan: Plan,
    pub(super) now: Moment,
    pub(super) calm: bool,
    pub(super) events: Events,
    pub(super) coordinators: Vec<Process>,
    pub(super) workers: Vec<Node>,
    pub(super) store: SimulatedStore,
    pub(super) client: Client,
    pub(super) checks: Checks,
    pub(super) offer: Arc<Offer>,
    pub(super) report: Report,
    tell: Option<Tell>,
}

impl World {
    pub(super) fn new(seed: u64, scenario: &Scenario, tell: Option<Tell>) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::draw(&mut random, scenario);
        let actions = ["quick", "slow", "rare"].map(|name| match Action::new(name) {
            Ok(action) => action,
            Err(_) => unreachable!("it is a good name"),
        });
        Self {
            seed,
            random,
            plan,
            now: 0,
            calm: false,
            events: Events::default(),
            coordinators: Vec::new(),
            workers: Vec::new(),
            store: SimulatedStore::default(),
            client: Client::default(),
            checks: Checks::default(),
            offer: Arc::new(Offer::of(actions)),
            report: Report { trace: seed, ..Report::default() },
            tell,
        }
    }

    pub(super) fn run(mut self) -> Result<Report, Violation> {
        let result = self.live().and_then(|()| self.last_checks());
        self.report.simulated = Duration::from_micros(self.now);
        match result {
            Ok(()) => Ok(self.report),
            Err(Broken { invariant, what }) => {
                self.tell(|| format!("{invariant} is violated: {what}"));
                let at = Duration::from_micros(self.now);
                Err(Violation { seed: self.seed, at, invariant, what })
            }
        }
    }

    fn live(&mut self) -> Checked {
        self.tell(|| "the plan".to_owned());
        let plan = self.plan.clone();
        self.tell(|| format!("{plan:?}"));
        self.add_coordinator();
        for worker in 0..self.plan.workers {
            self.add_worker(worker);
        }
        self.plan_submissions();
        self.plan_faults();
        let calm_at = self.plan.length.as_micros() as Moment;
        while let Some((at, event)) = self.events.pop(calm_at) {
            self.now = at;
            self.step(event)?;
        }
        self.now = calm_at;
        self.calm_down()?;
        let end = calm_at + BOUND.as_micros() as Moment;
        while !self.everything_has_ended()
            && let Some((at, event)) = self.events.pop(end)
        {
            self.now = at;
            self.step(event)?;
        }
        Ok(())
    }

    fn step(&mut self, event: Event) -> Checked {
        self.report.events += 1;
        match event {
            Event::Frame { to, lane, frame } => self.arrive(to, lane, *frame),
            Event::Turn { coordinator, life } => match self.coordinator_lives(coordinator, life) {
                true => self.turn(coordinator),
                false => Ok(()),
            },
            Event::WakeCoordinator { coordinator, life } => {
                if self.coordinator_lives(coordinator, life)
                    && self.coordinators[coordinator].wake == self.now
                {
                    return self.turn(coordinator);
                }
                Ok(())
            }
            Event::Committed { coordinator, life } => {
                match self.coordinator_lives(coordinator, life) {
                    true => self.committed(coordinator),
                    false => Ok(()),
                }
            }
            Event::Ask { coordinator, life, request } => self.ask(coordinator, life, request),
            Event::WakeWorker { worker, life } => {
                if self.worker_lives(worker, life) && self.workers[worker].wake == self.now {
                    return self.work(worker, |_, _, _| {});
                }
                Ok(())
            }
            Event::AttemptEnds { worker, life, fence } => match self.worker_lives(worker, life) {
                true => self.attempt_ends(worker, fence),
                false => Ok(()),
            },
            Event::Submit { submission } => self.submit(submission),
            Event::Cancel { execution, force } => self.cancel(execution, force),
            Event::Fault(fault) => self.strike(fault),
            Event::Repair(repair) => self.repair(repair),
        }
    }

    fn ask(&mut self, coordinator: usize, life: u64, request: Request) -> Checked {
        if !self.coordinator_lives(coordinator, life) {
            self.unanswered(request);
            return Ok(());
        }
        self.coordinators[coordinator].ask(request);
        self.turn(coordinator)
    }

    fn plan_faults(&mut self) {
        for worker in 0..self.plan.workers {
            self.plan_fault(self.plan.worker_crash_interval, Fault::CrashWorker(worker));
            self.plan_fault(self.plan.cut_interval, Fault::Cut(worker));
        }
        self.plan_fault(self.plan.coordinator_crash_interval, Fault::CrashCoordinator);
        self.plan_fault(self.plan.full_interval, Fault::FillStore);
    }

    /// Lets something go wrong after a while, if it may at all.
    fn plan_fault(&mut self, interval: Duration, fault: Fault) {
        if !interval.is_zero() {
            let after = self.random.interval(interval);
            self.after(after, Event::Fault(fault));
        }
    }

    fn strike(&mut self, fault: Fault) -> Checked {
        if self.calm {
            return Ok(());
        }
        let lease = self.plan.config.coordinator_lease;
        match fault {
            Fault::CrashCoordinator => {
                self.plan_fault(self.plan.coordinator_crash_interval, fault);
                if self.coordinators[0].up {
                    self.crash_coordinator(0)?;
                }
            }
            Fault::CrashWorker(worker) => {
                self.plan_fault(self.plan.worker_crash_interval, fault);
                if self.workers[worker].up {
                    self.crash_worker(worker);
                }
            }
            Fault::Cut(worker) => {
                self.plan_fault(self.plan.cut_interval, fault);
                let (up, down) = (self.random.chance(0.6), self.random.chance(0.6));
                let node = &mut self.workers[worker];
                (node.cut_up, node.cut_down) = (up, down);
                self.count("cut");
                self.tell(|| format!("w{worker} is cut off: up {up}, down {down}"));
                let longest = if self.random.chance(0.5) { lease * 2 } else { lease / 3 };
                let after = self.random.duration(longest);
                self.after(after, Event::Repair(Repair::Heal(worker)));
            }
            Fault::FillStore => {
                self.plan_fault(self.plan.full_interval, fault);
                self.store.full = true;
                self.count("store full");
                self.tell(|| "the store is full".to_owned());
                let after = self.random.duration(lease);
                self.after(after, Event::Repair(Repair::EmptyStore));
            }
        }
        Ok(())
    }

    pub(super) fn repair(&mut self, repair: Repair) -> Checked {
        match repair {
            Repair::StartCoordinator(coordinator) => self.start_coordinator(coordinator),
            Repair::StartWorker(worker) => self.start_worker(worker),
            Repair::Heal(worker) => {
                let node = &mut self.workers[worker];
                (node.cut_up, node.cut_down) = (false, false);
                self.tell(|| format!("w{worker} is not cut off any more"));
                Ok(())
            }
            Repair::EmptyStore => {
                self.store.full = false;
                self.tell(|| "the store has room again".to_owned());
                Ok(())
            }
        }
    }

    /// Nothing goes wrong from now on, and what is broken is repaired.
    fn calm_down(&mut self) -> Checked {
        self.tell(|| "nothing goes wrong from now on".to_owned());
        self.calm = true;
        let plan = &mut self.plan;
        (plan.loss, plan.duplicate, plan.slow_chance) = (0.0, 0.0, 0.0);
        (plan.crash_at_commit, plan.slow_commit_chance) = (0.0, 0.0);
        self.repair(Repair::EmptyStore)?;
        for worker in 0..self.workers.len() {
            self.repair(Repair::Heal(worker))?;
            if !self.workers[worker].up {
                self.start_worker(worker)?;
            }
        }
        for coordinator in 0..self.coordinators.len() {
            if !self.coordinators[coordinator].up {
                self.start_coordinator(coordinator)?;
            }
        }
        Ok(())
    }

    pub(super) fn after(&mut self, after: Duration, event: Event) {
        self.events.push(self.now + after.as_micros() as Moment, event);
    }

    /// Mixes something that happened into the trace.
    pub(super) fn trace(&mut self, what: u64, detail: u64) {
        let mixed = self.report.trace ^ self.now ^ what.rotate_left(48) ^ detail.rotate_left(24);
        let mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.report.trace = mixed ^ (mixed >> 29);
    }

    pub(super) fn count(&mut self, fault: &'static str) {
        *self.report.faults.entry(fault).or_default() += 1;
    }

    /// Tells what happens, if somebody listens.
    pub(super) fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(tell) = &mut self.tell {
            let now = Duration::from_micros(self.now).as_secs_f64();
            tell(format!("{now:>11.6} {}", line()));
        }
    }

    pub(super) fn is_told(&self) -> bool {
        self.tell.is_some()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Coordinator(index) => write!(f, "c{index}"),
            Host::Worker(index) => write!(f, "w{index}"),
        }
    }
}
