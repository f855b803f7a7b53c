//! Executors: the code that runs attempts on a worker.

mod calls;
mod context;
mod event_limits;
mod forward;
mod function;
mod log_reader;
mod log_writer;
mod masks;
mod scoped;
mod secrets;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

pub use self::calls::{CallReceiver, CallRequest, CallSender, CallUpdate};
pub(crate) use self::context::grace_expired;
pub use self::context::{Attempt, Context, ContextParts, stop_channel};
pub use self::function::{FunctionExecutor, FunctionExecutorBuilder, State};
pub use self::log_writer::{LogBuffer, LogLines, LogWriter};
pub use self::scoped::ScopedExecutor;
pub use self::secrets::{SecretAsk, SecretReceiver, SecretSender};
pub use crate::model::action::ActionSet;
use crate::model::error::Result;
use crate::model::outcome::Outcome;
pub use crate::model::stop::{Stop, StopReason};
use crate::watcher::Watcher;

/// Runs attempts at actions.
///
/// # Contract
/// - **Concurrency**: any number of `execute` calls run at once; the worker bounds them by its
///   slots. An executor that can run fewer makes the others wait inside `execute`.
/// - **Death**: the future of `execute` resolves only when nothing of the attempt is alive any
///   more: no process, thread or task, and no child that the action has left behind. An
///   implementation that cannot promise that (threads in an embedded interpreter) says so in its
///   documentation.
/// - **Stopping**: when [`Context::stopped`] resolves, the attempt is asked to end. When
///   [`Context::grace_expired`] resolves, it is killed. An attempt that ends because of that is
///   [`Outcome::Cancelled`]. One that finishes in spite of it reports its own outcome.
/// - **Start**: an attempt whose code never ran, because the executor could not start it, is an
///   [`Outcome::not_started`]. It is given back and counts for nothing. An executor that can start
///   nothing offers no actions until it can, and says why by a
///   [blocking](crate::LoadError::blocking) load error.
/// - **Isolation**: an attempt that fails, panics or crashes is an [`Outcome::Failed`] and harms no
///   other attempt.
/// - **Logs**: every line reaches [`Context::logs`] before the future resolves, in order per
///   stream. Writing waits while the log is not drained, and the action waits with it: nothing in
///   between buffers without a bound.
/// - **Cancel safety**: dropping the future kills the attempt and its children, as soon as the
///   implementation can.
///
/// # Example
/// [`ScopedExecutor`] takes care of stops, closing and panics. An executor whose attempts end at
/// once can do without:
///
/// ```
/// use std::sync::Arc;
/// use tinpot_core::executor::{ActionSet, Attempt};
/// use tinpot_core::{Action, Context, Executor, Outcome, Watcher, local};
/// use tokio::sync::watch;
///
/// /// Returns to each caller its own parameters.
/// #[derive(Debug)]
/// struct Echo(watch::Sender<Arc<ActionSet>>);
///
/// #[async_trait::async_trait]
/// impl Executor for Echo {
///     fn actions(&self) -> Watcher<Arc<ActionSet>> {
///         self.0.subscribe().into()
///     }
///
///     async fn execute(&self, attempt: Attempt, _: Context) -> Outcome {
///         match &*attempt.action {
///             "echo" => Outcome::Succeeded(attempt.parameters),
///             other => Outcome::failed(format!("there is no action {other:?}")),
///         }
///     }
///
///     async fn close(&self) -> tinpot_core::Result<()> {
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// let actions = ActionSet::new([Action::new("echo")?]);
/// let tinpot = local(Echo(watch::Sender::new(actions.into()))).await?;
/// let echoed: serde_json::Value = tinpot.call("echo", serde_json::json!({"text": "hi"})).await?;
/// assert_eq!(echoed["text"], "hi");
/// # tinpot.shutdown(std::time::Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Executor: fmt::Debug + Send + Sync + 'static {
    /// Returns the offered actions, as they change.
    fn actions(&self) -> Watcher<Arc<ActionSet>>;

    /// Runs one attempt to its end.
    ///
    /// An attempt at an action that is not offered is an [`Outcome::Failed`] that names the action.
    async fn execute(&self, attempt: Attempt, context: Context) -> Outcome;

    /// Kills all attempts and frees all resources; `execute` fails from then on. Idempotent.
    ///
    /// # Errors
    /// Any kind, if a resource cannot be freed.
    async fn close(&self) -> Result<()>;
}
