//! Helpers for tests of whole clusters.

use std::future::Future;
use std::sync::LazyLock;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tinpot_core::{Coordinator, ExecutionHandle, Json, Outcome, SubmitOptions};

/// The longest time that any step may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// The parameters of an action without parameters.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Nothing {}

/// The parameters of an action that takes a number.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Number {
    pub(crate) number: u64,
}

pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("{what}: not in time"))
}

/// Waits until a live worker offers the action.
pub(crate) async fn available(coordinator: &Coordinator, action: &str) {
    let mut catalogue = coordinator.watch_catalogue();
    let there =
        catalogue.wait_for(|catalogue| catalogue.get(action).is_some_and(|entry| entry.available));
    in_time("an action", there).await.expect("a catalogue");
}

/// Submits an action without parameters.
pub(crate) async fn submit(
    coordinator: &Coordinator,
    action: &str,
    options: SubmitOptions,
) -> tinpot_core::Result<ExecutionHandle> {
    coordinator.submit(action, Json::empty_object()).options(options).await
}

pub(crate) async fn outcome(handle: &ExecutionHandle) -> Outcome {
    in_time("an outcome", handle.outcome()).await.expect("an outcome")
}

/// Makes the subscriber hear the events of this thread, also those that another thread reaches
/// first.
///
/// With one dispatcher alone, `tracing` asks that of the thread that reaches an event first, which
/// has none here, and keeps the answer for all.
pub(crate) fn subscribe(
    subscriber: impl tracing::Subscriber + Send + Sync,
) -> tracing::subscriber::DefaultGuard {
    static ANOTHER: LazyLock<tracing::Dispatch> =
        LazyLock::new(|| tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new()));
    LazyLock::force(&ANOTHER);
    tracing::subscriber::set_default(subscriber)
}
