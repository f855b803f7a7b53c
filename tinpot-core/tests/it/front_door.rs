//! The entry points of a first program: submissions, typed calls, local deployments.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tinpot_core::{
    Coordinator, ErrorKind, Failure, FunctionExecutor, FunctionExecutorBuilder, Json, Link, Local,
    MemoryNetwork, Outcome, State, Status, Transport, Worker, local,
};

use crate::support::{Nothing, Number, in_time};

fn actions() -> FunctionExecutorBuilder {
    FunctionExecutor::builder()
        .action("double", |_, Number { number }| async move { Ok::<_, Failure>(number * 2) })
        .action("tick", |_, ()| async { Ok::<_, Failure>("tock") })
        .action("parse", |_, ()| async { "x".parse::<u8>() })
}

async fn started() -> Local {
    in_time("a deployment", local(actions().build().expect("actions"))).await.expect("a deployment")
}

#[tokio::test]
async fn parameters_are_anything_that_serialises() {
    let tinpot = started().await;
    let document = Json::parse(r#"{"number": 4}"#).unwrap();
    assert_eq!(tinpot.call::<u64>("double", &document).await.unwrap(), 8);
    assert_eq!(tinpot.call::<u64>("double", document).await.unwrap(), 8);
    assert_eq!(tinpot.call::<u64>("double", json!({"number": 5})).await.unwrap(), 10);
    let map = std::collections::BTreeMap::from([("number", 6)]);
    assert_eq!(tinpot.call::<u64>("double", &map).await.unwrap(), 12);
    assert_eq!(tinpot.call::<String>("tick", ()).await.unwrap(), "tock");
    assert_eq!(tinpot.call::<String>("tick", json!({})).await.unwrap(), "tock");
    for refused in [json!({"number": 1}), json!(null)] {
        let error = tinpot.call::<String>("tick", refused).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidParameters, "{error}");
    }
    tinpot.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_call_returns_the_outcome_of_a_failure_as_an_error() {
    let tinpot = started().await;
    let error = tinpot.call::<u8>("parse", ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsuccessful);
    assert_eq!(error.to_string(), "ParseIntError: invalid digit found in string");
    assert_eq!(error.outcome().map(Outcome::status), Some(Status::Failed));
    let error = tinpot.call::<u8>("tick", ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    let error = tinpot.call::<u8>("missing", ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    tinpot.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_permanent_failure_is_not_retried() {
    let executor = FunctionExecutor::builder()
        .state(Arc::new(AtomicU32::new(0)))
        .action_with_state("fail", |_, State(tries), Nothing {}| async move {
            tries.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(Failure::new("closed").permanent())
        })
        .action_with_state("tries", |_, State(tries), ()| async move {
            Ok::<_, Failure>(tries.load(Ordering::Relaxed))
        });
    let tinpot = local(executor.build().unwrap()).await.unwrap();
    let execution = tinpot.submit("fail", ()).retries(5).await.unwrap();
    let outcome = in_time("an outcome", execution.outcome()).await.unwrap();
    assert!(outcome.failure().is_some_and(|failure| failure.permanent), "{outcome:?}");
    assert_eq!(tinpot.call::<u32>("tries", ()).await.unwrap(), 1);
    tinpot.shutdown(Duration::ZERO).await;
}

#[test]
fn parameters_that_are_no_object_are_refused_when_the_executor_is_built() {
    let pair = FunctionExecutor::builder()
        .action("add", |_, (a, b): (i64, i64)| async move { Ok::<_, Failure>(a + b) });
    let error = pair.build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().contains("\"add\" must be an object"), "{error}");
    let number = FunctionExecutor::builder()
        .action("double", |_, number: i64| async move { Ok::<_, Failure>(number * 2) });
    assert_eq!(number.build().unwrap_err().kind(), ErrorKind::InvalidInput);
    let any = FunctionExecutor::builder()
        .action("any", |_, value: serde_json::Value| async move { Ok::<_, Failure>(value) });
    assert!(any.build().is_ok());
}

#[tokio::test]
async fn a_watcher_that_a_caller_keeps_does_not_stop_the_coordinator() {
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).start().await.unwrap();
    let worker = |executor| Worker::builder(network.transport()).executor(executor).start();
    let first = worker(actions().build().unwrap()).await.unwrap();
    let mut watcher = coordinator.watch_catalogue();
    let known = in_time("the actions", watcher.wait_for(|known| known.contains_key("tick")));
    let known = known.await.unwrap();

    let another =
        FunctionExecutor::builder().action("another", |_, ()| async { Ok::<_, Failure>(()) });
    let second = worker(another.build().unwrap()).await.unwrap();
    in_time("the second worker", coordinator.action_available("another")).await.unwrap();
    in_time("a call", coordinator.call::<()>("another", ())).await.unwrap();
    assert!(!known.contains_key("another"), "a value that was handed out does not change");
    assert!(watcher.next().await.unwrap().contains_key("another"));

    first.shutdown(Duration::ZERO).await;
    second.shutdown(Duration::ZERO).await;
    coordinator.shutdown().await;
    let error = in_time("the end", coordinator.action_available("never")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_shutdown_closes_the_transport_it_was_given_and_no_clone_of_it() {
    let network = MemoryNetwork::new();
    let transport = network.transport();
    let coordinator = Coordinator::builder(transport.clone()).start().await.unwrap();
    let executor = actions().build().unwrap();
    let worker = Worker::builder(transport.clone()).executor(executor).start().await.unwrap();
    in_time("the actions", coordinator.action_available("tick")).await.unwrap();
    worker.shutdown(Duration::ZERO).await;
    assert_eq!(coordinator.link().current(), Link::Up);
    coordinator.shutdown().await;
    assert_eq!(coordinator.link().current(), Link::Closed);
    assert_eq!(transport.status().current(), Link::Up);
}

/// Collects the names of spans and the messages of events.
#[derive(Clone, Default)]
struct Collected(Arc<Mutex<Vec<String>>>);

impl Collected {
    fn has(&self, text: &str) -> bool {
        self.0.lock().expect("no panic under the lock").iter().any(|line| line.contains(text))
    }
}

impl tracing::field::Visit for Collected {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.lock().expect("no panic under the lock").push(format!("{field}={value:?}"));
    }
}

impl tracing::Subscriber for Collected {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("tinpot_core")
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        self.0
            .lock()
            .expect("no panic under the lock")
            .push(format!("span {}", span.metadata().name()));
        span.record(&mut self.clone());
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn the_life_cycle_is_traced() {
    let log = Collected::default();
    let _guard = crate::support::subscribe(log.clone());
    let tinpot = started().await;
    tinpot.call::<String>("tick", ()).await.unwrap();
    tinpot.shutdown(Duration::ZERO).await;
    for text in [
        "worker seen",
        "catalogue changed",
        "execution accepted",
        "attempt granted",
        "span attempt",
        "action=\"tick\"",
        "execution ended",
        "worker lost",
    ] {
        assert!(log.has(text), "{text}: {:#?}", log.0.lock().unwrap());
    }
    assert!(!log.has("dropped without shutdown"));
}

#[tokio::test]
async fn a_worker_and_a_coordinator_that_are_dropped_say_so() {
    let log = Collected::default();
    let _guard = crate::support::subscribe(log.clone());
    drop(started().await);
    assert!(log.has("worker dropped without shutdown"));
    assert!(log.has("coordinator dropped without shutdown"));
}

#[tokio::test(start_paused = true)]
async fn an_idle_deployment_logs_nothing() {
    let tinpot = started().await;
    let log = Collected::default();
    let guard = crate::support::subscribe(log.clone());
    tokio::time::sleep(Duration::from_secs(3600)).await;
    drop(guard);
    assert_eq!(*log.0.lock().unwrap(), Vec::<String>::new());
    tinpot.shutdown(Duration::ZERO).await;
}
