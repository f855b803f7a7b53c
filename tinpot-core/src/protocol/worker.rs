//! The worker's side of the protocol, as a state machine.

mod attempt;
mod children;
mod drain;
mod epoch;
mod lease;
mod slots;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use self::attempt::{Held, Phase};
use self::children::Children;
use self::epoch::Former;
use self::lease::LeaseTerms;
use self::slots::concurrency_of;
use super::call::{CallId, CallState};
use super::config::ProtocolConfig;
use super::message::{
    Beat, BeatAck, Dispatch, Hello, Message, Reject, RejectReason, Released, ReleasedHow,
    ResultReport,
};
use super::tick::Tick;
use crate::model::action::ActionSet;
use crate::model::failure::{Failure, FailureCode};
use crate::model::fence::{Epoch, Fence};
use crate::model::id::WorkerId;
use crate::model::outcome::Outcome;
use crate::model::stop::{Stop, StopReason};
use crate::model::time::Timestamp;

/// What the machine wants done, in order.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum WorkerEffect {
    /// Send this to the coordinator.
    Send(Message),
    /// Start this attempt; call [`WorkerMachine::finished`] when nothing of it is alive any more.
    Start(Box<Dispatch>),
    /// Ask this attempt to end, and kill it after the grace period.
    Stop(Fence, Stop),
    /// Nobody wants to hear of this attempt any more: its log can be dropped once it is finished.
    Forget(Fence),
    /// Tell the attempt what has become of its call. The last update of a call is `Ended` or
    /// `Refused`, or `Accepted` if the attempt does not wait.
    CallUpdate(CallId, CallState),
    /// The coordinator asks the worker to end: its host should shut it down. It takes nothing on any more already.
    DrainRequested,
}

/// What a worker says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerProfile {
    /// Its id.
    pub id: WorkerId,
    /// The name people gave it.
    pub name: String,
    /// The queues it serves; empty means all.
    pub queues: Vec<String>,
    /// The groups it is limited to; empty means all.
    pub groups: Vec<String>,
    /// How many attempts it runs at once.
    pub slots: u32,
    /// Earlier incarnations that are known to be dead, with everything they started.
    pub clean_slate: Vec<WorkerId>,
    /// The version of its program, for people.
    pub version: String,
    /// When it started, for people.
    pub started_at: Option<Timestamp>,
}

/// Attempts that may wait per slot, whatever the coordinator thinks.
const WAITING_PER_SLOT: usize = 256;

/// Decides everything a worker decides: what it takes on, when it must end it, what it reports until when.
///
/// Pure: the same calls give the same effects. The caller owns clock, executors and transport, and does the effects in order.
#[derive(Debug)]
pub struct WorkerMachine {
    config: ProtocolConfig,
    profile: WorkerProfile,
    offer: Arc<ActionSet>,
    /// The actions that are offered; of those that run beside the slots, how many may at once.
    actions: BTreeMap<String, Option<u32>>,
    epoch: Option<Epoch>,
    last_beat: u64,
    beats: VecDeque<(u64, Tick)>,
    next_beat_at: Tick,
    /// Until then the coordinator gives nothing of ours to another worker.
    lease_until: Tick,
    lease: Option<LeaseTerms>,
    held: BTreeMap<Fence, Held>,
    waiting: VecDeque<Fence>,
    /// Attempts in slots.
    running: usize,
    /// Attempts that run beside the slots, by action.
    beside: BTreeMap<Arc<str>, u32>,
    /// Attempts that wait for children, and have given their slots away.
    parked: BTreeSet<Fence>,
    children: Children,
    /// Fences of this epoch above `settled` that were dealt with, and the refusal to repeat where there was one. A cancel that comes before
    /// its dispatch leaves its fence here too: the dispatch will not start anything.
    seen: BTreeMap<u64, Option<RejectReason>>,
    settled: u64,
    /// The latest beat that the coordinator has echoed.
    last_echo: u64,
    /// Stores whose coordinators are not listened to any more.
    former: Vec<Former>,
    accept_due: VecDeque<(Tick, Fence)>,
    resend_due: VecDeque<(Tick, Fence)>,
    timeouts: BTreeSet<(Tick, Fence)>,
    draining: Option<Tick>,
    said_hello: bool,
}

/// How many times longer than planned an attempt may wait for a slot before it is given back.
const WAITING_HORIZONS: u32 = 50;

impl WorkerMachine {
    /// A worker that holds nothing and has said nothing.
    pub fn new(config: ProtocolConfig, profile: WorkerProfile, offer: Arc<ActionSet>) -> Self {
        let actions = concurrency_of(&offer);
        Self {
            config,
            profile,
            offer,
            actions,
            epoch: None,
            last_beat: 0,
            beats: VecDeque::new(),
            next_beat_at: Tick(u64::MAX),
            lease_until: Tick(0),
            lease: None,
            held: BTreeMap::new(),
            waiting: VecDeque::new(),
            running: 0,
            beside: BTreeMap::new(),
            parked: BTreeSet::new(),
            children: Children::default(),
            seen: BTreeMap::new(),
            settled: 0,
            last_echo: 0,
            former: Vec::new(),
            accept_due: VecDeque::new(),
            resend_due: VecDeque::new(),
            timeouts: BTreeSet::new(),
            draining: None,
            said_hello: false,
        }
    }

    /// The worker's id.
    pub fn id(&self) -> &WorkerId {
        &self.profile.id
    }

    /// Whether it holds nothing: no attempt waits, runs, or ended without an acknowledgement.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Returns the number of attempts that wait for a slot.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Returns the number of slots.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn slots(&self) -> usize {
        self.profile.slots as usize
    }

    /// Attempts that run now.
    pub fn running(&self) -> usize {
        self.held.values().filter(|held| held.runs()).count()
    }

    /// When [`tick`](Self::tick) wants to be called.
    pub fn wake_at(&mut self) -> Option<Tick> {
        // What was answered meanwhile is no reason to wake up.
        while let Some((_, fence)) = self.accept_due.front()
            && self.held.get(fence).is_none_or(|held| {
                held.accepted_as().is_none_or(|running| held.said == Some(running))
            })
        {
            self.accept_due.pop_front();
        }
        while let Some((at, fence)) = self.resend_due.front()
            && self
                .held
                .get(fence)
                .is_none_or(|held| held.sent_at + self.config.resend_interval > *at)
        {
            self.resend_due.pop_front();
        }
        let dues = [
            Some(self.next_beat_at).filter(|at| at.0 < u64::MAX),
            self.accept_due.front().map(|due| due.0),
            self.resend_due.front().map(|due| due.0),
            self.timeouts.first().map(|due| due.0),
            self.waiting_until(),
            self.children.wake_at(),
            self.fence_at(),
            self.draining.filter(|at| at.0 < u64::MAX && self.runs_anything()),
        ];
        dues.into_iter().flatten().min()
    }

    /// When the attempt that waits longest for a slot has waited long enough.
    fn waiting_until(&self) -> Option<Tick> {
        let held = self.waiting.front().and_then(|fence| self.held.get(fence))?;
        Some(held.sent_at + self.config.prefetch_horizon * WAITING_HORIZONS)
    }

    /// The transport is up (again): says hello, beats, and sends every report that is not acknowledged.
    pub fn link_up(&mut self, now: Tick, out: &mut Vec<WorkerEffect>) {
        self.hello(now, out);
        let ended: Vec<Fence> = self
            .held
            .iter()
            .filter(|(_, held)| held.report().is_some())
            .map(|(fence, _)| *fence)
            .collect();
        for fence in ended {
            self.send_report(now, fence, out);
        }
    }

    /// The executors offer something else now.
    pub fn offer_changed(&mut self, now: Tick, offer: Arc<ActionSet>, out: &mut Vec<WorkerEffect>) {
        self.actions = concurrency_of(&offer);
        self.offer = offer;
        if self.said_hello {
            self.hello(now, out);
        }
    }

    fn hello(&mut self, now: Tick, out: &mut Vec<WorkerEffect>) {
        self.said_hello = true;
        out.push(WorkerEffect::Send(Message::Hello(Hello {
            name: self.profile.name.clone(),
            queues: self.profile.queues.clone(),
            groups: self.profile.groups.clone(),
            slots: if self.draining.is_some() { 0 } else { self.profile.slots },
            offer: (*self.offer).clone(),
            clean_slate: self.profile.clean_slate.clone(),
            epoch: self.epoch,
            version: self.profile.version.clone(),
            started_at: self.profile.started_at,
        })));
        self.beat(now, out);
    }

    fn beat(&mut self, now: Tick, out: &mut Vec<WorkerEffect>) {
        self.last_beat += 1;
        self.beats.push_back((self.last_beat, now));
        // An echo of an older beat could not extend anything.
        let horizon = now - self.lease();
        while self.beats.front().is_some_and(|(_, at)| *at < horizon) {
            self.beats.pop_front();
        }
        self.next_beat_at = now + self.beat_interval();
        let free = (self.profile.slots as usize).saturating_sub(self.running) as u32;
        let held = self.held.keys().copied().collect();
        let (seq, epoch) = (self.last_beat, self.epoch);
        out.push(WorkerEffect::Send(Message::Beat(Beat { seq, free, held, epoch })));
    }

    /// Takes one message of lane Control from the coordinator.
    pub fn receive(&mut self, now: Tick, message: Message, out: &mut Vec<WorkerEffect>) {
        // What is overdue ends before anything can extend it.
        self.tick(now, out);
        let (epoch, last_beat) = (self.epoch, self.last_beat);
        match message {
            Message::Dispatch(dispatch) => self.dispatched(now, dispatch, out),
            Message::BeatAck(ack) => self.heard(now, ack, out),
            // What a coordinator says that is not listened to any more may be out of date: the present one will say it too.
            Message::Cancel(cancel) if self.adopt(cancel.epoch) => {
                self.cancelled(now, cancel.fence, cancel.force, out);
            }
            Message::ResultAck(ack) if self.adopt(ack.epoch) => self.acknowledged(ack.fence),
            Message::Called(called) if self.adopt(called.epoch) => self.call_answered(called, out),
            Message::Drain(drain) if self.adopt(drain.epoch) => self.asked_to_drain(now, out),
            Message::Probe(probe) if self.adopt(probe.epoch) => self.probed(now, probe.fence, out),
            // To strangers too: the echo of the beat that follows will show that they are at work.
            Message::WhoIsThere(who) if self.adopt(who.epoch) || self.is_strange(who.epoch) => {
                self.hello(now, out);
            }
            // The rest is for coordinators, for lane Logs, or unknown: the shell has said so in its log.
            _ => {}
        }
        if self.epoch != epoch && self.last_beat == last_beat && self.said_hello {
            // It gives no work before it has heard that it is listened to.
            self.beat(now, out);
        }
    }

    /// The coordinator answers a beat.
    fn heard(&mut self, now: Tick, ack: BeatAck, out: &mut Vec<WorkerEffect>) {
        if !self.adopt_echo(ack.epoch, ack.seq_echo) {
            return;
        }
        self.set_lease(ack.epoch, ack.lease, ack.beat_interval);
        self.renew(ack.seq_echo);
        self.settle_up_to(ack.settled);
        for fence in ack.drop {
            self.dropped(fence, out);
        }
        for fence in ack.cancel {
            self.cancelled(now, fence, false, out);
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Tick, out: &mut Vec<WorkerEffect>) {
        if self.fence_at().is_some_and(|at| at <= now) {
            self.fence_retryable(now, out);
        }
        while let Some((at, fence)) = self.timeouts.first().copied()
            && at <= now
        {
            self.timeouts.pop_first();
            self.stop(fence, StopReason::TimedOut, self.config.grace, out);
        }
        while let Some((at, fence)) = self.accept_due.front().copied()
            && at <= now
        {
            self.accept_due.pop_front();
            self.send_accept(fence, false, out);
        }
        while let Some((at, fence)) = self.resend_due.front().copied()
            && at <= now
        {
            self.resend_due.pop_front();
            if self
                .held
                .get(&fence)
                .is_some_and(|held| held.sent_at + self.config.resend_interval <= now)
            {
                self.send_report(now, fence, out);
            }
        }
        while let Some(fence) =
            self.waiting_until().filter(|at| *at <= now).and_then(|_| self.waiting.pop_front())
        {
            // What was thought to be short is not: another worker may have room.
            self.release(now, fence, ReleasedHow::NeverRan, out);
        }
        self.resend_calls(now, out);
        if self.next_beat_at <= now {
            self.beat(now, out);
        }
        self.end_what_runs(now, out);
    }

    fn dispatched(&mut self, now: Tick, dispatch: Dispatch, out: &mut Vec<WorkerEffect>) {
        let fence = dispatch.fence;
        if !self.adopt_echo(fence.epoch, dispatch.seq_echo) {
            return;
        }
        if let Some(held) = self.held.get(&fence) {
            return if held.report().is_some() {
                self.send_report(now, fence, out);
            } else {
                self.send_accept(fence, true, out);
            };
        }
        if fence.number <= self.settled {
            return;
        }
        if let Some(answer) = self.seen.get(&fence.number) {
            if let Some(why) = *answer {
                out.push(WorkerEffect::Send(Message::Reject(Reject { fence, why })));
            }
            return;
        }
        let refuse =
            if !self.renew(dispatch.seq_echo) || (self.lease_until - self.stop_margin()) <= now {
                Some(RejectReason::Stale)
            } else if self.draining.is_some() {
                Some(RejectReason::Draining)
            } else if !self.actions.contains_key(&*dispatch.action) {
                Some(RejectReason::UnknownAction)
            } else if self.waiting.len() >= self.profile.slots as usize * WAITING_PER_SLOT {
                Some(RejectReason::Busy)
            } else {
                None
            };
        self.seen.insert(fence.number, refuse);
        self.settle_up_to(dispatch.settled.min(fence.number - 1));
        if let Some(why) = refuse {
            return out.push(WorkerEffect::Send(Message::Reject(Reject { fence, why })));
        }
        self.held.insert(fence, Held::new(dispatch, now));
        self.waiting.push_back(fence);
        self.accept_due.push_back((now + self.config.accept_delay, fence));
        self.start_waiting(now, out);
    }

    /// Nothing of that attempt is alive any more; `last_log_seq` is the number of its last log line.
    pub fn finished(
        &mut self,
        now: Tick,
        fence: Fence,
        outcome: Outcome,
        last_log_seq: u64,
        out: &mut Vec<WorkerEffect>,
    ) {
        let Some(held) = self.held.get_mut(&fence) else { return };
        let (since, reason, dropped) = match held.phase {
            Phase::Running { since } => (since, None, false),
            Phase::Stopping { since, reason, dropped } => (since, Some(reason), dropped),
            Phase::Waiting | Phase::Ended(_) => return,
        };
        self.forget_calls(fence);
        let Some(held) = self.held.get_mut(&fence) else { return };
        match self.beside.get_mut(&held.dispatch.action).filter(|_| held.beside) {
            Some(running) => *running -= 1,
            None if self.parked.remove(&fence) => {}
            None => self.running -= 1,
        }
        if let Some(timeout) = held.dispatch.timeout {
            self.timeouts.remove(&(since + timeout, fence));
        }
        let outcome = match (outcome, reason) {
            (Outcome::Cancelled, Some(StopReason::TimedOut)) => Outcome::TimedOut,
            (Outcome::Cancelled, Some(StopReason::ShuttingDown)) => Outcome::Failed(
                Failure::new("the worker shut down before the action had finished")
                    .code(FailureCode::WorkerShutdown)
                    .kind("WorkerShutdown"),
            ),
            (outcome, _) => outcome,
        };
        if dropped {
            self.held.remove(&fence);
            out.push(WorkerEffect::Forget(fence));
        } else if reason == Some(StopReason::Fenced) && outcome == Outcome::Cancelled {
            self.release(now, fence, ReleasedHow::Killed, out);
        } else {
            let ran_us = now.since(since).as_micros() as u64;
            held.phase = Phase::Ended(Box::new(Message::Result(ResultReport {
                fence,
                outcome,
                last_log_seq,
                ran_us,
            })));
            self.send_report(now, fence, out);
        }
        self.start_waiting(now, out);
    }

    fn release(&mut self, now: Tick, fence: Fence, how: ReleasedHow, out: &mut Vec<WorkerEffect>) {
        if let Some(held) = self.held.get_mut(&fence) {
            held.phase = Phase::Ended(Box::new(Message::Released(Released { fence, how })));
            self.send_report(now, fence, out);
        }
    }

    fn send_report(&mut self, now: Tick, fence: Fence, out: &mut Vec<WorkerEffect>) {
        if let Some(held) = self.held.get_mut(&fence)
            && let Some(report) = held.report().cloned()
        {
            held.sent_at = now;
            self.resend_due.push_back((now + self.config.resend_interval, fence));
            out.push(WorkerEffect::Send(report));
        }
    }

    /// Says that an attempt is held, when that was not said yet (or `again`).
    fn send_accept(&mut self, fence: Fence, again: bool, out: &mut Vec<WorkerEffect>) {
        if let Some(held) = self.held.get_mut(&fence)
            && let Some(running) = held.accepted_as()
            && (again || held.said != Some(running))
        {
            held.said = Some(running);
            out.push(WorkerEffect::Send(Message::Accept(super::message::Accept {
                fence,
                running,
            })));
        }
    }
}
