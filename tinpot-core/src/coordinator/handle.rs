//! A caller's handle on one execution.

use std::sync::Arc;

use futures::stream::BoxStream;
use serde::de::DeserializeOwned;

use super::events::{Event, events};
use super::watch_registry::Live;
use super::{Coordinator, ErrorKind};
use crate::model::error::{Error, Result};
use crate::model::execution::Execution;
use crate::model::id::ExecutionId;
use crate::model::outcome::Outcome;
use crate::model::status::Status;
use crate::protocol::CancelOutcome;

/// A handle to an execution, which waits for it, watches it and cancels it.
///
/// Dropping the handle does not affect the execution.
///
/// ```
/// # use std::time::Duration;
/// # use futures::StreamExt;
/// # use tinpot_core::{Event, Failure, FunctionExecutor, Status, local};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let executor = FunctionExecutor::builder()
/// #     .action("tick", |_, ()| async { Ok::<_, Failure>("tock") })
/// #     .build()?;
/// # let tinpot = local(executor).await?;
/// let execution = tinpot.submit("tick", ()).await?;
/// let mut events = execution.events(0);
/// while let Some(event) = events.next().await {
///     if let Event::Finished(outcome) = event {
///         assert_eq!(outcome.status(), Status::Succeeded);
///     }
/// }
/// # tinpot.shutdown(Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ExecutionHandle {
    coordinator: Coordinator,
    id: ExecutionId,
    live: Arc<Live>,
}

impl ExecutionHandle {
    pub(super) fn new(coordinator: Coordinator, id: ExecutionId, live: Arc<Live>) -> Self {
        Self { coordinator, id, live }
    }

    /// Returns the id of the execution.
    pub fn id(&self) -> ExecutionId {
        self.id
    }

    /// Returns the current status.
    pub fn status(&self) -> Status {
        self.live.state.borrow().status
    }

    /// Waits for the end of the execution. Any number of callers may wait, at any time. The last
    /// log lines may arrive later: [`events`](Self::events) ends after them.
    ///
    /// # Errors
    /// `Closed` if the coordinator shuts down first.
    pub async fn outcome(&self) -> Result<Outcome> {
        let mut state = self.live.state.subscribe();
        let closed = || Error::new(ErrorKind::Closed, "the coordinator has shut down");
        let ended = state.wait_for(|state| state.outcome.is_some() || state.refused);
        let state = tokio::select! {
            biased;
            state = ended => state.map_err(|_| closed())?.outcome.clone(),
            () = self.coordinator.commands.closed() => None,
        };
        state.ok_or_else(closed)
    }

    /// Waits for the end of the execution, and deserialises its result.
    ///
    /// # Errors
    /// `Unsuccessful` if the execution did not succeed: [`Error::outcome`] has the outcome;
    /// `InvalidInput` if the result is not an `R`; `Closed` if the coordinator shuts down first.
    pub async fn result<R: DeserializeOwned>(&self) -> Result<R> {
        self.outcome().await?.into_result()?.deserialize().map_err(|error| {
            error.with_context(format_args!("the result is not a {}", std::any::type_name::<R>()))
        })
    }

    /// Returns a stream of events: first the status, then log lines numbered above `after`,
    /// progress and changes of status as they come, and [`Event::Finished`] at last, after the
    /// whole log. Any number of callers may watch, at any time, each at its own pace.
    pub fn events(&self, after: u64) -> BoxStream<'static, Event> {
        events(self.coordinator.clone(), self.live.clone(), after)
    }

    /// Cancels the execution, as [`Coordinator::cancel`] does.
    ///
    /// # Errors
    /// The errors of [`Coordinator::cancel`].
    pub async fn cancel(&self, force: bool) -> Result<CancelOutcome> {
        self.coordinator.cancel(self.id, force).await
    }

    /// Returns the execution as it is recorded.
    ///
    /// # Errors
    /// `NotFound` if the execution was removed; the errors of the store.
    pub async fn execution(&self) -> Result<Arc<Execution>> {
        let execution = self.coordinator.execution(self.id).await?;
        execution.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("execution {} not found", self.id))
        })
    }
}
