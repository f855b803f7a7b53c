//! The frame of every case of a conformance suite: its patience, and the report of its failure.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;

/// The default time that a condition may take. Generous, since it costs nothing where all is well.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// The interval at which a condition is polled that cannot be awaited.
const POLL: Duration = Duration::from_millis(2);

tokio::task_local! {
    static CURRENT: Duration;
}

/// Runs one case, and returns its panic message as an error.
///
/// The macros of the suites panic with that message from the test that they emit, so that the
/// location of the failure is in the crate under test.
///
/// # Errors
/// The name of the case and the message of its panic.
pub async fn run(
    name: &str,
    patience: Duration,
    case: impl Future<Output = ()>,
) -> Result<(), String> {
    let case = CURRENT.scope(patience, AssertUnwindSafe(case).catch_unwind());
    // Boxed: the largest cases hold megabytes of futures.
    Box::pin(case).await.map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        let text = text.unwrap_or_else(|| "a panic without a message".to_owned());
        format!("the conformance case `{name}` failed: {text}")
    })
}

/// Returns the patience of the running case. Tasks that a case spawns have the default.
pub(crate) fn patience() -> Duration {
    CURRENT.try_with(|patience| *patience).unwrap_or(PATIENCE)
}

/// Awaits `future`, and panics after the patience of the case.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    within_time(patience(), what, future).await
}

/// Awaits a future that must not wait, and panics after a time that covers a busy machine.
pub(crate) async fn at_once<T>(what: &str, future: impl Future<Output = T>) -> T {
    within_time(patience() / 15, what, future).await
}

async fn within_time<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: still waiting after {limit:?}"),
    }
}

/// Waits until `holds` returns true.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    within(what, async {
        while !holds().await {
            tokio::time::sleep(POLL).await;
        }
    })
    .await;
}

/// Waits a moment before another try.
pub(crate) async fn pause() {
    tokio::time::sleep(POLL).await;
}
