//! The outcome of an attempt that a worker of mooR has answered.

use tinpot_core::{Failure, Json, Outcome};

use crate::server::{Answer, NotSent};
use crate::wire::message::WorkerError;

/// Returns the outcome of an attempt with this answer.
pub(super) fn outcome(answer: Result<Answer, NotSent>) -> Outcome {
    let failed = |kind: &str, message: String| Failure::new(message).kind(kind);
    Outcome::Failed(match answer {
        Ok(Answer::Value(value)) => {
            let json = value.to_json().map_err(|fault| fault.to_string());
            match json.and_then(|text| Json::parse(text).map_err(|error| error.to_string())) {
                Ok(json) => return Outcome::Succeeded(json),
                Err(why) => failed("invalid_result", format!("the result has no JSON form: {why}")),
            }
        }
        Ok(Answer::Unreadable(fault)) => {
            failed("invalid_result", format!("the result cannot be read: {fault}"))
        }
        Ok(Answer::Silent) => failed("worker_silent", "the worker did not answer".to_owned()),
        Ok(Answer::Failed(error)) => match error {
            WorkerError::TimedOut(_) => return Outcome::TimedOut,
            WorkerError::PermissionDenied(text) => failed("permission_denied", text).permanent(),
            WorkerError::InvalidRequest(text) => failed("invalid_request", text).permanent(),
            WorkerError::Internal(text) => failed("worker_internal", text),
            WorkerError::Request(text) => failed("action_error", text),
            WorkerError::Detached(text) => {
                failed("worker_protocol", format!("the worker says that it detached: {text}"))
            }
            WorkerError::NoWorker(name) => {
                failed("worker_protocol", format!("the worker says that there is no {name:?}"))
            }
        },
        Ok(Answer::Gone(reason)) => {
            tracing::info!(reason, "an attempt at a worker of mooR is lost");
            return Outcome::Lost;
        }
        Err(NotSent::Gone) => return Outcome::not_started("the worker is gone"),
        Err(NotSent::Busy) => {
            return Outcome::not_started("the worker still works on something that was given up");
        }
        Err(NotSent::Invalid(fault)) => return invalid_parameters(fault.to_string()),
    })
}

/// Returns the outcome of an attempt whose parameters cannot be sent.
pub(super) fn invalid_parameters(why: String) -> Outcome {
    let failure = Failure::new(why).code(tinpot_core::FailureCode::InvalidParameters);
    Outcome::Failed(failure.kind("InvalidParameters").permanent())
}
