//! Spans of a coordinator and a worker arrive at a collector.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tinpot_core::{
    Backoff, Coordinator, Failure, FunctionExecutor, MemoryNetwork, MemoryStore, Outcome, Sampling,
    SubmitOptions, Worker,
};
use tinpot_otel::SpanExporter;
use tinpot_otel::testing::{ReceivedSpan, TestCollector};
use tokio::sync::Notify;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PATIENCE: Duration = Duration::from_secs(60);

/// A coordinator and a worker that export to one collector.
struct Place {
    coordinator: Coordinator,
    worker: Worker,
    exporter: SpanExporter,
}

impl Place {
    async fn start(collector: &TestCollector, sampling: Sampling) -> Self {
        let url = format!("{}/v1/traces", collector.url());
        let exporter = SpanExporter::builder(url)
            .service("test")
            .interval(Duration::from_millis(20))
            .timeout(PATIENCE)
            .start()
            .expect("an exporter");
        let network = MemoryNetwork::new();
        let coordinator = Coordinator::builder(network.transport())
            .observer(exporter.observer(sampling))
            .traces(sampling)
            .start()
            .await
            .expect("a coordinator");
        let executor = FunctionExecutor::builder()
            .action("trace", |context, ()| async move {
                Ok::<_, Failure>(context.traceparent().map(str::to_owned))
            })
            .action("fail", |_, ()| async { Err::<(), _>(Failure::new("no").kind("NoWay")) })
            .build()
            .expect("an executor");
        let worker = Worker::builder(network.transport())
            .executor(executor)
            .observer(exporter.observer(sampling))
            .traces(sampling)
            .start()
            .await
            .expect("a worker");
        coordinator.action_available("fail").await.expect("it runs");
        Self { coordinator, worker, exporter }
    }

    /// Runs `trace`, and returns the trace context that it got.
    async fn run(&self, options: SubmitOptions) -> String {
        let handle =
            self.coordinator.submit("trace", ()).options(options).await.expect("it submits");
        match handle.outcome().await.expect("it ends") {
            Outcome::Succeeded(value) => value.as_str().trim_matches('"').to_owned(),
            other => panic!("{other:?}"),
        }
    }

    async fn end(self, patience: Duration) {
        self.worker.shutdown(Duration::ZERO).await;
        self.coordinator.shutdown().await;
        let exporter = self.exporter;
        tokio::task::spawn_blocking(move || exporter.shutdown(patience)).await.expect("it ends");
    }
}

fn span<'a>(spans: &'a [ReceivedSpan], name: &str) -> &'a ReceivedSpan {
    spans.iter().find(|span| span.text("name") == name).unwrap_or_else(|| panic!("{spans:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_are_nested_below_the_context_of_the_submitter() {
    let collector = TestCollector::start();
    let place = Place::start(&collector, Sampling::always().parent_based()).await;
    let given = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let seen = place.run(SubmitOptions::new().traceparent(&given)).await;
    // Not recorded, and yet passed on.
    let unsampled = place.run(SubmitOptions::new().traceparent(given.replace("-01", "-00"))).await;
    assert!(unsampled.starts_with(&format!("00-{TRACE}-")) && unsampled.ends_with("-00"));
    place.end(PATIENCE).await;
    let spans = collector.spans();
    assert_eq!(spans.len(), 3, "{spans:#?}");
    let names = ["execute trace", "attempt trace", "run trace"];
    let mut parent = "00f067aa0ba902b7".to_owned();
    for (name, kind) in names.into_iter().zip([1, 3, 2]) {
        let span = span(&spans, name);
        assert_eq!((span.text("traceId"), span.text("parentSpanId")), (TRACE, &*parent), "{name}");
        assert_eq!((&span.span["kind"], &*span.service), (&kind.into(), "test"));
        assert_eq!(span.attribute("tinpot.action"), "trace");
        assert_eq!(span.attribute("tinpot.status"), "succeeded");
        assert!(span.span.get("status").is_none(), "{span:?}");
        span.text("spanId").clone_into(&mut parent);
    }
    assert_eq!(seen, format!("00-{TRACE}-{parent}-01"));
    let attempt = span(&spans, "attempt trace");
    assert_eq!(attempt.attribute("tinpot.attempt"), "1");
    assert!(attempt.attribute("tinpot.worker").starts_with("worker-"), "{attempt:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_has_a_span_and_errors_have_a_status() {
    let collector = TestCollector::start();
    let place = Place::start(&collector, Sampling::always()).await;
    let handle = place.coordinator.submit("fail", ()).retries(1);
    let handle = handle.backoff(Backoff::fixed(Duration::ZERO)).await.expect("it submits");
    let id = handle.id();
    handle.outcome().await.expect("it ends");
    let spans = collector.wait_for_spans(5);
    place.end(PATIENCE).await;
    let whole = span(&spans, "execute fail");
    // Without a parent, the trace has the id of the execution.
    assert_eq!(whole.text("traceId"), id.to_string().replace('-', ""));
    assert!(whole.span.get("parentSpanId").is_none(), "{whole:?}");
    for span in &spans {
        assert_eq!(span.span["status"]["code"], 2, "{span:?}");
        assert_eq!(span.span["status"]["message"], "no");
        assert_eq!(span.attribute("error.type"), "NoWay");
    }
    let attempts = spans.iter().filter(|span| span.text("name") == "attempt fail");
    let numbers: Vec<_> = attempts.map(|span| span.attribute("tinpot.attempt")).collect();
    assert_eq!(numbers, ["1", "2"]);
}

/// Spans have the ids of execution and attempt, and what the store has of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_ends_the_spans_that_began_before_its_restart() {
    let collector = TestCollector::start();
    let sampling = Sampling::always().parent_based();
    let exporter = SpanExporter::builder(format!("{}/v1/traces", collector.url()));
    let exporter = exporter.interval(Duration::from_millis(20)).start().expect("an exporter");
    let (store, network) = (Arc::new(MemoryStore::new()), MemoryNetwork::new());
    let coordinator = || {
        Coordinator::builder(network.transport())
            .store(store.clone())
            .observer(exporter.observer(sampling))
            .traces(sampling)
            .start()
    };
    let first = coordinator().await.expect("a coordinator");
    let (began, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (says, waits) = (began.clone(), end.clone());
    let executor = FunctionExecutor::builder().action("wait", move |context, ()| {
        let (says, waits) = (says.clone(), waits.clone());
        async move {
            says.notify_one();
            waits.notified().await;
            Ok::<_, Failure>(context.traceparent().map(str::to_owned))
        }
    });
    let worker = Worker::builder(network.transport()).executor(executor.build().expect("it is"));
    let worker = worker.start().await.expect("a worker");
    first.action_available("wait").await.expect("it runs");
    let given = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let handle = first.submit("wait", ()).traceparent(&given).await.expect("it submits");
    let id = handle.id();
    began.notified().await;
    first.shutdown().await;
    let second = coordinator().await.expect("a coordinator");
    end.notify_one();
    let handle = second.handle(id).await.expect("a handle");
    let outcome = handle.outcome().await.expect("it ends");
    let spans = collector.wait_for_spans(2);
    let (whole, attempt) = (span(&spans, "execute wait"), span(&spans, "attempt wait"));
    assert_eq!(whole.text("parentSpanId"), "00f067aa0ba902b7");
    assert_eq!(attempt.text("parentSpanId"), whole.text("spanId"));
    // The worker got it from the coordinator before, and records nothing itself.
    let seen = outcome.value().map(|value| value.as_str().trim_matches('"').to_owned());
    assert_eq!(seen, Some(format!("00-{TRACE}-{}-01", attempt.text("spanId"))));
    assert!(attempt.attribute("tinpot.worker").starts_with("worker-"), "{attempt:?}");
    assert_eq!(attempt.attribute("tinpot.attempt"), "1");
    worker.shutdown(Duration::ZERO).await;
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_wait_for_a_collector_that_is_overloaded() {
    let collector = TestCollector::answering(503);
    let place = Place::start(&collector, Sampling::always()).await;
    place.run(SubmitOptions::new()).await;
    collector.wait_for_refused(1);
    place.run(SubmitOptions::new()).await;
    collector.set_status(200);
    assert_eq!(collector.wait_for_spans(6).len(), 6);
    place.end(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_refuses_spans_gets_each_once() {
    let collector = TestCollector::answering(400);
    let place = Place::start(&collector, Sampling::always()).await;
    place.run(SubmitOptions::new()).await;
    collector.wait_for_refused(1);
    collector.set_status(200);
    place.run(SubmitOptions::new()).await;
    place.end(PATIENCE).await;
    // The first ones may have come in up to three requests.
    let spans = collector.spans();
    assert!((3..6).contains(&spans.len()), "{spans:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_holds_nothing_up() {
    let collector = TestCollector::answering(0);
    let place = Place::start(&collector, Sampling::always()).await;
    place.run(SubmitOptions::new()).await;
    collector.wait_for_refused(1);
    for _ in 0..20 {
        place.run(SubmitOptions::new()).await;
    }
    let began = Instant::now();
    place.end(Duration::from_millis(100)).await;
    // Less than a request may take.
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
}
