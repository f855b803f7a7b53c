//! The JSON of the API. Clients depend on it: fields may be added, never renamed or removed.
//!
//! The OpenAPI schemas are derived from these types.

mod action;
#[cfg(feature = "apps")]
pub(crate) mod app;
mod execution;
mod log_line;
mod preview;
mod stats;
mod worker;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Serialize, Serializer};
use tinpot_core::{Status, Timestamp};
use utoipa::ToSchema;

pub(crate) use self::action::{ActionView, Actions};
pub(crate) use self::execution::{
    Completion, ExecutionPage, ExecutionStatus, ExecutionSummary, ExecutionView, SyncResult,
};
pub(crate) use self::log_line::{LineEncoder, LogLine, StreamName};
pub(crate) use self::stats::{ActionStats, ActionsStats, StatsJson};
pub(crate) use self::worker::{DrainAnswer, QueueJson, Queues, WorkerJson, Workers};

/// The state of an execution, in the words of the system that clients come from.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum State {
    Pending,
    Started,
    Success,
    Failure,
    Revoked,
}

impl State {
    pub(crate) fn of(status: Status) -> Self {
        match status {
            Status::Queued => Self::Pending,
            Status::Succeeded => Self::Success,
            Status::Cancelled => Self::Revoked,
            // The words of that system are fixed, so a status that it does not have is the nearest.
            status if status.is_terminal() => Self::Failure,
            _ => Self::Started,
        }
    }
}

/// A time, as RFC 3339 text.
#[derive(Debug, ToSchema)]
#[schema(value_type = String, format = "date-time", examples("2026-12-24T18:00:00.5Z"))]
pub(crate) struct Time(pub(crate) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Returns `body` as a JSON response. Raw JSON of the core is copied, not parsed.
pub(crate) fn json_response<T: Serialize + ?Sized>(status: StatusCode, body: &T) -> Response {
    json_or_error(status, serde_json::to_vec(body))
}

/// Returns the JSON as a response, or an error without it.
fn json_or_error(status: StatusCode, body: serde_json::Result<Vec<u8>>) -> Response {
    match body {
        Ok(body) => json_bytes(status, body),
        Err(error) => {
            tracing::error!(%error, "a response has no JSON form");
            let body = br#"{"detail":"an internal error: the response has no JSON form"}"#.to_vec();
            json_bytes(StatusCode::INTERNAL_SERVER_ERROR, body)
        }
    }
}

/// Returns `body`, which is JSON already, as a response.
pub(crate) fn json_bytes(status: StatusCode, body: Vec<u8>) -> Response {
    let content_type = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (status, [content_type], body).into_response()
}
