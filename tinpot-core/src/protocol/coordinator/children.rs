//! Calls: the executions that attempts ask for, and the attempts that wait for them.
//!
//! A call goes through three steps. The machine checks that its attempt may call, and asks for the
//! reads that it needs ([`Read::Call`]): the parameters are checked and the idempotency key is
//! looked up. The answer either names an execution that was accepted before
//! ([`join_child`](CoordinatorMachine::join_child)) or is a new one
//! ([`submit_child`](CoordinatorMachine::submit_child)). The call stays open while its attempt
//! waits for the execution to end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::read::{Cascade, PendingCall, Read};
use super::{ActiveState, CoordinatorEffect, CoordinatorMachine};
use crate::model::address::Address;
use crate::model::error::{Error, ErrorKind};
use crate::model::execution::{Execution, Owner, Parent};
use crate::model::fence::Fence;
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::outcome::Outcome;
use crate::protocol::Heard;
use crate::protocol::call::{Call, CallId, CallState, Called};
use crate::protocol::message::Message;
use crate::protocol::tick::Tick;

/// The most open calls of one attempt: unanswered ones, and those whose execution it waits for.
const OPEN_CALLS_MAX: usize = 100_000;
/// The most attempts of one worker that may wait for executions that rank behind all others. A
/// worker with `PARKED_MAX` attempts that wait is granted nothing but executions that rank before
/// all others, so the rest of them must be waiting for such executions.
const LOW_RANK_WAITS_MAX: usize = 32;

#[derive(Debug)]
struct OpenCall {
    worker: WorkerId,
    wait: bool,
    /// The execution that the attempt waits for, once it is accepted.
    child: Option<ExecutionId>,
    /// If true, the child ranks behind all executions that were not called.
    low_rank: bool,
}

/// The open calls of all live attempts.
#[derive(Debug, Default)]
pub(super) struct Children {
    open: BTreeMap<CallId, OpenCall>,
    /// The number of open calls of each attempt.
    counts: BTreeMap<Fence, usize>,
    /// The calls that wait for each execution.
    awaited: HashMap<ExecutionId, Vec<CallId>>,
    /// Live attempts that were granted in an earlier epoch. They may wait for children of calls
    /// that this coordinator has not seen yet: workers repeat open calls only every few seconds.
    inherited: BTreeSet<Fence>,
}

impl Children {
    /// Notes an attempt that was granted in an earlier epoch.
    pub(super) fn inherit(&mut self, fence: Fence) {
        self.inherited.insert(fence);
    }

    /// Returns true if an attempt waits for the execution.
    pub(super) fn awaits(&self, execution: ExecutionId) -> bool {
        self.awaited.contains_key(&execution)
    }

    fn insert(&mut self, id: CallId, call: OpenCall) {
        self.open.insert(id, call);
        *self.counts.entry(id.fence).or_default() += 1;
    }

    /// Closes a call. The caller has to forget the execution that the call waits for.
    fn remove(&mut self, id: CallId) -> Option<OpenCall> {
        let call = self.open.remove(&id)?;
        if let Some(count) = self.counts.get_mut(&id.fence) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&id.fence);
            }
        }
        Some(call)
    }

    fn of_attempt(&self, fence: Fence) -> impl Iterator<Item = (&CallId, &OpenCall)> {
        self.open.range(CallId { fence, number: 0 }..=CallId { fence, number: u64::MAX })
    }

    fn waits(&self, fence: Fence) -> bool {
        self.of_attempt(fence).any(|(_, call)| call.child.is_some())
    }

    fn waits_at_low_rank(&self, fence: Fence) -> bool {
        self.of_attempt(fence).any(|(_, call)| call.low_rank)
    }
}

impl CoordinatorMachine {
    /// Returns the execution of an attempt that runs on that worker and was not asked to end.
    pub(super) fn caller(&self, from: &WorkerId, fence: Fence) -> Option<&Arc<Execution>> {
        let Heard::Holder(id) = self.hears(from, fence) else { return None };
        let active = self.active.get(&id)?;
        match &active.state {
            ActiveState::Granted(grant) if grant.cancel.is_none() => Some(&active.execution),
            _ => None,
        }
    }

    fn answer(
        &self,
        worker: &WorkerId,
        id: CallId,
        state: CallState,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let called = Called { epoch: self.epoch, fence: id.fence, number: id.number, state };
        out.push(CoordinatorEffect::Send(Address::Worker(worker.clone()), Message::Called(called)));
    }

    /// Handles a call, which may be a repeated one.
    pub(super) fn called(&mut self, from: &WorkerId, call: Call, out: &mut Vec<CoordinatorEffect>) {
        let id = call.id();
        if let Some(open) = self.children.open.get(&id) {
            if let Some(execution) = open.child {
                self.answer(&open.worker, id, CallState::Accepted { execution }, out);
            }
            return;
        }
        let (parent, by, owner) = match self.may_call(from, &call) {
            Ok(found) => found,
            Err(error) => return self.answer(from, id, CallState::refused(&error), out),
        };
        let open = OpenCall { worker: from.clone(), wait: call.wait, child: None, low_rank: false };
        self.children.insert(id, open);
        let Call { action, parameters, mut options, .. } = call;
        if options.traceparent.is_none() {
            options.traceparent = self.caller_trace(&parent);
        }
        let pending =
            PendingCall { id, action, parameters, options, parent, by, owner, known: None };
        out.push(CoordinatorEffect::Read(Read::Call(Box::new(pending))));
    }

    /// Returns the trace context of the calling attempt.
    fn caller_trace(&self, parent: &Parent) -> Option<String> {
        let caller = self.active.get(&parent.execution)?;
        self.trace_of(&caller.execution, parent.fence).map(|trace| trace.to_string())
    }

    fn may_call(&self, from: &WorkerId, call: &Call) -> Result<(Parent, Arc<str>, Owner), Error> {
        let fence = call.fence;
        let Some(caller) = self.caller(from, fence) else {
            let message = "the attempt that calls has ended, or was asked to end";
            return Err(Error::new(ErrorKind::Closed, message));
        };
        let (depth, most) =
            (caller.parent.map_or(0, |parent| parent.depth) + 1, self.config.max_depth);
        if depth > most {
            let message = format!(
                "call of {}: at most {most} may be nested (this would be {depth} deep)",
                call.action
            );
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        if self.children.counts.get(&fence).is_some_and(|open| *open >= OPEN_CALLS_MAX) {
            let message = format!(
                "an attempt may have at most {OPEN_CALLS_MAX} open calls: wait for some to end"
            );
            return Err(Error::new(ErrorKind::Overloaded, message));
        }
        let parent =
            Parent { execution: caller.id, fence, span: call.span, depth, waits: call.wait };
        Ok((parent, caller.action.clone(), Owner::of(caller)))
    }

    /// Refuses a call that waits for its read.
    pub fn refuse_call(&mut self, id: CallId, error: &Error, out: &mut Vec<CoordinatorEffect>) {
        if let Some(open) = self.children.remove(id) {
            self.answer(&open.worker, id, CallState::refused(error), out);
        }
    }

    /// Submits the execution that a call asks for, and returns true if it was accepted. It is not
    /// when the attempt has ended since it called.
    pub fn submit_child(
        &mut self,
        now: Tick,
        id: CallId,
        execution: Arc<Execution>,
        out: &mut Vec<CoordinatorEffect>,
    ) -> bool {
        let Some(open) = self.children.open.get(&id).filter(|open| open.child.is_none()) else {
            return false;
        };
        let submitted = match self.caller(&open.worker, id.fence) {
            Some(_) => self.submit(now, execution.clone(), out),
            None => Err(Error::new(ErrorKind::Closed, "the attempt that calls was asked to end")),
        };
        match submitted {
            Ok(()) => self.accept_call(now, id, execution.id, false, out),
            Err(error) => {
                self.refuse_call(id, &error, out);
                return false;
            }
        }
        true
    }

    /// Answers a call with an execution that was accepted before with the same idempotency key.
    pub fn join_child(
        &mut self,
        now: Tick,
        id: CallId,
        child: &Execution,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let Some(open) = self.children.open.get(&id).filter(|open| open.child.is_none()) else {
            return;
        };
        let (execution, worker) = (child.id, open.worker.clone());
        if let (true, Some(outcome)) = (open.wait, &child.outcome) {
            self.children.remove(id);
            let ended = CallState::Ended { execution, outcome: outcome.clone() };
            return self.answer(&worker, id, ended, out);
        }
        let waits = open.wait;
        let low_rank = waits && !Execution::is_rank_of_waited_for(child.rank());
        if waits && let Err(error) = self.may_wait(&worker, id, execution, low_rank) {
            return self.refuse_call(id, &error, out);
        }
        self.accept_call(now, id, execution, low_rank, out);
    }

    /// Checks that the wait for an execution cannot keep the worker from ever running it.
    fn may_wait(
        &self,
        worker: &WorkerId,
        id: CallId,
        child: ExecutionId,
        low_rank: bool,
    ) -> Result<(), Error> {
        if self.granted.get(&id.fence) == Some(&child) {
            let message = format!("idempotency_key: it is that of {child}, which calls itself");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let Some(entry) = self.workers.get(worker).filter(|_| low_rank) else { return Ok(()) };
        if entry.load.is_parked(id.fence) || !entry.load.takes_slot(id.fence) {
            return Ok(());
        }
        let others = entry.load.parked().filter(|fence| self.children.waits_at_low_rank(**fence));
        if others.count() < LOW_RANK_WAITS_MAX {
            return Ok(());
        }
        let message = format!(
            "{LOW_RANK_WAITS_MAX} attempts of worker {worker} wait for executions with a priority \
             below 0, which is the most: submit {child} with a priority of at least 0 to wait for it"
        );
        Err(Error::new(ErrorKind::Overloaded, message))
    }

    fn accept_call(
        &mut self,
        now: Tick,
        id: CallId,
        execution: ExecutionId,
        low_rank: bool,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let Some(open) = self.children.open.get_mut(&id) else { return };
        let (worker, waits) = (open.worker.clone(), open.wait);
        if waits {
            (open.child, open.low_rank) = (Some(execution), low_rank);
            self.children.awaited.entry(execution).or_default().push(id);
        } else {
            self.children.remove(id);
        }
        self.answer(&worker, id, CallState::Accepted { execution }, out);
        if waits {
            self.park(now, &worker, id.fence, out);
        }
        if waits && !self.active.contains_key(&execution) {
            // It waits in the store only, or it has ended: since it was read, or by expiring as it
            // was submitted.
            out.push(CoordinatorEffect::Read(Read::Outcome(execution)));
        }
    }

    /// Handles an execution for which [`Read::Outcome`] asked; `None` if the store has removed it.
    pub fn outcome_read(
        &mut self,
        id: ExecutionId,
        execution: Option<&Execution>,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        match execution.map(|execution| &execution.outcome) {
            Some(Some(outcome)) => self.child_ended(id, outcome, out),
            // Its end is still to come, and this machine will decide it.
            Some(None) => {}
            None => {
                let message = format!("execution {id} was removed while an attempt waited for it");
                let error = Error::new(ErrorKind::NotFound, message);
                self.close_waits(id, &CallState::refused(&error), out);
            }
        }
    }

    /// Reports the end of an execution to the attempts that wait for it.
    pub(super) fn child_ended(
        &mut self,
        execution: ExecutionId,
        outcome: &Outcome,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        if self.children.awaits(execution) {
            let ended = CallState::Ended { execution, outcome: outcome.clone() };
            self.close_waits(execution, &ended, out);
        }
    }

    fn close_waits(
        &mut self,
        execution: ExecutionId,
        state: &CallState,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        for id in self.children.awaited.remove(&execution).unwrap_or_default() {
            let Some(open) = self.children.remove(id) else { continue };
            self.answer(&open.worker, id, state.clone(), out);
            if !self.children.waits(id.fence) {
                self.unpark(&open.worker, id.fence);
            }
        }
    }

    /// Ends the executions that an attempt waits for, because the attempt has ended.
    pub(super) fn caller_ended(
        &mut self,
        now: Tick,
        parent: ExecutionId,
        fence: Fence,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        if self.children.open.is_empty() && self.children.inherited.is_empty() {
            return;
        }
        let calls: Vec<CallId> = self.children.of_attempt(fence).map(|(id, _)| *id).collect();
        let mut below = Vec::new();
        for id in calls {
            let Some(child) = self.children.remove(id).and_then(|open| open.child) else {
                continue;
            };
            if let Some(waits) = self.children.awaited.get_mut(&child) {
                waits.retain(|other| *other != id);
                if waits.is_empty() {
                    self.children.awaited.remove(&child);
                }
            }
            below.push((child, parent));
        }
        self.cancel_below(now, below, false, out);
        if self.children.inherited.remove(&fence) {
            let cascade = Cascade { parent, awaited_by: Some(fence), force: false, before: None };
            out.push(CoordinatorEffect::Read(Read::Children(cascade)));
        }
    }

    /// Returns the executions that an attempt is known to wait for, each with its parent.
    pub(super) fn known_children(
        &self,
        parent: ExecutionId,
        fence: Option<Fence>,
    ) -> Vec<(ExecutionId, ExecutionId)> {
        let calls = fence.into_iter().flat_map(|fence| self.children.of_attempt(fence));
        calls.filter_map(|(_, call)| Some((call.child?, parent))).collect()
    }
}
