//! A log sink that keeps the last lines in memory.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{LogBatch, LogSink};
use crate::model::error::Result;
use crate::model::id::ExecutionId;

/// Keeps the last lines of text of all executions together, for tests and for a glance at a
/// running system.
///
/// Lines of [`Stream::Event`](crate::Stream::Event) and [`Stream::Data`](crate::Stream::Data) are
/// left out.
///
/// ```
/// # use futures::StreamExt;
/// use std::sync::Arc;
/// # use tinpot_core::{Failure, FunctionExecutor, Level};
/// use tinpot_core::{Local, MemoryLogSink};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let executor = FunctionExecutor::builder()
/// #     .action("greet", |context, ()| async move {
/// #         context.log(Level::Info, "hello\nworld").await;
/// #         Ok::<_, Failure>(())
/// #     })
/// #     .build()?;
/// let sink = Arc::new(MemoryLogSink::new(1_000));
/// let tinpot = Local::builder(executor).log_sink(sink.clone()).start().await?;
/// let id = tinpot.submit("greet", ()).await?.id();
/// # tinpot.handle(id).await?.events(0).collect::<Vec<_>>().await;
/// tinpot.shutdown(std::time::Duration::from_secs(10)).await;
/// assert_eq!(sink.lines(id), ["hello", "world"]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MemoryLogSink {
    capacity_lines: usize,
    lines: Mutex<VecDeque<(ExecutionId, String)>>,
}

impl MemoryLogSink {
    /// Returns a sink that keeps `capacity_lines` lines.
    pub fn new(capacity_lines: usize) -> Self {
        Self { capacity_lines, lines: Mutex::default() }
    }

    /// Returns the lines of one execution, oldest first.
    pub fn lines(&self, execution: ExecutionId) -> Vec<String> {
        let lines = self.lock();
        lines.iter().filter(|(id, _)| *id == execution).map(|(_, line)| line.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(ExecutionId, String)>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl LogSink for MemoryLogSink {
    async fn append(&self, batches: &[LogBatch]) -> Result<()> {
        let mut lines = self.lock();
        for batch in batches {
            for line in batch.text_chunks().flat_map(|chunk| &chunk.lines) {
                if self.capacity_lines == 0 {
                    return Ok(());
                }
                if lines.len() >= self.capacity_lines {
                    lines.pop_front();
                }
                lines.push_back((batch.execution, line.clone()));
            }
        }
        Ok(())
    }

    async fn flush(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
