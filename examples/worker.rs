//! The reference worker: runs Python actions for a coordinator that it reaches by MQTT.
//!
//! ```sh
//! ACTIONS_DIR=examples/actions QUEUES=default cargo run --release --example worker
//! ```

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tinpot_core::{Worker, WorkerId};
use tinpot_examples::{
    ActionsSettings, AnyError, BrokerSettings, Life, ProtocolSettings, RESULT_BYTES, WorkerSettings,
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
    /// A directory on this machine where the worker notes that it lives, so that after a crash the next of its name can tell that nothing of it
    /// is left, and nobody has to wait for the end of its lease
    #[arg(long, env = "TINPOT_STATE_DIR", value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    tinpot_examples::init_tracing();
    tinpot_examples::exit(run(Settings::parse()).await)
}

async fn run(settings: Settings) -> Result<(), AnyError> {
    let shutdown = tinpot_examples::shutdown()?;
    let (executor, containment) = settings.actions.contained("examples/actions").await?;

    let id = WorkerId::generate(&settings.name);
    let begin = |directory: &PathBuf| {
        Life::begin(directory, &id, containment.as_ref())
            .map_err(|e| format!("cannot use {} (TINPOT_STATE_DIR): {e}", directory.display()))
    };
    let (_life, over) = settings.state_dir.as_ref().map(begin).transpose()?.unzip();
    let transport = settings.broker.connect(Some(&id), None).await?;
    let worker = Worker::builder(transport)
        .id(id)
        .clean_slate(over.into_iter().flatten())
        .config(settings.protocol.config())
        .name(&settings.name)
        .executor(executor)
        .slots(settings.actions.concurrency)
        .max_result_bytes(RESULT_BYTES)
        .groups(settings.worker.groups())
        .queues(settings.worker.queues())
        .start()
        .await?;
    println!(
        "Worker {} reaches its coordinator by {}",
        worker.id(),
        settings.broker.url_without_password()
    );

    tokio::select! {
        () = shutdown.begun() => {}
        // Whoever started it decides whether another one follows.
        () = worker.drain_requested() => println!("The coordinator asks this worker to end"),
    }
    worker.shutdown(settings.worker.patience()).await;
    Ok(())
}
