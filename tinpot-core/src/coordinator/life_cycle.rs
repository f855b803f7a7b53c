//! Events of the life cycle for the host's subscriber.
//!
//! What happens per execution is logged at `debug`, so that a coordinator under load costs nothing
//! by default; what happens per worker and per action at `info`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::id::WorkerId;
use crate::model::transition::Transition;
use crate::protocol::Catalogue;

/// Logs committed transitions.
pub(super) fn committed(batch: &[Transition]) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    for transition in batch {
        match transition {
            Transition::Accept(execution) => {
                let (id, action) = (execution.id, &*execution.action);
                tracing::debug!(execution = %id, action, "execution accepted");
            }
            Transition::Grant { execution, worker, attempt, .. } => {
                tracing::debug!(%execution, attempt, %worker, "attempt granted");
            }
            Transition::Start { execution, .. } => {
                tracing::debug!(%execution, "execution started");
            }
            Transition::Requeue { execution, outcome: Some(outcome), .. } => {
                let outcome = outcome.status().as_str();
                tracing::debug!(%execution, outcome, "attempt ended; the execution is queued again");
            }
            Transition::Finish { execution, outcome, .. } => {
                let status = outcome.status().as_str();
                tracing::debug!(%execution, status, "execution ended");
            }
            _ => {}
        }
    }
}

/// The workers and actions that were logged last.
#[derive(Debug, Default)]
pub(super) struct Observed {
    workers: BTreeMap<WorkerId, String>,
    actions: BTreeMap<Arc<str>, bool>,
}

impl Observed {
    /// Logs the differences to the workers and actions that were logged last.
    pub(super) fn log_changes<'a>(
        &mut self,
        workers: impl Iterator<Item = (&'a WorkerId, &'a str)>,
        catalogue: &Catalogue,
    ) {
        let workers: BTreeMap<_, _> =
            workers.map(|(worker, name)| (worker.clone(), name.to_owned())).collect();
        for (worker, name) in &workers {
            if !self.workers.contains_key(worker) {
                tracing::info!(%worker, name, "worker seen");
            }
        }
        for (worker, name) in &self.workers {
            if !workers.contains_key(worker) {
                tracing::info!(%worker, name, "worker lost");
            }
        }
        self.workers = workers;
        let actions: BTreeMap<_, _> =
            catalogue.iter().map(|(name, entry)| (name.clone(), entry.available)).collect();
        if self.actions != actions {
            let available = actions.values().filter(|available| **available).count();
            tracing::info!(actions = actions.len(), available, "catalogue changed");
        }
        self.actions = actions;
    }
}
