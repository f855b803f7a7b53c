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
