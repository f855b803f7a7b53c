//! The workers, as one caller may see and drain them.

use std::collections::BTreeSet;

use futures::{StreamExt, stream};

use super::Scoped;
use super::checks::forbidden;
use crate::access::{Decision, Right};
use crate::coordinator::trail::{self, Object, Particulars};
use crate::model::error::Result;
use crate::model::id::WorkerId;
use crate::model::visible::Target;
use crate::protocol::{WorkerInfo, unknown_worker};

impl Scoped {
    /// Returns the live workers that the caller may see, with the actions and executions among
    /// theirs that the caller may see.
    ///
    /// # Errors
    /// `Closed` after the shutdown; the errors of the store.
    pub async fn workers(&self) -> Result<Vec<WorkerInfo>> {
        let mut workers = self.visible_workers().await?;
        let (sight, catalogue) = (self.sight(), self.catalogue());
        if sight.is_everything() {
            return Ok(workers);
        }
        for worker in &mut workers {
            worker
                .groups
                .retain(|group| catalogue.values().any(|entry| *entry.action.group == **group));
            worker.queues.retain(|queue| self.allows(Right::SeeQueue, &self.queue(queue)));
            worker.actions.retain(|action| catalogue.contains_key(action));
            // They quote the code of actions.
            worker.load_errors.clear();
            let read = stream::iter(worker.executions.clone()).filter_map(|id| {
                let sight = &sight;
                async move {
                    let execution = self.coordinator.execution(id).await.ok().flatten()?;
                    sight.shows(&execution).then_some(id)
                }
            });
            worker.executions = read.collect().await;
            let WorkerInfo { executions, running, .. } = worker;
            running.retain(|attempt| executions.contains(&attempt.execution));
        }
        Ok(workers)
    }

    /// Returns the live workers that the caller may see, with everything that they have.
    pub(super) async fn visible_workers(&self) -> Result<Vec<WorkerInfo>> {
        if !self.allows(Right::SeeWorker, &Target::team(&self.caller.team)) {
            return Ok(Vec::new());
        }
        let mut workers = self.coordinator.workers().await?;
        if self.sight().is_everything() {
            return Ok(workers);
        }
        let catalogue = self.catalogue();
        let groups: BTreeSet<&str> = catalogue.values().map(|entry| &*entry.action.group).collect();
        // A worker without queues or groups serves all of them.
        let is_hidden = |names: &[String], seen: &dyn Fn(&str) -> bool| {
            !names.is_empty() && !names.iter().any(|name| seen(name))
        };
        let sees_queue = |queue: &str| self.allows(Right::SeeQueue, &self.queue(queue));
        workers.retain(|worker| {
            !is_hidden(&worker.queues, &sees_queue)
                && !is_hidden(&worker.groups, &|group| groups.contains(group))
        });
        Ok(workers)
    }

    /// Drains a worker, as [`Coordinator::drain_worker`](crate::Coordinator::drain_worker) does.
    ///
    /// # Errors
    /// `NotFound` if there is no such live worker, or it is hidden; `Forbidden` if the caller may
    /// not drain it; `Closed` after the shutdown.
    pub async fn drain_worker(&self, worker: &WorkerId) -> Result<()> {
        let team = Target::team(&self.caller.team);
        let decision = self.shared().policy.decide(&self.caller, Right::DrainWorker, &team);
        let workers = self.visible_workers().await?;
        let act = || format!("drain worker {:?}", worker.as_str());
        if decision != Decision::Allow {
            self.shared().refused(&self.caller, decision, act);
        }
        if decision == Decision::Hide || workers.iter().all(|seen| seen.id != *worker) {
            return Err(unknown_worker(worker));
        }
        if decision == Decision::Deny {
            return Err(forbidden(&self.caller, &act()));
        }
        let note =
            self.note("worker.drain", Object::Worker(worker.as_str().into()), Particulars::None);
        let drained = self.coordinator.drain_worker(worker).await;
        trail::ended(note, &drained);
        drained
    }
}
