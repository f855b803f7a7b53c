//! Who runs what: per queue, priority then order of acceptance; the worker with the most free slots that offers the action.

use std::cmp::Reverse;
use std::sync::Arc;

use super::worker::WorkerEntry;
use super::{
    Active, ActiveState, Catalogue, CoordinatorEffect, CoordinatorMachine, Grant, Timer, WaitingKey,
};
use crate::id::{ExecutionId, WorkerId};
use crate::protocol::fence::Fence;
use crate::protocol::message::{Dispatch, Message};
use crate::protocol::tick::Tick;
use crate::store::Transition;
use crate::transport::Address;

/// How many executions wait in a queue, and how many of them a live worker could run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueView {
    /// The name.
    pub name: Arc<str>,
    /// Executions that wait for a worker.
    pub waiting: usize,
    /// Executions whose attempt is with a worker.
    pub granted: usize,
    /// Executions that wait for their next attempt.
    pub delayed: usize,
    /// Live workers that serve it.
    pub workers: usize,
}

impl Active {
    pub(super) fn key(&self) -> WaitingKey {
        (Reverse(self.execution.priority), self.order, self.execution.id)
    }
}

impl CoordinatorMachine {
    /// The catalogue.
    pub fn catalogue(&self) -> &Catalogue {
        self.actions.entries()
    }

    /// The queues of which something is known: executions wait or run there, a worker names them, or an action does.
    pub fn queues(&self) -> Vec<QueueView> {
        let mut views = std::collections::BTreeMap::<Arc<str>, QueueView>::new();
        let mut names: Vec<Arc<str>> = self.waiting.keys().cloned().collect();
        names.extend(
            self.actions.entries().values().map(|entry| Arc::from(entry.action.queue.as_str())),
        );
        names.extend(
            self.workers
                .values()
                .flat_map(|worker| &worker.queues)
                .map(|queue| Arc::from(queue.as_str())),
        );
        for name in names {
            let workers = self
                .workers
                .values()
                .filter(|worker| worker.introduced && worker.serves(&name))
                .count();
            views.entry(name.clone()).or_insert(QueueView {
                name,
                waiting: 0,
                granted: 0,
                delayed: 0,
                workers,
            });
        }
        for active in self.active.values() {
            let name = &active.execution.queue;
            let workers = || {
                self.workers
                    .values()
                    .filter(|worker| worker.introduced && worker.serves(name))
                    .count()
            };
            let view = views.entry(name.clone()).or_insert_with(|| QueueView {
                name: name.clone(),
                waiting: 0,
                granted: 0,
                delayed: 0,
                workers: workers(),
            });
            match active.state {
                ActiveState::Waiting => view.waiting += 1,
                ActiveState::Delayed(_) => view.delayed += 1,
                ActiveState::Granted(_) => view.granted += 1,
            }
        }
        views.into_values().collect()
    }

    pub(super) fn enqueue(&mut self, active: &Active) {
        self.enqueue_key((
            active.execution.queue.clone(),
            active.execution.action.clone(),
            active.key(),
        ));
    }

    pub(super) fn enqueue_key(&mut self, (queue, action, key): (Arc<str>, Arc<str>, WaitingKey)) {
        self.waiting.entry(queue).or_default().entry(action).or_default().insert(key);
    }

    pub(super) fn dequeue(&mut self, active: &Active) {
        let execution = &active.execution;
        let Some(actions) = self.waiting.get_mut(&execution.queue) else { return };
        if let Some(keys) = actions.get_mut(&execution.action) {
            keys.remove(&active.key());
            if keys.is_empty() {
                actions.remove(&execution.action);
            }
        }
        if actions.is_empty() {
            self.waiting.remove(&execution.queue);
        }
    }

    /// How many attempts at `action` may wait at a worker for each slot that runs short ones; `None` when it is not known to be short.
    ///
    /// A worker that gets its next attempt only after it reported the last one stands still for a round trip in between. So attempts that
    /// are known to be short may wait at the worker; others wait here, where any worker can take them.
    fn ahead(&self, action: &str) -> Option<usize> {
        let horizon = self.config.prefetch_horizon.as_micros() as u64;
        let usual = self.actions.usual_us(action)?;
        let ahead = (horizon / usual.max(1)).min(u64::from(self.config.prefetch));
        (ahead > 0).then_some(ahead as usize)
    }

    fn has_room(&self, worker: &WorkerEntry, action: &str) -> bool {
        if worker.beat == 0 || worker.paused || worker.silent {
            return false;
        }
        let (slots, held) = (worker.slots as usize, worker.in_flight.len());
        // Nothing waits behind an attempt that may take long.
        held < slots
            || self
                .ahead(action)
                .is_some_and(|ahead| held < slots + slots.saturating_sub(worker.long.len()) * ahead)
    }

    /// Grants a waiting execution if it is the first of its action in its queue and a worker has room.
    pub(super) fn place(&mut self, now: Tick, id: ExecutionId, out: &mut Vec<CoordinatorEffect>) {
        let Some(active) = self.active.get(&id) else { return };
        let execution = &active.execution;
        let first =
            self.waiting.get(&execution.queue).and_then(|actions| actions.get(&execution.action));
        if first.and_then(|keys| keys.first()).is_none_or(|key| key.2 != id) {
            return;
        }
        let able = self.workers.iter().filter(|(_, worker)| {
            worker.serves(&execution.queue)
                && worker.actions.contains(&execution.action)
                && self.has_room(worker, &execution.action)
        });
        let free = |worker: &WorkerEntry| i64::from(worker.slots) - worker.in_flight.len() as i64;
        // Among equals the one that was given something longest ago.
        let best = able.max_by_key(|(_, worker)| (free(worker), Reverse(worker.last_granted)));
        if let Some(worker) = best.map(|(id, _)| id.clone()) {
            self.grant(now, id, &worker, out);
        }
    }

    /// Gives a worker what waits for it, while it has room.
    pub(super) fn fill(&mut self, now: Tick, id: &WorkerId, out: &mut Vec<CoordinatorEffect>) {
        while let Some(next) = self.next_for(id) {
            self.grant(now, next, id, out);
        }
    }

    fn next_for(&self, id: &WorkerId) -> Option<ExecutionId> {
        let worker = self.workers.get(id)?;
        let queues = self.waiting.iter().filter(|(queue, _)| worker.serves(queue));
        let able = queues
            .flat_map(|(_, actions)| actions)
            .filter(|(action, _)| worker.actions.contains(*action));
        let first = able
            .filter(|(action, _)| self.has_room(worker, action))
            .filter_map(|(_, keys)| keys.first());
        first.min().map(|key| key.2)
    }

    fn grant(
        &mut self,
        now: Tick,
        id: ExecutionId,
        worker: &WorkerId,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let Some(mut active) = self.active.remove(&id) else { return };
        self.dequeue(&active);
        self.last_number += 1;
        let fence = Fence { epoch: self.epoch, number: self.last_number };
        active.state = ActiveState::Granted(Grant {
            fence,
            worker: worker.clone(),
            accepted: false,
            started: false,
            cancel: None,
            sent_at: now,
        });
        out.push(CoordinatorEffect::Persist(Transition::Grant {
            execution: id,
            fence,
            attempt: active.tries + 1,
            worker: worker.clone(),
            lease: self.config.coordinator_lease,
        }));
        let long = self.ahead(&active.execution.action).is_none();
        if let Some(entry) = self.workers.get_mut(worker) {
            entry.in_flight.insert(fence, id);
            if long {
                entry.long.insert(fence);
            }
            entry.last_granted = fence.number;
        }
        self.granted.insert(fence, id);
        self.send_dispatch(&active, out);
        self.active.insert(id, active);
        self.arm_resend(now, worker);
    }

    fn send_dispatch(&self, active: &Active, out: &mut Vec<CoordinatorEffect>) {
        let ActiveState::Granted(grant) = &active.state else { return };
        let Some(worker) = self.workers.get(&grant.worker) else { return };
        let execution = &active.execution;
        let dispatch = Dispatch {
            fence: grant.fence,
            seq_echo: worker.beat,
            settled: worker.settled(self.epoch),
            execution: execution.id,
            attempt: active.tries + 1,
            action: execution.action.clone(),
            parameters: execution.parameters.clone(),
            timeout: execution.timeout,
            grace: self.config.grace,
            retryable: active.tries < execution.retry.retries,
        };
        out.push(CoordinatorEffect::Send(
            Address::Worker(grant.worker.clone()),
            Message::Dispatch(dispatch),
        ));
    }

    /// Sends again what the worker of an execution has not answered yet.
    pub(super) fn send_again(
        &mut self,
        now: Tick,
        id: ExecutionId,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let Some(active) = self.active.get_mut(&id) else { return };
        let ActiveState::Granted(grant) = &mut active.state else { return };
        grant.sent_at = now;
        let (accepted, worker) = (grant.accepted, grant.worker.clone());
        let cancel = grant.cancel;
        // A fence of an earlier epoch was accepted, or its worker will say that it does not hold it.
        if !accepted && cancel.is_none() {
            let active = &self.active[&id];
            self.send_dispatch(active, out);
        }
        if let Some(cancel) = cancel {
            out.push(CoordinatorEffect::Send(
                Address::Worker(worker.clone()),
                Message::Cancel(cancel),
            ));
        }
        if !accepted || cancel.is_some() {
            self.arm_resend(now, &worker);
        }
    }

    pub(super) fn arm_resend(&mut self, now: Tick, worker: &WorkerId) {
        let at = now + self.config.resend_interval;
        if let Some(worker) = self.workers.get_mut(worker)
            && !worker.resend_armed
        {
            worker.resend_armed = true;
            self.timers.insert((at, Timer::Resend(worker.number)));
        }
    }

    pub(super) fn resend(&mut self, now: Tick, number: u64, out: &mut Vec<CoordinatorEffect>) {
        let Some(id) = self.worker_numbers.get(&number).cloned() else { return };
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.resend_armed = false;
        let interval = self.config.resend_interval;
        let unanswered = |id: &&ExecutionId| match self.active.get(id).map(|active| &active.state) {
            Some(ActiveState::Granted(grant)) => !grant.accepted || grant.cancel.is_some(),
            _ => false,
        };
        let open: Vec<ExecutionId> =
            self.workers[&id].in_flight.values().filter(unanswered).copied().collect();
        for execution in &open {
            let due = match &self.active[execution].state {
                ActiveState::Granted(grant) => now.since(grant.sent_at) >= interval,
                _ => false,
            };
            if due {
                self.send_again(now, *execution, out);
            }
        }
        if !open.is_empty() {
            self.arm_resend(now, &id);
        }
    }
}
