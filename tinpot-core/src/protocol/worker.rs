//! The worker's side of the protocol, as a state machine.

mod attempt;
mod children;
mod drain;
mod epoch;
mod holds;
mod lease;
mod secrets;
mod slots;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use self::attempt::{Held, Phase};
use self::children::Children;
use self::epoch::Former;
use self::holds::{Holds, Offered};
use self::lease::LeaseTerms;
use self::secrets::SecretRequests;
use self::slots::{UnslottedKey, concurrency_of, unslotted_key};
use super::call::{CallId, CallState};
use super::config::ProtocolConfig;
use super::message::{
    Beat, BeatAck, Dispatch, Hello, Message, Reject, RejectReason, Released, ReleasedHow,
    ResultReport,
};
use super::secret::SecretState;
use super::tick::Tick;
use crate::model::action::ActionSet;
use crate::model::failure::{Failure, FailureCode};
use crate::model::fence::{Epoch, Fence};
use crate::model::id::WorkerId;
use crate::model::outcome::Outcome;
use crate::model::stop::{Stop, StopReason};
use crate::model::time::Timestamp;

/// An effect that the machine requests. Effects are performed in order.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum WorkerEffect {
    /// Send a message to the coordinator.
    Send(Message),
    /// Start this attempt. Call [`WorkerMachine::finished`] when nothing of it is alive any more.
    Start(Box<Dispatch>),
    /// Ask this attempt to end, and kill it after the grace period.
    Stop(Fence, Stop),
    /// Forget this attempt: its log can be dropped once it is finished.
    Forget(Fence),
    /// Pass the state of a call to its attempt. The last update of a call is `Ended` or `Refused`,
    /// or `Accepted` if the attempt does not wait.
    CallUpdate(CallId, CallState),
    /// Pass a secret, or the reason for which there is none, to the attempt that asked for it.
    SecretUpdate(Fence, Arc<str>, SecretState),
    /// The coordinator asks the worker to drain: its host should shut it down. The machine accepts
    /// nothing new from now on.
    DrainRequested,
}

/// The description of a worker.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerProfile {
    /// The id of the worker.
    pub id: WorkerId,
    /// The name of the worker, for people.
    pub name: String,
    /// The queues that the worker serves; empty means all.
    pub queues: Vec<String>,
    /// The groups that the worker is limited to; empty means all.
    pub groups: Vec<String>,
    /// The number of attempts that the worker runs at once.
    pub slots: u32,
    /// Earlier incarnations that are known to be dead, with everything that they started.
    pub clean_slate: Vec<WorkerId>,
    /// The version of the worker's program, for people.
    pub version: String,
    /// The start of the worker, for people.
    pub started_at: Option<Timestamp>,
    /// If true, the worker is granted only what its latest beat asks for.
    pub pull: bool,
    /// The lease that the worker asks for; `None` for the one that the coordinator has configured.
    pub lease: Option<Duration>,
}

/// The maximum number of waiting attempts per slot, independent of the coordinator.
const WAITING_PER_SLOT: usize = 256;

/// The decisions of a worker: which attempts to run, when to end them, and what to report until
/// when.
///
/// The machine is pure: the same calls have the same effects. The caller owns clock, executors and
/// transport, and performs the effects in order.
#[derive(Debug)]
pub struct WorkerMachine {
    config: ProtocolConfig,
    profile: WorkerProfile,
    offer: Arc<ActionSet>,
    /// The offered actions, each with its limit if its attempts take no slots.
    actions: BTreeMap<String, Option<u32>>,
    holds: Holds,
    epoch: Option<Epoch>,
    last_beat: u64,
    beats: VecDeque<(u64, Tick)>,
    next_beat_at: Tick,
    /// The end of the lease. Until then the coordinator grants none of this worker's attempts to
    /// another worker.
    lease_until: Tick,
    lease: Option<LeaseTerms>,
    held: BTreeMap<Fence, Held>,
    waiting: VecDeque<Fence>,
    /// The number of attempts in slots.
    running: usize,
    /// The number of running attempts without slots, by action and bundle.
    unslotted: BTreeMap<UnslottedKey, u32>,
    /// The attempts that wait for children and have freed their slots.
    parked: BTreeSet<Fence>,
    children: Children,
    /// The secrets that attempts have asked for.
    secrets: SecretRequests,
    /// Fences of this epoch above `settled` that were handled, with the rejection to repeat if
    /// there was one. A cancel that arrives before its dispatch leaves its fence here too, so the
    /// dispatch starts nothing.
    seen: BTreeMap<u64, Option<RejectReason>>,
    settled: u64,
    /// The latest beat that the coordinator has echoed.
    last_echo: u64,
    /// Stores whose coordinators the worker does not follow any more.
    former: Vec<Former>,
    accept_due: VecDeque<(Tick, Fence)>,
    resend_due: VecDeque<(Tick, Fence)>,
    timeouts: BTreeSet<(Tick, Fence)>,
    draining: Option<Tick>,
    said_hello: bool,
}

/// The number of prefetch horizons for which an attempt may wait for a slot before it is released.
const WAITING_HORIZONS: u32 = 50;

impl WorkerMachine {
    /// Creates a worker that holds no attempts and has sent nothing.
    pub fn new(config: ProtocolConfig, profile: WorkerProfile, offer: Arc<ActionSet>) -> Self {
        let actions = concurrency_of(&offer);
        Self {
            config,
            profile,
            offer,
            actions,
            holds: Holds::default(),
            epoch: None,
            last_beat: 0,
            beats: VecDeque::new(),
            next_beat_at: Tick(u64::MAX),
            lease_until: Tick(0),
            lease: None,
            held: BTreeMap::new(),
            waiting: VecDeque::new(),
            running: 0,
            unslotted: BTreeMap::new(),
            parked: BTreeSet::new(),
            children: Children::default(),
            secrets: SecretRequests::default(),
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

    /// Returns the worker's id.
    pub fn id(&self) -> &WorkerId {
        &self.profile.id
    }

    /// Returns true if the worker holds nothing: no attempt waits, runs, or ended without an
    /// acknowledgement.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Returns the number of attempts that wait for a slot.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Returns the epoch of the coordinator that the worker follows.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// Returns the number of slots.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn slots(&self) -> usize {
        self.profile.slots as usize
    }

    /// Returns the number of attempts that run.
    pub fn running(&self) -> usize {
        self.held.values().filter(|held| held.runs()).count()
    }

    /// Returns when [`tick`](Self::tick) must be called.
    pub fn wake_at(&mut self) -> Option<Tick> {
        // Answers that were sent meanwhile need no wake-up.
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
            self.secrets.wake_at(),
            self.holds.wake_at(),
            self.fence_at(),
            self.draining.filter(|at| at.0 < u64::MAX && self.runs_anything()),
        ];
        dues.into_iter().flatten().min()
    }

    /// Returns when the attempt that has waited longest for a slot must be released.
    fn waiting_until(&self) -> Option<Tick> {
        let held = self.waiting.front().and_then(|fence| self.held.get(fence))?;
        Some(held.sent_at + self.config.prefetch_horizon * WAITING_HORIZONS)
    }

    /// Handles a new connection: sends a hello, a beat, and every report that is not acknowledged.
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

    /// Replaces the offer of the executors.
    pub fn offer_changed(&mut self, now: Tick, offer: Arc<ActionSet>, out: &mut Vec<WorkerEffect>) {
        self.actions = concurrency_of(&offer);
        self.holds.retain(|offered| match offered {
            Offered::Action(action) => self.actions.contains_key(action),
            Offered::Runtime(runtime) => offer.runtimes.iter().any(|name| **name == *runtime),
        });
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
            offer: self.holds.limit(&self.offer),
            clean_slate: self.profile.clean_slate.clone(),
            epoch: self.epoch,
            version: self.profile.version.clone(),
            started_at: self.profile.started_at,
            pull: self.profile.pull,
            lease: self.profile.lease,
            seq: self.last_beat + 1,
            teams: Vec::new(),
            granted: Box::default(),
        })));
        self.beat(now, out);
    }

    fn beat(&mut self, now: Tick, out: &mut Vec<WorkerEffect>) {
        self.last_beat += 1;
        self.beats.push_back((self.last_beat, now));
        // An echo of an older beat could not extend the lease.
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

    /// Handles one message of lane Control from the coordinator.
    pub fn receive(&mut self, now: Tick, message: Message, out: &mut Vec<WorkerEffect>) {
        // Overdue attempts end before any message can extend the lease.
        self.tick(now, out);
        let (epoch, last_beat) = (self.epoch, self.last_beat);
        match message {
            Message::Dispatch(dispatch) => self.dispatched(now, dispatch, out),
            Message::BeatAck(ack) => self.heard(now, ack, out),
            // A former coordinator may be out of date. The present one will send the message too.
            Message::Cancel(cancel) if self.follows(cancel.epoch) => {
                self.cancelled(now, cancel.fence, cancel.force, out);
            }
            Message::ResultAck(ack) if self.follows(ack.epoch) => self.acknowledged(ack.fence),
            Message::Called(called) if self.follows(called.epoch) => {
                self.call_answered(called, out)
            }
            Message::Secret(answer) if self.follows(answer.epoch) => {
                self.secret_answered(*answer, out);
            }
            Message::Drain(drain) if self.follows(drain.epoch) => self.asked_to_drain(now, out),
            Message::Probe(probe) if self.follows(probe.epoch) => {
                self.probed(now, probe.fence, out)
            }
            // Also answers coordinators of later epochs and other stores: the echo of the next beat
            // shows that they are at work.
            Message::WhoIsThere(who) if !self.is_past(who.epoch) => {
                self.hello(now, out);
            }
            // The others are for coordinators, for lane Logs, or unknown. The shell has logged
            // them.
            _ => {}
        }
        if self.epoch != epoch && self.last_beat == last_beat && self.said_hello {
            // The coordinator dispatches nothing before it knows that the worker follows it.
            self.beat(now, out);
        }
    }

    /// Handles the acknowledgement of a beat.
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

    /// Performs everything that is due.
    pub fn tick(&mut self, now: Tick, out: &mut Vec<WorkerEffect>) {
        if self.fence_at().is_some_and(|at| at <= now) {
            self.fence_retryable(now, out);
        }
        while let Some((at, fence)) = self.timeouts.first().copied()
            && at <= now
        {
            self.timeouts.pop_first();
            self.stop(now, fence, StopReason::TimedOut, Duration::MAX, out);
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
            // An attempt in a slot takes longer than expected: another worker may have a free slot.
            self.release(now, fence, ReleasedHow::NeverRan, out);
        }
        self.resend_calls(now, out);
        self.resend_secrets(now, out);
        self.offer_again(now, out);
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
        let refuse = if !self.renew(dispatch.seq_echo) || self.stop_at(dispatch.grace) <= now {
            Some(RejectReason::Stale)
        } else if self.draining.is_some() {
            Some(RejectReason::Draining)
        } else if !self.offers(Offered::of(&dispatch)) {
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

    /// Ends an attempt of which nothing is alive any more. `last_log_seq` is the number of its last
    /// log line.
    pub fn finished(
        &mut self,
        now: Tick,
        fence: Fence,
        outcome: Outcome,
        last_log_seq: u64,
        killed: bool,
        out: &mut Vec<WorkerEffect>,
    ) {
        let Some(held) = self.held.get_mut(&fence) else { return };
        let (since, reason, dropped) = match held.phase {
            Phase::Running { since } => (since, None, false),
            Phase::Stopping { since, reason, dropped, .. } => (since, Some(reason), dropped),
            Phase::Waiting | Phase::Ended(_) => return,
        };
        self.forget_calls(fence);
        self.forget_secrets(fence);
        let Some(held) = self.held.get_mut(&fence) else { return };
        let action = held.dispatch.action.clone();
        let bundle = held.dispatch.bundle.clone();
        let offered = match &bundle {
            Some(bundle) => Offered::Runtime(&bundle.runtime),
            None => Offered::Action(&action),
        };
        if let Some(timeout) = held.dispatch.timeout {
            self.timeouts.remove(&(since + timeout, fence));
        }
        if held.unslotted {
            let key = unslotted_key(&held.dispatch);
            self.leave_unslotted(&key);
        } else if !self.parked.remove(&fence) {
            self.running -= 1;
        }
        let Some(held) = self.held.get_mut(&fence) else { return };
        let outcome = match (outcome, reason) {
            (Outcome::Cancelled, Some(StopReason::TimedOut)) => Outcome::TimedOut,
            (Outcome::Cancelled, Some(StopReason::ShuttingDown)) => Outcome::Failed(
                Failure::new("the worker shut down before the action had finished")
                    .code(FailureCode::WorkerShutdown)
                    .kind("WorkerShutdown"),
            ),
            (outcome, _) => outcome,
        };
        let not_started = outcome.reason_not_started().map(str::to_owned);
        if not_started.is_none() {
            self.holds.started(offered);
        }
        if dropped {
            self.held.remove(&fence);
            out.push(WorkerEffect::Forget(fence));
        } else if let Some(why) = not_started {
            self.give_back(now, fence, offered, why, out);
        } else if reason == Some(StopReason::Fenced) && outcome == Outcome::Cancelled {
            self.release(now, fence, ReleasedHow::Killed, out);
        } else {
            let ran_us = now.since(since).as_micros() as u64;
            let killed = killed && matches!(outcome, Outcome::Cancelled | Outcome::TimedOut);
            held.phase = Phase::Ended(Box::new(Message::Result(ResultReport {
                fence,
                outcome,
                last_log_seq,
                ran_us,
                killed,
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

    /// Sends the acceptance of an attempt if it was not sent yet, or if `again` is true.
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
