//! Outcomes as results, for callers that want the result of an execution or an error.

use super::error::{Error, ErrorKind, Result};
use super::json::Json;
use super::outcome::Outcome;

impl Error {
    /// Creates the error of a caller that asked for the result of an execution without one.
    pub(crate) fn unsuccessful(outcome: Outcome) -> Self {
        let message = outcome.error().unwrap_or_default();
        Self::new(ErrorKind::Unsuccessful, message).with_outcome(outcome)
    }

    /// Returns the outcome of the execution that ended without success.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.attached_outcome()
    }
}

impl Outcome {
    /// Returns the result of a success, and any other outcome as an error.
    ///
    /// ```
    /// use tinpot_core::{ErrorKind, Failure, Outcome};
    ///
    /// let error = Outcome::Failed(Failure::new("out of paper")).into_result().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Unsuccessful);
    /// assert_eq!(error.to_string(), "out of paper");
    /// assert_eq!(error.outcome().and_then(Outcome::failure).unwrap().message, "out of paper");
    /// ```
    ///
    /// # Errors
    /// [`Unsuccessful`](crate::ErrorKind::Unsuccessful); [`Error::outcome`] has the outcome.
    pub fn into_result(self) -> Result<Json> {
        match self {
            Outcome::Succeeded(value) => Ok(value),
            outcome => Err(Error::unsuccessful(outcome)),
        }
    }
}
