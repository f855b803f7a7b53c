//! The result of discovery, and its conversion to the action set of the SDK.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use tinpot_core::action::{Schema, check_label};
use tinpot_core::executor::ActionSet;
use tinpot_core::{Action, Error, Json, LoadError, Result, RetryPolicy};

use crate::child_text::{self, load_error};
use crate::isolation::{Isolation, IsolationByAction};
use crate::limits::{Limits, LimitsByAction};
use crate::pool::Hazards;

/// The maximum number of load errors of one directory, and of their bytes.
const MAX_LOAD_ERRORS: usize = 1000;
const MAX_LOAD_ERROR_BYTES: usize = 512 * 1024;

/// The actions and load errors that `tinpot._discovery` reports.
#[derive(Debug, Deserialize)]
#[serde(from = "Reported")]
pub(crate) struct Discovered {
    actions: Vec<Described>,
    load_errors: Vec<ImportFailure>,
    /// The things that keep the interpreter from being copied. It sends them before.
    pub(crate) hazards: Hazards,
}

#[derive(Deserialize)]
struct Reported {
    /// Read one by one: a description that cannot be read is a load error of its own action.
    actions: Vec<Box<RawValue>>,
    load_errors: Vec<ImportFailure>,
}

impl From<Reported> for Discovered {
    fn from(Reported { actions, mut load_errors }: Reported) -> Self {
        let read = |action: Box<RawValue>| match child_text::read(action.get().as_bytes()) {
            Ok(described) => Some(described),
            Err(error) => {
                load_errors.push(ImportFailure::unreadable(action.get(), &error));
                None
            }
        };
        let actions = actions.into_iter().filter_map(read).collect();
        Self { actions, load_errors, hazards: Hazards::default() }
    }
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

impl ImportFailure {
    fn unreadable(action: &str, error: &serde_json::Error) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Named {
            name: String,
            place: String,
        }
        let Named { name, place } = child_text::read(action.as_bytes()).unwrap_or_default();
        let message = format!("action {name:?}: its description cannot be read: {error}");
        Self { place, message, failed: None, importing: Vec::new(), others: Vec::new() }
    }
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
    /// The processes of the attempts, which are the worker's concern too.
    isolation: Option<Isolation>,
    place: String,
}

impl Discovered {
    /// Returns the limits of the actions that have limits of their own.
    pub(crate) fn limits(&self) -> LimitsByAction {
        let limited = |action: &Described| Some((action.name.clone(), action.limits?));
        self.actions.iter().filter_map(limited).collect()
    }

    /// Returns the file of each action.
    pub(crate) fn owners(&self) -> BTreeMap<String, String> {
        let owner = |action: &Described| (action.name.clone(), action.file().to_owned());
        self.actions.iter().map(owner).collect()
    }

    /// Leaves out the actions of these files.
    pub(crate) fn leave_out(&mut self, files: &[String]) {
        if !files.is_empty() {
            self.actions.retain(|action| !files.iter().any(|file| file == action.file()));
        }
    }

    /// Returns the isolation of the actions that declare one.
    pub(crate) fn isolation(&self) -> IsolationByAction {
        let declared = |action: &Described| Some((action.name.clone(), action.isolation?));
        self.actions.iter().filter_map(declared).collect()
    }

    /// Returns the failed imports.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (&str, &ImportFailure)> {
        self.load_errors
            .iter()
            .filter_map(|load_error| Some((load_error.failed.as_deref()?, load_error)))
    }

    /// Returns the action set. An action that the SDK rejects becomes a load error.
    pub(crate) fn into_action_set(self, further: Vec<LoadError>) -> ActionSet {
        let load_errors = self.load_errors.iter();
        let mut load_errors: Vec<_> =
            load_errors.map(|failure| load_error(&failure.place, &failure.message)).collect();
        let mut actions = Vec::with_capacity(self.actions.len());
        for described in self.actions {
            let place = described.place.clone();
            match described.into_action() {
                Ok(action) => actions.push(action),
                Err(e) => load_errors.push(load_error(&place, &e.to_string())),
            }
        }
        load_errors.extend(further);
        let load_errors = bounded(load_errors);
        load_errors.into_iter().fold(ActionSet::new(actions), ActionSet::load_error)
    }
}

/// Returns the first load errors: all of them travel with every offer of the worker.
fn bounded(mut load_errors: Vec<LoadError>) -> Vec<LoadError> {
    let mut bytes = 0;
    let mut fits = |load_error: &LoadError| {
        bytes += load_error.place.len() + load_error.message.len();
        bytes <= MAX_LOAD_ERROR_BYTES
    };
    let kept = load_errors.iter().take(MAX_LOAD_ERRORS).take_while(|error| fits(error)).count();
    let more = load_errors.len() - kept;
    if more > 0 {
        let place = load_errors[kept].place.clone();
        load_errors.truncate(kept);
        let message = format!("{more} more load errors are not shown; fix those above first");
        load_errors.push(LoadError::new(place, message));
    }
    load_errors
}

impl Described {
    fn file(&self) -> &str {
        self.place.rsplit_once(':').map_or(&*self.place, |(file, _)| file)
    }

    /// Returns the action. Refuses whatever the coordinator refuses, because only here the error
    /// can name the file and the line.
    fn into_action(self) -> Result<Action> {
        self.retry.check()?;
        Schema::compile(&self.schema)
            .map_err(|e| Error::new(e.kind(), format!("action {:?}: {e}", self.name)))?;
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
    use tinpot_core::LoadError;

    use super::{Discovered, MAX_LOAD_ERROR_BYTES, MAX_LOAD_ERRORS};

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

    #[test]
    fn description_that_cannot_be_read_is_a_load_error_of_its_action() {
        let text = r#"{"actions":[
            {"name":"a","schema":{},"priority":1e999,"place":"a.py:3"},
            {"name":"b","schema":{},"timeout_ms":-1,"place":"b.py:1"},
            {"name":"c","schema":{},"place":"c.py"},
            "nonsense"],"load_errors":[]}"#;
        let discovered: Discovered = serde_json::from_str(text).expect("an action set");
        let action_set = discovered.into_action_set(Vec::new());
        assert_eq!(action_set.actions.len(), 1);
        let places: Vec<_> = action_set.load_errors.iter().map(|error| &*error.place).collect();
        assert_eq!(places, ["a.py:3", "b.py:1", ""]);
        assert!(action_set.load_errors[0].message.contains(r#"action "a""#));
    }

    #[test]
    fn load_errors_are_bounded_in_number_and_size() {
        for (count, length) in [(5000, 10), (200, 10_000)] {
            let errors = (0..count).map(|n| LoadError::new(format!("{n}.py"), "x".repeat(length)));
            let kept = super::bounded(errors.collect());
            let bytes: usize = kept.iter().map(|error| error.message.len()).sum();
            assert!(kept.len() <= MAX_LOAD_ERRORS + 1 && bytes < MAX_LOAD_ERROR_BYTES + 100);
            assert!(kept[kept.len() - 1].message.contains("more load errors"), "{kept:?}");
        }
    }
}
