//! Rust closures as actions.

#[cfg(feature = "schema")]
mod typed;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use tokio::sync::watch;

use super::{Attempt, Context, Executor, grace_expired};
use crate::model::action::{Action, ActionSet};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::failure::{Failure, FailureCode};
use crate::model::json::Json;
use crate::model::outcome::Outcome;
use crate::watcher::Watcher;

type Call = dyn Fn(Context, Json) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync;

/// An executor of typed async closures, in the worker's own process.
///
/// A closure takes the attempt's [`Context`] and its parameters: a struct, a map, or `()` for none.
/// It returns a value that serialises, or an error of any type: an error type, `anyhow::Error`, a
/// text, or a [`Failure`].
///
/// A closure that is asked to stop may watch [`Context::stopped`]. When the grace period ends, its
/// future is dropped, which ends it at its next await. An `Err` that it returns after the request
/// counts as cancelled. A closure that blocks its thread cannot be ended: use
/// `tokio::task::spawn_blocking`, and check [`Context::stop_requested`] in it.
///
/// ```
/// use schemars::JsonSchema;
/// use serde::Deserialize;
/// use tinpot_core::{FunctionExecutor, local};
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Add {
///     a: i64,
///     b: i64,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// let executor = FunctionExecutor::builder()
///     .action("add", |_, Add { a, b }| async move { u32::try_from(a + b) })
///     .build()?;
/// let tinpot = local(executor).await?;
/// assert_eq!(tinpot.call::<u32>("add", serde_json::json!({"a": 1, "b": 2})).await?, 3);
/// # tinpot.shutdown(std::time::Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
pub struct FunctionExecutor {
    calls: BTreeMap<String, Arc<Call>>,
    offer: watch::Sender<Arc<ActionSet>>,
    closed: watch::Sender<bool>,
}

/// The actions of a future [`FunctionExecutor`], and the state that they share.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use tinpot_core::{Failure, FunctionExecutor, RetryPolicy, State, local};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// let executor = FunctionExecutor::builder()
///     .action_with(
///         "tick",
///         |action| action.group("Clocks").retry(RetryPolicy::exponential(3)),
///         |_, ()| async { Ok::<_, Failure>("tock") },
///     )
///     .state(Arc::new(AtomicU64::new(40)))
///     .action_with_state("count", |_, State(counter), ()| async move {
///         Ok::<_, Failure>(counter.fetch_add(2, Ordering::Relaxed) + 2)
///     })
///     .build()?;
/// let tinpot = local(executor).await?;
/// assert_eq!(tinpot.call::<u64>("count", ()).await?, 42);
/// # tinpot.shutdown(std::time::Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct FunctionExecutorBuilder<S = ()> {
    actions: Vec<(Action, Arc<Call>)>,
    errors: Vec<Error>,
    #[cfg_attr(not(feature = "schema"), expect(dead_code, reason = "typed closures use it"))]
    state: S,
}

/// A clone of the state of a [`FunctionExecutorBuilder`], for one attempt.
///
/// [`FunctionExecutorBuilder`] has an example.
#[derive(Clone, Copy, Debug, Default)]
pub struct State<S>(
    /// The state.
    pub S,
);

impl FunctionExecutor {
    /// Creates a builder without actions.
    pub fn builder() -> FunctionExecutorBuilder {
        FunctionExecutorBuilder { actions: Vec::new(), errors: Vec::new(), state: () }
    }
}

impl<S: Clone + Send + Sync + 'static> FunctionExecutorBuilder<S> {
    /// Sets the state of the actions that are added from now on with
    /// `action_with_state`. Every attempt receives a clone: use an `Arc`
    /// for what attempts share.
    pub fn state<T: Clone + Send + Sync + 'static>(self, state: T) -> FunctionExecutorBuilder<T> {
        FunctionExecutorBuilder { actions: self.actions, errors: self.errors, state }
    }

    /// Adds an action whose closure takes the parameters as they were submitted, and returns the
    /// outcome. The schema is that of `action`.
    pub fn raw_action<F, Fut>(mut self, action: Action, function: F) -> Self
    where
        F: Fn(Context, Json) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        let call: Arc<Call> =
            Arc::new(move |context, parameters| Box::pin(function(context, parameters)));
        self.actions.push((action, call));
        self
    }

    /// Returns the executor.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an invalid name, and for parameters that are not an object;
    /// [`ErrorKind::Conflict`] for two actions of one name.
    pub fn build(self) -> Result<FunctionExecutor> {
        if let Some(error) = self.errors.into_iter().next() {
            return Err(error);
        }
        let mut calls: BTreeMap<String, Arc<Call>> = BTreeMap::new();
        let mut actions = Vec::new();
        for (action, call) in self.actions {
            if calls.insert(action.name.clone(), call).is_some() {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("two actions are called {:?}", action.name),
                ));
            }
            actions.push(action);
        }
        let offer = watch::Sender::new(Arc::new(ActionSet::new(actions)));
        Ok(FunctionExecutor { calls, offer, closed: watch::Sender::new(false) })
    }
}

#[async_trait]
impl Executor for FunctionExecutor {
    fn actions(&self) -> Watcher<Arc<ActionSet>> {
        self.offer.subscribe().into()
    }

    async fn execute(&self, attempt: Attempt, context: Context) -> Outcome {
        let Some(call) = self.calls.get(&*attempt.action) else {
            return Outcome::failed(format!("there is no action {:?} here", attempt.action));
        };
        let mut closed = self.closed.subscribe();
        let stops = context.stop_requests();
        let asked = context.stop_requests();
        let running = AssertUnwindSafe(call(context, attempt.parameters)).catch_unwind();
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => Outcome::failed("the executor was closed"),
            outcome = running => match outcome {
                Ok(Outcome::Failed(_)) if asked.current().is_some() => Outcome::Cancelled,
                Ok(outcome) => outcome,
                Err(panic) => Outcome::Failed(panicked(&*panic)),
            },
            () = grace_expired(stops) => Outcome::Cancelled,
        }
    }

    async fn close(&self) -> Result<()> {
        self.closed.send_replace(true);
        Ok(())
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Failure {
    let message = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the action panicked".to_owned());
    Failure::new(message).code(FailureCode::Panicked).kind("panic")
}

impl fmt::Debug for FunctionExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionExecutor")
            .field("actions", &self.calls.keys())
            .finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for FunctionExecutorBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionExecutorBuilder")
            .field("actions", &self.actions.len())
            .finish_non_exhaustive()
    }
}
