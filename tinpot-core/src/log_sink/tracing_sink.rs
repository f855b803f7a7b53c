//! Log lines of actions as events of `tracing`.

use async_trait::async_trait;

use super::{LogBatch, LogSink};
use crate::model::error::Result;
use crate::model::log::Level;

/// Emits each line as an event of target `tinpot::log`, with the execution and the line's number.
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingLogSink;

#[async_trait]
impl LogSink for TracingLogSink {
    async fn append(&self, batches: &[LogBatch]) -> Result<()> {
        for batch in batches {
            let execution = batch.execution;
            for chunk in &batch.chunks {
                for (seq, line) in (chunk.first_seq..).zip(&chunk.lines) {
                    match chunk.level {
                        Level::Debug => {
                            tracing::debug!(target: "tinpot::log", %execution, seq, "{line}")
                        }
                        Level::Info => {
                            tracing::info!(target: "tinpot::log", %execution, seq, "{line}")
                        }
                        Level::Warning => {
                            tracing::warn!(target: "tinpot::log", %execution, seq, "{line}")
                        }
                        Level::Error => {
                            tracing::error!(target: "tinpot::log", %execution, seq, "{line}")
                        }
                    }
                }
            }
        }
        Ok(())
    }

    async fn flush(&self) -> Result<()> {
        Ok(())
    }
}
