//! What discovery found, as the SDK says it.

use std::time::Duration;

use serde::Deserialize;
use tinpot_core::action::check_label;
use tinpot_core::{Action, ActionSet, Json, LoadError, Result, RetryPolicy};

use crate::limits::{Limits, LimitsByAction};

/// The offer as `tinpot._discovery` writes it.
#[derive(Debug, Deserialize)]
pub(crate) struct Discovered {
    actions: Vec<Described>,
    problems: Vec<ImportFailure>,
}

/// What could not be offered; of an import that failed also which files may be to blame, likeliest first.
#[derive(Debug, Deserialize)]
pub(crate) struct ImportFailure {
    pub(crate) place: String,
    pub(crate) message: String,
    /// The file whose import failed.
    pub(crate) failed: Option<String>,
    /// The files that were being imported.
    #[serde(default)]
    pub(crate) importing: Vec<String>,
    /// All others that had a part in it.
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
    /// Of each attempt; no part of what is offered.
    limits: Option<Limits>,
    place: String,
}

impl Discovered {
    /// The limits of the actions that have some of their own.
    pub(crate) fn limits(&self) -> LimitsByAction {
        let limited = |action: &Described| Some((action.name.clone(), action.limits?));
        self.actions.iter().filter_map(limited).collect()
    }

    /// The imports that failed.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (&str, &ImportFailure)> {
        self.problems.iter().filter_map(|problem| Some((problem.failed.as_deref()?, problem)))
    }

    /// The offer; an action with a name, group, queue or policy that the SDK refuses becomes a problem.
    pub(crate) fn into_offer(self, further: Vec<LoadError>) -> ActionSet {
        let problems = self.problems.into_iter();
        let mut problems: Vec<_> = problems.map(|p| LoadError::new(p.place, p.message)).collect();
        let mut actions = Vec::with_capacity(self.actions.len());
        for described in self.actions {
            let place = described.place.clone();
            match described.into_action() {
                Ok(action) => actions.push(action),
                Err(e) => problems.push(LoadError::new(place, e.to_string())),
            }
        }
        problems.extend(further);
        problems.into_iter().fold(ActionSet::new(actions), ActionSet::load_error)
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
    fn what_an_action_returns_is_taken_over_when_it_is_known() {
        let text = r#"{"actions":[
            {"name":"a","schema":{},"result_schema":{"type":"integer"},"place":"a.py"},
            {"name":"b","schema":{},"place":"b.py"}],"problems":[]}"#;
        let discovered: Discovered = serde_json::from_str(text).expect("an offer");
        let offer = discovered.into_offer(Vec::new());
        let result =
            |at: usize| offer.actions[at].result_schema.as_ref().map(|schema| schema.as_str());
        assert_eq!((result(0), result(1)), (Some(r#"{"type":"integer"}"#), None));
    }
}
