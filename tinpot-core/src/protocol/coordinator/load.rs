//! What a worker has to do: which of its attempts take slots, and which do not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::worker::WorkerEntry;
use super::{CoordinatorEffect, CoordinatorMachine};
use crate::model::execution::Execution;
use crate::model::fence::Fence;
use crate::model::id::{ExecutionId, WorkerId};
use crate::protocol::tick::Tick;

/// While so many attempts of a worker wait for their children, it is given nothing but children: each of them holds memory there, an
/// interpreter for one, and a child lets one of them go on.
const PARKED_MAX: usize = 64;

/// What a worker was given and has not settled.
#[derive(Debug, Default)]
pub(super) struct Load {
    pub(super) in_flight: BTreeMap<Fence, ExecutionId>,
    /// Those of them that are not known to be short.
    pub(super) long: BTreeSet<Fence>,
    /// Those that wait for children, and take no slot meanwhile.
    parked: BTreeSet<Fence>,
    /// Actions of which many run at once beside the slots: how many may, and how many do.
    beside: BTreeMap<Arc<str>, (u32, u32)>,
    /// Attempts at those.
    of_beside: BTreeMap<Fence, Arc<str>>,
}

impl Load {
    /// The worker offers these actions to be run many at once.
    pub(super) fn offered(&mut self, limits: impl Iterator<Item = (Arc<str>, u32)>) {
        for (limit, _) in self.beside.values_mut() {
            *limit = 0;
        }
        for (action, limit) in limits {
            self.beside.entry(action).or_default().0 = limit;
        }
        self.beside.retain(|_, (limit, running)| *limit > 0 || *running > 0);
    }

    pub(super) fn insert(&mut self, fence: Fence, id: ExecutionId, action: &Arc<str>) {
        self.in_flight.insert(fence, id);
        if let Some((limit, running)) = self.beside.get_mut(action)
            && *limit > 0
        {
            *running += 1;
            self.of_beside.insert(fence, action.clone());
        }
    }

    pub(super) fn remove(&mut self, fence: Fence) {
        self.in_flight.remove(&fence);
        self.long.remove(&fence);
        self.parked.remove(&fence);
        if let Some(action) = self.of_beside.remove(&fence)
            && let Some((_, running)) = self.beside.get_mut(&action)
        {
            *running -= 1;
        }
    }

    /// Whether it waits for a child.
    pub(super) fn is_parked(&self, fence: Fence) -> bool {
        self.parked.contains(&fence)
    }

    /// Returns the attempts that wait for children.
    pub(super) fn parked(&self) -> impl Iterator<Item = &Fence> {
        self.parked.iter()
    }

    /// Returns true if it is here and takes a slot whenever it does not wait for a child.
    pub(super) fn takes_slot(&self, fence: Fence) -> bool {
        self.in_flight.contains_key(&fence) && !self.of_beside.contains_key(&fence)
    }

    /// How many more attempts at an action that runs beside the slots there may be; `None` for all other actions.
    pub(super) fn room_beside(&self, action: &str) -> Option<u32> {
        let (limit, running) = self.beside.get(action)?;
        (*limit > 0).then(|| limit.saturating_sub(*running))
    }

    /// Attempts that take slots.
    pub(super) fn in_slots(&self) -> usize {
        self.in_flight.len() - self.parked.len() - self.of_beside.len()
    }

    /// Those of them that are not known to be short.
    pub(super) fn long_in_slots(&self) -> usize {
        let takes_slot =
            |fence: &&Fence| !self.parked.contains(fence) && !self.of_beside.contains_key(fence);
        if self.parked.is_empty() && self.of_beside.is_empty() {
            self.long.len()
        } else {
            self.long.iter().filter(takes_slot).count()
        }
    }
}

impl WorkerEntry {
    /// Whether it may be given that execution, as far as its attempts that wait for children go.
    pub(super) fn may_take(&self, rank: i64) -> bool {
        self.load.parked.len() < PARKED_MAX || Execution::is_rank_of_waited_for(rank)
    }
}

impl CoordinatorMachine {
    /// Notes that an attempt waits for a child, and lets others have its slot.
    pub(super) fn park(
        &mut self,
        now: Tick,
        worker: &WorkerId,
        fence: Fence,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let Some(entry) = self.workers.get_mut(worker) else { return };
        if entry.load.takes_slot(fence) && entry.load.parked.insert(fence) {
            self.fill(now, worker, out);
        }
    }

    /// Notes that an attempt does not wait any more. It goes on at once, whether its slot is free
    /// or not.
    pub(super) fn unpark(&mut self, worker: &WorkerId, fence: Fence) {
        if let Some(entry) = self.workers.get_mut(worker) {
            entry.load.parked.remove(&fence);
        }
    }
}
