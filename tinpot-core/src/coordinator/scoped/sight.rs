//! The executions that a caller may read, kept up to date with the policy.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::checks::group_of;
use crate::access::{Caller, Policy};
use crate::model::execution::Execution;
use crate::model::names::Names;
use crate::model::visible::{DEFAULT_TEAM, Visible};
use crate::protocol::Catalogue;
use crate::watcher::Watcher;

/// The executions that a caller may read. It asks the policy once per revision, so that asking it
/// about each event of a stream is cheap.
///
/// [`Readable`](super::Readable) has an example.
#[derive(Clone, Debug)]
pub struct Sight {
    policy: Arc<dyn Policy>,
    caller: Arc<Caller>,
    catalogue: watch::Receiver<Arc<Catalogue>>,
    /// True if the store has executions of other teams.
    has_teams: bool,
    revision: Watcher<u64>,
    known: Arc<Mutex<(u64, Arc<Visible>)>>,
}

impl Sight {
    pub(super) fn new(
        policy: Arc<dyn Policy>,
        caller: Arc<Caller>,
        catalogue: watch::Receiver<Arc<Catalogue>>,
        has_teams: bool,
    ) -> Self {
        let revision = policy.revision();
        let known = (revision.current(), Arc::new(policy.visible(&caller)));
        let known = Arc::new(Mutex::new(known));
        Self { policy, caller, catalogue, has_teams, revision, known }
    }

    fn visible(&self) -> Arc<Visible> {
        let revision = self.revision.current();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 != revision {
            *known = (revision, Arc::new(self.policy.visible(&self.caller)));
        }
        known.1.clone()
    }

    /// Returns true if the caller may read the execution now.
    pub fn shows(&self, execution: &Execution) -> bool {
        let visible = self.visible();
        if visible.is_everything() {
            return *visible.team == *execution.team_name();
        }
        let catalogue = self.catalogue.borrow().clone();
        let group = group_of(&catalogue, execution.team_name(), &execution.action);
        visible.shows(&execution.target(group))
    }

    /// Returns true if the caller may know that the execution has called the action. The queue of the
    /// called execution is not known, so where queues count, the answer is no.
    pub fn shows_call(&self, parent: &Execution, action: &str) -> bool {
        let visible = self.visible();
        let catalogue = self.catalogue.borrow().clone();
        let mut target = parent.target(group_of(&catalogue, parent.team_name(), action));
        target.action = Some(action);
        target.queue = None;
        visible.shows(&target)
    }

    /// Returns true if the caller may read everything there is: all executions of the default team,
    /// if there are no other teams.
    pub fn is_everything(&self) -> bool {
        let visible = self.visible();
        !self.has_teams && visible.is_everything() && *visible.team == *DEFAULT_TEAM
    }

    /// Returns true if the caller may read all executions of its team, which is one of several.
    pub(super) fn is_whole_team(&self) -> bool {
        self.has_teams && self.visible().is_everything()
    }

    /// Waits until the caller may not read the execution any more.
    pub async fn lost(&self, execution: &Execution) {
        let mut revision = self.revision.clone();
        while self.shows(execution) {
            if revision.next().await.is_none() {
                // It cannot change any more.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until the policy has changed since the last call. The first call returns at once.
    pub async fn changed(&mut self) {
        if self.revision.next().await.is_none() {
            // It cannot change any more.
            std::future::pending().await
        }
    }

    /// Returns the filter of lists; `None` if they need none. Stores do not know groups, so these
    /// are replaced by the actions that are in them now.
    pub(super) fn filter(&self) -> Option<Visible> {
        let mut visible = (*self.visible()).clone();
        if self.is_everything() {
            return None;
        }
        let catalogue = self.catalogue.borrow().clone();
        for part in &mut visible.parts {
            if !part.groups.is_any() {
                let groups = std::mem::replace(&mut part.groups, Names::any());
                let entries = catalogue.values().map(|entry| &entry.action);
                let names: BTreeSet<&str> = entries
                    .filter(|action| *action.team_name() == *visible.team)
                    .filter(|action| groups.has(&action.group))
                    .map(|action| &*action.name)
                    .collect();
                part.actions = part.actions.and(&Names::exactly(names));
            }
        }
        Some(visible)
    }
}
