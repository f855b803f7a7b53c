//! Shapes of what other crates write as JSON, and of what is read by hand: only for the document, never made.

#![expect(dead_code, reason = "read by the derive")]

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::Time;

/// The id of an execution: a UUID, and later ones are larger.
#[derive(Serialize, ToSchema)]
#[schema(value_type = String, format = "uuid")]
pub(crate) struct ExecutionId(String);

/// The id of a step or an artifact: `attempt.number`.
#[derive(Serialize, ToSchema)]
#[schema(value_type = String, pattern = r"^\d+\.\d+$", examples("1.2"))]
pub(crate) struct SpanId(String);

/// Any JSON value.
#[derive(Serialize, ToSchema)]
#[schema(value_type = Value)]
pub(crate) struct Json(serde_json::Value);

/// A JSON Schema, draft 2020-12, as the worker sent it.
#[derive(Serialize, ToSchema)]
#[schema(value_type = Value)]
pub(crate) struct Schema(serde_json::Value);

/// Where an execution stands, or how it or an attempt ended.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Queued,
    Running,
    Cancelling,
    Succeeded,
    Failed,
    Cancelled,
    TimedOut,
    Lost,
}

/// Where an execution stands, in the words of the system that clients come from.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum State {
    Pending,
    Started,
    Success,
    Failure,
    Revoked,
}

/// The name that a JSON type has in Python.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ParameterType {
    Str,
    Int,
    Float,
    Bool,
    List,
    Dict,
    Any,
}

/// How an attempt or an execution ended: with `result`, or with `error` and what is known of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Outcome {
    status: Status,
    #[schema(required = false)]
    result: Json,
    #[schema(required = false)]
    error: String,
    /// The type of the error.
    #[schema(required = false)]
    kind: String,
    #[schema(required = false)]
    traceback: String,
}

/// How an execution ended; empty before that.
#[derive(Serialize, ToSchema)]
pub(crate) struct Info {
    #[schema(required = false)]
    result: Json,
    #[schema(required = false)]
    error: String,
    /// The type of the error.
    #[schema(required = false)]
    kind: String,
    #[schema(required = false)]
    traceback: String,
}

/// Something that should have been an action and is not.
#[derive(Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Where: a file, usually.
    place: String,
    message: String,
}

/// How a step ended.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SpanOutcome {
    Succeeded,
    Failed,
    Cancelled,
}

/// How serious a line is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Level {
    Debug,
    Info,
    Warning,
    Error,
}

/// Where a line was written.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stream {
    Stdout,
    Stderr,
    Log,
    System,
}

/// One line of a log.
#[derive(Serialize, ToSchema)]
pub(crate) struct LogLine {
    timestamp: Time,
    level: Level,
    message: String,
    stream: Stream,
    /// The step that wrote it.
    #[schema(required = false)]
    span: SpanId,
    /// What the line's author gave beside the text.
    #[schema(required = false)]
    fields: BTreeMap<String, Json>,
    seq: u64,
}

/// One page of a log, in ascending order.
#[derive(Serialize, ToSchema)]
pub(crate) struct LogPage {
    lines: Vec<LogLine>,
    /// What to pass as `after` for the lines after these; null when there are none yet.
    next: Option<u64>,
    /// What to pass as `before` for the lines before these; null when there are none.
    previous: Option<u64>,
    /// The number of the last line that is stored, of whatever kind.
    last_seq: u64,
}

/// The least level of lines.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MinimumLevel {
    Debug,
    Info,
    Warning,
    Error,
}

/// What a search has found, in ascending order.
#[derive(Serialize, ToSchema)]
pub(crate) struct LogMatches {
    matches: Vec<LogMatch>,
    /// What to pass as `after` for those after these; null when there are none.
    next: Option<u64>,
    /// How many there are above `after`; null when the search was cut.
    total: Option<u64>,
}

/// One line that was found, with those around it.
#[derive(Serialize, ToSchema)]
pub(crate) struct LogMatch {
    seq: u64,
    line: LogLine,
    before: Vec<LogLine>,
    after: Vec<LogLine>,
}

/// How lines are answered.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    Json,
    Text,
}

/// Why a request was not done.
#[derive(Serialize, ToSchema)]
pub(crate) struct Error {
    detail: String,
    /// Which values do not fit.
    #[schema(required = false)]
    errors: Vec<Violation>,
    /// The execution that goes on although the request failed.
    #[schema(required = false)]
    execution_id: ExecutionId,
}

/// One value that does not fit.
#[derive(Serialize, ToSchema)]
pub(crate) struct Violation {
    /// Which: `days`, `hosts[3]`; empty for the whole.
    path: String,
    message: String,
}

/// What to run an action with.
#[derive(Serialize, ToSchema)]
pub(crate) struct Submission {
    /// What the action's `schema` describes.
    #[schema(required = false)]
    parameters: BTreeMap<String, Json>,
    #[schema(required = false)]
    options: Options,
}

/// What to run an execution with once more.
#[derive(Serialize, ToSchema)]
pub(crate) struct Rerun {
    #[schema(required = false)]
    options: Options,
}

/// What is left out, or null, is as the action says.
#[derive(Serialize, ToSchema)]
pub(crate) struct Options {
    /// The same key and parameters are the same execution.
    #[schema(min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
    /// Higher first.
    priority: Option<i32>,
    /// Seconds before it may start.
    #[schema(minimum = 0, maximum = 3162240000u64)]
    delay: Option<f64>,
    /// Likewise, as a time in RFC 3339, or seconds since 1970.
    not_before: Option<NotBefore>,
    /// Seconds after which it is not started any more.
    #[schema(exclusive_minimum = 0, maximum = 3162240000u64)]
    expires_in: Option<f64>,
    /// Seconds that an attempt may take.
    #[schema(exclusive_minimum = 0, maximum = 3162240000u64)]
    timeout: Option<f64>,
    #[schema(minimum = 0, maximum = 1000)]
    retries: Option<u32>,
    #[schema(minimum = 1)]
    max_lost_attempts: Option<u32>,
    backoff: Option<BackoffKind>,
    /// Seconds before the second attempt.
    #[schema(minimum = 0, maximum = 3162240000u64)]
    retry_delay: Option<f64>,
    /// Seconds.
    #[schema(minimum = 0, maximum = 3162240000u64)]
    max_retry_delay: Option<f64>,
    #[schema(minimum = 0, maximum = 1)]
    retry_jitter: Option<f64>,
    #[schema(min_length = 1, max_length = 128)]
    queue: Option<String>,
    /// Who asks, as the client says. The header `X-Requested-By` says it too.
    #[schema(min_length = 1, max_length = 255)]
    requested_by: Option<String>,
}

/// How the time between attempts grows.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BackoffKind {
    Exponential,
    Fixed,
}

/// A time in RFC 3339, or seconds since 1970.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum NotBefore {
    Text(Time),
    Seconds(f64),
}
