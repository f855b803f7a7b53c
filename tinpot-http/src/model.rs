//! The JSON shapes of the API. Clients depend on them: fields may be added, never renamed or removed.

mod action;
mod execution;
mod stats;
mod worker;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Serialize, Serializer};
use tinpot_core::{Level, Status, Stream, Timestamp};
use utoipa::ToSchema;

pub(crate) use self::action::{ActionView, Actions};
pub(crate) use self::execution::{
    Completion, ExecutionPage, ExecutionStatus, ExecutionSummary, ExecutionView, SyncResult,
};
pub(crate) use self::stats::StatsJson;
pub(crate) use self::worker::{DrainAnswer, QueueJson, Queues, Workers};

/// The state of an execution in the words of the system that clients come from.
pub(crate) fn state(status: Status) -> &'static str {
    match status {
        Status::Queued => "PENDING",
        Status::Running | Status::Cancelling => "STARTED",
        Status::Succeeded => "SUCCESS",
        Status::Failed | Status::TimedOut | Status::Lost => "FAILURE",
        Status::Cancelled => "REVOKED",
    }
}

/// The name of a level, as Python's `logging` has it.
pub(crate) fn level_name(level: Level) -> &'static str {
    match level {
        Level::Debug => "DEBUG",
        Level::Info => "INFO",
        Level::Warning => "WARNING",
        Level::Error => "ERROR",
    }
}

/// The name of a log stream.
pub(crate) fn stream_name(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
        Stream::Log => "log",
        _ => "system",
    }
}

/// A time as RFC 3339 text.
#[derive(Debug, ToSchema)]
#[schema(value_type = String, format = "date-time", examples("2026-12-24T18:00:00.5Z"))]
pub(crate) struct Time(pub(crate) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// `body` as a JSON response. What the core hands out as raw JSON is copied, not parsed.
pub(crate) fn json_response<T: Serialize + ?Sized>(status: StatusCode, body: &T) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => json_bytes(status, body),
        Err(error) => {
            tracing::error!(%error, "a response has no JSON form");
            let body = br#"{"detail":"an internal error: the response has no JSON form"}"#.to_vec();
            json_bytes(StatusCode::INTERNAL_SERVER_ERROR, body)
        }
    }
}

/// `body`, which is JSON already, as a response.
pub(crate) fn json_bytes(status: StatusCode, body: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        // Everything here is of the moment.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // Results and log lines are whatever users print: no browser may take them for a page.
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, headers, body).into_response()
}
