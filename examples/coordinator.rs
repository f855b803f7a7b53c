//! The reference coordinator: the HTTP API in front of workers that connect through MQTT.
//!
//! ```sh
//! cargo run --release --example coordinator -- --embedded-broker
//! cargo run --release --example worker
//! ```

use std::process::ExitCode;

use clap::Parser;
use tinpot_server::{CoordinatorSettings, settings};

/// Accepts executions over HTTP, and runs them on workers that connect through MQTT.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    settings: CoordinatorSettings,
}

#[tokio::main]
async fn main() -> ExitCode {
    tinpot_server::keep_private();
    let settings = settings::parse::<Arguments>().settings;
    tinpot_server::init_tracing_as(settings.log.log_format, None);
    tinpot_server::exit(run(settings).await)
}

async fn run(settings: CoordinatorSettings) -> tinpot_core::Result<()> {
    // SIGTERM or Ctrl-C; an application with a life cycle of its own passes `Shutdown::manual`.
    let shutdown = tinpot_server::shutdown()?;
    settings.serve(shutdown).await
}
