//! Where log lines go on the coordinator, beside the store.

mod forward;
mod memory;
mod tee;
mod tracing_sink;

use std::fmt;

use async_trait::async_trait;

pub use self::memory::MemoryLogSink;
pub use self::tee::TeeLogSink;
pub use self::tracing_sink::TracingLogSink;
use crate::model::error::Result;
pub use crate::model::log::LogBatch;

/// Receives log lines.
///
/// # Contract
/// - **Order**: batches of one execution come in order and without gaps; lines that were lost or cut are told by a line of
///   [`Stream::System`](crate::Stream::System).
/// - **Repeats**: a line is appended once, except that after an error the same batches may come again.
/// - **Waiting**: whoever appends waits for the sink, and the wait reaches the workers as back-pressure; a slow sink buffers on its own,
///   within a bound.
/// - **Cancel safety**: a dropped `append` may have taken any prefix of its batches.
#[async_trait]
pub trait LogSink: fmt::Debug + Send + Sync + 'static {
    /// Takes batches.
    ///
    /// # Errors
    /// Why they were not taken; retryable ones are tried again.
    async fn append(&self, batches: &[LogBatch]) -> Result<()>;

    /// Waits until everything that was appended before is where it belongs.
    ///
    /// # Errors
    /// Why it is not.
    async fn flush(&self) -> Result<()>;
}
