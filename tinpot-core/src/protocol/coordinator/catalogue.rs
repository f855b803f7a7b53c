//! The actions that are known, and whether somebody offers them now.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::action::{Action, LoadError, Schema};
use crate::model::error::Result;
use crate::model::json::Json;

/// The most actions that are remembered; what a faulty worker offers beyond is left out.
const ACTIONS_MAX: usize = 20_000;

/// Why most of what is not available is not.
pub(super) const NOBODY: &str = "no live worker offers it";

/// One action of a [`Catalogue`].
#[derive(Clone, Debug)]
pub struct CatalogueEntry {
    /// The action, as the worker that said hello last describes it.
    pub action: Arc<Action>,
    /// Whether a live worker offers it and serves its queue.
    pub available: bool,
    /// Why it is not available, in words.
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

    /// The same, and where the secrets among them are, as JSON pointers.
    pub(crate) fn check(&self, parameters: &Json) -> Result<Vec<String>> {
        self.schema.check(parameters)
    }
}

/// All actions that were ever offered, by name.
pub type Catalogue = BTreeMap<Arc<str>, CatalogueEntry>;

#[derive(Debug, Default)]
pub(super) struct KnownActions {
    entries: Catalogue,
    /// How long an attempt usually takes, in microseconds: an exponentially weighted mean.
    usual_us: BTreeMap<Arc<str>, u64>,
}

impl KnownActions {
    pub(super) fn entries(&self) -> &Catalogue {
        &self.entries
    }

    /// Takes over what a worker offers; answers the names by which the machine knows them, and puts what was not known so into `news`. An
    /// action whose schema is not one is left out and becomes a problem.
    pub(super) fn offer(
        &mut self,
        actions: &[Arc<Action>],
        news: &mut Vec<Arc<Action>>,
        load_errors: &mut Vec<LoadError>,
    ) -> Vec<Arc<str>> {
        let mut names = Vec::with_capacity(actions.len());
        for action in actions {
            let name = match self.entries.get_key_value(action.name.as_str()) {
                Some((name, entry)) if entry.action == *action => {
                    names.push(name.clone());
                    continue;
                }
                Some((name, _)) => name.clone(),
                None if self.entries.len() >= ACTIONS_MAX => continue,
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
                unavailable: Some(NOBODY),
                schema,
            };
            news.push(action.clone());
            self.entries.insert(name.clone(), entry);
            names.push(name);
        }
        names
    }

    /// Takes over what earlier lives of the coordinator knew.
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

    /// `why_not`: why an action is not available, if it is not.
    pub(super) fn set_available(
        &mut self,
        why_not: impl Fn(&str, &Action) -> Option<&'static str>,
    ) {
        for (name, entry) in &mut self.entries {
            entry.unavailable = why_not(name, &entry.action);
            entry.available = entry.unavailable.is_none();
        }
    }

    /// Learns how long an attempt took.
    pub(super) fn took(&mut self, action: &Arc<str>, us: u64) {
        if let Some(usual) = self.usual_us.get_mut(action) {
            *usual = (*usual * 7 + us) / 8;
        } else if self.usual_us.len() < ACTIONS_MAX {
            self.usual_us.insert(action.clone(), us);
        }
    }

    /// How long an attempt usually takes, in microseconds; `None` when none has ended yet.
    pub(super) fn usual_us(&self, action: &str) -> Option<u64> {
        self.usual_us.get(action).copied()
    }
}
