//! How an attempt has another action run, as an execution of its own.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::error::{Error, ErrorKind};
use crate::model::execution::SubmitOptions;
use crate::model::fence::{Epoch, Fence};
use crate::model::id::ExecutionId;
use crate::model::json::Json;
use crate::model::log::SpanId;
use crate::model::outcome::Outcome;

/// Worker → coordinator: have that action run. Sent again until it is answered; by fence and number it is one and the same call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The attempt that asks.
    pub fence: Fence,
    /// Counts the calls of the attempt, from 1.
    pub number: u64,
    /// The name of the action.
    pub action: Arc<str>,
    /// Its parameters, a JSON object.
    pub parameters: Json,
    /// What the attempt asks for beyond that.
    #[serde(default, skip_serializing_if = "is_default")]
    pub options: SubmitOptions,
    /// The step that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<SpanId>,
    /// Whether the attempt waits for its end. Until then the attempt takes no slot, and the child ends with it.
    #[serde(default)]
    pub wait: bool,
}

/// Identifies a call: the attempt that calls, and the number of the call within the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    /// The attempt that calls.
    pub fence: Fence,
    /// The number of the call, from 1.
    pub number: u64,
}

impl fmt::Display for CallId {
    /// Writes the idempotency key of a call that has none of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {} {}", self.fence, self.number)
    }
}

impl Call {
    /// Returns the identity of the call.
    pub fn id(&self) -> CallId {
        CallId { fence: self.fence, number: self.number }
    }
}

impl Called {
    /// Returns the identity of the call that is answered.
    pub fn id(&self) -> CallId {
        CallId { fence: self.fence, number: self.number }
    }
}

impl CallState {
    /// Returns the answer to a call that is refused.
    pub fn refused(error: &Error) -> Self {
        CallState::Refused { kind: error.kind(), message: error.to_string() }
    }
}

fn is_default(options: &SubmitOptions) -> bool {
    *options == SubmitOptions::default()
}

/// Coordinator → worker: what has become of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Called {
    /// The life of the coordinator that says so.
    pub epoch: Epoch,
    /// The attempt that asked.
    pub fence: Fence,
    /// The number of the call.
    pub number: u64,
    /// What.
    pub state: CallState,
}

/// What has become of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// It is an execution now.
    Accepted {
        /// Which.
        execution: ExecutionId,
    },
    /// That execution has ended.
    Ended {
        /// Which.
        execution: ExecutionId,
        /// How.
        outcome: Outcome,
    },
    /// It will never be one.
    Refused {
        /// The kind of the error.
        kind: ErrorKind,
        /// What is wrong.
        message: String,
    },
}
