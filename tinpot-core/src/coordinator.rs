//! The coordinator: the one authority over the executions of a namespace.

mod builder;
mod changes;
mod control;
mod core;
mod details;
mod events;
mod handle;
mod idempotency;
mod intake;
mod live;
mod logs;
mod operations;
mod reads;
mod replies;
mod rerun;
mod stats;
mod submit;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

pub use self::builder::CoordinatorBuilder;
pub use self::changes::{Changed, Changes};
use self::control::Command;
#[cfg(any(test, feature = "testing"))]
pub(crate) use self::core::{Accepted, Answer, CallFound, Core, Output, Response, Step, Ticket};
pub use self::events::Event;
pub use self::handle::ExecutionHandle;
use self::idempotency::Commits;
#[cfg(any(test, feature = "testing"))]
pub(crate) use self::intake::{LogEnd, LogIntake};
#[cfg(not(any(test, feature = "testing")))]
use self::live::Registry;
#[cfg(any(test, feature = "testing"))]
pub(crate) use self::live::Registry;
pub use self::stats::{MinuteStats, Stats};
#[cfg(any(test, feature = "testing"))]
pub(crate) use self::submit::prepare;
use crate::log_sink::LogSinkFeeds;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::{Execution, SubmitOptions};
use crate::model::id::ExecutionId;
use crate::model::json::Json;
use crate::model::log::LogChunk;
use crate::model::page::ListOptions;
use crate::model::status::Status;
use crate::protocol::{CancelOutcome, Catalogue, QueueInfo, WorkerInfo};
use crate::store::{Session, Store};
use crate::transport::{Link, Transport};

/// What the handles and the tasks share.
#[derive(Debug)]
struct Shared {
    store: Arc<dyn Store>,
    session: Arc<dyn Session>,
    transport: Arc<dyn Transport>,
    registry: Arc<Registry>,
    log_sinks: LogSinkFeeds,
    commits: Commits,
    catalogue: watch::Receiver<Arc<Catalogue>>,
    changes: changes::Source,
    stats: Arc<stats::Recent>,
    max_parameters_bytes: usize,
}

/// Ends the tasks when the last handle is dropped.
#[derive(Debug, Default)]
struct Tasks {
    handles: Mutex<JoinSet<()>>,
}

impl Tasks {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner).spawn(task);
    }
}

/// A running coordinator; cheap to clone.
///
/// Its tasks end when the last clone and the last [`ExecutionHandle`] are dropped; [`shutdown`](Self::shutdown) ends them in order.
#[derive(Clone, Debug)]
pub struct Coordinator {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    _tasks: Arc<Tasks>,
}

impl Coordinator {
    /// Starts to describe a coordinator that reaches its workers by `transport`.
    pub fn builder(transport: impl Transport) -> CoordinatorBuilder {
        CoordinatorBuilder::new(Arc::new(transport))
    }

    /// Accepts an execution. Once this resolves with `Ok`, it is in the store and will reach a terminal status.
    ///
    /// An action that is known but has no live worker is accepted too, and waits.
    ///
    /// # Errors
    /// `NotFound` for an action that was never offered; `InvalidParameters`, naming every violation; `InvalidInput` for an option that
    /// makes no sense; `Conflict` when its idempotency key was used for something else; `Overloaded` when too many wait; `StorageFull` when
    /// the store cannot write; `Closed`.
    pub async fn submit(
        &self,
        action: &str,
        parameters: Json,
        options: SubmitOptions,
    ) -> Result<ExecutionHandle> {
        let execution = self.prepare(action, parameters, options)?;
        self.submit_prepared(execution).await
    }

    /// A handle on an execution that was submitted before, by whomever.
    ///
    /// # Errors
    /// `NotFound` when it is not known (any more).
    pub async fn handle(&self, id: ExecutionId) -> Result<ExecutionHandle> {
        // Before the store is asked, so that what happens meanwhile is not missed.
        let live = self.shared.registry.live(id);
        if !live.is_known() {
            let Some(execution) = self.shared.store.execution(id).await? else {
                let message = format!("execution {id} not found");
                return Err(Error::new(ErrorKind::NotFound, message));
            };
            live.learn(&execution);
        }
        Ok(ExecutionHandle::new(self.clone(), id, live))
    }

    /// Asks an execution to end, and what it has asked for: at once when it waits, else its worker is asked. `force` leaves out the grace period.
    ///
    /// # Errors
    /// `NotFound` when it is not known, `Conflict` when it has ended, `StorageFull`, `Closed`.
    pub async fn cancel(&self, id: ExecutionId, force: bool) -> Result<CancelOutcome> {
        let outcome = self.ask(|reply| Command::Cancel { id, force, reply }).await?;
        match outcome {
            Err(error) if error.kind() == ErrorKind::NotFound => match self
                .shared
                .store
                .execution(id)
                .await?
            {
                Some(execution) => Err(Error::new(
                    ErrorKind::Conflict,
                    format!("execution {id} has ended already: it {}", described(execution.status)),
                )),
                None => Err(Error::new(ErrorKind::NotFound, format!("execution {id} not found"))),
            },
            outcome => outcome,
        }
    }

    /// One execution; `None` when it is not known (any more).
    ///
    /// # Errors
    /// Why the store cannot be read.
    pub async fn execution(&self, id: ExecutionId) -> Result<Option<Arc<Execution>>> {
        self.shared.store.execution(id).await
    }

    /// One page of executions, newest first.
    ///
    /// # Errors
    /// Why the store cannot be read.
    pub async fn executions(&self, options: &ListOptions) -> Result<Vec<Arc<Execution>>> {
        self.shared.store.executions(options).await
    }

    /// Log chunks with lines numbered above `after`, about `max_bytes` of them. The first chunk may begin at or below `after`.
    ///
    /// # Errors
    /// Why the store cannot be read.
    pub async fn logs(
        &self,
        id: ExecutionId,
        after: u64,
        max_bytes: usize,
    ) -> Result<Vec<Arc<LogChunk>>> {
        self.shared.store.logs(id, after, max_bytes).await
    }

    /// All actions that were offered since the start, by name, and whether they are available.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.shared.catalogue.borrow().clone()
    }

    /// The catalogue and every change of it.
    pub fn watch_catalogue(&self) -> watch::Receiver<Arc<Catalogue>> {
        self.shared.catalogue.clone()
    }

    /// The live workers and what they do now.
    ///
    /// # Errors
    /// `Closed` after the shutdown.
    pub async fn workers(&self) -> Result<Vec<WorkerInfo>> {
        self.ask(Command::Workers).await
    }

    /// The queues and what waits in them.
    ///
    /// # Errors
    /// `Closed` after the shutdown.
    pub async fn queues(&self) -> Result<Vec<QueueInfo>> {
        self.ask(Command::Queues).await
    }

    /// Whether workers can be reached now.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.shared.transport.status()
    }

    /// Ends the coordinator: nothing more is accepted, the store is closed. What runs on workers goes on; they report to the next one.
    ///
    /// Then the log sinks take what waits for them, flush and close; all together have 5 s for that.
    pub async fn shutdown(&self) {
        let _ = self.ask(Command::Shutdown).await;
        self.shared.log_sinks.close().await;
    }

    /// Resolves when the coordinator has ended: after [`shutdown`](Self::shutdown), or because the store contradicted it, which means that
    /// another coordinator is at work on it.
    pub async fn stopped(&self) {
        self.commands.closed().await;
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T> {
        let closed = || Error::new(ErrorKind::Closed, "the coordinator has shut down");
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())
    }
}

fn described(status: Status) -> &'static str {
    match status {
        Status::Succeeded => "succeeded",
        Status::Failed => "failed",
        Status::Cancelled => "was cancelled",
        Status::TimedOut => "timed out",
        Status::Lost => "was lost",
        Status::Queued | Status::Running | Status::Cancelling => "is about to end",
    }
}
