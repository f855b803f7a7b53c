//! The changes that a reader of all executions sees.

use std::time::Duration;

use tinpot_core::{
    Changes, Coordinator, ExecutionHandle, FunctionExecutor, MemoryNetwork, Status, SubmitOptions,
    Worker,
};

use crate::support::{Nothing, available, in_time, outcome, submit};

async fn cluster() -> (Coordinator, Worker) {
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).start().await;
    let coordinator = coordinator.expect("a coordinator");
    let executor = FunctionExecutor::builder()
        .action("nothing", |_, Nothing {}| async move { Ok::<_, String>(()) })
        .build()
        .expect("an executor");
    let worker = Worker::builder(network.transport()).executor(executor).start().await;
    available(&coordinator, "nothing").await;
    (coordinator, worker.expect("a worker"))
}

async fn ended(coordinator: &Coordinator) -> ExecutionHandle {
    let handle = submit(coordinator, "nothing", SubmitOptions::new()).await.expect("accepted");
    outcome(&handle).await;
    handle
}

/// Reads changes until one reports that the execution has ended.
async fn told_ended(coordinator: &Coordinator, changes: &mut Changes, handle: &ExecutionHandle) {
    loop {
        let changed = in_time("a change", changes.next()).await.expect("it lives");
        if !changed.executions.contains(&handle.id()) {
            continue;
        }
        let execution = coordinator.execution(handle.id()).await.expect("read").expect("known");
        if execution.status == Status::Succeeded {
            return;
        }
    }
}

#[tokio::test]
async fn a_change_is_announced_once_it_is_readable_and_once_per_answer() {
    let (coordinator, _worker) = cluster().await;
    let mut changes = coordinator.changes();
    let handle = ended(&coordinator).await;
    told_ended(&coordinator, &mut changes, &handle).await;
    assert!(changes.take().executions.is_empty(), "every change was taken before");
    let (first, second) = (ended(&coordinator).await, ended(&coordinator).await);
    let changed = in_time("a change", changes.next()).await.expect("it lives");
    assert_eq!(changed.executions, [first.id(), second.id()], "of several changes each the last");
    assert!(changed.workers && changed.queues && !changed.missed, "{changed:?}");
    assert!(!changed.catalogue, "{changed:?}");
}

#[tokio::test]
async fn a_reader_that_sleeps_learns_that_it_missed_some() {
    let (coordinator, _worker) = cluster().await;
    let (mut sleeper, mut awake) = (coordinator.changes(), coordinator.changes());
    let mut last = None;
    // More changes than a coordinator remembers.
    for _ in 0..50 {
        let batch: Vec<_> = futures::future::join_all((0..100).map(|_| ended(&coordinator))).await;
        last = batch.last().map(ExecutionHandle::id);
        assert!(!awake.take().missed);
    }
    let changed = sleeper.take();
    assert!(changed.missed, "{} changes", changed.executions.len());
    assert!(changed.executions.len() <= 4_096, "{} changes", changed.executions.len());
    assert!(last.is_some_and(|last| changed.executions.contains(&last)), "the latest are there");
    assert!(!sleeper.take().missed, "it has caught up");
}

#[tokio::test]
async fn a_worker_that_leaves_changes_workers_queues_and_catalogue() {
    let (coordinator, worker) = cluster().await;
    let mut changes = coordinator.changes();
    worker.shutdown(Duration::ZERO).await;
    let (mut workers, mut queues, mut catalogue) = (false, false, false);
    while !(workers && queues && catalogue) {
        let changed = in_time("a change", changes.next()).await.expect("it lives");
        workers |= changed.workers;
        queues |= changed.queues;
        catalogue |= changed.catalogue;
        assert!(changed.executions.is_empty(), "{changed:?}");
    }
}

#[tokio::test]
async fn the_end_of_the_coordinator_ends_it() {
    let (coordinator, _worker) = cluster().await;
    let mut changes = coordinator.changes();
    coordinator.shutdown().await;
    while in_time("the end", changes.next()).await.is_some() {}
}
