//! The known actions and their availability.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::action::{Action, LoadError, Schema};
use crate::model::error::Result;
use crate::model::json::Json;

/// The maximum number of known actions. Further offers, as from a faulty worker, are ignored.
const ACTIONS_MAX: usize = 20_000;

/// The usual reason why an action is not available.
pub(super) const NOT_OFFERED: &str = "no live worker offers it";
/// The reason if live workers have the action, or may have it, and cannot start it.
pub(super) const NOT_STARTABLE: &str =
    "no live worker can start it now; the problems of the workers have the reason";

/// One action of a [`Catalogue`].
#[derive(Clone, Debug)]
pub struct CatalogueEntry {
    /// The action, as described by the worker that said hello last.
    pub action: Arc<Action>,
    /// If true, a live worker offers the action and serves its queue.
    pub available: bool,
    /// The reason why the action is not available, for people.
    pub unavailable: Option<&'static str>,
    schema: Arc<Schema>,
}

impl CatalogueEntry {
    /// Checks parameters against the action's schema.
    ///
    /// # Errors
    /// [`InvalidParameters`](crate::ErrorKind::InvalidParameters), naming every violation.
    pub fn validate(&self, parameters: &Json) -> Result<()> {
        self.schema.check(parameters).map(|_| ())
    }

    /// Checks parameters as [`validate`](Self::validate) does, and returns the JSON pointers of the
    /// secrets among them.
    pub(crate) fn check(&self, parameters: &Json) -> Result<Vec<String>> {
        self.schema.check(parameters)
    }
}

/// All actions that were ever offered, by name.
pub type Catalogue = BTreeMap<Arc<str>, CatalogueEntry>;

#[derive(Debug, Default)]
pub(super) struct KnownActions {
    entries: Catalogue,
    /// The usual duration of an attempt, in microseconds: an exponentially weighted mean.
    usual_us: BTreeMap<Arc<str>, u64>,
}

impl KnownActions {
    pub(super) fn entries(&self) -> &Catalogue {
        &self.entries
    }

    /// Records the offer of a worker, and returns the names under which the machine knows the
    /// actions. Adds new and changed actions to `news`. An action with an invalid schema is left
    /// out and becomes a load error.
    pub(super) fn offer(
        &mut self,
        actions: &[Arc<Action>],
        news: &mut Vec<Arc<Action>>,
        load_errors: &mut Vec<LoadError>,
    ) -> Vec<Arc<str>> {
        let mut names = Vec::with_capacity(actions.len());
        let mut left_out = 0_usize;
        for action in actions {
            let name = match self.entries.get_key_value(action.name.as_str()) {
                Some((name, entry)) if entry.action == *action => {
                    names.push(name.clone());
                    continue;
                }
                Some((name, _)) => name.clone(),
                None if self.entries.len() >= ACTIONS_MAX => {
                    left_out += 1;
                    continue;
                }
                None => Arc::from(action.name.as_str()),
            };
            let schema = match Schema::compile(&action.schema) {
                Ok(schema) => Arc::new(schema),
                Err(error) => {
                    load_errors.push(LoadError::new(&*action.name, error.to_string()));
                    continue;
                }
            };
            let entry = CatalogueEntry {
                action: action.clone(),
                available: false,
                unavailable: Some(NOT_OFFERED),
                schema,
            };
            news.push(action.clone());
            self.entries.insert(name.clone(), entry);
            names.push(name);
        }
        if left_out > 0 {
            let message = format!(
                "{left_out} new actions are not offered: the coordinator knows {ACTIONS_MAX} already"
            );
            load_errors.push(LoadError::new("actions", message));
        }
        names
    }

    /// Restores the actions that earlier epochs knew.
    pub(super) fn remember(&mut self, actions: &[Arc<Action>]) {
        let mut problems = Vec::new();
        self.offer(actions, &mut Vec::new(), &mut problems);
        for problem in problems {
            tracing::warn!(
                action = problem.place,
                "a known action is left out: {}",
                problem.message
            );
        }
    }

    /// Updates the availability of all actions. `why_not` returns the reason why an action is not
    /// available, or `None` if it is.
    pub(super) fn set_available(
        &mut self,
        why_not: impl Fn(&str, &Action) -> Option<&'static str>,
    ) {
        for (name, entry) in &mut self.entries {
            entry.unavailable = why_not(name, &entry.action);
            entry.available = entry.unavailable.is_none();
        }
    }

    /// Records the duration of an attempt.
    pub(super) fn took(&mut self, action: &Arc<str>, us: u64) {
        if let Some(usual) = self.usual_us.get_mut(action) {
            *usual = (*usual * 7 + us) / 8;
        } else if self.usual_us.len() < ACTIONS_MAX {
            self.usual_us.insert(action.clone(), us);
        }
    }

    /// Returns the usual duration of an attempt, in microseconds. `None` if no attempt has ended
    /// yet.
    pub(super) fn usual_us(&self, action: &str) -> Option<u64> {
        self.usual_us.get(action).copied()
    }
}
