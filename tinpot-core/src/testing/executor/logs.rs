//! The lines that attempts write.

use std::time::Duration;

use futures::future::join_all;
use serde_json::json;

use super::Subject;
use super::support::{Ended, Scratch, run, start, until};

const MANY: u64 = 100_000;

fn check(subject: &Subject, ended: &Ended, prefix: &str, count: u64) {
    let outcome = &ended.outcome;
    let value = if subject.values { count.to_string() } else { "null".to_owned() };
    assert_eq!(outcome.value().map(|v| v.as_str().to_owned()), Some(value), "{outcome:?}");
    assert_eq!(ended.last_seq, count, "every line was there when the future resolved");
    assert_eq!(ended.lines.len() as u64, count);
    for (i, line) in ended.lines.iter().enumerate() {
        assert_eq!(*line, format!("{prefix} {i}"));
    }
}

/// All lines are there when the attempt ends, in the order in which they were written.
pub async fn lines_are_in_order_and_complete(subject: &Subject) {
    for count in [0, 1, 2, 100] {
        check(
            subject,
            &run(subject, "print_lines", json!({ "count": count })).await,
            "line",
            count,
        );
    }
}

/// A hundred thousand lines arrive, as a long build writes them.
pub async fn hundred_thousand_lines_arrive(subject: &Subject) {
    check(subject, &run(subject, "print_lines", json!({ "count": MANY })).await, "line", MANY);
}

/// Attempts that write at the same time do not receive each other's lines, nor those of an earlier
/// attempt.
pub async fn lines_belong_to_their_attempt(subject: &Subject) {
    let attempts = (0..12).map(|i| async move {
        let prefix = format!("attempt {i}");
        let parameters = json!({ "count": 1_000, "prefix": prefix });
        check(subject, &run(subject, "print_lines", parameters).await, &prefix, 1_000);
    });
    join_all(attempts).await;
}

/// While the log is not drained, the action waits and memory is bounded. Then it goes on, and no
/// line is lost.
pub async fn undrained_log_holds_the_action_back(subject: &Subject) {
    let (scratch, long) = (Scratch::new(), "x".repeat(200));
    let dir = scratch.parameters()["dir"].take();
    let parameters = json!({ "count": MANY, "prefix": long, "scratch": dir });
    let running = start(subject, "print_lines", parameters);
    until("the first lines", || running.buffer.last_seq() > 0).await;
    // Time in which the action would end if it did not wait: it writes 20 MB, and may be ahead by a
    // few buffers.
    let held_back = tokio::time::timeout(Duration::from_secs(1), async {
        // Its mark shows an executor that buffers without a bound, although `execute` goes on.
        while !running.is_finished() && !scratch.has("ended") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(held_back.await.is_err(), "the action ended although its log was not drained");
    let ahead = running.buffer.last_seq();
    assert!(ahead < MANY / 4, "{ahead} lines are in memory");
    check(subject, &running.end().await, &long, MANY);
}
