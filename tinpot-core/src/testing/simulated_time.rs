//! Local deployments on simulated time, for tests of applications.

use std::time::Duration;

use crate::local::{Local, LocalBuilder};
use crate::model::error::{Error, ErrorKind, Result};

/// Runs a test on a local deployment whose time is simulated: while everything waits, the clock
/// jumps to the next deadline, so that a retry after an hour takes no time.
///
/// The deployment is ready when `test` starts, and is shut down afterwards. The test runs on a
/// runtime of its own, so call this from an ordinary `#[test]`.
///
/// Keep the default store, which is in memory. A store with threads of its own, such as
/// `SqliteStore`, never gets ready: tokio jumps to the next deadline while the runtime waits for
/// that thread, so that every deadline passes first. For the same reason, an action must not wait
/// for threads, sockets or processes.
///
/// ```
/// use std::time::Duration;
/// use tinpot_core::testing::with_simulated_time;
/// use tinpot_core::{FunctionExecutor, Local, RetryPolicy};
///
/// let executor = FunctionExecutor::builder()
///     .state(std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0)))
///     .action_with_state("flaky", |_, tinpot_core::State(tries), ()| async move {
///         match tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
///             0 => Err("not yet"),
///             tries => Ok(tries + 1),
///         }
///     })
///     .build()?;
/// let real = std::time::Instant::now();
/// with_simulated_time(Local::builder(executor), async |tinpot| {
///     let hourly = RetryPolicy::fixed(1, Duration::from_secs(3600)).backoff;
///     let before = tokio::time::Instant::now();
///     let execution = tinpot.submit("flaky", ()).retries(1).backoff(hourly).await?;
///     assert_eq!(execution.result::<u32>().await?, 2);
///     assert!(before.elapsed() >= Duration::from_secs(3600 * 3 / 4));
///     Ok::<_, tinpot_core::Error>(())
/// })??;
/// assert!(real.elapsed() < Duration::from_secs(60));
/// # Ok::<_, tinpot_core::Error>(())
/// ```
///
/// # Errors
/// `Other` if the runtime cannot be built, and the errors of [`LocalBuilder::start`].
pub fn with_simulated_time<T>(
    deployment: LocalBuilder,
    test: impl AsyncFnOnce(&Local) -> T,
) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| {
            Error::new(ErrorKind::Other, "no runtime for the test").with_source(error)
        })?;
    runtime.block_on(async {
        let local = deployment.start().await?;
        let result = test(&local).await;
        local.shutdown(Duration::ZERO).await;
        Ok(result)
    })
}
