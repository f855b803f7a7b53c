//! The runtimes of a worker, and the deployed actions that it runs with them.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::action::Action;
use crate::model::names::Names;
use crate::model::visible::DEFAULT_TEAM;
use crate::protocol::message::Hello;

/// The deployed actions that a worker runs, in the queues that it serves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Runtimes {
    names: BTreeSet<Arc<str>>,
    teams: Names,
    /// The groups to which the worker is limited by itself and by its key.
    groups: Names,
    actions: Names,
}

impl Default for Runtimes {
    /// Runs nothing.
    fn default() -> Self {
        let (teams, groups, actions) = (Names::none(), Names::any(), Names::any());
        Self { names: BTreeSet::new(), teams, groups, actions }
    }
}

impl Runtimes {
    pub(super) fn of(hello: &Hello) -> Self {
        let teams = match (&hello.granted.teams, &*hello.teams) {
            (Some(granted), _) => granted.clone(),
            (None, []) => Names::exactly([DEFAULT_TEAM]),
            (None, teams) => Names::exactly(teams),
        };
        let groups = match &*hello.groups {
            [] => Names::any(),
            groups => Names::exactly(groups),
        };
        let groups = groups.and(&hello.granted.groups);
        let names = hello.offer.runtimes.iter().cloned().collect();
        Self { names, teams, groups, actions: hello.granted.actions.clone() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.names.iter()
    }

    pub(super) fn has(&self, runtime: &str) -> bool {
        self.names.contains(runtime)
    }

    pub(super) fn remove(&mut self, runtime: &str) {
        self.names.remove(runtime);
    }

    pub(super) fn clear(&mut self) {
        self.names.clear();
    }

    /// Returns true if the worker has the runtime, and may run the action with this key and group.
    /// An action that is not known has no group.
    pub(super) fn run(&self, runtime: &str, action: &str, group: Option<&str>) -> bool {
        let (team, name) = action.split_once('/').unwrap_or((DEFAULT_TEAM, action));
        self.names.contains(runtime)
            && self.teams.has(team)
            && self.groups.has_known(group)
            && self.actions.has(name)
    }

    /// Returns true if the worker may run the deployed action.
    pub(super) fn run_action(&self, action: &Action) -> bool {
        let Some(deployed) = &action.deployed else { return false };
        self.names.contains(&deployed.runtime)
            && self.teams.has(action.team_name())
            && self.groups.has(&action.group)
            && self.actions.has(&action.name)
    }
}
