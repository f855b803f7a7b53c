//! Failures: why an action did not succeed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The cause of a [`Failure`], for programs. Its names on the wire are stable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureCode {
    /// The action itself raised or returned an error.
    #[default]
    ActionError,
    /// The parameters do not fit what the action accepts.
    InvalidParameters,
    /// The execution expired: it was still queued at its deadline. Only the coordinator says so.
    Expired,
    /// The execution is not tried again, because too many of its attempts were lost with their
    /// workers. Only the coordinator says so.
    Poisoned,
    /// The result exceeds the size limit.
    ResultTooLarge,
    /// The attempt exceeded a resource limit of its action.
    LimitExceeded,
    /// The process that ran the attempt ended unexpectedly.
    Crashed,
    /// The action panicked.
    Panicked,
    /// Another process asked the attempt's process to end.
    Interrupted,
    /// The worker shut down before the attempt ended.
    WorkerShutdown,
    /// The worker no longer offers the action.
    ActionUnavailable,
    /// A code of a later version.
    #[serde(other)]
    Unrecognized,
}

impl FailureCode {
    /// Every code that this version knows.
    pub const ALL: [FailureCode; 12] = [
        FailureCode::ActionError,
        FailureCode::InvalidParameters,
        FailureCode::Expired,
        FailureCode::Poisoned,
        FailureCode::ResultTooLarge,
        FailureCode::LimitExceeded,
        FailureCode::Crashed,
        FailureCode::Panicked,
        FailureCode::Interrupted,
        FailureCode::WorkerShutdown,
        FailureCode::ActionUnavailable,
        FailureCode::Unrecognized,
    ];

    /// Returns the stable name: `action_error`, `result_too_large`, ….
    pub fn as_str(self) -> &'static str {
        match self {
            FailureCode::ActionError => "action_error",
            FailureCode::InvalidParameters => "invalid_parameters",
            FailureCode::Expired => "expired",
            FailureCode::Poisoned => "poisoned",
            FailureCode::ResultTooLarge => "result_too_large",
            FailureCode::LimitExceeded => "limit_exceeded",
            FailureCode::Crashed => "crashed",
            FailureCode::Panicked => "panicked",
            FailureCode::Interrupted => "interrupted",
            FailureCode::WorkerShutdown => "worker_shutdown",
            FailureCode::ActionUnavailable => "action_unavailable",
            FailureCode::Unrecognized => "unrecognized",
        }
    }

    fn is_action_error(&self) -> bool {
        *self == FailureCode::ActionError
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The report of an action that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Failure {
    /// The cause, for programs.
    #[serde(default, skip_serializing_if = "FailureCode::is_action_error")]
    pub code: FailureCode,
    /// The name of the error for people, such as the class of an exception; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The error message.
    pub message: String,
    /// The traceback, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceback: Option<String>,
}

impl Failure {
    /// Creates a failure of the action itself ([`FailureCode::ActionError`]).
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// Sets the cause.
    #[must_use]
    pub fn code(mut self, code: FailureCode) -> Self {
        self.code = code;
        self
    }

    /// Sets the name of the error.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = kind.into();
        self
    }

    /// Sets the traceback.
    #[must_use]
    pub fn traceback(mut self, traceback: impl Into<String>) -> Self {
        self.traceback = Some(traceback.into());
        self
    }

    /// Returns the failure as a worker may report it: a code that only the coordinator gives is
    /// replaced by [`FailureCode::ActionError`].
    pub(crate) fn as_reported(mut self) -> Self {
        if matches!(self.code, FailureCode::Expired | FailureCode::Poisoned) {
            self.code = FailureCode::ActionError;
        }
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind.is_empty(), self.message.is_empty()) {
            (true, _) => f.write_str(&self.message),
            (false, true) => f.write_str(&self.kind),
            (false, false) => write!(f, "{}: {}", self.kind, self.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, FailureCode};

    #[test]
    fn names_on_the_wire_are_those_of_as_str() {
        for code in FailureCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }

    #[test]
    fn a_failure_of_the_version_before_is_an_error_of_the_action() {
        let failure: Failure =
            serde_json::from_str(r#"{"kind":"Poisoned","message":"bad batch"}"#).unwrap();
        assert_eq!(failure.code, FailureCode::ActionError);
        assert_eq!(failure.kind, "Poisoned");
    }

    #[test]
    fn a_code_of_a_later_version_is_unrecognized() {
        let failure: Failure =
            serde_json::from_str(r#"{"code":"new_cause","message":"m"}"#).unwrap();
        assert_eq!(failure.code, FailureCode::Unrecognized);
    }
}
