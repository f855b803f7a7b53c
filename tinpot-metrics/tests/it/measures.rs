//! One of every measure.

use std::time::Duration;

use tinpot_core::observer::{AuthFailure, Cached, DeployEnd, Direction, LogCut, Measure, Observer};
use tinpot_core::transport::{Lane, Link};
use tinpot_core::{
    Coordinator, Execution, ExecutionId, Failure, FunctionExecutor, Json, MemoryNetwork, Refusal,
    Status, Stream, Worker,
};
use tinpot_metrics::PrometheusObserver;

/// Returns an execution of an action in a queue.
pub(crate) fn execution(action: &str, queue: &str) -> Execution {
    let mut execution = Execution::new(ExecutionId::generate(), action, Json::empty_object());
    execution.queue = queue.into();
    execution
}

/// Measures what an execution does from its acceptance to its end.
pub(crate) fn run(observer: &PrometheusObserver, execution: &Execution, status: Status) {
    let (waited, ran) = (Duration::from_millis(3), Some(Duration::from_millis(20)));
    observer.observe(&Measure::Accepted { execution });
    observer.observe(&Measure::Granted { execution, waited });
    observer.observe(&Measure::AttemptEnded { execution, status, ran });
    observer.observe(&Measure::Ended { execution, status });
}

/// Measures everything that needs no cluster.
pub(crate) fn each(observer: &PrometheusObserver) {
    run(observer, &execution("deploy", "default"), Status::Succeeded);
    run(observer, &execution("deploy", "default"), Status::Lost);
    let (lane, direction, took) = (Lane::Logs, Direction::Sent, Duration::from_millis(1));
    for measure in [
        Measure::LeasesExpired(1),
        Measure::DispatchesResent(2),
        Measure::Committed { transitions: 7, took },
        Measure::CommitFailed,
        Measure::LogBytes { stream: Stream::Stdout, bytes: 100 },
        Measure::LogCut(LogCut::Limit),
        Measure::LogCut(LogCut::Lost),
        Measure::Frame { lane, direction },
        Measure::Refused(Refusal::Plain),
        Measure::Link(&Link::Up),
        Measure::Link(&Link::Down { reason: String::new() }),
        Measure::Link(&Link::Up),
        Measure::Held { attempts: 1, slots: 4 },
        Measure::Ran { action: "deploy", status: Status::Succeeded, took, traced: None },
        Measure::Request { method: "GET", route: "/api/actions", code: 200, took, span: None },
        Measure::StreamOpened,
        Measure::AuthFailed(AuthFailure::Missing),
        Measure::Deployed(DeployEnd::Created),
        Measure::CacheRequest { kind: Cached::Bundle, is_hit: true },
        Measure::CacheRequest { kind: Cached::Environment, is_hit: false },
        Measure::CacheBytes { kind: Cached::Bundle, bytes: 1 << 20 },
        Measure::SetUp { kind: Cached::Environment, took },
    ] {
        observer.observe(&measure);
    }
}

/// Returns a coordinator that measures, with a worker.
pub(crate) async fn cluster(
    observer: &std::sync::Arc<PrometheusObserver>,
) -> (MemoryNetwork, Coordinator, Worker) {
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).observer(observer.clone());
    let coordinator = coordinator.start().await.expect("a coordinator");
    let executor = FunctionExecutor::builder()
        .action("tick", |_, ()| async { Ok::<_, Failure>("tock") })
        .build()
        .expect("an executor");
    let worker = Worker::builder(network.transport()).executor(executor);
    let worker = worker.start().await.expect("a worker");
    coordinator.action_available("tick").await.expect("an action");
    (network, coordinator, worker)
}
