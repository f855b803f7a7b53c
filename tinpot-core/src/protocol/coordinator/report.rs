//! The reports of workers, and their effects.

use std::sync::Arc;
use std::time::Duration;

use super::queue::LaneKey;
use super::{ActiveState, CoordinatorEffect, CoordinatorMachine, End, Grant};
use crate::model::address::Address;
use crate::model::execution::Execution;
use crate::model::fence::Fence;
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::outcome::Outcome;
use crate::model::transition::Transition;
use crate::protocol::message::{
    Accept, Message, Recorded, Reject, RejectReason, Released, ReleasedHow, ResultAck, ResultReport,
};
use crate::protocol::tick::Tick;
use crate::protocol::{Heard, heard};
use crate::refusals::Refusal;

/// The longest duration of an attempt that is taken from a report: about 285 years, which is also
/// the largest whole number that JSON carries safely.
const RAN_US_MAX: u64 = 1 << 53;

impl CoordinatorMachine {
    /// Handles one message of lane Control from a worker.
    pub fn receive(
        &mut self,
        now: Tick,
        from: &WorkerId,
        message: Message,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        self.heard(now, from, false, message, out);
    }

    /// Handles one message of lane Control from a worker whose frames others can read: it gets no
    /// execution with secret parameters.
    pub fn receive_plain(
        &mut self,
        now: Tick,
        from: &WorkerId,
        message: Message,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        self.heard(now, from, true, message, out);
    }

    fn heard(
        &mut self,
        now: Tick,
        from: &WorkerId,
        plain: bool,
        message: Message,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let fence = fence_of(&message);
        // A later epoch granted the attempt, so this one must not judge it.
        if self.claims_later(now, from, fence.map(|fence| fence.epoch), out) {
            return;
        }
        if let Some(fence) = fence
            && self.hears(from, fence) == Heard::NotHolder
        {
            let (from, reason, detail) = (from.clone(), Refusal::NotHolder, fence.to_string());
            return out.push(CoordinatorEffect::Refused { from, reason, detail });
        }
        match message {
            Message::Hello(hello) => self.hello(now, from, plain, hello, out),
            Message::Beat(beat) => self.beat(now, from, plain, beat, out),
            Message::Goodbye(goodbye) => self.goodbye(now, from, &goodbye, out),
            Message::Accept(accept) => self.accepted(from, accept, out),
            Message::Reject(reject) => self.rejected(now, from, reject, out),
            Message::Result(report) => self.result(now, from, report, out),
            Message::Released(released) => self.given_back(now, from, released, out),
            Message::Call(call) => self.called(from, *call, out),
            Message::SecretGet(get) => self.secret_asked(from, get, out),
            // The others are for workers, for lane Logs, or unknown. The shell has logged them.
            _ => {}
        }
    }

    /// Returns true if a message is about an attempt of a team that its sender does not serve, by its
    /// key. Messages about no single attempt are about all that the sender holds.
    ///
    /// The id of a worker is no secret: the holder of another key could use it after a restart.
    pub fn is_of_other_teams(
        &self,
        from: &WorkerId,
        message: &Message,
        serves: impl Fn(&str) -> bool,
    ) -> bool {
        let is_other = |id: &ExecutionId| {
            self.active.get(id).is_some_and(|active| !serves(active.execution.team_name()))
        };
        match fence_of(message) {
            Some(fence) => self.granted(fence).is_some_and(|(id, _)| is_other(&id)),
            None => {
                let worker = self.workers.get(from);
                worker.is_some_and(|worker| worker.load.in_flight.values().any(is_other))
            }
        }
    }

    /// Returns the team of an execution that has not ended.
    pub(crate) fn team_of(&self, id: ExecutionId) -> Option<Arc<str>> {
        self.active.get(&id).map(|active| active.execution.team.clone())
    }

    /// Returns the execution of the live attempt with this fence.
    pub fn execution_of(&self, fence: Fence) -> Option<Arc<Execution>> {
        let (id, _) = self.granted(fence)?;
        Some(self.active.get(&id)?.execution.clone())
    }

    /// Returns the live attempt with this fence.
    fn granted(&self, fence: Fence) -> Option<(ExecutionId, &Grant)> {
        let id = *self.granted.get(&fence)?;
        match &self.active.get(&id)?.state {
            ActiveState::Granted(grant) if grant.fence == fence => Some((id, grant)),
            _ => None,
        }
    }

    /// Returns the execution of a fence if this worker is heard on it.
    pub(super) fn hears(&self, from: &WorkerId, fence: Fence) -> Heard<ExecutionId> {
        heard(self.granted(fence).map(|(id, grant)| (&grant.worker, id)), from)
    }

    /// Returns the execution of a fence on which this worker may report.
    fn held_by(&mut self, from: &WorkerId, fence: Fence) -> Option<(ExecutionId, &mut Grant)> {
        let Heard::Holder(id) = self.hears(from, fence) else { return None };
        match &mut self.active.get_mut(&id)?.state {
            ActiveState::Granted(grant) => Some((id, grant)),
            _ => None,
        }
    }

    fn accepted(&mut self, from: &WorkerId, accept: Accept, out: &mut Vec<CoordinatorEffect>) {
        let Some((execution, grant)) = self.held_by(from, accept.fence) else { return };
        grant.accepted = true;
        if accept.running && !grant.started {
            grant.started = true;
            let cancelling = grant.cancel.is_some();
            // The attempt has run for longer than an acceptance is held back: nothing more should
            // wait behind it.
            if let Some(worker) = self.workers.get_mut(from) {
                worker.load.long.insert(accept.fence);
            }
            if !cancelling {
                out.push(CoordinatorEffect::Persist(Transition::Start {
                    execution,
                    fence: accept.fence,
                }));
            }
        }
    }

    fn rejected(
        &mut self,
        now: Tick,
        from: &WorkerId,
        reject: Reject,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let Some((id, _)) = self.held_by(from, reject.fence) else { return };
        let lane = self.active.get(&id).map(|active| LaneKey::of(&active.execution));
        if let (Some(worker), Some(lane)) = (self.workers.get_mut(from), lane) {
            match (reject.why, lane.runtime) {
                (RejectReason::UnknownAction, Some(runtime)) => worker.runtimes.remove(&runtime),
                (RejectReason::UnknownAction, None) => {
                    worker.actions.remove(&lane.action);
                }
                (RejectReason::Draining, _) => worker.slots = 0,
                _ => worker.paused = true,
            }
        }
        self.refresh_catalogue(now);
        self.released(now, from, reject.fence, id, out);
    }

    /// Handles an attempt that never ran and never will: it does not count.
    pub(super) fn released(
        &mut self,
        now: Tick,
        from: &WorkerId,
        fence: Fence,
        id: ExecutionId,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let cancelling = match self.active.get(&id).map(|active| &active.state) {
            Some(ActiveState::Granted(grant)) => grant.cancel.is_some(),
            _ => return,
        };
        self.settle_without_fill(fence, from);
        if cancelling {
            self.finish(now, id, Some(fence), Outcome::Cancelled.into(), out);
        } else {
            self.requeue(now, id, fence, None, Duration::ZERO, out);
        }
        out.push(CoordinatorEffect::LogEnds { execution: id, fence, last_seq: Some(0) });
        self.fill(now, from, out);
    }

    fn result(
        &mut self,
        now: Tick,
        from: &WorkerId,
        report: ResultReport,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let fence = report.fence;
        let Some((execution, _)) = self.held_by(from, fence) else {
            let recorded = self.recorded_before(fence);
            return self.acknowledge(from, fence, recorded, out);
        };
        let ran_us = report.ran_us.min(RAN_US_MAX);
        if let Some(active) = self.active.get(&execution)
            && matches!(report.outcome, Outcome::Succeeded(_) | Outcome::Failed(_))
        {
            self.actions.took(&active.execution.action_key(), ran_us);
        }
        self.settle_without_fill(fence, from);
        let (ran, log_end) = (Duration::from_micros(ran_us), report.last_log_seq);
        let end =
            End { outcome: report.outcome.into_reported(), ran: Some(ran), log_end: Some(log_end) };
        if report.killed {
            out.push(CoordinatorEffect::Persist(Transition::Killed { execution, fence }));
        }
        self.end_attempt(now, execution, fence, end, out);
        self.remember_settled(fence);
        out.push(CoordinatorEffect::LogEnds {
            execution,
            fence,
            last_seq: Some(report.last_log_seq),
        });
        self.acknowledge(from, fence, Recorded::Recorded, out);
        self.fill(now, from, out);
    }

    fn given_back(
        &mut self,
        now: Tick,
        from: &WorkerId,
        released: Released,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let fence = released.fence;
        let Some((execution, _)) = self.held_by(from, fence) else {
            let recorded = self.recorded_before(fence);
            return self.acknowledge(from, fence, recorded, out);
        };
        self.remember_settled(fence);
        match released.how {
            ReleasedHow::NeverRan => self.released(now, from, fence, execution, out),
            ReleasedHow::Killed | ReleasedHow::Finished | ReleasedHow::Unknown => {
                self.settle_without_fill(fence, from);
                self.end_attempt(now, execution, fence, Outcome::Lost.into(), out);
                out.push(CoordinatorEffect::LogEnds { execution, fence, last_seq: None });
                self.fill(now, from, out);
            }
        }
        self.acknowledge(from, fence, Recorded::Recorded, out);
    }

    /// Removes the attempt from its worker.
    fn settle_without_fill(&mut self, fence: Fence, worker: &WorkerId) {
        self.granted.remove(&fence);
        if let Some(worker) = self.workers.get_mut(worker) {
            worker.load.remove(fence);
        }
    }

    pub(super) fn settle(
        &mut self,
        now: Tick,
        fence: Fence,
        worker: &WorkerId,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        self.settle_without_fill(fence, worker);
        self.fill(now, worker, out);
    }

    fn acknowledge(
        &self,
        to: &WorkerId,
        fence: Fence,
        recorded: Recorded,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let ack = ResultAck { epoch: self.epoch, fence, recorded };
        out.push(CoordinatorEffect::Send(Address::Worker(to.clone()), Message::ResultAck(ack)));
    }
}

/// Returns the attempt that a message is about.
fn fence_of(message: &Message) -> Option<Fence> {
    match message {
        Message::Accept(accept) => Some(accept.fence),
        Message::Reject(reject) => Some(reject.fence),
        Message::Result(report) => Some(report.fence),
        Message::Released(released) => Some(released.fence),
        Message::Call(call) => Some(call.fence),
        Message::SecretGet(get) => Some(get.fence),
        _ => None,
    }
}
