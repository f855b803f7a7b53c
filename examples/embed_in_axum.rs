//! Tinpot inside an application that has routes of its own: API and web UI are nested under `/automation`.
//!
//! ```sh
//! cargo run --example embed_in_axum
//! curl localhost:8000/automation/api/actions
//! ```

use std::process::ExitCode;

use axum::extract::State;
use axum::routing::get;
use clap::Parser;
use schemars::JsonSchema;
use serde::Deserialize;
use tinpot_core::{Coordinator, FunctionExecutor, Json, MemoryNetwork, Worker};
use tinpot_examples::{AnyError, HttpSettings};
use tinpot_http::HttpConfig;

/// An application with Tinpot in it.
#[derive(Debug, Parser)]
struct Settings {
    #[command(flatten)]
    http: HttpSettings,
}

#[derive(Deserialize, JsonSchema)]
struct Greeting {
    name: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    tinpot_examples::init_tracing();
    tinpot_examples::exit(run(Settings::parse()).await)
}

async fn run(settings: Settings) -> Result<(), AnyError> {
    let shutdown = tinpot_examples::shutdown()?;
    let executor = FunctionExecutor::builder()
        .action("greet", |_context, Greeting { name }| async move {
            Ok::<_, String>(format!("Hello, {name}!"))
        })
        .build()?;
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).start().await?;
    let _worker = Worker::builder(network.transport()).executor(executor).start().await?;

    let config = HttpConfig::default().shutdown_signal(shutdown.clone().begun());
    let app = axum::Router::new()
        .route("/", get(home))
        .with_state(coordinator.clone())
        // Unlike `nest`, this takes `/automation/` as well as `/automation`.
        .nest_service("/automation", tinpot_http::router(coordinator, config));
    tinpot_examples::serve(&settings.http, app, shutdown).await?.await?;
    Ok(())
}

/// A page of the application's own, which runs an action and waits for it.
async fn home(State(coordinator): State<Coordinator>) -> Result<String, String> {
    let greet = async {
        let parameters = Json::serialize(&greeting_for("axum"))?;
        let execution = coordinator.submit("greet", parameters).await?;
        execution.outcome().await
    };
    let outcome = greet.await.map_err(|error| error.to_string())?;
    outcome
        .value()
        .map(|greeting| format!("{greeting}\n"))
        .ok_or_else(|| outcome.error().unwrap_or_default())
}

fn greeting_for(name: &str) -> std::collections::BTreeMap<&str, &str> {
    [("name", name)].into()
}
