//! Measures of each request, for metrics.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use tinpot_core::TraceSpan;

/// A request that was answered.
///
/// Passed to the function of [`Tower::on_request`](crate::Tower::on_request).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AnsweredRequest<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path as a template, such as `/api/v1/apps/{app}`; `unmatched` for an unknown one.
    pub path: &'static str,
    /// The status of the answer.
    pub status: StatusCode,
    /// The time until the head of the answer.
    pub took: Duration,
    /// The size of the body that the client announced.
    pub request_bytes: Option<u64>,
    /// The size of the body of the answer, if it is known.
    pub response_bytes: Option<u64>,
    /// The span of a request that has submitted a run, with [`Tower::traces`](crate::Tower::traces).
    pub span: Option<TraceSpan>,
}

type Observe = dyn Fn(&AnsweredRequest<'_>) + Send + Sync;

/// The function that is called with each request, if there is one.
#[derive(Clone, Default)]
pub(crate) struct OnRequest(pub(crate) Option<Arc<Observe>>);

impl OnRequest {
    pub(crate) fn call(&self, request: &AnsweredRequest<'_>) {
        if let Some(observe) = &self.0 {
            observe(request);
        }
    }
}
