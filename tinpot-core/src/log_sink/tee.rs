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
