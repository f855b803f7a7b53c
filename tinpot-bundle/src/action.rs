//! The action that an app is.

use std::time::Duration;

use tinpot_core::action::check_label;
use tinpot_core::{Action, Error, ErrorKind, Result, RetryOn, RetryPolicy};

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
            return Err(invalid("tinpot.kind = \"actions\" is not supported yet: use \"script\""));
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
