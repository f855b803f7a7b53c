//! The requests, replies and outputs between the core of the coordinator and its shells.

use std::sync::Arc;

use crate::model::address::Address;
use crate::model::error::{Error, Result};
use crate::model::execution::Execution;
use crate::model::fence::{Epoch, Fence};
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::page::QueuePage;
use crate::model::transition::Transition;
use crate::protocol::{
    CancelOutcome, Cascade, Message, PendingCall, PendingSecret, Read, SecretState,
};
use crate::refusals::Refusal;

/// Identifies a request, for its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(pub(crate) u32);

/// The reply to a submission that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    New,
    /// Its idempotency key is that of an execution that was accepted just before.
    Before(ExecutionId),
    /// Its idempotency key may have been accepted since it was looked up in the store.
    LookAgain,
}

/// The reply to a request.
#[derive(Debug)]
pub(crate) enum Response {
    Submitted(Accepted),
    /// The submission was refused. `withdrawn` is its execution if it was accepted in memory, and
    /// could not be committed.
    Refused {
        withdrawn: Option<ExecutionId>,
        error: Error,
    },
    Cancelled(Result<CancelOutcome>),
    /// A queue was paused or resumed, or a worker was asked to drain.
    Done(Result<()>),
}

/// Something for the shell to do.
#[derive(Debug)]
pub(crate) enum Output {
    /// An attempt was granted: its lines may arrive as soon as its dispatch is sent.
    Granted {
        execution: ExecutionId,
        fence: Fence,
        attempt: u32,
        worker: WorkerId,
        /// The team of the execution; `None` if the execution has ended already.
        team: Option<Arc<str>>,
    },
    /// A message was not taken.
    Refused {
        from: WorkerId,
        reason: Refusal,
        detail: String,
    },
    Send(Address, Message),
    /// The log of an attempt ends with this line; `None` means with the last line that arrived.
    LogEnds {
        execution: ExecutionId,
        fence: Fence,
        last_seq: Option<u64>,
    },
    /// A transition is committed.
    Committed(Transition),
    Reply(Ticket, Response),
    Read(Read),
}

/// The execution that a call asks for, and the one that was accepted before with the same key.
#[derive(Debug)]
pub(crate) struct CallFound {
    pub(crate) execution: Execution,
    pub(crate) earlier: Option<Arc<Execution>>,
}

/// The answer to [`Read::Call`].
#[derive(Debug)]
pub(crate) struct CallAnswer {
    pub(crate) call: PendingCall,
    /// The number of commits when the read began.
    pub(crate) commits: u64,
    pub(crate) found: Result<CallFound>,
}

/// The answer to a [`Read`].
#[derive(Debug)]
pub(crate) enum Answer {
    Call(Box<CallAnswer>),
    Outcome(ExecutionId, Option<Arc<Execution>>),
    Secret(Box<PendingSecret>, SecretState),
    Children(Cascade, Vec<Arc<Execution>>),
    /// The epoch of the latest session of the store; `None` if it cannot be read now.
    Epoch(Option<Epoch>),
}

/// The request to cancel an execution.
#[derive(Clone, Debug)]
pub(crate) struct RequestedCancel {
    /// The name of the requester, if it is known.
    pub(crate) by: Option<Arc<str>>,
    pub(crate) force: bool,
}

/// The next step of a turn.
#[derive(Debug)]
pub(crate) enum Step {
    /// Commit the batch, then call `Core::committed` or `Core::hold`.
    Commit,
    /// Read this execution, then call `Core::found`.
    Find(ExecutionId),
    /// Read this page, then call `Core::loaded` or `Core::not_loaded`.
    Load(QueuePage),
    /// Wait for an input or for the time to wake up.
    Rest,
}
