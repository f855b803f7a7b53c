//! Cancels that pass from an execution to the executions that it called.

use std::sync::Arc;

use super::read::{Cascade, Read};
use super::{CoordinatorEffect, CoordinatorMachine};
use crate::model::execution::{Execution, Parent};
use crate::model::fence::Fence;
use crate::model::id::ExecutionId;
use crate::protocol::tick::Tick;

impl CoordinatorMachine {
    /// Cancels the children of a cancelled execution: at once those that its attempt `fence` is
    /// known to wait for, the others once they are read.
    pub(super) fn cancel_children(
        &mut self,
        now: Tick,
        parent: ExecutionId,
        fence: Option<Fence>,
        force: bool,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let below = self.known_children(parent, fence);
        self.cancel_below(now, below, force, out);
        let cascade = Cascade { parent, awaited_by: None, force, before: None };
        out.push(CoordinatorEffect::Read(Read::Children(cascade)));
    }

    /// Cancels executions with everything below them. With a list instead of a recursion, so that
    /// the depth of calls does not become that of the stack.
    pub(super) fn cancel_below(
        &mut self,
        now: Tick,
        mut below: Vec<(ExecutionId, ExecutionId)>,
        force: bool,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        while let Some((child, parent)) = below.pop() {
            let Some(active) = self.active.get(&child) else {
                out.push(CoordinatorEffect::CancelStored { execution: child, parent });
                continue;
            };
            // A key may have led to an execution that another one called. It must not be cancelled.
            if active.execution.parent.is_none_or(|caller| caller.execution != parent) {
                continue;
            }
            let fence = active.fence();
            let may_have_children = fence.is_some() || active.tries > 0;
            if self.cancel_alone(now, child, force, out).is_ok() && may_have_children {
                below.extend(self.known_children(child, fence));
                let cascade = Cascade { parent: child, awaited_by: None, force, before: None };
                out.push(CoordinatorEffect::Read(Read::Children(cascade)));
            }
        }
    }

    /// Handles a page for which [`Read::Children`] asked, and cancels its executions.
    pub fn children_read(
        &mut self,
        now: Tick,
        cascade: Cascade,
        children: &[Arc<Execution>],
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let included = |child: &&Arc<Execution>| match (cascade.awaited_by, child.parent) {
            (Some(fence), Some(parent)) => parent.waits && parent.fence == fence,
            (None, parent) => parent.is_some(),
            (Some(_), None) => false,
        };
        let ends = children.iter().filter(|child| !child.status.is_terminal()).filter(included);
        let below = ends.map(|child| (child.id, cascade.parent)).collect();
        self.cancel_below(now, below, cascade.force, out);
        if let Some(last) = children.last().filter(|_| children.len() >= Cascade::PAGE) {
            let next = Cascade { before: Some(last.id), ..cascade };
            out.push(CoordinatorEffect::Read(Read::Children(next)));
        }
    }

    /// Cancels an execution that was read from the store just now, if it waits there and `parent`
    /// called it.
    pub fn cancel_stored_child(
        &mut self,
        now: Tick,
        execution: &Execution,
        parent: ExecutionId,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        if self.active.contains_key(&execution.id) {
            self.cancel_below(now, vec![(execution.id, parent)], false, out);
        } else if execution.parent.is_some_and(|caller| caller.execution == parent) {
            self.cancel_stored(execution, out);
        }
    }

    /// Returns true if the execution was called by an attempt that waited for it and has ended.
    ///
    /// The end of an attempt and the cancels of what it waited for are committed together, as far
    /// as this coordinator knows those calls and has the executions in memory. The others are read
    /// first. Until then, or in the next epoch if this one ends before, this check keeps them from
    /// being granted.
    pub(super) fn is_orphan(&self, execution: &Execution) -> bool {
        let waits = |parent: Parent| parent.waits && !self.granted.contains_key(&parent.fence);
        execution.parent.is_some_and(waits)
    }
}
