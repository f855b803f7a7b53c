//! Secrets that attempts ask for while they run.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::error::{Error, ErrorKind};
use crate::model::fence::{Epoch, Fence};
use crate::model::secret::GivenSecret;

/// Worker → coordinator: asks for a secret of the attempt's team. Resent until it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretGet {
    /// The attempt that asks.
    pub fence: Fence,
    /// The name of the secret.
    pub name: Arc<str>,
}

/// Coordinator → worker: the answer to a [`SecretGet`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretAnswer {
    /// The epoch of the coordinator that answers.
    pub epoch: Epoch,
    /// The attempt that asked.
    pub fence: Fence,
    /// The name of the secret.
    pub name: Arc<str>,
    /// The secret, or the reason for which there is none.
    pub state: SecretState,
}

/// The secret that an attempt has asked for, or the reason for which there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretState {
    /// The secret.
    Given(GivenSecret),
    /// The attempt does not get it.
    Refused {
        /// The kind of the error.
        kind: ErrorKind,
        /// The message of the error.
        message: String,
    },
}

impl SecretState {
    /// Returns the answer to a worker whose attempt does not get a secret.
    pub fn refused(error: &Error) -> Self {
        SecretState::Refused { kind: error.kind(), message: error.to_string() }
    }
}
