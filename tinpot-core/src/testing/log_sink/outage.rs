//! Destinations that are away for a while. A destination that cannot be away is held to that.

use super::support::{append, arrived, batch, batch_of, flush};
use super::{Faults, Subject};
use crate::model::error::Error;
use crate::model::log::{Level, LogBatch, Stream};
use crate::testing::case::{patience, pause, within};

/// More than any sink may buffer, in MiB.
const FLOOD_MIB: u64 = 256;

/// Without faults: the sink takes and flushes all lines.
async fn assert_never_away(subject: &dyn Subject) {
    for seq in 1..=100 {
        append(subject, &[batch(1, seq, &["a line"])]).await;
        flush(subject).await;
    }
}

fn assert_retryable(what: &str, error: &Error) {
    assert!(error.is_retryable(), "{what} in an outage must return a retryable error: {error:?}");
}

/// Appends and flushes lines, one at a time, until either fails. Adds the accepted ones to `taken`.
async fn append_until_error(subject: &dyn Subject, seq: &mut u64, taken: &mut Vec<String>) {
    within("an error in an outage, from append or flush", async {
        loop {
            let line = format!("line {seq}");
            match subject.sink().append(&[batch(1, *seq, &[&line])]).await {
                Ok(()) => taken.push(line),
                Err(error) => return assert_retryable("append", &error),
            }
            *seq += 1;
            if let Err(error) = subject.sink().flush().await {
                return assert_retryable("flush", &error);
            }
            pause().await;
        }
    })
    .await;
}

async fn retried(subject: &dyn Subject, batches: &[LogBatch]) {
    within("append and flush succeed after the outage", async {
        while let Err(error) = subject.sink().append(batches).await {
            assert_retryable("append", &error);
            pause().await;
        }
        while let Err(error) = subject.sink().flush().await {
            assert_retryable("flush", &error);
            pause().await;
        }
    })
    .await;
}

/// In an outage `append` or `flush` returns a retryable error. Afterwards the same lines can be
/// appended again, and every line that was taken arrives, in order.
pub async fn errors_can_be_retried(subject: &dyn Subject) {
    let Some(faults) = subject.faults() else { return assert_never_away(subject).await };
    append(subject, &[batch(1, 1, &["line 1"])]).await;
    flush(subject).await;
    let (mut seq, mut taken) = (2, vec!["line 1".to_owned()]);
    for _ in 0..2 {
        within("the outage begins", faults.cut()).await;
        append_until_error(subject, &mut seq, &mut taken).await;
        within("the outage ends", faults.restore()).await;
        let line = format!("line {seq}");
        retried(subject, &[batch(1, seq, &[&line])]).await;
        taken.push(line);
        seq += 1;
    }
    let Some(arrived) = arrived(subject, 1).await else { return };
    // Repeats are allowed after an error, gaps are not.
    let mut expected = taken.iter().peekable();
    for line in &arrived {
        expected.next_if(|next| *next == line);
    }
    let missing: Vec<_> = expected.collect();
    assert!(missing.is_empty(), "lines were taken and never arrived: {missing:?} of {arrived:?}");
}

/// In an outage the sink waits or refuses lines before it has buffered 256 MiB.
pub async fn outage_fills_no_memory(subject: &dyn Subject) {
    let lines: Vec<String> = (0..1024).map(|_| "x".repeat(1024)).collect();
    let batch = |seq| batch_of(1, seq, Stream::Stdout, Level::Info, lines.clone());
    let Some(faults) = subject.faults() else {
        for round in 0..FLOOD_MIB / 8 {
            append(subject, &[batch(round * 1024 + 1)]).await;
        }
        return flush(subject).await;
    };
    within("the outage begins", faults.cut()).await;
    let mut taken = 0;
    while taken < FLOOD_MIB {
        let batches = [batch(taken * 1024 + 1)];
        let appending = subject.sink().append(&batches);
        match tokio::time::timeout(patience() / 15, appending).await {
            Ok(Ok(())) => taken += 1,
            Ok(Err(error)) => {
                assert_retryable("append", &error);
                break;
            }
            // It waits, and the coordinator with it: nothing more is buffered.
            Err(_) => break,
        }
    }
    within("the outage ends", faults.restore()).await;
    assert!(taken < FLOOD_MIB, "the sink buffered {taken} MiB in an outage");
}

/// `close` returns in an outage, with an error if lines are lost.
pub async fn close_returns_in_an_outage(subject: &dyn Subject) {
    let Some(faults): Option<&dyn Faults> = subject.faults() else {
        return assert_never_away(subject).await;
    };
    append(subject, &[batch(1, 1, &["before"])]).await;
    flush(subject).await;
    within("the outage begins", faults.cut()).await;
    let appended = within("append", subject.sink().append(&[batch(1, 2, &["after"])])).await;
    let closed = within("close in an outage", subject.sink().close()).await;
    within("the outage ends", faults.restore()).await;
    if appended.is_ok()
        && closed.is_ok()
        && let Some(arrived) = arrived(subject, 1).await
    {
        let last = arrived.last().map(String::as_str);
        assert_eq!(last, Some("after"), "close succeeded and the line did not arrive");
    }
}
