//! Helpers of the cases.

use std::sync::Arc;

use super::Subject;
use crate::model::id::ExecutionId;
use crate::model::log::{Level, LogBatch, LogChunk, Stream};
use crate::model::time::Timestamp;
use crate::testing::case::within;

pub(super) fn batch(execution: u128, first_seq: u64, lines: &[&str]) -> LogBatch {
    let lines = lines.iter().map(|line| (*line).to_owned()).collect();
    batch_of(execution, first_seq, Stream::Stdout, Level::Info, lines)
}

pub(super) fn batch_of(
    execution: u128,
    first_seq: u64,
    stream: Stream,
    level: Level,
    lines: Vec<String>,
) -> LogBatch {
    let chunk = LogChunk::new(first_seq, Timestamp(first_seq), stream, level, lines);
    LogBatch::new(ExecutionId::from_u128(execution), 1, vec![Arc::new(chunk)])
        .origin("backup", "default")
}

pub(super) async fn append(subject: &dyn Subject, batches: &[LogBatch]) {
    let appended = within("append", subject.sink().append(batches)).await;
    assert!(appended.is_ok(), "append failed without an outage: {appended:?}");
}

pub(super) async fn flush(subject: &dyn Subject) {
    let flushed = within("flush", subject.sink().flush()).await;
    assert!(flushed.is_ok(), "flush failed without an outage: {flushed:?}");
}

/// Returns the lines at the destination; none where it cannot be seen.
pub(super) async fn arrived(subject: &dyn Subject, execution: u128) -> Option<Vec<String>> {
    let id = ExecutionId::from_u128(execution);
    within("reading the destination", subject.lines(id)).await
}

/// Flushes, and asserts which lines are at the destination.
pub(super) async fn expect(subject: &dyn Subject, execution: u128, lines: &[&str]) {
    flush(subject).await;
    if let Some(arrived) = arrived(subject, execution).await {
        assert_eq!(arrived, lines, "the lines at the destination after a flush");
    }
}
