//! The action that an app is.

use std::collections::HashSet;
use std::time::Duration;

use tinpot_core::action::check_label;
use tinpot_core::{Action, Error, ErrorKind, Result, RetryOn, RetryPolicy};

use crate::manifest::Manifest;
use crate::towerfile::{Kind, RunRetry, Towerfile};

/// The longest time limit that the core accepts: 100 years. MiniTower has no bound.
const MAX_TIMEOUT: Duration = Duration::from_secs(100 * 366 * 86_400);

impl Towerfile {
    /// Returns the action that this Towerfile describes: one with the name of the app, and with the
    /// schema of its inputs, word for word. Without declared inputs, the action takes any.
    ///
    /// # Errors
    /// `InvalidInput` for a folder of Python actions, which is not one action, and for a group or
    /// queue whose name an action cannot have.
    pub fn action(&self) -> Result<Action> {
        let extras = &self.tinpot;
        if extras.kind == Kind::Actions {
            return Err(invalid("tinpot.kind = \"actions\" is a folder of several actions"));
        }
        let mut action = Action::new(self.name.as_str())?;
        action.description = extras.description.clone().unwrap_or_default();
        if let Some(group) = &extras.group {
            check_label("tinpot.group", group).map_err(|error| invalid(error.message()))?;
            action.group.clone_from(group);
        }
        if let Some(queue) = &extras.queue {
            check_label("tinpot.queue", queue).map_err(|error| invalid(error.message()))?;
            action.queue.clone_from(queue);
        }
        if let Some(schema) = self.schema() {
            action.schema = schema.clone();
        }
        action.priority = extras.priority.unwrap_or_default();
        action.expires_in = extras.expires_in;
        action.timeout = self.timeout.map(|timeout| timeout.min(MAX_TIMEOUT));
        action.retry = extras.retry.as_ref().map(policy).unwrap_or_default();
        Ok(action)
    }
}

impl Manifest {
    /// Returns the actions that an app is with this bundle and its Towerfile.
    ///
    /// # Errors
    /// `InvalidInput` for an action that breaks a rule, and for a folder of Python actions that has
    /// none, too many, or settings that such folders cannot have.
    pub fn app_actions(&self, towerfile: &Towerfile) -> Result<Vec<Action>> {
        if towerfile.tinpot.kind != Kind::Actions {
            return match self.actions {
                None => Ok(vec![towerfile.action()?]),
                Some(_) => Err(wrong("must not have actions without tinpot.kind = \"actions\"")),
            };
        }
        towerfile.check_actions()?;
        let missing = || {
            wrong("has no actions: deploy the folder with \"tinpot deploy\", which imports them")
        };
        let value = self.actions.clone().ok_or_else(missing)?;
        let actions: Vec<Action> = serde_json::from_value(value)
            .map_err(|error| wrong(&format!("has actions that cannot be read: {error}")))?;
        if !(1..=MAX_ACTIONS).contains(&actions.len()) {
            let found = actions.len();
            return Err(wrong(&format!("must have 1 to {MAX_ACTIONS} actions (got {found})")));
        }
        let mut names = HashSet::new();
        if let Some(twice) = actions.iter().find(|action| !names.insert(&action.name)) {
            return Err(wrong(&format!("has action {:?} twice: rename one of them", twice.name)));
        }
        actions.into_iter().map(checked).collect()
    }
}

/// The largest concurrency, that of `@action`.
const MAX_CONCURRENCY: u32 = 100_000;
/// The largest number of actions in one bundle.
const MAX_ACTIONS: usize = 1_000;

fn checked(mut action: Action) -> Result<Action> {
    check_label("action name", &action.name)?;
    let refused = |why: &str| Err(wrong(&format!("action {:?} {why}", action.name)));
    if action.concurrency.is_some_and(|attempts| !(1..=MAX_CONCURRENCY).contains(&attempts)) {
        return refused("must have a concurrency from 1 to 100000");
    }
    check_label("group", &action.group)?;
    check_label("queue", &action.queue)?;
    // The server decides about both.
    (action.team, action.deployed) = (String::new(), None);
    Ok(action)
}

fn wrong(message: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("manifest: {message}"))
}

impl Towerfile {
    /// Checks that a folder of Python actions has no settings that only programs can have.
    ///
    /// # Errors
    /// `InvalidInput` with the setting.
    pub fn check_actions(&self) -> Result<()> {
        let extras = &self.tinpot;
        let set = [
            ("app.script", self.script.is_some(), "each action is a function"),
            ("app.timeout", self.timeout.is_some(), "set it with @action(timeout=…)"),
            ("parameters", !self.parameters.is_empty(), "they are those of the functions"),
            ("tinpot.exec", !extras.exec.is_empty(), "each action is a function"),
            ("tinpot.group", extras.group.is_some(), "set it with @action(group=…)"),
            ("tinpot.queue", extras.queue.is_some(), "set it with @action(queue=…)"),
            ("tinpot.priority", extras.priority.is_some(), "set it with @action(priority=…)"),
            ("tinpot.retry", extras.retry.is_some(), "set it with @action(retries=…)"),
            ("tinpot.expires_in", extras.expires_in.is_some(), "set it with @action(…)"),
            ("tinpot.secrets", !extras.secrets.is_empty(), "ask for them with get_secret(…)"),
        ];
        match set.iter().find(|(_, is_set, _)| *is_set) {
            None => Ok(()),
            Some((key, _, instead)) => {
                Err(invalid(format!("{key} does not go with tinpot.kind = \"actions\": {instead}")))
            }
        }
    }
}

fn policy(retry: &RunRetry) -> RetryPolicy {
    let policy = RetryPolicy::exponential(retry.retries).on(retry.on);
    match retry.on {
        // All retries count losses then; none of them must end as poisoned.
        RetryOn::Lost => policy.max_lost_attempts(retry.retries + 1),
        _ => policy,
    }
}

fn invalid(message: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("Towerfile: {message}"))
}
