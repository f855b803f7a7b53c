//! Outcomes: how executions and attempts end.

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::failure::{Failure, FailureCode};
use super::json::Json;
use super::status::Status;

/// The end of an execution, or of one attempt at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The action returned this result.
    Succeeded(Json),
    /// The action failed.
    Failed(Failure),
    /// The execution was cancelled.
    Cancelled,
    /// The attempt exceeded its timeout.
    TimedOut,
    /// The worker went silent, so it is unknown whether the action finished.
    Lost,
}

impl Outcome {
    /// Returns the outcome of an execution that was still queued at its deadline.
    pub fn expired() -> Self {
        let message = "it was still queued when its time to start was over";
        Outcome::Failed(Failure::new(message).code(FailureCode::Expired).kind("Expired"))
    }

    /// Returns the outcome of an execution whose secrets cannot be read any more.
    pub fn secrets_lost() -> Self {
        let message = "its secrets cannot be read, since the key of the store is lost or was \
                       replaced: submit it again with the secrets";
        Outcome::Failed(Failure::new(message).code(FailureCode::SecretsLost).kind("SecretsLost"))
    }

    /// Returns the outcome of an execution whose bundle was removed.
    pub fn bundle_gone(bundle: &Digest) -> Self {
        let message = format!(
            "the bundle {} is gone: its version was pruned; deploy the app, and run it again",
            bundle.short()
        );
        Outcome::Failed(Failure::new(message).kind("BundleGone"))
    }

    /// Returns the outcome of an execution that repeatedly killed its workers: `lost` attempts
    /// ended with them.
    pub fn poisoned(lost: u32) -> Self {
        let message = format!(
            "{lost} of its attempts were lost with their workers, so it is not tried again"
        );
        Outcome::Failed(Failure::new(message).code(FailureCode::Poisoned).kind("Poisoned"))
    }

    /// Returns true if the execution failed because it repeatedly killed its workers.
    pub fn is_poisoned(&self) -> bool {
        self.failure().is_some_and(|failure| failure.code == FailureCode::Poisoned)
    }

    /// Returns the outcome of an action that failed with this message.
    pub fn failed(message: impl Into<String>) -> Self {
        Outcome::Failed(Failure::new(message))
    }

    /// Returns the outcome of an attempt that an executor could not start: none of the action's code
    /// ran, and none will. The worker gives the attempt back, and another worker may run it.
    ///
    /// ```
    /// use tinpot_core::Outcome;
    ///
    /// let outcome = Outcome::not_started("the interpreter is gone");
    /// assert_eq!(outcome.reason_not_started(), Some("the interpreter is gone"));
    /// assert_eq!(Outcome::failed("no").reason_not_started(), None);
    /// ```
    pub fn not_started(reason: impl Into<String>) -> Self {
        Outcome::Failed(Failure::new(reason).code(FailureCode::NotStarted).kind("NotStarted"))
    }

    /// Returns the reason why the attempt was not started; `None` if its code may have run.
    pub fn reason_not_started(&self) -> Option<&str> {
        let failure = self.failure()?;
        (failure.code == FailureCode::NotStarted).then_some(&*failure.message)
    }

    /// Returns the status of an execution that ended with this outcome.
    pub fn status(&self) -> Status {
        match self {
            Outcome::Succeeded(_) => Status::Succeeded,
            Outcome::Failed(_) => Status::Failed,
            Outcome::Cancelled => Status::Cancelled,
            Outcome::TimedOut => Status::TimedOut,
            Outcome::Lost => Status::Lost,
        }
    }

    /// Returns the result of an action that succeeded.
    pub fn value(&self) -> Option<&Json> {
        match self {
            Outcome::Succeeded(value) => Some(value),
            _ => None,
        }
    }

    /// Returns the failure of an action that failed.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Outcome::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    /// Returns one sentence for people, unless the action succeeded.
    pub fn error(&self) -> Option<String> {
        match self {
            Outcome::Succeeded(_) => None,
            Outcome::Failed(failure) => Some(failure.to_string()),
            Outcome::Cancelled => Some("cancelled".to_owned()),
            Outcome::TimedOut => Some("timed out".to_owned()),
            Outcome::Lost => Some(
                "the worker went silent, so whether the action finished is not known".to_owned(),
            ),
        }
    }

    /// Returns the outcome as a worker may report it: without codes that only the coordinator gives.
    pub(crate) fn into_reported(self) -> Self {
        match self {
            Outcome::Failed(failure) => Outcome::Failed(failure.into_reported()),
            outcome => outcome,
        }
    }
}
