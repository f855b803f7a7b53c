//! Measures of requests and streams, for the observer of the host.

use std::sync::Arc;

use axum::extract::MatchedPath;
use axum::extract::Request;
use axum::http::Method;
use axum::response::Response;
use tinpot_core::observer::{Measure, Observer};
use tinpot_core::{RequestTrace, Sampling, SubmitOptions, TraceContext};
use tokio::time::Instant;

/// The route of a path that no route matches.
const UNMATCHED: &str = "unmatched";
/// The template that answers unknown paths below `/api`.
const REST: &str = "/{*rest}";

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    observer: &'a dyn Observer,
    method: &'static str,
    route: Option<MatchedPath>,
    trace: Option<RequestTrace>,
    began: Instant,
}

/// Puts the execution below the request, and the request below what the submitter gave.
pub(crate) fn enter(trace: &RequestTrace, options: &mut SubmitOptions) {
    let given = options.traceparent.as_deref().map(str::parse::<TraceContext>);
    // The coordinator refuses one that is malformed.
    let Ok(given) = given.transpose() else { return };
    options.traceparent = Some(trace.enter(given).to_string());
}

impl<'a> Asked<'a> {
    pub(crate) fn of(
        observer: &'a dyn Observer,
        sampling: Option<Sampling>,
        request: &mut Request,
    ) -> Self {
        let route = request.extensions().get().cloned();
        let trace = sampling.filter(|_| *request.method() == Method::POST);
        let trace = trace.map(RequestTrace::new);
        if let Some(trace) = &trace {
            request.extensions_mut().insert(trace.clone());
        }
        Self { observer, method: known(request.method()), route, trace, began: Instant::now() }
    }

    pub(crate) fn answered(self, response: &Response) {
        let route = self.route.as_ref().map(MatchedPath::as_str);
        let route = route.filter(|route| !route.ends_with(REST)).unwrap_or(UNMATCHED);
        let (method, took) = (self.method, self.began.elapsed());
        let code = response.status().as_u16();
        let span = self.trace.and_then(|trace| trace.span());
        self.observer.observe(&Measure::Request { method, route, code, took, span });
    }
}

/// Returns the name of a method: clients may invent others.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

/// An open event stream, which is measured for as long as it lives.
#[derive(Debug)]
pub(crate) struct OpenStream(Option<Arc<dyn Observer>>);

impl OpenStream {
    pub(crate) fn new(observer: Option<Arc<dyn Observer>>) -> Self {
        if let Some(observer) = &observer {
            observer.observe(&Measure::StreamOpened);
        }
        Self(observer)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        if let Some(observer) = &self.0 {
            observer.observe(&Measure::StreamClosed);
        }
    }
}
