//! Log lines from a closure to a watcher, and from the store to many HTTP streams.

use axum::body::Body;
use axum::http::Request;
use criterion::{Criterion, Throughput};
use futures::StreamExt;
use schemars::JsonSchema;
use serde::Deserialize;
use tinpot_core::{
    Context, Coordinator, Event, FunctionExecutor, Json, Level, MemoryNetwork, Stream, Worker,
};
use tinpot_http::{Anonymous, HttpConfig};
use tokio::runtime::Runtime;
use tower::ServiceExt;

const LINES: u64 = 10_000;

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

pub(crate) fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let (coordinator, _worker) = runtime.block_on(cluster());
    let mut group = criterion.benchmark_group("logs");
    group.sample_size(20);
    group.throughput(Throughput::Elements(LINES));
    group.bench_function("closure to watcher", |bencher| {
        bencher.to_async(&runtime).iter(|| watch(&coordinator));
    });
    let id = runtime.block_on(finished(&coordinator));
    let router = tinpot_http::router(
        coordinator.clone(),
        HttpConfig::default().authenticator(Anonymous::default()),
    );
    for viewers in [1, 16] {
        group.throughput(Throughput::Elements(LINES * viewers));
        group.bench_function(format!("store to {viewers} streams"), |bencher| {
            bencher.to_async(&runtime).iter(|| async {
                let streams =
                    (0..viewers).map(|_| tokio::spawn(stream(router.clone(), id.clone())));
                for stream in streams.collect::<Vec<_>>() {
                    stream.await.expect("a stream");
                }
            });
        });
    }
    group.finish();
}

async fn cluster() -> (Coordinator, Worker) {
    let print = |context: Context, _: Nothing| async move {
        for first in (0..LINES).step_by(100) {
            let lines = (first..first + 100)
                .map(|n| format!("line {n} with some text behind it"))
                .collect();
            context.logs().write(Stream::Stdout, Level::Info, lines).await;
        }
        Ok::<_, String>(())
    };
    let executor = FunctionExecutor::builder().action("print", print).build().expect("an executor");
    let network = MemoryNetwork::new();
    let coordinator =
        Coordinator::builder(network.transport()).start().await.expect("a coordinator");
    let worker =
        Worker::builder(network.transport()).executor(executor).start().await.expect("a worker");
    let mut catalogue = coordinator.watch_catalogue();
    catalogue.wait_for(|known| known.contains_key("print")).await.expect("a catalogue");
    drop(catalogue);
    (coordinator, worker)
}

async fn watch(coordinator: &Coordinator) {
    let submitted = coordinator.submit("print", Json::empty_object());
    let mut events = submitted.await.expect("accepted").events(0);
    let mut seen = 0;
    while let Some(event) = events.next().await {
        if let Event::Logs(chunk) = event {
            seen = chunk.last_seq();
        }
    }
    assert_eq!(seen, LINES);
}

async fn finished(coordinator: &Coordinator) -> String {
    let submitted = coordinator.submit("print", Json::empty_object());
    let handle = submitted.await.expect("accepted");
    handle.events(0).for_each(|_| async {}).await;
    handle.id().to_string()
}

async fn stream(router: axum::Router, id: String) {
    let request = Request::get(format!("/api/executions/{id}/stream"))
        .body(Body::empty())
        .expect("a request");
    let response = router.oneshot(request).await.expect("a response");
    let mut body = response.into_body().into_data_stream();
    let mut bytes = 0;
    while let Some(part) = body.next().await {
        bytes += part.expect("a part").len();
    }
    assert!(bytes > LINES as usize * 50, "{bytes} bytes");
}
