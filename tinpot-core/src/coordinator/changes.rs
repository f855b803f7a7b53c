//! The feed of changes, for readers that show everything. Readers pull, so that a slow one costs
//! nothing.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Coordinator;
use crate::model::id::ExecutionId;
use crate::model::transition::Transition;

/// The number of changed executions in memory, 64 KiB: a few seconds' worth under load. A reader
/// that is further behind should read the list again.
const RECENT: usize = 4_096;

/// The number of changes of each kind.
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

/// The readers' end of the feed.
#[derive(Clone, Debug)]
pub(super) struct Source {
    recent: Arc<Mutex<Recent>>,
    versions: watch::Receiver<Versions>,
}

/// The writer's end of the feed, owned by the control loop. When it is dropped, the feeds of the
/// readers end.
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

    /// Records a committed batch, with one lock and one notification.
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

    /// Records a change of workers or actions, which also changes the workers of queues.
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

/// Returns true if the transition changes the executions that wait in a queue.
fn changes_a_queue(transition: &Transition) -> bool {
    !matches!(
        transition,
        Transition::Offer(_)
            | Transition::Start { .. }
            | Transition::CancelRequested { .. }
            | Transition::Killed { .. }
            | Transition::Cancelling { .. }
    )
}

/// Returns true if the transition changes the attempts of a worker.
fn is_at_a_worker(transition: &Transition) -> bool {
    matches!(
        transition,
        Transition::Grant { .. }
            | Transition::Start { .. }
            | Transition::Requeue { .. }
            | Transition::Finish { fence: Some(_), .. }
    )
}

/// The changes since the last read.
///
/// [`Changes`] has an example.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changed {
    /// The executions with a change that a list shows, each once, in the order of the last change.
    pub executions: Vec<ExecutionId>,
    /// If true, more executions have changed than are named here: read the list again.
    pub missed: bool,
    /// If true, workers were seen or lost, or their actions or attempts changed.
    pub workers: bool,
    /// If true, the executions in queues changed, or the workers that serve them.
    pub queues: bool,
    /// If true, actions or their availability changed.
    pub catalogue: bool,
}

impl Changed {
    fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}

/// A feed of changes, read at the reader's own pace: see [`Coordinator::changes`].
///
/// Changes between two calls are merged into one value, with at most a few thousand executions.
///
/// ```
/// # use tinpot_core::{Failure, FunctionExecutor, local};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let executor = FunctionExecutor::builder()
/// #     .action("tick", |_, ()| async { Ok::<_, Failure>("tock") })
/// #     .build()?;
/// # let tinpot = local(executor).await?;
/// let mut changes = tinpot.changes();
/// let execution = tinpot.submit("tick", ()).await?;
/// while let Some(changed) = changes.next().await {
///     if changed.executions.contains(&execution.id()) {
///         // A page that lists executions reads this one again.
///         break;
///     }
/// }
/// # assert!(execution.execution().await.is_ok());
/// # tinpot.shutdown(std::time::Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
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

    /// Waits for a change that was not returned yet. Returns `None` when the coordinator has ended.
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Changed> {
        loop {
            let changed = self.take();
            if !changed.is_empty() {
                return Some(changed);
            }
            self.source.versions.changed().await.ok()?;
        }
    }

    /// Returns the changes that were not returned yet, without waiting. May be empty.
    pub fn take(&mut self) -> Changed {
        let mut now = *self.source.versions.borrow_and_update();
        let recent = lock(&self.source.recent);
        // This may be ahead of the published versions. Once those are published, there is nothing
        // new.
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
    /// Returns a feed of changes from now on: of executions, workers, queues and the catalogue.
    ///
    /// Every reported change is committed, so a read that follows sees it. Any number of feeds may
    /// be open, each read at its own pace.
    pub fn changes(&self) -> Changes {
        Changes::new(self.shared.changes.clone())
    }
}
