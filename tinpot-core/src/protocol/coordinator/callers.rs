//! The unfinished executions of each caller, and the bytes of their parameters.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::{ANONYMOUS, Execution};
use crate::model::time::Timestamp;
use crate::protocol::config::ProtocolConfig;

#[derive(Debug, Default)]
struct Held {
    executions: usize,
    bytes: u64,
}

/// The unfinished executions of each caller who is known. Those that an earlier epoch accepted are
/// not counted, because reading all of them at the start would take too long.
#[derive(Debug, Default)]
pub(super) struct HeldByCallers {
    since: Timestamp,
    by_caller: HashMap<Arc<str>, Held>,
}

fn bytes(execution: &Execution) -> u64 {
    execution.parameters.as_str().len() as u64
}

impl HeldByCallers {
    /// Counts executions from this time on.
    pub(super) fn since(time: Timestamp) -> Self {
        Self { since: time, by_caller: HashMap::new() }
    }

    fn counts(&self, execution: &Execution) -> bool {
        !execution.caller.is_empty()
            && *execution.caller != *ANONYMOUS
            && execution.accepted_at >= self.since
    }

    /// Counts a new execution.
    ///
    /// # Errors
    /// `StorageFull` if its caller has too many.
    pub(super) fn add(&mut self, config: &ProtocolConfig, execution: &Execution) -> Result<()> {
        if !self.counts(execution) {
            return Ok(());
        }
        let (most, most_bytes) =
            (config.max_unfinished_of_caller, config.max_unfinished_bytes_of_caller);
        let held = self.by_caller.get(&execution.caller);
        let (executions, held_bytes) = held.map_or((0, 0), |held| (held.executions, held.bytes));
        if executions >= most {
            let message = format!(
                "{executions} executions of this user or program have not ended, and it may have \
                 {most}"
            );
            return Err(Error::new(ErrorKind::StorageFull, message));
        }
        if held_bytes.saturating_add(bytes(execution)) > most_bytes {
            let message = format!(
                "the unfinished executions of this user or program have {held_bytes} bytes of \
                 parameters, and may have {most_bytes}"
            );
            return Err(Error::new(ErrorKind::StorageFull, message));
        }
        let held = self.by_caller.entry(execution.caller.clone()).or_default();
        held.executions += 1;
        held.bytes += bytes(execution);
        Ok(())
    }

    /// Stops counting an execution that has ended.
    pub(super) fn remove(&mut self, execution: &Execution) {
        if !self.counts(execution) {
            return;
        }
        if let Some(held) = self.by_caller.get_mut(&execution.caller) {
            held.executions = held.executions.saturating_sub(1);
            held.bytes = held.bytes.saturating_sub(bytes(execution));
            if held.executions == 0 {
                self.by_caller.remove(&execution.caller);
            }
        }
    }
}
