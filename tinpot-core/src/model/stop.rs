//! Requests to end an attempt.

use std::time::Duration;

/// The reason why an attempt must end.
///
/// [`Stop`] has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// The execution was cancelled.
    Cancelled,
    /// The attempt exceeded its timeout.
    TimedOut,
    /// The lease of the worker expired, so another attempt may start elsewhere.
    Fenced,
    /// The worker is shutting down.
    ShuttingDown,
}

/// A request to end an attempt.
///
/// ```
/// use tinpot_core::{FunctionExecutor, Outcome, local};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// let executor = FunctionExecutor::builder()
///     .action("watch", |context, ()| async move {
///         let stop = context.stopped().await;
///         // Here the action has `stop.grace` to leave things tidy.
///         Err::<(), _>(format!("asked to end: {:?}", stop.reason))
///     })
///     .build()?;
/// let tinpot = local(executor).await?;
/// let execution = tinpot.submit("watch", ()).await?;
/// execution.cancel(false).await?;
/// assert_eq!(execution.outcome().await?, Outcome::Cancelled);
/// # tinpot.shutdown(std::time::Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stop {
    /// The reason.
    pub reason: StopReason,
    /// The grace period, after which the attempt is killed. Zero means immediately.
    pub grace: Duration,
}

impl Stop {
    /// Creates a request to end within `grace`.
    pub fn new(reason: StopReason, grace: Duration) -> Self {
        Self { reason, grace }
    }
}
