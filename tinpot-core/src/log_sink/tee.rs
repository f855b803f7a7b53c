//! Several log sinks as one.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;

use super::{LogBatch, LogSink};
use crate::model::error::Result;

/// Hands every call to all of its sinks at once, and returns the first error after all are done.
///
/// The sinks wait for each other, and an error of one repeats the batches for all. Where that is
/// not wanted, add each sink by
/// [`CoordinatorBuilder::log_sink`](crate::CoordinatorBuilder::log_sink), which isolates them.
///
/// ```
/// use std::sync::Arc;
/// use tinpot_core::log_sink::LogBatch;
/// use tinpot_core::{ExecutionId, Level, LogChunk, LogSink, MemoryLogSink, Stream, TeeLogSink};
/// # use tinpot_core::Timestamp;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// let (all, recent) = (Arc::new(MemoryLogSink::new(1_000)), Arc::new(MemoryLogSink::new(1)));
/// let sink = TeeLogSink::new(vec![all.clone(), recent.clone()]);
///
/// let (id, lines) = (ExecutionId::generate(), vec!["one".to_owned(), "two".to_owned()]);
/// let chunk = LogChunk::new(1, Timestamp::now(), Stream::Stdout, Level::Info, lines);
/// sink.append(&[LogBatch::new(id, 1, vec![Arc::new(chunk)])]).await?;
/// assert_eq!((all.lines(id).len(), recent.lines(id).len()), (2, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct TeeLogSink {
    sinks: Vec<Arc<dyn LogSink>>,
}

impl TeeLogSink {
    /// Returns a sink in front of `sinks`.
    pub fn new(sinks: Vec<Arc<dyn LogSink>>) -> Self {
        Self { sinks }
    }
}

#[async_trait]
impl LogSink for TeeLogSink {
    async fn append(&self, batches: &[LogBatch]) -> Result<()> {
        join_all(self.sinks.iter().map(|sink| sink.append(batches))).await.into_iter().collect()
    }

    async fn flush(&self) -> Result<()> {
        join_all(self.sinks.iter().map(|sink| sink.flush())).await.into_iter().collect()
    }

    async fn close(&self) -> Result<()> {
        join_all(self.sinks.iter().map(|sink| sink.close())).await.into_iter().collect()
    }
}
