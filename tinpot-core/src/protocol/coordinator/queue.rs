//! The waiting executions: the head of every queue in memory, the rest in the store, read when the
//! head runs low.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::queue_head::{LOAD_MAX_BYTES, Weight};
use super::tally::queued_at;
use super::{
    Active, ActiveState, Cascade, CoordinatorEffect, CoordinatorMachine, End, Read, Timer,
};
use crate::model::execution::Execution;
use crate::model::fence::Fence;
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::outcome::Outcome;
use crate::model::page::{QueueOrder, QueuePage};
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::model::visible::team_of_key;
use crate::protocol::tick::Tick;

/// The order of waiting executions: the lowest rank first, then the order of acceptance, which is
/// that of the ids.
pub(super) type WaitingKey = (i64, ExecutionId);
/// The order of delayed executions: the earliest first.
pub(super) type DelayedKey = (Timestamp, ExecutionId);

/// A lane of a queue: the executions of one action that need the same runtime, if any. So no version
/// of a deployed action waits behind another that other workers can run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LaneKey {
    /// The key of the action.
    pub(super) action: Arc<str>,
    pub(super) runtime: Option<Arc<str>>,
}

impl LaneKey {
    pub(super) fn of(execution: &Execution) -> Self {
        Self { action: execution.action_key(), runtime: execution.runtime().cloned() }
    }
}

/// A read that a queue needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wanted {
    Ready(Arc<str>, LaneKey),
    Delayed,
    Expired,
}

/// The page size of the search for expired executions that are only in the store.
const EXPIRED_PAGE: usize = 1_024;

impl Active {
    pub(super) fn waiting(execution: Arc<Execution>) -> Self {
        let (tries, lost) = (execution.tries(), execution.lost());
        let queued_at = queued_at(&execution);
        Self { execution, tries, lost, expires: None, queued_at, state: ActiveState::Waiting }
    }

    /// Returns the live attempt.
    pub(super) fn fence(&self) -> Option<Fence> {
        match &self.state {
            ActiveState::Granted(grant) => Some(grant.fence),
            ActiveState::Waiting | ActiveState::Delayed { .. } => None,
        }
    }

    pub(super) fn key(&self) -> WaitingKey {
        (self.execution.rank(), self.execution.id)
    }

    fn weight(&self) -> Weight {
        let bytes = self.execution.parameters.as_str().len();
        Weight { bytes, is_secret: self.is_secret() }
    }

    /// Returns true if the execution has secret parameters.
    pub(super) fn is_secret(&self) -> bool {
        !self.execution.secrets.is_empty()
    }
}

impl CoordinatorMachine {
    /// Sets the time of the wall clock, by which delayed executions become ready.
    pub fn set_time(&mut self, now: Tick, time: Timestamp) {
        self.clock = (now, time);
    }

    /// Returns the time of day at a tick.
    pub(super) fn time(&self, now: Tick) -> Timestamp {
        Timestamp(self.clock.1.0 + now.since(self.clock.0).as_micros() as u64)
    }

    /// Returns the tick at which the wall clock will show `time`.
    fn tick_of(&self, now: Tick, time: Timestamp) -> Tick {
        now + std::time::Duration::from_micros(time.0.saturating_sub(self.time(now).0))
    }

    /// Queues an execution that waits for a worker, or until `not_before`.
    pub(super) fn enqueue(&mut self, now: Tick, mut active: Active, not_before: Option<Timestamp>) {
        let id = active.execution.id;
        let max = self.config.queue_window;
        active.expires = active.execution.expires_at.map(|at| self.tick_of(now, at));
        let kept = match not_before {
            Some(time) => {
                *self.delayed_in.entry(active.execution.queue.clone()).or_default() += 1;
                let at = self.tick_of(now, time);
                active.state = ActiveState::Delayed { at, not_before: time };
                self.delayed.insert((time, id), active.weight())
            }
            None => {
                active.state = ActiveState::Waiting;
                self.lane(&active.execution).insert(active.key(), active.weight())
            }
        };
        let execution = active.execution.clone();
        let mut evicted_expires = !kept && active.expires.is_some();
        if kept {
            self.keep(active.expires, &active.state, id);
            self.active.insert(id, active);
        }
        let mut evicted = Vec::new();
        match not_before {
            Some(_) => {
                evicted.extend(std::iter::from_fn(|| self.delayed.overflow(max)).map(|key| key.1))
            }
            None => {
                let lane = self.lane(&execution);
                evicted.extend(std::iter::from_fn(|| lane.overflow(max)).map(|key| key.1));
            }
        }
        for id in evicted {
            if let Some(active) = self.active.remove(&id) {
                evicted_expires |= active.expires.is_some();
                self.disarm(&active);
            }
        }
        self.want_more(&execution, not_before.is_some());
        if evicted_expires {
            self.arm_sweep(now);
        }
    }

    fn lane(&mut self, execution: &Execution) -> &mut super::queue_head::Window<WaitingKey> {
        let queue = self.waiting.entry(execution.queue.clone()).or_default();
        queue.entry(LaneKey::of(execution)).or_default()
    }

    /// Arms the timers of an execution that waits in memory.
    fn keep(&mut self, expires: Option<Tick>, state: &ActiveState, id: ExecutionId) {
        if let ActiveState::Delayed { at, .. } = state {
            self.timers.insert((*at, Timer::Retry(id)));
        }
        if let Some(at) = expires {
            self.timers.insert((at, Timer::Expired(id)));
        }
    }

    fn disarm(&mut self, active: &Active) {
        let id = active.execution.id;
        if let ActiveState::Delayed { at, .. } = active.state {
            self.timers.remove(&(at, Timer::Retry(id)));
        }
        if let Some(at) = active.expires {
            self.timers.remove(&(at, Timer::Expired(id)));
        }
    }

    /// Removes an execution that waited in memory.
    pub(super) fn dequeue(&mut self, active: &Active) {
        self.disarm(active);
        match active.state {
            ActiveState::Waiting => {
                let key = active.key();
                self.lane(&active.execution).remove(&key);
            }
            ActiveState::Delayed { not_before, .. } => {
                self.delayed.remove(&(not_before, active.execution.id));
                self.count_delayed_out(&active.execution.queue);
            }
            ActiveState::Granted(_) => return,
        }
        let delayed = matches!(active.state, ActiveState::Delayed { .. });
        self.want_more(&active.execution, delayed);
    }

    fn count_delayed_out(&mut self, queue: &Arc<str>) {
        if let Some(count) = self.delayed_in.get_mut(queue) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.delayed_in.remove(queue);
            }
        }
    }

    /// Removes an execution that waited in the store only.
    fn dequeue_beyond(&mut self, execution: &Execution, delayed: bool) {
        if delayed {
            self.delayed.remove_beyond();
            self.count_delayed_out(&execution.queue);
        } else {
            self.lane(execution).remove_beyond();
        }
        self.want_more(execution, delayed);
    }

    /// Requests a page if the head of a queue runs low, and forgets a queue in which nothing waits.
    fn want_more(&mut self, execution: &Execution, delayed: bool) {
        let max = self.config.queue_window;
        if delayed {
            if self.delayed.runs_low(max) {
                self.wanted.insert(Wanted::Delayed);
            }
            return;
        }
        let Some(actions) = self.waiting.get_mut(&execution.queue) else { return };
        let key = LaneKey::of(execution);
        let Some(lane) = actions.get(&key) else { return };
        if lane.runs_low(max) {
            self.wanted.insert(Wanted::Ready(execution.queue.clone(), key));
        } else if lane.is_empty() {
            actions.remove(&key);
            if actions.is_empty() {
                self.waiting.remove(&execution.queue);
            }
        }
    }

    /// Requests pages of the served lanes that have nothing in memory, for a worker with a free
    /// slot.
    pub(super) fn want_for(&mut self, worker: &WorkerId) {
        let Some(worker) = self.workers.get(worker) else { return };
        let max = self.config.queue_window;
        let mut wanted = Vec::new();
        for (queue, lanes) in self.waiting.iter().filter(|(queue, _)| worker.serves(queue)) {
            for (key, _) in lanes.iter().filter(|(_, lane)| lane.runs_low(max)) {
                let is_paused = self.is_paused(queue, team_of_key(&key.action));
                if !is_paused && self.offers(worker, key) {
                    wanted.push(Wanted::Ready(queue.clone(), key.clone()));
                }
            }
        }
        self.wanted.extend(wanted);
    }

    /// Returns true if executions wait in this lane of any queue.
    pub(super) fn has_lane(&self, key: &LaneKey) -> bool {
        self.waiting.values().any(|lanes| lanes.contains_key(key))
    }

    /// Returns the page to read from the store once everything is committed, and to pass to
    /// [`loaded`](Self::loaded) before anything else happens. The effects of a page have to be
    /// committed before the next page is requested: otherwise that page would be out of date.
    pub fn page_wanted(&mut self, now: Tick) -> Option<QueuePage> {
        let (order, limit) = loop {
            match self.wanted.pop_first()? {
                Wanted::Ready(queue, key) => {
                    let lane = self.waiting.get(&queue).and_then(|lanes| lanes.get(&key));
                    let Some(lane) = lane else { continue };
                    let (after, LaneKey { action, runtime }) = (lane.last(), key);
                    let order = QueueOrder::Ready { queue, action, runtime, after };
                    break (order, (self.config.queue_window / 2).max(1));
                }
                Wanted::Delayed => {
                    let order = QueueOrder::Delayed { after: self.delayed.last() };
                    break (order, (self.config.queue_window / 2).max(1));
                }
                Wanted::Expired => {
                    break (QueueOrder::Expired { at: self.time(now) }, EXPIRED_PAGE);
                }
            }
        };
        Some(QueuePage { order, limit, max_bytes: LOAD_MAX_BYTES })
    }

    /// Requests a page again that could not be read.
    pub fn not_loaded(&mut self, page: QueuePage) {
        self.wanted.insert(match page.order {
            QueueOrder::Ready { queue, action, runtime, .. } => {
                Wanted::Ready(queue, LaneKey { action, runtime })
            }
            QueueOrder::Delayed { .. } => Wanted::Delayed,
            QueueOrder::Expired { .. } => Wanted::Expired,
        });
    }

    /// Handles the executions of a page.
    pub fn loaded(
        &mut self,
        now: Tick,
        page: &QueuePage,
        executions: Vec<Arc<Execution>>,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        match &page.order {
            QueueOrder::Ready { queue, action, runtime, .. } => {
                let of_page = LaneKey { action: action.clone(), runtime: runtime.clone() };
                let last = executions.last().cloned();
                for execution in &executions {
                    if self.is_orphan(execution) {
                        self.cancel_beyond(execution, out);
                        continue;
                    }
                    let active = Active::waiting(execution.clone());
                    let (key, weight) = (active.key(), active.weight());
                    self.lane(execution).insert_read(key, weight);
                    self.take_in(now, active);
                }
                if let Some(last) = last {
                    self.want_more(&last, false);
                } else if let Some(lanes) = self.waiting.get_mut(queue) {
                    if let Some(lane) = lanes.get_mut(&of_page) {
                        lane.read_to_the_end();
                    }
                    lanes.retain(|_, lane| !lane.is_empty());
                }
                // Executions that have expired in the store since the last search must not be
                // granted.
                self.tick(now, out);
                self.fill_all(now, queue, &of_page, out);
            }
            QueueOrder::Delayed { .. } => {
                if executions.is_empty() {
                    self.delayed.read_to_the_end();
                }
                for execution in executions {
                    if self.is_orphan(&execution) {
                        self.cancel_beyond(&execution, out);
                        continue;
                    }
                    let time = execution.not_before.unwrap_or_default();
                    let mut active = Active::waiting(execution);
                    let at = self.tick_of(now, time);
                    active.state = ActiveState::Delayed { at, not_before: time };
                    self.delayed.insert_read((time, active.execution.id), active.weight());
                    self.take_in(now, active);
                }
                if self.delayed.runs_low(self.config.queue_window) {
                    self.wanted.insert(Wanted::Delayed);
                }
            }
            QueueOrder::Expired { .. } => {
                // Executions in memory have timers.
                let beyond = |execution: &&Arc<Execution>| !self.active.contains_key(&execution.id);
                let expired: Vec<_> = executions.iter().filter(beyond).cloned().collect();
                if executions.len() >= page.limit && !expired.is_empty() {
                    self.wanted.insert(Wanted::Expired);
                }
                for execution in expired {
                    self.finish_beyond(&execution, Outcome::expired(), out);
                }
            }
        }
    }

    fn take_in(&mut self, now: Tick, mut active: Active) {
        active.expires = active.execution.expires_at.map(|at| self.tick_of(now, at));
        self.keep(active.expires, &active.state, active.execution.id);
        self.active.insert(active.execution.id, active);
    }

    /// Ends an execution that waits in the store only.
    pub(super) fn finish_beyond(
        &mut self,
        execution: &Execution,
        outcome: Outcome,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        self.dequeue_beyond(execution, execution.not_before.is_some());
        self.unfinished = self.unfinished.saturating_sub(1);
        self.held_by_callers.remove(execution);
        self.subjects.note_stored(execution);
        let awaited = self.children.awaits(execution.id).then(|| outcome.clone());
        out.push(CoordinatorEffect::Persist(Transition::Finish {
            execution: execution.id,
            fence: None,
            outcome,
            ran: None,
            log_end: None,
        }));
        if let Some(outcome) = awaited {
            self.child_ended(execution.id, &outcome, out);
        }
    }

    /// Cancels an execution that was read from the store just now. Returns false if it does not
    /// wait.
    pub fn cancel_stored(
        &mut self,
        execution: &Execution,
        out: &mut Vec<CoordinatorEffect>,
    ) -> bool {
        let waits = execution.standing() == (crate::Status::Queued, None)
            && !self.active.contains_key(&execution.id);
        if waits {
            self.cancel_beyond(execution, out);
        }
        waits
    }

    /// Cancels an execution that waits and of which only the store knows, and then what its earlier
    /// attempts called.
    fn cancel_beyond(&mut self, execution: &Execution, out: &mut Vec<CoordinatorEffect>) {
        self.finish_beyond(execution, Outcome::Cancelled, out);
        if !execution.attempts.is_empty() {
            let (parent, awaited_by, before) = (execution.id, None, None);
            let cascade = Cascade { parent, awaited_by, force: false, before };
            out.push(CoordinatorEffect::Read(Read::Children(cascade)));
        }
    }

    /// Takes back an acceptance that could not be committed. The caller drops everything else about
    /// it that was to be committed or sent. `delayed` is true if the execution was delayed.
    pub fn forget(
        &mut self,
        now: Tick,
        execution: &Execution,
        delayed: bool,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        self.unfinished = self.unfinished.saturating_sub(1);
        self.held_by_callers.remove(execution);
        let Some(active) = self.active.remove(&execution.id) else {
            return self.dequeue_beyond(execution, delayed);
        };
        match &active.state {
            ActiveState::Granted(grant) => {
                let (fence, worker) = (grant.fence, grant.worker.clone());
                self.settle(now, fence, &worker, out);
            }
            _ => self.dequeue(&active),
        }
    }

    /// Returns true if an execution has expired.
    pub(super) fn is_late(&self, now: Tick, id: ExecutionId) -> bool {
        let expires = self.active.get(&id).and_then(|active| active.expires);
        expires.is_some_and(|at| at <= now)
    }

    /// Makes a delayed execution ready: its time has come.
    pub(super) fn ready(&mut self, now: Tick, id: ExecutionId, out: &mut Vec<CoordinatorEffect>) {
        if self.is_late(now, id) {
            return self.expired(now, id, out);
        }
        if self.active.get(&id).is_some_and(|active| self.is_orphan(&active.execution)) {
            // It is in memory, so this cannot fail. Its own children end with it.
            let _ = self.cancel(now, id, false, out);
            return;
        }
        let Some(active) = self.active.remove(&id) else { return };
        self.dequeue(&active);
        self.enqueue(now, active, None);
        self.place(now, id, out);
        let state = self.active.get(&id).map(|active| &active.state);
        if !matches!(state, Some(ActiveState::Granted(_))) {
            out.push(CoordinatorEffect::Persist(Transition::Ready { execution: id }));
        }
    }

    /// Ends an execution that has expired.
    pub(super) fn expired(&mut self, now: Tick, id: ExecutionId, out: &mut Vec<CoordinatorEffect>) {
        let waits = |active: &Active| !matches!(active.state, ActiveState::Granted(_));
        if self.active.get(&id).is_some_and(waits) {
            self.finish(now, id, None, End::from(Outcome::expired()), out);
        }
    }

    /// Arms the timer that expires executions that are only in the store.
    pub(super) fn arm_sweep(&mut self, now: Tick) {
        if !self.sweeping {
            self.sweeping = true;
            self.timers.insert((now + self.config.beat_interval, Timer::Sweep));
        }
    }

    pub(super) fn sweep(&mut self, now: Tick) {
        self.sweeping = false;
        if self.unfinished > self.active.len() {
            self.wanted.insert(Wanted::Expired);
            self.arm_sweep(now);
        }
    }

    /// Returns the number of ready and of delayed executions in each queue.
    pub(super) fn waiting_in(&self) -> BTreeMap<Arc<str>, (usize, usize)> {
        let mut counts = BTreeMap::<Arc<str>, (usize, usize)>::new();
        for (queue, actions) in &self.waiting {
            let waiting = actions.values().map(super::queue_head::Window::len).sum();
            counts.entry(queue.clone()).or_default().0 = waiting;
        }
        for (queue, delayed) in &self.delayed_in {
            counts.entry(queue.clone()).or_default().1 = *delayed as usize;
        }
        counts
    }
}
