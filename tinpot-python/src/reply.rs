//! What the Python side says about an attempt that has ended.

use serde::Deserialize;
use serde_json::value::RawValue;
use tinpot_core::{Failure, FailureCode, Json, Outcome};

/// How an attempt ended, in the words of the interpreter.
#[derive(Debug, Deserialize)]
pub(crate) struct Reply {
    /// The value.
    #[serde(default, deserialize_with = "some_raw")]
    pub(crate) ok: Option<Box<RawValue>>,
    pub(crate) failed: Option<Failure>,
    /// It ended because it was asked to.
    #[serde(default)]
    pub(crate) cancelled: bool,
    /// It never ran: the interpreter had been asked to end before.
    #[serde(default)]
    pub(crate) refused: bool,
    /// Processes or threads were left behind: the interpreter must not be used again.
    #[serde(default)]
    pub(crate) left: bool,
}

/// `null` is a value here, not an absence.
fn some_raw<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

impl Reply {
    /// The outcome, for an attempt that nobody here asked to end.
    pub(crate) fn outcome(self) -> Outcome {
        match self {
            Reply { ok: Some(value), .. } => Outcome::Succeeded(Json::from(value)),
            Reply { failed: Some(failure), .. } => Outcome::Failed(failure),
            Reply { cancelled: true, .. } => Outcome::Failed(
                Failure::new("somebody else asked the interpreter to end")
                    .code(FailureCode::Interrupted)
                    .kind("Cancelled"),
            ),
            _ => Outcome::failed("the interpreter's reply says nothing"),
        }
    }
}
