//! Log lines.

use std::sync::Arc;

use super::{AT, commit, execution, fence, grant, lines, open, read};
use crate::model::error::ErrorKind;
use crate::model::execution::AttemptRecord;
use crate::model::id::ExecutionId;
use crate::model::log::LogBatch;
use crate::model::log::{Level, LogChunk, Stream};
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::store::{Session, Store};

/// A log is read in portions, from any line.
pub async fn logs_are_read_from_a_sequence(store: impl Store) {
    let store = open(store).await;
    let new = execution(1);
    commit(&store, &[Transition::Accept(new.clone()), grant(&new, 1)]).await;
    for first in [1, 11, 21] {
        store.append_logs(&[lines(new.id, first, 10)]).await.expect("lines");
    }
    for after in [0, 5, 10, 29, 30, 1_000] {
        let (mut seen, mut seq) = (Vec::new(), after);
        loop {
            let chunks = store.logs(new.id, seq, 1).await.expect("a read");
            let Some(last) = chunks.last() else { break };
            seen.extend(
                chunks.iter().filter_map(|chunk| chunk.after(seq)).flat_map(|chunk| chunk.lines),
            );
            assert!(last.last_seq() > seq, "reading goes on");
            seq = last.last_seq();
        }
        let expected: Vec<String> = (after + 1..=30).map(|seq| format!("line {seq}")).collect();
        assert_eq!(seen, expected, "after {after}");
    }
}

/// Lines must continue the stored log.
pub async fn logs_have_no_gaps_and_no_repeats(store: impl Store) {
    let store = open(store).await;
    let new = execution(1);
    commit(&store, &[Transition::Accept(new.clone()), grant(&new, 1)]).await;
    store.append_logs(&[lines(new.id, 1, 2)]).await.expect("lines");
    for first in [1, 2, 4] {
        let error =
            store.append_logs(&[lines(new.id, first, 1)]).await.expect_err("a gap or a repeat");
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    }
    store.append_logs(&[lines(new.id, 3, 1)]).await.expect("the next line");
}

/// Lines of an unknown execution are refused.
pub async fn logs_of_unknown_executions_are_refused(store: impl Store) {
    let store = open(store).await;
    let error = store
        .append_logs(&[lines(ExecutionId::from_u128(9), 1, 1)])
        .await
        .expect_err("lines of an unknown execution or attempt");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

/// A batch that is refused stores none of the lines of its call.
pub async fn log_batches_are_stored_whole_or_not_at_all(store: impl Store) {
    let store = open(store).await;
    let new = execution(1);
    commit(&store, &[Transition::Accept(new.clone()), grant(&new, 1)]).await;
    let both = [lines(new.id, 1, 2), lines(ExecutionId::from_u128(9), 1, 1)];
    store.append_logs(&both).await.expect_err("lines of an unknown execution or attempt");
    assert!(store.logs(new.id, 0, 1_000).await.expect("a read").is_empty());
    store.append_logs(&both[..1]).await.expect("the same lines alone");
}

/// Lines are counted by attempt, and the end of a log may be known before or after its lines.
pub async fn lines_are_counted_by_attempt(store: impl Store) {
    let store = open(store).await;
    let new = execution(1);
    commit(&store, &[Transition::Accept(new.clone()), grant(&new, 1)]).await;
    store.append_logs(&[lines(new.id, 1, 2)]).await.expect("lines");
    let requeue = Transition::Requeue {
        execution: new.id,
        fence: fence(1),
        outcome: None,
        ran: None,
        log_end: Some(4),
        not_before: None,
    };
    let mut second = grant(&new, 2);
    if let Transition::Grant { attempt, .. } = &mut second {
        *attempt = 2;
    }
    commit(&store, &[requeue, second]).await;
    // One call with late lines of the first attempt, one of the second, and another of the first.
    let of_second = LogBatch { attempt: 2, ..lines(new.id, 4, 1) };
    let all = [lines(new.id, 3, 1), of_second, lines(new.id, 5, 1)];
    store.append_logs(&all).await.expect("lines");
    let execution = read(&store, new.id).await;
    let counts: Vec<u64> = execution.attempts.iter().map(|attempt| attempt.log_lines).collect();
    assert_eq!((counts, execution.log_lines()), (vec![4, 1], 5));
    assert!(!execution.attempts.iter().any(AttemptRecord::log_is_open));
    let error = store.append_logs(&[LogBatch { attempt: 3, ..lines(new.id, 6, 1) }]).await;
    assert_eq!(
        error.expect_err("lines of an unknown execution or attempt").kind(),
        ErrorKind::NotFound
    );
    // A batch without lines can end a log whose announced lines are missing.
    let finish = Transition::Finish {
        execution: new.id,
        fence: Some(fence(2)),
        outcome: crate::Outcome::Cancelled,
        ran: None,
        log_end: Some(9),
    };
    commit(&store, &[finish]).await;
    assert!(read(&store, new.id).await.log_is_open());
    let ends = LogBatch::new(new.id, 2, Vec::new()).ends(true);
    store.append_logs(&[ends]).await.expect("an end");
    let ended = read(&store, new.id).await;
    assert_eq!((ended.log_is_open(), ended.attempts[1].log_end), (false, Some(1)));
}

/// Every line is read with its stream, level and time, from any line and in any portions.
pub async fn a_long_log_is_read_as_it_was_written(store: impl Store) {
    let store = open(store).await;
    let new = execution(1);
    commit(&store, &[Transition::Accept(new.clone()), grant(&new, 1)]).await;
    let kinds = [
        (Stream::Stdout, Level::Info),
        (Stream::Stderr, Level::Error),
        (Stream::Log, Level::Debug),
        (Stream::System, Level::Warning),
    ];
    let mut written = Vec::new();
    for round in 0..300_u64 {
        // From one line to hundreds. One is longer than many others together.
        let count = if round.is_multiple_of(50) { 400 } else { round % 7 + 1 };
        let (stream, level) = kinds[(round % 4) as usize];
        let time = Timestamp(AT.0 + round);
        let first_seq = written.len() as u64 + 1;
        let text = |seq: u64| match seq {
            500 => "é\u{1b}[31m\t\"\\".repeat(20_000),
            _ => format!("line {seq} of a log that is long enough to be kept in several pieces"),
        };
        let lines: Vec<String> = (first_seq..first_seq + count).map(text).collect();
        written.extend(lines.iter().map(|line| (time, stream, level, line.clone())));
        let chunks = vec![Arc::new(LogChunk::new(first_seq, time, stream, level, lines))];
        let batch = LogBatch::new(new.id, 1, chunks);
        store.append_logs(&[batch]).await.expect("lines");
    }
    let total = written.len() as u64;
    for (after, max_bytes) in [(0, 1), (0, 100_000), (499, 1), (777, 1_000), (total - 1, 1 << 20)] {
        let mut seq = after;
        loop {
            let chunks = store.logs(new.id, seq, max_bytes).await.expect("a read");
            let Some(last) = chunks.last() else { break };
            let most: usize =
                chunks[..chunks.len() - 1].iter().map(|chunk| chunk.size_bytes()).sum();
            assert!(most < max_bytes || chunks.len() == 1, "{most} bytes of {max_bytes}");
            let after_last = last.last_seq();
            let from = seq;
            for chunk in chunks.iter().filter_map(|chunk| chunk.after(from)) {
                assert_eq!(chunk.first_seq, seq + 1, "from {after}, by {max_bytes} bytes");
                for line in &chunk.lines {
                    let found = (chunk.time, chunk.stream, chunk.level, line.clone());
                    assert!(found == written[seq as usize], "line {} is another", seq + 1);
                    seq += 1;
                }
            }
            assert_eq!(seq, after_last);
        }
        assert_eq!(seq, total, "from {after}, by {max_bytes} bytes");
    }
}
