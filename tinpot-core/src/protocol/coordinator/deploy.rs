//! Deployed actions: their way into the catalogue, and their availability.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::catalogue::Standing;
use super::introduction::check_action;
use super::queue::LaneKey;
use super::runtimes::Runtimes;
use super::worker::WorkerEntry;
use super::{CoordinatorEffect, CoordinatorMachine};
use crate::model::action::{Action, Schema, check_label};
use crate::model::digest::Digest;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::Execution;
use crate::model::id::WorkerId;
use crate::model::transition::Transition;
use crate::model::visible::DEFAULT_TEAM;
use crate::protocol::tick::Tick;

/// A kind of workers for deployed actions: their runtimes, their queues, and the bundles that they
/// cannot load.
type Kind<'a> = (&'a Runtimes, &'a BTreeSet<String>, BTreeSet<&'a Digest>);

impl CoordinatorMachine {
    /// Puts actions into the catalogue that no worker has to offer, in place of those with their
    /// keys: all of them, or none.
    ///
    /// # Errors
    /// `InvalidInput` for an action without a version or beyond the bounds, `Conflict` if a worker
    /// offers an action with its key or executions of one wait, `Overloaded` if the catalogue is
    /// full.
    pub fn deploy(
        &mut self,
        now: Tick,
        actions: &[Arc<Action>],
        out: &mut Vec<CoordinatorEffect>,
    ) -> Result<()> {
        let mut keys = BTreeSet::new();
        if let Some(twice) = actions.iter().find(|action| !keys.insert(action.key())) {
            let message = format!("action {:?} is given twice", twice.name);
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let mut schemas = Vec::with_capacity(actions.len());
        for action in actions {
            let context =
                |error: Error| error.with_context(format_args!("action {:?}", action.name));
            schemas.push(self.check_deployed(action).map_err(context)?);
        }
        self.actions.deploy(actions, schemas)?;
        for deployed in actions.iter().filter_map(|action| action.deployed.as_ref()) {
            self.gone.remove(&deployed.bundle);
        }
        let offers = actions.iter().cloned().map(Transition::Offer);
        out.extend(offers.map(CoordinatorEffect::Persist));
        self.refresh_catalogue(now);
        // Even if the availability is computed later.
        self.version += 1;
        // The group of an action may have changed, and with it the workers that may run it.
        let able = self.workers.iter().filter(|(_, worker)| !worker.runtimes.is_empty());
        let able: Vec<WorkerId> = able.map(|(id, _)| id.clone()).collect();
        for id in able {
            self.fill(now, &id, out);
        }
        Ok(())
    }

    /// Takes the bundles that were removed, in place of those that it had. An execution that waits for
    /// one of them ends when it would be granted, also if the worker has the bundle in a cache. A
    /// deploy of the same bundle takes it back.
    pub fn remove_bundles(&mut self, bundles: BTreeSet<Digest>) {
        self.gone = bundles;
    }

    /// Returns the bundle of a waiting execution if it was removed.
    pub(super) fn gone_bundle(&self, execution: &Execution) -> Option<Digest> {
        let bundle = execution.bundle.as_ref()?.bundle;
        self.gone.contains(&bundle).then_some(bundle)
    }

    fn check_deployed(&self, action: &Action) -> Result<Schema> {
        let invalid = |message: String| Error::new(ErrorKind::InvalidInput, message);
        let Some(deployed) = &action.deployed else {
            return Err(invalid("it has no version: set `deployed`".to_owned()));
        };
        check_label("runtime", &deployed.runtime)?;
        if action.team == DEFAULT_TEAM {
            return Err(invalid("the team must be empty for the default team".to_owned()));
        }
        if !action.team.is_empty() {
            check_label("team", &action.team)?;
        }
        check_action(action).map_err(invalid)?;
        action.retry.check()?;
        let key = action.key();
        let has =
            |worker: &&WorkerEntry| worker.actions.contains(&key) || worker.withheld.contains(&key);
        if let Some(worker) = self.workers.values().find(has) {
            let message = format!("worker {:?} offers an action of this name", worker.name);
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        if self.actions.is_deployed(&key) {
            return Schema::compile(&action.schema);
        }
        // They could not run any more: workers cannot offer the name from now on.
        let waits =
            |execution: &Execution| execution.bundle.is_none() && execution.action_key() == key;
        let lane = LaneKey { action: key.clone(), runtime: None };
        if self.has_lane(&lane) || self.active.values().any(|active| waits(&active.execution)) {
            let message = "executions of an action of this name, which a worker has offered, have \
                           not ended";
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        Schema::compile(&action.schema)
    }

    /// Checks that an execution without a bundle is not one of a deployed action: no worker would run
    /// it. Its submission was checked just before the deploy.
    pub(super) fn check_pinned(&self, execution: &Execution) -> Result<()> {
        if execution.bundle.is_some()
            || !self.actions.has_deployed()
            || !self.actions.is_deployed(&execution.action_key())
        {
            return Ok(());
        }
        let message = format!(
            "action {:?} was deployed while this was submitted: submit it again",
            execution.action
        );
        Err(Error::new(ErrorKind::Conflict, message))
    }

    /// Takes what the workers say of the deployed actions. Returns the number of pairs that were
    /// looked at.
    pub(super) fn deployed_stand(&mut self) -> usize {
        if !self.actions.has_deployed() {
            return 0;
        }
        // Most workers are alike: each kind is compared with the actions once.
        let mut kinds = BTreeMap::new();
        for worker in self.workers.values().filter(|worker| !worker.runtimes.is_empty()) {
            let standing = worker.standing();
            let kind = (&worker.runtimes, &worker.queues, worker.broken_bundles());
            let best = kinds.entry(kind).or_insert(standing);
            *best = standing.max(*best);
        }
        let count = self.actions.deployed_stand(|action| {
            let of = |((runtimes, queues, broken), standing): (&Kind<'_>, &Standing)| {
                let serves = queues.is_empty() || queues.contains(&action.queue);
                let bundle = action.deployed.as_ref().map(|deployed| &deployed.bundle);
                let is_broken = bundle.is_some_and(|bundle| broken.contains(bundle));
                runtimes.run_action(action).then_some(match (serves, is_broken) {
                    (false, _) => Standing::NotServed,
                    (true, true) => Standing::NotLoadable.min(*standing),
                    (true, false) => *standing,
                })
            };
            kinds.iter().filter_map(of).max().unwrap_or(Standing::NotOffered)
        });
        count * kinds.len()
    }
}
