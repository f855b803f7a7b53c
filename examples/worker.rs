//! The reference worker: runs Python actions for a coordinator that it reaches through MQTT.
//!
//! ```sh
//! ACTIONS_DIR=examples/actions QUEUES=default cargo run --release --example worker
//! ```

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use tinpot_server::{WorkerSettings, settings};

/// Runs Python actions for a coordinator, which it reaches through MQTT.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    settings: WorkerSettings,
}

#[tokio::main]
async fn main() -> ExitCode {
    // First: a worker starts this program again for each program that it runs as an action.
    tinpot_server::supervise_if_asked();
    tinpot_server::keep_private();
    let settings = settings::parse::<Arguments>().settings;
    tinpot_server::init_tracing_as(settings.log.log_format, None);
    tinpot_server::exit(run(settings).await)
}

async fn run(settings: WorkerSettings) -> tinpot_core::Result<()> {
    // SIGTERM or Ctrl-C; an application with a life cycle of its own passes `Shutdown::manual`.
    let shutdown = tinpot_server::shutdown()?;
    settings.serve(Path::new("examples/actions"), shutdown).await
}
