//! A log sink that remembers the last lines.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::{LogBatch, LogSink};
use crate::model::error::Result;
use crate::model::id::ExecutionId;

/// Keeps the last lines of all executions together, for tests and for looking at.
#[derive(Debug)]
pub struct MemoryLogSink {
    capacity_lines: usize,
    lines: Mutex<VecDeque<(ExecutionId, String)>>,
}

impl MemoryLogSink {
    /// A sink that keeps `capacity_lines` lines.
    pub fn new(capacity_lines: usize) -> Self {
        Self { capacity_lines, lines: Mutex::default() }
    }

    /// The lines of one execution, oldest first.
    pub fn lines(&self, execution: ExecutionId) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|(id, _)| *id == execution).map(|(_, line)| line.clone()).collect()
    }
}

#[async_trait]
impl LogSink for MemoryLogSink {
    async fn append(&self, batches: &[LogBatch]) -> Result<()> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        for batch in batches {
            for line in batch.chunks.iter().flat_map(|chunk| &chunk.lines) {
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
}
