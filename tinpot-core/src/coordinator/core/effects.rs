//! Kinds of effects of the machine: those that wait for a commit, repeat others, or concern an
//! execution.

use std::sync::Arc;

use crate::model::address::Address;
use crate::model::fence::Fence;
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::transition::Transition;
use crate::protocol::{CallId, CoordinatorEffect, Message};

/// A message that is resent until it is answered, or the answer to one.
#[derive(PartialEq, Eq, Hash)]
pub(super) enum Repeated {
    Dispatch(Fence),
    Probe(Fence),
    Cancel(Fence),
    Drops(WorkerId),
    Drain(WorkerId),
    ResultAck(Fence),
    Called(CallId),
    Secret(Fence, Arc<str>),
}

impl Repeated {
    pub(super) fn of(effect: &CoordinatorEffect) -> Option<Self> {
        let CoordinatorEffect::Send(Address::Worker(to), message) = effect else { return None };
        match message {
            Message::Dispatch(dispatch) => Some(Self::Dispatch(dispatch.fence)),
            Message::Probe(probe) => Some(Self::Probe(probe.fence)),
            Message::Cancel(cancel) => Some(Self::Cancel(cancel.fence)),
            Message::BeatAck(_) => Some(Self::Drops(to.clone())),
            Message::Drain(_) => Some(Self::Drain(to.clone())),
            Message::ResultAck(ack) => Some(Self::ResultAck(ack.fence)),
            Message::Called(called) => Some(Self::Called(called.id())),
            Message::Secret(answer) => Some(Self::Secret(answer.fence, answer.name.clone())),
            _ => None,
        }
    }
}

/// Returns true if a message waits for no commit, because leases depend on it. Attempts to drop or
/// to cancel do wait.
pub(super) fn keeps_alive(message: &Message) -> bool {
    match message {
        Message::BeatAck(ack) => ack.drop.is_empty() && ack.cancel.is_empty(),
        Message::WhoIsThere(_) => true,
        _ => false,
    }
}

pub(super) fn ends(transition: &Transition, id: ExecutionId) -> bool {
    matches!(transition, Transition::Finish { execution, .. } if *execution == id)
}

/// Returns true if an execution is delayed once the batch is committed.
pub(super) fn waits_for_its_time(batch: &[Transition], id: ExecutionId) -> bool {
    let of_it = batch.iter().filter(|transition| transition.execution() == Some(id));
    of_it.fold(false, |delayed, transition| match transition {
        Transition::Accept(execution) => execution.not_before.is_some(),
        Transition::Requeue { not_before, .. } => not_before.is_some(),
        Transition::Ready { .. } | Transition::Grant { .. } => false,
        _ => delayed,
    })
}

pub(super) fn concerns(effect: &CoordinatorEffect, id: ExecutionId) -> bool {
    match effect {
        CoordinatorEffect::Send(_, Message::Dispatch(dispatch)) => dispatch.execution == id,
        CoordinatorEffect::LogEnds { execution, .. } => *execution == id,
        CoordinatorEffect::Persist(transition) => transition.execution() == Some(id),
        _ => false,
    }
}
