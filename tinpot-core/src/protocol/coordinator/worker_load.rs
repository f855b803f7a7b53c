//! The load of a worker: its attempts, and which of them take slots.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{CoordinatorEffect, CoordinatorMachine};
use crate::model::deployed::BundleRef;
use crate::model::execution::Execution;
use crate::model::fence::Fence;
use crate::model::id::{ExecutionId, WorkerId};
use crate::protocol::tick::Tick;

/// The number of parked attempts above which a worker is granted only children. Each parked attempt
/// holds memory there, such as an interpreter, and a child lets one of them continue.
const PARKED_MAX: usize = 64;

/// The attempts that were granted to a worker and are not settled.
#[derive(Debug, Default)]
pub(super) struct Load {
    pub(super) in_flight: BTreeMap<Fence, ExecutionId>,
    /// The attempts that are not known to be short.
    pub(super) long: BTreeSet<Fence>,
    /// The attempts that wait for children and take no slot meanwhile.
    parked: BTreeSet<Fence>,
    /// The offered limit and the number of attempts, for each action whose attempts take no slots. The
    /// limit of a deployed action is that of its execution, and 0 here.
    unslotted: BTreeMap<Arc<str>, (u32, u32)>,
    /// The action of each attempt that takes no slot because of its action.
    of_unslotted: BTreeMap<Fence, Arc<str>>,
}

impl Load {
    /// Sets the limits of the actions whose attempts take no slots.
    pub(super) fn offered(&mut self, limits: impl Iterator<Item = (Arc<str>, u32)>) {
        for (limit, _) in self.unslotted.values_mut() {
            *limit = 0;
        }
        for (action, limit) in limits {
            self.unslotted.entry(action).or_default().0 = limit;
        }
        self.unslotted.retain(|_, (limit, running)| *limit > 0 || *running > 0);
    }

    /// Adds an attempt at an action. `bundle` is that of a deployed one.
    pub(super) fn insert(
        &mut self,
        fence: Fence,
        id: ExecutionId,
        action: &Arc<str>,
        bundle: Option<&BundleRef>,
    ) {
        self.in_flight.insert(fence, id);
        if self.limit(action, bundle) > 0 {
            self.unslotted.entry(action.clone()).or_default().1 += 1;
            self.of_unslotted.insert(fence, action.clone());
        }
    }

    /// Returns the number of attempts at an action that take no slots; 0 if each takes one.
    fn limit(&self, action: &str, bundle: Option<&BundleRef>) -> u32 {
        match bundle {
            Some(bundle) => bundle.concurrency.unwrap_or(0),
            None => self.unslotted.get(action).map_or(0, |(limit, _)| *limit),
        }
    }

    pub(super) fn remove(&mut self, fence: Fence) {
        self.in_flight.remove(&fence);
        self.long.remove(&fence);
        self.parked.remove(&fence);
        if let Some(action) = self.of_unslotted.remove(&fence)
            && let Some((limit, running)) = self.unslotted.get_mut(&action)
        {
            *running -= 1;
            if (*limit, *running) == (0, 0) {
                self.unslotted.remove(&action);
            }
        }
    }

    /// Returns true if the attempt waits for a child.
    pub(super) fn is_parked(&self, fence: Fence) -> bool {
        self.parked.contains(&fence)
    }

    /// Returns the attempts that wait for children.
    pub(super) fn parked(&self) -> impl Iterator<Item = &Fence> {
        self.parked.iter()
    }

    /// Returns true if the worker holds the attempt, and it takes a slot unless it waits for a
    /// child.
    pub(super) fn takes_slot(&self, fence: Fence) -> bool {
        self.in_flight.contains_key(&fence) && !self.of_unslotted.contains_key(&fence)
    }

    /// Returns the number of further attempts that an action without slots may have. `None` if its
    /// attempts take slots.
    pub(super) fn room_unslotted(&self, action: &str, bundle: Option<&BundleRef>) -> Option<u32> {
        let limit = self.limit(action, bundle);
        let running = || self.unslotted.get(action).map_or(0, |(_, running)| *running);
        (limit > 0).then(|| limit.saturating_sub(running()))
    }

    /// Returns the number of attempts that take slots.
    pub(super) fn in_slots(&self) -> usize {
        self.in_flight.len() - self.parked.len() - self.of_unslotted.len()
    }

    /// Returns the number of attempts that take slots and are not known to be short.
    pub(super) fn long_in_slots(&self) -> usize {
        let takes_slot =
            |fence: &&Fence| !self.parked.contains(fence) && !self.of_unslotted.contains_key(fence);
        if self.parked.is_empty() && self.of_unslotted.is_empty() {
            self.long.len()
        } else {
            self.long.iter().filter(takes_slot).count()
        }
    }

    /// Returns true if the worker may be granted an execution of this rank: many attempts that wait
    /// for children leave it to children only.
    pub(super) fn may_take(&self, rank: i64) -> bool {
        self.parked.len() < PARKED_MAX || Execution::is_rank_of_waited_for(rank)
    }
}

impl CoordinatorMachine {
    /// Parks an attempt that waits for a child, and grants its slot to others.
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

    /// Ends the wait of a parked attempt. It continues at once, even if no slot is free.
    pub(super) fn unpark(&mut self, worker: &WorkerId, fence: Fence) {
        if let Some(entry) = self.workers.get_mut(worker) {
            entry.load.parked.remove(&fence);
        }
    }
}
