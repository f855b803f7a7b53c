//! Persist before send: what a turn of the control loop has to commit, what waits for that, and what is read between two commits.
//!
//! Without clock, channels or I/O, like the machine that it wraps: the control loop and the simulator do what it says.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::idempotency::RecentKeys;
use crate::model::address::Address;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::Execution;
use crate::model::fence::{Epoch, Fence};
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::page::QueuePage;
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::protocol::{CancelOutcome, CoordinatorEffect, CoordinatorMachine, Message, Tick};

/// What became of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    New,
    /// Its key is that of an execution that was accepted just before.
    Before(ExecutionId),
    /// Its key may have been accepted since it was looked for.
    LookAgain,
}

/// An answer to whoever waits; `S`, `C` and `Q` are what they wait with.
#[derive(Debug)]
pub(crate) enum Answer<S, C, Q> {
    Submit(S, Accepted),
    /// Not accepted; the id is there when it had been taken on, and nothing of it is left now.
    Refused(Option<ExecutionId>, S, Error),
    Cancel(C, Result<CancelOutcome>),
    /// A queue is paused or resumed, or is not.
    Queue(Q, Result<()>),
}

/// Answers that wait for the commit of what they tell.
#[derive(Debug)]
enum Reply<S, C, Q> {
    Submitted(Arc<Execution>, S),
    Repeated(ExecutionId, S),
    Cancelled(Result<CancelOutcome>, C),
    /// Not in memory: perhaps it waits in the store.
    CancelStored(ExecutionId, C),
    Queue(Q),
}

/// What to do next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Commit the batch; then [`Turn::committed`] or [`Turn::hold`].
    Commit,
    /// Read this execution, then [`Turn::found`].
    Find(ExecutionId),
    /// Read this page, then [`Turn::loaded`] or [`Turn::not_loaded`].
    Load(QueuePage),
    /// Wait for something to happen.
    Rest,
}

/// The machine and what it wants done.
#[derive(Debug)]
pub(crate) struct Turn<S, C, Q> {
    pub(crate) machine: CoordinatorMachine,
    pub(crate) effects: Vec<CoordinatorEffect>,
    /// To be committed, and what waits for it. More than one turn's worth only while the store cannot write.
    batch: Vec<Transition>,
    after: Vec<CoordinatorEffect>,
    replies: Vec<Reply<S, C, Q>>,
    /// Cancels of what is not in memory.
    stored_cancels: VecDeque<(ExecutionId, C)>,
    /// A page could not be read: it is tried again in the next turn.
    reading_failed: bool,
    recent_keys: RecentKeys,
    commits: u64,
    store_failing: bool,
    superseded: Option<Epoch>,
}

impl<S, C, Q> Turn<S, C, Q> {
    pub(crate) fn new(machine: CoordinatorMachine) -> Self {
        Self {
            machine,
            effects: Vec::new(),
            batch: Vec::new(),
            after: Vec::new(),
            replies: Vec::new(),
            stored_cancels: VecDeque::new(),
            reading_failed: false,
            recent_keys: RecentKeys::default(),
            commits: 0,
            store_failing: false,
            superseded: None,
        }
    }

    /// Whether the last commit failed, so that nothing new is accepted.
    pub(crate) fn store_failing(&self) -> bool {
        self.store_failing
    }

    /// How many commits there were.
    pub(crate) fn commits(&self) -> u64 {
        self.commits
    }

    /// How much waits to be done once the store can write.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn held(&self) -> usize {
        self.after.len()
    }

    /// The later life of this store at which ours ended.
    pub(crate) fn superseded(&self) -> Option<Epoch> {
        self.superseded
    }

    /// Accepts an execution; the answer, when it need not wait. `commits`: how many there were when its key was looked for in the store.
    pub(crate) fn submit(
        &mut self,
        now: Tick,
        execution: Arc<Execution>,
        commits: u64,
        reply: S,
    ) -> Option<Answer<S, C, Q>> {
        if self.store_failing {
            let error = Error::new(ErrorKind::StorageFull, "the store cannot write now");
            return Some(Answer::Refused(None, reply, error));
        }
        if let Some(key) = &execution.idempotency_key {
            if let Some(earlier) = self.recent_keys.find(key) {
                self.replies.push(Reply::Repeated(earlier, reply));
                return None;
            }
            if self.recent_keys.may_have_missed(commits) {
                return Some(Answer::Submit(reply, Accepted::LookAgain));
            }
        }
        if let Err(error) = self.machine.submit(now, execution.clone(), &mut self.effects) {
            return Some(Answer::Refused(None, reply, error));
        }
        if let Some(key) = &execution.idempotency_key {
            self.recent_keys.insert(self.commits + 1, key.clone(), execution.id);
        }
        self.replies.push(Reply::Submitted(execution, reply));
        None
    }

    /// Cancels an execution.
    pub(crate) fn cancel(&mut self, now: Tick, id: ExecutionId, force: bool, reply: C) {
        let outcome = self.machine.cancel(now, id, force, &mut self.effects);
        self.replies.push(match outcome {
            Err(_) => Reply::CancelStored(id, reply),
            outcome => Reply::Cancelled(outcome, reply),
        });
    }

    /// Pauses a queue or resumes it; the answer, when it need not wait.
    pub(crate) fn set_paused(
        &mut self,
        now: Tick,
        queue: &str,
        paused: bool,
        reply: Q,
    ) -> Option<Answer<S, C, Q>> {
        // Who pauses and resumes by turns must not fill the memory.
        if self.store_failing {
            let error = Error::new(ErrorKind::StorageFull, "the store cannot write now");
            return Some(Answer::Queue(reply, Err(error)));
        }
        let changed = match paused {
            true => self.machine.pause_queue(now, queue, &mut self.effects),
            false => self.machine.resume_queue(now, queue, &mut self.effects),
        };
        match changed {
            Ok(()) => {
                self.replies.push(Reply::Queue(reply));
                None
            }
            error => Some(Answer::Queue(reply, error)),
        }
    }

    /// Lets the machine do what is due; `time` is what the wall clock shows.
    pub(crate) fn tick(&mut self, now: Tick, time: Timestamp) {
        self.reading_failed = false;
        self.machine.set_time(now, time);
        self.machine.tick(now, &mut self.effects);
    }

    /// Takes over what the machine wants done: `granted` hears of new attempts before they are committed, `send` gets what waits for no
    /// commit. Answers whether there is something to commit; if not, [`committed`](Self::committed) may be called at once.
    pub(crate) fn stage(
        &mut self,
        mut granted: impl FnMut(ExecutionId, Fence, u32),
        mut send: impl FnMut(Address, Message),
    ) -> bool {
        for effect in self.effects.drain(..) {
            match effect {
                CoordinatorEffect::Persist(transition) => {
                    if let Transition::Grant { execution, fence, attempt, .. } = &transition {
                        granted(*execution, *fence, *attempt);
                    }
                    self.batch.push(transition);
                }
                CoordinatorEffect::Send(to, message) if keeps_alive(&message) => send(to, message),
                CoordinatorEffect::Superseded(epoch) => self.superseded = Some(epoch),
                effect => self.after.push(effect),
            }
        }
        !self.batch.is_empty()
    }

    /// What is to be committed now.
    pub(crate) fn batch(&self) -> &[Transition] {
        &self.batch
    }

    /// Everything is committed: what was, what may be done now, and who may be told.
    pub(crate) fn committed(
        &mut self,
        mut transition: impl FnMut(Transition),
        mut effect: impl FnMut(CoordinatorEffect),
        mut answer: impl FnMut(Answer<S, C, Q>),
    ) {
        if !self.batch.is_empty() {
            self.commits += 1;
        }
        // With nothing held that would show it, the next submission shows whether the store can write again.
        self.store_failing = false;
        self.after.drain(..).for_each(&mut effect);
        self.batch.drain(..).for_each(&mut transition);
        for reply in self.replies.drain(..) {
            match reply {
                Reply::Submitted(_, reply) => answer(Answer::Submit(reply, Accepted::New)),
                Reply::Repeated(id, reply) => answer(Answer::Submit(reply, Accepted::Before(id))),
                Reply::Cancelled(outcome, reply) => answer(Answer::Cancel(reply, outcome)),
                Reply::CancelStored(id, reply) => self.stored_cancels.push_back((id, reply)),
                Reply::Queue(reply) => answer(Answer::Queue(reply, Ok(()))),
            }
        }
    }

    /// Nothing was committed: new executions are refused, and the rest is held until the store can write. That is bounded by what the
    /// workers hold, since nothing new is accepted or dispatched meanwhile, and nothing is held twice.
    pub(crate) fn hold(
        &mut self,
        now: Tick,
        error: &Error,
        mut answer: impl FnMut(Answer<S, C, Q>),
    ) {
        self.store_failing = true;
        // What is not answered is repeated, and so are the answers: of each the last one is enough.
        let mut later = HashSet::new();
        self.after.reverse();
        self.after.retain(|effect| Repeated::of(effect).is_none_or(|what| later.insert(what)));
        self.after.reverse();
        let refused = || Error::new(error.kind(), error.message().to_owned());
        for reply in self.replies.drain(..) {
            match reply {
                Reply::Submitted(execution, reply) => {
                    let id = execution.id;
                    // One that expired in the turn in which it came is forgotten already.
                    if !self.batch.iter().any(|transition| ends(transition, id)) {
                        let delayed = waits_for_its_time(&self.batch, id);
                        self.machine.forget(now, &execution, delayed, &mut self.effects);
                    }
                    self.batch.retain(|transition| transition.execution() != Some(id));
                    self.after.retain(|effect| !concerns(effect, id));
                    // Taking one back makes room for the next, which may be taken back too.
                    self.effects.retain(|effect| !concerns(effect, id));
                    if let Some(key) = &execution.idempotency_key {
                        self.recent_keys.remove(key);
                    }
                    answer(Answer::Refused(Some(id), reply, refused()));
                }
                Reply::Repeated(_, reply) => answer(Answer::Refused(None, reply, refused())),
                Reply::Cancelled(_, reply) | Reply::CancelStored(_, reply) => {
                    let error = refused().with_context("the cancel is not recorded yet");
                    answer(Answer::Cancel(reply, Err(error)));
                }
                Reply::Queue(reply) => {
                    let error =
                        refused().with_context("the change of the queue is not recorded yet");
                    answer(Answer::Queue(reply, Err(error)));
                }
            }
        }
    }

    /// What to do after a commit. The store is read only while it knows everything that is decided: what it shows could be out of date else.
    pub(crate) fn next(&mut self, now: Tick) -> Step {
        if self.store_failing {
            return Step::Rest;
        }
        if !self.effects.is_empty() || !self.replies.is_empty() {
            return Step::Commit;
        }
        if let Some((id, _)) = self.stored_cancels.front() {
            return Step::Find(*id);
        }
        if self.reading_failed {
            return Step::Rest;
        }
        self.machine.page_wanted(now).map_or(Step::Rest, Step::Load)
    }

    /// What the store knows of an execution that was not in memory when its cancel came.
    pub(crate) fn found(&mut self, execution: Result<Option<Arc<Execution>>>) {
        let Some((id, reply)) = self.stored_cancels.pop_front() else { return };
        let not_found = || {
            let message = format!("execution {id} has ended or does not exist");
            Error::new(ErrorKind::NotFound, message)
        };
        let outcome = match execution {
            Ok(Some(execution)) if self.machine.cancel_stored(&execution, &mut self.effects) => {
                Ok(CancelOutcome::Cancelled)
            }
            Ok(_) => Err(not_found()),
            Err(error) => Err(error),
        };
        self.replies.push(Reply::Cancelled(outcome, reply));
    }

    /// What a page has.
    pub(crate) fn loaded(&mut self, now: Tick, page: &QueuePage, executions: Vec<Arc<Execution>>) {
        self.machine.loaded(now, page, executions, &mut self.effects);
    }

    /// A page cannot be read now.
    pub(crate) fn not_loaded(&mut self, page: QueuePage) {
        self.machine.not_loaded(page);
        self.reading_failed = true;
    }
}

/// What is sent again and again until it is answered.
#[derive(PartialEq, Eq, Hash)]
enum Repeated {
    Dispatch(Fence),
    Probe(Fence),
    Cancel(Fence),
    Drops(WorkerId),
    Drain(WorkerId),
    ResultAck(Fence),
}

impl Repeated {
    fn of(effect: &CoordinatorEffect) -> Option<Self> {
        let CoordinatorEffect::Send(Address::Worker(to), message) = effect else { return None };
        match message {
            Message::Dispatch(dispatch) => Some(Self::Dispatch(dispatch.fence)),
            Message::Probe(probe) => Some(Self::Probe(probe.fence)),
            Message::Cancel(cancel) => Some(Self::Cancel(cancel.fence)),
            Message::BeatAck(_) => Some(Self::Drops(to.clone())),
            Message::Drain(_) => Some(Self::Drain(to.clone())),
            Message::ResultAck(ack) => Some(Self::ResultAck(ack.fence)),
            _ => None,
        }
    }
}

/// Whether a message waits for no commit: what keeps leases alive. A list of attempts to drop does wait.
fn keeps_alive(message: &Message) -> bool {
    match message {
        Message::BeatAck(ack) => ack.drop.is_empty(),
        Message::WhoIsThere(_) => true,
        _ => false,
    }
}

fn ends(transition: &Transition, id: ExecutionId) -> bool {
    matches!(transition, Transition::Finish { execution, .. } if *execution == id)
}

/// Whether an execution waits for its time, as far as what is to be committed says.
fn waits_for_its_time(batch: &[Transition], id: ExecutionId) -> bool {
    let of_it = batch.iter().filter(|transition| transition.execution() == Some(id));
    of_it.fold(false, |delayed, transition| match transition {
        Transition::Accept(execution) => execution.not_before.is_some(),
        Transition::Requeue { not_before, .. } => not_before.is_some(),
        Transition::Ready { .. } | Transition::Grant { .. } => false,
        _ => delayed,
    })
}

fn concerns(effect: &CoordinatorEffect, id: ExecutionId) -> bool {
    match effect {
        CoordinatorEffect::Send(_, Message::Dispatch(dispatch)) => dispatch.execution == id,
        CoordinatorEffect::LogEnds { execution, .. } => *execution == id,
        CoordinatorEffect::Persist(transition) => transition.execution() == Some(id),
        _ => false,
    }
}
