//! Paused queues, as operators and callers see them.

use std::sync::Arc;
use std::time::Duration;

use tinpot_core::{
    Backoff, Context, Coordinator, ErrorKind, ExecutionHandle, FunctionExecutor, MemoryNetwork,
    MemoryStore, Outcome, Status, SubmitOptions, Worker,
};
use tinpot_core::{ProtocolConfig, QueueInfo};
use tokio::sync::watch;

use crate::support::{Nothing, available, in_time, outcome, submit};

struct World {
    network: MemoryNetwork,
    store: Arc<MemoryStore>,
    /// The gate that `hold` waits for.
    gate: watch::Sender<bool>,
}

impl World {
    fn new() -> Self {
        let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
        Self { network, store, gate: watch::Sender::new(false) }
    }

    async fn coordinator(&self) -> Coordinator {
        let mut config = ProtocolConfig::default();
        // The window is small, so that the tests exceed it.
        config.queue_window = 8;
        let builder = Coordinator::builder(self.network.transport()).config(config);
        builder.store(self.store.clone()).start().await.expect("a coordinator")
    }

    async fn worker(&self) -> Worker {
        let gate = self.gate.clone();
        let executor = FunctionExecutor::builder()
            .action("hold", move |_: Context, Nothing {}| {
                let mut gate = gate.subscribe();
                async move {
                    gate.wait_for(|open| *open).await.map_err(|e| e.to_string())?;
                    Ok::<_, String>(())
                }
            })
            .action("fail", |_, Nothing {}| async move { Err::<(), _>("no") })
            .action("nothing", |_, Nothing {}| async move { Ok::<_, String>(()) })
            .build()
            .expect("an executor");
        let worker = Worker::builder(self.network.transport()).executor(executor).slots(2);
        worker.start().await.expect("a worker")
    }

    async fn cluster(&self) -> (Coordinator, Worker) {
        let coordinator = self.coordinator().await;
        let worker = self.worker().await;
        available(&coordinator, "nothing").await;
        (coordinator, worker)
    }
}

async fn view(coordinator: &Coordinator, queue: &str) -> QueueInfo {
    let queues = coordinator.queues().await.expect("it lives");
    queues.into_iter().find(|view| *view.name == *queue).expect("a queue")
}

async fn status(handle: &ExecutionHandle) -> Status {
    handle.execution().await.expect("it is known").status
}

async fn until(handle: &ExecutionHandle, status: Status) {
    let reached = async {
        let mut changes = handle.events(0);
        while handle.status() != status {
            futures::StreamExt::next(&mut changes).await.expect("it has not ended");
        }
    };
    in_time("a status", reached).await;
}

async fn nothing(coordinator: &Coordinator) -> ExecutionHandle {
    submit(coordinator, "nothing", SubmitOptions::new()).await.expect("accepted")
}

#[tokio::test]
async fn a_paused_queue_accepts_and_grants_nothing_until_it_is_resumed() {
    let world = World::new();
    let (coordinator, _worker) = world.cluster().await;
    let paused = coordinator.pause_queue("default").await.expect("paused");
    assert!(paused.paused_at.is_some(), "{paused:?}");
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(nothing(&coordinator).await);
    }
    let elsewhere = SubmitOptions::new().queue("elsewhere");
    let elsewhere = submit(&coordinator, "nothing", elsewhere).await.expect("accepted");
    assert_eq!(outcome(&elsewhere).await.status(), Status::Succeeded, "other queues go on");
    for handle in &waiting {
        assert_eq!(status(handle).await, Status::Queued);
    }
    let seen = view(&coordinator, "default").await;
    assert_eq!((seen.waiting, seen.granted), (20, 0));
    assert_eq!(seen.reason.as_deref(), Some("the queue is paused"));
    let oldest = waiting[0].execution().await.expect("it is known").accepted_at;
    let shown = seen.oldest_accepted_at.expect("something waits");
    assert!(oldest.as_micros() - shown.as_micros() < 5_000_000, "{shown} of {oldest}");
    let again = coordinator.pause_queue("default").await.expect("paused already");
    assert_eq!(again.paused_at, paused.paused_at, "since the first time");
    let cancelled = coordinator.cancel(waiting[3].id(), false).await;
    cancelled.expect("what waits there can be cancelled");
    let resumed = coordinator.resume_queue("default").await.expect("resumed");
    assert_eq!(resumed.paused_at, None);
    for (place, handle) in waiting.iter().enumerate() {
        let expected = if place == 3 { Status::Cancelled } else { Status::Succeeded };
        assert_eq!(outcome(handle).await.status(), expected);
    }
    let seen = view(&coordinator, "default").await;
    assert_eq!((seen.waiting, seen.oldest_accepted_at, seen.reason), (0, None, None));
}

#[tokio::test]
async fn attempts_continue_when_their_queue_is_paused() {
    let world = World::new();
    let (coordinator, _worker) = world.cluster().await;
    let handle = submit(&coordinator, "hold", SubmitOptions::new()).await.expect("accepted");
    until(&handle, Status::Running).await;
    let paused = coordinator.pause_queue("default").await.expect("paused");
    assert_eq!((paused.granted, paused.waiting), (1, 0));
    world.gate.send_replace(true);
    assert_eq!(outcome(&handle).await.status(), Status::Succeeded);
}

#[tokio::test]
async fn retries_of_a_paused_queue_wait() {
    let world = World::new();
    let (coordinator, _worker) = world.cluster().await;
    let once = SubmitOptions::new().retries(1).backoff(Backoff::fixed(Duration::from_millis(300)));
    let handle = submit(&coordinator, "fail", once).await.expect("accepted");
    // Its first attempt has failed, and the second waits for its backoff.
    let failed = async {
        let mut changes = coordinator.changes();
        while view(&coordinator, "default").await.delayed == 0 {
            changes.next().await.expect("it lives");
        }
    };
    in_time("a failure", failed).await;
    coordinator.pause_queue("default").await.expect("paused");
    let ready = async {
        let mut changes = coordinator.changes();
        while view(&coordinator, "default").await.waiting == 0 {
            changes.next().await.expect("it lives");
        }
    };
    in_time("its time", ready).await;
    assert_eq!(handle.execution().await.expect("it is known").attempts.len(), 1);
    coordinator.resume_queue("default").await.expect("resumed");
    assert!(matches!(outcome(&handle).await, Outcome::Failed(_)));
    assert_eq!(handle.execution().await.expect("it is known").attempts.len(), 2);
}

#[tokio::test]
async fn a_queue_stays_paused_when_the_coordinator_starts_again() {
    let world = World::new();
    let (coordinator, worker) = world.cluster().await;
    let paused = coordinator.pause_queue("default").await.expect("paused");
    let waits = nothing(&coordinator).await.id();
    drop(coordinator);
    crate::session_probe::released(&world.store).await;
    let coordinator = world.coordinator().await;
    available(&coordinator, "nothing").await;
    let elsewhere = SubmitOptions::new().queue("elsewhere");
    let elsewhere = submit(&coordinator, "nothing", elsewhere).await.expect("accepted");
    assert_eq!(outcome(&elsewhere).await.status(), Status::Succeeded, "the worker is at work");
    let seen = view(&coordinator, "default").await;
    assert_eq!((seen.paused_at, seen.waiting), (paused.paused_at, 1));
    coordinator.resume_queue("default").await.expect("resumed");
    let handle = coordinator.handle(waits).await.expect("it is known");
    assert_eq!(outcome(&handle).await.status(), Status::Succeeded);
    drop(worker);
}

#[tokio::test]
async fn an_unknown_queue_is_not_paused() {
    let world = World::new();
    let (coordinator, _worker) = world.cluster().await;
    for answer in
        [coordinator.pause_queue("defualt").await, coordinator.resume_queue("defualt").await]
    {
        let error = answer.expect_err("a mistyped name");
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(error.message().contains("defualt"), "{error}");
    }
}

#[tokio::test]
async fn a_queue_says_why_what_waits_waits() {
    let world = World::new();
    let (coordinator, worker) = world.cluster().await;
    let reason = async || view(&coordinator, "default").await.reason.expect("something waits");
    let late = SubmitOptions::new().delay(Duration::from_secs(600));
    let late = submit(&coordinator, "nothing", late).await.expect("accepted");
    assert!(reason().await.contains("delayed"), "{}", reason().await);
    late.cancel(false).await.expect("cancelled");
    let mut held = Vec::new();
    for _ in 0..2 {
        let options = SubmitOptions::new();
        held.push(submit(&coordinator, "hold", options).await.expect("accepted"));
    }
    until(&held[0], Status::Running).await;
    until(&held[1], Status::Running).await;
    let third = submit(&coordinator, "hold", SubmitOptions::new()).await.expect("accepted");
    assert!(reason().await.contains("slot"), "{}", reason().await);
    world.gate.send_replace(true);
    outcome(&third).await;
    worker.shutdown(Duration::ZERO).await;
    let gone = async {
        let mut changes = coordinator.changes();
        while !coordinator.workers().await.expect("it lives").is_empty() {
            changes.next().await.expect("it lives");
        }
    };
    in_time("a goodbye", gone).await;
    nothing(&coordinator).await;
    assert!(reason().await.contains("no live worker serves"), "{}", reason().await);
}
