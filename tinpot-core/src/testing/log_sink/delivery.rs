//! Lines on their way to a destination that is there.

use futures::FutureExt;

use super::Subject;
use super::support::{append, arrived, batch, batch_of, expect, flush};
use crate::model::log::{Level, Stream};
use crate::testing::case::within;

/// Lines arrive in the order in which they were appended, within a call and across calls.
pub async fn lines_arrive_in_order(subject: &dyn Subject) {
    append(subject, &[batch(1, 1, &["a", "b"]), batch(1, 3, &["c"])]).await;
    append(subject, &[batch(1, 4, &["d"])]).await;
    expect(subject, 1, &["a", "b", "c", "d"]).await;
    append(subject, &[batch(1, 5, &["e"])]).await;
    expect(subject, 1, &["a", "b", "c", "d", "e"]).await;
}

/// Lines of one execution do not turn up in another.
pub async fn executions_are_kept_apart(subject: &dyn Subject) {
    let batches = [batch(1, 1, &["one"]), batch(2, 1, &["two"]), batch(1, 2, &["three"])];
    append(subject, &batches).await;
    expect(subject, 1, &["one", "three"]).await;
    expect(subject, 2, &["two"]).await;
}

/// Appending no batch, appending a batch without lines, and flushing without an append succeed.
pub async fn empty_batches_are_taken(subject: &dyn Subject) {
    flush(subject).await;
    append(subject, &[]).await;
    append(subject, &[batch(1, 1, &[])]).await;
    expect(subject, 1, &[]).await;
}

/// The sink takes every stream of text, every level and any text.
pub async fn every_stream_and_level_is_taken(subject: &dyn Subject) {
    let line = "\u{1b}[31mred\u{1b}[0m \0 \u{fffd} {} %s";
    let mut batches = Vec::new();
    for stream in [Stream::Stdout, Stream::Stderr, Stream::Log, Stream::System] {
        for level in [Level::Debug, Level::Info, Level::Warning, Level::Error] {
            let seq = batches.len() as u64 + 1;
            batches.push(batch_of(1, seq, stream, level, vec![line.to_owned()]));
        }
    }
    append(subject, &batches).await;
    expect(subject, 1, &[line; 16]).await;
}

/// Lines of `Stream::Event` and `Stream::Data` are left out, or kept unchanged, as the subject
/// says.
pub async fn events_and_data_are_no_text(subject: &dyn Subject) {
    let event = r#"{"summary":{"markdown":"done"}}"#;
    let data = "1.1 aGVsbG8=";
    let line =
        |seq, stream, text: &str| batch_of(1, seq, stream, Level::Info, vec![text.to_owned()]);
    let batches = [
        line(1, Stream::Stdout, "before"),
        line(2, Stream::Event, event),
        line(3, Stream::Data, data),
        line(4, Stream::Stdout, "after"),
    ];
    append(subject, &batches).await;
    match subject.keeps_events() {
        true => expect(subject, 1, &["before", event, data, "after"]).await,
        false => expect(subject, 1, &["before", "after"]).await,
    }
}

/// A line of 64 KiB arrives whole, and so do twenty thousand short ones.
pub async fn long_lines_and_many_lines_arrive(subject: &dyn Subject) {
    let long = "é".repeat(32 * 1024);
    append(subject, &[batch(1, 1, &[&long])]).await;
    expect(subject, 1, &[&long]).await;
    let lines: Vec<String> = (0..20_000).map(|n| format!("line {n}")).collect();
    for (round, lines) in lines.chunks(500).enumerate() {
        let first_seq = round as u64 * 500 + 1;
        let batch = batch_of(2, first_seq, Stream::Stdout, Level::Info, lines.to_vec());
        append(subject, &[batch]).await;
    }
    flush(subject).await;
    if let Some(arrived) = arrived(subject, 2).await {
        let tail = &lines[lines.len() - arrived.len().min(lines.len())..];
        assert_eq!(arrived, tail, "the last lines at the destination");
        assert!(!arrived.is_empty(), "none of 20,000 lines arrived");
    }
}

/// After a dropped `append` the same lines can be appended again, and later ones follow them.
pub async fn dropped_append_harms_no_later_one(subject: &dyn Subject) {
    for round in 0..20 {
        let first_seq = round * 2 + 1;
        let batches = [batch(1, first_seq, &["again"]), batch(1, first_seq + 1, &["and again"])];
        let _ = subject.sink().append(&batches).now_or_never();
        append(subject, &batches).await;
    }
    append(subject, &[batch(1, 41, &["the last"])]).await;
    flush(subject).await;
    if let Some(arrived) = arrived(subject, 1).await {
        let tail = &arrived[arrived.len().saturating_sub(3)..];
        assert_eq!(tail, ["again", "and again", "the last"], "the last three lines");
        assert!(arrived.len() >= 41, "{} of 41 lines arrived", arrived.len());
    }
}

/// `close` flushes first.
pub async fn close_flushes(subject: &dyn Subject) {
    append(subject, &[batch(1, 1, &["a"]), batch(1, 2, &["the tail"])]).await;
    let closed = within("close", subject.sink().close()).await;
    assert!(closed.is_ok(), "close failed without an outage: {closed:?}");
    if let Some(arrived) = arrived(subject, 1).await {
        assert_eq!(arrived, ["a", "the tail"], "the lines at the destination after close");
    }
}

/// Closing again succeeds and changes nothing.
pub async fn close_is_idempotent(subject: &dyn Subject) {
    append(subject, &[batch(1, 1, &["a"])]).await;
    for _ in 0..3 {
        let closed = within("close", subject.sink().close()).await;
        assert!(closed.is_ok(), "{closed:?}");
    }
    if let Some(arrived) = arrived(subject, 1).await {
        assert_eq!(arrived, ["a"]);
    }
}
