//! The result of discovery, and its conversion to the action set of the SDK.

use std::time::Duration;

use serde::Deserialize;
use tinpot_core::action::check_label;
use tinpot_core::{Action, ActionSet, Json, LoadError, Result, RetryPolicy};

use crate::limits::{Limits, LimitsByAction};

/// The actions and load errors that `tinpot._discovery` reports.
#[derive(Debug, Deserialize)]
pub(crate) struct Discovered {
    actions: Vec<Described>,
    load_errors: Vec<ImportFailure>,
}

/// A load error. For a failed import it names the files that may have caused it, likeliest first.
#[derive(Debug, Deserialize)]
pub(crate) struct ImportFailure {
    pub(crate) place: String,
    pub(crate) message: String,
    /// The file whose import failed; `None` for another kind of error.
    pub(crate) failed: Option<String>,
    /// The files that were being imported.
    #[serde(default)]
    pub(crate) importing: Vec<String>,
    /// All other files in the traceback.
    #[serde(default)]
    pub(crate) others: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Described {
    name: String,
    group: Option<String>,
    description: Option<String>,
    queue: Option<String>,
    schema: Json,
    result_schema: Option<Json>,
    #[serde(default)]
    priority: i32,
    delay_ms: Option<u64>,
    expires_in_ms: Option<u64>,
    timeout_ms: Option<u64>,
    concurrency: Option<u32>,
    #[serde(default)]
    retry: RetryPolicy,
    /// The limits of each attempt, which the worker enforces. The coordinator does not see them.
    limits: Option<Limits>,
    place: String,
}

impl Discovered {
    /// Returns the limits of the actions that have limits of their own.
    pub(crate) fn limits(&self) -> LimitsByAction {
        let limited = |action: &Described| Some((action.name.clone(), action.limits?));
        self.actions.iter().filter_map(limited).collect()
    }

    /// Returns the failed imports.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (&str, &ImportFailure)> {
        self.load_errors
            .iter()
            .filter_map(|load_error| Some((load_error.failed.as_deref()?, load_error)))
    }

    /// Returns the action set. An action that the SDK rejects becomes a load error.
    pub(crate) fn into_action_set(self, further: Vec<LoadError>) -> ActionSet {
        let load_errors = self.load_errors.into_iter();
        let mut load_errors: Vec<_> =
            load_errors.map(|p| LoadError::new(p.place, p.message)).collect();
        let mut actions = Vec::with_capacity(self.actions.len());
        for described in self.actions {
            let place = described.place.clone();
            match described.into_action() {
                Ok(action) => actions.push(action),
                Err(e) => load_errors.push(LoadError::new(place, e.to_string())),
            }
        }
        load_errors.extend(further);
        load_errors.into_iter().fold(ActionSet::new(actions), ActionSet::load_error)
    }
}

impl Described {
    fn into_action(self) -> Result<Action> {
        self.retry.check()?;
        let mut action =
            Action::new(self.name)?.schema(self.schema).priority(self.priority).retry(self.retry);
        if let Some(schema) = self.result_schema {
            action = action.result_schema(schema);
        }
        if let Some(group) = self.group {
            check_label("group", &group)?;
            action = action.group(group);
        }
        if let Some(queue) = self.queue {
            check_label("queue", &queue)?;
            action = action.queue(queue);
        }
        if let Some(description) = self.description {
            action = action.description(description);
        }
        if let Some(delay) = self.delay_ms {
            action = action.delay(Duration::from_millis(delay));
        }
        if let Some(expires_in) = self.expires_in_ms {
            action = action.expires_in(Duration::from_millis(expires_in));
        }
        if let Some(timeout) = self.timeout_ms {
            action = action.timeout(Duration::from_millis(timeout));
        }
        if let Some(concurrency) = self.concurrency {
            action = action.concurrency(concurrency);
        }
        Ok(action)
    }
}

#[cfg(test)]
mod tests {
    use super::Discovered;

    #[test]
    fn schema_of_a_result_is_taken_from_discovery() {
        let text = r#"{"actions":[
            {"name":"a","schema":{},"result_schema":{"type":"integer"},"place":"a.py"},
            {"name":"b","schema":{},"place":"b.py"}],"load_errors":[]}"#;
        let discovered: Discovered = serde_json::from_str(text).expect("an action set");
        let action_set = discovered.into_action_set(Vec::new());
        let result =
            |at: usize| action_set.actions[at].result_schema.as_ref().map(|schema| schema.as_str());
        assert_eq!((result(0), result(1)), (Some(r#"{"type":"integer"}"#), None));
    }
}
