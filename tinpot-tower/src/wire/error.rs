//! Refusals, in MiniTower's form.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tinpot_core::{Error, ErrorKind};

use super::json;

/// A request that is refused.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    retry_after: Option<Duration>,
    closes: bool,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    code: &'a str,
    message: &'a str,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after: None, closes: false }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    pub(crate) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(crate) fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// The body is not read to its end, so the connection cannot be used again.
    pub(crate) fn too_large(max: u64) -> Self {
        let message = format!("body must have at most {max} bytes");
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        Self { closes: true, ..Self::new(status, "invalid_request", message) }
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let retry_after = Some(Duration::from_secs(1));
        Self { retry_after, ..Self::new(status, "internal", message) }
    }

    pub(crate) fn too_many(wait: Duration) -> Self {
        let seconds = wait.as_secs().max(1);
        let message = format!("too many attempts: try again in {seconds} s");
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self { retry_after: Some(wait), ..Self::new(status, "rate_limited", message) }
    }

    /// Replaces status and code, and keeps the message.
    pub(crate) fn with_code(self, status: StatusCode, code: &'static str) -> Self {
        Self { status, code, ..self }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::not_found(error.message()),
            ErrorKind::InvalidInput | ErrorKind::InvalidParameters => {
                Self::invalid(error.message())
            }
            ErrorKind::Forbidden => Self::forbidden(error.message()),
            ErrorKind::Conflict => Self::conflict("conflict", error.message()),
            _ if error.is_retryable() => Self::unavailable(error.message()),
            _ => {
                tracing::error!(%error, "a request was answered with 500");
                let message = "internal error, which the server logged";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = Inner { code: self.code, message: &self.message };
        let mut response = json::answer(self.status, &Envelope { error });
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        if self.closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
