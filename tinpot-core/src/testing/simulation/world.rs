//! The world: its processes and events.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::checks::Checks;
use super::client::Client;
use super::clock::Moment;
use super::coordinator::Process;
use super::deploys::Deploys;
use super::events::{Event, Events, Happening, Host};
use super::plain::PlainWorkers;
use super::plan::{Plan, Scenario};
use super::sealing::Sealing;
use super::store::SimulatedStore;
use super::teams::Teams;
use super::worker::Node;
use super::{Report, Violation};
use crate::model::action::{Action, ActionSet};
use crate::testing::Random;

/// The result of a step or a check: a broken invariant is an error.
#[derive(Debug)]
pub(super) struct Broken {
    invariant: &'static str,
    what: String,
}

pub(super) type Checked<T = ()> = Result<T, Broken>;

/// Returns the error for a broken invariant.
pub(super) fn broken<T>(invariant: &'static str, what: impl Into<String>) -> Checked<T> {
    Err(Broken { invariant, what: what.into() })
}

pub(super) type Tell = Box<dyn FnMut(String)>;

/// The longest time until everything ends after the last fault: leases, backoffs and waiting
/// executions.
const BOUND: Duration = Duration::from_secs(1_500);

pub(super) struct World {
    seed: u64,
    pub(super) random: Random,
    pub(super) plan: Plan,
    pub(super) now: Moment,
    /// True if faults no longer occur.
    pub(super) calm: bool,
    pub(super) events: Events,
    /// The coordinators. Clients ask the last one.
    pub(super) coordinators: Vec<Process>,
    pub(super) workers: Vec<Node>,
    pub(super) store: SimulatedStore,
    pub(super) client: Client,
    pub(super) checks: Checks,
    /// The keys, and the frames on their way, if frames are sealed.
    pub(super) sealing: Option<Sealing>,
    pub(super) plain: PlainWorkers,
    pub(super) deploys: Deploys,
    pub(super) teams: Teams,
    /// The action sets of workers: everything, and less.
    pub(super) offers: [Arc<ActionSet>; 2],
    /// True if the broker cannot be reached.
    pub(super) broker_down: bool,
    pub(super) report: Report,
    tell: Option<Tell>,
}

fn offer(names: &[&str]) -> Arc<ActionSet> {
    let action = |name: &&str| match Action::new(*name) {
        Ok(action) => action,
        Err(_) => unreachable!("it is a good name"),
    };
    Arc::new(ActionSet::new(names.iter().map(action)))
}

impl World {
    pub(super) fn new(seed: u64, scenario: &Scenario, tell: Option<Tell>) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::draw(&mut random, scenario);
        let sealed = scenario.sealed.unwrap_or(seed % 4 == 3);
        let teams = Teams::new(seed, sealed);
        let sealing = sealed.then(|| Sealing::new(seed, teams));
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
            sealing,
            plain: PlainWorkers::new(seed, sealed),
            deploys: Deploys::new(seed, sealed),
            teams,
            offers: [
                offer(&["parent", "quick", "rare", "slow"]),
                offer(&["parent", "quick", "slow"]),
            ],
            broker_down: false,
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
        let plan = self.plan.clone();
        self.tell(|| format!("{plan:?}"));
        self.checks.in_bounds = plan.in_bounds();
        self.checks.plain = self.plain;
        self.checks.max_depth = plan.config.max_depth;
        self.add_coordinator();
        for worker in 0..self.plan.workers {
            self.add_worker(worker);
        }
        self.plan_submissions();
        self.plan_deploys();
        self.plan_faults();
        self.plan_adversary();
        self.plan_rotations();
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
            // A hello of before would hide what its worker offers until the next one, and there need
            // not be one.
            Event::Frame { again: Some(_), .. } if self.calm => Ok(()),
            Event::Frame { to, lane, frame, again } => self.arrive(to, lane, *frame, again),
            Event::Parcel { to, parcel } => self.parcel_arrives(to, parcel),
            Event::Adversary => self.adversary_acts(),
            Event::Rotate => self.rotate_a_key(),
            Event::KeyEnds(key) => {
                self.key_ends(&key);
                Ok(())
            }
            Event::Sessions => self.all_have_sessions(),
            Event::To(Host::Coordinator(index), life, happening) => {
                self.at_coordinator(index, life, happening)
            }
            Event::To(Host::Worker(index), life, happening) => {
                self.at_worker(index, life, happening)
            }
            Event::Submit { submission } => self.submit(submission),
            Event::Cancel { execution, force } => self.cancel(execution, force),
            Event::SetPaused { queue, paused } => {
                self.set_paused(queue, paused);
                Ok(())
            }
            Event::Deploy { number } => {
                self.deploy(number);
                Ok(())
            }
            Event::Fault(fault) => self.strike(fault),
            Event::Repair(repair) => self.repair(repair),
        }
    }

    pub(super) fn after(&mut self, after: Duration, event: Event) {
        self.events.push(self.now + after.as_micros() as Moment, event);
    }

    pub(super) fn happens(&mut self, at: Moment, host: Host, life: u64, happening: Happening) {
        self.events.push(at, Event::To(host, life, happening));
    }

    /// Mixes an event into the trace.
    pub(super) fn trace(&mut self, what: u64, detail: u64) {
        let mixed = self.report.trace ^ self.now ^ what.rotate_left(48) ^ detail.rotate_left(24);
        let mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.report.trace = mixed ^ (mixed >> 29);
    }

    pub(super) fn count(&mut self, fault: &'static str) {
        *self.report.faults.entry(fault).or_default() += 1;
    }

    /// Passes a line to the listener, if there is one.
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
