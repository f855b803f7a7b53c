//! Executions as records, and the index entries that each of them has.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{KeyValue, keys};
use crate::model::error::Result;
use crate::model::execution::Execution;
use crate::model::status::Status;

/// Parameters of more bytes have a key of their own, so that a change of status does not write them
/// again.
pub(super) const LARGE_PARAMETERS_BYTES: usize = 1024;

/// The value that is stored for an execution.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record<E = Execution> {
    pub(super) execution: E,
    /// The lease of the last attempt, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lease: Option<u64>,
    #[serde(default)]
    pub(super) log_bytes: u64,
    /// If true, the parameters are stored under a key of their own.
    #[serde(default)]
    pub(super) large_parameters: bool,
}

pub(super) fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| keys::damaged(format!("a record: {error}")))
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| keys::damaged(format!("a record: {error}")))
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Returns the index entries of an execution. They follow from its state alone, so a change of
/// state is written as the difference of two such lists.
pub(super) fn index(execution: &Execution, lease: Option<Duration>) -> Vec<KeyValue> {
    let id = execution.id;
    let mut index = Vec::new();
    let mut push = |key: keys::Key, value| index.push((key.0, value));
    if execution.live_attempt().is_some() {
        let lease = micros(lease.unwrap_or_default());
        push(keys::granted_execution(id), lease.to_be_bytes().to_vec());
    } else if execution.status == Status::Queued {
        match execution.not_before {
            Some(time) => push(keys::delayed_until(time, id), keys::names(execution)),
            None => {
                let (queue, action) = (&execution.queue, execution.action_key());
                let runtime = execution.runtime().map(|runtime| &**runtime);
                push(keys::ready_at(queue, &action, runtime, execution.rank(), id), Vec::new());
            }
        }
        if let Some(time) = execution.expires_at {
            push(keys::expiring_at(time, id), Vec::new());
        }
    }
    if execution.log_is_open() && execution.live_attempt().is_none() {
        push(keys::open_log(id), Vec::new());
    }
    if execution.status.is_terminal() {
        push(
            keys::ended_at(execution.finished_at.unwrap_or(execution.accepted_at), id),
            Vec::new(),
        );
    }
    index
}
