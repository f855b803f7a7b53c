//! The answer to a request, from the outcome of its execution.

use tinpot_core::{Error, ErrorKind, FailureCode, Outcome};

use crate::var::Var;
use crate::wire::message::WorkerError;

/// The lines of a traceback that are sent: the last ones name the place.
const TRACEBACK_LINES: usize = 3;

/// Returns the answer for an execution that has ended.
pub(super) fn answer(outcome: Outcome) -> Result<Var, WorkerError> {
    let failure = match outcome {
        Outcome::Succeeded(json) => {
            return Var::from_json(json.as_str()).map_err(|fault| {
                WorkerError::Internal(format!("the result has no form in MOO: {fault}"))
            });
        }
        Outcome::Failed(failure) => failure,
        Outcome::TimedOut => {
            let why = "the execution has exceeded its timeout";
            return Err(WorkerError::TimedOut(why.to_owned()));
        }
        Outcome::Cancelled => {
            return Err(WorkerError::Request("the execution was cancelled".to_owned()));
        }
        other => {
            let why = other.error().unwrap_or_else(|| "it has no result".to_owned());
            return Err(WorkerError::Internal(why));
        }
    };
    let mut text = failure.to_string();
    Err(match failure.code {
        FailureCode::InvalidParameters => WorkerError::InvalidRequest(text),
        FailureCode::Expired => WorkerError::TimedOut(text),
        FailureCode::ActionError | FailureCode::Panicked => {
            let lines: Vec<_> =
                failure.traceback.iter().flat_map(|all| all.trim_end().lines().rev()).collect();
            for line in lines.iter().take(TRACEBACK_LINES).rev() {
                text.push('\n');
                text.push_str(line);
            }
            WorkerError::Request(text)
        }
        _ => WorkerError::Internal(text),
    })
}

/// Returns the answer for an execution that was not accepted.
pub(super) fn refused(error: &Error) -> WorkerError {
    let text = error.message().to_owned();
    match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::InvalidParameters | ErrorKind::NotFound => {
            WorkerError::InvalidRequest(text)
        }
        ErrorKind::Forbidden => WorkerError::PermissionDenied(text),
        _ => WorkerError::Internal(text),
    }
}
