//! Measures the time in which many workers with keys come back after a restart of their
//! coordinator, through mosquitto: handshakes, introductions, and the first heartbeat of each.
//!
//! ```sh
//! rejoin --workers 1000
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use futures::future::try_join_all;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tinpot_access::{IdentityKey, RingSuite};
use tinpot_benches::process::free_port;
use tinpot_benches::system;
use tinpot_core::seal::{CoordinatorOptions, EnrolledKeys, Pins, Suite, WorkerGrant};
use tinpot_core::{Coordinator, FunctionExecutor, Worker, WorkerId};
use tinpot_mqtt::MqttTransport;
use tinpot_sqlite::SqliteStore;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

const NAMESPACE: &str = "rejoin";
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Parser)]
#[command(about)]
struct Arguments {
    /// The number of workers.
    #[arg(long, default_value_t = 1000)]
    workers: usize,
    /// The number of restarts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let arguments = Arguments::parse();
    // Each worker has a connection, and the broker has its other end.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let port = free_port()?;
    let _mosquitto = system::start_mosquitto(port)?;
    let broker = format!("tcp://127.0.0.1:{port}");
    let transport = || MqttTransport::builder(&broker).namespace(NAMESPACE);
    let folder = tempfile::tempdir()?;
    let store = folder.path().join("store.db");
    let key = RingSuite::new(&IdentityKey::generate()?);
    let enrolled = Arc::new(EnrolledKeys::default());
    let start = async || -> Result<Coordinator, AnyError> {
        let options = CoordinatorOptions::new(NAMESPACE, enrolled.clone());
        let builder =
            Coordinator::builder(transport().connect().await?).sealed(key.clone(), options);
        Ok(builder.store(SqliteStore::builder(&store).build()).start().await?)
    };
    let mut coordinator = start().await?;
    let mut workers = Vec::with_capacity(arguments.workers);
    let numbers: Vec<usize> = (0..arguments.workers).collect();
    for some in numbers.chunks(50) {
        let started = some.iter().map(async |number| -> Result<Worker, AnyError> {
            let (name, own) =
                (format!("worker-{number}"), RingSuite::new(&IdentityKey::generate()?));
            enrolled.enrol(&key, WorkerGrant::new(own.public(), &name));
            let noop = |_, ()| async { Ok::<_, String>(()) };
            let actions = FunctionExecutor::builder().action("noop", noop).build()?;
            let pins = Pins::new(NAMESPACE, [key.public()]);
            let id = WorkerId::generate(&name);
            let builder = Worker::builder(transport().worker(&id).connect().await?);
            Ok(builder.name(&name).id(id).executor(actions).sealed(own, pins).start().await?)
        });
        workers.extend(try_join_all(started).await?);
    }
    wait_for(&coordinator, arguments.workers).await?;
    for _ in 0..arguments.rounds {
        coordinator.shutdown().await;
        drop(coordinator);
        let begin = Instant::now();
        coordinator = start().await?;
        wait_for(&coordinator, arguments.workers).await?;
        println!("{} workers are back after {:.2?}", arguments.workers, begin.elapsed());
    }
    Ok(())
}

/// Waits until `count` workers have introduced themselves.
async fn wait_for(coordinator: &Coordinator, count: usize) -> Result<(), AnyError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let known = coordinator.workers().await?.len();
        if known >= count {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("only {known} of {count} workers are there").into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
