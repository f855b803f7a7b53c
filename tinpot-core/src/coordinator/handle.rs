//! A caller's hold on one execution.

use std::sync::Arc;

use futures::stream::BoxStream;

use super::events::{Event, events};
use super::live::Live;
use super::{Coordinator, ErrorKind};
use crate::model::error::{Error, Result};
use crate::model::execution::Execution;
use crate::model::id::ExecutionId;
use crate::model::outcome::Outcome;
use crate::model::status::Status;
use crate::protocol::CancelOutcome;

/// An execution: wait for it, watch it, cancel it. Dropping the handle changes nothing for the execution.
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

    /// The execution's id.
    pub fn id(&self) -> ExecutionId {
        self.id
    }

    /// Where it stands now.
    pub fn status(&self) -> Status {
        self.live.state.borrow().status
    }

    /// Waits for the end. Any number of callers may wait, now and later. The last log lines may still be on their way then:
    /// [`events`](Self::events) ends after them.
    ///
    /// # Errors
    /// `Closed` when the coordinator shuts down before.
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

    /// What happens to it: first its status, then log lines numbered above `after`, progress and changes of status as they come, and
    /// [`Event::Finished`] as the last, after the whole log. Any number of callers may watch, at any time; a slow one holds up nobody.
    pub fn events(&self, after: u64) -> BoxStream<'static, Event> {
        events(self.coordinator.clone(), self.live.clone(), after)
    }

    /// Asks it to end. See [`Coordinator::cancel`].
    ///
    /// # Errors
    /// Those of [`Coordinator::cancel`].
    pub async fn cancel(&self, force: bool) -> Result<CancelOutcome> {
        self.coordinator.cancel(self.id, force).await
    }

    /// Everything that is recorded of it.
    ///
    /// # Errors
    /// `NotFound` when the store has forgotten it, and why it cannot be read.
    pub async fn execution(&self) -> Result<Arc<Execution>> {
        let execution = self.coordinator.execution(self.id).await?;
        execution.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("execution {} not found", self.id))
        })
    }
}
