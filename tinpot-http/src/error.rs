//! Errors: a status and `{"detail": "…"}`, and for invalid parameters also `"errors"`, one by one.
//!
//! A message names the value, says what is wrong with it and what is allowed, and repeats the value
//! that was given: `limit must be an integer from 1 to 1000 (got "x")`. It starts with the name, has
//! no period at its end, and joins further sentences by semicolons. Tests hold it to that form.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tinpot_core::action::Violation;
use tinpot_core::{Error, ErrorKind, ExecutionId};
use utoipa::ToSchema;

use crate::model::json_response;
use crate::openapi::scalars;

/// The seconds after which a client may retry: a restart, a reconnect or a full queue take about
/// that long.
const RETRY_AFTER_SECONDS: &str = "1";

/// The message of errors that the log alone explains.
const INTERNAL: &str = "internal error, which the server logged";

/// The longest message: it repeats parts of the request, which may be a megabyte.
const DETAIL_BYTES: usize = 4096;

/// The reason why a request failed.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    detail: String,
    errors: Vec<Violation>,
    execution: Option<ExecutionId>,
    /// The seconds after which a client may retry, if they are known.
    retry_after: Option<u64>,
}

/// The reason why a request failed.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct ErrorBody<'a> {
    detail: &'a str,
    /// The invalid values.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Vec<scalars::Violation>, required = false)]
    errors: &'a [Violation],
    /// The execution that continues although the request failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = scalars::ExecutionId, required = false)]
    execution_id: Option<ExecutionId>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: shortened(detail.into()),
            errors: Vec::new(),
            execution: None,
            retry_after: None,
        }
    }

    /// Returns the error of an invalid request.
    pub(crate) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// Returns the error of invalid values.
    pub(crate) fn invalid(detail: impl Into<String>, errors: Vec<Violation>) -> Self {
        Self { errors, ..Self::unprocessable(detail) }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// Returns the error of a client that has to wait.
    pub(crate) fn too_many(detail: impl Into<String>, wait: std::time::Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self {
            retry_after: Some(seconds.max(1)),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail)
        }
    }

    /// Returns the message.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// Returns the JSON of the error.
    pub(crate) fn body(&self) -> ErrorBody<'_> {
        ErrorBody { detail: &self.detail, errors: &self.errors, execution_id: self.execution }
    }

    /// Names the execution that continues although the request failed.
    pub(crate) fn about(mut self, execution: ExecutionId) -> Self {
        self.execution = Some(execution);
        self
    }
}

/// Removes the middle of a long message: its reason is at the beginning or at the end.
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

/// Returns the status of a kind of error. No other place maps them.
fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::InvalidInput | ErrorKind::InvalidParameters => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
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
            // It may name paths of the server.
            return Self::new(status, INTERNAL);
        }
        Self { errors: error.violations().to_vec(), ..Self::new(status, error.to_string()) }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = json_response(self.status, &self.body());
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            // HTTP asks for it. Browsers show no dialog for this scheme.
            let headers = response.headers_mut();
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
