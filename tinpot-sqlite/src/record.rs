//! The encoding of executions as rows.
//!
//! Conditions, orders and filters have columns; one JSON document has the rest.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Row;
use rusqlite::types::ValueRef;
use serde::{Deserialize, Serialize};
use tinpot_core::{
    AttemptRecord, BundleRef, CancelRequest, Digest, Execution, ExecutionId, Json, Outcome, Parent,
    RetryPolicy, Status, Timestamp,
};

use crate::damage::Damage;
use crate::error::{Problem, Result};

/// The state of an execution, as lists and queues need it. The numbers are stored: never change
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum State {
    /// Queued, and ready to start.
    Ready = 0,
    /// Queued, with a `not_before` in the future.
    Delayed = 1,
    /// Queued, with a live attempt that has not started yet.
    Granted = 2,
    Running = 3,
    Cancelling = 4,
    Succeeded = 5,
    Failed = 6,
    Cancelled = 7,
    TimedOut = 8,
    Lost = 9,
}

impl State {
    pub(crate) const ALL: [State; 10] = [
        State::Ready,
        State::Delayed,
        State::Granted,
        State::Running,
        State::Cancelling,
        State::Succeeded,
        State::Failed,
        State::Cancelled,
        State::TimedOut,
        State::Lost,
    ];

    pub(crate) fn of(execution: &Execution) -> Result<Self> {
        Ok(match execution.status {
            Status::Queued if execution.live_attempt().is_some() => State::Granted,
            Status::Queued if execution.not_before.is_some() => State::Delayed,
            Status::Queued => State::Ready,
            Status::Running => State::Running,
            Status::Cancelling => State::Cancelling,
            Status::Succeeded => State::Succeeded,
            Status::Failed => State::Failed,
            Status::Cancelled => State::Cancelled,
            Status::TimedOut => State::TimedOut,
            Status::Lost => State::Lost,
            status => {
                let status = status.as_str();
                return Err(Problem::Record(format!("there is no state for the status {status}")));
            }
        })
    }

    pub(crate) fn from_code(code: i64) -> Result<Self> {
        let state = usize::try_from(code).ok().and_then(|code| Self::ALL.get(code));
        state.copied().ok_or_else(|| Problem::Record(format!("there is no state {code}")))
    }

    pub(crate) fn code(self) -> i64 {
        self as i64
    }

    pub(crate) fn status(self) -> Status {
        match self {
            State::Ready | State::Delayed | State::Granted => Status::Queued,
            State::Running => Status::Running,
            State::Cancelling => Status::Cancelling,
            State::Succeeded => Status::Succeeded,
            State::Failed => Status::Failed,
            State::Cancelled => Status::Cancelled,
            State::TimedOut => Status::TimedOut,
            State::Lost => Status::Lost,
        }
    }
}

/// The part of an execution that has no columns.
#[derive(Serialize)]
struct RestOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<&'a RetryPolicy>,
    #[serde(skip_serializing_if = "is_zero")]
    app_run: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<Parent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_behalf_of: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_request: Option<&'a CancelRequest>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    secrets: &'a [String],
    #[serde(skip_serializing_if = "is_false")]
    forgets_secrets: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    secrets_digest: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    uploads: &'a [Digest],
    #[serde(skip_serializing_if = "Option::is_none")]
    bundle: Option<&'a BundleRef>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    attempts: &'a [AttemptRecord],
    #[serde(skip_serializing_if = "Ended::is_not")]
    ended: Ended<&'a Outcome>,
}

#[derive(Deserialize)]
struct RestIn {
    #[serde(default)]
    timeout: Option<Duration>,
    #[serde(default = "RetryPolicy::never")]
    retry: RetryPolicy,
    #[serde(default)]
    app_run: u64,
    #[serde(default)]
    started_at: Option<Timestamp>,
    #[serde(default)]
    parent: Option<Parent>,
    #[serde(default)]
    on_behalf_of: Option<Arc<str>>,
    #[serde(default)]
    traceparent: Option<Arc<str>>,
    #[serde(default)]
    cancel_request: Option<CancelRequest>,
    #[serde(default)]
    secrets: Vec<String>,
    #[serde(default)]
    forgets_secrets: bool,
    #[serde(default)]
    secrets_digest: Option<Arc<str>>,
    #[serde(default)]
    uploads: Vec<Digest>,
    #[serde(default)]
    bundle: Option<Arc<BundleRef>>,
    #[serde(default)]
    attempts: Vec<AttemptRecord>,
    #[serde(default)]
    ended: Ended<Outcome>,
}

/// The outcome. It is mostly that of the last attempt, and a large one is not written twice.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ended<T> {
    #[default]
    Not,
    AsLastAttempt,
    With(T),
}

impl<T> Ended<T> {
    fn is_not(&self) -> bool {
        matches!(self, Ended::Not)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Returns the document with everything that has no column.
pub(crate) fn rest_of(execution: &Execution) -> Result<String> {
    let last = execution.attempts.last().and_then(|attempt| attempt.outcome.as_ref());
    let ended = match &execution.outcome {
        None => Ended::Not,
        same if same.as_ref() == last => Ended::AsLastAttempt,
        Some(outcome) => Ended::With(outcome),
    };
    let rest = RestOut {
        timeout: execution.timeout,
        retry: (execution.retry != RetryPolicy::never()).then_some(&execution.retry),
        app_run: execution.app_run,
        started_at: execution.started_at,
        parent: execution.parent,
        on_behalf_of: execution.on_behalf_of.as_deref(),
        traceparent: execution.traceparent.as_deref(),
        cancel_request: execution.cancel_request.as_ref(),
        secrets: &execution.secrets,
        forgets_secrets: execution.forgets_secrets,
        secrets_digest: execution.secrets_digest.as_deref(),
        uploads: &execution.uploads,
        bundle: execution.bundle.as_deref(),
        attempts: &execution.attempts,
        ended,
    };
    let unwritable = |error| Problem::Record(format!("execution {}: {error}", execution.id));
    serde_json::to_string(&rest).map_err(unwritable)
}

/// The columns that [`read`] needs, of `executions AS e` and `routes AS r`.
pub(crate) const COLUMNS: &str = "e.id, r.queue, r.action, e.state, e.rank, e.accepted_at, e.not_before, e.expires_at, e.finished_at, \
     e.idempotency_key, e.rest, \
     coalesce(e.parameters, (SELECT l.parameters FROM large_parameters AS l WHERE l.row = e.row)), e.requested_by, e.team, e.caller, e.row";

/// The same, without the parameters.
pub(crate) const COLUMNS_WITHOUT_PARAMETERS: &str = "e.id, r.queue, r.action, e.state, e.rank, e.accepted_at, e.not_before, e.expires_at, \
     e.finished_at, e.idempotency_key, e.rest, '{}', e.requested_by, e.team, e.caller, e.row";

/// The number of these columns, and the positions of the document and of the row.
pub(crate) const COLUMN_COUNT: usize = 16;
pub(crate) const REST_COLUMN: usize = 10;
pub(crate) const ROW_COLUMN: usize = 15;

/// Reads an execution from a row that begins with [`COLUMNS`].
pub(crate) fn read(row: &Row<'_>) -> Result<Execution> {
    let id = execution_id(row, 0)?;
    let damaged = |what: String| Problem::Record(format!("execution {id}: {what}"));
    let queue = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
    let action = row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?;
    let parameters = match row.get_ref(11)? {
        ValueRef::Null => return Err(damaged("its parameters are gone".to_owned())),
        text => text.as_str().map_err(rusqlite::Error::from)?,
    };
    let parameters =
        Json::parse(parameters).map_err(|error| damaged(format!("its parameters are {error}")))?;
    let rest = row.get_ref(REST_COLUMN)?.as_str().map_err(rusqlite::Error::from)?;
    let rest: RestIn = serde_json::from_str(rest).map_err(|error| damaged(error.to_string()))?;
    let team = match row.get_ref(13)? {
        ValueRef::Null => "",
        text => text.as_str().map_err(rusqlite::Error::from)?,
    };
    // The table of routes has the keys of actions.
    let name = action.strip_prefix(team).and_then(|rest| rest.strip_prefix('/'));
    let action = name.filter(|_| !team.is_empty()).unwrap_or(action);
    let mut execution = Execution::new(id, action, parameters);
    execution.number = row.get::<_, i64>(ROW_COLUMN)?.max(0) as u64;
    execution.queue = queue.into();
    execution.status = State::from_code(row.get(3)?)?.status();
    execution.priority = Execution::priority_of(row.get(4)?);
    execution.accepted_at = row.get(5).map(timestamp)?;
    execution.not_before = row.get::<_, Option<i64>>(6)?.map(timestamp);
    execution.expires_at = row.get::<_, Option<i64>>(7)?.map(timestamp);
    execution.finished_at = row.get::<_, Option<i64>>(8)?.map(timestamp);
    execution.idempotency_key = row.get::<_, Option<String>>(9)?.map(Into::into);
    execution.requested_by = row.get::<_, Option<String>>(12)?.map(Into::into);
    execution.team = team.into();
    execution.caller = row.get::<_, Option<String>>(14)?.unwrap_or_default().into();
    execution.on_behalf_of = rest.on_behalf_of;
    execution.traceparent = rest.traceparent;
    execution.cancel_request = rest.cancel_request;
    execution.secrets = rest.secrets;
    execution.forgets_secrets = rest.forgets_secrets;
    execution.secrets_digest = rest.secrets_digest;
    execution.uploads = rest.uploads;
    execution.bundle = rest.bundle;
    execution.timeout = rest.timeout;
    execution.retry = rest.retry;
    execution.app_run = rest.app_run;
    execution.started_at = rest.started_at;
    execution.parent = rest.parent;
    execution.outcome = match rest.ended {
        Ended::Not => None,
        Ended::AsLastAttempt => rest.attempts.last().and_then(|attempt| attempt.outcome.clone()),
        Ended::With(outcome) => Some(outcome),
    };
    execution.attempts = rest.attempts;
    Ok(execution)
}

/// Reads an execution as [`read`] does; `None` if the row cannot be read, which is noted.
pub(crate) fn readable(row: &Row<'_>, damage: &Damage) -> Result<Option<Execution>> {
    match read(row) {
        Ok(execution) => Ok(Some(execution)),
        Err(problem) => {
            let id = execution_id(row, 0).map_or_else(|_| "?".to_owned(), |id| id.to_string());
            skip(&id, problem, damage).map(|()| None)
        }
    }
}

/// Notes a record that cannot be read; returns any other problem.
pub(crate) fn skip(id: &str, problem: Problem, damage: &Damage) -> Result<()> {
    // The pages of the database are another matter than the content of one row.
    let is_of_record = match &problem {
        Problem::Record(_) => true,
        Problem::Sqlite(error) => error.sqlite_error_code().is_none(),
        _ => false,
    };
    if !is_of_record {
        return Err(problem);
    }
    damage.skip(id, &problem);
    Ok(())
}

/// Reads an id from its 16 bytes.
pub(crate) fn execution_id(row: &Row<'_>, column: usize) -> Result<ExecutionId> {
    let bytes: [u8; 16] = row.get(column)?;
    Ok(ExecutionId::from_u128(u128::from_be_bytes(bytes)))
}

/// Returns the 16 bytes of an id, which sort as ids do.
pub(crate) fn id_bytes(id: ExecutionId) -> [u8; 16] {
    id.as_u128().to_be_bytes()
}

/// Returns a time as a number.
pub(crate) fn micros(time: Timestamp) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

/// Returns a time from a number.
pub(crate) fn timestamp(micros: i64) -> Timestamp {
    Timestamp(micros.max(0) as u64)
}

/// Returns a duration as a number, capped at thousands of centuries.
pub(crate) fn duration_micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
