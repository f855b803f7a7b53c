//! The coordinator: the one authority over the executions of a namespace.

mod admin;
mod app_runs;
mod builder;
mod changes;
mod command;
mod control;
mod core;
mod events;
mod handle;
mod idempotency;
mod life_cycle;
mod log_assembly;
mod log_events;
mod logs;
mod measures;
mod newcomers;
mod reads;
mod replies;
mod rerun;
mod scoped;
mod stats;
mod submission;
mod submit;
mod tickets;
mod trail;
mod uploads;
mod watch_registry;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

pub use self::builder::CoordinatorBuilder;
pub use self::changes::{Changed, Changes};
use self::command::Command;
#[cfg(not(any(test, feature = "testing")))]
use self::core::RequestedCancel;
#[cfg(any(test, feature = "testing"))]
pub(crate) use self::core::{
    Accepted, Answer, CallAnswer, CallFound, Core, Output, RequestedCancel, Response, Step, Ticket,
};
pub use self::events::Event;
pub use self::handle::ExecutionHandle;
use self::idempotency::Commits;
#[cfg(any(test, feature = "testing"))]
pub(crate) use self::log_assembly::LogIntake;
pub use self::scoped::{Readable, Scoped, Sight};
pub use self::stats::{MinuteStats, Stats};
pub use self::submission::Submission;
#[cfg(any(test, feature = "testing"))]
pub(crate) use self::submit::prepare_call;
pub use self::tickets::BundleReader;
#[cfg(not(any(test, feature = "testing")))]
use self::watch_registry::Registry;
#[cfg(any(test, feature = "testing"))]
pub(crate) use self::watch_registry::{LogEnd, LogHolder, Registry};
use crate::access::{Policy, SecretSealer, SecretSource, UploadKeeper};
use crate::joining::Joins;
use crate::log_sink::LogSinkFeeds;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::{Execution, Owner};
use crate::model::id::ExecutionId;
use crate::model::log::LogChunk;
use crate::model::page::ListOptions;
use crate::model::status::Status;
use crate::observer::Observer;
use crate::protocol::{CancelOutcome, Catalogue, QueueInfo, WorkerInfo};
use crate::refusals::{Refusal, Refusals};
use crate::store::{Session, Store, StoreProblem};
use crate::transport::{Link, Transport};
use crate::watcher::Watcher;
use crate::wire::Wire;

/// The state that handles and tasks share.
#[derive(Debug)]
struct Shared {
    store: Arc<dyn Store>,
    session: Arc<dyn Session>,
    wire: Wire,
    registry: Arc<Registry>,
    log_sinks: LogSinkFeeds,
    commits: Commits,
    catalogue: watch::Receiver<Arc<Catalogue>>,
    changes: changes::Source,
    refusals: Refusals,
    stats: Arc<stats::Recent>,
    max_parameters_bytes: usize,
    policy: Arc<dyn Policy>,
    /// If true, there are other teams than the default team.
    has_teams: bool,
    audit: Option<trail::Trail>,
    secrets: Option<Arc<dyn SecretSource>>,
    tickets: Option<tickets::Tickets>,
    uploads: Option<Arc<dyn UploadKeeper>>,
    /// If true, secrets are also sent in plain frames.
    plain_secrets: bool,
    /// True if workers with plain frames run the deployed actions of all teams.
    plain_serve_all_teams: bool,
    /// If true, secret parameters are erased when executions end.
    forget_secrets: bool,
    /// The key of the digests of erased secrets.
    secret_digests: Option<Arc<dyn SecretSealer>>,
    joins: Option<Arc<Joins>>,
    app_runs: app_runs::Counted,
    observer: Option<Arc<dyn Observer>>,
}

/// Ends the tasks when the last handle is dropped.
#[derive(Debug, Default)]
struct Tasks {
    handles: Mutex<JoinSet<()>>,
    shut_down: AtomicBool,
}

impl Tasks {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner).spawn(task);
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        if !*self.shut_down.get_mut() {
            tracing::warn!("coordinator dropped without shutdown: nothing is scheduled any more");
        }
    }
}

/// A running coordinator. Cloning it is cheap: all clones refer to the same coordinator.
///
/// It ends when the last clone and the last [`ExecutionHandle`] are dropped, and logs a warning
/// then. [`shutdown`](Self::shutdown) ends it in an orderly way.
///
/// ```
/// use tinpot_core::{Coordinator, Failure, FunctionExecutor, MemoryNetwork, Worker};
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// let network = MemoryNetwork::new();
/// let coordinator = Coordinator::builder(network.transport()).start().await?;
///
/// let executor = FunctionExecutor::builder()
///     .action("tick", |_, ()| async { Ok::<_, Failure>("tock") })
///     .build()?;
/// let worker = Worker::builder(network.transport()).executor(executor).start().await?;
///
/// coordinator.action_available("tick").await?;
/// let execution = coordinator.submit("tick", ()).await?;
/// assert_eq!(execution.result::<String>().await?, "tock");
///
/// worker.shutdown(Duration::from_secs(10)).await;
/// coordinator.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "dropping the last handle of a coordinator ends it: keep it, and end it with `shutdown`"]
pub struct Coordinator {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    tasks: Arc<Tasks>,
}

impl Coordinator {
    /// Creates a builder for a coordinator that reaches its workers by `transport`.
    pub fn builder(transport: impl Transport) -> CoordinatorBuilder {
        CoordinatorBuilder::new(Arc::new(transport))
    }

    /// Prepares a submission of the action. Await it to submit the execution; before that, options
    /// can be set.
    ///
    /// The parameters are a JSON object: a struct or map that serialises to one, a
    /// [`Json`](crate::Json), a `serde_json::Value`, or `()` for none.
    ///
    /// Once the returned value was awaited with `Ok`, the execution is recorded in the store and
    /// will reach a terminal status. An action that is known but has no live worker is accepted,
    /// too; the execution waits for a worker then.
    ///
    /// # Errors
    /// `NotFound` for an action that was never offered; `InvalidParameters`, naming every
    /// violation; `InvalidInput` for parameters without a JSON form, parameters that are too large,
    /// or an invalid option; `Conflict` if the idempotency key was used for a different submission;
    /// `Overloaded` if too many executions are queued; `StorageFull` if the store cannot write;
    /// `Closed` after the shutdown.
    pub fn submit<'a>(&'a self, action: &'a str, parameters: impl Serialize) -> Submission<'a> {
        Submission::new(self, action, parameters)
    }

    /// Submits an execution, waits for its end, and returns the result.
    ///
    /// Dropping the future leaves the execution running.
    ///
    /// # Errors
    /// The errors of [`submit`](Self::submit) and [`ExecutionHandle::result`].
    pub fn call<'a, R: DeserializeOwned>(
        &'a self,
        action: &'a str,
        parameters: impl Serialize,
    ) -> impl Future<Output = Result<R>> + Send {
        // Serialised here, so that the future does not hold the parameters.
        let parameters = submission::parameters_of(parameters);
        async move { self.submit(action, parameters?).await?.result().await }
    }

    /// Waits until a live worker offers the action and serves its queue.
    ///
    /// Executions can be submitted before, once the action is known: they are queued.
    ///
    /// # Errors
    /// `Closed` if the coordinator shuts down first.
    pub async fn action_available(&self, action: &str) -> Result<()> {
        let mut catalogue = self.watch_catalogue();
        let available =
            catalogue.wait_for(|known| known.get(action).is_some_and(|entry| entry.available));
        tokio::select! {
            available = available => available.map(drop),
            () = self.stopped() => Err(Error::new(ErrorKind::Closed, "the coordinator has shut down")),
        }
    }

    /// Returns a handle to an execution that any caller has submitted before.
    ///
    /// # Errors
    /// `NotFound` if the execution is unknown or was removed; the errors of the store.
    pub async fn handle(&self, id: ExecutionId) -> Result<ExecutionHandle> {
        // Before the store is asked, so that what happens meanwhile is not missed.
        let live = self.shared.registry.live(id);
        if !live.is_known() {
            let Some(execution) = self.shared.store.execution(id).await? else {
                return Err(unknown_execution(id));
            };
            live.learn(&execution);
        }
        Ok(ExecutionHandle::new(self.clone(), id, live))
    }

    /// Cancels an execution and its children. A queued execution ends at once; a running one is
    /// asked to end by its worker, with a grace period unless `force` is true.
    ///
    /// # Errors
    /// `NotFound` if the execution is unknown, `Conflict` if it has ended, `StorageFull` if the
    /// store cannot write, `Closed` after the shutdown.
    pub async fn cancel(&self, id: ExecutionId, force: bool) -> Result<CancelOutcome> {
        self.cancel_requested(id, RequestedCancel { by: None, force }).await
    }

    /// Cancels an execution, as [`cancel`](Self::cancel) does, and records the name of the
    /// requester: 1 to 255 characters, not checked.
    ///
    /// # Errors
    /// `InvalidInput` for the name, and the errors of [`cancel`](Self::cancel).
    pub async fn cancel_by(
        &self,
        id: ExecutionId,
        force: bool,
        requester: &str,
    ) -> Result<CancelOutcome> {
        idempotency::check_name("requested_by", requester)?;
        self.cancel_requested(id, RequestedCancel { by: Some(requester.into()), force }).await
    }

    async fn cancel_requested(
        &self,
        id: ExecutionId,
        requested: RequestedCancel,
    ) -> Result<CancelOutcome> {
        let outcome = self.ask(|reply| Command::Cancel { id, requested, reply }).await?;
        match outcome {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                match self.shared.store.execution(id).await? {
                    Some(execution) => Err(Error::new(
                        ErrorKind::Conflict,
                        format!(
                            "execution {id} has ended already: it {}",
                            described(execution.status)
                        ),
                    )),
                    None => Err(unknown_execution(id)),
                }
            }
            outcome => outcome,
        }
    }

    /// Returns an execution as it is recorded, or `None` if it is unknown or was removed.
    ///
    /// # Errors
    /// The errors of [`Store::execution`].
    pub async fn execution(&self, id: ExecutionId) -> Result<Option<Arc<Execution>>> {
        self.shared.store.execution(id).await
    }

    /// Returns one page of executions, newest first.
    ///
    /// # Errors
    /// The errors of [`Store::executions`].
    pub async fn executions(&self, options: &ListOptions) -> Result<Vec<Arc<Execution>>> {
        match &options.idempotency_key {
            // That of a submission by the handle: callers have keys of their own.
            Some(given) => {
                let key = Owner::unknown().idempotency_key(given);
                let found = idempotency::with_key(&*self.shared.store, &key).await?;
                Ok(found.into_iter().collect())
            }
            None => self.shared.store.executions(options).await,
        }
    }

    /// Returns log chunks with lines numbered above `after`, about `max_bytes` of them. The first
    /// chunk may begin at or below `after`.
    ///
    /// # Errors
    /// The errors of [`Store::logs`].
    pub async fn logs(
        &self,
        id: ExecutionId,
        after: u64,
        max_bytes: usize,
    ) -> Result<Vec<Arc<LogChunk>>> {
        self.shared.store.logs(id, after, max_bytes).await
    }

    /// Returns all known actions by name, each with its availability.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.shared.catalogue.borrow().clone()
    }

    /// Watches the catalogue.
    pub fn watch_catalogue(&self) -> Watcher<Arc<Catalogue>> {
        self.shared.catalogue.clone().into()
    }

    /// Returns the live workers and the attempts that they hold.
    ///
    /// # Errors
    /// `Closed` after the shutdown.
    pub async fn workers(&self) -> Result<Vec<WorkerInfo>> {
        self.ask(Command::Workers).await
    }

    /// Returns the queues and the executions that wait in them.
    ///
    /// # Errors
    /// `Closed` after the shutdown.
    pub async fn queues(&self) -> Result<Vec<QueueInfo>> {
        self.ask(Command::Queues).await
    }

    /// Returns true if it serves [several teams](CoordinatorBuilder::teams).
    pub fn has_teams(&self) -> bool {
        self.shared.has_teams
    }

    /// Returns the reason why a queued execution waits, for people. `None` if it does not wait for
    /// a worker, or if it is far from the head of its queue.
    ///
    /// # Errors
    /// `Closed` after the shutdown.
    pub async fn waits_for(&self, id: ExecutionId) -> Result<Option<String>> {
        self.ask(|reply| Command::WaitsFor { id, reply }).await
    }

    /// Answers a worker's request to join that did not come through the transport. The bytes are
    /// those of a [`JoinRequest`](crate::seal::JoinRequest) and of its answer.
    ///
    /// # Errors
    /// `NotFound` if this coordinator lets no workers join; `InvalidInput` if the request cannot be
    /// read, is for another coordinator, or is forged; `Overloaded` if there are too many requests;
    /// `Unavailable` if the keys cannot be read or written now.
    pub async fn answer_join(&self, request: &[u8]) -> Result<Vec<u8>> {
        let Some(joins) = &self.shared.joins else {
            let message = "workers do not join here: frames are plain";
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        joins.answer_one(&self.shared.refusals, request).await
    }

    /// Returns the number of frames and messages that were refused for this reason.
    pub fn refused(&self, reason: Refusal) -> u64 {
        self.shared.refusals.count(reason)
    }

    /// Records in the audit that a credential was refused: at most once a minute for each network,
    /// with the number of times, and for at most ten networks. `why` must not have a part of the
    /// credential.
    pub fn refused_credential(&self, address: Option<IpAddr>, why: &str) {
        if let Some(audit) = &self.shared.audit {
            audit.refused_credential(address, why);
        }
    }

    /// Watches the link to the workers.
    pub fn link(&self) -> Watcher<Link> {
        self.shared.wire.transport().status()
    }

    /// Returns the reason for which the audit cannot be written now, for monitoring.
    pub fn audit_problem(&self) -> Option<String> {
        self.shared.audit.as_ref()?.problem()
    }

    /// Returns the known problems of the store, for monitoring.
    pub fn store_problems(&self) -> Vec<StoreProblem> {
        self.shared.store.problems()
    }

    /// Shuts the coordinator down: it accepts nothing more and closes the store. Attempts that run
    /// on workers continue, and are reported to the next coordinator.
    ///
    /// Then the audit is written, within 5 s; the log sinks receive the remaining lines, flush and
    /// close, within 5 s in total; and the transport is closed.
    pub async fn shutdown(&self) {
        self.tasks.shut_down.store(true, Ordering::Relaxed);
        let _ = self.ask(Command::Shutdown).await;
        if let Some(audit) = &self.shared.audit {
            audit.flush().await;
        }
        self.shared.log_sinks.close().await;
        self.shared.wire.transport().close().await;
    }

    /// Waits until the coordinator has ended: after [`shutdown`](Self::shutdown), or because
    /// another coordinator has taken over the store.
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

/// Returns the error for an execution that is unknown, or that is hidden from the caller.
fn unknown_execution(id: ExecutionId) -> Error {
    Error::new(ErrorKind::NotFound, format!("execution {id} not found"))
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
