//! Executors whose attempts end when their futures are dropped.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use tokio::sync::watch;

use super::{Attempt, Context, Executor};
use crate::model::action::ActionSet;
use crate::model::error::Result;
use crate::model::outcome::Outcome;
use crate::watcher::Watcher;

/// An [`Executor`] out of one async function that runs attempts.
///
/// The function only has to run an attempt, end it when its future is dropped, and end it in order
/// when [`Context::stopped`] resolves. The rest of the contract is here: the future is dropped when
/// the grace period has passed and when the executor closes, an unknown action is named, a closed
/// executor refuses, and a panic is a failure.
///
/// ```
/// use tinpot_core::executor::{ActionSet, ScopedExecutor};
/// use tinpot_core::{Action, Level, Outcome, Stream, local};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// let actions = ActionSet::new([Action::new("report")?]);
/// let executor = ScopedExecutor::new(actions, |attempt, context| async move {
///     let lines = vec![format!("running {}", attempt.action)];
///     context.logs().write(Stream::Stdout, Level::Info, lines).await;
///     Outcome::Succeeded(attempt.parameters)
/// });
/// let tinpot = local(executor).await?;
/// assert_eq!(tinpot.call::<serde_json::Value>("report", ()).await?, serde_json::json!({}));
/// # tinpot.shutdown(std::time::Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
pub struct ScopedExecutor<F> {
    actions: watch::Sender<Arc<ActionSet>>,
    run: F,
    closed: watch::Sender<bool>,
}

impl<F, Fut> ScopedExecutor<F>
where
    F: Fn(Attempt, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Outcome> + Send,
{
    /// Returns an executor that offers `actions` and runs each attempt by `run`.
    ///
    /// A failure that `run` returns after a request to end counts as
    /// [`Outcome::Cancelled`](crate::Outcome::Cancelled).
    pub fn new(actions: ActionSet, run: F) -> Self {
        let (actions, closed) = (watch::Sender::new(Arc::new(actions)), watch::Sender::new(false));
        Self { actions, run, closed }
    }
}

#[async_trait]
impl<F, Fut> Executor for ScopedExecutor<F>
where
    F: Fn(Attempt, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Outcome> + Send,
{
    fn actions(&self) -> Watcher<Arc<ActionSet>> {
        self.actions.subscribe().into()
    }

    async fn execute(&self, attempt: Attempt, context: Context) -> Outcome {
        let name = attempt.action.clone();
        if !offers(&self.actions.borrow(), &attempt) {
            return Outcome::failed(format!("there is no action {name:?}"));
        }
        let mut closed = self.closed.subscribe();
        // Created in the closure, so that a panic before the first await is caught as well.
        let running = async { (self.run)(attempt, context.clone()).await };
        let running = AssertUnwindSafe(running).catch_unwind();
        tokio::select! {
            // The close first: a closed executor must not start anything.
            biased;
            _ = closed.wait_for(|closed| *closed) => Outcome::failed("the executor is closed"),
            outcome = running => match outcome {
                Ok(Outcome::Failed(_)) if context.stop_requested().is_some() => Outcome::Cancelled,
                Ok(outcome) => outcome,
                Err(_) => Outcome::failed(format!("the executor panicked while it ran {name:?}")),
            },
            () = context.grace_expired() => Outcome::Cancelled,
        }
    }

    async fn close(&self) -> Result<()> {
        self.closed.send_replace(true);
        Ok(())
    }
}

/// Returns true if an executor with this offer runs the attempt.
fn offers(offer: &ActionSet, attempt: &Attempt) -> bool {
    match &attempt.bundle {
        Some(bundle) => offer.runtimes.contains(&bundle.runtime),
        None => offer.actions.iter().any(|action| *action.name == *attempt.action),
    }
}

impl<F> fmt::Debug for ScopedExecutor<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actions = self.actions.borrow().clone();
        let names: Vec<_> = actions.actions.iter().map(|action| &action.name).collect();
        f.debug_struct("ScopedExecutor").field("actions", &names).finish_non_exhaustive()
    }
}
