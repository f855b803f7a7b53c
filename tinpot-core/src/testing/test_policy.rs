//! A policy for tests: grants in memory that tests can change.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use crate::access::{Caller, Decision, Policy, Right};
use crate::model::names::Names;
use crate::model::visible::{DEFAULT_TEAM, Target, Visible, VisiblePart};
use crate::watcher::Watcher;

/// A policy of [`Grant`]s. Clones are the same policy.
#[derive(Clone, Debug)]
pub struct TestPolicy {
    grants: Arc<RwLock<Arc<Vec<Grant>>>>,
    revision: watch::Sender<u64>,
}

/// Rights that one caller has in one team.
#[derive(Clone, Debug)]
pub struct Grant {
    caller: String,
    team: String,
    rights: Vec<Right>,
    shown: VisiblePart,
}

impl Grant {
    /// Creates a grant of rights on everything in the default team, to the caller with this id.
    pub fn new(caller: &str, rights: &[Right]) -> Self {
        Self {
            caller: caller.to_owned(),
            team: DEFAULT_TEAM.to_owned(),
            rights: rights.to_vec(),
            shown: VisiblePart::all(),
        }
    }

    /// Sets the team.
    #[must_use]
    pub fn team(mut self, team: &str) -> Self {
        self.team = team.to_owned();
        self
    }

    /// Limits the grant to these actions, each a name or a pattern.
    #[must_use]
    pub fn actions(mut self, actions: &[&str]) -> Self {
        self.shown = self.shown.actions(Names::of(actions));
        self
    }

    /// Limits the grant to these groups, each a name or a pattern.
    #[must_use]
    pub fn groups(mut self, groups: &[&str]) -> Self {
        self.shown = self.shown.groups(Names::of(groups));
        self
    }

    /// Limits the grant to these queues, each a name or a pattern.
    #[must_use]
    pub fn queues(mut self, queues: &[&str]) -> Self {
        self.shown = self.shown.queues(Names::of(queues));
        self
    }

    /// Limits the grant to the caller's own executions.
    #[must_use]
    pub fn own_only(mut self) -> Self {
        self.shown = self.shown.own_only();
        self
    }

    /// Returns true if the grant covers what the target names. A target without an action, a queue
    /// or an owner is not about them.
    fn covers(&self, right: Right, target: &Target<'_>) -> bool {
        let of_executions = matches!(right, Right::Read | Right::Cancel | Right::Rerun);
        let VisiblePart { actions, groups, queues, own_only } = &self.shown;
        self.team == target.team
            && (!of_executions || !own_only || target.owner == Some(&*self.caller))
            && target.action.is_none_or(|action| actions.has(action))
            && (target.action.is_none() || groups.has_known(target.group))
            && target.queue.is_none_or(|queue| queues.has(queue))
    }
}

impl TestPolicy {
    /// Creates a policy of these grants.
    pub fn new(grants: impl IntoIterator<Item = Grant>) -> Self {
        let grants = Arc::new(RwLock::new(Arc::new(grants.into_iter().collect())));
        Self { grants, revision: watch::channel(1).0 }
    }

    /// Changes the grants.
    pub fn change(&self, change: impl FnOnce(&mut Vec<Grant>)) {
        let mut grants = self.grants.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = (**grants).clone();
        change(&mut changed);
        // Readers wait at the lock until the number has grown, too.
        *grants = Arc::new(changed);
        self.revision.send_modify(|revision| *revision += 1);
    }

    /// Takes every grant of a caller away.
    pub fn revoke(&self, caller: &str) {
        self.change(|grants| grants.retain(|grant| grant.caller != caller));
    }

    fn grants(&self) -> Arc<Vec<Grant>> {
        self.grants.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Policy for TestPolicy {
    fn decide(&self, caller: &Caller, right: Right, target: &Target<'_>) -> Decision {
        let grants = self.grants();
        let allows = |right: Right| {
            let of_the_server = right.is_about_server();
            (of_the_server || *caller.team == *target.team)
                && grants.iter().any(|grant| {
                    grant.caller == *caller.id
                        && grant.rights.contains(&right)
                        && (of_the_server || grant.covers(right, target))
                })
        };
        let seen = right.sight().is_none_or(allows);
        match allows(right) {
            true if seen => Decision::Allow,
            false if seen && right.sight().is_some() => Decision::Deny,
            _ => Decision::Hide,
        }
    }

    fn visible(&self, caller: &Caller) -> Visible {
        let mut visible = Visible::nothing(caller.team.clone(), caller.id.clone());
        for grant in self.grants().iter() {
            if grant.caller == *caller.id
                && grant.team == *caller.team
                && grant.rights.contains(&Right::Read)
            {
                visible = visible.part(grant.shown.clone());
            }
        }
        visible
    }

    fn revision(&self) -> Watcher<u64> {
        self.revision.subscribe().into()
    }
}
