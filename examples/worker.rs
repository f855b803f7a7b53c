//! The reference worker: runs Python actions for a coordinator that it reaches by MQTT.
//!
//! ```sh
//! ACTIONS_DIR=examples/actions QUEUES=default cargo run --release --example worker
//! ```

use std::process::ExitCode;

use clap::Parser;
use tinpot_core::{Worker, WorkerId};
use tinpot_examples::{
    ActionsSettings, AnyError, BrokerSettings, ProtocolSettings, WorkerSettings,
};

/// Runs Python actions for a coordinator that is reached by MQTT.
#[derive(Debug, Parser)]
struct Settings {
    #[command(flatten)]
    broker: BrokerSettings,
    #[command(flatten)]
    protocol: ProtocolSettings,
    #[command(flatten)]
    actions: ActionsSettings,
    #[command(flatten)]
    worker: WorkerSettings,
    /// The name that people see
    #[arg(long, env = "WORKER_NAME", default_value = "worker")]
    name: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    tinpot_examples::init_tracing();
    tinpot_examples::exit(run(Settings::parse()).await)
}

async fn run(settings: Settings) -> Result<(), AnyError> {
    let shutdown = tinpot_examples::shutdown()?;
    let executor = settings.actions.executor().await?;

    let id = WorkerId::generate(&settings.name);
    let transport = settings.broker.connect(Some(&id), None).await?;
    let worker = Worker::builder(transport)
        .id(id)
        .config(settings.protocol.config())
        .name(&settings.name)
        .executor(executor)
        .slots(settings.actions.concurrency)
        .groups(settings.worker.groups())
        .queues(settings.worker.queues())
        .start()
        .await?;
    println!(
        "Worker {} reaches its coordinator by {}",
        worker.id(),
        settings.broker.url_without_password()
    );

    shutdown.begun().await;
    worker.shutdown(settings.worker.patience()).await;
    Ok(())
}
