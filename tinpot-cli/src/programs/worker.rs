//! `tinpot worker`: runs Python actions for a coordinator that is reached by MQTT.

use std::path::PathBuf;

use clap::Args;
use tinpot_core::{Worker, WorkerId};

use super::ConfigArgs;
use crate::exit::Done;
use crate::life::Life;
use crate::serve::AnyError;
use crate::settings::{
    ActionsSettings, BrokerSettings, ProtocolSettings, RESULT_BYTES, WorkerSettings,
};

/// The settings of a worker.
#[derive(Args, Clone, Debug)]
pub(crate) struct WorkerArgs {
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
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// Runs until SIGTERM or Ctrl-C.
pub(crate) fn worker(arguments: WorkerArgs) -> Done {
    super::run(serve(arguments))
}

async fn serve(arguments: WorkerArgs) -> Result<(), AnyError> {
    let shutdown = crate::shutdown::shutdown()?;
    let (executor, containment) = arguments.actions.contained("actions").await?;
    let id = WorkerId::generate(&arguments.name);
    let begin = |directory: &PathBuf| {
        Life::begin(directory, &id, containment.as_ref())
            .map_err(|e| format!("cannot use {} (TINPOT_STATE_DIR): {e}", directory.display()))
    };
    let (_life, over) = arguments.state_dir.as_ref().map(begin).transpose()?.unzip();
    let transport = arguments.broker.connect(Some(&id), None).await?;
    let worker = Worker::builder(transport)
        .id(id)
        .clean_slate(over.into_iter().flatten())
        .config(arguments.protocol.config())
        .name(&arguments.name)
        .executor(executor)
        .slots(arguments.actions.concurrency)
        .max_result_bytes(RESULT_BYTES)
        .groups(arguments.worker.groups())
        .queues(arguments.worker.queues())
        .start()
        .await?;
    let broker = arguments.broker.url_without_password();
    println!("Worker {} reaches its coordinator by {broker}", worker.id());
    tokio::select! {
        () = shutdown.begun() => {}
        // Whoever started it decides whether another one follows.
        () = worker.drain_requested() => println!("The coordinator asks this worker to end"),
    }
    worker.shutdown(arguments.worker.patience()).await;
    Ok(())
}
