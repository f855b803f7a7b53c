//! The schedule: per queue, by priority and then order of acceptance; among the workers that offer
//! the action, the one with the most free slots.

use std::cmp::Reverse;

use super::catalogue::Standing;
use super::queue::LaneKey;
use super::queue_head::Window;
use super::worker::WorkerEntry;
use super::{Active, ActiveState, CoordinatorEffect, CoordinatorMachine, End, Grant, Timer};
use crate::model::address::Address;
use crate::model::fence::Fence;
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::outcome::Outcome;
use crate::model::transition::Transition;
use crate::model::visible::team_of_key;
use crate::protocol::message::{Dispatch, Message, Probe};
use crate::protocol::tick::Tick;

impl CoordinatorMachine {
    /// Returns the number of attempts at `action` that may wait at a worker for each slot that runs
    /// short ones. `None` if the action is not known to be short.
    ///
    /// A worker that gets its next attempt only after it reported the last one is idle for a round
    /// trip in between. So attempts that are known to be short may wait at the worker. Others wait
    /// here, so that any worker can run them.
    fn ahead(&self, action: &str) -> Option<usize> {
        let horizon = self.config.prefetch_horizon.as_micros() as u64;
        let usual = self.actions.usual_us(action)?;
        let ahead = (horizon / usual.max(1)).min(u64::from(self.config.prefetch));
        (ahead > 0).then_some(ahead as usize)
    }

    /// Returns true if a worker can run the executions of a lane, in a queue that it serves.
    pub(super) fn offers(&self, worker: &WorkerEntry, lane: &LaneKey) -> bool {
        match &lane.runtime {
            None => worker.actions.contains(&lane.action),
            Some(runtime) => {
                let known = self.actions.entries().get(&lane.action);
                let group = known.map(|entry| &*entry.action.group);
                worker.runtimes.run(runtime, &lane.action, group)
            }
        }
    }

    /// Returns true if a worker cannot load the bundle of a waiting execution, and another one that
    /// has said no such thing is there. Without another one, the attempt fails with the reason.
    fn leaves_to_others(&self, worker: &WorkerEntry, lane: &LaneKey, id: ExecutionId) -> bool {
        let Some(active) = self.active.get(&id) else { return false };
        let execution = &active.execution;
        let Some(pinned) = &execution.bundle else { return false };
        if !worker.cannot_load(&pinned.bundle) {
            return false;
        }
        self.workers.values().any(|other| {
            other.serves(&execution.queue)
                && self.offers(other, lane)
                && other.standing() == Standing::Available
                && !other.cannot_load(&pinned.bundle)
        })
    }

    /// Returns true if a worker may be granted this waiting execution of a lane.
    fn has_room(&self, worker: &WorkerEntry, lane: &LaneKey, id: ExecutionId) -> bool {
        let action = &*lane.action;
        if worker.beat == 0 || worker.paused || worker.silent || worker.draining {
            return false;
        }
        if !worker.has_credit() {
            return false;
        }
        let bundle = lane.runtime.as_ref().and_then(|_| self.active.get(&id));
        let bundle = bundle.and_then(|active| active.execution.bundle.as_deref());
        if let Some(room) = worker.load.room_unslotted(action, bundle) {
            return room > 0 && worker.slots > 0;
        }
        let (slots, held) = (worker.slots as usize, worker.load.in_slots());
        // Nothing waits behind an attempt that may take long.
        held < slots
            || self.ahead(action).filter(|_| worker.is_pushed()).is_some_and(|ahead| {
                held < slots + slots.saturating_sub(worker.load.long_in_slots()) * ahead
            })
    }

    /// Grants a waiting execution if it is the first of its action in its queue and a worker has
    /// room. A worker whose frames are plain gets executions without secret parameters, including
    /// those that wait behind ones with secrets.
    pub(super) fn place(&mut self, now: Tick, id: ExecutionId, out: &mut Vec<CoordinatorEffect>) {
        let Some(active) = self.active.get(&id) else { return };
        let execution = &active.execution;
        if self.is_paused(&execution.queue, execution.team_name()) {
            return;
        }
        let key = LaneKey::of(execution);
        let lane = self.waiting.get(&execution.queue).and_then(|lanes| lanes.get(&key));
        let is = |key: Option<super::WaitingKey>| key.is_some_and(|key| key.1 == id);
        let is_first = is(lane.and_then(Window::first));
        if !is_first && !is(lane.and_then(Window::first_without_secrets)) {
            return;
        }
        let is_secret = active.is_secret();
        let able = self.workers.iter().filter(|(_, worker)| {
            // Executions that wait behind ones with secrets can go to workers that get none.
            let is_next = if worker.plain { !is_secret } else { is_first };
            is_next
                && worker.serves(&execution.queue)
                && self.offers(worker, &key)
                && self.has_room(worker, &key, id)
                && worker.load.may_take(execution.rank())
                && !self.leaves_to_others(worker, &key, id)
        });
        let free = |worker: &WorkerEntry| i64::from(worker.slots) - worker.load.in_slots() as i64;
        // Among equals, the worker that was granted an attempt the longest time ago.
        let best = able.max_by_key(|(_, worker)| (free(worker), Reverse(worker.last_granted)));
        if let Some(worker) = best.map(|(id, _)| id.clone()) {
            self.grant(now, id, &worker, out);
        }
    }

    /// Grants waiting executions to a worker while it has free slots.
    pub(super) fn fill(&mut self, now: Tick, id: &WorkerId, out: &mut Vec<CoordinatorEffect>) {
        while let Some(next) = self.next_for(id) {
            self.grant(now, next, id, out);
        }
        if self.unfinished > self.active.len() {
            self.want_for(id);
        }
    }

    /// Grants the executions that were read of a queue to the workers that serve it.
    pub(super) fn fill_all(
        &mut self,
        now: Tick,
        queue: &str,
        lane: &LaneKey,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let serves = |worker: &WorkerEntry| worker.serves(queue) && self.offers(worker, lane);
        let able = self.workers.iter().filter(|(_, worker)| serves(worker));
        let able: Vec<WorkerId> = able.map(|(id, _)| id.clone()).collect();
        for id in able {
            self.fill(now, &id, out);
        }
    }

    fn next_for(&self, id: &WorkerId) -> Option<ExecutionId> {
        let worker = self.workers.get(id)?;
        let queues = self.waiting.iter().filter(|(queue, _)| worker.serves(queue));
        let able = queues
            .flat_map(|(queue, lanes)| lanes.iter().map(move |lane| (queue, lane)))
            .filter(|(queue, (key, _))| {
                self.offers(worker, key) && !self.is_paused(queue, team_of_key(&key.action))
            })
            .map(|(_, lane)| lane);
        let first = able
            .filter_map(|(lane, keys)| {
                let first = match worker.plain {
                    true => keys.first_without_secrets(),
                    false => keys.first(),
                };
                first
                    .filter(|first| self.has_room(worker, lane, first.1))
                    .filter(|first| !self.leaves_to_others(worker, lane, first.1))
            })
            .filter(|key| worker.load.may_take(key.0));
        first.min().map(|key| key.1)
    }

    /// Grants an attempt at a waiting execution. If the execution has expired, or its caller has
    /// ended, it ends instead.
    fn grant(
        &mut self,
        now: Tick,
        id: ExecutionId,
        worker: &WorkerId,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        if self.is_late(now, id) {
            return self.expired(now, id, out);
        }
        if self.active.get(&id).is_some_and(|active| self.is_orphan(&active.execution)) {
            // It is in memory, so this cannot fail. Its own children end with it.
            let _ = self.cancel(now, id, false, out);
            return;
        }
        if self.active.get(&id).is_some_and(|active| active.execution.has_lost_secrets) {
            return self.finish(now, id, None, End::from(Outcome::secrets_lost()), out);
        }
        let gone = self.active.get(&id).and_then(|active| self.gone_bundle(&active.execution));
        if let Some(bundle) = gone {
            return self.finish(now, id, None, End::from(Outcome::bundle_gone(&bundle)), out);
        }
        let Some(mut active) = self.active.remove(&id) else { return };
        self.dequeue(&active);
        self.last_number += 1;
        let fence = Fence { epoch: self.epoch, number: self.last_number };
        let since = self.time(now);
        let patience =
            self.workers.get(worker).and_then(|worker| worker.terms).map(|terms| terms.patience);
        active.state = ActiveState::Granted(Grant {
            fence,
            worker: worker.clone(),
            accepted: false,
            started: false,
            cancel: None,
            sent_at: now,
            since,
        });
        out.push(CoordinatorEffect::Persist(Transition::Grant {
            execution: id,
            fence,
            attempt: active.tries + 1,
            worker: worker.clone(),
            lease: patience.unwrap_or(self.config.coordinator_lease),
        }));
        let action = active.execution.action_key();
        let long = self.ahead(&action).is_none();
        if let Some(entry) = self.workers.get_mut(worker) {
            entry.spend_credit();
            entry.load.insert(fence, id, &action, active.execution.bundle.as_deref());
            if long {
                entry.load.long.insert(fence);
            }
            entry.last_granted = fence.number;
        }
        self.granted.insert(fence, id);
        self.subjects.note(&active);
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
            number: execution.number,
            attempt: active.tries + 1,
            action: execution.action.clone(),
            parameters: execution.parameters.clone(),
            timeout: execution.timeout,
            grace: self.config.grace,
            retryable: active.tries < execution.retry.retries,
            bundle: execution.bundle.clone(),
            secrets: match execution.bundle {
                Some(_) => execution.secrets.clone(),
                None => Vec::new(),
            },
            uploads: execution.uploads.clone(),
            // The shell has the key of the tickets.
            ticket: None,
            traceparent: self.trace_of(execution, grant.fence),
        };
        out.push(CoordinatorEffect::Send(
            Address::Worker(grant.worker.clone()),
            Message::Dispatch(dispatch),
        ));
    }

    /// Resends what the worker of an execution has not answered yet.
    pub(super) fn send_again(
        &mut self,
        now: Tick,
        id: ExecutionId,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let Some(active) = self.active.get_mut(&id) else { return };
        let ActiveState::Granted(grant) = &mut active.state else { return };
        grant.sent_at = now;
        let (accepted, worker, fence) = (grant.accepted, grant.worker.clone(), grant.fence);
        let cancel = grant.cancel;
        let to = Address::Worker(worker.clone());
        if let Some(cancel) = cancel {
            out.push(CoordinatorEffect::Send(to, Message::Cancel(cancel)));
        } else if !accepted && fence.epoch != self.epoch {
            // An earlier epoch granted the attempt, and may have ended before it sent the dispatch.
            // The dispatch must not be sent now: a worker that has settled the attempt already
            // would take it for a new one.
            let probe = Probe { epoch: self.epoch, fence };
            out.push(CoordinatorEffect::Send(to, Message::Probe(probe)));
        } else if !accepted {
            let active = &self.active[&id];
            self.send_dispatch(active, out);
            self.tally.dispatches_resent += 1;
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
            self.workers[&id].load.in_flight.values().filter(unanswered).copied().collect();
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
        self.ask_to_drain(now, &id, out);
    }
}
