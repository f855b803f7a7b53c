//! The requests of handles to the control loop.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::core::{Accepted, RequestedCancel};
use crate::model::action::Action;
use crate::model::digest::Digest;
use crate::model::error::Result;
use crate::model::execution::Execution;
use crate::model::fence::Fence;
use crate::model::id::{ExecutionId, WorkerId};
use crate::protocol::{CancelOutcome, QueueInfo, WorkerInfo};

/// A request to the control loop, with the sender for its reply.
#[derive(Debug)]
pub(super) enum Command {
    /// See [`Core::submit`](super::core::Core::submit).
    Submit {
        execution: Arc<Execution>,
        commits: u64,
        removed: Option<ExecutionId>,
        reply: oneshot::Sender<Result<Accepted>>,
    },
    Cancel {
        id: ExecutionId,
        requested: RequestedCancel,
        reply: oneshot::Sender<Result<CancelOutcome>>,
    },
    SetPaused {
        queue: String,
        paused: bool,
        reply: oneshot::Sender<Result<()>>,
    },
    Deploy {
        actions: Vec<Arc<Action>>,
        reply: oneshot::Sender<Result<()>>,
    },
    RemoveBundles {
        bundles: BTreeSet<Digest>,
        reply: oneshot::Sender<()>,
    },
    Drain {
        worker: WorkerId,
        reply: oneshot::Sender<Result<()>>,
    },
    Workers(oneshot::Sender<Vec<WorkerInfo>>),
    WaitsFor {
        id: ExecutionId,
        reply: oneshot::Sender<Option<String>>,
    },
    /// Asks for the execution of a live attempt.
    ExecutionOf {
        fence: Fence,
        reply: oneshot::Sender<Option<Arc<Execution>>>,
    },
    Queues(oneshot::Sender<Vec<QueueInfo>>),
    /// Passes the present state to the observer.
    Measure(oneshot::Sender<()>),
    Shutdown(oneshot::Sender<()>),
}
