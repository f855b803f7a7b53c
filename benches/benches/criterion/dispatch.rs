//! The time from `submit` to the outcome of a no-op closure, on each transport: the share of the
//! SDK and of the wire.

use std::collections::BTreeMap;
use std::sync::Arc;

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use tinpot_benches::process::{Process, free_port};
use tinpot_core::{
    Coordinator, FunctionExecutor, Json, MemoryNetwork, Transport, Worker, WorkerId,
};
use tinpot_mqtt::MqttTransport;
use tinpot_mqtt::broker::Broker;
use tokio::runtime::Runtime;

/// Executions that are under way together in the throughput measurements.
const TOGETHER: usize = 256;

pub(crate) fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("dispatch");

    let network = MemoryNetwork::new();
    let coordinator = Arc::new(network.transport());
    let participants = (coordinator as _, Arc::new(network.transport()) as _, worker_id());
    measure(&mut group, &runtime, "memory", participants);

    let broker = runtime.block_on(Broker::builder().start()).expect("a broker");
    measure(&mut group, &runtime, "embedded broker", over_mqtt(&runtime, &broker.url()));
    runtime.block_on(broker.shutdown());

    let port = free_port().expect("a port");
    match tinpot_benches::system::start_mosquitto(port) {
        Ok(mosquitto) => {
            measure(
                &mut group,
                &runtime,
                "mosquitto",
                over_mqtt(&runtime, &format!("tcp://127.0.0.1:{port}")),
            );
            drop::<Process>(mosquitto);
        }
        Err(error) => eprintln!("mosquitto is left out: {error}"),
    }
    group.finish();
}

/// The transports of coordinator and worker, and the id of the worker.
type Participants = (Arc<dyn Transport>, Arc<dyn Transport>, WorkerId);

fn worker_id() -> WorkerId {
    WorkerId::generate("bench")
}

fn over_mqtt(runtime: &Runtime, url: &str) -> Participants {
    let id = worker_id();
    runtime.block_on(async {
        let coordinator = MqttTransport::builder(url).connect().await.expect("a transport");
        let worker = MqttTransport::builder(url).worker(&id).connect().await.expect("a transport");
        (Arc::new(coordinator) as _, Arc::new(worker) as _, id)
    })
}

fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    runtime: &Runtime,
    name: &str,
    transports: Participants,
) {
    let (coordinator, worker) = runtime.block_on(cluster(transports));
    let run = |count: usize| {
        let coordinator = &coordinator;
        async move {
            let mut handles = Vec::with_capacity(count);
            for _ in 0..count {
                let submitted = coordinator.submit("noop", Json::empty_object());
                handles.push(submitted.await.expect("accepted"));
            }
            for handle in handles {
                handle.outcome().await.expect("an outcome");
            }
        }
    };
    group.throughput(Throughput::Elements(1));
    group.bench_function(format!("{name}, one by one"), |bencher| {
        bencher.to_async(runtime).iter(|| run(1))
    });
    group.throughput(Throughput::Elements(TOGETHER as u64));
    group.bench_function(format!("{name}, {TOGETHER} together"), |bencher| {
        bencher.to_async(runtime).iter(|| run(TOGETHER))
    });
    drop((coordinator, worker));
}

async fn cluster((coordinator, worker, id): Participants) -> (Coordinator, Worker) {
    let noop = |_, _: BTreeMap<String, String>| async { Ok::<_, String>(()) };
    let executor = FunctionExecutor::builder().action("noop", noop).build().expect("an executor");
    let coordinator = Coordinator::builder(coordinator).start().await.expect("a coordinator");
    let worker = Worker::builder(worker).id(id).executor(executor).slots(2).start().await;
    let worker = worker.expect("a worker");
    let mut catalogue = coordinator.watch_catalogue();
    catalogue.wait_for(|known| known.contains_key("noop")).await.expect("a catalogue");
    drop(catalogue);
    (coordinator, worker)
}
