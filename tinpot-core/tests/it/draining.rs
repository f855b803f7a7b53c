//! Workers that drain.

use std::time::Duration;

use tinpot_core::{
    Coordinator, ErrorKind, FunctionExecutor, MemoryNetwork, Status, SubmitOptions, Timestamp,
    Worker, WorkerId, WorkerInfo,
};
use tokio::sync::watch;

use crate::support::{Nothing, available, in_time, outcome, submit};

struct World {
    network: MemoryNetwork,
    coordinator: Coordinator,
    /// The gate that `hold` waits for.
    gate: watch::Sender<bool>,
}

impl World {
    async fn start() -> Self {
        let network = MemoryNetwork::new();
        let coordinator = Coordinator::builder(network.transport()).start().await;
        let coordinator = coordinator.expect("a coordinator");
        Self { network, coordinator, gate: watch::Sender::new(false) }
    }

    async fn worker(&self, name: &str) -> Worker {
        let gate = self.gate.clone();
        let executor = FunctionExecutor::builder()
            .action("hold", move |_, Nothing {}| {
                let mut gate = gate.subscribe();
                async move {
                    gate.wait_for(|open| *open).await.map_err(|e| e.to_string())?;
                    Ok::<_, String>(())
                }
            })
            .build()
            .expect("an executor");
        let worker = Worker::builder(self.network.transport()).name(name).slots(1);
        let worker = worker.executor(executor).start().await.expect("a worker");
        available(&self.coordinator, "hold").await;
        worker
    }

    /// Waits until the workers satisfy the condition.
    async fn until(&self, what: &str, are: impl Fn(&[WorkerInfo]) -> bool) -> Vec<WorkerInfo> {
        let mut changes = self.coordinator.changes();
        in_time(what, async {
            loop {
                let workers = self.coordinator.workers().await.expect("it lives");
                if are(&workers) {
                    return workers;
                }
                changes.next().await.expect("it lives");
            }
        })
        .await
    }
}

#[tokio::test]
async fn a_drained_worker_finishes_its_attempts_and_takes_no_others() {
    let world = World::start().await;
    let before = Timestamp::now();
    let worker = world.worker("leaves").await;
    let id = worker.id().clone();
    let running = submit(&world.coordinator, "hold", SubmitOptions::new()).await.expect("accepted");
    let runs = |workers: &[WorkerInfo]| workers.iter().any(|w| w.running.iter().any(|r| r.started));
    let workers = world.until("an attempt", runs).await;
    assert_eq!((workers[0].draining, workers[0].version.as_str()), (false, "0.1.0"));
    assert!(workers[0].started_at.is_some_and(|at| at >= before && at <= Timestamp::now()));
    world.coordinator.drain_worker(&id).await.expect("it lives");
    in_time("the request", worker.drain_requested()).await;
    let workers = world.until("its hello", |workers| workers[0].slots == 0).await;
    assert!(workers[0].draining);
    assert!(!world.coordinator.catalogue()["hold"].available);
    let waiting = submit(&world.coordinator, "hold", SubmitOptions::new()).await.expect("accepted");
    let queues = world.coordinator.queues().await.expect("it lives");
    let reason = queues[0].reason.as_deref().expect("something waits");
    assert!(reason.contains("draining"), "{reason}");
    world.gate.send_replace(true);
    // A program does this when it is asked to stop.
    in_time("its end", worker.shutdown(Duration::from_secs(30))).await;
    assert_eq!(outcome(&running).await.status(), Status::Succeeded);
    world.until("its goodbye", <[_]>::is_empty).await;
    assert_eq!(waiting.status(), Status::Queued);
    let _next = world.worker("stays").await;
    assert_eq!(outcome(&waiting).await.status(), Status::Succeeded);
    let error = world.coordinator.drain_worker(&id).await.expect_err("it is gone");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

#[tokio::test]
async fn others_are_not_asked() {
    let world = World::start().await;
    let (leaves, stays) = (world.worker("leaves").await, world.worker("stays").await);
    world.until("both", |workers| workers.len() == 2).await;
    world.coordinator.drain_worker(leaves.id()).await.expect("it lives");
    in_time("the request", leaves.drain_requested()).await;
    let workers = world.until("a hello", |workers| workers.iter().any(|w| w.slots == 0)).await;
    let draining: Vec<&WorkerId> =
        workers.iter().filter(|worker| worker.draining).map(|worker| &worker.id).collect();
    assert_eq!(draining, [leaves.id()]);
    world.gate.send_replace(true);
    for _ in 0..5 {
        let handle = submit(&world.coordinator, "hold", SubmitOptions::new()).await;
        let handle = handle.expect("accepted");
        outcome(&handle).await;
        let execution = handle.execution().await.expect("it is known");
        assert_eq!(execution.attempts[0].worker, *stays.id());
    }
}
