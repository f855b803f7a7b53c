//! Log chunks on their way to stores and sinks.

use std::sync::Arc;

use super::LogChunk;
use crate::model::id::ExecutionId;

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
