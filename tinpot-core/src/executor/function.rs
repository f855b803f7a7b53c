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
use tokio::sync::watch;

use super::{Attempt, Context, Executor, Stop};
use crate::model::action::{Action, ActionSet};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::failure::{Failure, FailureCode};
use crate::model::json::Json;
use crate::model::outcome::Outcome;

type Call = dyn Fn(Context, Json) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync;

/// Runs typed async closures in the worker's own process.
///
/// A closure that is asked to stop may watch [`Context::stopped`]; when the grace period is over its future is dropped, which ends it at its
/// next await. An `Err` that it returns after it was asked counts as its end by that request. A closure that blocks its thread cannot be ended: use `tokio::task::spawn_blocking` and check
/// [`Context::stop_requested`] in it.
///
/// ```
/// # use tinpot_core::FunctionExecutor;
/// let executor = FunctionExecutor::builder()
///     .action("add", |_context, (a, b): (i64, i64)| async move { Ok::<_, String>(a + b) })
///     .build()?;
/// # Ok::<_, tinpot_core::Error>(())
/// ```
pub struct FunctionExecutor {
    calls: BTreeMap<String, Arc<Call>>,
    offer: watch::Sender<Arc<ActionSet>>,
    closed: watch::Sender<bool>,
}

/// Collects actions for a [`FunctionExecutor`].
#[derive(Default)]
pub struct FunctionExecutorBuilder {
    actions: Vec<(Action, Arc<Call>)>,
    errors: Vec<Error>,
}

impl FunctionExecutor {
    /// A builder without actions.
    pub fn builder() -> FunctionExecutorBuilder {
        FunctionExecutorBuilder::default()
    }
}

impl FunctionExecutorBuilder {
    /// Adds a closure under `name`, with what [`Action::new`] presets. Its parameters are deserialised from the JSON object that the caller
    /// gave, its result is serialised, and an `Err` becomes an [`Outcome::Failed`] with its `Display` as message.
    #[must_use]
    pub fn action<P, R, E, F, Fut>(self, name: &str, function: F) -> Self
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        R: Serialize + Send + 'static,
        E: fmt::Display + Send + 'static,
        F: Fn(Context, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
    {
        self.action_with(name, |action| action, function)
    }

    /// Like [`action`](Self::action), with a say in group, description, queue, timeout and retries.
    #[must_use]
    pub fn action_with<P, R, E, F, Fut>(
        mut self,
        name: &str,
        describe: impl FnOnce(Action) -> Action,
        function: F,
    ) -> Self
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        R: Serialize + Send + 'static,
        E: fmt::Display + Send + 'static,
        F: Fn(Context, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
    {
        let function = Arc::new(function);
        let call: Arc<Call> = Arc::new(move |context, parameters| {
            let function = function.clone();
            Box::pin(async move {
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
                    Err(e) => Outcome::failed(e.to_string()),
                }
            })
        });
        let action = Action::new(name).and_then(|action| Ok(action.schema(schema_of::<P>()?)));
        match action {
            Ok(action) => self.actions.push((describe(action), call)),
            Err(e) => self.errors.push(e),
        }
        self
    }

    /// The executor.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a bad name, [`ErrorKind::Conflict`] for two actions of one name.
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

/// The schema of `P`, self-contained: definitions are inlined.
fn schema_of<P: JsonSchema>() -> Result<Json> {
    let settings = schemars::generate::SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    Json::serialize(&settings.into_generator().into_root_schema_for::<P>())
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

impl fmt::Debug for FunctionExecutorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionExecutorBuilder")
            .field("actions", &self.actions.len())
            .finish_non_exhaustive()
    }
}
