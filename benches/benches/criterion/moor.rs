//! Values of MOO on the wire, and an echo through the gateway.

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use tinpot_core::{Coordinator, MemoryNetwork};
use tinpot_moor::testing::FakeWorker;
use tinpot_moor::{Dialect, FromWorker, FromWorkerBody, Gateway, Sender, SigningKey, Var};
use tokio::runtime::Runtime;
use uuid::Uuid;

/// A message with a list that takes about a kilobyte.
fn message() -> FromWorker {
    let items = (0..18).map(|n| match n % 3 {
        0 => Var::Int(n),
        1 => Var::from("a short text"),
        _ => Var::Float(n as f64),
    });
    let body = FromWorkerBody::Result(Uuid::nil(), Ok(Var::List(items.collect())));
    FromWorker { sender: Sender::Id(Uuid::nil()), body }
}

/// A message whose lists share what they have, eight levels deep: half a gigabyte if it were read.
fn hostile() -> Vec<u8> {
    let vectors = include_str!("../../../tinpot-moor/vectors/moor-1.json");
    let vectors: serde_json::Value = serde_json::from_str(vectors).expect("vectors");
    let refused = vectors["refused"].as_array().expect("a list");
    let shared = refused.iter().find(|vector| vector["name"] == "shared offsets");
    let hex = shared.and_then(|vector| vector["bytes"].as_str()).expect("bytes");
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("moor");
    let message = message();
    let bytes = message.encode(Dialect::Plain).expect("a message");
    group.bench_function(format!("encode a list, {} bytes", bytes.len()), |bencher| {
        bencher.iter(|| black_box(&message).encode(Dialect::Plain));
    });
    group.bench_function(format!("decode a list, {} bytes", bytes.len()), |bencher| {
        bencher.iter(|| FromWorker::decode(black_box(&bytes), Dialect::Plain));
    });
    let hostile = hostile();
    group.bench_function("refuse shared offsets", |bencher| {
        bencher.iter(|| FromWorker::decode(black_box(&hostile), Dialect::Token));
    });
    let runtime = Runtime::new().expect("a runtime");
    let (coordinator, gateway, worker) = runtime
        .block_on(async {
            let network = MemoryNetwork::new();
            let coordinator = Coordinator::builder(network.transport()).start().await?;
            let key = SigningKey::generate()?;
            let address = "tcp://127.0.0.1:0".parse().expect("an address");
            let gateway = Gateway::builder(&network, address).key(key.verifying_key()).allow_any();
            let gateway = gateway.bind().await?;
            let worker = FakeWorker::builder(gateway.address(), "echo").key(&key).start();
            coordinator.action_available("echo").await?;
            Ok::<_, tinpot_core::Error>((coordinator, gateway, worker))
        })
        .expect("a gateway with a worker");
    group.bench_function("echo through the gateway", |bencher| {
        let parameters = serde_json::json!({"args": ["Hello", 123]});
        bencher.to_async(&runtime).iter(|| async {
            let echoed = coordinator.call::<serde_json::Value>("echo", &parameters).await;
            echoed.expect("an echo")
        });
    });
    drop(worker);
    runtime.block_on(gateway.shutdown(Duration::ZERO));
    runtime.block_on(coordinator.shutdown());
    group.finish();
}
