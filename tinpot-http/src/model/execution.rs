//! The JSON of executions.

use serde::Serialize;
use tinpot_core::{AttemptRecord, Execution, ExecutionId, Json, Outcome, Parent, SpanId, Status};
use utoipa::ToSchema;

use super::preview::parameters_preview;
use super::{State, Time};
use crate::openapi::scalars;

/// The answer to `sync_execute`.
#[derive(Serialize, ToSchema)]
pub(crate) struct SyncResult<'a> {
    #[schema(value_type = scalars::ExecutionId)]
    execution_id: ExecutionId,
    action_name: &'a str,
    status: State,
    #[schema(value_type = Option<scalars::Json>)]
    result: Option<&'a Json>,
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    traceback: Option<&'a str>,
}

/// The answer to `status`.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExecutionStatus<'a> {
    #[schema(value_type = scalars::ExecutionId)]
    execution_id: ExecutionId,
    state: State,
    ready: bool,
    /// Null before the end.
    successful: Option<bool>,
    info: Info<'a>,
}

/// The end of an execution: its result, or its error with the details. Empty before the end, so
/// that clients may look into it at any time.
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct Info<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = scalars::Json, required = false)]
    result: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
    /// The type of the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    traceback: Option<&'a str>,
    /// The exit code of the program that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    exit_code: Option<i32>,
}

/// The end of an execution, as the event `complete` reports it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Completion<'a> {
    state: State,
    #[schema(value_type = scalars::Status)]
    status: Status,
    successful: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = scalars::Json, required = false)]
    result: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    traceback: Option<&'a str>,
    /// The exit code of the program that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    exit_code: Option<i32>,
}

/// The end of an execution or an attempt: its result, or its error with the details.
#[derive(Serialize, ToSchema)]
#[schema(as = Outcome)]
pub(crate) struct OutcomeView<'a> {
    #[schema(value_type = scalars::Status)]
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = scalars::Json, required = false)]
    result: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
    /// The type of the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    traceback: Option<&'a str>,
    /// The exit code of the program that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    exit_code: Option<i32>,
}

/// One page of executions.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExecutionPage<'a> {
    pub(crate) executions: Vec<ExecutionSummary<'a>>,
    /// The `before` of the next page; null if this is the last page.
    #[schema(value_type = Option<scalars::ExecutionId>)]
    pub(crate) next: Option<ExecutionId>,
}

/// An execution in a list, without parameters, result and attempts.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExecutionSummary<'a> {
    #[schema(value_type = scalars::ExecutionId)]
    execution_id: ExecutionId,
    /// A short id for people, which grows with each execution.
    number: u64,
    action_name: &'a str,
    /// The version of the app that it runs; absent unless its action was deployed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    version: Option<u32>,
    queue: &'a str,
    priority: i32,
    #[schema(value_type = scalars::Status)]
    status: Status,
    state: State,
    error: Option<String>,
    attempts: usize,
    /// The name of the caller; if that is not known, the requester, as the submitter stated it.
    requested_by: Option<&'a str>,
    /// The requester, as a known caller stated it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    on_behalf_of: Option<&'a str>,
    /// The parameters as short text, with `***` in place of secrets; null if there are none.
    parameters_preview: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = scalars::ExecutionId, required = false)]
    parent: Option<ExecutionId>,
    accepted_at: Time,
    started_at: Option<Time>,
    finished_at: Option<Time>,
}

/// The whole record of an execution.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExecutionView<'a> {
    #[schema(value_type = scalars::ExecutionId)]
    execution_id: ExecutionId,
    /// A short id for people, which grows with each execution.
    number: u64,
    action_name: &'a str,
    /// The version of the app that it runs; absent unless its action was deployed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    version: Option<u32>,
    queue: &'a str,
    priority: i32,
    /// The maximum run time of an attempt, in seconds.
    timeout: Option<f64>,
    retries: u32,
    max_lost_attempts: u32,
    /// The time before which it does not start.
    not_before: Option<Time>,
    /// The time at which it fails if it has not started.
    expires_at: Option<Time>,
    idempotency_key: Option<&'a str>,
    /// The name of the caller; if that is not known, the requester, as the submitter stated it.
    requested_by: Option<&'a str>,
    /// The requester, as a known caller stated it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    on_behalf_of: Option<&'a str>,
    /// The trace context that the submitter gave, as W3C Trace Context has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    traceparent: Option<&'a str>,
    parent: Option<ParentLink>,
    /// The parameters, with `"***"` in place of secrets.
    #[schema(value_type = scalars::Json)]
    parameters: Json,
    #[schema(value_type = scalars::Status)]
    status: Status,
    state: State,
    /// The reason why it waits, if it is at the head of its queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    waiting_for: Option<String>,
    outcome: Option<OutcomeView<'a>>,
    attempts: Vec<AttemptView<'a>>,
    accepted_at: Time,
    started_at: Option<Time>,
    finished_at: Option<Time>,
    /// The requester of its cancellation, as the client stated it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    cancelled_by: Option<&'a str>,
    /// If true, its last attempt did not end when it was asked to, and was killed. Absent unless an
    /// attempt was cancelled or timed out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    killed: Option<bool>,
    /// The time limit that it exceeded, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    timeout_ms: Option<u64>,
}

/// The execution that called this one.
#[derive(Serialize, ToSchema)]
struct ParentLink {
    #[schema(value_type = scalars::ExecutionId)]
    execution_id: ExecutionId,
    #[schema(value_type = Option<scalars::SpanId>)]
    span: Option<SpanId>,
    depth: u32,
    /// If true, its attempt waits for this execution, which is cancelled with it.
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
    outcome: Option<OutcomeView<'a>>,
    log_lines: u64,
}

/// The longest error that a list shows, in characters.
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
            status: State::of(outcome.status()),
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
            state: State::of(execution.status),
            ready,
            successful: ready.then_some(execution.status == Status::Succeeded),
            info: execution.outcome.as_ref().map(Info::of).unwrap_or_default(),
        }
    }
}

impl<'a> ExecutionSummary<'a> {
    pub(crate) fn of(execution: &'a Execution) -> Self {
        let error = execution.outcome.as_ref().and_then(Outcome::error);
        Self {
            execution_id: execution.id,
            number: execution.number,
            action_name: &execution.action,
            version: version_of(execution),
            queue: &execution.queue,
            priority: execution.priority,
            status: execution.status,
            state: State::of(execution.status),
            error: error.map(shortened),
            attempts: execution.attempts.len(),
            requested_by: execution.requested_by.as_deref(),
            on_behalf_of: execution.on_behalf_of.as_deref(),
            parameters_preview: parameters_preview(execution),
            parent: execution.parent.map(|parent| parent.execution),
            accepted_at: Time(execution.accepted_at),
            started_at: execution.started_at.map(Time),
            finished_at: execution.finished_at.map(Time),
        }
    }
}

impl<'a> ExecutionView<'a> {
    pub(crate) fn of(execution: &'a Execution) -> Self {
        let is_cancelled = matches!(execution.status, Status::Cancelling | Status::Cancelled);
        let cancel = execution.cancel_request.as_ref().filter(|_| is_cancelled);
        let ended = matches!(execution.status, Status::Cancelled | Status::TimedOut);
        let last = execution.attempts.last().filter(|last| ended && last.outcome.is_some());
        let forced = cancel.is_some_and(|cancel| cancel.force);
        let timeout = execution.timeout.filter(|_| execution.status == Status::TimedOut);
        Self {
            execution_id: execution.id,
            number: execution.number,
            action_name: &execution.action,
            version: version_of(execution),
            queue: &execution.queue,
            priority: execution.priority,
            timeout: execution.timeout.map(|timeout| timeout.as_secs_f64()),
            retries: execution.retry.retries,
            max_lost_attempts: execution.retry.max_lost_attempts,
            not_before: execution.not_before.map(Time),
            expires_at: execution.expires_at.map(Time),
            idempotency_key: execution.given_idempotency_key(),
            requested_by: execution.requested_by.as_deref(),
            on_behalf_of: execution.on_behalf_of.as_deref(),
            traceparent: execution.traceparent.as_deref(),
            parent: execution.parent.map(ParentLink::of),
            parameters: execution.shown_parameters(),
            status: execution.status,
            state: State::of(execution.status),
            waiting_for: None,
            outcome: execution.outcome.as_ref().map(OutcomeView::of),
            attempts: execution.attempts.iter().map(AttemptView::of).collect(),
            accepted_at: Time(execution.accepted_at),
            started_at: execution.started_at.map(Time),
            finished_at: execution.finished_at.map(Time),
            cancelled_by: cancel.and_then(|cancel| cancel.by.as_deref()),
            killed: last.map(|last| last.killed || forced),
            timeout_ms: timeout
                .map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// Sets what it waits for.
    pub(crate) fn waiting_for(mut self, reason: Option<String>) -> Self {
        self.waiting_for = reason;
        self
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
            outcome: attempt.outcome.as_ref().map(OutcomeView::of),
            log_lines: attempt.log_lines,
        }
    }
}

impl<'a> Info<'a> {
    fn of(outcome: &'a Outcome) -> Self {
        let failure = match outcome {
            Outcome::Failed(failure) => Some(failure),
            _ => None,
        };
        Self {
            result: outcome.value(),
            error: outcome.error(),
            kind: failure.map(|failure| failure.kind.as_str()).filter(|kind| !kind.is_empty()),
            traceback: failure.and_then(|failure| failure.traceback.as_deref()),
            exit_code: failure.and_then(|failure| failure.exit_code),
        }
    }
}

impl<'a> Completion<'a> {
    pub(crate) fn of(outcome: &'a Outcome) -> Self {
        let status = outcome.status();
        let (state, successful) = (State::of(status), status == Status::Succeeded);
        let Info { result, error, kind, traceback, exit_code } = Info::of(outcome);
        Self { state, status, successful, result, error, kind, traceback, exit_code }
    }
}

impl<'a> OutcomeView<'a> {
    fn of(outcome: &'a Outcome) -> Self {
        let Info { result, error, kind, traceback, exit_code } = Info::of(outcome);
        Self { status: outcome.status(), result, error, kind, traceback, exit_code }
    }
}

fn version_of(execution: &Execution) -> Option<u32> {
    execution.bundle.as_ref().map(|bundle| bundle.version)
}

fn shortened(mut error: String) -> String {
    if let Some((end, _)) = error.char_indices().nth(SUMMARY_ERROR_CHARS) {
        error.truncate(end);
        error.push('…');
    }
    error
}
