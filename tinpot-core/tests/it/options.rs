//! The options of submissions, through the public API.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tinpot_core::ProtocolConfig;
use tinpot_core::{
    Backoff, Coordinator, ErrorKind, FunctionExecutor, Json, MemoryNetwork, Outcome, Status,
    SubmitOptions, Timestamp, Worker,
};
use tokio::time::Instant;

use crate::support::{Nothing, Number, available, in_time, outcome, submit};

/// The order in which the numbers were run.
type Order = Arc<Mutex<Vec<u64>>>;

struct Cluster {
    network: MemoryNetwork,
    coordinator: Coordinator,
    order: Order,
}

impl Cluster {
    async fn start() -> Self {
        let mut config = ProtocolConfig::default();
        // The window is small, so that the tests exceed it.
        config.queue_window = 8;
        let network = MemoryNetwork::new();
        let coordinator = Coordinator::builder(network.transport()).config(config).start().await;
        let cluster = Self {
            network,
            coordinator: coordinator.expect("a coordinator"),
            order: Order::default(),
        };
        // The actions are known from now on, but no worker runs them.
        cluster.worker().await.shutdown(Duration::ZERO).await;
        let mut catalogue = cluster.coordinator.watch_catalogue();
        let gone = catalogue.wait_for(|catalogue| !catalogue["note"].available);
        in_time("a goodbye", gone).await.expect("a catalogue");
        cluster
    }

    async fn worker(&self) -> Worker {
        let order = self.order.clone();
        let executor = FunctionExecutor::builder()
            .action("note", move |_, Number { number }| {
                let order = order.clone();
                async move {
                    order.lock().expect("a lock").push(number);
                    Ok::<_, String>(number)
                }
            })
            .action("fail", |_, Nothing {}| async move { Err::<(), _>("no") })
            .build()
            .expect("an executor");
        let worker = Worker::builder(self.network.transport()).executor(executor).slots(1);
        let worker = worker.start().await.expect("a worker");
        available(&self.coordinator, "note").await;
        worker
    }

    async fn note(&self, number: u64, options: SubmitOptions) -> tinpot_core::ExecutionHandle {
        let parameters = Json::serialize(&serde_json::json!({ "number": number })).expect("JSON");
        self.coordinator.submit("note", parameters).options(options).await.expect("accepted")
    }
}

#[tokio::test]
async fn the_same_key_and_the_same_parameters_are_the_same_execution() {
    let cluster = Cluster::start().await;
    let keyed = || SubmitOptions::new().idempotency_key("k");
    let first = cluster.note(1, keyed()).await;
    let again = cluster.note(1, keyed()).await;
    assert_eq!(first.id(), again.id());
    let spaced = Json::parse("{ \"number\" : 1 }").expect("JSON");
    let spaced =
        cluster.coordinator.submit("note", spaced).options(keyed()).await.expect("accepted");
    assert_eq!(first.id(), spaced.id(), "the same value in other words");
    let other = Json::parse("{\"number\":2}").expect("JSON");
    let error =
        cluster.coordinator.submit("note", other).options(keyed()).await.expect_err("a conflict");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("other parameters"), "{error}");
    let error = submit(&cluster.coordinator, "fail", keyed()).await.expect_err("a conflict");
    assert!(error.to_string().contains("\"note\""), "{error}");
    let _worker = cluster.worker().await;
    assert_eq!(outcome(&first).await, outcome(&again).await);
    // The key also holds when the execution has ended.
    assert_eq!(cluster.note(1, keyed()).await.id(), first.id());
    assert_eq!(*cluster.order.lock().expect("a lock"), [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_submissions_at_once_with_one_key_one_is_accepted() {
    let cluster = Cluster::start().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let coordinator = cluster.coordinator.clone();
        tasks.spawn(async move {
            let options = SubmitOptions::new().idempotency_key("k");
            submit(&coordinator, "fail", options).await.expect("accepted").id()
        });
    }
    let ids: std::collections::BTreeSet<_> = tasks.join_all().await.into_iter().collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let list = cluster.coordinator.executions(&Default::default()).await.expect("a list");
    assert_eq!(list.len(), 1);
}

#[tokio::test]
async fn higher_priorities_run_first_and_equal_ones_in_order_also_beyond_the_window() {
    let cluster = Cluster::start().await;
    let mut handles = Vec::new();
    for number in 0..100 {
        let options = SubmitOptions::new().priority((number % 3) as i32);
        handles.push(cluster.note(number, options).await);
    }
    let queues = cluster.coordinator.queues().await.expect("queues");
    assert_eq!(queues[0].waiting, 100);
    let _worker = cluster.worker().await;
    for handle in &handles {
        outcome(handle).await;
    }
    let mut expected: Vec<u64> = (0..100).collect();
    expected.sort_by_key(|number| (std::cmp::Reverse(number % 3), *number));
    assert_eq!(*cluster.order.lock().expect("a lock"), expected);
}

#[tokio::test]
async fn executions_beyond_the_window_are_cancelled_and_watched_as_usual() {
    let cluster = Cluster::start().await;
    let mut handles = Vec::new();
    for number in 0..50 {
        handles.push(cluster.note(number, SubmitOptions::new()).await);
    }
    handles[40].cancel(false).await.expect("a cancel");
    assert_eq!(outcome(&handles[40]).await, Outcome::Cancelled);
    let error = handles[40].cancel(false).await.expect_err("it has ended");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let late = cluster.coordinator.handle(handles[45].id()).await.expect("a handle");
    assert_eq!(late.status(), Status::Queued);
    drop(handles.remove(45));
    let _worker = cluster.worker().await;
    assert!(outcome(&late).await.value().is_some());
    for handle in handles {
        in_time("an outcome", handle.outcome()).await.expect("an outcome");
    }
    assert_eq!(cluster.order.lock().expect("a lock").len(), 49);
}

// This test runs in real time, like the wall clock: executions beyond the window wait for a time of
// day.
#[tokio::test]
async fn a_delayed_execution_waits_for_its_time() {
    let cluster = Cluster::start().await;
    let _worker = cluster.worker().await;
    let (start, now) = (Instant::now(), Timestamp::now());
    let mut handles = Vec::new();
    // More than the window holds, unordered. The first is due when all are submitted.
    for number in 0..40_u64 {
        let millis = 1000 + number * 7 % 40 * 20;
        let options = SubmitOptions::new().not_before(Timestamp(now.0 + millis * 1000));
        handles.push((millis, cluster.note(millis, options).await));
    }
    let queues = cluster.coordinator.queues().await.expect("queues");
    assert_eq!(queues[0].waiting + queues[0].delayed, 40);
    handles.sort_by_key(|(millis, _)| *millis);
    for (millis, handle) in handles {
        outcome(&handle).await;
        let waited = start.elapsed();
        assert!(waited >= Duration::from_millis(millis), "{millis} ms: {waited:?}");
    }
    assert!(cluster.order.lock().expect("a lock").is_sorted());
    let start = Instant::now();
    let options = SubmitOptions::new().delay(Duration::from_millis(200));
    outcome(&cluster.note(1, options).await).await;
    assert!(start.elapsed() >= Duration::from_millis(200), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_execution_that_waits_too_long_fails_as_expired() {
    let cluster = Cluster::start().await;
    let mut handles = Vec::new();
    for number in 0..30 {
        let options = SubmitOptions::new().expires_in(Duration::from_secs(60));
        handles.push(cluster.note(number, options).await);
    }
    let patient = cluster.note(99, SubmitOptions::new()).await;
    // The paused clock moves the time of day only in the machine. The store compares its executions
    // with the real time.
    for handle in &handles[..8] {
        let Outcome::Failed(failure) = handle.outcome().await.expect("an outcome") else {
            panic!("it expires")
        };
        assert_eq!(failure.kind, "Expired");
        assert!(failure.message.contains("still queued"), "{failure}");
    }
    let execution = handles[0].execution().await.expect("it is there");
    assert!(execution.attempts.is_empty());
    let _worker = cluster.worker().await;
    assert!(outcome(&patient).await.value().is_some());
}

#[tokio::test(start_paused = true)]
async fn retries_follow_the_policy_of_the_submission() {
    let cluster = Cluster::start().await;
    let _worker = cluster.worker().await;
    let backoff = Backoff::exponential(Duration::from_secs(3)).jitter(0.0);
    let options = SubmitOptions::new().retries(3).backoff(backoff);
    let start = Instant::now();
    let handle = submit(&cluster.coordinator, "fail", options).await.expect("accepted");
    assert_eq!(handle.outcome().await.expect("an outcome"), Outcome::failed("no"));
    let waited = start.elapsed().as_secs_f64();
    assert!((21.0..22.0).contains(&waited), "3 + 6 + 12 s, not {waited}");
    assert_eq!(handle.execution().await.expect("it is there").attempts.len(), 4);
}

#[tokio::test]
async fn options_that_make_no_sense_are_refused_by_name() {
    let cluster = Cluster::start().await;
    let century = Duration::from_secs(4_000_000_000);
    let rows = [
        (
            SubmitOptions::new().retries(1_000_000_000),
            "retries must be at most 1000 (got 1000000000)",
        ),
        (SubmitOptions::new().timeout(Duration::ZERO), "timeout"),
        (SubmitOptions::new().timeout(century), "timeout"),
        (SubmitOptions::new().delay(century), "delay"),
        (SubmitOptions::new().expires_in(century), "expires_in"),
        (SubmitOptions::new().max_lost_attempts(0), "max_lost_attempts"),
        (SubmitOptions::new().backoff(Backoff::default().jitter(f64::NAN)), "retry_jitter"),
        (
            SubmitOptions::new().idempotency_key("k".repeat(1_000_000)),
            "idempotency_key must have 1 to 255 characters (got 1000000)",
        ),
        (
            SubmitOptions::new().idempotency_key(""),
            "idempotency_key must have 1 to 255 characters (got 0)",
        ),
        (
            SubmitOptions::new().idempotency_key("a\nb"),
            "idempotency_key must not have control characters",
        ),
        (SubmitOptions::new().queue(""), "queue"),
        (
            SubmitOptions::new().delay(Duration::from_secs(1)).not_before(Timestamp(1)),
            "delay and not_before",
        ),
    ];
    for (options, part) in rows {
        let error = submit(&cluster.coordinator, "fail", options).await.expect_err(part);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains(part), "{part:?} in {error}");
    }
    assert!(cluster.coordinator.executions(&Default::default()).await.expect("a list").is_empty());
}
