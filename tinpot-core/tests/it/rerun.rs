//! Reruns of recorded executions, their requesters, and the statistics.

use std::time::Duration;

use tinpot_core::store::ListOptions;
use tinpot_core::{
    Action, Backoff, Coordinator, ErrorKind, ExecutionId, FunctionExecutor, Json, MemoryNetwork,
    Status, SubmitOptions, Worker,
};

use crate::support::{Number, available, in_time, outcome};

struct Cluster {
    network: MemoryNetwork,
    coordinator: Coordinator,
    worker: Option<Worker>,
}

impl Cluster {
    async fn start() -> Self {
        let network = MemoryNetwork::new();
        let coordinator = Coordinator::builder(network.transport()).start().await;
        let coordinator = coordinator.expect("a coordinator");
        let mut cluster = Self { network, coordinator, worker: None };
        cluster
            .offer(r#"{"number": {"type": "integer", "writeOnly": true}}"#, |action| action)
            .await;
        cluster
    }

    /// Replaces the offered actions by `twice` with these properties.
    async fn offer(&mut self, properties: &str, change: impl FnOnce(Action) -> Action) {
        if let Some(worker) = self.worker.take() {
            worker.shutdown(Duration::ZERO).await;
            let mut catalogue = self.coordinator.watch_catalogue();
            let gone = catalogue.wait_for(|catalogue| !catalogue["twice"].available);
            in_time("a goodbye", gone).await.expect("a catalogue");
        }
        let schema = format!(r#"{{"type": "object", "properties": {properties}}}"#);
        let schema = Json::parse(&schema).expect("a schema");
        let executor = FunctionExecutor::builder()
            .action_with(
                "twice",
                |action| change(action.schema(schema)),
                |_, Number { number }| async move { Ok::<_, String>(2 * number) },
            )
            .build()
            .expect("an executor");
        let worker = Worker::builder(self.network.transport()).executor(executor).start().await;
        self.worker = Some(worker.expect("a worker"));
        available(&self.coordinator, "twice").await;
    }

    async fn submit(&self, options: SubmitOptions) -> tinpot_core::ExecutionHandle {
        let parameters = Json::parse(r#"{"number": 21}"#).expect("JSON");
        self.coordinator.submit("twice", parameters).options(options).await.expect("accepted")
    }
}

#[tokio::test]
async fn a_rerun_has_the_same_parameters_and_secrets() {
    let mut cluster = Cluster::start().await;
    let backoff = Backoff::fixed(Duration::from_secs(7));
    let options = SubmitOptions::new()
        .queue("elsewhere")
        .priority(4)
        .timeout(Duration::from_secs(5))
        .retries(3)
        .backoff(backoff)
        .max_lost_attempts(2)
        .idempotency_key("once")
        .requested_by("Anna");
    let first = cluster.submit(options).await;
    outcome(&first).await;
    // A secret stays a secret, even if the schema has changed.
    cluster.offer(r#"{"number": {"type": "integer"}}"#, |action| action).await;
    let again = cluster.coordinator.rerun(first.id(), SubmitOptions::new()).await;
    let again = again.expect("accepted");
    assert_ne!(again.id(), first.id());
    assert_eq!(outcome(&again).await.value().map(Json::as_str), Some("42"));
    let first = first.execution().await.expect("it is known");
    let again = again.execution().await.expect("it is known");
    assert_eq!((&*again.queue, again.priority), ("elsewhere", 4));
    assert_eq!((again.timeout, again.retry), (first.timeout, first.retry));
    assert_eq!((&again.parameters, &again.secrets), (&first.parameters, &first.secrets));
    assert_eq!(again.shown_parameters().as_str(), r#"{"number":"***"}"#);
    assert_eq!((&again.idempotency_key, &again.requested_by), (&None, &None));
}

#[tokio::test]
async fn options_of_a_rerun_count_before_those_of_the_first() {
    let mut cluster = Cluster::start().await;
    let first = cluster.submit(SubmitOptions::new().retries(3)).await;
    outcome(&first).await;
    let options = SubmitOptions::new()
        .queue("other")
        .priority(-1)
        .retries(0)
        .requested_by("Ben")
        .idempotency_key("again");
    // The first had no time limit. The rerun has none either, unless the caller sets one.
    cluster
        .offer(r#"{"number": {"type": "integer"}}"#, |action| {
            action.timeout(Duration::from_secs(9))
        })
        .await;
    let again = cluster.coordinator.rerun(first.id(), options.clone()).await.expect("accepted");
    outcome(&again).await;
    let execution = again.execution().await.expect("it is known");
    assert_eq!((&*execution.queue, execution.priority), ("other", -1));
    assert_eq!((execution.retry.retries, execution.timeout), (0, None));
    assert_eq!(execution.requested_by.as_deref(), Some("Ben"));
    let same = cluster.coordinator.rerun(first.id(), options).await.expect("accepted before");
    assert_eq!(same.id(), again.id(), "it has the same key");
    let short = SubmitOptions::new().timeout(Duration::from_secs(1));
    let short = cluster.coordinator.rerun(first.id(), short).await.expect("accepted");
    let short = short.execution().await.expect("it is known");
    assert_eq!(short.timeout, Some(Duration::from_secs(1)));
}

#[tokio::test]
async fn a_rerun_that_is_impossible_says_why() {
    let mut cluster = Cluster::start().await;
    let unknown = ExecutionId::generate();
    let error =
        cluster.coordinator.rerun(unknown, SubmitOptions::new()).await.expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let first = cluster.submit(SubmitOptions::new()).await;
    outcome(&first).await;
    cluster.offer(r#"{"number": {"type": "integer", "maximum": 20}}"#, |action| action).await;
    let again = cluster.coordinator.rerun(first.id(), SubmitOptions::new()).await;
    let error = again.expect_err("the action takes no such number any more");
    assert_eq!(error.kind(), ErrorKind::InvalidParameters, "{error}");
}

#[tokio::test]
async fn the_requester_is_stored_and_searchable() {
    let cluster = Cluster::start().await;
    let anna = cluster.submit(SubmitOptions::new().requested_by("Anna")).await;
    cluster.submit(SubmitOptions::new()).await;
    let mut options = ListOptions::default();
    options.requested_by = Some("Anna".to_owned());
    let found = cluster.coordinator.executions(&options).await.expect("a list");
    assert_eq!(found.iter().map(|new| new.id).collect::<Vec<_>>(), [anna.id()]);
    for (who, wrong) in [
        (String::new(), "requested_by must have 1 to 255 characters (got 0)"),
        ("x".repeat(256), "requested_by must have 1 to 255 characters (got 256)"),
        ("a\nb".to_owned(), "requested_by must not have control characters"),
    ] {
        let parameters = Json::parse(r#"{"number": 1}"#).expect("JSON");
        let options = SubmitOptions::new().requested_by(who);
        let error = cluster.coordinator.submit("twice", parameters).options(options).await;
        let error = error.expect_err(wrong);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(wrong), "{error}");
    }
}

#[tokio::test]
async fn accepted_and_ended_executions_are_counted() {
    let cluster = Cluster::start().await;
    let handles =
        [cluster.submit(SubmitOptions::new()).await, cluster.submit(SubmitOptions::new()).await];
    for handle in &handles {
        assert_eq!(outcome(handle).await.status(), Status::Succeeded);
    }
    let late = SubmitOptions::new().delay(Duration::from_secs(600));
    cluster.submit(late).await.cancel(false).await.expect("cancelled");
    let stats = cluster.coordinator.stats(60);
    // The minute may change while the test runs.
    let sum =
        |count: fn(&tinpot_core::MinuteStats) -> u64| stats.minutes.iter().map(count).sum::<u64>();
    assert_eq!((sum(|m| m.accepted), sum(|m| m.succeeded), sum(|m| m.cancelled)), (3, 2, 1));
    assert_eq!((sum(|m| m.failed), sum(|m| m.timed_out), sum(|m| m.lost)), (0, 0, 0));
    assert!(stats.minutes.iter().any(|minute| minute.duration_p95.is_some()));
}
