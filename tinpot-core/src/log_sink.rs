//! Log sinks: receivers of log lines on the coordinator, besides the store.

mod feed;
mod forward;
mod memory;
mod tee;
mod tracing_sink;

use std::fmt;

use async_trait::async_trait;

pub(crate) use self::feed::LogSinkFeeds;
pub use self::memory::MemoryLogSink;
pub use self::tee::TeeLogSink;
pub use self::tracing_sink::TracingLogSink;
use crate::model::error::Result;
pub use crate::model::log::LogBatch;

/// Receives log lines after the store has them.
///
/// # Contract
/// - **Order**: the coordinator makes one call at a time. Lines of one execution arrive in order
///   and numbered; a gap in the numbers shows lines that this sink lost. Lines that the coordinator
///   itself never received are reported by a line of [`Stream::System`](crate::Stream::System).
/// - **Streams**: a batch also carries [`Stream::Event`](crate::Stream::Event) and
///   [`Stream::Data`](crate::Stream::Data), whose lines are no text for people. A sink that prints
///   reads [`LogBatch::text_chunks`].
/// - **Errors**: after a retryable error the coordinator appends the same batches again, with
///   pauses that grow from 100 ms to 5 s, for 30 s. After that, or after any other error, the
///   lines are lost to this sink. A warning says how many. So an implementation may see batches
///   again, but only after an error.
/// - **Isolation**: each sink of a [`Coordinator`](crate::Coordinator) has a queue of 16 MiB and a
///   task of its own. A sink that fails, hangs or is slow delays neither the store nor watchers nor
///   other sinks. Lines that find no room in its queue are lost to it and counted in a warning.
/// - **Bounds**: an implementation that buffers does so within a bound, and waits or answers
///   `Overloaded` at the bound.
/// - **Cancel safety**: a dropped `append` may have taken any prefix of its batches. The
///   coordinator drops a call that takes longer than 30 s, or longer than a shutdown waits.
/// - **Shutdown**: [`Coordinator::shutdown`](crate::Coordinator::shutdown) appends what waits, then
///   flushes, then closes; all sinks together have 5 s for that. If the coordinator is dropped
///   instead, nothing of this happens.
///
/// # Example
///
/// ```
/// # use futures::StreamExt;
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use tinpot_core::log_sink::LogBatch;
/// use tinpot_core::{Failure, FunctionExecutor, Level, Local, LogSink, Result};
///
/// /// Counts the lines of text.
/// #[derive(Debug, Default)]
/// struct LineCount(AtomicUsize);
///
/// #[async_trait::async_trait]
/// impl LogSink for LineCount {
///     async fn append(&self, batches: &[LogBatch]) -> Result<()> {
///         let chunks = batches.iter().flat_map(LogBatch::text_chunks);
///         self.0.fetch_add(chunks.map(|chunk| chunk.lines.len()).sum(), Ordering::Relaxed);
///         Ok(())
///     }
///
///     async fn flush(&self) -> Result<()> {
///         Ok(())
///     }
///
///     async fn close(&self) -> Result<()> {
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let executor = FunctionExecutor::builder()
/// #     .action("greet", |context, ()| async move {
/// #         context.log(Level::Info, "hello\nworld").await;
/// #         Ok::<_, Failure>(())
/// #     })
/// #     .build()?;
/// let count = Arc::new(LineCount::default());
/// let tinpot = Local::builder(executor).log_sink(count.clone()).start().await?;
/// let execution = tinpot.submit("greet", ()).await?;
/// # execution.events(0).collect::<Vec<_>>().await;
/// # execution.outcome().await?;
/// tinpot.shutdown(std::time::Duration::from_secs(10)).await;
/// assert_eq!(count.0.load(Ordering::Relaxed), 2);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait LogSink: fmt::Debug + Send + Sync + 'static {
    /// Takes batches. `Ok` means taken, not yet written.
    ///
    /// # Errors
    /// `Unavailable`, `Overloaded` or `TimedOut` to receive the same batches again; any other kind
    /// to lose them.
    async fn append(&self, batches: &[LogBatch]) -> Result<()>;

    /// Waits until all appended lines have reached their destination.
    ///
    /// The coordinator flushes within about a second of an append, and at a shutdown.
    ///
    /// # Errors
    /// `Unavailable`, `Overloaded` or `TimedOut` to be flushed again later; any other kind if lines
    /// are lost.
    async fn flush(&self) -> Result<()>;

    /// Flushes and releases all resources. Idempotent. The coordinator calls nothing afterwards.
    ///
    /// # Errors
    /// Any kind, if lines are lost or a resource cannot be released. The coordinator logs it.
    async fn close(&self) -> Result<()>;
}
