//! Workers as the coordinator sees them: who they are, whether they live, what they hold.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::catalogue::NOBODY;
use super::load::Load;
use super::{ActiveState, CoordinatorEffect, CoordinatorMachine, Timer};
use crate::model::action::LoadError;
use crate::model::address::Address;
use crate::model::fence::Fence;
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::outcome::Outcome;
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::protocol::message::{Beat, BeatAck, Goodbye, Hello, Message, WhoIsThere};
use crate::protocol::tick::Tick;

#[derive(Debug)]
pub(super) struct WorkerEntry {
    /// Stands for the worker in timers.
    pub(super) number: u64,
    pub(super) name: String,
    pub(super) queues: BTreeSet<String>,
    pub(super) groups: Vec<String>,
    pub(super) slots: u32,
    pub(super) actions: BTreeSet<Arc<str>>,
    pub(super) load_errors: Vec<LoadError>,
    /// The last beat heard, whatever it said.
    heard: u64,
    /// The last one that showed that it listens to us; 0 before the first: nothing can be dispatched until then.
    pub(super) beat: u64,
    pub(super) beat_at: Tick,
    pub(super) free: u32,
    pub(super) expires: Tick,
    /// It refused something that it should have taken: nothing new until it beats again.
    pub(super) paused: bool,
    pub(super) load: Load,
    /// Every fence of this epoch up to here is settled, as far as this worker is concerned.
    pub(super) last_granted: u64,
    pub(super) resend_armed: bool,
    pub(super) introduced: bool,
    /// It was asked to end.
    pub(super) draining: bool,
    version: String,
    started_at: Option<Timestamp>,
    /// It has missed beats, so it may be dead: what it is given now could wait for the end of its lease.
    pub(super) silent: bool,
}

/// A live worker and what it does now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// Its id: another one after every start.
    pub id: WorkerId,
    /// Its name.
    pub name: String,
    /// The queues it serves; empty means all.
    pub queues: Vec<String>,
    /// The groups it is limited to; empty means all.
    pub groups: Vec<String>,
    /// How many attempts it runs at once.
    pub slots: u32,
    /// The names of its actions.
    pub actions: Vec<Arc<str>>,
    /// What should have been an action and is not, and why.
    pub load_errors: Vec<LoadError>,
    /// The executions whose attempts it holds.
    pub executions: Vec<ExecutionId>,
    /// Those attempts, oldest first.
    pub running: Vec<RunningAttempt>,
    /// How long ago it was heard.
    pub silent_for: Duration,
    /// It takes nothing new, and ends when what it has has ended.
    pub draining: bool,
    /// The version of its program; empty when it does not say.
    pub version: String,
    /// When it started, by its own clock, as far as it says so.
    pub started_at: Option<Timestamp>,
}

/// An attempt that a worker holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunningAttempt {
    /// Of which execution.
    pub execution: ExecutionId,
    /// At which action.
    pub action: Arc<str>,
    /// 1 for the first.
    pub attempt: u32,
    /// When the worker was given it.
    pub since: Timestamp,
    /// How long ago that was.
    pub held_for: Duration,
    /// Whether the worker has said that it runs; what ends at once, or still waits there for a slot, is never said to.
    pub started: bool,
    /// It waits for an execution that it asked for, and takes no slot meanwhile.
    pub waits: bool,
}

/// The most characters of a version that are kept: it is for people.
const VERSION_CHARS: usize = 64;

fn shortened(version: String) -> String {
    match version.char_indices().nth(VERSION_CHARS) {
        Some((end, _)) => version[..end].to_owned(),
        None => version,
    }
}

impl WorkerEntry {
    pub(super) fn serves(&self, queue: &str) -> bool {
        self.queues.is_empty() || self.queues.contains(queue)
    }

    /// No fence of `epoch` up to this number will be dispatched to it again.
    pub(super) fn settled(&self, epoch: crate::protocol::Epoch) -> u64 {
        let oldest = self.load.in_flight.keys().find(|fence| fence.epoch == epoch);
        oldest.map_or(self.last_granted, |fence| fence.number - 1)
    }
}

impl CoordinatorMachine {
    /// The live workers.
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
            slots: worker.slots,
            actions: worker.actions.iter().cloned().collect(),
            load_errors: worker.load_errors.clone(),
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
                slots: 0,
                actions: BTreeSet::new(),
                load_errors: Vec::new(),
                heard: self.departed.heard(id),
                beat: 0,
                beat_at: now,
                free: 0,
                expires,
                paused: false,
                load: Load::default(),
                last_granted: self.last_number,
                resend_armed: false,
                introduced: false,
                draining: false,
                version: String::new(),
                started_at: None,
                silent: false,
            };
            self.workers.insert(id.clone(), worker);
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
        hello: Hello,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        if self.notice(hello.epoch, out) {
            return;
        }
        for dead in &hello.clean_slate {
            if dead != from {
                self.give_up(now, dead, out);
                self.departed.add(dead, u64::MAX);
            }
        }
        if self.departed.is_gone(from) {
            return;
        }
        let mut news = Vec::new();
        let mut problems = hello.offer.load_errors;
        let actions = self.actions.offer(&hello.offer.actions, &mut news, &mut problems);
        let limit = |action: &Arc<crate::Action>| {
            Some((Arc::from(action.name.as_str()), action.concurrency?))
        };
        let limits = hello.offer.actions.iter().filter_map(limit);
        let news = news.into_iter().map(Transition::Offer).map(CoordinatorEffect::Persist);
        out.extend(news);
        let worker = self.worker_entry(now, from);
        worker.introduced = true;
        worker.name = hello.name;
        worker.queues = hello.queues.into_iter().collect();
        worker.groups = hello.groups;
        worker.slots = hello.slots;
        worker.actions = actions.into_iter().collect();
        worker.load.offered(limits);
        worker.load_errors = problems;
        worker.paused = false;
        worker.version = shortened(hello.version);
        worker.started_at = hello.started_at;
        // Whatever was on its way when the connection broke may be gone.
        let in_flight: Vec<ExecutionId> = worker.load.in_flight.values().copied().collect();
        for id in in_flight {
            self.send_again(now, id, out);
        }
        self.ask_to_drain(now, from, out);
        self.refresh_catalogue();
        self.fill(now, from, out);
    }

    pub(super) fn beat(
        &mut self,
        now: Tick,
        from: &WorkerId,
        beat: Beat,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        if self.notice(beat.epoch, out) {
            return;
        }
        let lease = self.config.coordinator_lease;
        let epoch = self.epoch;
        let Some(worker) = self.workers.get_mut(from).filter(|worker| worker.introduced) else {
            let message = Message::WhoIsThere(WhoIsThere { epoch });
            return out.push(CoordinatorEffect::Send(Address::Worker(from.clone()), message));
        };
        if beat.seq <= worker.heard {
            // It has come before, or was overtaken.
            return;
        }
        worker.heard = beat.seq;
        // Rule 2: the expiry is set before anything is sent that could extend the worker's lease. A beat was sent before it was received, so
        // counting from its receipt is never too early.
        worker.expires = worker.expires.max(now + lease);
        let to = Address::Worker(from.clone());
        if beat.epoch != Some(epoch) {
            // It does not listen to us yet, or this was said long ago: it gets no work before it shows that it hears us.
            let (seq_echo, settled) = (beat.seq, worker.settled(epoch));
            let ack = self.beat_ack(seq_echo, settled);
            return out.push(CoordinatorEffect::Send(to, Message::BeatAck(ack)));
        }
        worker.beat = beat.seq;
        worker.beat_at = now;
        worker.free = beat.free;
        worker.paused = false;
        let back = std::mem::take(&mut worker.silent).then_some(worker.number);
        let (mut drop, mut cancel) = (Vec::new(), Vec::new());
        for fence in beat.held {
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
                // Its report is dealt with, but that is not committed, or not acknowledged yet: the worker keeps it until it is.
                _ if self.settled_set.contains(&fence) => {}
                _ => drop.push(fence),
            }
        }
        let seq_echo = worker.beat;
        let settled = worker.settled(epoch);
        if !drop.is_empty() || !cancel.is_empty() {
            // On its own, because it has to wait until the end or the cancel of these attempts is
            // committed. A coordinator that forgot that in a crash would believe the worker that it
            // never had them, or that nobody had cancelled them.
            let ack = BeatAck { drop, cancel, ..self.beat_ack(seq_echo, settled) };
            out.push(CoordinatorEffect::Send(to.clone(), Message::BeatAck(ack)));
        }
        let ack = self.beat_ack(seq_echo, settled);
        out.push(CoordinatorEffect::Send(to, Message::BeatAck(ack)));
        if let Some(number) = back {
            self.timers.insert((now + self.config.beat_interval * 2, Timer::Silence(number)));
            self.refresh_catalogue();
        }
        self.fill(now, from, out);
    }

    /// Returns the answer to a beat. It tells the worker its lease, so that the two sides cannot be
    /// configured in contradiction.
    fn beat_ack(&self, seq_echo: u64, settled: u64) -> BeatAck {
        BeatAck {
            epoch: self.epoch,
            seq_echo,
            settled,
            lease: Some(self.config.worker_lease),
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
        let in_flight: Vec<(Fence, ExecutionId)> =
            worker.load.in_flight.iter().map(|(fence, id)| (*fence, *id)).collect();
        for (fence, id) in in_flight {
            // What another instance granted may have ended there, and this store does not know it: it was put back to an earlier state.
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
            self.give_up(now, &id, out);
        }
    }

    pub(super) fn check_silence(&mut self, now: Tick, number: u64) {
        let patience = self.config.beat_interval * 2;
        let Some(worker) = self.worker_numbers.get(&number).and_then(|id| self.workers.get_mut(id))
        else {
            return;
        };
        let at = worker.beat_at + patience;
        if at > now {
            self.timers.insert((at, Timer::Silence(number)));
        } else {
            worker.silent = true;
            self.refresh_catalogue();
        }
    }

    /// The worker is dead, or as good as dead: what it held is lost.
    fn give_up(&mut self, now: Tick, id: &WorkerId, out: &mut Vec<CoordinatorEffect>) {
        let Some(worker) = self.workers.remove(id) else { return };
        self.worker_numbers.remove(&worker.number);
        self.departed.add(id, worker.heard);
        for (fence, execution) in worker.load.in_flight {
            self.granted.remove(&fence);
            self.end_attempt(now, execution, fence, Outcome::Lost.into(), out);
            out.push(CoordinatorEffect::LogEnds { execution, fence, last_seq: None });
        }
        self.refresh_catalogue();
    }

    pub(super) fn refresh_catalogue(&mut self) {
        let workers = &self.workers;
        self.actions.set_available(|name, action| {
            let offering = || workers.values().filter(|worker| worker.actions.contains(name));
            let serving = || offering().filter(|worker| worker.serves(&action.queue));
            let staying = || serving().filter(|worker| worker.slots > 0 && !worker.draining);
            if staying().any(|worker| !worker.silent) {
                None
            } else if staying().next().is_some() {
                Some("the workers that offer it have missed their heartbeats")
            } else if serving().next().is_some() {
                Some("the workers that offer it are about to end: they take nothing new")
            } else if offering().next().is_some() {
                Some("no live worker that offers it serves its queue")
            } else {
                Some(NOBODY)
            }
        });
        self.version += 1;
    }
}
