//! What has changed, for whoever shows all of it: pulled, like everything that is watched, so that a slow reader costs nobody anything.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Coordinator;
use crate::model::id::ExecutionId;
use crate::model::transition::Transition;

/// Changes of executions that are remembered, 64 KiB of them: what a few seconds bring under load. A reader that is further behind is better
/// off with the list.
const RECENT: usize = 4_096;

/// How often each has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Versions {
    executions: u64,
    workers: u64,
    queues: u64,
    catalogue: u64,
}

/// The executions that changed last, oldest first, and how many changes there were in all.
#[derive(Debug, Default)]
struct Recent {
    ids: VecDeque<ExecutionId>,
    total: u64,
}

fn lock(recent: &Mutex<Recent>) -> MutexGuard<'_, Recent> {
    recent.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where readers find what has changed.
#[derive(Clone, Debug)]
pub(super) struct Source {
    recent: Arc<Mutex<Recent>>,
    versions: watch::Receiver<Versions>,
}

/// Notes what changes. Of the control loop: readers learn from its end that nothing will change any more.
#[derive(Debug)]
pub(super) struct Recorder {
    recent: Arc<Mutex<Recent>>,
    versions: watch::Sender<Versions>,
}

impl Recorder {
    pub(super) fn new() -> (Self, Source) {
        let recent = Arc::new(Mutex::new(Recent::default()));
        let (sender, versions) = watch::channel(Versions::default());
        (Self { recent: recent.clone(), versions: sender }, Source { recent, versions })
    }

    /// A batch was committed. One lock and one notice per commit, however many executions it is about.
    pub(super) fn committed(&self, batch: &[Transition]) {
        super::life_cycle::committed(batch);
        let mut versions = *self.versions.borrow();
        let mut recent = lock(&self.recent);
        let mut last = None;
        for transition in batch {
            versions.queues += u64::from(changes_a_queue(transition));
            let Some(id) = transition.execution() else { continue };
            versions.workers += u64::from(is_at_a_worker(transition));
            // What was accepted and granted at once is one change.
            if last != Some(id) {
                last = Some(id);
                if recent.ids.len() >= RECENT {
                    recent.ids.pop_front();
                }
                recent.ids.push_back(id);
                recent.total += 1;
            }
        }
        versions.executions = recent.total;
        drop(recent);
        self.publish(versions);
    }

    /// Workers came, went, or offer something else; queues are served by others then.
    pub(super) fn catalogue_changed(&self) {
        let mut versions = *self.versions.borrow();
        versions.workers += 1;
        versions.queues += 1;
        versions.catalogue += 1;
        self.publish(versions);
    }

    fn publish(&self, versions: Versions) {
        self.versions.send_if_modified(|now| std::mem::replace(now, versions) != versions);
    }
}

/// Whether it changes what waits in a queue, or whether that may start.
fn changes_a_queue(transition: &Transition) -> bool {
    !matches!(
        transition,
        Transition::Offer(_) | Transition::Start { .. } | Transition::Cancelling { .. }
    )
}

/// Whether it changes what a worker has to do.
fn is_at_a_worker(transition: &Transition) -> bool {
    matches!(
        transition,
        Transition::Grant { .. }
            | Transition::Start { .. }
            | Transition::Requeue { .. }
            | Transition::Finish { fence: Some(_), .. }
    )
}

/// What has changed since it was last asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changed {
    /// The executions of which something changed that a list shows: each once, in the order of their last change.
    pub executions: Vec<ExecutionId>,
    /// So many executions have changed that only the latest are known: read the list again.
    pub missed: bool,
    /// Workers came, went, offer something else, or do something else now.
    pub workers: bool,
    /// What waits in the queues, or who serves them.
    pub queues: bool,
    /// Actions, or whether they are available.
    pub catalogue: bool,
}

impl Changed {
    fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}

/// What changes from now on, taken at the reader's own pace: [`Coordinator::changes`].
///
/// However much happens between two calls, it costs the coordinator nothing and the reader one answer, with at most some thousand executions.
#[derive(Debug)]
pub struct Changes {
    source: Source,
    seen: Versions,
}

impl Changes {
    fn new(source: Source) -> Self {
        let seen = *source.versions.borrow();
        Self { source, seen }
    }

    /// Waits until something has changed that was not told yet, and tells it; `None` when the coordinator has ended. May be dropped while it
    /// waits: nothing is missed.
    pub async fn next(&mut self) -> Option<Changed> {
        loop {
            let changed = self.take();
            if !changed.is_empty() {
                return Some(changed);
            }
            self.source.versions.changed().await.ok()?;
        }
    }

    /// What has changed that was not told yet; empty when nothing has.
    pub fn take(&mut self) -> Changed {
        let mut now = *self.source.versions.borrow_and_update();
        let recent = lock(&self.source.recent);
        // May be further on than what was published: that will be published, and then there is nothing new.
        now.executions = recent.total;
        let new = now.executions.saturating_sub(self.seen.executions) as usize;
        let missed = new > recent.ids.len();
        let mut told = HashSet::new();
        let latest_first = recent.ids.iter().rev().take(new).copied();
        let mut executions: Vec<_> = latest_first.filter(|id| told.insert(*id)).collect();
        drop(recent);
        executions.reverse();
        let Versions { workers, queues, catalogue, .. } = self.seen;
        self.seen = now;
        Changed {
            executions,
            missed,
            workers: workers != now.workers,
            queues: queues != now.queues,
            catalogue: catalogue != now.catalogue,
        }
    }
}

impl Coordinator {
    /// What changes from now on: which executions, and whether workers, queues or catalogue did. What is told is committed: whoever reads
    /// it then sees it. Any number may listen, each at its own pace.
    pub fn changes(&self) -> Changes {
        Changes::new(self.shared.changes.clone())
    }
}
