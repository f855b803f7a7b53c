//! The status of an execution.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::{Error, ErrorKind};

/// The status of an execution. A terminal status never changes.
///
/// ```
/// use tinpot_core::{ListOptions, Status};
///
/// let unfinished = Status::ALL.into_iter().filter(|status| !status.is_terminal());
/// let names: Vec<_> = unfinished.clone().map(Status::as_str).collect();
/// assert_eq!(names, ["queued", "running", "cancelling"]);
///
/// let list = ListOptions::new().statuses(unfinished);
/// assert!(list.statuses.contains(&"running".parse()?));
/// # Ok::<_, tinpot_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// Accepted; waits for a worker or for its next attempt.
    Queued,
    /// An attempt is running.
    Running,
    /// A request to cancel was accepted; the attempt may still be alive.
    Cancelling,
    /// The action returned a result.
    Succeeded,
    /// The action failed, or the execution expired before it started.
    Failed,
    /// The execution was cancelled, and nothing of it is alive.
    Cancelled,
    /// An attempt exceeded its timeout.
    TimedOut,
    /// The worker went silent, so the outcome is unknown.
    Lost,
}

impl Status {
    /// Every status, in the order in which an execution can reach them.
    pub const ALL: [Status; 8] = [
        Status::Queued,
        Status::Running,
        Status::Cancelling,
        Status::Succeeded,
        Status::Failed,
        Status::Cancelled,
        Status::TimedOut,
        Status::Lost,
    ];

    /// Returns true if the status can no longer change.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Status::Queued | Status::Running | Status::Cancelling)
    }

    /// Returns the stable name: `queued`, `timed_out`, ….
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Queued => "queued",
            Status::Running => "running",
            Status::Cancelling => "cancelling",
            Status::Succeeded => "succeeded",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
            Status::TimedOut => "timed_out",
            Status::Lost => "lost",
        }
    }
}

impl FromStr for Status {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(Status::as_str).join(", ");
            let message = format!("status must be one of {names} (got {text:?})");
            Error::new(ErrorKind::InvalidInput, message)
        })
    }
}
