//! The conformance suite of [`LogSink`](crate::LogSink).
//!
//! ```ignore
//! async fn sink() -> MySinkUnderTest { … }
//!
//! tinpot_core::log_sink_conformance!(sink);
//! ```

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::log_sink::LogSink;
use crate::model::id::ExecutionId;
use crate::model::log::LogBatch;
use crate::model::log::{Level, LogChunk, Stream};
use crate::model::time::Timestamp;

/// A sink, and a way to see what has arrived behind it.
#[async_trait]
pub trait Subject: fmt::Debug + Send + Sync {
    /// The sink.
    fn sink(&self) -> &dyn LogSink;

    /// The lines of one execution that have arrived, in order; `None` for a sink behind which nothing can be seen.
    async fn lines(&self, execution: ExecutionId) -> Option<Vec<String>>;
}

/// Emits one test per case of the suite. Takes the path of an async function that gives a
/// [`Subject`](crate::testing::log_sink::Subject).
#[macro_export]
macro_rules! log_sink_conformance {
    ($factory:path) => {
        $crate::log_sink_conformance! {
            @cases $factory:
            lines_arrive_in_order
            executions_are_kept_apart
            nothing_is_fine
            every_stream_and_level_is_taken
        }
    };
    (@cases $factory:path: $($case:ident)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                $crate::testing::log_sink::$case(&$factory().await).await;
            }
        )*
    };
}

fn batch(execution: u128, first_seq: u64, lines: &[&str]) -> LogBatch {
    let lines = lines.iter().map(|line| (*line).to_owned()).collect();
    let chunk = LogChunk::new(first_seq, Timestamp(1), Stream::Stdout, Level::Info, lines);
    LogBatch {
        execution: ExecutionId::from_u128(execution),
        attempt: 1,
        chunks: vec![Arc::new(chunk)],
        ends: false,
    }
}

async fn expect(subject: &dyn Subject, execution: u128, lines: &[&str]) {
    subject.sink().flush().await.expect("a flush");
    if let Some(arrived) = subject.lines(ExecutionId::from_u128(execution)).await {
        assert_eq!(arrived, lines);
    }
}

/// What is appended first comes first, within a call and across calls.
pub async fn lines_arrive_in_order(subject: &dyn Subject) {
    let batches = [batch(1, 1, &["a", "b"]), batch(1, 3, &["c"])];
    subject.sink().append(&batches).await.expect("an append");
    subject.sink().append(&[batch(1, 4, &["d"])]).await.expect("an append");
    expect(subject, 1, &["a", "b", "c", "d"]).await;
}

/// Lines of one execution do not turn up in another.
pub async fn executions_are_kept_apart(subject: &dyn Subject) {
    let batches = [batch(1, 1, &["one"]), batch(2, 1, &["two"]), batch(1, 2, &["three"])];
    subject.sink().append(&batches).await.expect("an append");
    expect(subject, 1, &["one", "three"]).await;
    expect(subject, 2, &["two"]).await;
}

/// Appending nothing, and flushing without having appended, work.
pub async fn nothing_is_fine(subject: &dyn Subject) {
    subject.sink().flush().await.expect("a flush");
    subject.sink().append(&[]).await.expect("an append of nothing");
    subject.sink().append(&[batch(1, 1, &[])]).await.expect("an append of no lines");
    expect(subject, 1, &[]).await;
}

/// No stream and no level is too exotic; neither is any text.
pub async fn every_stream_and_level_is_taken(subject: &dyn Subject) {
    let mut seq = 0;
    let mut batches = Vec::new();
    for stream in [Stream::Stdout, Stream::Stderr, Stream::Log, Stream::System] {
        for level in [Level::Debug, Level::Info, Level::Warning, Level::Error] {
            seq += 1;
            let lines = vec!["\u{1b}[31mred\u{1b}[0m \0 \u{fffd} {} %s".to_owned()];
            let chunk = LogChunk::new(seq, Timestamp(seq), stream, level, lines);
            batches.push(LogBatch {
                execution: ExecutionId::from_u128(1),
                attempt: 1,
                chunks: vec![Arc::new(chunk)],
                ends: false,
            });
        }
    }
    subject.sink().append(&batches).await.expect("an append");
    expect(subject, 1, &["\u{1b}[31mred\u{1b}[0m \0 \u{fffd} {} %s"; 16]).await;
}
