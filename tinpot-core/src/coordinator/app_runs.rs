//! The numbers among the executions of deployed actions, across restarts.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::Shared;
use crate::model::error::Result;
use crate::model::execution::Execution;
use crate::model::page::ListOptions;
use crate::model::visible::{Visible, VisiblePart};

/// The executions among which that with the largest number is: ids that were made at the same moment
/// are accepted in any order.
const LATEST: usize = 100;

/// The keys of the actions of which the control loop knows the largest number.
#[derive(Debug, Default)]
pub(super) struct Counted(Mutex<HashSet<Arc<str>>>);

impl Counted {
    fn keys(&self) -> std::sync::MutexGuard<'_, HashSet<Arc<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that an execution was accepted, so that the control loop knows its number.
    pub(super) fn accepted(&self, execution: &Execution) {
        if execution.bundle.is_some() {
            self.keys().insert(execution.action_key());
        }
    }
}

/// Gives an execution the largest number that the store has for its action, unless the control loop
/// knows it: the execution gets the next one when it is accepted.
pub(super) async fn continue_numbers(shared: &Shared, execution: &mut Execution) -> Result<()> {
    if execution.bundle.is_none() || shared.app_runs.keys().contains(&execution.action_key()) {
        return Ok(());
    }
    let of_team = Visible::nothing(execution.team_name(), "").part(VisiblePart::all());
    let latest = ListOptions::new().action(&*execution.action).visible(of_team).limit(LATEST);
    let latest = shared.store.executions(&latest).await?;
    execution.app_run = latest.iter().map(|known| known.app_run).max().unwrap_or_default();
    Ok(())
}
