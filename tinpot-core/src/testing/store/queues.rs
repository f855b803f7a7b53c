//! Queues: pages of waiting executions.

use std::sync::Arc;
use std::time::Duration;

use super::{accept, commit, fence, finish, grant, ids, open, read, refused, with};
use crate::model::deployed::BundleRef;
use crate::model::digest::Digest;
use crate::model::execution::Execution;
use crate::model::id::ExecutionId;
use crate::model::json::Json;
use crate::model::page::{QueueOrder, QueuePage};
use crate::model::time::Timestamp;
use crate::model::transition::Transition;
use crate::store::{Session, Store};

pub(super) fn ready(queue: &str, action: &str, after: Option<(i32, u128)>) -> QueueOrder {
    let after = after.map(|(priority, id)| (-i64::from(priority), ExecutionId::from_u128(id)));
    let (queue, action) = (queue.into(), action.into());
    QueueOrder::Ready { queue, action, runtime: None, after }
}

pub(super) fn ready_for(queue: &str, action: &str, runtime: &str) -> QueueOrder {
    let (queue, action, runtime) = (queue.into(), action.into(), Some(runtime.into()));
    QueueOrder::Ready { queue, action, runtime, after: None }
}

/// Pins an execution to a version that needs this runtime.
pub(super) fn pinned(number: u128, version: u32, runtime: &str) -> Arc<Execution> {
    let bundle = BundleRef::new(version, Digest::from([version as u8; 32]), runtime);
    with(number, |new| new.bundle = Some(Arc::new(bundle)))
}

pub(super) fn delayed(after: Option<(u64, u128)>) -> QueueOrder {
    let after = after.map(|(time, id)| (Timestamp(time), ExecutionId::from_u128(id)));
    QueueOrder::Delayed { after }
}

pub(super) async fn page(session: &dyn Session, order: QueueOrder, limit: usize) -> Vec<u128> {
    let page = QueuePage { order, limit, max_bytes: usize::MAX };
    ids(&session.queued(&page).await.expect("a page"))
}

/// Ready executions of a queue and an action come by priority, then by age. Those of another team
/// with the same names wait apart.
pub async fn ready_executions_are_paged_by_priority(store: impl Store) {
    let store = open(store).await;
    let of = |number: u128, priority: i32| {
        with(number, |new| {
            new.action = "act".into();
            new.priority = priority;
            new.parameters = Json::serialize(&"x".repeat(98)).expect("JSON");
        })
    };
    let all = [of(1, 0), of(2, i32::MIN), of(3, 5), of(4, i32::MAX), of(5, 5), of(6, 0), of(7, 5)];
    let elsewhere = with(8, |new| (new.action, new.queue) = ("act".into(), "elsewhere".into()));
    let later = with(9, |new| {
        (new.action, new.not_before) = ("act".into(), Some(Timestamp(9)));
    });
    let (granted, ended) = (of(10, 9), of(11, 9));
    let of_team = with(13, |new| (new.action, new.team) = ("act".into(), "team".into()));
    accept(&store, &all.each_ref()).await;
    accept(&store, &[&of_team]).await;
    accept(&store, &[&elsewhere, &later, &with(12, |_| {}), &granted, &ended]).await;
    commit(&store, &[grant(&granted, 1), finish(&ended, None)]).await;
    let order = |after| ready("default", "act", after);
    assert_eq!(page(&store, order(None), 100).await, [4, 3, 5, 7, 1, 6, 2]);
    assert_eq!(page(&store, order(None), 3).await, [4, 3, 5]);
    assert_eq!(page(&store, order(Some((5, 5))), 3).await, [7, 1, 6]);
    assert_eq!(page(&store, order(Some((0, 6))), 3).await, [2]);
    assert!(page(&store, order(Some((i32::MIN, 2))), 3).await.is_empty());
    // The execution before the page may be gone.
    commit(&store, &[finish(&all[4], None)]).await;
    assert_eq!(page(&store, order(Some((5, 5))), 2).await, [7, 1]);
    assert_eq!(page(&store, ready("elsewhere", "act", None), 9).await, [8]);
    assert_eq!(page(&store, ready("default", "team/act", None), 9).await, [13]);
    assert!(page(&store, ready("elsewhere", "even", None), 9).await.is_empty());
    // The page ends with the execution that exceeds the bound. Each has 100 bytes.
    for (max_bytes, count) in [(0, 1), (99, 1), (100, 2), (250, 3)] {
        let page = QueuePage { order: order(None), limit: 100, max_bytes };
        assert_eq!(store.queued(&page).await.expect("a page").len(), count, "{max_bytes} bytes");
    }
    let read = store.queued(&QueuePage { order: order(None), limit: 1, max_bytes: 1 }).await;
    assert_eq!(read.expect("a page")[0].parameters, all[3].parameters);
}

/// Executions with bundles wait apart by the runtimes that they need, and from those without.
pub async fn executions_with_bundles_wait_by_runtime(store: impl Store) {
    let store = open(store).await;
    let first = with(9, |new| {
        *new = (*pinned(9, 2, "script")).clone();
        new.priority = 1;
    });
    let team = with(11, |new| {
        *new = (*pinned(11, 1, "script")).clone();
        new.team = "team".into();
    });
    let all =
        [with(1, |_| {}), pinned(3, 1, "script"), pinned(5, 1, "process"), pinned(7, 2, "script")];
    accept(&store, &all.each_ref()).await;
    accept(&store, &[&first, &team]).await;
    let script = || ready_for("default", "odd", "script");
    assert_eq!(page(&store, script(), 9).await, [9, 3, 7]);
    assert_eq!(page(&store, ready_for("default", "odd", "process"), 9).await, [5]);
    assert_eq!(page(&store, ready("default", "odd", None), 9).await, [1]);
    assert_eq!(page(&store, ready_for("default", "team/odd", "script"), 9).await, [11]);
    assert!(page(&store, ready_for("default", "odd", "python"), 9).await.is_empty());
    assert_eq!(read(&store, all[3].id).await.bundle, all[3].bundle);
    commit(&store, &[grant(&all[1], 1), finish(&first, None)]).await;
    assert_eq!(page(&store, script(), 9).await, [7]);
    let requeue = Transition::Requeue {
        execution: all[1].id,
        fence: fence(1),
        outcome: None,
        ran: None,
        log_end: None,
        not_before: None,
    };
    commit(&store, &[requeue]).await;
    assert_eq!(page(&store, script(), 9).await, [3, 7]);
    assert_eq!(read(&store, all[1].id).await.bundle, all[1].bundle);
}

/// Delayed executions come by their time, across queues and actions.
pub async fn delayed_executions_are_paged_by_time(store: impl Store) {
    let store = open(store).await;
    let at = |number: u128, time: u64| with(number, |new| new.not_before = Some(Timestamp(time)));
    let elsewhere = with(5, |new| {
        (new.queue, new.not_before) = ("elsewhere".into(), Some(Timestamp(15)));
    });
    let (granted, ended) = (at(6, 1), at(7, 2));
    let all = [at(1, 30), at(2, 10), at(3, 20), at(4, 10)];
    accept(&store, &all.each_ref()).await;
    accept(&store, &[&elsewhere, &with(8, |_| {}), &granted, &ended]).await;
    commit(&store, &[grant(&granted, 1), finish(&ended, None)]).await;
    assert_eq!(page(&store, delayed(None), 100).await, [2, 4, 5, 3, 1]);
    assert_eq!(page(&store, delayed(None), 1).await, [2]);
    assert_eq!(page(&store, delayed(Some((10, 2))), 2).await, [4, 5]);
    assert_eq!(page(&store, delayed(Some((15, 5))), 9).await, [3, 1]);
    assert!(page(&store, delayed(Some((30, 1))), 9).await.is_empty());
}

/// Waiting executions past their expiry are found, ready or delayed. Granted ones do not wait.
pub async fn expired_executions_are_found(store: impl Store) {
    let store = open(store).await;
    let at = |number: u128, time: u64| with(number, |new| new.expires_at = Some(Timestamp(time)));
    let late = with(4, |new| {
        (new.expires_at, new.not_before) = (Some(Timestamp(15)), Some(Timestamp(1_000)));
    });
    let (granted, ended) = (at(5, 1), at(6, 2));
    let all = [at(1, 30), at(2, 20), at(3, 10)];
    accept(&store, &all.each_ref()).await;
    accept(&store, &[&late, &granted, &ended, &with(7, |_| {})]).await;
    commit(&store, &[grant(&granted, 1), finish(&ended, None)]).await;
    let expired = |at| QueueOrder::Expired { at: Timestamp(at) };
    assert!(page(&store, expired(9), 9).await.is_empty());
    assert_eq!(page(&store, expired(20), 9).await, [3, 4, 2]);
    assert_eq!(page(&store, expired(1_000), 2).await, [3, 4]);
    // After a requeue, it waits again.
    let requeue = Transition::Requeue {
        execution: granted.id,
        fence: fence(1),
        outcome: None,
        ran: None,
        log_end: None,
        not_before: None,
    };
    commit(&store, &[requeue]).await;
    assert_eq!(page(&store, expired(10), 9).await, [5, 3]);
}

/// `Ready` moves a delayed execution to its position in the queue.
pub async fn ready_ends_a_delay(store: impl Store) {
    let store = open(store).await;
    let late = with(1, |new| new.not_before = Some(Timestamp(10)));
    let (other, running) = (with(3, |_| {}), with(5, |_| {}));
    accept(&store, &[&late, &other, &running]).await;
    commit(&store, &[grant(&running, 1)]).await;
    assert_eq!(page(&store, ready("default", "odd", None), 9).await, [3]);
    commit(&store, &[Transition::Ready { execution: late.id }]).await;
    assert_eq!(page(&store, ready("default", "odd", None), 9).await, [1, 3]);
    assert!(page(&store, delayed(None), 9).await.is_empty());
    assert_eq!(read(&store, late.id).await.not_before, None);
    refused(&store, &[Transition::Ready { execution: running.id }]).await;
    refused(&store, &[Transition::Ready { execution: with(9, |_| {}).id }]).await;
    commit(&store, &[finish(&late, None)]).await;
    refused(&store, &[Transition::Ready { execution: late.id }]).await;
}

/// A grant clears the delay of an execution; a retry may set another one.
pub async fn a_grant_ends_a_delay_and_a_retry_sets_one(store: impl Store) {
    let store = open(store).await;
    let late = with(1, |new| new.not_before = Some(Timestamp(10)));
    accept(&store, &[&late]).await;
    commit(&store, &[grant(&late, 1)]).await;
    assert_eq!(read(&store, late.id).await.not_before, None);
    assert!(page(&store, delayed(None), 9).await.is_empty());
    let requeue = |number, not_before| Transition::Requeue {
        execution: late.id,
        fence: fence(number),
        outcome: None,
        ran: Some(Duration::ZERO),
        log_end: None,
        not_before,
    };
    commit(&store, &[requeue(1, Some(Timestamp(20)))]).await;
    assert_eq!(read(&store, late.id).await.not_before, Some(Timestamp(20)));
    assert_eq!(page(&store, delayed(Some((10, 1))), 9).await, [1]);
    // Within one batch as well.
    commit(&store, &[grant(&late, 2), requeue(2, Some(Timestamp(30)))]).await;
    assert_eq!(page(&store, delayed(Some((20, 1))), 9).await, [1]);
    assert!(page(&store, delayed(Some((30, 1))), 9).await.is_empty());
    commit(&store, &[grant(&late, 3), requeue(3, None)]).await;
    assert!(page(&store, delayed(None), 9).await.is_empty());
    assert_eq!(page(&store, ready("default", "odd", None), 9).await, [1]);
}
