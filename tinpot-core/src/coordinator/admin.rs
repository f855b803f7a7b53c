//! Operators' requests: pausing queues, draining workers and deploying actions.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Coordinator;
use super::command::Command;
use crate::model::action::Action;
use crate::model::digest::Digest;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::id::WorkerId;
use crate::protocol::{QueueInfo, unknown_queue};

impl Coordinator {
    /// Pauses a queue durably: it accepts executions, but grants no attempts until it is
    /// [resumed](Self::resume_queue). Granted attempts continue; retries wait. Pausing a paused
    /// queue changes nothing.
    ///
    /// # Errors
    /// `NotFound` for an unknown queue, `StorageFull` if the store cannot write, `Closed` after the
    /// shutdown.
    pub async fn pause_queue(&self, queue: &str) -> Result<QueueInfo> {
        self.set_paused(queue, true).await
    }

    /// Resumes a queue. Resuming a queue that is not paused changes nothing.
    ///
    /// # Errors
    /// The errors of [`pause_queue`](Self::pause_queue).
    pub async fn resume_queue(&self, queue: &str) -> Result<QueueInfo> {
        self.set_paused(queue, false).await
    }

    /// Drains a worker: it receives no new attempts, and its program is asked to end, which it
    /// learns from [`Worker::drain_requested`](crate::Worker::drain_requested). Its attempts
    /// continue.
    ///
    /// # Errors
    /// `NotFound` if there is no such live worker, `Closed` after the shutdown.
    pub async fn drain_worker(&self, worker: &WorkerId) -> Result<()> {
        self.ask(|reply| Command::Drain { worker: worker.clone(), reply }).await?
    }

    /// Puts deployed actions into the catalogue, in place of those with their names: all of them in
    /// one commit, or none. So it activates versions, rolls back to earlier ones, and disables
    /// actions. Each needs [`Action::deployed`].
    ///
    /// A deployed action needs no worker to stay in the catalogue, also after a restart. A worker
    /// runs it if it offers the [runtime](crate::Deployed::runtime), serves the queue, and may run
    /// the action. Executions stay pinned to the bundle with which they were accepted. Submissions
    /// that begin after the answer run the new versions.
    ///
    /// ```
    /// use tinpot_core::executor::{ActionSet, ScopedExecutor};
    /// use tinpot_core::{Action, Deployed, Digest, Json, Outcome, local};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> tinpot_core::Result<()> {
    /// let executor = ScopedExecutor::new(ActionSet::default().runtime("script"), |attempt, _| async {
    ///     let bundle = attempt.bundle.expect("only deployed actions come here");
    ///     Outcome::Succeeded(Json::serialize(&bundle.version).expect("a number"))
    /// });
    /// let tinpot = local(executor).await?;
    /// let first = Action::new("report")?.deployed(Deployed::new("script", 1, Digest::from([1; 32])));
    /// let second = Action::new("report")?.deployed(Deployed::new("script", 2, Digest::from([2; 32])));
    /// tinpot.deploy(vec![second]).await?;
    /// assert_eq!(tinpot.call::<u32>("report", ()).await?, 2);
    ///
    /// // An earlier version, once; then for everyone.
    /// let once = tinpot.submit("report", ()).definition(first.clone()).await?;
    /// assert_eq!(once.result::<u32>().await?, 1);
    /// tinpot.deploy(vec![first]).await?;
    /// assert_eq!(tinpot.call::<u32>("report", ()).await?, 1);
    /// # tinpot.shutdown(std::time::Duration::ZERO).await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for an action without a version or beyond the bounds of offers; `Conflict` if a
    /// live worker offers an action of that name, or executions of one have not ended; `Overloaded` if
    /// the catalogue is full; `StorageFull` if the store cannot write (the deploy may still take effect
    /// once it can); `Closed` after the shutdown.
    pub async fn deploy(&self, actions: Vec<Action>) -> Result<()> {
        let actions = actions.into_iter().map(Arc::new).collect();
        self.ask(|reply| Command::Deploy { actions, reply }).await?
    }

    /// Takes the bundles that were removed, in place of those of the last call. Executions that wait
    /// for one of them fail as `BundleGone` when they would be granted, also where a worker has the
    /// bundle in a cache. [`deploy`](Self::deploy) takes a bundle back.
    ///
    /// # Errors
    /// `Closed` after the shutdown.
    pub async fn remove_bundles(&self, bundles: BTreeSet<Digest>) -> Result<()> {
        self.ask(|reply| Command::RemoveBundles { bundles, reply }).await
    }

    /// Pauses or resumes `team/queue`, the part of a queue that belongs to one team.
    pub(super) async fn set_part_paused(&self, part: &str, paused: bool) -> Result<()> {
        let command = |reply| Command::SetPaused { queue: part.to_owned(), paused, reply };
        self.ask(command).await?
    }

    async fn set_paused(&self, queue: &str, paused: bool) -> Result<QueueInfo> {
        if queue.contains('/') {
            return Err(unknown_queue(queue));
        }
        let command = |reply| Command::SetPaused { queue: queue.to_owned(), paused, reply };
        self.ask(command).await??;
        let queues = self.queues().await?;
        let view = queues.into_iter().find(|view| *view.name == *queue);
        // The queue may have been known only because it was paused.
        view.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("queue {queue:?} not found any more"))
        })
    }
}
