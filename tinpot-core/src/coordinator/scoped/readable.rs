//! An execution that a caller has opened for reading.

use std::sync::Arc;

use futures::stream::BoxStream;

use super::Sight;
use crate::coordinator::{Coordinator, Event, unknown_execution};
use crate::model::error::Result;
use crate::model::execution::Execution;
use crate::model::id::ExecutionId;
use crate::model::log::{Artifact, LogChunk, LogEvent};
use crate::model::status::Status;

/// An execution that a caller may read, with its log.
///
/// Reads end with `NotFound` once the caller may not read the execution any more. Streams do not
/// end by themselves: watch [`Sight::lost`].
///
/// ```
/// # use tinpot_core::{Failure, FunctionExecutor, local};
/// use tinpot_core::{Caller, Json, SubmitOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let executor = FunctionExecutor::builder()
/// #     .action("tick", |_, ()| async { Ok::<_, Failure>("tock") })
/// #     .build()?;
/// # let tinpot = local(executor).await?;
/// let ada = tinpot.scoped(Caller::new("user:7").name("Ada"));
/// let id = ada.submit("tick", Json::empty_object(), SubmitOptions::new()).await?.id();
///
/// let opened = ada.execution(id).await?;
/// assert_eq!(opened.execution.requested_by.as_deref(), Some("Ada"));
/// let others = tinpot.scoped(Caller::new("user:8").team("billing"));
/// assert!(others.execution(id).await.is_err() && !others.sight().shows(&opened.execution));
/// # tinpot.shutdown(std::time::Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Readable {
    coordinator: Coordinator,
    sight: Sight,
    /// The record, as it was when the execution was opened.
    pub execution: Arc<Execution>,
}

impl Readable {
    pub(super) fn new(coordinator: Coordinator, sight: Sight, execution: Arc<Execution>) -> Self {
        Self { coordinator, sight, execution }
    }

    /// Returns the id of the execution.
    pub fn id(&self) -> ExecutionId {
        self.execution.id
    }

    /// Returns the executions that the caller may read, kept up to date.
    pub fn sight(&self) -> &Sight {
        &self.sight
    }

    /// Returns what the execution waits for, as [`Coordinator::waits_for`] does. `None` once it does
    /// not wait.
    ///
    /// # Errors
    /// `Closed` after the shutdown.
    pub async fn waits_for(&self) -> Result<Option<String>> {
        match self.execution.status {
            Status::Queued => self.coordinator.waits_for(self.id()).await,
            _ => Ok(None),
        }
    }

    /// Returns log chunks, as [`Coordinator::logs`] does.
    ///
    /// # Errors
    /// `NotFound` if the execution is hidden now; the errors of the store.
    pub async fn logs(&self, after: u64, max_bytes: usize) -> Result<Vec<Arc<LogChunk>>> {
        self.check()?;
        self.coordinator.logs(self.id(), after, max_bytes).await
    }

    fn check(&self) -> Result<()> {
        if self.sight.shows(&self.execution) {
            return Ok(());
        }
        Err(unknown_execution(self.id()))
    }

    /// Returns every event in the log, as [`Coordinator::log_events`] does.
    pub fn log_events(&self) -> BoxStream<'static, Result<LogEvent>> {
        self.coordinator.log_events(self.id())
    }

    /// Returns the bytes of an artifact, as [`Coordinator::artifact_pieces`] does.
    pub fn artifact_pieces(&self, artifact: &Artifact) -> BoxStream<'static, Result<String>> {
        self.coordinator.artifact_pieces(self.id(), artifact)
    }

    /// Returns the stream of its events, as [`ExecutionHandle::events`](super::super::ExecutionHandle::events)
    /// does.
    ///
    /// # Errors
    /// `NotFound` if the execution was removed; the errors of the store.
    pub async fn events(&self, after: u64) -> Result<BoxStream<'static, Event>> {
        Ok(self.coordinator.handle(self.id()).await?.events(after))
    }
}
