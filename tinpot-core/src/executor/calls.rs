//! How an attempt asks for other actions to be run.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::SubmitOptions;
use crate::model::fence::{Epoch, Fence};
use crate::model::id::ExecutionId;
use crate::model::json::Json;
use crate::model::log::SpanId;
use crate::model::outcome::Outcome;

/// Calls that have not been taken by the worker yet.
const CALLS: usize = 64;
/// What a call can be told: that it is accepted, and how it ended.
const UPDATES: usize = 2;

/// A call of another action, for whoever can have it run.
#[derive(Debug)]
#[non_exhaustive]
pub struct CallRequest {
    /// The attempt that asks.
    pub fence: Fence,
    /// The name of the action.
    pub action: Arc<str>,
    /// Its parameters.
    pub parameters: Json,
    /// What is asked for beyond that.
    pub options: SubmitOptions,
    /// The step that asks.
    pub span: Option<SpanId>,
    /// Whether the attempt waits for the end.
    pub wait: bool,
    /// Takes the answers: at most two, and there is room for both. Nobody waits any more when it is closed.
    pub updates: mpsc::Sender<CallUpdate>,
}

/// What has become of a call.
#[derive(Debug)]
pub enum CallUpdate {
    /// It is an execution now.
    Accepted(ExecutionId),
    /// That execution has ended; told only to those that wait.
    Ended(Outcome),
    /// It will never be one.
    Refused(Error),
}

/// Where an attempt's calls go; cheap to clone.
#[derive(Clone, Debug)]
pub struct CallSender {
    requests: mpsc::Sender<CallRequest>,
    fence: Fence,
}

/// Calls, for the worker.
pub type CallReceiver = mpsc::Receiver<CallRequest>;

/// A call that was accepted.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) execution: ExecutionId,
    updates: mpsc::Receiver<CallUpdate>,
}

impl CallSender {
    /// The two ends, for an attempt with the first fence of all.
    pub fn channel() -> (CallSender, CallReceiver) {
        let (requests, receiver) = mpsc::channel(CALLS);
        let fence = Fence { epoch: Epoch { instance: 0, number: 0 }, number: 0 };
        (Self { requests, fence }, receiver)
    }

    /// The same for another attempt.
    #[must_use]
    pub fn for_attempt(&self, fence: Fence) -> Self {
        Self { requests: self.requests.clone(), fence }
    }

    /// Asks, and waits until the call is accepted.
    pub(crate) async fn ask(
        &self,
        action: &str,
        parameters: Json,
        options: SubmitOptions,
        span: Option<SpanId>,
        wait: bool,
    ) -> Result<Child> {
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
    Error::new(ErrorKind::Closed, "the attempt is over")
}
