//! What runs attempts on a worker.

mod calls;
mod context;
mod forward;
mod function;
mod log_reader;
mod log_writer;
mod masks;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

pub use self::calls::{CallReceiver, CallRequest, CallSender, CallUpdate};
pub use self::context::{Attempt, Context, ContextParts, stop_channel};
pub use self::function::{FunctionExecutor, FunctionExecutorBuilder, State};
pub use self::log_writer::{LogBuffer, LogLines, LogWriter};
use crate::model::action::ActionSet;
use crate::model::error::Result;
use crate::model::outcome::Outcome;
pub use crate::model::stop::{Stop, StopReason};

/// Runs attempts at actions.
///
/// # Contract
/// - **Concurrency**: any number of `execute` calls at once; the worker bounds them by its slots. An executor with fewer places of its own
///   lets the surplus wait inside `execute`.
/// - **Death**: the future returned by `execute` resolves only when nothing of the attempt is alive any more: no process, no thread, no
///   task. Where that cannot be had (threads in an embedded interpreter), the implementation says so in its documentation.
/// - **Stopping**: when [`Context::stopped`] resolves, the attempt is asked to end; when the grace period of the [`Stop`] is over, it is
///   killed. An attempt that ends because of that is [`Outcome::Cancelled`]; one that finished in spite of it reports what it did.
/// - **Isolation**: an attempt that fails, panics or crashes is an [`Outcome::Failed`] and harms no other attempt.
/// - **Logs**: every line is handed to [`Context::logs`] before the future resolves, in order per stream; writing waits while the log is
///   not drained, and the wait reaches the action as back-pressure.
/// - **Cancel safety**: dropping the future kills what the attempt started, as soon as the implementation can.
#[async_trait]
pub trait Executor: fmt::Debug + Send + Sync + 'static {
    /// What it offers now, and every change of that.
    fn actions(&self) -> watch::Receiver<Arc<ActionSet>>;

    /// Runs one attempt to its end.
    ///
    /// An action that it does not offer is an [`Outcome::Failed`] that says so.
    async fn execute(&self, attempt: Attempt, context: Context) -> Outcome;

    /// Kills what is left and frees what it holds; `execute` fails from then on. Idempotent.
    ///
    /// # Errors
    /// What could not be freed.
    async fn close(&self) -> Result<()>;
}
