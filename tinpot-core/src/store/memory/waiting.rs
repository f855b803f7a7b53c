//! Indexes of the executions that wait without a live attempt.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::model::execution::Execution;
use crate::model::id::ExecutionId;
use crate::model::opened::WaitingCount;
use crate::model::page::QueueOrder;
use crate::model::time::Timestamp;

/// A queue, the key of an action, and a runtime, if the executions need one.
type Lane = (Arc<str>, Arc<str>, Option<Arc<str>>);

#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting {
    ready: BTreeMap<Lane, BTreeSet<(i64, ExecutionId)>>,
    delayed: BTreeSet<(Timestamp, ExecutionId)>,
    delayed_in: BTreeMap<Lane, u64>,
    expiring: BTreeSet<(Timestamp, ExecutionId)>,
}

fn lane(execution: &Execution) -> Lane {
    (execution.queue.clone(), execution.action_key(), execution.runtime().cloned())
}

impl Waiting {
    pub(crate) fn insert(&mut self, execution: &Execution) {
        let id = execution.id;
        match execution.not_before {
            Some(at) => {
                self.delayed.insert((at, id));
                *self.delayed_in.entry(lane(execution)).or_default() += 1;
            }
            None => {
                let key = (execution.rank(), id);
                self.ready.entry(lane(execution)).or_default().insert(key);
            }
        }
        self.expiring.extend(execution.expires_at.map(|at| (at, id)));
    }

    pub(crate) fn remove(&mut self, execution: &Execution) {
        let (id, lane) = (execution.id, lane(execution));
        if let Some(at) = execution.not_before {
            self.delayed.remove(&(at, id));
            if let Some(count) = self.delayed_in.get_mut(&lane) {
                *count -= 1;
                if *count == 0 {
                    self.delayed_in.remove(&lane);
                }
            }
        } else if let Some(keys) = self.ready.get_mut(&lane) {
            keys.remove(&(execution.rank(), id));
            if keys.is_empty() {
                self.ready.remove(&lane);
            }
        }
        if let Some(at) = execution.expires_at {
            self.expiring.remove(&(at, id));
        }
    }

    pub(crate) fn counts(&self) -> Vec<WaitingCount> {
        let mut counts: BTreeMap<&Lane, (u64, u64)> = BTreeMap::new();
        for (lane, keys) in &self.ready {
            counts.entry(lane).or_default().0 = keys.len() as u64;
        }
        for (lane, count) in &self.delayed_in {
            counts.entry(lane).or_default().1 = *count;
        }
        let count =
            |((queue, action, runtime), (ready, delayed)): (&Lane, (u64, u64))| WaitingCount {
                queue: queue.clone(),
                action: action.clone(),
                runtime: runtime.clone(),
                ready,
                delayed,
            };
        counts.into_iter().map(count).collect()
    }

    /// Returns the ready executions of the same queue, action and runtime that are ahead of this
    /// one.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn ahead_of(&self, execution: &Execution) -> impl Iterator<Item = ExecutionId> {
        let keys = self.ready.get(&lane(execution)).into_iter();
        let key = (execution.rank(), execution.id);
        keys.flat_map(move |keys| keys.range(..key)).map(|key| key.1)
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn first_delayed(&self) -> Option<(Timestamp, ExecutionId)> {
        self.delayed.first().copied()
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn first_expiring(&self) -> Option<(Timestamp, ExecutionId)> {
        self.expiring.first().copied()
    }

    pub(crate) fn ids(&self, order: &QueueOrder) -> Box<dyn Iterator<Item = ExecutionId> + '_> {
        fn from<K>(after: Option<K>) -> (Bound<K>, Bound<K>) {
            (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
        }
        match order {
            QueueOrder::Ready { queue, action, runtime, after } => {
                let keys = self.ready.get(&(queue.clone(), action.clone(), runtime.clone()));
                let from = from(*after);
                Box::new(keys.into_iter().flat_map(move |keys| keys.range(from)).map(|key| key.1))
            }
            QueueOrder::Delayed { after } => {
                Box::new(self.delayed.range(from(*after)).map(|key| key.1))
            }
            QueueOrder::Expired { at } => {
                let at = *at;
                let due = self.expiring.iter().take_while(move |key| key.0 <= at);
                Box::new(due.map(|key| key.1))
            }
        }
    }
}
