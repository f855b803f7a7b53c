//! The workers, as one caller may see and drain them.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt, stream};

use super::Scoped;
use super::checks::forbidden;
use crate::access::{Decision, Right};
use crate::coordinator::trail::{self, Object, Particulars};
use crate::model::error::Result;
use crate::model::id::WorkerId;
use crate::model::visible::{Target, team_of_key};
use crate::protocol::{Catalogue, WorkerInfo, unknown_worker};

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
            let is_own = sight.is_whole_team() && *worker.teams == [self.caller.team.clone()];
            worker
                .groups
                .retain(|group| catalogue.values().any(|entry| *entry.action.group == **group));
            worker.queues.retain(|queue| self.allows(Right::SeeQueue, &self.queue(queue)));
            worker.actions = self.names_of(&worker.actions, &catalogue);
            // This caller may not know the others.
            worker.teams = vec![self.caller.team.clone()];
            // They quote the code of actions.
            if !is_own {
                worker.load_errors.clear();
                worker.environments = Arc::default();
            }
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

    /// Returns one of the [workers](Self::workers).
    ///
    /// # Errors
    /// `NotFound` if there is no such live worker, or it is hidden; those of
    /// [`workers`](Self::workers).
    pub async fn worker(&self, id: &WorkerId) -> Result<WorkerInfo> {
        let found = self.workers().await?.into_iter().find(|worker| worker.id == *id);
        found.ok_or_else(|| unknown_worker(id))
    }

    /// Returns the names of the actions among these keys that are in the caller's catalogue.
    fn names_of(&self, keys: &[Arc<str>], catalogue: &Catalogue) -> Vec<Arc<str>> {
        let of_team = keys.iter().filter(|key| *team_of_key(key) == *self.caller.team);
        let names = of_team.map(|key| key.split_once('/').map_or(&**key, |(_, name)| name));
        names.filter_map(|name| Some(catalogue.get_key_value(name)?.0.clone())).collect()
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
        workers.retain(|worker| worker.teams.contains(&self.caller.team));
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
        let found = workers.iter().find(|seen| seen.id == *worker);
        let Some(found) = found.filter(|_| decision != Decision::Hide) else {
            return Err(unknown_worker(worker));
        };
        if decision == Decision::Deny {
            return Err(forbidden(&self.caller, &act()));
        }
        // It ends for all teams that it serves, so the right is needed in each of them.
        let drains = |team: &Arc<str>| {
            let caller = (*self.caller).clone().team(team.clone());
            let target = Target::team(team);
            self.shared().policy.decide(&caller, Right::DrainWorker, &target) == Decision::Allow
        };
        if !found.teams.iter().all(drains) {
            self.shared().refused(&self.caller, Decision::Hide, act);
            return Err(unknown_worker(worker));
        }
        let note =
            self.note("worker.drain", Object::Worker(worker.as_str().into()), Particulars::None);
        let drained = self.coordinator.drain_worker(worker).await;
        trail::ended(note, &drained);
        drained
    }
}
