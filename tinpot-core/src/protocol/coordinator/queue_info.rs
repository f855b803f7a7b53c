//! The state of the queues, for people: waiting executions, their age, and the reason for the wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::worker::WorkerEntry;
use super::{Catalogue, CoordinatorMachine};
use crate::model::id::ExecutionId;
use crate::model::time::Timestamp;
use crate::model::violation::clipped;

/// The number of actions that a reason names. The others are counted.
const NAMED: usize = 3;

/// The part of a worker's own words that a reason repeats, in bytes.
const REASON: usize = 300;

/// The state of a queue: its executions, its workers, and why executions wait.
///
/// ```
/// # use tinpot_core::{Failure, FunctionExecutor, local};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let executor = FunctionExecutor::builder()
/// #     .action("tick", |_, ()| async { Ok::<_, Failure>("tock") })
/// #     .build()?;
/// # let tinpot = local(executor).await?;
/// tinpot.pause_queue("default").await?;
/// tinpot.submit("tick", ()).await?;
///
/// let queues = tinpot.queues().await?;
/// let queue = queues.iter().find(|queue| &*queue.name == "default").unwrap();
/// assert_eq!((queue.waiting, queue.workers), (1, 1));
/// assert!(queue.paused_at.is_some() && queue.reason.is_some());
/// # tinpot.resume_queue("default").await?;
/// # tinpot.shutdown(std::time::Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueInfo {
    /// The name of the queue.
    pub name: Arc<str>,
    /// The number of executions that wait for a worker.
    pub waiting: usize,
    /// The number of executions whose attempt is granted to a worker.
    pub granted: usize,
    /// The number of executions that wait for a delay or for their next attempt.
    pub delayed: usize,
    /// The number of live workers that serve the queue.
    pub workers: usize,
    /// The time at which the queue was paused, if it is.
    pub paused_at: Option<Timestamp>,
    /// The time of acceptance of the oldest waiting execution in memory. The first ones of each
    /// action are in memory.
    pub oldest_accepted_at: Option<Timestamp>,
    /// The reason why executions wait; `None` if none wait.
    pub reason: Option<String>,
}

impl CoordinatorMachine {
    /// Returns the catalogue.
    pub fn catalogue(&self) -> &Catalogue {
        self.actions.entries()
    }

    /// Returns the known queues. A queue is known if an execution, a worker or an action names it,
    /// or if it is paused.
    pub fn queues(&self) -> Vec<QueueInfo> {
        let waiting = self.waiting_in();
        let mut granted = BTreeMap::<&Arc<str>, usize>::new();
        for id in self.granted.values() {
            if let Some(active) = self.active.get(id) {
                *granted.entry(&active.execution.queue).or_default() += 1;
            }
        }
        let oldest = self.oldest_in();
        let view = |name: Arc<str>| {
            let (waiting, delayed) = waiting.get(&name).copied().unwrap_or_default();
            let granted = granted.get(&name).copied().unwrap_or_default();
            let serves = |worker: &&WorkerEntry| worker.introduced && worker.serves(&name);
            let workers = self.workers.values().filter(serves).count();
            let paused_at = self.paused.get(&name).copied();
            let oldest = oldest.get(&name).and_then(|id| self.active.get(id));
            let oldest_accepted_at = oldest.map(|active| active.execution.accepted_at);
            let reason = self.why_waits(&name, waiting, delayed);
            QueueInfo {
                name,
                waiting,
                granted,
                delayed,
                workers,
                paused_at,
                oldest_accepted_at,
                reason,
            }
        };
        self.queue_names().into_iter().map(view).collect()
    }

    pub(super) fn queue_names(&self) -> BTreeSet<Arc<str>> {
        let mut names: BTreeSet<Arc<str>> = self.waiting.keys().cloned().collect();
        names.extend(self.delayed_in.keys().cloned());
        names.extend(self.paused.keys().cloned());
        let offered = self.actions.entries().values().map(|entry| entry.action.queue.as_str());
        names.extend(offered.map(Arc::from));
        let served = self.workers.values().flat_map(|worker| &worker.queues);
        names.extend(served.map(|queue| Arc::from(queue.as_str())));
        let granted = self.granted.values().filter_map(|id| self.active.get(id));
        names.extend(granted.map(|active| active.execution.queue.clone()));
        names
    }

    /// Returns the oldest execution in memory that waits in each queue. Ids are in the order of
    /// acceptance.
    fn oldest_in(&self) -> BTreeMap<&Arc<str>, ExecutionId> {
        let mut oldest = BTreeMap::<&Arc<str>, ExecutionId>::new();
        let mut note = |queue, id: ExecutionId| {
            let first = oldest.entry(queue).or_insert(id);
            *first = (*first).min(id);
        };
        for (queue, lanes) in &self.waiting {
            lanes.values().flat_map(|lane| lane.keys()).for_each(|key| note(queue, key.1));
        }
        for (_, id) in self.delayed.keys() {
            if let Some(active) = self.active.get(id) {
                note(&active.execution.queue, *id);
            }
        }
        oldest
    }

    fn why_waits(&self, queue: &str, waiting: usize, delayed: usize) -> Option<String> {
        if waiting + delayed == 0 {
            return None;
        }
        if self.is_paused(queue) {
            return Some("the queue is paused".to_owned());
        }
        if waiting == 0 {
            return Some("all waiting executions are delayed or wait for a retry".to_owned());
        }
        let serving: Vec<&WorkerEntry> = self
            .workers
            .values()
            .filter(|worker| worker.introduced && worker.serves(queue))
            .collect();
        if serving.is_empty() {
            return Some("no live worker serves this queue".to_owned());
        }
        let lanes = self.waiting.get(queue);
        let actions = || lanes.into_iter().flat_map(BTreeMap::keys);
        let is_offered = |action: &Arc<str>| serving.iter().any(|w| w.actions.contains(action));
        let missing: Vec<&Arc<str>> = actions().filter(|action| !is_offered(action)).collect();
        if let Some(first) = missing.first()
            && let Some(worker) = serving.iter().find(|worker| worker.may_withhold(first, queue))
            && let Some(why) = worker.why_withheld()
        {
            let (name, why) = (clipped(&worker.name, REASON), clipped(why, REASON));
            return Some(format!("worker {name:?} cannot start {first:?}: {why}"));
        }
        if !missing.is_empty() {
            return Some(format!("no live worker of this queue offers {}", named(&missing)));
        }
        let able = || {
            let offers = |worker: &&&WorkerEntry| actions().any(|a| worker.actions.contains(a));
            serving.iter().filter(offers)
        };
        let ends = |worker: &WorkerEntry| worker.draining || worker.slots == 0;
        let reason = if able().all(|worker| ends(worker)) {
            "all matching workers are draining"
        } else if able().all(|worker| ends(worker) || worker.silent) {
            "all matching workers have missed heartbeats"
        } else if able().all(|worker| ends(worker) || worker.silent || worker.beat == 0) {
            "all matching workers are still connecting"
        } else {
            "all matching worker slots are busy"
        };
        Some(reason.to_owned())
    }
}

fn named(actions: &[&Arc<str>]) -> String {
    let first: Vec<String> = actions.iter().take(NAMED).map(|name| format!("{name:?}")).collect();
    match actions.len().saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
