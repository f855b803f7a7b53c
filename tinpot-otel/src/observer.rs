//! The observer: measures become spans.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tinpot_core::observer::{Measure, Observer};
use tinpot_core::store::Transition;
use tinpot_core::{Execution, Fence, Outcome, Sampling, Timestamp, WorkerId};

use crate::queue::Queue;
use crate::span::{Kind, Span};

/// The attempts under way whose start is remembered: more than all workers of a coordinator run at
/// once. Spans of further ones lack their worker.
const ATTEMPTS: usize = 100_000;

/// Turns the measures of a coordinator, an API or a worker into spans for a
/// [`SpanExporter`](crate::SpanExporter). It never waits.
#[derive(Debug)]
pub struct SpanObserver {
    queue: Arc<Queue>,
    sampling: Sampling,
    attempts: Mutex<HashMap<Fence, Begun>>,
}

/// The start of an attempt.
#[derive(Debug)]
struct Begun {
    at: Timestamp,
    number: u32,
    worker: WorkerId,
}

impl SpanObserver {
    pub(crate) fn new(queue: Arc<Queue>, sampling: Sampling) -> Self {
        Self { queue, sampling, attempts: Mutex::default() }
    }

    fn attempts(&self) -> MutexGuard<'_, HashMap<Fence, Begun>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self, execution: &Execution, transition: &Transition, at: Timestamp) {
        let place = self.sampling.of_execution(execution);
        if !place.context.is_sampled() {
            return;
        }
        match transition {
            Transition::Grant { fence, attempt, worker, .. } => {
                let mut attempts = self.attempts();
                if attempts.len() < ATTEMPTS {
                    let begun = Begun { at, number: *attempt, worker: worker.clone() };
                    attempts.insert(*fence, begun);
                }
            }
            Transition::Requeue { fence, outcome, .. } => {
                self.attempt_ended(execution, *fence, outcome.as_ref(), at);
            }
            Transition::Finish { fence, outcome, .. } => {
                if let Some(fence) = fence {
                    // A poisoned execution has failed because its last attempt was lost.
                    let of_attempt = if outcome.is_poisoned() { &Outcome::Lost } else { outcome };
                    self.attempt_ended(execution, *fence, Some(of_attempt), at);
                }
                let span =
                    Span::new(place, Kind::Internal, format!("execute {}", execution.action))
                        .times(execution.accepted_at, at);
                self.queue.push(about(span, execution).outcome(outcome));
            }
            _ => {}
        }
    }

    fn attempt_ended(
        &self,
        execution: &Execution,
        fence: Fence,
        outcome: Option<&Outcome>,
        at: Timestamp,
    ) {
        let begun = self.attempts().remove(&fence).or_else(|| recorded(execution, fence));
        // Without an outcome, it never ran.
        let Some(outcome) = outcome else { return };
        let place = self.sampling.of_attempt(execution, fence);
        let span = Span::new(place, Kind::Client, format!("attempt {}", execution.action));
        let span = span.times(begun.as_ref().map_or(at, |begun| begun.at), at);
        let mut span = about(span, execution);
        if let Some(Begun { number, worker, .. }) = begun {
            span =
                span.number("tinpot.attempt", number.into()).text("tinpot.worker", worker.as_str());
        }
        self.queue.push(span.text("tinpot.fence", fence.to_string()).outcome(outcome));
    }
}

/// Returns the start of an attempt that was granted before a restart.
fn recorded(execution: &Execution, fence: Fence) -> Option<Begun> {
    let attempt = execution.attempts.iter().rfind(|attempt| attempt.fence == fence)?;
    let (at, number, worker) = (attempt.granted_at, attempt.number, attempt.worker.clone());
    Some(Begun { at, number, worker })
}

/// Adds what an execution is.
fn about(span: Span, execution: &Execution) -> Span {
    let span = span
        .text("tinpot.execution", execution.id.to_string())
        .text("tinpot.action", &*execution.action)
        .text("tinpot.queue", &*execution.queue)
        .text("tinpot.team", execution.team_name());
    match &execution.bundle {
        Some(bundle) => span.number("tinpot.version", bundle.version.into()),
        None => span,
    }
}

impl Observer for SpanObserver {
    fn observe(&self, measure: &Measure<'_>) {
        match measure {
            Measure::Changed { execution, transition, at } => {
                self.changed(execution, transition, *at);
            }
            Measure::Ran { action, took, traced: Some(run), .. }
                if run.span.context.is_sampled() =>
            {
                let span = Span::new(run.span, Kind::Server, format!("run {action}"))
                    .took(*took)
                    .text("tinpot.execution", run.execution.to_string())
                    .text("tinpot.action", *action)
                    .number("tinpot.attempt", run.attempt.into());
                self.queue.push(span.outcome(run.outcome));
            }
            Measure::Request { method, route, code, took, span: Some(place) }
                if place.context.is_sampled() =>
            {
                let mut span = Span::new(*place, Kind::Server, format!("{method} {route}"))
                    .took(*took)
                    .text("http.request.method", *method)
                    .text("http.route", *route)
                    .number("http.response.status_code", (*code).into());
                if *code >= 500 {
                    span.error = Some(String::new());
                    span = span.text("error.type", code.to_string());
                }
                self.queue.push(span);
            }
            _ => {}
        }
    }
}
