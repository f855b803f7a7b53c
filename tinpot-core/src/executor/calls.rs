//! Calls of other actions by an attempt.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::SubmitOptions;
use crate::model::fence::{Epoch, Fence};
use crate::model::id::ExecutionId;
use crate::model::json::Json;
use crate::model::log::SpanId;
use crate::model::outcome::Outcome;

/// Calls that wait for the worker.
const CALLS: usize = 64;
/// Updates of one call: accepted, and ended.
const UPDATES: usize = 2;

/// A call of another action, for the worker.
#[derive(Debug)]
#[non_exhaustive]
pub struct CallRequest {
    /// The fence of the calling attempt.
    pub fence: Fence,
    /// The name of the action.
    pub action: Arc<str>,
    /// The parameters of the action.
    pub parameters: Json,
    /// The options of the submission.
    pub options: SubmitOptions,
    /// The step that calls.
    pub span: Option<SpanId>,
    /// If true, the attempt waits for the outcome.
    pub wait: bool,
    /// The sender of the answers: at most two, with room for both. Closed once the attempt does not
    /// wait any more.
    pub updates: mpsc::Sender<CallUpdate>,
}

/// An answer to a call.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallUpdate {
    /// The call is an execution now.
    Accepted(ExecutionId),
    /// The execution has ended. Sent only if the attempt waits.
    Ended(Outcome),
    /// The call was refused.
    Refused(Error),
}

/// The sender of an attempt's calls; cheap to clone.
#[derive(Clone, Debug)]
pub struct CallSender {
    requests: mpsc::Sender<CallRequest>,
    fence: Fence,
    /// The trace context of calls that have none of their own.
    traceparent: Option<Arc<str>>,
}

/// The receiver of calls, for the worker.
pub type CallReceiver = mpsc::Receiver<CallRequest>;

/// An accepted call.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) execution: ExecutionId,
    updates: mpsc::Receiver<CallUpdate>,
}

impl CallSender {
    /// Returns the two ends, for an attempt with the smallest fence.
    pub fn channel() -> (CallSender, CallReceiver) {
        let (requests, receiver) = mpsc::channel(CALLS);
        let fence = Fence { epoch: Epoch { instance: 0, number: 0 }, number: 0 };
        (Self { requests, fence, traceparent: None }, receiver)
    }

    /// Returns a sender for another attempt.
    #[must_use]
    pub fn for_attempt(&self, fence: Fence) -> Self {
        Self { requests: self.requests.clone(), fence, traceparent: None }
    }

    /// Sets the trace context of calls that have none of their own. By default, the coordinator gives
    /// them that of the calling attempt.
    #[must_use]
    pub fn traceparent(mut self, traceparent: Option<Arc<str>>) -> Self {
        self.traceparent = traceparent;
        self
    }

    /// Calls, and waits until the call is accepted.
    pub(crate) async fn ask(
        &self,
        action: &str,
        parameters: Json,
        mut options: SubmitOptions,
        span: Option<SpanId>,
        wait: bool,
    ) -> Result<Child> {
        if options.traceparent.is_none() {
            options.traceparent = self.traceparent.as_deref().map(str::to_owned);
        }
        let (updates, mut answers) = mpsc::channel(UPDATES);
        let action = action.into();
        let fence = self.fence;
        let request = CallRequest { fence, action, parameters, options, span, wait, updates };
        self.requests.send(request).await.map_err(|_| over())?;
        match answers.recv().await {
            Some(CallUpdate::Accepted(execution)) => Ok(Child { execution, updates: answers }),
            Some(CallUpdate::Refused(error)) => Err(error),
            Some(CallUpdate::Ended(_)) | None => Err(over()),
        }
    }
}

impl Child {
    pub(crate) async fn outcome(&mut self) -> Result<Outcome> {
        match self.updates.recv().await {
            Some(CallUpdate::Ended(outcome)) => Ok(outcome),
            Some(CallUpdate::Refused(error)) => Err(error),
            Some(CallUpdate::Accepted(_)) | None => Err(over()),
        }
    }
}

fn over() -> Error {
    Error::new(ErrorKind::Closed, "the attempt has ended")
}
