//! Tinpot inside an application that has routes of its own: API and web UI are nested under `/automation`.
//!
//! ```sh
//! cargo run --example embed_in_axum
//! curl localhost:8000/automation/api/actions
//! ```

use std::process::ExitCode;
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use clap::Parser;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tinpot_core::{Coordinator, Failure, FunctionExecutor, local};
use tinpot_examples::{AnyError, HttpSettings};
use tinpot_http::{Anonymous, HttpConfig};

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
            Ok::<_, Failure>(format!("Hello, {name}!"))
        })
        .build()?;
    let tinpot = local(executor).await?;

    // Only this machine reaches it. An application with users has an authenticator of its own.
    let config = HttpConfig::default().authenticator(Anonymous::default());
    let config = config.shutdown_signal(shutdown.clone().begun());
    let app = axum::Router::new()
        .route("/", get(home))
        .with_state(tinpot.coordinator().clone())
        // Unlike `nest`, this takes `/automation/` as well as `/automation`.
        .nest_service("/automation", tinpot_http::router(tinpot.coordinator().clone(), config));
    tinpot_examples::serve(&settings.http, app, shutdown).await?.await?;
    tinpot.shutdown(Duration::from_secs(10)).await;
    Ok(())
}

/// A page of the application's own, which runs an action and waits for it.
async fn home(State(coordinator): State<Coordinator>) -> Result<String, String> {
    let greeting: String = coordinator
        .call("greet", json!({"name": "axum"}))
        .await
        .map_err(|error| error.to_string())?;
    Ok(format!("{greeting}\n"))
}
