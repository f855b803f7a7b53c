//! One log sink out of many.

use std::sync::Arc;

use async_trait::async_trait;

use super::{LogBatch, LogSink};
use crate::model::error::Result;

/// Appends to each of its sinks in turn; the first error is returned, after all were tried.
#[derive(Clone, Debug, Default)]
pub struct TeeLogSink {
    sinks: Vec<Arc<dyn LogSink>>,
}

impl TeeLogSink {
    /// A sink in front of `sinks`.
    pub fn new(sinks: Vec<Arc<dyn LogSink>>) -> Self {
        Self { sinks }
    }
}

#[async_trait]
impl LogSink for TeeLogSink {
    async fn append(&self, batches: &[LogBatch]) -> Result<()> {
        let mut result = Ok(());
        for sink in &self.sinks {
            result = result.and(sink.append(batches).await);
        }
        result
    }

    async fn flush(&self) -> Result<()> {
        let mut result = Ok(());
        for sink in &self.sinks {
            result = result.and(sink.flush().await);
        }
        result
    }
}
