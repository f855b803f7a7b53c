//! The recovery of the state that earlier epochs left in the store.

use std::sync::Arc;

use super::callers::HeldByCallers;
use super::queue::{LaneKey, Wanted};
use super::read::Read;
use super::{Active, ActiveState, CoordinatorEffect, CoordinatorMachine, Grant};
use crate::model::execution::Execution;
use crate::model::fence::Epoch;
use crate::model::id::WorkerId;
use crate::model::opened::Opened;
use crate::model::status::Status;
use crate::model::time::Timestamp;
use crate::protocol::message::Cancel;
use crate::protocol::tick::Tick;
use crate::refusals::Refusal;

impl CoordinatorMachine {
    /// Restores the state that earlier epochs left. Attempts count as renewed now, for the longest
    /// lease that was recorded. The heads of the queues are read when they are needed.
    pub fn restore(
        &mut self,
        now: Tick,
        time: Timestamp,
        opened: Opened,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        self.epoch = opened.epoch;
        self.last_execution = opened.last_number;
        self.set_time(now, time);
        self.held_by_callers = HeldByCallers::since(time);
        self.longest_lease = opened.longest_lease;
        self.actions.remember(&opened.actions);
        self.restore_paused(opened.paused);
        self.version += 1;
        for count in opened.waiting {
            self.unfinished += (count.ready + count.delayed) as usize;
            if count.ready > 0 {
                let queue = self.waiting.entry(count.queue.clone()).or_default();
                let key = LaneKey { action: count.action, runtime: count.runtime };
                queue.entry(key).or_default().add_beyond(count.ready);
            }
            if count.delayed > 0 {
                *self.delayed_in.entry(count.queue).or_default() += count.delayed;
                self.delayed.add_beyond(count.delayed);
                self.wanted.insert(Wanted::Delayed);
            }
            self.arm_sweep(now);
        }
        for execution in &opened.granted {
            self.unfinished += 1;
            self.take_over(now, execution.clone());
        }
        for execution in &opened.granted {
            if self.is_orphan(execution) {
                // The execution is in memory, so this cannot fail.
                let _ = self.cancel(now, execution.id, false, out);
            } else if execution.status == Status::Cancelling {
                // The epoch before may have ended in the middle of the cancel.
                let fence = execution.live_attempt().map(|attempt| attempt.fence);
                self.cancel_children(now, execution.id, fence, false, out);
            }
        }
    }

    fn take_over(&mut self, now: Tick, execution: Arc<Execution>) {
        let id = execution.id;
        let Some(attempt) = execution.live_attempt().cloned() else { return };
        let fence = attempt.fence;
        let cancelling = execution.status == Status::Cancelling;
        let running = execution.status != Status::Queued;
        let mut active = Active::waiting(execution);
        active.state = ActiveState::Granted(Grant {
            fence,
            worker: attempt.worker.clone(),
            // The dispatch may never have arrived, so the worker is asked.
            accepted: false,
            started: running,
            cancel: cancelling.then_some(Cancel { epoch: self.epoch, fence, force: false }),
            sent_at: now,
            since: attempt.granted_at,
        });
        self.granted.insert(fence, id);
        self.children.inherit(fence);
        let action = active.execution.action_key();
        let bundle = active.execution.bundle.clone();
        self.active.insert(id, active);
        let lease = self.longest_lease.max(self.config.coordinator_lease);
        let worker = self.worker_entry(now, &attempt.worker);
        worker.load.insert(fence, id, &action, bundle.as_deref());
        worker.load.long.insert(fence);
        worker.expires = worker.expires.max(now + lease);
    }

    /// Handles the claim of a worker that a later epoch of this store is at work. It proves
    /// nothing, so the store is asked, at most once in a resend interval. Returns true if the
    /// message claims that: it is not for this epoch to judge.
    pub(super) fn claims_later(
        &mut self,
        now: Tick,
        from: &WorkerId,
        epoch: Option<Epoch>,
        out: &mut Vec<CoordinatorEffect>,
    ) -> bool {
        let Some(epoch) = epoch.filter(|epoch| epoch.is_after(self.epoch)) else { return false };
        let (from, reason, detail) = (from.clone(), Refusal::LaterEpoch, epoch.to_string());
        out.push(CoordinatorEffect::Refused { from, reason, detail });
        if self.asked_at.is_none_or(|at| now.since(at) >= self.config.resend_interval) {
            self.asked_at = Some(now);
            out.push(CoordinatorEffect::Read(Read::Epoch));
        }
        true
    }
}
