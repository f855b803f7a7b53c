//! Shapes of the events of both streams: what stands after `data: `.

#![expect(dead_code, reason = "read by the derive")]

use serde::Serialize;
use utoipa::ToSchema;

use super::shapes::{ExecutionId, Json, LogLine, SpanId, SpanOutcome, State, Status};
use crate::model::ExecutionSummary;

/// One event of the stream of an execution.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub(crate) enum ExecutionEvent {
    /// The first one.
    Connected(Connected),
    Status(StatusData),
    Log(LogLine),
    Progress(Progress),
    SpanStarted(SpanStarted),
    SpanEnded(SpanEnded),
    Child(Child),
    Artifact(ArtifactData),
    Summary(SummaryData),
    /// The last one.
    Complete(Completion),
}

/// One event of the stream of all that a page shows.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum PageEvent {
    /// The first one.
    Connected { server: Server },
    /// Executions that have changed.
    Executions {
        executions: Vec<ExecutionSummary<'static>>,
        /// There were more: the list has to be read again.
        #[schema(required = false)]
        more: bool,
    },
    /// The workers have changed: read them again.
    Workers,
    /// The queues have changed: read them again.
    Queues,
    /// The actions have changed: read them again.
    Catalogue,
    /// Lines of an execution that is followed.
    Log { execution_id: ExecutionId, lines: Vec<LogLine> },
    /// An execution that was to be followed is not known, or not any more.
    Missing { execution_id: ExecutionId },
    /// Anything else of an execution that is followed: as in its own stream.
    Event { execution_id: ExecutionId, event: ExecutionEvent },
}

/// Which server this is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Server {
    version: String,
    /// Another one after each start.
    instance: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Connected {
    execution_id: ExecutionId,
    state: State,
    /// Lines with a number above this follow.
    after: u64,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct StatusData {
    status: Status,
    state: State,
}

/// How far an action says it has come.
#[derive(Serialize, ToSchema)]
pub(crate) struct Progress {
    done: f64,
    #[schema(required = false)]
    total: f64,
    #[schema(required = false)]
    message: String,
}

/// A step began.
#[derive(Serialize, ToSchema)]
pub(crate) struct SpanStarted {
    span: SpanId,
    #[schema(required = false)]
    parent: SpanId,
    name: String,
    at: Micros,
}

/// Microseconds since 1970.
#[derive(Serialize, ToSchema)]
#[schema(value_type = u64)]
pub(crate) struct Micros(u64);

/// A step ended.
#[derive(Serialize, ToSchema)]
pub(crate) struct SpanEnded {
    span: SpanId,
    outcome: SpanOutcome,
    took_us: u64,
    #[schema(required = false)]
    error: String,
}

/// Another action is run, as an execution of its own.
#[derive(Serialize, ToSchema)]
pub(crate) struct Child {
    execution: ExecutionId,
    action: String,
    #[schema(required = false)]
    span: SpanId,
}

/// A file is kept. Its id is `attempt.number`.
#[derive(Serialize, ToSchema)]
pub(crate) struct ArtifactData {
    number: u32,
    attempt: u32,
    name: String,
    size_bytes: u64,
    media_type: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct SummaryData {
    markdown: String,
}

/// How an execution ended.
#[derive(Serialize, ToSchema)]
pub(crate) struct Completion {
    state: State,
    status: Status,
    successful: bool,
    #[schema(required = false)]
    result: Json,
    #[schema(required = false)]
    error: String,
    #[schema(required = false)]
    kind: String,
    #[schema(required = false)]
    traceback: String,
}
