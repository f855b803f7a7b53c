//! Where log lines go on the coordinator, beside the store.

mod forward;
mod memory;
mod tee;
mod tracing_sink;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

pub use self::memory::MemoryLogSink;
pub use self::tee::TeeLogSink;
pub use self::tracing_sink::TracingLogSink;
use crate::error::Result;
use crate::id::ExecutionId;
use crate::log::LogChunk;

/// Chunks of one execution's log, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct LogBatch {
    /// The execution.
    pub execution: ExecutionId,
    /// The number of the attempt that wrote them.
    pub attempt: u32,
    /// The chunks; numbered within the execution, without gaps.
    pub chunks: Vec<Arc<LogChunk>>,
    /// No further lines of this attempt will come, even if more were announced.
    pub ends: bool,
}

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
