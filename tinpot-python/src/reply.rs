//! The reply of an interpreter to an attempt.

use serde::Deserialize;
use serde_json::value::RawValue;
use tinpot_core::{Failure, FailureCode, Json, Outcome};

/// The end of an attempt.
#[derive(Debug, Deserialize)]
pub(crate) struct Reply {
    /// The result.
    #[serde(default, deserialize_with = "some_raw")]
    pub(crate) ok: Option<Box<RawValue>>,
    pub(crate) failed: Option<Failure>,
    /// If true, the attempt ended because it was asked to end.
    #[serde(default)]
    pub(crate) cancelled: bool,
    /// If true, `sys.exit` ended the attempt with success.
    #[serde(default)]
    pub(crate) exited: bool,
    /// The wait status of the copy of the interpreter in which the attempt ran, if it did not
    /// reply.
    pub(crate) died: Option<i32>,
    /// If true, the attempt did not run: the interpreter had been asked to end before.
    #[serde(default)]
    pub(crate) refused: bool,
    /// If true, the attempt did not run: the copy of the interpreter for it hung before.
    #[serde(default)]
    pub(crate) hung: bool,
    /// If true, processes or threads were left behind: the interpreter must not be used again.
    #[serde(default)]
    pub(crate) left: bool,
}

/// Reads `null` as a value, which `Option` would read as an absence.
fn some_raw<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

impl Reply {
    /// Returns the outcome of an attempt that was asked to end.
    ///
    /// Only a result shows that the action came to its end: every exception, and an exit, is taken
    /// for its way to stop. An action with a handler of SIGTERM of its own stops by these.
    pub(crate) fn outcome_after_stop(self) -> Outcome {
        match self {
            Reply { ok: Some(value), exited: false, .. } => Outcome::Succeeded(Json::from(value)),
            _ => Outcome::Cancelled,
        }
    }

    /// Returns the outcome of an attempt that this process did not ask to end.
    pub(crate) fn outcome(self) -> Outcome {
        match self {
            Reply { ok: Some(value), .. } => Outcome::Succeeded(Json::from(value)),
            // Its code ran, whatever the interpreter says.
            Reply { failed: Some(failure), .. } if failure.code == FailureCode::NotStarted => {
                Outcome::Failed(failure.code(FailureCode::ActionError))
            }
            Reply { failed: Some(failure), .. } => Outcome::Failed(failure),
            Reply { cancelled: true, .. } => Outcome::Failed(
                Failure::new(
                    "the interpreter was terminated by a signal from outside of the worker",
                )
                .code(FailureCode::Interrupted)
                .kind("Cancelled"),
            ),
            _ => Outcome::failed("the interpreter sent an empty reply"),
        }
    }
}
