//! A store that an earlier version wrote.
//!
//! `tests/data/v0.1.0.db` was written by version 0.1.0 with the steps below. The memory store of
//! this version takes the same steps, and both stores must hold the same records afterwards.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use tinpot_core::log_sink::LogBatch;
use tinpot_core::store::{ListOptions, Opened, QueueOrder, QueuePage, Session, Transition};
use tinpot_core::testing::store::open;
use tinpot_core::{
    Action, Backoff, Execution, Failure, Json, Level, LogChunk, MemoryStore, Outcome, Parent,
    RetryPolicy, Store, Stream, Timestamp, WorkerId,
};
use tinpot_core::{Epoch, Fence, Owner};

use crate::support::{accept as accept_plain, commit, id, log, place, store, wait_for};

enum Step {
    Commit(Vec<Transition>),
    Append(LogBatch),
}

fn fence(number: u64) -> Fence {
    Fence { epoch: Epoch { instance: 1, number: 1 }, number }
}

fn accept(number: u128, change: impl FnOnce(&mut Execution)) -> Transition {
    let mut execution = Execution::new(id(number), "act", Json::empty_object());
    change(&mut execution);
    Transition::Accept(Arc::new(execution))
}

fn grant(number: u128, fence_number: u64, attempt: u32) -> Transition {
    Transition::Grant {
        execution: id(number),
        fence: fence(fence_number),
        attempt,
        worker: WorkerId::new("w-1").expect("an id"),
        lease: Duration::from_secs(60 + fence_number),
    }
}

fn finish(number: u128, fence_number: Option<u64>, outcome: Outcome) -> Transition {
    Transition::Finish {
        execution: id(number),
        fence: fence_number.map(fence),
        outcome,
        ran: Some(Duration::from_millis(5)),
        log_end: Some(if number == 11 { 4_000 } else { 3 }),
    }
}

fn lines(number: u128, attempt: u32, first_seq: u64, count: u64) -> Step {
    let text = |seq| format!("line {seq} of {number}: \u{1b}[31mé\t\"\\");
    let lines = (first_seq..first_seq + count).map(text).collect();
    let (stream, level) = match first_seq % 2 {
        0 => (Stream::Stderr, Level::Error),
        _ => (Stream::Stdout, Level::Info),
    };
    let chunk = LogChunk::new(first_seq, Timestamp(first_seq), stream, level, lines);
    let chunks = vec![Arc::new(chunk)];
    Step::Append(LogBatch::new(id(number), attempt, chunks))
}

/// Every status, every option, and logs of every kind: none, short, packed, of two attempts, open.
fn steps() -> Vec<Step> {
    let action = Action::new("act").expect("a name").description("Acts. é").priority(3);
    let schema = Json::parse(r#"{"type": "object", "properties": {"b": {}, "a": {}}}"#);
    let action = action.schema(schema.expect("JSON")).timeout(Duration::from_secs(9));
    let failure = Failure::new("it broke").kind("ValueError").traceback("line 1\nline 2");
    let requeue = |number: u128, fence_number, not_before| Transition::Requeue {
        execution: id(number),
        fence: fence(fence_number),
        outcome: Some(Outcome::Failed(failure.clone())),
        ran: Some(Duration::from_micros(1_234)),
        log_end: Some(2),
        not_before,
    };
    let start = |number: u128, fence_number| Transition::Start {
        execution: id(number),
        fence: fence(fence_number),
    };
    let mut steps = vec![Step::Commit(vec![
        Transition::Offer(Arc::new(action)),
        Transition::Offer(Arc::new(Action::new("other").expect("a name"))),
        Transition::Pause { queue: "paused é".into(), since: Timestamp(77) },
        Transition::Pause { queue: "resumed".into(), since: Timestamp(78) },
        Transition::Resume { queue: "resumed".into() },
        accept(1, |new| {
            new.queue = "elsewhere".into();
            new.parameters =
                Json::parse(r#"{ "text": "\u00e9\n", "list": [1.50, null] }"#).expect("JSON");
            new.priority = -7;
            new.timeout = Some(Duration::from_millis(1_500));
            let backoff = Backoff::exponential(Duration::from_millis(250)).jitter(0.5);
            new.retry = RetryPolicy::new(3, backoff).max_lost_attempts(2);
            new.not_before = Some(Timestamp(2_000_000));
            new.expires_at = Some(Timestamp(9_000_000_000));
            new.idempotency_key = Some("a key, with \"quotes\" and é".into());
            new.requested_by = Some("O'Neill <é>".into());
            new.secrets = vec!["/text".to_owned()];
        }),
        accept(2, |new| {
            new.parameters = Json::parse(format!("[\"{}\"]", "x".repeat(3_000))).expect("JSON")
        }),
        accept(3, |new| {
            let (execution, fence) = (id(11), fence(11));
            new.parent = Some(Parent::new(execution, fence).waits(true));
        }),
        accept(4, |new| new.action = "other".into()),
        accept(5, |_| {}),
        accept(6, |_| {}),
        accept(7, |_| {}),
        accept(8, |_| {}),
        accept(9, |_| {}),
        accept(10, |_| {}),
        accept(11, |_| {}),
        accept(12, |_| {}),
        accept(13, |new| new.idempotency_key = Some("of an ended one".into())),
    ])];
    let grants = (4..=12).map(|number| grant(number, number as u64, 1));
    steps.push(Step::Commit(grants.collect()));
    steps.push(Step::Commit((5..=12).map(|number| start(number, number as u64)).collect()));
    steps.extend((0..40).map(|part| lines(11, 1, 1 + part * 100, 100)));
    steps.push(lines(10, 1, 1, 3));
    steps.push(lines(6, 1, 1, 2));
    steps.push(Step::Commit(vec![
        requeue(6, 6, None),
        grant(6, 20, 2),
        requeue(12, 12, Some(Timestamp(3_000_000))),
        Transition::Cancelling { execution: id(7) },
        finish(8, Some(8), Outcome::Failed(failure.clone())),
        finish(9, Some(9), Outcome::TimedOut),
        finish(10, Some(10), Outcome::Lost),
        finish(11, Some(11), Outcome::Succeeded(Json::parse("{\"answer\": 42.0}").expect("JSON"))),
        finish(13, None, Outcome::Cancelled),
    ]));
    steps.push(lines(6, 2, 3, 1));
    steps
}

/// Returns the state at the opening, without the epoch.
fn described(opened: &Opened) -> String {
    let Opened { granted, open_logs, waiting, longest_lease, actions, paused, .. } = opened;
    let mut open_logs = open_logs.clone();
    open_logs.sort_unstable_by_key(|execution| execution.id);
    let mut waiting = waiting.clone();
    waiting.sort_unstable();
    format!("{granted:#?} {open_logs:#?} {waiting:#?} {longest_lease:?} {actions:#?} {paused:?}")
}

#[tokio::test]
async fn a_store_of_version_0_1_0_opens_and_keeps_everything() {
    let memory = open(MemoryStore::new()).await;
    for (number, step) in steps().into_iter().enumerate() {
        let at = Timestamp(1_000_000 * (1 + number as u64));
        match step {
            Step::Commit(batch) => memory.commit(&batch, at).await.expect("a commit"),
            Step::Append(batch) => memory.append_logs(&[batch]).await.expect("lines"),
        }
    }
    let memory = memory.reopened().await;
    let (_directory, path) = place();
    fs::write(&path, include_bytes!("../data/v0.1.0.db")).expect("a copy");
    let mut stored = open(store(&path)).await;
    // It can be searched soon, also if the store is opened again before.
    stored = stored.reopened().await;
    for (text, found) in [("neill", vec![1]), ("valueerror broke", vec![8]), ("other", vec![4])] {
        let search = ListOptions::new().search(text);
        wait_for("the history to be indexed", async || {
            let list = stored.executions(&search).await.expect("a list");
            let list: Vec<u128> = list.iter().map(|found| found.id.as_u128()).collect();
            if list == found { Ok(()) } else { Err(list) }
        })
        .await;
    }
    // Once as it was written, and once as this version has left it.
    for _ in 0..2 {
        assert_eq!(described(&stored.opened), described(&memory.opened));
        assert_eq!(stored.opened.granted.len(), 4);
        let all = ListOptions::default();
        let expected = memory.executions(&all).await.expect("a list");
        assert_eq!(stored.executions(&all).await.expect("a list"), expected);
        assert_eq!(expected.len(), 13);
        for number in 1..=13 {
            assert_eq!(log(&stored, number).await, log(&memory, number).await, "{number}");
        }
        for order in [
            QueueOrder::Ready {
                queue: "default".into(),
                action: "act".into(),
                runtime: None,
                after: None,
            },
            QueueOrder::Delayed { after: None },
            QueueOrder::Expired { at: Timestamp(u64::MAX) },
        ] {
            let page = QueuePage::new(order, 100, usize::MAX);
            let expected = memory.queued(&page).await.expect("a page");
            assert_eq!(stored.queued(&page).await.expect("a page"), expected);
            assert!(!expected.is_empty(), "{page:?}");
        }
        let taken = accept(99, |new| new.idempotency_key = Some("of an ended one".into()));
        stored.commit(&[taken], Timestamp(1)).await.expect_err("the key is taken");
        stored = stored.reopened().await;
    }
    assert_eq!(stored.opened.epoch.number, 5);
    // The logs and the attempts go on.
    let Step::Append(more) = lines(10, 1, 4, 2) else { panic!("lines") };
    stored.append_logs(&[more]).await.expect("lines");
    commit(&stored, &[finish(7, Some(7), Outcome::Cancelled), accept_plain(14)]).await;
}

#[tokio::test]
async fn keys_of_earlier_versions_that_look_like_present_ones_are_kept_apart() {
    let (_directory, path) = place();
    fs::write(&path, include_bytes!("../data/v0.1.0.db")).expect("a copy");
    let earlier = ["u/x", "u///u/x", "c/x", "u///c/x", "u///u///u/x"];
    let connection = rusqlite::Connection::open(&path).expect("a connection");
    for (number, key) in (1..).zip(earlier) {
        let set = "UPDATE executions SET idempotency_key = ?1 WHERE id = \
                   (SELECT id FROM executions ORDER BY id LIMIT 1 OFFSET ?2)";
        assert_eq!(connection.execute(set, (key, number)).expect("a change"), 1);
    }
    drop(connection);
    let store = open(store(&path)).await;
    for (number, given) in (1..).zip(earlier) {
        let key = Owner::unknown().idempotency_key(given);
        let found = store.executions(&ListOptions::new().idempotency_key(&*key)).await;
        let found: Vec<u128> =
            found.expect("a list").iter().map(|found| found.id.as_u128()).collect();
        assert_eq!(found, [number + 1], "{given}");
    }
}
