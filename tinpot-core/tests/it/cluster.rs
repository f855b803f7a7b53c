//! Coordinator and workers together, in memory, through the public API.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use schemars::JsonSchema;
use serde::Deserialize;
use tinpot_core::log_sink::LogBatch;
use tinpot_core::store::{ListOptions, Opened, QueuePage, Session, Transition};
use tinpot_core::{
    Context, Coordinator, ErrorKind, Event, Execution, ExecutionId, FunctionExecutor, Json, Level,
    LogChunk, MemoryNetwork, MemoryStore, Outcome, RetryPolicy, Status, Store, SubmitOptions,
    Timestamp, Worker,
};

const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Deserialize, JsonSchema)]
struct Sum {
    a: i64,
    b: i64,
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

#[derive(Deserialize, JsonSchema)]
struct Linger {
    long: bool,
}

fn executor() -> FunctionExecutor {
    FunctionExecutor::builder()
        .action("add", |context: Context, Sum { a, b }| async move {
            context.log(Level::Info, format!("adding {a} and {b}")).await;
            Ok::<_, String>(a + b)
        })
        .action("advance", |context: Context, Nothing {}| async move {
            context.progress(10.0, Some(10.0), "done");
            Ok::<_, String>(())
        })
        .action("linger", |context: Context, Linger { long }| async move {
            if long {
                context.stopped().await;
            }
            Ok::<_, String>(())
        })
        .action("refuse", |_, Nothing {}| async move { Err::<(), _>("not today") })
        .action("wait", |context: Context, Nothing {}| async move {
            context.stopped().await;
            Err::<(), _>("stopped")
        })
        .action("forever", |_, Nothing {}| async move {
            std::future::pending::<()>().await;
            Ok::<_, String>(())
        })
        .action_with(
            "flaky",
            |action| action.retry(RetryPolicy::fixed(2, Duration::from_millis(10))),
            |_, Nothing {}| async move { Err::<(), _>("again") },
        )
        .build()
        .expect("an executor")
}

async fn cluster() -> (Coordinator, Worker) {
    let network = MemoryNetwork::new();
    let coordinator =
        Coordinator::builder(network.transport()).start().await.expect("a coordinator");
    let worker =
        Worker::builder(network.transport()).executor(executor()).start().await.expect("a worker");
    available(&coordinator, "add").await;
    (coordinator, worker)
}

async fn available(coordinator: &Coordinator, action: &str) {
    let mut catalogue = coordinator.watch_catalogue();
    let there =
        catalogue.wait_for(|catalogue| catalogue.get(action).is_some_and(|entry| entry.available));
    tokio::time::timeout(DEADLINE, there).await.expect("in time").expect("a catalogue");
}

async fn run(coordinator: &Coordinator, action: &str, parameters: &str) -> Outcome {
    let parameters = Json::parse(parameters).expect("parameters");
    let handle = coordinator.submit(action, parameters).await.expect("accepted");
    tokio::time::timeout(DEADLINE, handle.outcome()).await.expect("in time").expect("an outcome")
}

#[tokio::test]
async fn an_action_returns_its_value() {
    let (coordinator, _worker) = cluster().await;
    let outcome = run(&coordinator, "add", r#"{"a":2,"b":40}"#).await;
    assert_eq!(outcome.value().map(Json::as_str), Some("42"));
}

#[tokio::test]
async fn events_end_with_the_whole_log_and_the_outcome() {
    let (coordinator, _worker) = cluster().await;
    let parameters = Json::parse(r#"{"a":1,"b":1}"#).expect("parameters");
    let handle = coordinator.submit("add", parameters).await.expect("accepted");
    let events: Vec<Event> =
        tokio::time::timeout(DEADLINE, handle.events(0).collect()).await.expect("in time");
    let lines: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            Event::Logs(chunk) => Some(chunk.lines.iter().map(String::as_str)),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(lines, ["adding 1 and 1"]);
    assert!(matches!(events.last(), Some(Event::Finished(Outcome::Succeeded(_)))));
    let resumed: Vec<Event> = handle.events(1).collect().await;
    assert!(!resumed.iter().any(|event| matches!(event, Event::Logs(_))), "{resumed:?}");
}

#[tokio::test]
async fn a_failure_is_an_outcome() {
    let (coordinator, _worker) = cluster().await;
    assert_eq!(run(&coordinator, "refuse", "{}").await, Outcome::failed("not today"));
}

#[tokio::test]
async fn retries_follow_the_policy_and_are_recorded() {
    let (coordinator, _worker) = cluster().await;
    let handle = coordinator.submit("flaky", Json::empty_object()).await.expect("accepted");
    assert_eq!(handle.outcome().await.expect("an outcome"), Outcome::failed("again"));
    let execution = handle.execution().await.expect("an execution");
    let numbers: Vec<u32> = execution.attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(execution.status, Status::Failed);
}

#[tokio::test]
async fn a_running_action_is_cancelled() {
    let (coordinator, _worker) = cluster().await;
    let handle = coordinator.submit("forever", Json::empty_object()).await.expect("accepted");
    let mut events = handle.events(0);
    while let Some(event) = events.next().await {
        if event == Event::Status(Status::Running) {
            break;
        }
    }
    handle.cancel(true).await.expect("a cancel");
    assert_eq!(handle.outcome().await.expect("an outcome"), Outcome::Cancelled);
    let again = handle.cancel(false).await.expect_err("it has ended");
    assert_eq!(again.kind(), ErrorKind::Conflict);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_did_not_end_when_asked_to_is_recorded_as_killed() {
    let (coordinator, _worker) = cluster().await;
    for (action, killed) in [("forever", true), ("wait", false)] {
        let timeout = SubmitOptions::new().timeout(Duration::from_secs(5));
        for (options, outcome) in
            [(SubmitOptions::new(), Outcome::Cancelled), (timeout, Outcome::TimedOut)]
        {
            let submission = coordinator.submit(action, Json::empty_object()).options(options);
            let handle = submission.await.expect("accepted");
            if outcome == Outcome::Cancelled {
                let mut events = handle.events(0);
                while events.next().await != Some(Event::Status(Status::Running)) {}
                coordinator.cancel_by(handle.id(), false, "anna").await.expect("a cancel");
            }
            assert_eq!(handle.outcome().await.expect("an outcome"), outcome, "{action}");
            let recorded = coordinator.execution(handle.id()).await.expect("a read");
            let recorded = recorded.expect("it is there");
            assert_eq!(recorded.attempts[0].killed, killed, "{action} {outcome:?}");
            let by = recorded.cancel_request.as_ref().and_then(|request| request.by.clone());
            let expected = (outcome == Outcome::Cancelled).then_some("anna");
            assert_eq!(by.as_deref(), expected);
        }
    }
}

#[tokio::test]
async fn wrong_parameters_and_unknown_actions_are_refused() {
    let (coordinator, _worker) = cluster().await;
    let submit = |action: &'static str, parameters: &str| {
        let parameters = Json::parse(parameters).expect("parameters");
        let coordinator = coordinator.clone();
        async move { coordinator.submit(action, parameters).await.expect_err("refused") }
    };
    let error = submit("add", r#"{"a":"x"}"#).await;
    assert_eq!(error.kind(), ErrorKind::InvalidParameters);
    assert!(error.to_string().contains("a must be an integer (got a string)"), "{error}");
    assert!(error.to_string().contains("b is required"), "{error}");
    assert_eq!(submit("nothing", "{}").await.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_action_without_a_live_worker_waits_for_one() {
    let network = MemoryNetwork::new();
    let coordinator =
        Coordinator::builder(network.transport()).start().await.expect("a coordinator");
    let worker =
        Worker::builder(network.transport()).executor(executor()).start().await.expect("a worker");
    available(&coordinator, "add").await;
    worker.shutdown(Duration::ZERO).await;
    let mut catalogue = coordinator.watch_catalogue();
    let gone =
        catalogue.wait_for(|catalogue| catalogue.get("add").is_some_and(|entry| !entry.available));
    tokio::time::timeout(DEADLINE, gone).await.expect("in time").expect("a catalogue");
    let parameters = Json::parse(r#"{"a":1,"b":2}"#).expect("parameters");
    let handle = coordinator.submit("add", parameters).await.expect("accepted");
    assert_eq!(handle.status(), Status::Queued);
    let _worker =
        Worker::builder(network.transport()).executor(executor()).start().await.expect("a worker");
    let outcome = tokio::time::timeout(DEADLINE, handle.outcome())
        .await
        .expect("in time")
        .expect("an outcome");
    assert_eq!(outcome.value().map(Json::as_str), Some("3"));
}

/// A memory store with slow log writes, like those of a store on a disk.
#[derive(Debug, Default)]
struct SlowLogs(MemoryStore);

#[async_trait]
impl Store for SlowLogs {
    async fn open(&self) -> tinpot_core::Result<(Opened, Arc<dyn Session>)> {
        let (opened, session) = self.0.open().await?;
        Ok((opened, Arc::new(SlowSession(session))))
    }

    async fn execution(&self, id: ExecutionId) -> tinpot_core::Result<Option<Arc<Execution>>> {
        self.0.execution(id).await
    }

    async fn executions(&self, options: &ListOptions) -> tinpot_core::Result<Vec<Arc<Execution>>> {
        self.0.executions(options).await
    }

    async fn logs(
        &self,
        id: ExecutionId,
        after: u64,
        max_bytes: usize,
    ) -> tinpot_core::Result<Vec<Arc<LogChunk>>> {
        self.0.logs(id, after, max_bytes).await
    }
}

#[derive(Debug)]
struct SlowSession(Arc<dyn Session>);

#[async_trait]
impl Session for SlowSession {
    async fn commit(&self, batch: &[Transition], at: Timestamp) -> tinpot_core::Result<()> {
        self.0.commit(batch, at).await
    }

    async fn append_logs(&self, batches: &[LogBatch]) -> tinpot_core::Result<()> {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        self.0.append_logs(batches).await
    }

    async fn queued(&self, page: &QueuePage) -> tinpot_core::Result<Vec<Arc<Execution>>> {
        self.0.queued(page).await
    }

    async fn current(&self) -> tinpot_core::Result<tinpot_core::Epoch> {
        self.0.current().await
    }

    async fn close(&self) -> tinpot_core::Result<()> {
        self.0.close().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_stream_ends_before_its_last_line() {
    let network = MemoryNetwork::new();
    let starting = Coordinator::builder(network.transport()).store(SlowLogs::default()).start();
    let coordinator = starting.await.expect("a coordinator");
    let worker = Worker::builder(network.transport()).executor(executor()).slots(8);
    let _worker = worker.start().await.expect("a worker");
    available(&coordinator, "add").await;
    for _ in 0..40 {
        let streams = (0..25).map(|_| {
            let coordinator = coordinator.clone();
            tokio::spawn(async move {
                let parameters = Json::parse(r#"{"a":1,"b":1}"#).expect("parameters");
                let submitted = coordinator.submit("add", parameters);
                submitted.await.expect("accepted").events(0).collect::<Vec<Event>>().await
            })
        });
        for stream in streams.collect::<Vec<_>>() {
            let events = tokio::time::timeout(DEADLINE, stream)
                .await
                .expect("the stream ends")
                .expect("a stream");
            assert!(events.iter().any(|event| matches!(event, Event::Logs(_))), "{events:?}");
            assert!(matches!(events.last(), Some(Event::Finished(_))), "{events:?}");
        }
    }
}

#[tokio::test]
async fn the_last_progress_is_seen() {
    let (coordinator, _worker) = cluster().await;
    let handle = coordinator.submit("advance", Json::empty_object()).await.expect("accepted");
    let mut events = handle.events(0);
    let last = async {
        while let Some(event) = events.next().await {
            if let Event::Progress(progress) = event {
                return progress.done;
            }
        }
        panic!("the stream ended without progress")
    };
    assert_eq!(tokio::time::timeout(DEADLINE, last).await.expect("in time"), 10.0);
}

#[tokio::test]
async fn an_attempt_that_waits_behind_a_long_one_goes_to_another_worker() {
    let network = MemoryNetwork::new();
    let coordinator =
        Coordinator::builder(network.transport()).start().await.expect("a coordinator");
    let builder = |slots| Worker::builder(network.transport()).executor(executor()).slots(slots);
    let _one = builder(1).start().await.expect("a worker");
    available(&coordinator, "linger").await;
    for _ in 0..30 {
        run(&coordinator, "linger", r#"{"long":false}"#).await;
    }
    let mut handles = Vec::new();
    for _ in 0..5 {
        let parameters = Json::parse(r#"{"long":true}"#).expect("parameters");
        handles.push(coordinator.submit("linger", parameters).await.expect("accepted"));
    }
    let _two = builder(4).start().await.expect("a worker");
    for handle in &handles {
        let running = handle.events(0).any(async |event| event == Event::Status(Status::Running));
        assert!(tokio::time::timeout(DEADLINE, running).await.expect("it runs somewhere"));
    }
}
