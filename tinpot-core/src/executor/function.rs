//! Rust closures as actions.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;

use super::{Attempt, Context, Executor, Stop};
use crate::model::action::{Action, ActionSet};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::failure::{BoxError, Failure, FailureCode};
use crate::model::json::Json;
use crate::model::outcome::Outcome;

type Call = dyn Fn(Context, Json) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync;

/// An executor of typed async closures, in the worker's own process.
///
/// A closure takes the attempt's [`Context`] and its parameters: a struct, a map, or `()` for none.
/// It returns a value that serialises, or an error of any type: an error type, `anyhow::Error`, a
/// text, or a [`Failure`].
///
/// A closure that is asked to stop may watch [`Context::stopped`]. When the grace period is over, its
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
    state: S,
}

/// A clone of the state of a [`FunctionExecutorBuilder`], for one attempt.
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
    /// [`action_with_state`](Self::action_with_state). Every attempt receives a clone: use an `Arc`
    /// for what attempts share.
    pub fn state<T: Clone + Send + Sync + 'static>(self, state: T) -> FunctionExecutorBuilder<T> {
        FunctionExecutorBuilder { actions: self.actions, errors: self.errors, state }
    }

    /// Adds an action of this name, with the defaults of [`Action::new`]. Its parameters are
    /// deserialised from the JSON object of the submission, and its result is serialised. An `Err`
    /// becomes an [`Outcome::Failed`], as [`Failure::from_error`] converts it.
    pub fn action<P, R, E, F, Fut>(self, name: &str, function: F) -> Self
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        R: Serialize + Send + 'static,
        E: Into<BoxError> + Send + 'static,
        F: Fn(Context, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
    {
        self.action_with(name, |action| action, function)
    }

    /// Adds an action as [`action`](Self::action) does, and lets `describe` set its group, description,
    /// queue, timeout, retries and so on.
    pub fn action_with<P, R, E, F, Fut>(
        mut self,
        name: &str,
        describe: impl FnOnce(Action) -> Action,
        function: F,
    ) -> Self
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        R: Serialize + Send + 'static,
        E: Into<BoxError> + Send + 'static,
        F: Fn(Context, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
    {
        let function = Arc::new(function);
        let nothing = is_unit::<P>();
        let call: Arc<Call> = Arc::new(move |context, parameters| {
            let function = function.clone();
            Box::pin(async move {
                let parameters = if nothing { Json::null() } else { parameters };
                let parameters = match parameters.deserialize::<P>() {
                    Ok(parameters) => parameters,
                    Err(e) => {
                        return Outcome::Failed(
                            Failure::new(e.to_string())
                                .code(FailureCode::InvalidParameters)
                                .kind("InvalidParameters"),
                        );
                    }
                };
                match function(context, parameters).await {
                    Ok(value) => match Json::serialize(&value) {
                        Ok(value) => Outcome::Succeeded(value),
                        Err(_) => Outcome::failed(format!(
                            "the result, a {}, has no JSON form",
                            std::any::type_name::<R>()
                        )),
                    },
                    Err(e) => Outcome::Failed(Failure::from_error(e)),
                }
            })
        });
        let action = Action::new(name).and_then(|action| Ok(action.schema(schema_of::<P>(name)?)));
        match action {
            Ok(action) => self.actions.push((describe(action), call)),
            Err(e) => self.errors.push(e),
        }
        self
    }

    /// Adds an action whose closure also takes a clone of the [`state`](Self::state).
    pub fn action_with_state<P, R, E, F, Fut>(self, name: &str, function: F) -> Self
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        R: Serialize + Send + 'static,
        E: Into<BoxError> + Send + 'static,
        F: Fn(Context, State<S>, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
    {
        let state = self.state.clone();
        self.action(name, move |context, parameters: P| {
            function(context, State(state.clone()), parameters)
        })
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

/// Returns true if `P` stands for no parameters.
fn is_unit<P: 'static>() -> bool {
    std::any::TypeId::of::<P>() == std::any::TypeId::of::<()>()
}

/// Returns false if no JSON object can be valid against the schema.
fn takes_objects(schema: &Value) -> bool {
    let Value::Object(schema) = schema else { return *schema != Value::Bool(false) };
    let by_type = match schema.get("type") {
        None => true,
        Some(Value::Array(types)) => types.iter().any(|one| one == "object"),
        Some(one) => one == "object",
    };
    let some = |key: &str| match schema.get(key) {
        Some(Value::Array(options)) => options.iter().any(takes_objects),
        _ => true,
    };
    let by_value = match schema.get("enum") {
        Some(Value::Array(values)) => values.iter().any(Value::is_object),
        _ => true,
    };
    by_type && by_value && some("anyOf") && some("oneOf")
}

/// Returns the schema of `P`, self-contained: definitions are inlined.
fn schema_of<P: JsonSchema + 'static>(name: &str) -> Result<Json> {
    if is_unit::<P>() {
        return Json::parse(r#"{"type":"object","properties":{},"additionalProperties":false}"#);
    }
    let settings = schemars::generate::SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let schema = settings.into_generator().into_root_schema_for::<P>();
    if !takes_objects(schema.as_value()) {
        let message = format!(
            "the parameters of {name:?} must be an object (got the schema of {}): use a struct, a map, \
             or () for none",
            std::any::type_name::<P>()
        );
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    Json::serialize(&schema)
}

#[async_trait]
impl Executor for FunctionExecutor {
    fn actions(&self) -> watch::Receiver<Arc<ActionSet>> {
        self.offer.subscribe()
    }

    async fn execute(&self, attempt: Attempt, context: Context) -> Outcome {
        let Some(call) = self.calls.get(&*attempt.action) else {
            return Outcome::failed(format!("there is no action {:?} here", attempt.action));
        };
        let mut closed = self.closed.subscribe();
        let mut stops = context.stop_requests();
        let asked = context.stop_requests();
        let running = AssertUnwindSafe(call(context, attempt.parameters)).catch_unwind();
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => Outcome::failed("the executor was closed"),
            outcome = running => match outcome {
                Ok(Outcome::Failed(_)) if asked.borrow().is_some() => Outcome::Cancelled,
                Ok(outcome) => outcome,
                Err(panic) => Outcome::Failed(panicked(&*panic)),
            },
            () = overdue(&mut stops) => Outcome::Cancelled,
        }
    }

    async fn close(&self) -> Result<()> {
        self.closed.send_replace(true);
        Ok(())
    }
}

/// Resolves when the grace period of the request to end is over.
async fn overdue(stops: &mut watch::Receiver<Option<Stop>>) {
    loop {
        let stop = *stops.borrow_and_update();
        let changed = match stop {
            Some(stop) if stop.grace.is_zero() => return,
            // A later, shorter stop starts this wait anew.
            Some(stop) => {
                let Ok(changed) = tokio::time::timeout(stop.grace, stops.changed()).await else {
                    return;
                };
                changed
            }
            None => stops.changed().await,
        };
        if changed.is_err() {
            // Nobody is left who could ask for another end than what was asked last.
            match stop {
                Some(stop) => tokio::time::sleep(stop.grace).await,
                None => std::future::pending().await,
            }
            return;
        }
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
