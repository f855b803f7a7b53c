//! The conformance suite of [`Store`](crate::Store).
//!
//! ```ignore
//! async fn store() -> MyStore { … }
//!
//! tinpot_core::store_conformance!(store);
//! ```
//!
//! That makes one test per case, each with a new, empty store; the crate needs `tokio` with `macros` among its dev-dependencies.

use std::sync::Arc;
use std::time::Duration;

use crate::error::ErrorKind;
use crate::execution::{Execution, Outcome, Status};
use crate::id::{ExecutionId, WorkerId};
use crate::json::Json;
use crate::log::{Level, LogChunk, Stream};
use crate::log_sink::LogBatch;
use crate::protocol::{Epoch, Fence};
use crate::store::{ListOptions, Store, Transition};
use crate::time::Timestamp;

/// Emits one test per case of the suite. Takes the path of an async function that gives an empty [`Store`].
#[macro_export]
macro_rules! store_conformance {
    ($factory:path) => {
        $crate::store_conformance! {
            @cases $factory:
            each_opening_is_a_new_epoch
            an_open_store_is_not_opened_again
            an_accepted_execution_is_there
            an_id_is_accepted_once
            an_execution_takes_its_way
            a_stale_fence_changes_nothing
            a_terminal_status_never_changes
            a_batch_is_applied_whole_or_not_at_all
            a_requeued_execution_is_granted_again
            a_cancel_needs_a_live_attempt
            what_waits_is_cancelled_without_a_fence
            what_waits_and_what_is_granted_is_told_after_reopening
            lists_are_filtered_and_paged
            logs_are_read_from_a_sequence
            logs_have_no_gaps_and_no_repeats
            logs_of_nothing_are_refused
            log_batches_are_taken_whole_or_not_at_all
            the_unknown_is_unknown
        }
    };
    (@cases $factory:path: $($case:ident)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                $crate::testing::store::$case($factory().await).await;
            }
        )*
    };
}

const AT: Timestamp = Timestamp(1_000_000);

fn execution(number: u128) -> Arc<Execution> {
    let action = if number.is_multiple_of(2) { "even" } else { "odd" };
    Arc::new(Execution::new(ExecutionId::from_u128(number), action, Json::empty_object()))
}

fn fence(number: u64) -> Fence {
    Fence { epoch: Epoch { instance: 1, number: 1 }, number }
}

fn grant(execution: &Execution, number: u64) -> Transition {
    Transition::Grant {
        execution: execution.id,
        fence: fence(number),
        attempt: 1,
        worker: WorkerId::new("w-1").expect("an id"),
        lease: Duration::from_secs(90),
    }
}

fn finish(execution: &Execution, fence: Option<Fence>) -> Transition {
    Transition::Finish {
        execution: execution.id,
        fence,
        outcome: Outcome::Succeeded(Json::null()),
        ran: None,
        log_end: None,
    }
}

async fn commit(store: &dyn Store, batch: &[Transition]) {
    store.commit(batch, AT).await.expect("a commit");
}

async fn refused(store: &dyn Store, batch: &[Transition]) {
    let error = store.commit(batch, AT).await.expect_err("a condition does not hold");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
}

async fn status(store: &dyn Store, id: ExecutionId) -> Option<Status> {
    store.execution(id).await.expect("a read").map(|execution| execution.status)
}

/// Each life of a coordinator on a store has a number of its own.
pub async fn each_opening_is_a_new_epoch(store: impl Store) {
    let first = store.open().await.expect("open").epoch;
    store.close().await.expect("close");
    let second = store.open().await.expect("open again").epoch;
    assert_eq!(first.instance, second.instance);
    assert!(second.number > first.number, "{first} and then {second}");
}

/// There is one coordinator.
pub async fn an_open_store_is_not_opened_again(store: impl Store) {
    store.open().await.expect("open");
    let error = store.open().await.expect_err("it is open");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    store.close().await.expect("close");
    store.close().await.expect("close again");
    store.open().await.expect("open after the close");
}

/// What is committed is read.
pub async fn an_accepted_execution_is_there(store: impl Store) {
    store.open().await.expect("open");
    let mut new = execution(1);
    commit(&store, &[Transition::Accept(new.clone())]).await;
    let read = store.execution(new.id).await.expect("a read").expect("it is there");
    Arc::make_mut(&mut new).accepted_at = AT;
    assert_eq!(read, new);
}

/// The id of an execution is new.
pub async fn an_id_is_accepted_once(store: impl Store) {
    store.open().await.expect("open");
    commit(&store, &[Transition::Accept(execution(1))]).await;
    refused(&store, &[Transition::Accept(execution(1))]).await;
}

/// Accepted, granted, started, finished: status, times, attempt and outcome are recorded.
pub async fn an_execution_takes_its_way(store: impl Store) {
    store.open().await.expect("open");
    let new = execution(1);
    commit(&store, &[Transition::Accept(new.clone()), grant(&new, 1)]).await;
    assert_eq!(status(&store, new.id).await, Some(Status::Queued));
    commit(&store, &[Transition::Start { execution: new.id, fence: fence(1) }]).await;
    assert_eq!(status(&store, new.id).await, Some(Status::Running));
    commit(&store, &[finish(&new, Some(fence(1)))]).await;
    let read = store.execution(new.id).await.expect("a read").expect("it is there");
    assert_eq!(read.status, Status::Succeeded);
    assert_eq!(read.outcome, Some(Outcome::Succeeded(Json::null())));
    assert_eq!((read.started_at, read.finished_at), (Some(AT), Some(AT)));
    let [attempt] = &read.attempts[..] else { panic!("one attempt, not {:?}", read.attempts) };
    assert_eq!((attempt.number, attempt.fence, attempt.ended_at), (1, fence(1), Some(AT)));
    assert_eq!(attempt.outcome, read.outcome);
}

/// Only the live attempt may change anything.
pub async fn a_stale_fence_changes_nothing(store: impl Store) {
    store.open().await.expect("open");
    let new = execution(1);
    commit(&store, &[Transition::Accept(new.clone()), grant(&new, 2)]).await;
    refused(&store, &[finish(&new, Some(fence(1)))]).await;
    refused(&store, &[finish(&new, None)]).await;
    refused(&store, &[Transition::Start { execution: new.id, fence: fence(3) }]).await;
    refused(&store, &[grant(&new, 3)]).await;
    assert_eq!(status(&store, new.id).await, Some(Status::Queued));
}

/// The end is the end.
pub async fn a_terminal_status_never_changes(store: impl Store) {
    store.open().await.expect("open");
    let new = execution(1);
    commit(
        &store,
        &[Transition::Accept(new.clone()), grant(&new, 1), finish(&new, Some(fence(1)))],
    )
    .await;
    let outcome = Outcome::failed("too late");
    refused(
        &store,
        &[Transition::Finish {
            execution: new.id,
            fence: Some(fence(1)),
            outcome,
            ran: None,
            log_end: None,
        }],
    )
    .await;
    refused(&store, &[grant(&new, 2)]).await;
    refused(&store, &[Transition::Cancelling { execution: new.id }]).await;
    assert_eq!(status(&store, new.id).await, Some(Status::Succeeded));
}

/// One condition that does not hold undoes its whole batch.
pub async fn a_batch_is_applied_whole_or_not_at_all(store: impl Store) {
    store.open().await.expect("open");
    let (good, bad) = (execution(1), execution(2));
    refused(&store, &[Transition::Accept(good.clone()), grant(&good, 1), finish(&bad, None)]).await;
    assert_eq!(status(&store, good.id).await, None);
}

/// A retry: the first attempt has ended, a second one follows, both are recorded.
pub async fn a_requeued_execution_is_granted_again(store: impl Store) {
    store.open().await.expect("open");
    let new = execution(1);
    let outcome = Some(Outcome::failed("once"));
    let requeue = Transition::Requeue {
        execution: new.id,
        fence: fence(1),
        outcome,
        ran: None,
        log_end: None,
        not_before: None,
    };
    commit(&store, &[Transition::Accept(new.clone()), grant(&new, 1), requeue]).await;
    assert_eq!(status(&store, new.id).await, Some(Status::Queued));
    refused(&store, &[finish(&new, Some(fence(1)))]).await;
    commit(&store, &[grant(&new, 2), finish(&new, Some(fence(2)))]).await;
    let read = store.execution(new.id).await.expect("a read").expect("it is there");
    let outcomes: Vec<_> = read.attempts.iter().map(|attempt| attempt.outcome.clone()).collect();
    assert_eq!(outcomes, [Some(Outcome::failed("once")), Some(Outcome::Succeeded(Json::null()))]);
}

/// Only an attempt can be asked to end.
pub async fn a_cancel_needs_a_live_attempt(store: impl Store) {
    store.open().await.expect("open");
    let new = execution(1);
    let cancelling = Transition::Cancelling { execution: new.id };
    commit(&store, &[Transition::Accept(new.clone())]).await;
    refused(&store, std::slice::from_ref(&cancelling)).await;
    commit(&store, &[grant(&new, 1), cancelling]).await;
    assert_eq!(status(&store, new.id).await, Some(Status::Cancelling));
    let outcome = Outcome::Cancelled;
    commit(
        &store,
        &[Transition::Finish {
            execution: new.id,
            fence: Some(fence(1)),
            outcome,
            ran: None,
            log_end: None,
        }],
    )
    .await;
    assert_eq!(status(&store, new.id).await, Some(Status::Cancelled));
}

/// What nobody has taken yet is ended by the coordinator alone.
pub async fn what_waits_is_cancelled_without_a_fence(store: impl Store) {
    store.open().await.expect("open");
    let new = execution(1);
    let cancel = Transition::Finish {
        execution: new.id,
        fence: None,
        outcome: Outcome::Cancelled,
        ran: None,
        log_end: None,
    };
    commit(&store, &[Transition::Accept(new.clone()), cancel]).await;
    assert_eq!(status(&store, new.id).await, Some(Status::Cancelled));
}

/// What has not ended is told to the next coordinator, oldest first.
pub async fn what_waits_and_what_is_granted_is_told_after_reopening(store: impl Store) {
    let opened = store.open().await.expect("open");
    assert!(opened.granted.is_empty() && opened.waiting.is_empty());
    let (first, second, ended) = (execution(1), execution(2), execution(3));
    let accept = [&first, &second, &ended].map(|new| Transition::Accept(new.clone()));
    commit(&store, &accept).await;
    commit(&store, &[grant(&second, 1), finish(&ended, None)]).await;
    store.close().await.expect("close");
    let opened = store.open().await.expect("open again");
    let [granted] = &opened.granted[..] else { panic!("one is granted: {opened:?}") };
    assert_eq!((granted.id, granted.attempts[0].fence), (second.id, fence(1)));
    assert_eq!(opened.longest_lease, Duration::from_secs(90));
    let [waiting] = &opened.waiting[..] else { panic!("one waits: {opened:?}") };
    assert_eq!((&*waiting.queue, &*waiting.action), ("default", "odd"));
    assert_eq!((waiting.ready, waiting.delayed), (1, 0));
}

/// Newest first, page by page, only what was asked for.
pub async fn lists_are_filtered_and_paged(store: impl Store) {
    store.open().await.expect("open");
    for number in 1..=6 {
        commit(&store, &[Transition::Accept(execution(number))]).await;
    }
    commit(&store, &[finish(&execution(2), None)]).await;
    let list = async |options: ListOptions| -> Vec<u128> {
        let executions = store.executions(&options).await.expect("a list");
        executions.iter().map(|execution| execution.id.as_u128()).collect()
    };
    assert_eq!(list(ListOptions::default()).await, [6, 5, 4, 3, 2, 1]);
    assert_eq!(list(ListOptions { limit: 2, ..ListOptions::default() }).await, [6, 5]);
    let before = Some(ExecutionId::from_u128(5));
    assert_eq!(list(ListOptions { limit: 2, before, ..ListOptions::default() }).await, [4, 3]);
    let action = Some("even".to_owned());
    assert_eq!(list(ListOptions { action, ..ListOptions::default() }).await, [6, 4, 2]);
    let status = Some(Status::Succeeded);
    assert_eq!(list(ListOptions { status, ..ListOptions::default() }).await, [2]);
    let queue = Some("elsewhere".to_owned());
    assert!(list(ListOptions { queue, ..ListOptions::default() }).await.is_empty());
}

fn lines(id: ExecutionId, first_seq: u64, count: u64) -> LogBatch {
    let lines = (first_seq..first_seq + count).map(|seq| format!("line {seq}")).collect();
    let chunk = LogChunk { first_seq, time: AT, stream: Stream::Stdout, level: Level::Info, lines };
    LogBatch { execution: id, attempt: 1, chunks: vec![Arc::new(chunk)], ends: false }
}

/// A reader goes on where it stopped, in portions.
pub async fn logs_are_read_from_a_sequence(store: impl Store) {
    store.open().await.expect("open");
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

/// The numbers of a log go on from what is stored.
pub async fn logs_have_no_gaps_and_no_repeats(store: impl Store) {
    store.open().await.expect("open");
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

/// A log belongs to an execution.
pub async fn logs_of_nothing_are_refused(store: impl Store) {
    store.open().await.expect("open");
    let error = store
        .append_logs(&[lines(ExecutionId::from_u128(9), 1, 1)])
        .await
        .expect_err("nobody's lines");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

/// Reading what is not there is no error; changing it is.
pub async fn the_unknown_is_unknown(store: impl Store) {
    store.open().await.expect("open");
    let id = ExecutionId::from_u128(9);
    assert_eq!(store.execution(id).await.expect("a read"), None);
    assert!(store.logs(id, 0, 1_000).await.expect("a read").is_empty());
    refused(&store, &[Transition::Cancelling { execution: id }]).await;
}

/// Lines that cannot be taken take no others with them, and nothing half-way.
pub async fn log_batches_are_taken_whole_or_not_at_all(store: impl Store) {
    store.open().await.expect("open");
    let new = execution(1);
    commit(&store, &[Transition::Accept(new.clone()), grant(&new, 1)]).await;
    let both = [lines(new.id, 1, 2), lines(ExecutionId::from_u128(9), 1, 1)];
    store.append_logs(&both).await.expect_err("nobody's lines");
    assert!(store.logs(new.id, 0, 1_000).await.expect("a read").is_empty());
    store.append_logs(&both[..1]).await.expect("the same lines alone");
}
