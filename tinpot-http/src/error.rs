//! Errors as clients see them: a status and `{"detail": "…"}`; with parameters that do not fit also `"errors"`, one by one.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tinpot_core::action::Violation;
use tinpot_core::{Error, ErrorKind, ExecutionId};

use crate::model::json_response;

/// Seconds after which it makes sense to try again: a restart, a reconnect or a drained queue takes about that long.
const RETRY_AFTER_SECONDS: &str = "1";

/// The most that is said about a request: what it says itself may be a megabyte.
const DETAIL_BYTES: usize = 4096;

/// A request that was not done, and why.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    detail: String,
    errors: Vec<Violation>,
    execution: Option<ExecutionId>,
}

#[derive(Serialize)]
struct Body<'a> {
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Violation],
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_id: Option<ExecutionId>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: shortened(detail.into()), errors: Vec::new(), execution: None }
    }

    /// Something in the request does not fit; `detail` names it.
    pub(crate) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// Single values of the request do not fit; `detail` names them too.
    pub(crate) fn invalid(detail: impl Into<String>, errors: Vec<Violation>) -> Self {
        Self { errors, ..Self::unprocessable(detail) }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// What is wrong.
    #[cfg(feature = "testing")]
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// Names the execution that goes on although the request failed.
    pub(crate) fn about(mut self, execution: ExecutionId) -> Self {
        self.execution = Some(execution);
        self
    }
}

/// Leaves out the middle of a text that is too long: what is wrong stands at its beginning or its end.
fn shortened(text: String) -> String {
    if text.len() <= DETAIL_BYTES {
        return text;
    }
    let boundary = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (head, tail) = (boundary(DETAIL_BYTES / 2), boundary(text.len() - DETAIL_BYTES / 2));
    format!("{} … {}", &text[..head], &text[tail..])
}

/// The one place where kinds of errors become statuses.
fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::InvalidInput | ErrorKind::InvalidParameters => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Overloaded | ErrorKind::Unavailable | ErrorKind::Closed => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let status = status_of(error.kind());
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(?error, "a request failed");
        }
        Self { errors: error.violations().to_vec(), ..Self::new(status, error.to_string()) }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body =
            Body { detail: &self.detail, errors: &self.errors, execution_id: self.execution };
        let mut response = json_response(self.status, &body);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        response
    }
}
