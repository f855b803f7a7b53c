//! The coordinator without I/O: its machine, and the rule that nothing is sent before it is
//! committed.
//!
//! A turn of a shell takes inputs, then [`stage`](Core::stage)s what the machine decided. If that
//! includes something to commit, the shell commits the [`batch`](Core::batch) and calls
//! [`committed`](Core::committed) or [`hold`](Core::hold). At any time,
//! [`outputs`](Core::outputs) is what may be done now. The control loop and the simulator are the
//! two shells.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

mod effects;
mod exchange;

use self::effects::{Repeated, concerns, ends, keeps_alive, waits_for_its_time};
pub(crate) use self::exchange::{
    Accepted, Answer, CallAnswer, CallFound, Output, RequestedCancel, Response, Step, Ticket,
};
use super::idempotency::{RecentKeys, same};
use crate::model::action::Action;
use crate::model::digest::Digest;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::Execution;
use crate::model::fence::{Epoch, Fence};
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::opened::Opened;
use crate::model::page::QueuePage;
use crate::model::time::Timestamp;
use crate::model::trace::Sampling;
use crate::model::transition::Transition;
use crate::protocol::seal::WorkerGrant;
use crate::protocol::{
    CallId, CancelOutcome, Catalogue, CoordinatorEffect, CoordinatorMachine, Message,
    ProtocolConfig, QueueInfo, Read, SecretGet, Subject, Tally, Tick, WorkerInfo, WorkerLoad,
};

/// A reply that waits for a commit.
#[derive(Debug)]
enum Pending {
    Submitted(Arc<Execution>, Ticket),
    Repeated(ExecutionId, Ticket),
    Cancelled(Result<CancelOutcome>, Ticket),
    /// The execution is not in memory: perhaps it waits in the store.
    CancelStored(ExecutionId, RequestedCancel, Ticket),
    /// A change of a queue or of deployed actions.
    Change(&'static str, Ticket),
}

/// The machine, and its effects on their way to the store and to the shell.
#[derive(Debug)]
pub(crate) struct Core {
    machine: CoordinatorMachine,
    effects: Vec<CoordinatorEffect>,
    /// The transitions to commit. The batch holds more than one turn's decisions only while the
    /// store cannot write.
    batch: Vec<Transition>,
    /// Effects that wait for the commit of the batch.
    after: Vec<CoordinatorEffect>,
    pending: Vec<Pending>,
    outputs: Vec<Output>,
    /// Requested cancels of executions that are not in memory.
    stored_cancels: VecDeque<(ExecutionId, RequestedCancel, Ticket)>,
    /// Executions that are not in memory and are cancelled with their parents.
    stored_children: VecDeque<(ExecutionId, ExecutionId)>,
    /// If true, the store could not be read: it is tried again in the next turn.
    reading_failed: bool,
    recent_keys: RecentKeys,
    commits: u64,
    store_failing: bool,
    superseded: Option<Epoch>,
}

impl Core {
    pub(crate) fn new(machine: CoordinatorMachine) -> Self {
        Self {
            machine,
            effects: Vec::new(),
            batch: Vec::new(),
            after: Vec::new(),
            pending: Vec::new(),
            outputs: Vec::new(),
            stored_cancels: VecDeque::new(),
            stored_children: VecDeque::new(),
            reading_failed: false,
            recent_keys: RecentKeys::default(),
            commits: 0,
            store_failing: false,
            superseded: None,
        }
    }

    /// Takes over what earlier epochs left in the store.
    pub(crate) fn restore(&mut self, now: Tick, time: Timestamp, opened: Opened) {
        self.machine.restore(now, time, opened, &mut self.effects);
    }

    /// Returns true if the last commit failed: nothing new is accepted.
    pub(crate) fn store_failing(&self) -> bool {
        self.store_failing
    }

    /// Returns the number of commits.
    pub(crate) fn commits(&self) -> u64 {
        self.commits
    }

    /// Returns the later epoch of this store that ended ours, as the store has it.
    pub(crate) fn superseded(&self) -> Option<Epoch> {
        self.superseded
    }

    pub(crate) fn config(&self) -> &ProtocolConfig {
        self.machine.config()
    }

    /// Returns when [`tick`](Self::tick) must be called.
    pub(crate) fn wake_at(&self) -> Option<Tick> {
        self.machine.wake_at()
    }

    /// Returns a number that grows with every change of workers or catalogue.
    pub(crate) fn version(&self) -> u64 {
        self.machine.version()
    }

    pub(crate) fn catalogue(&self) -> &Catalogue {
        self.machine.catalogue()
    }

    /// Returns the workers that have introduced themselves, with their names.
    pub(crate) fn worker_names(&self) -> impl Iterator<Item = (&WorkerId, &str)> {
        self.machine.worker_names()
    }

    pub(crate) fn knows(&self, worker: &WorkerId) -> bool {
        self.machine.knows(worker)
    }

    pub(crate) fn workers(&self, now: Tick) -> Vec<WorkerInfo> {
        self.machine.workers(now)
    }

    pub(crate) fn loads(&self) -> Vec<WorkerLoad<'_>> {
        self.machine.loads()
    }

    /// Gives attempts their own places in traces.
    pub(crate) fn set_sampling(&mut self, sampling: Sampling) {
        self.machine.set_sampling(sampling);
    }

    pub(crate) fn tally(&self) -> Tally {
        self.machine.tally()
    }

    /// Remembers the executions behind the transitions of each batch.
    pub(crate) fn keep_subjects(&mut self) {
        self.machine.keep_subjects();
    }

    /// Returns the execution behind a transition of the batch.
    pub(crate) fn subject(&self, id: ExecutionId) -> Option<&Subject> {
        self.machine.subject(id)
    }

    /// Returns the execution of a live attempt.
    pub(crate) fn execution_of(&self, fence: Fence) -> Option<Arc<Execution>> {
        self.machine.execution_of(fence)
    }

    pub(crate) fn waits_for(&self, id: ExecutionId) -> Option<String> {
        self.machine.waits_for(id)
    }

    pub(crate) fn queues(&self) -> Vec<QueueInfo> {
        self.machine.queues()
    }

    /// Returns what may be done now, in order.
    pub(crate) fn outputs(&mut self) -> &mut Vec<Output> {
        &mut self.outputs
    }

    fn reply(&mut self, ticket: Ticket, response: Response) {
        self.outputs.push(Output::Reply(ticket, response));
    }

    /// Handles one message of lane Control from a worker. If `plain` is true, others can read what
    /// is sent to the worker.
    pub(crate) fn receive(&mut self, now: Tick, from: &WorkerId, plain: bool, message: Message) {
        match plain {
            true => self.machine.receive_plain(now, from, message, &mut self.effects),
            false => self.machine.receive(now, from, message, &mut self.effects),
        }
    }

    /// Returns true if a message is about attempts of teams that the worker's key does not serve.
    pub(crate) fn is_of_other_teams(
        &self,
        from: &WorkerId,
        message: &Message,
        grant: &WorkerGrant,
    ) -> bool {
        self.machine.is_of_other_teams(from, message, |team| grant.serves(team))
    }

    /// Forgets what a worker may do until its next hello.
    pub(crate) fn expect_hello(&mut self, from: &WorkerId) {
        self.machine.expect_hello(from);
    }

    /// Notes that the transport is up.
    pub(crate) fn link_up(&mut self) {
        self.machine.link_up(&mut self.effects);
    }

    /// Accepts an execution. `commits` is the number of commits when its key was looked up in the
    /// store. `removed` is an earlier execution with that key that the store has removed since.
    pub(crate) fn submit(
        &mut self,
        now: Tick,
        execution: Arc<Execution>,
        commits: u64,
        removed: Option<ExecutionId>,
        ticket: Ticket,
    ) {
        if self.store_failing {
            let error = Error::new(ErrorKind::StorageFull, "the store cannot write now");
            return self.reply(ticket, Response::Refused { withdrawn: None, error });
        }
        if let Some(key) = &execution.idempotency_key {
            if let Some(removed) = removed {
                self.recent_keys.remove(key, removed);
            }
            if let Some(earlier) = self.recent_keys.find(key) {
                return self.pending.push(Pending::Repeated(earlier, ticket));
            }
            if self.recent_keys.may_have_missed(commits) {
                return self.reply(ticket, Response::Submitted(Accepted::LookAgain));
            }
        }
        if let Err(error) = self.machine.submit(now, execution.clone(), &mut self.effects) {
            return self.reply(ticket, Response::Refused { withdrawn: None, error });
        }
        if let Some(key) = &execution.idempotency_key {
            self.recent_keys.insert(self.commits + 1, key.clone(), execution.id);
        }
        self.pending.push(Pending::Submitted(execution, ticket));
    }

    /// Cancels an execution.
    pub(crate) fn cancel(
        &mut self,
        now: Tick,
        id: ExecutionId,
        requested: RequestedCancel,
        ticket: Ticket,
    ) {
        let before = self.effects.len();
        let outcome = self.machine.cancel(now, id, requested.force, &mut self.effects);
        if outcome.is_err() {
            return self.pending.push(Pending::CancelStored(id, requested, ticket));
        }
        self.note_cancel(before, id, requested);
        self.pending.push(Pending::Cancelled(outcome, ticket));
    }

    /// Records the request to cancel, ahead of the effects from this position on. A repeated
    /// request has none.
    fn note_cancel(&mut self, before: usize, id: ExecutionId, requested: RequestedCancel) {
        if self.effects.len() > before {
            let RequestedCancel { by, force } = requested;
            let note = Transition::CancelRequested { execution: id, by, force };
            self.effects.insert(before, CoordinatorEffect::Persist(note));
        }
    }

    /// Pauses a queue or resumes it.
    pub(crate) fn set_paused(&mut self, now: Tick, queue: &str, paused: bool, ticket: Ticket) {
        // Pauses and resumes by turns must not fill the memory while nothing can be committed.
        if self.store_failing {
            let error = Error::new(ErrorKind::StorageFull, "the store cannot write now");
            return self.reply(ticket, Response::Done(Err(error)));
        }
        let changed = match paused {
            true => self.machine.pause_queue(now, queue, &mut self.effects),
            false => self.machine.resume_queue(now, queue, &mut self.effects),
        };
        match changed {
            Ok(()) => self.pending.push(Pending::Change("the change of the queue", ticket)),
            error => self.reply(ticket, Response::Done(error)),
        }
    }

    /// Puts deployed actions into the catalogue.
    pub(crate) fn deploy(&mut self, now: Tick, actions: &[Arc<Action>], ticket: Ticket) {
        if self.store_failing {
            let error = Error::new(ErrorKind::StorageFull, "the store cannot write now");
            return self.reply(ticket, Response::Done(Err(error)));
        }
        match self.machine.deploy(now, actions, &mut self.effects) {
            Ok(()) => self.pending.push(Pending::Change("the deploy", ticket)),
            error => self.reply(ticket, Response::Done(error)),
        }
    }

    /// Takes the bundles that were removed.
    pub(crate) fn remove_bundles(&mut self, bundles: BTreeSet<Digest>) {
        self.machine.remove_bundles(bundles);
    }

    /// Asks a worker to drain.
    pub(crate) fn drain_worker(&mut self, now: Tick, worker: &WorkerId, ticket: Ticket) {
        let asked = self.machine.drain_worker(now, worker, &mut self.effects);
        self.reply(ticket, Response::Done(asked));
    }

    /// Refuses a request for a secret.
    pub(crate) fn refuse_secret(&mut self, from: &WorkerId, get: SecretGet, error: &Error) {
        self.machine.refuse_secret(from, get, error, &mut self.effects);
    }

    /// Takes the answer to a read.
    pub(crate) fn answer(&mut self, now: Tick, answer: Answer) {
        let effects = &mut self.effects;
        match answer {
            Answer::Call(answer) => self.call_read(now, *answer),
            Answer::Outcome(id, execution) => {
                self.machine.outcome_read(id, execution.as_deref(), effects);
            }
            Answer::Secret(pending, state) => {
                self.machine.secret_read(*pending, state, effects);
            }
            Answer::Children(cascade, children) => {
                self.machine.children_read(now, cascade, &children, effects);
            }
            Answer::Epoch(epoch) => {
                self.superseded = epoch.filter(|epoch| *epoch != self.machine.epoch());
            }
        }
    }

    fn call_read(&mut self, now: Tick, answer: CallAnswer) {
        let CallAnswer { mut call, commits, found } = answer;
        let CallFound { execution, earlier } = match found {
            Ok(found) => found,
            Err(error) => return self.refuse_call(call.id, &error),
        };
        if let Some(earlier) = earlier {
            return match same(&execution, &earlier) {
                Ok(_) => self.machine.join_child(now, call.id, &earlier, &mut self.effects),
                Err(error) => self.refuse_call(call.id, &error),
            };
        }
        let Some(key) = execution.idempotency_key.clone() else { return };
        if let Some(removed) = call.known.take() {
            // The read began after its commit, so the store has removed it since.
            self.recent_keys.remove(&key, removed);
        }
        let known = self.recent_keys.find(&key);
        if known.is_some() || self.recent_keys.may_have_missed(commits) {
            call.known = known;
            return self.effects.push(CoordinatorEffect::Read(Read::Call(Box::new(call))));
        }
        let (id, execution) = (execution.id, Arc::new(execution));
        if self.machine.submit_child(now, call.id, execution, &mut self.effects) {
            self.recent_keys.insert(self.commits + 1, key, id);
        }
    }

    fn refuse_call(&mut self, id: CallId, error: &Error) {
        self.machine.refuse_call(id, error, &mut self.effects);
    }

    /// Lets the machine do what is due; `time` is the time of day.
    pub(crate) fn tick(&mut self, now: Tick, time: Timestamp) {
        self.reading_failed = false;
        self.machine.set_time(now, time);
        self.machine.tick(now, &mut self.effects);
    }

    /// Sorts the machine's effects, and returns true if there is something to commit. If not,
    /// [`committed`](Self::committed) may be called at once.
    pub(crate) fn stage(&mut self) -> bool {
        for effect in self.effects.drain(..) {
            match effect {
                CoordinatorEffect::Persist(transition) => {
                    if let Transition::Grant { execution, fence, attempt, worker, .. } = &transition
                    {
                        let (execution, fence, attempt) = (*execution, *fence, *attempt);
                        let (worker, team) = (worker.clone(), self.machine.team_of(execution));
                        let output = Output::Granted { execution, fence, attempt, worker, team };
                        self.outputs.push(output);
                    }
                    self.batch.push(transition);
                }
                CoordinatorEffect::Send(to, message) if keeps_alive(&message) => {
                    self.outputs.push(Output::Send(to, message));
                }
                CoordinatorEffect::Refused { from, reason, detail } => {
                    self.outputs.push(Output::Refused { from, reason, detail });
                }
                effect => self.after.push(effect),
            }
        }
        !self.batch.is_empty()
    }

    /// Returns what is to be committed now.
    pub(crate) fn batch(&self) -> &[Transition] {
        &self.batch
    }

    /// Notes that the batch is committed: what waited for it may be done.
    pub(crate) fn committed(&mut self) {
        if !self.batch.is_empty() {
            self.commits += 1;
            self.machine.forget_subjects();
        }
        // Without anything held that would show it, the next submission shows whether the store
        // can write again.
        self.store_failing = false;
        for effect in self.after.drain(..) {
            self.outputs.push(match effect {
                CoordinatorEffect::Send(to, message) => Output::Send(to, message),
                CoordinatorEffect::LogEnds { execution, fence, last_seq } => {
                    Output::LogEnds { execution, fence, last_seq }
                }
                CoordinatorEffect::Read(read) => Output::Read(read),
                CoordinatorEffect::CancelStored { execution, parent } => {
                    self.stored_children.push_back((execution, parent));
                    continue;
                }
                CoordinatorEffect::Persist(_) | CoordinatorEffect::Refused { .. } => continue,
            });
        }
        self.outputs.extend(self.batch.drain(..).map(Output::Committed));
        for pending in self.pending.drain(..) {
            let (ticket, response) = match pending {
                Pending::Submitted(_, ticket) => (ticket, Response::Submitted(Accepted::New)),
                Pending::Repeated(id, ticket) => {
                    (ticket, Response::Submitted(Accepted::Before(id)))
                }
                Pending::Cancelled(outcome, ticket) => (ticket, Response::Cancelled(outcome)),
                Pending::Change(_, ticket) => (ticket, Response::Done(Ok(()))),
                Pending::CancelStored(id, requested, ticket) => {
                    self.stored_cancels.push_back((id, requested, ticket));
                    continue;
                }
            };
            self.outputs.push(Output::Reply(ticket, response));
        }
    }

    /// Notes that nothing was committed. Submissions are refused, and everything else is held until
    /// the store can write. That is bounded by what the workers hold: nothing new is accepted or
    /// dispatched meanwhile, and nothing is held twice.
    pub(crate) fn hold(&mut self, now: Tick, error: &Error) {
        self.store_failing = true;
        // Messages without an answer are repeated, and so are our answers to them: the last one of
        // each is enough.
        let mut later = HashSet::new();
        self.after.reverse();
        self.after.retain(|effect| Repeated::of(effect).is_none_or(|what| later.insert(what)));
        self.after.reverse();
        let refused = || Error::new(error.kind(), error.message().to_owned());
        for pending in std::mem::take(&mut self.pending) {
            let (ticket, response) = match pending {
                Pending::Submitted(execution, ticket) => {
                    self.withdraw(now, &execution);
                    let withdrawn = Some(execution.id);
                    (ticket, Response::Refused { withdrawn, error: refused() })
                }
                Pending::Repeated(_, ticket) => {
                    (ticket, Response::Refused { withdrawn: None, error: refused() })
                }
                Pending::Cancelled(_, ticket) | Pending::CancelStored(_, _, ticket) => {
                    let error = refused().with_context("the cancel is not recorded yet");
                    (ticket, Response::Cancelled(Err(error)))
                }
                Pending::Change(what, ticket) => {
                    let error = refused().with_context(format_args!("{what} is not recorded yet"));
                    (ticket, Response::Done(Err(error)))
                }
            };
            self.reply(ticket, response);
        }
    }

    /// Takes back an acceptance that could not be committed.
    fn withdraw(&mut self, now: Tick, execution: &Execution) {
        let id = execution.id;
        // If it expired in the turn in which it came, or when the withdrawal of another made room
        // for it, the machine has forgotten it already.
        let decided = self.effects.iter().filter_map(|effect| match effect {
            CoordinatorEffect::Persist(transition) => Some(transition),
            _ => None,
        });
        if !self.batch.iter().chain(decided).any(|transition| ends(transition, id)) {
            let delayed = waits_for_its_time(&self.batch, id);
            self.machine.forget(now, execution, delayed, &mut self.effects);
        }
        self.batch.retain(|transition| transition.execution() != Some(id));
        self.after.retain(|effect| !concerns(effect, id));
        // Its place may have gone to another submission of this turn, which may be withdrawn too.
        self.effects.retain(|effect| !concerns(effect, id));
        if let Some(key) = &execution.idempotency_key {
            self.recent_keys.remove(key, id);
        }
    }

    /// Returns what to do after a commit. The store is read only while it knows every decision;
    /// otherwise the read would be out of date.
    pub(crate) fn next(&mut self, now: Tick) -> Step {
        if self.store_failing {
            return Step::Rest;
        }
        if !self.effects.is_empty() || !self.pending.is_empty() {
            return Step::Commit;
        }
        if let Some((id, ..)) = self.stored_cancels.front() {
            return Step::Find(*id);
        }
        if self.reading_failed {
            return Step::Rest;
        }
        if let Some((id, _)) = self.stored_children.front() {
            return Step::Find(*id);
        }
        self.machine.page_wanted(now).map_or(Step::Rest, Step::Load)
    }

    /// Takes an execution that was not in memory when its cancel came.
    pub(crate) fn found(&mut self, now: Tick, execution: Result<Option<Arc<Execution>>>) {
        let Some((id, requested, ticket)) = self.stored_cancels.pop_front() else {
            return self.child_found(now, execution);
        };
        let before = self.effects.len();
        let outcome = match execution {
            Ok(Some(execution)) if self.machine.cancel_stored(&execution, &mut self.effects) => {
                self.note_cancel(before, id, requested);
                Ok(CancelOutcome::Cancelled)
            }
            Ok(_) => {
                let message = format!("execution {id} has ended or does not exist");
                Err(Error::new(ErrorKind::NotFound, message))
            }
            Err(error) => Err(error),
        };
        self.pending.push(Pending::Cancelled(outcome, ticket));
    }

    fn child_found(&mut self, now: Tick, execution: Result<Option<Arc<Execution>>>) {
        let Some((_, parent)) = self.stored_children.front().copied() else { return };
        match execution {
            Ok(execution) => {
                self.stored_children.pop_front();
                if let Some(child) = execution {
                    self.machine.cancel_stored_child(now, &child, parent, &mut self.effects);
                }
            }
            Err(error) => {
                tracing::warn!(%parent, %error, "the cancel of a child waits: the store cannot be read");
                self.reading_failed = true;
            }
        }
    }

    /// Takes a page of what waits in the store.
    pub(crate) fn loaded(&mut self, now: Tick, page: &QueuePage, executions: Vec<Arc<Execution>>) {
        self.machine.loaded(now, page, executions, &mut self.effects);
    }

    /// Notes that a page cannot be read now.
    pub(crate) fn not_loaded(&mut self, page: QueuePage) {
        self.machine.not_loaded(page);
        self.reading_failed = true;
    }
}

/// Accessors for the simulator.
#[cfg(any(test, feature = "testing"))]
impl Core {
    pub(crate) fn machine(&self) -> &CoordinatorMachine {
        &self.machine
    }

    /// Returns the machine's effects that are not staged yet.
    pub(crate) fn effects(&self) -> &[CoordinatorEffect] {
        &self.effects
    }

    /// Returns the number of effects that wait until the store can write.
    pub(crate) fn held(&self) -> usize {
        self.after.len()
    }
}
