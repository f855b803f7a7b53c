//! The span of a request.

use std::sync::{Arc, OnceLock};

use super::{Sampling, TraceContext, TraceSpan};

/// The span of a request, which is made when the request submits an execution. Clones share it.
///
/// ```
/// use tinpot_core::{RequestTrace, Sampling};
///
/// let request = RequestTrace::new(Sampling::always());
/// assert_eq!(request.span(), None);
/// let context = request.enter(None);
/// assert_eq!(request.span().map(|span| span.context), Some(context));
/// ```
#[derive(Clone, Debug)]
pub struct RequestTrace {
    sampling: Sampling,
    span: Arc<OnceLock<TraceSpan>>,
}

impl RequestTrace {
    /// Creates the trace of a request that has submitted nothing.
    pub fn new(sampling: Sampling) -> Self {
        Self { sampling, span: Arc::default() }
    }

    /// Returns the trace context for an execution that the request submits. It is below the span of
    /// the request, and that one below the context that the first submission gave.
    pub fn enter(&self, given: Option<TraceContext>) -> TraceContext {
        self.span.get_or_init(|| self.sampling.of_request(given)).context
    }

    /// Returns the span; `None` if the request has submitted nothing.
    pub fn span(&self) -> Option<TraceSpan> {
        self.span.get().copied()
    }
}
