//! Recovery: the state that a coordinator takes over from its predecessor on the same store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tinpot_core::store::{ListOptions, Transition};
use tinpot_core::transport::{Address, Lane, Received};
use tinpot_core::{CatalogueEntry, Epoch, Fence, ProtocolConfig, Watcher};
use tinpot_core::{
    Context, Coordinator, ErrorKind, Event, ExecutionHandle, FunctionExecutor, Json, Level, Link,
    MemoryNetwork, MemoryTransport, Outcome, RetryPolicy, Status, SubmitOptions, Timestamp,
    Transport, Worker,
};
use tokio::sync::watch;

use crate::session_probe::{SessionProbe, released};
use crate::support::{Nothing, Number, available, in_time, outcome, submit};

struct World {
    network: MemoryNetwork,
    store: Arc<SessionProbe>,
    /// The gate that `hold` waits for.
    gate: watch::Sender<bool>,
}

impl World {
    fn new() -> Self {
        let (network, store) = (MemoryNetwork::new(), Arc::new(SessionProbe::default()));
        Self { network, store, gate: watch::Sender::new(false) }
    }

    async fn coordinator(&self) -> Coordinator {
        let mut config = ProtocolConfig::default();
        config.queue_window = 8;
        let builder = Coordinator::builder(self.network.transport()).config(config);
        builder.store(self.store.clone()).start().await.expect("a coordinator")
    }

    /// Kills a coordinator: its tasks end where they are, and the store is not closed.
    async fn crash(&self, coordinator: Coordinator) -> Coordinator {
        drop(coordinator);
        released(&self.store).await;
        self.coordinator().await
    }

    async fn worker(&self, name: &str) -> Worker {
        let gate = self.gate.clone();
        let executor = FunctionExecutor::builder()
            .action("hold", move |context: Context, Nothing {}| {
                let mut gate = gate.subscribe();
                async move {
                    context.log(Level::Info, "before").await;
                    gate.wait_for(|open| *open).await.map_err(|e| e.to_string())?;
                    context.log(Level::Info, "after").await;
                    Ok::<_, String>("held")
                }
            })
            .action("note", |_, Number { number }| async move { Ok::<_, String>(number) })
            .action_with(
                "killer",
                |action| action.retry(RetryPolicy::fixed(5, Duration::from_secs(1))),
                |context: Context, Nothing {}| async move {
                    context.stopped().await;
                    std::future::pending::<()>().await;
                    Ok::<_, String>(())
                },
            )
            .build()
            .expect("an executor");
        let worker = Worker::builder(self.network.transport()).name(name).executor(executor);
        worker.start().await.expect("a worker")
    }
}

/// Shuts a worker down, and waits until the coordinator notices.
async fn gone(coordinator: &Coordinator, worker: Worker) {
    worker.shutdown(Duration::ZERO).await;
    let mut catalogue = coordinator.watch_catalogue();
    let unavailable = |entry: &CatalogueEntry| !entry.available;
    let gone = catalogue.wait_for(|catalogue| catalogue.values().all(unavailable));
    in_time("a goodbye", gone).await.expect("a catalogue");
}

/// Waits until the execution runs and has written its first line.
async fn running(handle: &ExecutionHandle) {
    let mut events = handle.events(0);
    let (mut runs, mut logs) = (false, false);
    while !(runs && logs) {
        let event = in_time("an event", events.next()).await.expect("it has not ended");
        runs |= event == Event::Status(Status::Running);
        logs |= matches!(event, Event::Logs(_));
    }
}

async fn lines(coordinator: &Coordinator, handle: &ExecutionHandle) -> Vec<String> {
    let chunks = coordinator.logs(handle.id(), 0, 1_000_000).await.expect("a log");
    chunks.iter().flat_map(|chunk| chunk.lines.clone()).collect()
}

#[tokio::test]
async fn attempts_continue_across_a_crash_of_the_coordinator_and_logs_have_no_gap() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let _worker = world.worker("w").await;
    available(&coordinator, "hold").await;
    let handle = submit(&coordinator, "hold", SubmitOptions::new()).await.expect("accepted");
    running(&handle).await;
    let id = handle.id();
    drop(handle);
    let coordinator = world.crash(coordinator).await;
    let handle = coordinator.handle(id).await.expect("it is known");
    assert_eq!(handle.status(), Status::Running);
    world.gate.send_replace(true);
    let events: Vec<Event> = in_time("the stream", handle.events(1).collect()).await;
    let resumed: Vec<&String> = events
        .iter()
        .filter_map(|event| match event {
            Event::Logs(chunk) => Some(&chunk.lines),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(resumed, ["after"], "{events:?}");
    assert!(matches!(events.last(), Some(Event::Finished(Outcome::Succeeded(_)))), "{events:?}");
    assert_eq!(lines(&coordinator, &handle).await, ["before", "after"]);
    let execution = handle.execution().await.expect("it is there");
    assert_eq!(execution.attempts.len(), 1, "{execution:?}");
}

#[tokio::test]
async fn an_end_that_came_while_there_was_no_coordinator_is_recorded() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let _worker = world.worker("w").await;
    available(&coordinator, "hold").await;
    let handle = submit(&coordinator, "hold", SubmitOptions::new()).await.expect("accepted");
    running(&handle).await;
    let id = handle.id();
    drop((handle, coordinator));
    world.gate.send_replace(true);
    released(&world.store).await;
    let coordinator = world.coordinator().await;
    let handle = coordinator.handle(id).await.expect("it is known");
    assert_eq!(outcome(&handle).await.value().map(Json::as_str), Some("\"held\""));
}

#[tokio::test]
async fn queue_history_catalogue_and_keys_are_there_after_a_crash() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let worker = world.worker("w").await;
    available(&coordinator, "note").await;
    let parameters =
        |number: u64| Json::serialize(&serde_json::json!({"number": number})).expect("JSON");
    let keyed = SubmitOptions::new().idempotency_key("first");
    let first =
        coordinator.submit("note", parameters(1)).options(keyed.clone()).await.expect("accepted");
    outcome(&first).await;
    gone(&coordinator, worker).await;
    let mut ids = Vec::new();
    for number in 0..100 {
        let options = SubmitOptions::new().priority(number as i32 % 2);
        ids.push(
            coordinator
                .submit("note", parameters(number))
                .options(options)
                .await
                .expect("accepted")
                .id(),
        );
    }
    let later = SubmitOptions::new().delay(Duration::from_millis(300));
    ids.push(
        coordinator.submit("note", parameters(7)).options(later).await.expect("accepted").id(),
    );
    let first = {
        // A handle keeps its coordinator alive.
        let handle = first;
        handle.id()
    };
    let coordinator = world.crash(coordinator).await;
    assert!(!coordinator.catalogue()["note"].available);
    let queues = coordinator.queues().await.expect("queues");
    assert_eq!((queues[0].waiting, queues[0].delayed), (100, 1));
    let again = coordinator.submit("note", parameters(1)).options(keyed).await.expect("the same");
    assert_eq!(again.id(), first);
    let _worker = world.worker("w").await;
    for id in &ids {
        let handle = coordinator.handle(*id).await.expect("it is known");
        assert!(outcome(&handle).await.value().is_some());
    }
    let options = {
        let mut options = ListOptions::default();
        options.limit = 1_000;
        options
    };
    let history = coordinator.executions(&options).await.expect("a list");
    assert_eq!(history.len(), 102);
    assert!(history.iter().all(|execution| execution.attempts.len() == 1));
}

/// Recreates the state after a crash between commit and send: a grant without a dispatch. `fence`
/// derives its fence from one that the store has granted.
async fn granted_and_never_sent(fence: impl Fn(Fence) -> Fence) -> Outcome {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let worker = world.worker("w").await;
    available(&coordinator, "note").await;
    let parameters = || Json::parse("{\"number\":5}").expect("JSON");
    let first = coordinator.submit("note", parameters()).await;
    let first = first.expect("accepted");
    outcome(&first).await;
    let earlier = first.execution().await.expect("it is there").attempts[0].fence;
    drop(first);
    let waiting = SubmitOptions::new().delay(Duration::from_secs(3_600));
    let handle = coordinator.submit("note", parameters()).options(waiting).await.expect("accepted");
    let id = handle.id();
    drop(handle);
    let grant = Transition::Grant {
        execution: id,
        fence: fence(earlier),
        attempt: 1,
        worker: worker.id().clone(),
        lease: Duration::from_secs(90),
    };
    world.store.session().commit(&[grant], Timestamp(1)).await.expect("a grant");
    let coordinator = world.crash(coordinator).await;
    outcome(&coordinator.handle(id).await.expect("it is known")).await
}

#[tokio::test]
async fn an_attempt_that_was_granted_and_never_sent_is_given_again() {
    let ended = granted_and_never_sent(|earlier| Fence { number: 77, ..earlier }).await;
    assert_eq!(ended.value().map(Json::as_str), Some("5"));
}

#[tokio::test]
async fn the_outcome_of_an_attempt_of_another_instance_is_unknown() {
    let other = |earlier: Fence| {
        let epoch = Epoch { instance: earlier.epoch.instance ^ 1, ..earlier.epoch };
        Fence { epoch, number: 77 }
    };
    assert_eq!(granted_and_never_sent(other).await, Outcome::Lost);
}

#[tokio::test(start_paused = true)]
async fn an_execution_that_kills_its_workers_is_poisoned() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let worker = world.worker("w0").await;
    available(&coordinator, "killer").await;
    let handle = submit(&coordinator, "killer", SubmitOptions::new()).await.expect("accepted");
    let mut victim = Some(worker);
    for round in 1.. {
        let mut events = handle.events(0);
        while handle.status() == Status::Queued && events.next().await.is_some() {}
        if handle.status() != Status::Running {
            break;
        }
        drop(victim.take());
        victim = Some(world.worker(&format!("w{round}")).await);
        let mut events = handle.events(0);
        while handle.status() == Status::Running && events.next().await.is_some() {}
    }
    let Outcome::Failed(failure) = handle.outcome().await.expect("an outcome") else {
        panic!("it fails")
    };
    assert_eq!(failure.kind, "Poisoned");
    assert!(failure.to_string().starts_with("Poisoned: 3 of its attempts"), "{failure}");
    let attempts = &handle.execution().await.expect("it is there").attempts;
    assert_eq!(attempts.len(), 3);
    assert!(attempts.iter().all(|attempt| attempt.outcome == Some(Outcome::Lost)));
}

/// A transport whose logs lane passes only one frame to the coordinator.
#[derive(Debug)]
struct OneLogFrame(MemoryTransport);

#[async_trait::async_trait]
impl Transport for OneLogFrame {
    async fn send(&self, to: &Address, lane: Lane, frame: Bytes) -> tinpot_core::Result<()> {
        self.0.send(to, lane, frame).await
    }

    async fn listen(
        &self,
        at: &Address,
        lane: Lane,
    ) -> tinpot_core::Result<BoxStream<'static, Received>> {
        let frames = self.0.listen(at, lane).await?;
        Ok(match lane {
            Lane::Control => frames,
            Lane::Logs => frames.take(1).chain(stream::pending()).boxed(),
        })
    }

    fn status(&self) -> Watcher<Link> {
        self.0.status()
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

#[tokio::test]
async fn lines_that_were_announced_and_had_not_come_are_taken_after_the_crash() {
    let world = World::new();
    world.gate.send_replace(true);
    let coordinator = Coordinator::builder(OneLogFrame(world.network.transport()))
        .store(world.store.clone())
        .start()
        .await
        .expect("a coordinator");
    let _worker = world.worker("w").await;
    available(&coordinator, "hold").await;
    let handle = submit(&coordinator, "hold", SubmitOptions::new()).await.expect("accepted");
    assert!(outcome(&handle).await.value().is_some());
    let id = handle.id();
    drop(handle);
    let coordinator = world.crash(coordinator).await;
    let handle = coordinator.handle(id).await.expect("it is known");
    let events: Vec<Event> = in_time("the stream", handle.events(0).collect()).await;
    assert!(matches!(events.last(), Some(Event::Finished(Outcome::Succeeded(_)))), "{events:?}");
    assert_eq!(lines(&coordinator, &handle).await, ["before", "after"]);
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_is_superseded_stops() {
    let world = World::new();
    let first = world.coordinator().await;
    let _worker = world.worker("w").await;
    available(&first, "note").await;
    // The session ends before its coordinator, so that a second coordinator can open the store.
    world.store.session().close().await.expect("closed");
    let second = world.coordinator().await;
    first.stopped().await;
    let parameters = Json::parse("{\"number\":5}").expect("JSON");
    let refused = first.submit("note", parameters.clone()).await;
    assert_eq!(refused.expect_err("it has stopped").kind(), ErrorKind::Closed);
    let accepted = second.submit("note", parameters).await.expect("accepted");
    assert!(outcome(&accepted).await.value().is_some());
}
