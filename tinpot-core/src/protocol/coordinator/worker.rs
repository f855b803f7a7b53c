//! The workers as the coordinator knows them: identity, leases and held attempts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::catalogue::Standing;
use super::environments;
use super::introduction::{ACTIONS, DEAD, HelloRate, RUNTIMES, cut_problems, said_bytes};
use super::queue::LaneKey;
use super::runtimes::Runtimes;
use super::terms::Terms;
use super::worker_load::Load;
use super::{ActiveState, CoordinatorEffect, CoordinatorMachine, Timer};
use crate::model::action::{Action, LoadError};
use crate::model::address::Address;
use crate::model::digest::Digest;
use crate::model::fence::Fence;
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::outcome::Outcome;
use crate::model::python_environment::PythonEnvironment;
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::model::visible::DEFAULT_TEAM;
use crate::protocol::message::{Beat, BeatAck, Goodbye, Hello, Message, WhoIsThere};
use crate::protocol::tick::Tick;
use crate::refusals::Refusal;

#[derive(Debug)]
pub(super) struct WorkerEntry {
    /// The number that identifies the worker in timers.
    pub(super) number: u64,
    pub(super) name: String,
    pub(super) queues: BTreeSet<String>,
    pub(super) groups: Vec<String>,
    /// The teams that its actions belong to; empty for the default team.
    teams: Vec<Arc<str>>,
    pub(super) slots: u32,
    pub(super) actions: BTreeSet<Arc<str>>,
    /// The actions that the worker has, and does not offer because it cannot start them.
    pub(super) withheld: BTreeSet<Arc<str>>,
    pub(super) runtimes: Runtimes,
    pub(super) load_errors: Vec<LoadError>,
    environments: Arc<[PythonEnvironment]>,
    /// The last beat received, from any epoch.
    heard: u64,
    /// If true, the last beat showed that the worker follows a coordinator of another store.
    follows_other: bool,
    /// The last beat that showed that the worker follows this epoch. 0 before the first: until then
    /// nothing can be dispatched.
    pub(super) beat: u64,
    pub(super) beat_at: Tick,
    /// The number of attempts that it may still be granted for its latest beat; `None` if it need
    /// not ask.
    pub(super) credit: Option<u32>,
    /// The terms of its lease; `None` before its first hello.
    pub(super) terms: Option<Terms>,
    pub(super) expires: Tick,
    /// If true, the worker rejected a dispatch that it should have accepted. It is granted nothing
    /// until its next beat.
    pub(super) paused: bool,
    pub(super) load: Load,
    /// The number up to which every fence of this epoch is settled for this worker.
    pub(super) last_granted: u64,
    pub(super) resend_armed: bool,
    pub(super) introduced: bool,
    /// The number of the hello that counts.
    pub(super) hello: u64,
    /// If true, the worker was asked to drain.
    pub(super) draining: bool,
    /// If true, others can read what is sent to the worker: it gets no secret parameters.
    pub(super) plain: bool,
    version: String,
    started_at: Option<Timestamp>,
    /// If true, the worker has missed beats and may be dead: a new attempt could wait until its
    /// lease ends.
    pub(super) silent: bool,
    /// The time at which the last beat was received, from any epoch.
    heard_at: Tick,
    /// The worker that declared this one dead, and when.
    declared_dead: Option<(WorkerId, Tick)>,
    pub(super) hello_rate: HelloRate,
    /// The size of what the worker says of itself, in bytes.
    pub(super) bytes: usize,
}

/// A live worker and its attempts.
///
/// ```
/// # use tinpot_core::{Failure, FunctionExecutor, local};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let executor = FunctionExecutor::builder()
/// #     .action("tick", |_, ()| async { Ok::<_, Failure>("tock") })
/// #     .build()?;
/// # let tinpot = local(executor).await?;
/// for worker in tinpot.workers().await? {
///     println!("{}: {} of {} slots", worker.name, worker.running.len(), worker.slots);
///     for error in &worker.load_errors {
///         println!("  {}: {}", error.place, error.message);
///     }
///     assert!(worker.actions.iter().any(|action| &**action == "tick"));
/// }
/// # tinpot.shutdown(std::time::Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// The id of the worker, new after every start.
    pub id: WorkerId,
    /// The name of the worker.
    pub name: String,
    /// The queues that the worker serves; empty means all.
    pub queues: Vec<String>,
    /// The groups that the worker is limited to; empty means all.
    pub groups: Vec<String>,
    /// The teams that the worker's actions belong to.
    pub teams: Vec<Arc<str>>,
    /// The number of attempts that the worker runs at once.
    pub slots: u32,
    /// The [keys](crate::Action::key) of the worker's actions.
    pub actions: Vec<Arc<str>>,
    /// The runtimes of the worker, by which it runs deployed actions.
    pub runtimes: Vec<Arc<str>>,
    /// The load errors of the worker.
    pub load_errors: Vec<LoadError>,
    /// The Python environments of the worker, as it describes them.
    pub environments: Arc<[PythonEnvironment]>,
    /// The executions whose attempts the worker holds.
    pub executions: Vec<ExecutionId>,
    /// The attempts that the worker holds, oldest first.
    pub running: Vec<RunningAttempt>,
    /// The time since the worker was last heard from.
    pub silent_for: Duration,
    /// If true, the worker is granted nothing new, and ends when its attempts have ended.
    pub draining: bool,
    /// The version of the worker's program; empty if unknown.
    pub version: String,
    /// The start of the worker by its own clock, if known.
    pub started_at: Option<Timestamp>,
}

/// An attempt that a worker holds.
///
/// [`WorkerInfo`] has an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunningAttempt {
    /// The execution of the attempt.
    pub execution: ExecutionId,
    /// The action of the attempt.
    pub action: Arc<str>,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The time at which the attempt was granted.
    pub since: Timestamp,
    /// The time since the attempt was granted.
    pub held_for: Duration,
    /// If true, the worker has reported that the attempt runs. Attempts that end at once, or still
    /// wait for a slot there, are never reported as running.
    pub started: bool,
    /// If true, the attempt waits for a child and takes no slot meanwhile.
    pub waits: bool,
}

/// The most attempts of a beat that are looked at: more than any worker holds.
const HELD: usize = 4_096;
/// The number of beats that a worker must have missed to be declared dead by its successor.
const BEATS_OF_THE_DEAD: u32 = 3;

/// The maximum length of a stored version, in characters.
const VERSION_CHARS: usize = 64;

/// Returns the actions that a worker of these teams offers, each once for every team.
fn of_teams(mut offered: Vec<Arc<Action>>, teams: &[Arc<str>]) -> Vec<Arc<Action>> {
    if teams.is_empty() {
        for action in offered.iter_mut().filter(|action| !action.team.is_empty()) {
            Arc::make_mut(action).team.clear();
        }
        return offered;
    }
    let of_team = |action: &Arc<Action>, team: &Arc<str>| {
        let team = if **team == *DEFAULT_TEAM { "" } else { &**team };
        Arc::new(Action { team: team.to_owned(), ..(**action).clone() })
    };
    let every = |action| teams.iter().map(move |team| of_team(action, team));
    offered.iter().flat_map(every).collect()
}

fn shortened(version: &str) -> String {
    version.chars().filter(|character| !character.is_control()).take(VERSION_CHARS).collect()
}

impl WorkerEntry {
    /// Returns true if the worker has the action and cannot start it. A worker that offers nothing
    /// may have any action: the coordinator may have been restarted since it offered some.
    pub(super) fn may_withhold(&self, lane: &LaneKey, queue: &str) -> bool {
        match &lane.runtime {
            Some(runtime) => !self.runtimes.has(runtime) && self.serves(queue),
            None => self.withheld.contains(&lane.action) || (self.is_blank() && self.serves(queue)),
        }
    }

    /// Returns true if the worker offers nothing because it cannot start anything.
    pub(super) fn is_blank(&self) -> bool {
        let offers = !self.actions.is_empty() || !self.runtimes.is_empty();
        !offers && self.withheld.is_empty() && self.why_withheld().is_some()
    }

    /// Returns the reason why the worker cannot start actions that it has.
    pub(super) fn why_withheld(&self) -> Option<&str> {
        let blocking = self.load_errors.iter().find(|problem| problem.blocking)?;
        blocking.message.lines().next()
    }

    /// Returns true if the worker has said that it cannot load a bundle.
    pub(super) fn cannot_load(&self, bundle: &Digest) -> bool {
        self.load_errors.iter().any(|problem| problem.bundle.as_ref() == Some(bundle))
    }

    /// Returns the bundles that the worker cannot load.
    pub(super) fn broken_bundles(&self) -> BTreeSet<&Digest> {
        self.load_errors.iter().filter_map(|problem| problem.bundle.as_ref()).collect()
    }

    /// Returns the teams that its actions belong to.
    pub(super) fn team_names(&self) -> impl Iterator<Item = &str> {
        let default = self.teams.is_empty().then_some(DEFAULT_TEAM);
        self.teams.iter().map(|team| &**team).chain(default)
    }

    /// Returns true if the worker serves this team, of several, and no other.
    pub(super) fn is_of(&self, team: &str) -> bool {
        matches!(&self.teams[..], [own] if **own == *team)
    }

    pub(super) fn serves(&self, queue: &str) -> bool {
        self.queues.is_empty() || self.queues.contains(queue)
    }

    /// Returns the standing of what the worker offers for queues that it serves.
    pub(super) fn standing(&self) -> Standing {
        match (self.slots > 0 && !self.draining, self.silent) {
            (false, _) => Standing::Draining,
            (true, true) => Standing::Silent,
            (true, false) => Standing::Available,
        }
    }

    /// Returns the actions that this coordinator can run on the worker.
    fn at_work(&self) -> impl Iterator<Item = &Arc<str>> {
        self.actions.iter().filter(|_| !self.follows_other)
    }

    /// Returns the load errors, and the problem that another coordinator has the worker.
    fn problems(&self) -> Vec<LoadError> {
        let other = self.follows_other.then(|| {
            let message = "it follows another coordinator in this namespace, which has another \
                           store, and gets no work from this one: stop one of the two, or give each \
                           a namespace of its own";
            LoadError::new("namespace", message).blocking()
        });
        other.into_iter().chain(self.load_errors.iter().cloned()).collect()
    }

    /// Returns the number up to which no fence of `epoch` will be dispatched to the worker again.
    pub(super) fn settled(&self, epoch: crate::protocol::Epoch) -> u64 {
        let oldest = self.load.in_flight.keys().find(|fence| fence.epoch == epoch);
        oldest.map_or(self.last_granted, |fence| fence.number - 1)
    }
}

impl CoordinatorMachine {
    /// Returns the workers that have introduced themselves, with their names.
    pub fn worker_names(&self) -> impl Iterator<Item = (&WorkerId, &str)> {
        let introduced = self.workers.iter().filter(|(_, worker)| worker.introduced);
        introduced.map(|(id, worker)| (id, worker.name.as_ref()))
    }

    /// Returns true if a worker has an entry: it was heard, and did not go since.
    pub fn knows(&self, id: &WorkerId) -> bool {
        self.workers.contains_key(id)
    }

    /// Returns the live workers.
    pub fn workers(&self, now: Tick) -> Vec<WorkerInfo> {
        let time = self.time(now);
        let running = |load: &Load| {
            let attempts = load.in_flight.iter();
            attempts.filter_map(|(fence, id)| self.running(time, load, *fence, *id)).collect()
        };
        let view = |(id, worker): (&WorkerId, &WorkerEntry)| WorkerInfo {
            id: id.clone(),
            name: worker.name.clone(),
            queues: worker.queues.iter().cloned().collect(),
            groups: worker.groups.clone(),
            teams: worker.team_names().map(Arc::from).collect(),
            slots: worker.slots,
            actions: worker.at_work().cloned().collect(),
            runtimes: worker.runtimes.names().cloned().collect(),
            load_errors: worker.problems(),
            environments: worker.environments.clone(),
            executions: worker.load.in_flight.values().copied().collect(),
            running: running(&worker.load),
            silent_for: now.since(worker.beat_at),
            draining: worker.draining || worker.slots == 0,
            version: worker.version.clone(),
            started_at: worker.started_at,
        };
        self.workers.iter().filter(|(_, worker)| worker.introduced).map(view).collect()
    }

    fn running(
        &self,
        time: Timestamp,
        load: &Load,
        fence: Fence,
        id: ExecutionId,
    ) -> Option<RunningAttempt> {
        let active = self.active.get(&id)?;
        let ActiveState::Granted(grant) = &active.state else { return None };
        Some(RunningAttempt {
            execution: id,
            action: active.execution.action.clone(),
            attempt: active.tries + 1,
            since: grant.since,
            held_for: Duration::from_micros(time.0.saturating_sub(grant.since.0)),
            started: grant.started,
            waits: load.is_parked(fence),
        })
    }

    pub(super) fn worker_entry(&mut self, now: Tick, id: &WorkerId) -> &mut WorkerEntry {
        if !self.workers.contains_key(id) {
            self.last_worker_number += 1;
            let number = self.last_worker_number;
            self.worker_numbers.insert(number, id.clone());
            let expires = now + self.config.coordinator_lease;
            self.timers.insert((expires, Timer::Expiry(number)));
            self.timers.insert((now + self.config.beat_interval * 2, Timer::Silence(number)));
            let worker = WorkerEntry {
                number,
                name: id.to_string(),
                queues: BTreeSet::new(),
                groups: Vec::new(),
                teams: Vec::new(),
                slots: 0,
                actions: BTreeSet::new(),
                withheld: BTreeSet::new(),
                runtimes: Runtimes::default(),
                load_errors: Vec::new(),
                environments: Arc::default(),
                heard: self.departed.heard(id),
                follows_other: false,
                beat: 0,
                beat_at: now,
                credit: None,
                terms: None,
                expires,
                paused: false,
                load: Load::default(),
                last_granted: self.last_number,
                resend_armed: false,
                introduced: false,
                hello: 0,
                draining: false,
                plain: false,
                version: String::new(),
                started_at: None,
                silent: false,
                heard_at: now,
                declared_dead: None,
                hello_rate: HelloRate::new(now),
                bytes: 0,
            };
            self.workers.insert(id.clone(), worker);
            *self.names.entry(id.name().to_owned()).or_default() += 1;
        }
        match self.workers.get_mut(id) {
            Some(worker) => worker,
            None => unreachable!("it was inserted above"),
        }
    }

    pub(super) fn hello(
        &mut self,
        now: Tick,
        from: &WorkerId,
        plain: bool,
        mut hello: Hello,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        if self.claims_later(now, from, hello.epoch, out) {
            return;
        }
        for dead in hello.clean_slate.iter().take(DEAD) {
            self.declared_dead(now, from, dead, out);
        }
        if self.departed.is_gone(from) {
            let (from, reason, detail) = (from.clone(), Refusal::Excluded, String::new());
            return out.push(CoordinatorEffect::Refused { from, reason, detail });
        }
        if self.workers.get(from).is_some_and(|worker| hello.is_before(worker.hello)) {
            return;
        }
        if !self.admit(now, from, &mut hello, out) {
            return self.note_refused(now, from);
        }
        let runtimes = Runtimes::of(&hello);
        let mut news = Vec::new();
        let mut problems = hello.offer.load_errors;
        let offered = of_teams(hello.offer.actions, &hello.teams);
        let has_share = !hello.teams.is_empty();
        let actions = self.actions.offer(&offered, has_share, &mut news, &mut problems);
        cut_problems(&mut problems);
        let limit = |action: &Arc<Action>| Some((action.key(), action.concurrency?));
        let limits = offered.iter().filter_map(limit);
        let news = news.into_iter().map(Transition::Offer).map(CoordinatorEffect::Persist);
        out.extend(news);
        self.leave_team(from);
        let terms = Terms::of(&self.config, hello.lease);
        let worker = self.worker_entry(now, from);
        let is_new = worker.terms.is_none() && worker.load.in_flight.is_empty();
        worker.agree(terms);
        if is_new {
            // It holds nothing, so its first lease may be shorter than the configured one.
            worker.expires = now + terms.patience;
        }
        let expiry = (worker.expires, Timer::Expiry(worker.number));
        // A hello gives no credit, and takes none that a later beat has given.
        worker.credit = hello.pull.then(|| worker.credit.unwrap_or(0));
        worker.introduced = true;
        worker.hello = worker.hello.max(hello.seq);
        worker.plain = plain;
        worker.name = hello.name;
        worker.queues = hello.queues.into_iter().collect();
        worker.groups = hello.groups;
        worker.teams = hello.teams;
        worker.slots = hello.slots;
        let offered = std::mem::replace(&mut worker.actions, actions.into_iter().collect());
        if problems.iter().any(|problem| problem.blocking) {
            worker.withheld.extend(offered);
            worker.withheld.retain(|action| !worker.actions.contains(action));
            while worker.withheld.len() > ACTIONS {
                worker.withheld.pop_first();
            }
        } else {
            worker.withheld.clear();
        }
        worker.runtimes = runtimes;
        worker.load.offered(limits);
        worker.load_errors = problems;
        worker.environments = hello.offer.environments.into();
        let labels = worker.queues.iter().chain(&worker.groups);
        let names = worker.actions.len() + worker.withheld.len() + RUNTIMES;
        let bytes = said_bytes(labels, &worker.load_errors, names)
            + environments::size_bytes(&worker.environments);
        let before = std::mem::replace(&mut worker.bytes, bytes);
        worker.paused = false;
        worker.version = shortened(&hello.version);
        worker.started_at = hello.started_at;
        // Messages that were in flight when the connection broke may be lost.
        let in_flight: Vec<ExecutionId> = worker.load.in_flight.values().copied().collect();
        for id in in_flight {
            self.send_again(now, id, out);
        }
        if is_new {
            self.timers.insert(expiry);
        }
        self.workers_bytes = self.workers_bytes - before + bytes;
        self.join_team(from);
        self.ask_to_drain(now, from, out);
        self.refresh_catalogue(now);
        self.fill(now, from, out);
    }

    /// Grants a worker nothing until its next hello, because what it said of itself may not hold
    /// any more. Its attempts stay.
    pub fn expect_hello(&mut self, from: &WorkerId) {
        if let Some(worker) = self.workers.get_mut(from) {
            (worker.introduced, worker.beat) = (false, 0);
        }
    }

    pub(super) fn beat(
        &mut self,
        now: Tick,
        from: &WorkerId,
        plain: bool,
        beat: Beat,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        if self.claims_later(now, from, beat.epoch, out) {
            return;
        }
        let epoch = self.epoch;
        let configured = Terms::of(&self.config, None);
        let Some(worker) = self.workers.get_mut(from).filter(|worker| worker.introduced) else {
            if self.departed.is_gone(from) {
                let (from, reason, detail) = (from.clone(), Refusal::Excluded, String::new());
                return out.push(CoordinatorEffect::Refused { from, reason, detail });
            }
            if self.may_ask(now, from) {
                let message = Message::WhoIsThere(WhoIsThere { epoch });
                out.push(CoordinatorEffect::Send(Address::Worker(from.clone()), message));
            }
            return;
        };
        if beat.seq <= worker.heard {
            // The beat is a duplicate, or was overtaken by a later one.
            return;
        }
        worker.heard = beat.seq;
        worker.follows_other = beat.epoch.is_some_and(|other| other.instance != epoch.instance);
        if worker.hello_rate.asks_again(now) {
            let message = Message::WhoIsThere(WhoIsThere { epoch });
            out.push(CoordinatorEffect::Send(Address::Worker(from.clone()), message));
        }
        worker.heard_at = now;
        // A beat may have been on its way when its worker died; one that comes later was not.
        let beat_interval = self.config.beat_interval;
        if let Some((by, _)) =
            worker.declared_dead.take_if(|(_, at)| now.since(*at) >= beat_interval)
        {
            let (reason, detail) = (Refusal::CleanSlate, from.to_string());
            out.push(CoordinatorEffect::Refused { from: by, reason, detail });
        }
        // The expiry is set before any message is sent that could extend the worker's lease. A beat
        // is sent before it is received, so counting from its receipt is never too early.
        let terms = worker.terms.unwrap_or(configured);
        worker.expires = worker.expires.max(now + terms.patience);
        let to = Address::Worker(from.clone());
        if beat.epoch != Some(epoch) {
            // The worker does not follow this epoch yet, or the beat is old. It gets no work until
            // it shows that it hears this coordinator.
            let (seq_echo, settled) = (beat.seq, worker.settled(epoch));
            let ack = self.beat_ack(seq_echo, settled, terms.lease);
            return out.push(CoordinatorEffect::Send(to, Message::BeatAck(ack)));
        }
        worker.beat = beat.seq;
        worker.beat_at = now;
        worker.plain = plain;
        worker.renew_credit(beat.free);
        worker.paused = false;
        let back = std::mem::take(&mut worker.silent).then_some(worker.number);
        let (mut drop, mut cancel) = (Vec::new(), Vec::new());
        for fence in beat.held.into_iter().take(HELD) {
            match worker
                .load
                .in_flight
                .get(&fence)
                .and_then(|id| self.active.get(id))
                .map(|active| &active.state)
            {
                Some(ActiveState::Granted(grant)) => {
                    cancel.extend(grant.cancel.map(|cancel| cancel.fence))
                }
                // The report is settled, but not committed or not acknowledged yet. The worker
                // keeps it until then.
                _ if self.settled_set.contains(&fence) => {}
                _ => drop.push(fence),
            }
        }
        let seq_echo = worker.beat;
        let settled = worker.settled(epoch);
        if !drop.is_empty() || !cancel.is_empty() {
            // Sent separately, because it has to wait until the end or the cancel of these attempts
            // is committed. Otherwise a coordinator that lost them in a crash would believe that
            // the worker never held them, or that they were never cancelled.
            let ack = BeatAck { drop, cancel, ..self.beat_ack(seq_echo, settled, terms.lease) };
            out.push(CoordinatorEffect::Send(to.clone(), Message::BeatAck(ack)));
        }
        let ack = self.beat_ack(seq_echo, settled, terms.lease);
        out.push(CoordinatorEffect::Send(to, Message::BeatAck(ack)));
        if let Some(number) = back {
            self.timers.insert((now + terms.silence, Timer::Silence(number)));
            self.refresh_catalogue(now);
        }
        self.fill(now, from, out);
    }

    /// Returns the answer to a beat. It carries the lease, so that the two sides cannot have
    /// contradicting configurations.
    fn beat_ack(&self, seq_echo: u64, settled: u64, lease: Duration) -> BeatAck {
        BeatAck {
            epoch: self.epoch,
            seq_echo,
            settled,
            lease: Some(lease),
            beat_interval: Some(self.config.beat_interval),
            drop: Vec::new(),
            cancel: Vec::new(),
        }
    }

    pub(super) fn goodbye(
        &mut self,
        now: Tick,
        from: &WorkerId,
        goodbye: &Goodbye,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        self.departed.add(from, u64::MAX);
        let Some(worker) = self.workers.get_mut(from) else { return };
        worker.slots = 0;
        worker.actions.clear();
        worker.runtimes.clear();
        let in_flight: Vec<(Fence, ExecutionId)> =
            worker.load.in_flight.iter().map(|(fence, id)| (*fence, *id)).collect();
        for (fence, id) in in_flight {
            // An attempt that another instance granted may have ended there. This store does not
            // know, because it was restored to an earlier state.
            let ours = fence.epoch.instance == self.epoch.instance;
            if ours && !goodbye.held.contains(&fence) {
                self.released(now, from, fence, id, out);
            }
        }
        self.give_up(now, from, out);
    }

    pub(super) fn check_expiry(
        &mut self,
        now: Tick,
        number: u64,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let Some(id) = self.worker_numbers.get(&number).cloned() else { return };
        let Some(worker) = self.workers.get(&id) else { return };
        if worker.expires > now {
            self.timers.insert((worker.expires, Timer::Expiry(number)));
        } else {
            self.tally.leases_expired += 1;
            self.give_up(now, &id, out);
        }
    }

    pub(super) fn check_silence(&mut self, now: Tick, number: u64) {
        let configured = Terms::of(&self.config, None);
        let Some(worker) = self.worker_numbers.get(&number).and_then(|id| self.workers.get_mut(id))
        else {
            return;
        };
        let at = worker.beat_at + worker.terms.unwrap_or(configured).silence;
        if at > now {
            self.timers.insert((at, Timer::Silence(number)));
        } else {
            worker.silent = true;
            self.refresh_catalogue(now);
        }
    }

    /// Handles the claim of `by` that an earlier incarnation is dead, with everything that it
    /// started. Only a worker of the same name is believed, and only once the other has been silent
    /// for some beats.
    fn declared_dead(
        &mut self,
        now: Tick,
        by: &WorkerId,
        dead: &WorkerId,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        if dead == by || !self.workers.contains_key(dead) {
            return;
        }
        if dead.name() != by.name() {
            let (from, reason, detail) = (by.clone(), Refusal::CleanSlate, dead.to_string());
            return out.push(CoordinatorEffect::Refused { from, reason, detail });
        }
        if let Some(worker) = self.workers.get_mut(dead)
            && worker.declared_dead.is_none()
        {
            worker.declared_dead = Some((by.clone(), now));
            let number = worker.number;
            self.check_declared_dead(now, number, out);
        }
    }

    pub(super) fn check_declared_dead(
        &mut self,
        now: Tick,
        number: u64,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let silence = self.config.beat_interval * BEATS_OF_THE_DEAD;
        let Some(id) = self.worker_numbers.get(&number).cloned() else { return };
        let worker = self.workers.get(&id).filter(|worker| worker.declared_dead.is_some());
        let Some(until) = worker.map(|worker| worker.heard_at + silence) else { return };
        if until > now {
            self.timers.insert((until, Timer::DeclaredDead(number)));
        } else {
            self.give_up(now, &id, out);
            self.departed.add(&id, u64::MAX);
        }
    }

    /// Counts a worker for the one team that it serves.
    fn join_team(&mut self, id: &WorkerId) {
        if let Some(worker) = self.workers.get(id)
            && let [team] = &worker.teams[..]
        {
            let taken = self.of_teams.entry(team.clone()).or_default();
            taken.number += 1;
            taken.bytes += worker.bytes;
        }
    }

    /// Undoes [`join_team`](Self::join_team).
    fn leave_team(&mut self, id: &WorkerId) {
        if let Some(worker) = self.workers.get(id)
            && let [team] = &worker.teams[..]
            && let Some(taken) = self.of_teams.get_mut(team)
        {
            taken.number -= 1;
            taken.bytes -= worker.bytes;
            if taken.number == 0 {
                self.of_teams.remove(team);
            }
        }
    }

    /// Gives up a worker that is dead or silent: the attempts that it held are lost.
    pub(super) fn give_up(&mut self, now: Tick, id: &WorkerId, out: &mut Vec<CoordinatorEffect>) {
        self.leave_team(id);
        let Some(worker) = self.workers.remove(id) else { return };
        self.worker_numbers.remove(&worker.number);
        self.workers_bytes -= worker.bytes;
        if let Some(count) = self.names.get_mut(id.name()) {
            *count -= 1;
            if *count == 0 {
                self.names.remove(id.name());
            }
        }
        self.departed.add(id, worker.heard);
        for (fence, execution) in worker.load.in_flight {
            self.granted.remove(&fence);
            self.end_attempt(now, execution, fence, Outcome::Lost.into(), out);
            out.push(CoordinatorEffect::LogEnds { execution, fence, last_seq: None });
        }
        self.refresh_catalogue(now);
    }
}
