//! Calls: the requests of attempts to run other actions as executions of their own.

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

/// Worker → coordinator: asks for an execution of an action. Resent until it is answered. Fence and
/// number identify the call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The attempt that calls.
    pub fence: Fence,
    /// The number of the call within the attempt, from 1.
    pub number: u64,
    /// The name of the action.
    pub action: Arc<str>,
    /// Its parameters, a JSON object.
    pub parameters: Json,
    /// The other options of the submission.
    #[serde(default, skip_serializing_if = "is_default")]
    pub options: SubmitOptions,
    /// The step that calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<SpanId>,
    /// If true, the attempt waits for the child to end. Until then the attempt takes no slot, and
    /// the child ends with it.
    #[serde(default)]
    pub wait: bool,
}

/// The identity of a call: the attempt that calls, and the number of the call within the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    /// The attempt that calls.
    pub fence: Fence,
    /// The number of the call, from 1.
    pub number: u64,
}

impl fmt::Display for CallId {
    /// Writes the idempotency key of a call that has none of its own. The keys that submitters
    /// choose begin differently, see [`Owner`](crate::Owner).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c/{}/{}", self.fence, self.number)
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

/// Coordinator → worker: the state of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Called {
    /// The epoch of the coordinator that answers.
    pub epoch: Epoch,
    /// The attempt that called.
    pub fence: Fence,
    /// The number of the call.
    pub number: u64,
    /// The state of the call.
    pub state: CallState,
}

/// The state of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// The execution was accepted.
    Accepted {
        /// The execution.
        execution: ExecutionId,
    },
    /// The execution has ended.
    Ended {
        /// The execution.
        execution: ExecutionId,
        /// The outcome of the execution.
        outcome: Outcome,
    },
    /// The call was refused: there will be no execution.
    Refused {
        /// The kind of the error.
        kind: ErrorKind,
        /// The message of the error.
        message: String,
    },
}
