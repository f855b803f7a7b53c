//! The coordinator's side of the protocol, as a state machine.

mod availability;
mod callers;
mod cascade;
mod catalogue;
mod children;
mod credit;
mod deploy;
mod drain;
mod environments;
mod introduction;
mod pause;
mod queue;
mod queue_head;
mod queue_info;
mod read;
mod recovery;
mod report;
mod runtimes;
mod schedule;
mod secrets;
mod tally;
mod terms;
mod tombstones;
mod worker;
mod worker_load;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use self::callers::HeldByCallers;
use self::catalogue::KnownActions;
pub use self::catalogue::{Catalogue, CatalogueEntry};
use self::children::Children;
pub(crate) use self::drain::unknown_worker;
pub(crate) use self::pause::unknown_queue;
use self::queue::{DelayedKey, LaneKey, WaitingKey, Wanted};
use self::queue_head::Window;
pub use self::queue_info::QueueInfo;
pub use self::read::{Cascade, PendingCall, PendingSecret, Read};
use self::secrets::SecretReads;
pub(crate) use self::tally::Subject;
use self::tally::Subjects;
pub use self::tally::{Tally, WorkerLoad};
use self::tombstones::Departed;
use self::worker::WorkerEntry;
pub use self::worker::{RunningAttempt, WorkerInfo};
use super::config::ProtocolConfig;
use super::message::{Cancel, Message, Recorded, WhoIsThere};
use super::tick::Tick;
use crate::model::address::Address;
use crate::model::digest::Digest;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::Execution;
use crate::model::fence::{Epoch, Fence};
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::outcome::Outcome;
use crate::model::retry::RetryOn;
use crate::model::status::Status;
use crate::model::time::Timestamp;
use crate::model::trace::Sampling;
use crate::model::transition::Transition;
use crate::refusals::Refusal;

/// An effect that the machine requests. Effects are performed in order. Those after a `Persist` of
/// the same call may be performed only once it is committed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum CoordinatorEffect {
    /// Commit this transition.
    Persist(Transition),
    /// Send this message.
    Send(Address, Message),
    /// The log of this attempt ends with this line; `None` means with the last line that arrived.
    LogEnds {
        /// The execution.
        execution: ExecutionId,
        /// The attempt.
        fence: Fence,
        /// The number of its last line.
        last_seq: Option<u64>,
    },
    /// Perform this read.
    Read(Read),
    /// Read this execution once everything is committed, and pass it to
    /// [`CoordinatorMachine::cancel_stored_child`] before anything else happens.
    CancelStored {
        /// The execution.
        execution: ExecutionId,
        /// The execution that called it.
        parent: ExecutionId,
    },
    /// Count and log a message that was not taken.
    Refused {
        /// The sender of the message.
        from: WorkerId,
        /// The reason.
        reason: Refusal,
        /// The subject of the message.
        detail: String,
    },
}

/// The effect of a request to cancel.
///
/// ```
/// # use tinpot_core::{Failure, FunctionExecutor, local};
/// use tinpot_core::{CancelOutcome, Outcome};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let executor = FunctionExecutor::builder()
/// #     .action("tick", |_, ()| async { Ok::<_, Failure>("tock") })
/// #     .build()?;
/// # let tinpot = local(executor).await?;
/// tinpot.pause_queue("default").await?;
/// let execution = tinpot.submit("tick", ()).await?;
/// match execution.cancel(false).await? {
///     CancelOutcome::Cancelled => println!("it had not started"),
///     CancelOutcome::Requested => println!("its worker ends it"),
///     _ => {}
/// }
/// assert_eq!(execution.outcome().await?, Outcome::Cancelled);
/// # tinpot.shutdown(std::time::Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelOutcome {
    /// The execution was waiting and is cancelled.
    Cancelled,
    /// The attempt was asked to end.
    Requested,
}

impl CancelOutcome {
    /// Returns the status of the execution after the cancel.
    pub fn status(self) -> Status {
        match self {
            CancelOutcome::Cancelled => Status::Cancelled,
            CancelOutcome::Requested => Status::Cancelling,
        }
    }
}

/// The waiting executions, by queue and lane.
type Waiting = BTreeMap<Arc<str>, BTreeMap<LaneKey, Window<WaitingKey>>>;

/// The number of settled fences in memory, so that a repeated report is answered with `duplicate`.
/// Enough for every report in flight.
const SETTLED_FENCES: usize = 8192;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The lease of the worker with this number may have expired.
    Expiry(u64),
    /// The worker with this number may have missed its beats.
    Silence(u64),
    /// The worker with this number, which was declared dead, may have been silent for long enough.
    DeclaredDead(u64),
    /// A message to the worker with this number may have to be resent.
    Resend(u64),
    /// The execution has expired.
    Expired(ExecutionId),
    /// The execution's next attempt may start.
    Retry(ExecutionId),
    /// The availability of the actions has to be computed again.
    Refresh,
    /// Executions that are only in the store may have expired.
    Sweep,
}

/// An unfinished execution in memory: one with a live attempt, or one at the head of its queue.
#[derive(Debug)]
struct Active {
    execution: Arc<Execution>,
    /// The number of attempts that may have run.
    tries: u32,
    /// The number of those attempts that were lost.
    lost: u32,
    /// The deadline for the start of the execution.
    expires: Option<Tick>,
    /// The time from which on it can run.
    queued_at: Timestamp,
    state: ActiveState,
}

#[derive(Debug)]
enum ActiveState {
    Waiting,
    Delayed { at: Tick, not_before: Timestamp },
    Granted(Grant),
}

#[derive(Debug)]
struct Grant {
    fence: Fence,
    worker: WorkerId,
    accepted: bool,
    started: bool,
    cancel: Option<Cancel>,
    sent_at: Tick,
    /// The time at which the attempt was granted, for people.
    since: Timestamp,
}

/// The outcome of an attempt, and its duration if the worker reported it.
struct End {
    outcome: Outcome,
    ran: Option<Duration>,
    log_end: Option<u64>,
}

impl From<Outcome> for End {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, ran: None, log_end: None }
    }
}

/// The decisions of a coordinator: which submissions to accept, which worker runs them, which
/// reports count, and which messages to send.
///
/// The machine is pure: the same calls have the same effects. The caller owns clock, store and
/// transport, and performs the effects in order.
#[derive(Debug)]
pub struct CoordinatorMachine {
    config: ProtocolConfig,
    epoch: Epoch,
    /// The longest lease of the attempts that were restored from earlier epochs.
    longest_lease: Duration,
    last_number: u64,
    /// The largest number of an execution.
    last_execution: u64,
    /// The largest number among the executions of a deployed action, by its key, as far as this epoch
    /// knows.
    last_app_runs: HashMap<Arc<str>, u64>,
    /// A tick, and the wall clock's time at that tick.
    clock: (Tick, Timestamp),
    /// The number of unfinished executions, in memory or not.
    unfinished: usize,
    held_by_callers: HeldByCallers,
    active: HashMap<ExecutionId, Active>,
    granted: HashMap<Fence, ExecutionId>,
    waiting: Waiting,
    delayed: Window<DelayedKey>,
    delayed_in: BTreeMap<Arc<str>, u64>,
    /// The paused queues, and the times at which they were paused.
    paused: BTreeMap<Arc<str>, Timestamp>,
    /// The queues of which some teams have paused their part, with these teams.
    paused_of_teams: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Timestamp>>,
    wanted: BTreeSet<Wanted>,
    sweeping: bool,
    workers: BTreeMap<WorkerId, WorkerEntry>,
    worker_numbers: BTreeMap<u64, WorkerId>,
    /// The number of workers of each name.
    names: HashMap<String, usize>,
    /// The size of what all workers say of themselves, in bytes.
    workers_bytes: usize,
    /// The room that the workers of each team take which serve no other.
    of_teams: BTreeMap<Arc<str>, introduction::Taken>,
    /// The workers without an entry whose hello was refused, and when.
    refused: BTreeMap<WorkerId, Tick>,
    /// The time at which the availability of the actions may be computed again.
    refresh_at: Tick,
    last_worker_number: u64,
    departed: Departed,
    actions: KnownActions,
    /// The bundles that were removed.
    gone: BTreeSet<Digest>,
    children: Children,
    secret_reads: SecretReads,
    timers: BTreeSet<(Tick, Timer)>,
    settled: VecDeque<Fence>,
    settled_set: std::collections::HashSet<Fence>,
    version: u64,
    tally: Tally,
    subjects: Subjects,
    /// The choice of traces, if spans are recorded.
    sampling: Option<Sampling>,
    /// The last time at which the store was asked for its epoch.
    asked_at: Option<Tick>,
}

impl CoordinatorMachine {
    /// Creates a coordinator in this epoch, without executions or workers.
    pub fn new(config: ProtocolConfig, epoch: Epoch) -> Self {
        Self {
            config,
            epoch,
            longest_lease: Duration::ZERO,
            last_number: 0,
            last_execution: 0,
            last_app_runs: HashMap::new(),
            clock: (Tick(0), Timestamp(0)),
            unfinished: 0,
            held_by_callers: HeldByCallers::default(),
            active: HashMap::new(),
            granted: HashMap::new(),
            waiting: Waiting::new(),
            delayed: Window::default(),
            delayed_in: BTreeMap::new(),
            paused: BTreeMap::new(),
            paused_of_teams: BTreeMap::new(),
            wanted: BTreeSet::new(),
            sweeping: false,
            workers: BTreeMap::new(),
            worker_numbers: BTreeMap::new(),
            names: HashMap::new(),
            workers_bytes: 0,
            of_teams: BTreeMap::new(),
            refused: BTreeMap::new(),
            refresh_at: Tick(0),
            last_worker_number: 0,
            departed: Departed::default(),
            actions: KnownActions::default(),
            gone: BTreeSet::new(),
            children: Children::default(),
            secret_reads: SecretReads::default(),
            timers: BTreeSet::new(),
            settled: VecDeque::new(),
            settled_set: std::collections::HashSet::new(),
            version: 0,
            tally: Tally::default(),
            subjects: Subjects::default(),
            sampling: None,
            asked_at: None,
        }
    }

    /// Returns the epoch in which it grants attempts.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Returns the configuration.
    pub fn config(&self) -> &ProtocolConfig {
        &self.config
    }

    /// Returns a number that grows with every change of workers or catalogue.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns the number of unfinished executions.
    pub fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// Returns when [`tick`](Self::tick) must be called.
    pub fn wake_at(&self) -> Option<Tick> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Accepts a new execution under the next number, and grants it at once if a worker has a free
    /// slot.
    ///
    /// # Errors
    /// `Overloaded` when too many have not ended; `StorageFull` when too many of its caller have not;
    /// `Conflict` when the id exists, or when the action of a worker was deployed meanwhile.
    pub fn submit(
        &mut self,
        now: Tick,
        mut execution: Arc<Execution>,
        out: &mut Vec<CoordinatorEffect>,
    ) -> Result<()> {
        if self.unfinished >= self.config.max_unfinished {
            let message =
                format!("{} executions have not ended: no more are accepted now", self.unfinished);
            return Err(Error::new(ErrorKind::Overloaded, message));
        }
        let id = execution.id;
        if self.active.contains_key(&id) {
            return Err(Error::new(ErrorKind::Conflict, format!("execution {id} exists already")));
        }
        self.check_pinned(&execution)?;
        self.held_by_callers.add(&self.config, &execution)?;
        self.unfinished += 1;
        self.last_execution += 1;
        let new = Arc::make_mut(&mut execution);
        new.number = self.last_execution;
        if new.bundle.is_some() {
            // What the store has is larger after a restart.
            let last = self.last_app_runs.entry(new.action_key()).or_default();
            *last = (*last).max(new.app_run) + 1;
            new.app_run = *last;
        }
        out.push(CoordinatorEffect::Persist(Transition::Accept(execution.clone())));
        let not_before = execution.not_before;
        self.enqueue(now, Active::waiting(execution), not_before);
        if not_before.is_none() {
            self.place(now, id, out);
        }
        Ok(())
    }

    /// Cancels an execution and its children: at once if it waits, else by asking its worker. If
    /// `force` is true, there is no grace period.
    ///
    /// # Errors
    /// `NotFound` if it is not in memory: see [`cancel_stored`](Self::cancel_stored).
    pub fn cancel(
        &mut self,
        now: Tick,
        id: ExecutionId,
        force: bool,
        out: &mut Vec<CoordinatorEffect>,
    ) -> Result<CancelOutcome> {
        let active = self.active.get(&id);
        let fence = active.and_then(Active::fence);
        let may_have_children = fence.is_some() || active.is_some_and(|active| active.tries > 0);
        let outcome = self.cancel_alone(now, id, force, out)?;
        if may_have_children {
            self.cancel_children(now, id, fence, force, out);
        }
        Ok(outcome)
    }

    fn cancel_alone(
        &mut self,
        now: Tick,
        id: ExecutionId,
        force: bool,
        out: &mut Vec<CoordinatorEffect>,
    ) -> Result<CancelOutcome> {
        let Some(active) = self.active.get_mut(&id) else {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("execution {id} has ended or does not exist"),
            ));
        };
        if let ActiveState::Granted(grant) = &mut active.state {
            let repeated = grant.cancel.is_some_and(|earlier| earlier.force || !force);
            if grant.cancel.is_none() {
                out.push(CoordinatorEffect::Persist(Transition::Cancelling { execution: id }));
            }
            if !repeated {
                let cancel = Cancel { epoch: self.epoch, fence: grant.fence, force };
                grant.cancel = Some(cancel);
                self.send_again(now, id, out);
            }
            return Ok(CancelOutcome::Requested);
        }
        self.finish(now, id, None, Outcome::Cancelled.into(), out);
        Ok(CancelOutcome::Cancelled)
    }

    /// Handles a new connection: asks all workers for a hello.
    pub fn link_up(&mut self, out: &mut Vec<CoordinatorEffect>) {
        let message = Message::WhoIsThere(WhoIsThere { epoch: self.epoch });
        out.push(CoordinatorEffect::Send(Address::AllWorkers, message));
    }

    /// Performs everything that is due.
    pub fn tick(&mut self, now: Tick, out: &mut Vec<CoordinatorEffect>) {
        while let Some((at, timer)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.pop_first();
            match timer {
                Timer::Expiry(number) => self.check_expiry(now, number, out),
                Timer::Silence(number) => self.check_silence(now, number),
                Timer::DeclaredDead(number) => self.check_declared_dead(now, number, out),
                Timer::Resend(number) => self.resend(now, number, out),
                Timer::Retry(id) => self.ready(now, id, out),
                Timer::Expired(id) => self.expired(now, id, out),
                Timer::Refresh => self.refresh_catalogue(now),
                Timer::Sweep => self.sweep(now),
            }
        }
    }

    /// Ends an execution. It is not active any more.
    fn finish(
        &mut self,
        now: Tick,
        id: ExecutionId,
        fence: Option<Fence>,
        end: End,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        if let Some(active) = self.active.remove(&id) {
            self.unfinished = self.unfinished.saturating_sub(1);
            self.held_by_callers.remove(&active.execution);
            self.dequeue(&active);
            self.subjects.note(&active);
        }
        let End { outcome, ran, log_end } = end;
        let awaited = self.children.awaits(id).then(|| outcome.clone());
        out.push(CoordinatorEffect::Persist(Transition::Finish {
            execution: id,
            fence,
            outcome,
            ran,
            log_end,
        }));
        if let Some(outcome) = awaited {
            self.child_ended(id, &outcome, out);
        }
        if let Some(fence) = fence {
            self.caller_ended(now, id, fence, out);
        }
    }

    /// Ends an attempt that may have run: the execution ends with `outcome`, or waits for its next
    /// attempt.
    fn end_attempt(
        &mut self,
        now: Tick,
        id: ExecutionId,
        fence: Fence,
        end: End,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let Some(active) = self.active.get_mut(&id) else { return };
        active.tries += 1;
        let lost = end.outcome == Outcome::Lost;
        active.lost += u32::from(lost);
        let cancelling =
            matches!(&active.state, ActiveState::Granted(grant) if grant.cancel.is_some());
        let retryable =
            !matches!(end.outcome, Outcome::Succeeded(_) | Outcome::Cancelled) && !cancelling;
        let retryable = retryable && (lost || active.execution.retry.on == RetryOn::Any);
        let permanent = end.outcome.failure().is_some_and(|failure| failure.permanent);
        let policy = active.execution.retry;
        let poisoned = lost && !policy.is_never() && active.lost >= policy.max_lost_attempts;
        let delay = policy.delay_after(id, active.tries).filter(|_| retryable && !permanent);
        match delay {
            _ if poisoned && !cancelling => {
                let outcome = Outcome::poisoned(active.lost);
                self.finish(now, id, Some(fence), End { outcome, ..end }, out);
            }
            Some(delay) => self.requeue(now, id, fence, Some(end), delay, out),
            None => self.finish(now, id, Some(fence), end, out),
        }
    }

    fn requeue(
        &mut self,
        now: Tick,
        id: ExecutionId,
        fence: Fence,
        end: Option<End>,
        delay: Duration,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let Some(mut active) = self.active.remove(&id) else { return };
        let (ran, log_end) = end.as_ref().map_or((None, None), |end| (end.ran, end.log_end));
        let outcome = end.map(|end| end.outcome);
        let not_before = (!delay.is_zero()).then(|| self.time(now).after(delay));
        self.subjects.note(&active);
        active.queued_at = not_before.unwrap_or_else(|| self.time(now));
        out.push(CoordinatorEffect::Persist(Transition::Requeue {
            execution: id,
            fence,
            outcome,
            ran,
            log_end,
            not_before,
        }));
        self.caller_ended(now, id, fence, out);
        self.enqueue(now, active, not_before);
        if not_before.is_none() {
            self.place(now, id, out);
        }
    }

    /// Records that the reports of `fence` are settled.
    fn remember_settled(&mut self, fence: Fence) {
        if self.settled.len() >= SETTLED_FENCES
            && let Some(oldest) = self.settled.pop_front()
        {
            self.settled_set.remove(&oldest);
        }
        self.settled.push_back(fence);
        self.settled_set.insert(fence);
    }

    fn recorded_before(&self, fence: Fence) -> Recorded {
        if self.settled_set.contains(&fence) { Recorded::Duplicate } else { Recorded::Stale }
    }
}
