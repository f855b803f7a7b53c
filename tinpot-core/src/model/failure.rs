//! Failures: why an action did not succeed.

use std::any::type_name;
use std::error::Error as StdError;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The cause of a [`Failure`], for programs. Its names on the wire are stable.
///
/// ```
/// use tinpot_core::{FailureCode, Outcome};
///
/// /// Returns true if a person may submit the same execution again without a fix.
/// fn is_bad_luck(outcome: &Outcome) -> bool {
///     let code = outcome.failure().map(|failure| failure.code);
///     matches!(code, Some(FailureCode::Expired | FailureCode::WorkerShutdown))
/// }
///
/// assert!(is_bad_luck(&Outcome::expired()));
/// assert!(!is_bad_luck(&Outcome::failed("the disk is full")));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureCode {
    /// The action itself raised or returned an error.
    #[default]
    ActionError,
    /// The parameters do not fit what the action accepts.
    InvalidParameters,
    /// The execution expired: it was still queued at its deadline. Only the coordinator reports
    /// this.
    Expired,
    /// The execution is not tried again, because too many of its attempts were lost with their
    /// workers. Only the coordinator reports this.
    Poisoned,
    /// The secrets among the parameters cannot be read, since the key of the store is lost. Only the
    /// coordinator reports this.
    SecretsLost,
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
    /// The executor could not start the attempt: none of the action's code ran. The worker gives
    /// such an attempt back, so no execution ends with this code.
    NotStarted,
    /// A code of a later version.
    #[serde(other)]
    Unrecognized,
}

impl FailureCode {
    /// Every code that this version knows.
    pub const ALL: [FailureCode; 14] = [
        FailureCode::ActionError,
        FailureCode::InvalidParameters,
        FailureCode::Expired,
        FailureCode::Poisoned,
        FailureCode::SecretsLost,
        FailureCode::ResultTooLarge,
        FailureCode::LimitExceeded,
        FailureCode::Crashed,
        FailureCode::Panicked,
        FailureCode::Interrupted,
        FailureCode::WorkerShutdown,
        FailureCode::ActionUnavailable,
        FailureCode::NotStarted,
        FailureCode::Unrecognized,
    ];

    /// Returns the stable name: `action_error`, `result_too_large`, ….
    pub fn as_str(self) -> &'static str {
        match self {
            FailureCode::ActionError => "action_error",
            FailureCode::InvalidParameters => "invalid_parameters",
            FailureCode::Expired => "expired",
            FailureCode::Poisoned => "poisoned",
            FailureCode::SecretsLost => "secrets_lost",
            FailureCode::ResultTooLarge => "result_too_large",
            FailureCode::LimitExceeded => "limit_exceeded",
            FailureCode::Crashed => "crashed",
            FailureCode::Panicked => "panicked",
            FailureCode::Interrupted => "interrupted",
            FailureCode::WorkerShutdown => "worker_shutdown",
            FailureCode::ActionUnavailable => "action_unavailable",
            FailureCode::NotStarted => "not_started",
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
///
/// An action may return one as its error, for control over retries:
///
/// ```
/// use tinpot_core::{Failure, FunctionExecutor};
///
/// let executor = FunctionExecutor::builder().action("pay", |_, ()| async {
///     Err::<(), _>(Failure::new("the account is closed").kind("Closed").permanent())
/// });
/// ```
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
    /// If true, the execution is not retried, even if retries are left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub permanent: bool,
    /// The exit code of the program that failed, if the attempt was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// An error of any type, as `anyhow::Error`, `String` and every error type convert to.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

impl Failure {
    /// Creates a failure of the action itself ([`FailureCode::ActionError`]).
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// Converts an error with its chain of sources: the messages are joined by `: `, and the kind is
    /// the name of the type. A `Failure` stays as it is.
    ///
    /// ```
    /// # use tinpot_core::Failure;
    /// let failure = Failure::from_error("x".parse::<u8>().unwrap_err());
    /// assert_eq!(failure.to_string(), "ParseIntError: invalid digit found in string");
    /// ```
    pub fn from_error<E: Into<Box<dyn StdError + Send + Sync>>>(error: E) -> Self {
        let error = match Into::<BoxError>::into(error).downcast::<Failure>() {
            Ok(failure) => return *failure,
            Err(error) => error,
        };
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            let text = error.to_string();
            // Some errors repeat their source.
            if !message.ends_with(&text) {
                message = format!("{message}: {text}");
            }
            source = error.source();
        }
        Self::new(message).kind(kind_of::<E>())
    }

    /// Marks the failure as permanent: the execution is not retried.
    #[must_use]
    pub fn permanent(mut self) -> Self {
        self.permanent = true;
        self
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

    /// Sets the exit code of the program.
    #[must_use]
    pub fn exit_code(mut self, exit_code: i32) -> Self {
        self.exit_code = Some(exit_code);
        self
    }

    /// Returns the failure as a worker may report it: a code that only the coordinator gives, or
    /// that no report has, is replaced by [`FailureCode::ActionError`].
    pub(crate) fn into_reported(mut self) -> Self {
        if matches!(
            self.code,
            FailureCode::Expired | FailureCode::Poisoned | FailureCode::NotStarted
        ) {
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

impl StdError for Failure {}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

/// Returns the name of an error type: `ParseIntError`, `io::Error`, `anyhow::Error`. Returns an empty
/// name for texts and boxes, which say nothing about the error.
fn kind_of<E>() -> String {
    let name = type_name::<E>();
    if name.contains(['<', '&', '(']) || name == type_name::<String>() {
        return String::new();
    }
    let segments: Vec<&str> = name.split("::").collect();
    match segments[..] {
        ["std" | "core" | "alloc", module, .., "Error"] | [module, .., "Error"] => {
            format!("{module}::Error")
        }
        [.., name] => name.to_owned(),
        [] => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, FailureCode};

    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);

    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("the port is wrong")
        }
    }

    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn an_error_keeps_its_chain_and_its_kind() {
        let failure = Failure::from_error(Outer("x".parse::<u8>().unwrap_err()));
        assert_eq!(failure.message, "the port is wrong: invalid digit found in string");
        assert_eq!(failure.kind, "Outer");
        let io = Failure::from_error(std::io::Error::other("disk"));
        assert_eq!((io.kind.as_str(), io.message.as_str()), ("io::Error", "disk"));
        for text in [Failure::from_error("text"), Failure::from_error("text".to_owned())] {
            assert_eq!((text.kind.as_str(), text.message.as_str()), ("", "text"));
        }
        let own = Failure::new("closed").kind("Closed").permanent();
        assert_eq!(Failure::from_error(own.clone()), own);
    }

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
        assert_eq!((failure.kind.as_str(), failure.exit_code), ("Poisoned", None));
    }

    #[test]
    fn a_code_of_a_later_version_is_unrecognized() {
        let failure: Failure =
            serde_json::from_str(r#"{"code":"new_cause","message":"m"}"#).unwrap();
        assert_eq!(failure.code, FailureCode::Unrecognized);
    }
}
