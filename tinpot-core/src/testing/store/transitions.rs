//! Transitions: their effects and their conditions.

use std::sync::Arc;
use std::time::Duration;

use super::{
    AT, accept, commit, execution, fence, finish, grant, lines, open, read, refused, status, with,
};
use crate::model::digest::Digest;
use crate::model::error::ErrorKind;
use crate::model::failure::Failure;
use crate::model::id::ExecutionId;
use crate::model::json::Json;
use crate::model::outcome::Outcome;
use crate::model::retry::{Backoff, RetryPolicy};
use crate::model::status::Status;
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::store::{Session, Store};

/// Each session of a store has an epoch of its own.
pub async fn each_opening_is_a_new_epoch(store: impl Store) {
    let first = open(store).await;
    let epoch = first.opened.epoch;
    let second = open(first.closed().await).await.opened.epoch;
    assert_eq!(epoch.instance, second.instance);
    assert!(second.number > epoch.number, "{epoch} and then {second}");
}

/// A store has one session at a time.
pub async fn an_open_store_is_not_opened_again(store: impl Store) {
    let store = open(store).await;
    let error = store.open().await.expect_err("it is open");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    store.close().await.expect("close");
    store.close().await.expect("close again");
    open(store.closed().await).await;
}

/// A session that was closed writes nothing, even while a later one is open.
pub async fn a_closed_session_writes_nothing(store: impl Store) {
    let (_, earlier) = store.open().await.expect("open");
    let kept = execution(1);
    commit(&*earlier, &[Transition::Accept(kept.clone()), grant(&kept, 1)]).await;
    earlier.close().await.expect("close");
    let write = async |session: &dyn Session| {
        let error = session.commit(&[Transition::Accept(execution(2))], AT).await;
        assert_eq!(error.expect_err("a closed session").kind(), ErrorKind::Closed);
        let error = session.append_logs(&[lines(kept.id, 1, 1)]).await;
        assert_eq!(error.expect_err("a closed session").kind(), ErrorKind::Closed);
    };
    write(&*earlier).await;
    let store = open(store).await;
    write(&*earlier).await;
    earlier.close().await.expect("close again");
    commit(&store, &[Transition::Accept(execution(3))]).await;
    assert_eq!(status(&store, execution(2).id).await, None);
    assert_eq!(read(&store, kept.id).await.log_lines(), 0);
}

/// A session that is dropped without being closed does not keep the store from being opened.
pub async fn a_dropped_session_frees_the_store(store: impl Store) {
    let store = open(store).await;
    let new = execution(1);
    commit(&store, &[Transition::Accept(new.clone())]).await;
    let store = open(store.crashed()).await;
    assert_eq!(status(&store, new.id).await, Some(Status::Queued));
}

/// A read after a commit sees it.
pub async fn an_accepted_execution_is_returned(store: impl Store) {
    let store = open(store).await;
    let mut new = execution(1);
    commit(&store, &[Transition::Accept(new.clone())]).await;
    let read = store.execution(new.id).await.expect("a read").expect("it is there");
    Arc::make_mut(&mut new).accepted_at = AT;
    assert_eq!(read, new);
}

/// Every field of an execution is kept.
pub async fn everything_about_an_execution_is_kept(store: impl Store) {
    let store = open(store).await;
    let new = with(1, |new| {
        new.queue = "elsewhere".into();
        new.parameters =
            Json::parse(r#"{ "text": "\u00e9\n", "list": [1.50, null] }"#).expect("JSON");
        new.priority = -7;
        new.timeout = Some(Duration::from_millis(1_500));
        let backoff = Backoff::exponential(Duration::from_millis(250)).jitter(0.5);
        new.retry = RetryPolicy::new(3, backoff).max_lost_attempts(2);
        new.not_before = Some(Timestamp(2_000_000));
        new.expires_at = Some(Timestamp(u64::from(u32::MAX) * 1_000_000));
        new.idempotency_key = Some("a key, with \"quotes\" and é".into());
        new.requested_by = Some("O'Neill <é>".into());
    });
    accept(&store, &[&new]).await;
    let mut expected = (*new).clone();
    expected.accepted_at = AT;
    assert_eq!(*read(&store, new.id).await, expected);
    let failure = Failure::new("it broke").kind("ValueError").traceback("line 1\nline 2");
    let requeue = Transition::Requeue {
        execution: new.id,
        fence: fence(1),
        outcome: Some(Outcome::Failed(failure)),
        ran: Some(Duration::from_micros(1_234)),
        log_end: Some(5),
        not_before: Some(Timestamp(3_000_000)),
    };
    let cancel = |by: Option<&str>, force| Transition::CancelRequested {
        execution: new.id,
        by: by.map(Into::into),
        force,
    };
    let value = Outcome::Succeeded(Json::parse("{\"answer\": 42.0}").expect("JSON"));
    let finish = Transition::Finish {
        execution: new.id,
        fence: Some(fence(2)),
        outcome: value,
        ran: Some(Duration::from_millis(2)),
        log_end: None,
    };
    for (transition, at) in [
        (grant(&new, 1), 4_000_000),
        (Transition::Start { execution: new.id, fence: fence(1) }, 4_000_001),
        (cancel(None, true), 4_000_002),
        (cancel(Some("Åsa \"<a>\""), false), 4_000_003),
        (cancel(Some("Bo"), false), 4_000_004),
        (Transition::Killed { execution: new.id, fence: fence(1) }, 4_000_005),
        (requeue, 5_000_000),
        (grant(&new, 2), 6_000_000),
        (finish, 7_000_000),
    ] {
        let at = Timestamp(at);
        store.commit(std::slice::from_ref(&transition), at).await.expect("a commit");
        transition.apply(&mut expected, at);
        assert_eq!(*read(&store, new.id).await, expected, "after {transition:?}");
    }
    let request = expected.cancel_request.expect("it was requested");
    assert_eq!((request.by.as_deref(), request.force), (Some("Åsa \"<a>\""), true));
}

/// The secrets of an execution that forgets them are there until it ends, and erased then; those of
/// others stay.
pub async fn secrets_that_are_forgotten_are_erased_at_the_end(store: impl Store) {
    let store = open(store).await;
    let text = |filling: usize| {
        let filling = "x".repeat(filling);
        format!(r#"{{"open":"{filling}","token":["canary",1.50],"deep":{{"token":"canary"}}}}"#)
    };
    let with = |number: u128, filling, forgets| {
        with(number, |new| {
            new.parameters = Json::parse(text(filling)).expect("JSON");
            new.secrets = vec!["/token".to_owned(), "/deep/token".to_owned()];
            new.forgets_secrets = forgets;
            new.secrets_digest = forgets.then(|| format!("digest {number}").into());
            new.uploads = vec![Digest::from([7; 32])];
        })
    };
    // Short and long ones; one that ends in the batch in which it begins; and one that keeps them.
    let short = with(1, 1, true);
    let long = with(2, 100_000, true);
    let keeping = with(4, 1, false);
    accept(&store, &[&short, &long, &keeping]).await;
    commit(&store, &[grant(&short, 1), grant(&long, 2), grant(&keeping, 3)]).await;
    for execution in [&short, &long] {
        assert_eq!(read(&store, execution.id).await.parameters, execution.parameters);
    }
    let at_once = with(3, 1, true);
    commit(&store, &[Transition::Accept(at_once.clone()), finish(&at_once, None)]).await;
    let ends = [(&short, 1), (&long, 2), (&keeping, 3)];
    let ends = ends.map(|(execution, number)| finish(execution, Some(fence(number))));
    commit(&store, &ends).await;
    let store = store.reopened().await;
    for execution in [&short, &long, &at_once] {
        let read = read(&store, execution.id).await;
        assert!(read.has_forgotten_secrets() && read.secrets == execution.secrets);
        assert_eq!(read.secrets_digest, execution.secrets_digest);
        assert_eq!(read.uploads, execution.uploads);
        let expected = execution.parameters.as_str();
        let expected = expected.replace(r#"["canary",1.50]"#, r#""***""#);
        assert_eq!(read.parameters.as_str(), expected.replace("canary", "***"));
    }
    let kept = read(&store, keeping.id).await;
    assert!(!kept.has_forgotten_secrets() && kept.parameters == keeping.parameters);
}

/// Payloads of megabytes are kept as they are.
pub async fn large_payloads_are_kept(store: impl Store) {
    let store = open(store).await;
    let text = "payload ".repeat(250_000);
    let value = Json::serialize(&text).expect("JSON");
    let new = with(1, |new| new.parameters = Json::serialize(&[&text]).expect("JSON"));
    accept(&store, &[&new]).await;
    let finish = Transition::Finish {
        execution: new.id,
        fence: Some(fence(1)),
        outcome: Outcome::Succeeded(value.clone()),
        ran: None,
        log_end: None,
    };
    commit(&store, &[grant(&new, 1), finish]).await;
    let read = read(&store, new.id).await;
    assert!(read.parameters == new.parameters, "the parameters are others");
    assert!(read.outcome == Some(Outcome::Succeeded(value)), "the result is another");
}

/// The id of an accepted execution must be new.
pub async fn an_id_is_accepted_once(store: impl Store) {
    let store = open(store).await;
    commit(&store, &[Transition::Accept(execution(1))]).await;
    refused(&store, &[Transition::Accept(execution(1))]).await;
}

/// Accepted, granted, started, finished: status, times, attempt and outcome are recorded.
pub async fn an_execution_runs_from_accept_to_finish(store: impl Store) {
    let store = open(store).await;
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

/// Transitions with the fence of another attempt are refused.
pub async fn a_stale_fence_changes_nothing(store: impl Store) {
    let store = open(store).await;
    let new = execution(1);
    commit(&store, &[Transition::Accept(new.clone()), grant(&new, 2)]).await;
    refused(&store, &[finish(&new, Some(fence(1)))]).await;
    refused(&store, &[finish(&new, None)]).await;
    refused(&store, &[Transition::Start { execution: new.id, fence: fence(3) }]).await;
    refused(&store, &[grant(&new, 3)]).await;
    assert_eq!(status(&store, new.id).await, Some(Status::Queued));
}

/// No transition changes an ended execution.
pub async fn a_terminal_status_never_changes(store: impl Store) {
    let store = open(store).await;
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

/// One refused transition fails its whole batch.
pub async fn a_batch_is_applied_whole_or_not_at_all(store: impl Store) {
    let store = open(store).await;
    let (good, bad) = (execution(1), execution(2));
    refused(&store, &[Transition::Accept(good.clone()), grant(&good, 1), finish(&bad, None)]).await;
    assert_eq!(status(&store, good.id).await, None);
}

/// A retry: the first attempt has ended, a second one follows, both are recorded.
pub async fn a_requeued_execution_is_granted_again(store: impl Store) {
    let store = open(store).await;
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

/// A cancel is recorded for live attempts alone.
pub async fn a_cancel_needs_a_live_attempt(store: impl Store) {
    let store = open(store).await;
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

/// The coordinator ends a waiting execution without a fence.
pub async fn a_waiting_execution_is_finished_without_a_fence(store: impl Store) {
    let store = open(store).await;
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

/// Reading an unknown execution is no error; changing one is.
pub async fn reads_of_unknown_executions_are_empty(store: impl Store) {
    let store = open(store).await;
    let id = ExecutionId::from_u128(9);
    assert_eq!(store.execution(id).await.expect("a read"), None);
    assert!(store.logs(id, 0, 1_000).await.expect("a read").is_empty());
    refused(&store, &[Transition::Cancelling { execution: id }]).await;
}
