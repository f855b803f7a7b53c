//! Log chunks on their way to stores and log sinks.

use std::sync::Arc;

use super::LogChunk;
use crate::model::id::ExecutionId;

/// Consecutive chunks of one attempt's log.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LogBatch {
    /// The execution.
    pub execution: ExecutionId,
    /// The number of the attempt that wrote the lines.
    pub attempt: u32,
    /// The name of the execution's action. Set for log sinks; empty in batches for a store, which
    /// has the record.
    pub action: Arc<str>,
    /// The queue of the execution. Set for log sinks, like `action`.
    pub queue: Arc<str>,
    /// The chunks, in order. Lines are numbered within the execution.
    pub chunks: Vec<Arc<LogChunk>>,
    /// If true, no further line of this attempt follows, even if more were announced.
    pub ends: bool,
}

impl LogBatch {
    /// Returns a batch without action and queue that does not end the log.
    pub fn new(execution: ExecutionId, attempt: u32, chunks: Vec<Arc<LogChunk>>) -> Self {
        let (action, queue) = (Arc::from(""), Arc::from(""));
        Self { execution, attempt, action, queue, chunks, ends: false }
    }

    /// Sets the names of the action and the queue.
    #[must_use]
    pub fn origin(mut self, action: impl Into<Arc<str>>, queue: impl Into<Arc<str>>) -> Self {
        self.action = action.into();
        self.queue = queue.into();
        self
    }

    /// Sets whether the log of the attempt ends with this batch.
    #[must_use]
    pub fn ends(mut self, ends: bool) -> Self {
        self.ends = ends;
        self
    }

    /// Returns the chunks whose lines are text for people: all but those of
    /// [`Stream::Event`](super::Stream::Event) and [`Stream::Data`](super::Stream::Data).
    pub fn text_chunks(&self) -> impl Iterator<Item = &LogChunk> {
        self.chunks.iter().map(|chunk| &**chunk).filter(|chunk| chunk.stream.is_text())
    }
}
