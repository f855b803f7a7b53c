//! The reads from the store that the machine asks for.

use std::sync::Arc;

use crate::model::execution::{Execution, Owner, Parent, SubmitOptions};
use crate::model::fence::Fence;
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::json::Json;
use crate::model::page::ListOptions;
use crate::model::status::Status;
use crate::protocol::call::CallId;

/// A read from the store that the machine needs to continue.
///
/// The reads of an effect list may start once everything before them is committed, and may run
/// concurrently.
#[derive(Clone, Debug, PartialEq)]
pub enum Read {
    /// The execution that was accepted with the idempotency key of a call.
    Call(Box<PendingCall>),
    /// An execution that an attempt waits for and that is not in memory: it may have ended.
    /// Answered by [`outcome_read`](super::CoordinatorMachine::outcome_read).
    Outcome(ExecutionId),
    /// The epoch of the latest session of the store: a worker claims that it is later than this
    /// one. The shell stops if it is; the machine needs no answer.
    Epoch,
    /// A secret for an attempt. Answered by
    /// [`secret_read`](super::CoordinatorMachine::secret_read).
    Secret(Box<PendingSecret>),
    /// A page of the children of an execution, newest first, without those that have ended.
    /// Answered by [`children_read`](super::CoordinatorMachine::children_read).
    Children(Cascade),
}

/// A call that waits for [`Read::Call`].
#[derive(Clone, Debug, PartialEq)]
pub struct PendingCall {
    /// The call.
    pub id: CallId,
    /// The name of the action.
    pub action: Arc<str>,
    /// Its parameters.
    pub parameters: Json,
    /// The options of the submission.
    pub options: SubmitOptions,
    /// The calling execution.
    pub parent: Parent,
    /// The action of the calling execution.
    pub by: Arc<str>,
    /// The owner of the calling execution, who owns the called one, too.
    pub owner: Owner,
    /// The execution that was accepted with the same key a moment ago: read it instead of looking
    /// up the key.
    pub known: Option<ExecutionId>,
}

/// A request for a secret that waits for [`Read::Secret`].
#[derive(Clone, Debug, PartialEq)]
pub struct PendingSecret {
    /// The worker that asks, which holds the attempt.
    pub worker: WorkerId,
    /// The attempt.
    pub fence: Fence,
    /// The name of the secret.
    pub name: Arc<str>,
    /// The execution of the attempt.
    pub execution: Arc<Execution>,
}

/// A cancel that passes from an execution to its children, page by page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cascade {
    /// The execution whose children are cancelled.
    pub parent: ExecutionId,
    /// Only the children that this attempt waits for; `None` means all children.
    pub awaited_by: Option<Fence>,
    /// If true, the children get no grace period.
    pub force: bool,
    /// The last child of the page before.
    pub before: Option<ExecutionId>,
}

impl Cascade {
    /// The number of children that are read at once.
    pub(super) const PAGE: usize = 200;

    /// Returns which executions to read.
    pub fn options(&self) -> ListOptions {
        ListOptions {
            statuses: vec![Status::Queued, Status::Running, Status::Cancelling],
            parent: Some(self.parent),
            before: self.before,
            limit: Self::PAGE,
            ..ListOptions::default()
        }
    }
}
