//! The one error type of the SDK.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::violation::{Violation, Violations};

/// The kind of an error, coarse enough to act on.
///
/// In JSON it is its name in snake case, such as `not_found`. An unknown name is read as `other`.
/// The names that earlier versions wrote (`NotFound`) are read too.
///
/// ```
/// use tinpot_core::{ErrorKind, FunctionExecutor, local};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let tinpot = local(FunctionExecutor::builder().build()?).await?;
///
/// let error = tinpot.submit("deploy", ()).await.unwrap_err();
/// let status = match error.kind() {
///     ErrorKind::NotFound => 404,
///     ErrorKind::InvalidInput | ErrorKind::InvalidParameters => 400,
///     _ if error.is_retryable() => 503,
///     _ => 500,
/// };
/// assert_eq!(status, 404);
/// # tinpot.shutdown(std::time::Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller passed something that can never work: an invalid name, option or configuration.
    #[serde(alias = "InvalidInput")]
    InvalidInput,
    /// The parameters do not match the action's schema; the message names each violation.
    #[serde(alias = "InvalidParameters")]
    InvalidParameters,
    /// The action, execution or queue does not exist.
    #[serde(alias = "NotFound")]
    NotFound,
    /// The caller may see the object, but is not allowed to do this.
    Forbidden,
    /// The current state forbids it, such as cancelling an execution that has ended.
    #[serde(alias = "Conflict")]
    Conflict,
    /// A bound of a queue or buffer was reached. Trying again later may work.
    #[serde(alias = "Overloaded")]
    Overloaded,
    /// The other side cannot be reached now, such as while the transport is down.
    #[serde(alias = "Unavailable")]
    Unavailable,
    /// The operation took too long.
    #[serde(alias = "TimedOut")]
    TimedOut,
    /// The store cannot write now, such as on a full disk. Nothing was recorded.
    #[serde(alias = "StorageFull")]
    StorageFull,
    /// The component was shut down.
    #[serde(alias = "Closed")]
    Closed,
    /// The peer broke the protocol, or stored data cannot be read.
    #[serde(alias = "Malformed")]
    Malformed,
    /// The execution that was waited for ended without success; [`Error::outcome`] has its outcome.
    Unsuccessful,
    /// Any other error. The source says more.
    #[serde(other)]
    Other,
}

impl ErrorKind {
    fn as_str(self) -> &'static str {
        match self {
            ErrorKind::InvalidInput => "invalid input",
            ErrorKind::InvalidParameters => "invalid parameters",
            ErrorKind::NotFound => "not found",
            ErrorKind::Forbidden => "forbidden",
            ErrorKind::Conflict => "conflict",
            ErrorKind::Overloaded => "overloaded",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::TimedOut => "timed out",
            ErrorKind::StorageFull => "storage full",
            ErrorKind::Closed => "closed",
            ErrorKind::Malformed => "malformed",
            ErrorKind::Unsuccessful => "unsuccessful",
            ErrorKind::Other => "error",
        }
    }
}

/// The error of every fallible operation in the workspace.
///
/// An action that fails is not an error but an [`Outcome`](crate::Outcome), until a caller asks for its result.
/// `Display` never repeats the source; walk [`source()`](StdError::source) for the chain.
///
/// [`ErrorKind`] has an example of a caller that handles one.
///
/// ```
/// use tinpot_core::{Error, ErrorKind};
///
/// // The error of a transport of your own.
/// let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
/// let error = Error::new(ErrorKind::Unavailable, "the broker does not answer")
///     .with_source(refused)
///     .with_context("publish");
/// assert_eq!(error.to_string(), "publish: the broker does not answer");
/// assert!(error.is_retryable());
/// ```
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync + 'static>>,
    violations: Vec<Violation>,
    /// An [`Outcome`](crate::Outcome). Its type stays unknown here: outcomes hold JSON, and reading
    /// JSON makes errors.
    outcome: Option<Box<dyn Any + Send + Sync>>,
}

/// `Result` with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Creates an error.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None, violations: Vec::new(), outcome: None }
    }

    /// Creates an error that names every violation of `document`, after a `context`.
    pub(crate) fn of_violations(
        kind: ErrorKind,
        context: &str,
        document: &str,
        violations: Violations,
    ) -> Self {
        let (text, violations) = violations.into_parts(document);
        Self::new(kind, format!("{context}{text}")).with_violations(violations)
    }

    /// Attaches the error that caused this one.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn StdError + Send + Sync + 'static>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Attaches the outcome of the execution that ended without success.
    pub(super) fn with_outcome(mut self, outcome: impl Any + Send + Sync) -> Self {
        self.outcome = Some(Box::new(outcome));
        self
    }

    /// Returns what [`with_outcome`](Self::with_outcome) attached, if it is of type `T`.
    pub(super) fn attached_outcome<T: 'static>(&self) -> Option<&T> {
        self.outcome.as_ref()?.downcast_ref()
    }

    /// Attaches the invalid values. The message should name them as well.
    #[must_use]
    pub fn with_violations(mut self, violations: Vec<Violation>) -> Self {
        self.violations = violations;
        self
    }

    /// Puts `context` in front of the message: the operation that failed.
    #[must_use]
    pub fn with_context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the message, without kind and source.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the invalid values of parameters, or of a document with numbers that JSON does not
    /// have: the first 50 of them.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Returns true if the same call may succeed later without any change by the caller.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Overloaded
                | ErrorKind::Unavailable
                | ErrorKind::TimedOut
                | ErrorKind::StorageFull
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            f.write_str(self.kind.as_str())
        } else {
            f.write_str(&self.message)
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Error");
        debug.field("kind", &self.kind).field("message", &self.message);
        if let Some(source) = &self.source {
            debug.field("source", source);
        }
        debug.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}
