//! Executions as clients see them.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use tinpot_core::{AttemptRecord, Execution, ExecutionId, Json, Outcome, Parent, SpanId, Status};
use utoipa::ToSchema;

use super::{Time, state};
use crate::openapi::shapes;

/// The answer to `sync_execute`.
#[derive(Serialize, ToSchema)]
pub(crate) struct SyncResult<'a> {
    #[schema(value_type = shapes::ExecutionId)]
    execution_id: ExecutionId,
    action_name: &'a str,
    #[schema(value_type = shapes::State)]
    status: &'static str,
    #[schema(value_type = Option<shapes::Json>)]
    result: Option<&'a Json>,
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    traceback: Option<&'a str>,
}

/// The answer to `status`.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExecutionStatus<'a> {
    #[schema(value_type = shapes::ExecutionId)]
    execution_id: ExecutionId,
    #[schema(value_type = shapes::State)]
    state: &'static str,
    ready: bool,
    /// Not known before the end.
    successful: Option<bool>,
    #[schema(value_type = shapes::Info)]
    info: Info<'a>,
}

/// `result` or `error` with its details; an empty object before the end, so that clients may look into it at any time.
struct Info<'a>(Option<&'a Outcome>);

/// The data of the event `complete`.
pub(crate) struct Completion<'a>(pub(crate) &'a Outcome);

/// An outcome in our own vocabulary.
struct OutcomeView<'a>(&'a Outcome);

/// One page of executions.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExecutionPage<'a> {
    pub(crate) executions: Vec<ExecutionSummary<'a>>,
    /// What to pass as `before` for the next page; null when there is none.
    #[schema(value_type = Option<shapes::ExecutionId>)]
    pub(crate) next: Option<ExecutionId>,
}

/// An execution in a list: without what may be large.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExecutionSummary<'a> {
    #[schema(value_type = shapes::ExecutionId)]
    execution_id: ExecutionId,
    action_name: &'a str,
    queue: &'a str,
    priority: i32,
    #[schema(value_type = shapes::Status)]
    status: Status,
    #[schema(value_type = shapes::State)]
    state: &'static str,
    error: Option<String>,
    attempts: usize,
    /// Who asked for it, as the submitter said.
    requested_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = shapes::ExecutionId, required = false)]
    parent: Option<ExecutionId>,
    accepted_at: Time,
    started_at: Option<Time>,
    finished_at: Option<Time>,
}

/// Everything that is recorded of an execution.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExecutionView<'a> {
    #[schema(value_type = shapes::ExecutionId)]
    execution_id: ExecutionId,
    action_name: &'a str,
    queue: &'a str,
    priority: i32,
    /// Seconds.
    timeout: Option<f64>,
    retries: u32,
    max_lost_attempts: u32,
    /// It waits until then.
    not_before: Option<Time>,
    /// It fails if it still waits then.
    expires_at: Option<Time>,
    idempotency_key: Option<&'a str>,
    /// Who asked for it, as the submitter said.
    requested_by: Option<&'a str>,
    parent: Option<ParentLink>,
    /// With `"***"` in place of secrets.
    #[schema(value_type = shapes::Json)]
    parameters: Json,
    #[schema(value_type = shapes::Status)]
    status: Status,
    #[schema(value_type = shapes::State)]
    state: &'static str,
    #[schema(value_type = Option<shapes::Outcome>)]
    outcome: Option<OutcomeView<'a>>,
    attempts: Vec<AttemptView<'a>>,
    accepted_at: Time,
    started_at: Option<Time>,
    finished_at: Option<Time>,
}

/// The execution that asked for this one.
#[derive(Serialize, ToSchema)]
struct ParentLink {
    #[schema(value_type = shapes::ExecutionId)]
    execution_id: ExecutionId,
    #[schema(value_type = Option<shapes::SpanId>)]
    span: Option<SpanId>,
    depth: u32,
    /// Its attempt waits for this one, which therefore ends with it.
    waits: bool,
}

impl ParentLink {
    fn of(parent: Parent) -> Self {
        let Parent { execution, span, depth, waits, .. } = parent;
        Self { execution_id: execution, span, depth, waits }
    }
}

#[derive(Serialize, ToSchema)]
struct AttemptView<'a> {
    number: u32,
    fence: String,
    worker: &'a str,
    granted_at: Time,
    started_at: Option<Time>,
    ended_at: Option<Time>,
    #[schema(value_type = Option<shapes::Outcome>)]
    outcome: Option<OutcomeView<'a>>,
    log_lines: u64,
}

/// The most of an error that a list shows, in characters.
const SUMMARY_ERROR_CHARS: usize = 300;

impl<'a> SyncResult<'a> {
    pub(crate) fn of(
        execution_id: ExecutionId,
        action_name: &'a str,
        outcome: &'a Outcome,
    ) -> Self {
        Self {
            execution_id,
            action_name,
            status: state(outcome.status()),
            result: outcome.value(),
            error: outcome.error(),
            traceback: match outcome {
                Outcome::Failed(failure) => failure.traceback.as_deref(),
                _ => None,
            },
        }
    }
}

impl<'a> ExecutionStatus<'a> {
    pub(crate) fn of(execution: &'a Execution) -> Self {
        let ready = execution.status.is_terminal();
        Self {
            execution_id: execution.id,
            state: state(execution.status),
            ready,
            successful: ready.then_some(execution.status == Status::Succeeded),
            info: Info(execution.outcome.as_ref()),
        }
    }
}

impl<'a> ExecutionSummary<'a> {
    pub(crate) fn of(execution: &'a Execution) -> Self {
        let error = execution.outcome.as_ref().and_then(Outcome::error);
        Self {
            execution_id: execution.id,
            action_name: &execution.action,
            queue: &execution.queue,
            priority: execution.priority,
            status: execution.status,
            state: state(execution.status),
            error: error.map(shortened),
            attempts: execution.attempts.len(),
            requested_by: execution.requested_by.as_deref(),
            parent: execution.parent.map(|parent| parent.execution),
            accepted_at: Time(execution.accepted_at),
            started_at: execution.started_at.map(Time),
            finished_at: execution.finished_at.map(Time),
        }
    }
}

impl<'a> ExecutionView<'a> {
    pub(crate) fn of(execution: &'a Execution) -> Self {
        Self {
            execution_id: execution.id,
            action_name: &execution.action,
            queue: &execution.queue,
            priority: execution.priority,
            timeout: execution.timeout.map(|timeout| timeout.as_secs_f64()),
            retries: execution.retry.retries,
            max_lost_attempts: execution.retry.max_lost_attempts,
            not_before: execution.not_before.map(Time),
            expires_at: execution.expires_at.map(Time),
            idempotency_key: execution.idempotency_key.as_deref(),
            requested_by: execution.requested_by.as_deref(),
            parent: execution.parent.map(ParentLink::of),
            parameters: execution.shown_parameters(),
            status: execution.status,
            state: state(execution.status),
            outcome: execution.outcome.as_ref().map(OutcomeView),
            attempts: execution.attempts.iter().map(AttemptView::of).collect(),
            accepted_at: Time(execution.accepted_at),
            started_at: execution.started_at.map(Time),
            finished_at: execution.finished_at.map(Time),
        }
    }
}

impl<'a> AttemptView<'a> {
    fn of(attempt: &'a AttemptRecord) -> Self {
        Self {
            number: attempt.number,
            fence: attempt.fence.to_string(),
            worker: attempt.worker.as_str(),
            granted_at: Time(attempt.granted_at),
            started_at: attempt.started_at.map(Time),
            ended_at: attempt.ended_at.map(Time),
            outcome: attempt.outcome.as_ref().map(OutcomeView),
            log_lines: attempt.log_lines,
        }
    }
}

impl Serialize for Info<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(outcome) = self.0 {
            details(outcome, &mut map)?;
        }
        map.end()
    }
}

impl Serialize for Completion<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let status = self.0.status();
        map.serialize_entry("state", state(status))?;
        map.serialize_entry("status", &status)?;
        map.serialize_entry("successful", &(status == Status::Succeeded))?;
        details(self.0, &mut map)?;
        map.end()
    }
}

impl Serialize for OutcomeView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("status", &self.0.status())?;
        details(self.0, &mut map)?;
        map.end()
    }
}

/// `result`, or `error` with kind and traceback where there are any.
fn details<M: SerializeMap>(outcome: &Outcome, map: &mut M) -> Result<(), M::Error> {
    if let Some(value) = outcome.value() {
        map.serialize_entry("result", value)?;
    }
    if let Some(error) = outcome.error() {
        map.serialize_entry("error", &error)?;
    }
    if let Outcome::Failed(failure) = outcome {
        if !failure.kind.is_empty() {
            map.serialize_entry("kind", &failure.kind)?;
        }
        if let Some(traceback) = &failure.traceback {
            map.serialize_entry("traceback", traceback)?;
        }
    }
    Ok(())
}

fn shortened(mut error: String) -> String {
    if let Some((end, _)) = error.char_indices().nth(SUMMARY_ERROR_CHARS) {
        error.truncate(end);
        error.push('…');
    }
    error
}
