//! The replacement of a worker's key while the worker runs.

use serde::{Deserialize, Serialize};

/// Worker → coordinator, in a session only: asks to enrol another key in place of the one of the
/// session. Resent until it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotate {
    /// The public key that is to be enrolled: 64 hexadecimal digits.
    pub key: String,
    /// The signature of that key, which proves that the worker has it: 128 hexadecimal digits.
    pub proof: String,
}

/// Coordinator → worker, in a session only: asks the worker to replace its key. Repeated until it has,
/// or until it ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplaceKey {
    /// The id of the key that is to be replaced.
    pub key: String,
}

/// Coordinator → worker, in a session only: the answer to a [`Rotate`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotated {
    /// The key that the worker has asked for.
    pub key: String,
    /// The reason why it is not enrolled; `None` if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}
