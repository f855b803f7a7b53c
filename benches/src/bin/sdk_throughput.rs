//! Executions through the SDK: a coordinator in this process, a worker of its own process behind the broker, or a worker in this one.
//!
//! ```sh
//! MQTT_BROKER=tcp://localhost:1883 sdk_throughput end_to_end 20000   # starts target/release/examples/worker
//! sdk_throughput --in-memory round_trip 2000                         # Rust closures, no broker, no Python
//! sdk_throughput --in-memory --store FILE --caller --audit end_to_end 50000  # the cost of the audit: with it, and without it
//! ```

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use serde_json::json;
use tinpot_access::{ChainAudit, StoreKeys};
use tinpot_benches::process::Process;
use tinpot_benches::stats::percentile;
use tinpot_core::{
    Caller, Coordinator, FunctionExecutor, Json, MemoryNetwork, SubmitOptions, Worker,
};
use tinpot_mqtt::MqttTransport;
use tinpot_sqlite::{SqliteRecords, SqliteStore};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Measurement {
    /// One after the other: the time from submit to outcome.
    RoundTrip,
    /// All at once: submit them, then wait for all.
    EndToEnd,
}

#[derive(Debug, Parser)]
#[command(about)]
struct Arguments {
    measurement: Measurement,
    count: usize,
    /// All parts in this process, with a Rust closure as action.
    #[arg(long)]
    in_memory: bool,
    /// Submit as a caller, whose rights are checked.
    #[arg(long)]
    caller: bool,
    /// Record what the caller does in the file of the store.
    #[arg(long, requires = "caller")]
    audit: bool,
    #[arg(long, env = "MQTT_BROKER", default_value = "tcp://localhost:1883")]
    broker: String,
    #[arg(long, env = "TINPOT_NAMESPACE", default_value = "sdk")]
    namespace: String,
    /// The file of a durable store; `memory` for none.
    #[arg(long, env = "TINPOT_STORE", default_value = "memory")]
    store: String,
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let arguments = Arguments::parse();
    if arguments.in_memory {
        let network = MemoryNetwork::new();
        let mut builder = Coordinator::builder(network.transport());
        if arguments.store != "memory" {
            builder = builder.store(SqliteStore::builder(&arguments.store).build());
        }
        if arguments.audit {
            let records = SqliteRecords::open(&arguments.store);
            builder = builder.audit(ChainAudit::start(Arc::new(records), "bench"));
            builder = builder.audit_digests(StoreKeys::generate()?.sealer());
        }
        let coordinator = builder.start().await?;
        let noop = |_, _: std::collections::BTreeMap<String, String>| async { Ok::<_, String>(()) };
        let executor = FunctionExecutor::builder().action("noop", noop).build()?;
        let _worker = Worker::builder(network.transport()).executor(executor).start().await?;
        return measure(&coordinator, &arguments).await;
    }
    let transport =
        MqttTransport::builder(&arguments.broker).namespace(&arguments.namespace).connect().await?;
    let mut builder = Coordinator::builder(transport);
    if arguments.store != "memory" {
        builder = builder.store(SqliteStore::builder(&arguments.store).build());
    }
    let coordinator = builder.start().await?;
    let mut worker = std::process::Command::new(Path::new("target/release/examples/worker"));
    worker.args(["--broker", &arguments.broker, "--namespace", &arguments.namespace]);
    let _worker = Process::start(worker.stdout(std::process::Stdio::null()))?;
    measure(&coordinator, &arguments).await
}

async fn measure(coordinator: &Coordinator, arguments: &Arguments) -> Result<(), AnyError> {
    let mut catalogue = coordinator.watch_catalogue();
    let there = catalogue.wait_for(|known| known.get("noop").is_some_and(|entry| entry.available));
    tokio::time::timeout(Duration::from_secs(60), there).await??;
    let scoped = coordinator.scoped(Caller::new("user:1").name("ada").via("token:1"));
    let submit = async || match arguments.caller {
        true => scoped.submit("noop", Json::empty_object(), SubmitOptions::new()).await,
        false => coordinator.submit("noop", Json::empty_object()).await,
    };
    for _ in 0..200 {
        submit().await?.outcome().await?;
    }
    let answer = match arguments.measurement {
        Measurement::RoundTrip => {
            let mut times = Vec::with_capacity(arguments.count);
            for _ in 0..arguments.count {
                let begin = Instant::now();
                submit().await?.outcome().await?;
                times.push(begin.elapsed().as_secs_f64() * 1e3);
            }
            json!({"p50_ms": percentile(&mut times, 0.5), "p99_ms": percentile(&mut times, 0.99)})
        }
        Measurement::EndToEnd => {
            let begin = Instant::now();
            // Submitters side by side, as a busy application has them; each waits for its acceptances one by one.
            let submitters = (0..64_usize).map(|lane| {
                let (coordinator, scoped) = (coordinator.clone(), scoped.clone());
                let is_caller = arguments.caller;
                let share = arguments.count / 64 + usize::from(lane < arguments.count % 64);
                tokio::spawn(async move {
                    let mut handles = Vec::with_capacity(share);
                    for _ in 0..share {
                        let parameters = Json::empty_object();
                        handles.push(match is_caller {
                            true => scoped.submit("noop", parameters, SubmitOptions::new()).await?,
                            false => coordinator.submit("noop", parameters).await?,
                        });
                    }
                    Ok::<_, tinpot_core::Error>(handles)
                })
            });
            let mut handles = Vec::with_capacity(arguments.count);
            for submitter in submitters.collect::<Vec<_>>() {
                handles.extend(submitter.await??);
            }
            let enqueued = begin.elapsed().as_secs_f64();
            for handle in handles {
                handle.outcome().await?;
            }
            let seconds = begin.elapsed().as_secs_f64();
            let count = arguments.count as f64;
            json!({"per_second": count / seconds, "enqueued_per_second": count / enqueued})
        }
    };
    println!("{answer}");
    Ok(())
}
