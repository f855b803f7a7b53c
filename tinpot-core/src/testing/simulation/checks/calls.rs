//! Invariants of calls: one child per call, no child without its caller, no slot held by a wait.

use super::{Checks, place};
use crate::model::execution::{Execution, Parent};
use crate::model::id::ExecutionId;
use crate::model::status::Status;
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::protocol::{CallState, Called};
use crate::testing::simulation::store::SimulatedStore;
use crate::testing::simulation::teams::Teams;
use crate::testing::simulation::world::{Checked, World, broken};

/// A child that has to end because its caller ended or was cancelled.
#[derive(Debug)]
pub(super) struct Ending {
    child: ExecutionId,
    since: Timestamp,
    /// True if its caller waited for it: it then ends even if the coordinator crashes.
    awaited: bool,
}

impl Checks {
    /// Checks the answer to a call: it is always the same, and it is committed.
    pub(super) fn told_caller(&mut self, called: &Called, store: &SimulatedStore) -> Checked {
        if called.epoch.instance != store.instance() {
            return Ok(());
        }
        let (child, outcome) = match &called.state {
            CallState::Accepted { execution } => (*execution, None),
            CallState::Ended { execution, outcome } => (*execution, Some(outcome)),
            CallState::Refused { .. } => return Ok(()),
        };
        let first = *self.children_of_calls.entry(called.id()).or_insert(child);
        if first != child {
            let what = format!("{} is {first}, and then {child}", called.id());
            return broken("one child per call", what);
        }
        let Some(execution) = store.execution(child) else {
            return broken(
                "call",
                format!("{} is {child}, which is not in the store", called.id()),
            );
        };
        match outcome {
            Some(outcome) if execution.outcome.as_ref() != Some(outcome) => {
                let stored = &execution.outcome;
                let what =
                    format!("{child} is reported to have ended {outcome:?}, stored: {stored:?}");
                broken("call", what)
            }
            _ => Ok(()),
        }
    }

    /// Checks that a child may be accepted.
    pub(super) fn accepts_child(
        &mut self,
        child: &Execution,
        parent: Parent,
        store: &SimulatedStore,
    ) -> Checked {
        let id = child.id;
        let Some(caller) = store.execution(parent.execution) else {
            return broken("call", format!("the caller of {id} is not in the store"));
        };
        let (depth, max_depth) = (caller.parent.map_or(0, |above| above.depth) + 1, self.max_depth);
        if parent.depth != depth || depth > max_depth {
            let what = format!("{id} is {} deep: {depth} of {max_depth} is right", parent.depth);
            return broken("depth", what);
        }
        if caller.live_attempt().is_none_or(|live| live.fence != parent.fence) {
            return broken("call", format!("{id} is accepted, and its caller has ended"));
        }
        Teams::called(child, caller)?;
        self.track(parent.execution)?.children.push(id);
        Ok(())
    }

    /// Checks that a caller has not ended when an attempt at its child is granted.
    pub(super) fn grants_child(
        &self,
        child: &Execution,
        parent: Parent,
        store: &SimulatedStore,
    ) -> Checked {
        let live = store.execution(parent.execution).and_then(|caller| caller.live_attempt());
        if parent.waits && live.is_none_or(|live| live.fence != parent.fence) {
            let what = format!("{} is granted, and {} has ended", child.id, parent.fence);
            return broken("orphan", what);
        }
        Ok(())
    }

    /// Returns true if a cancel of the execution may come from its caller.
    pub(super) fn may_end_with_caller(&self, child: &Execution, store: &SimulatedStore) -> bool {
        let Some(parent) = child.parent else { return false };
        let caller = store.execution(parent.execution);
        let cancelled =
            self.tracks.get(place(parent.execution)).is_some_and(|track| track.cancelled);
        let live = caller.and_then(|caller| caller.live_attempt());
        let waited_by = |fence| live.is_none_or(|live| live.fence != fence);
        // Another attempt of its parent may have found it by its key and waited for it.
        cancelled || waited_by(parent.fence)
    }

    /// Notes which children have to end because of a transition that is about to be committed.
    pub(super) fn ends_children(&mut self, transition: &Transition, since: Timestamp) -> Checked {
        let (id, fence, cancelled) = match transition {
            Transition::Cancelling { execution } => (*execution, None, true),
            Transition::Finish { execution, fence, outcome, .. } => {
                (*execution, *fence, outcome.status() == Status::Cancelled)
            }
            Transition::Requeue { execution, fence, .. } => (*execution, Some(*fence), false),
            _ => return Ok(()),
        };
        let track = self.track(id)?;
        track.cancelled |= cancelled;
        let children = std::mem::take(&mut track.children);
        for child in &children {
            let Some(track) = self.tracks.get(place(*child)).filter(|track| track.unfinished)
            else {
                continue;
            };
            let awaited = track.parent.is_some_and(|parent| {
                parent.waits && fence.is_some_and(|fence| fence == parent.fence)
            });
            if awaited || cancelled {
                self.ending.push(Ending { child: *child, since, awaited });
            }
        }
        self.track(id)?.children = children;
        Ok(())
    }

    /// Forgets the children that a predecessor was about to cancel: a new coordinator knows only
    /// those that were waited for.
    pub(super) fn forget_cascades(&mut self) {
        self.ending.retain(|ending| ending.awaited);
    }

    /// Checks that the children of ended callers have ended or were asked to.
    fn children_end(&mut self, wall: Timestamp, patience: u64, store: &SimulatedStore) -> Checked {
        let mut late = None;
        self.ending.retain(|ending| {
            let child = store.execution(ending.child);
            let ends = child.is_none_or(|child| {
                child.status.is_terminal() || child.status == Status::Cancelling
            });
            // An execution that waits only in the store is not granted. It ends when it comes into
            // memory.
            let waits = ending.awaited && child.is_some_and(|child| child.live_attempt().is_none());
            if !ends && !waits && ending.since.0 + patience <= wall.0 {
                late = Some(ending.child);
            }
            !ends
        });
        match late {
            Some(child) => broken("orphan", format!("{child} goes on long after its caller")),
            None => Ok(()),
        }
    }
}

impl World {
    /// Checks that no attempt waits for a slot while an attempt that waits for a child holds it.
    pub(in super::super) fn slots_are_used(&self, index: usize) -> Checked {
        let node = &self.workers[index];
        let (waiting, slots) = (node.machine.waiting(), node.machine.slots());
        let busy = node.busy();
        if waiting > 0 && busy < slots {
            let what = format!("w{index}: {waiting} wait for a slot, {busy} of {slots} are used");
            return broken("slot", what);
        }
        Ok(())
    }

    /// Checks the children of ended callers when a coordinator rests.
    pub(super) fn callers_end(&mut self, wall: u64, at_work: std::time::Duration) -> Checked {
        let patience = self.plan.slow_commit * 4 + std::time::Duration::from_secs(2);
        if at_work <= patience || self.store.full {
            return Ok(());
        }
        let patience = patience.as_micros() as u64;
        self.checks.children_end(Timestamp(wall), patience, &self.store)
    }
}
