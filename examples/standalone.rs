//! Everything in one process: Python actions, the HTTP API, and nothing to install.
//!
//! ```sh
//! cargo run --release --example standalone
//! curl -X POST localhost:8000/api/actions/check_hosts/sync_execute -H 'content-type: application/json' -d '{"parameters": {}}'
//! ```

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tinpot_core::{Coordinator, MemoryNetwork, Worker};
use tinpot_examples::{
    ActionsSettings, AnyError, HttpSettings, ProtocolSettings, RESULT_BYTES, SelectionSettings,
    StoreSettings,
};
use tinpot_http::{Anonymous, HttpConfig};

/// Runs Python actions, and lets people and programs trigger and watch them, in one process.
#[derive(Debug, Parser)]
struct Settings {
    #[command(flatten)]
    http: HttpSettings,
    #[command(flatten)]
    protocol: ProtocolSettings,
    #[command(flatten)]
    store: StoreSettings,
    #[command(flatten)]
    actions: ActionsSettings,
    #[command(flatten)]
    selection: SelectionSettings,
    /// The seconds that running actions have to end after SIGTERM
    #[arg(long, env = "GRACE", default_value_t = 10)]
    grace: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    // First: a worker starts this program again for each program that it runs as an action.
    tinpot_server::supervise_if_asked();
    tinpot_server::keep_private();
    tinpot_examples::init_tracing();
    tinpot_examples::exit(run(Settings::parse()).await)
}

async fn run(settings: Settings) -> Result<(), AnyError> {
    let shutdown = tinpot_examples::shutdown()?;
    let (executors, _) = settings.actions.executors("examples/actions".as_ref()).await?;

    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport())
        .config(settings.protocol.config())
        .store(settings.store.store("memory").await?)
        .start()
        .await?;
    let mut worker = Worker::builder(network.transport())
        .name("standalone")
        .config(settings.protocol.config())
        .slots(settings.actions.concurrency)
        .max_result_bytes(RESULT_BYTES)
        .groups(settings.selection.groups())
        .queues(settings.selection.queues());
    for executor in executors {
        worker = worker.executor(executor);
    }
    let worker = worker.start().await?;

    // As `tinpot standalone`, it lets in all who reach it.
    let config = HttpConfig::default().authenticator(Anonymous::default());
    let config = config.hosts([settings.http.host.into()]);
    let router = tinpot_http::router(coordinator.clone(), config);
    let server = tinpot_examples::serve(&settings.http, router, shutdown.clone()).await?;

    let (patience, ending) = (Duration::from_secs(settings.grace), shutdown.clone());
    let worker = tokio::spawn(async move {
        // A drained worker ends alone: the rest continues.
        tokio::select! {
            () = ending.begun() => {}
            () = worker.drain_requested() => {}
        }
        worker.shutdown(patience).await;
    });
    tokio::select! {
        () = shutdown.begun() => {}
        () = coordinator.stopped() => return Err("the coordinator has stopped: see the log above".into()),
    }
    let _ = worker.await;
    coordinator.shutdown().await;
    let _ = tokio::time::timeout(Duration::from_secs(5), server).await;
    Ok(())
}
