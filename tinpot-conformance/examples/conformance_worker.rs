//! A worker of this workspace's own library, with the actions that the scenes call.
//!
//! ```sh
//! cargo build -p tinpot-conformance --example conformance_worker
//! tinpot conformance worker -- target/debug/examples/conformance_worker
//! ```

use std::env;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tinpot_access::{IdentityKey, JoinToken, RingSuite};
use tinpot_core::seal::{JoinRequest, Pins, join};
use tinpot_core::{
    Action, Context, Error, ErrorKind, Failure, FunctionExecutor, Level, Result, RetryPolicy,
    Worker, WorkerId,
};
use tinpot_mqtt::MqttTransport;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Deserialize, JsonSchema)]
struct Echo {
    text: String,
}

#[derive(Deserialize, JsonSchema)]
struct Fail {
    message: String,
}

#[derive(Deserialize, JsonSchema)]
struct Sleep {
    seconds: f64,
}

#[derive(Deserialize, JsonSchema)]
struct Lines {
    count: u64,
}

#[derive(Deserialize, JsonSchema)]
struct Big {
    bytes: usize,
}

async fn sleep(context: Context, Sleep { seconds }: Sleep) -> std::result::Result<(), Failure> {
    tokio::select! {
        () = tokio::time::sleep(Duration::from_secs_f64(seconds)) => Ok(()),
        _ = context.stopped() => Err(Failure::new("asked to end")),
    }
}

fn actions() -> Result<FunctionExecutor> {
    let calls = Arc::new(AtomicU64::new(0));
    let count = move |_: Context, (): ()| {
        let calls = calls.fetch_add(1, Ordering::Relaxed) + 1;
        async move { Ok::<_, Failure>(calls) }
    };
    let brief = |action: Action| action.timeout(Duration::from_millis(300));
    let retried = |action: Action| action.retry(RetryPolicy::fixed(2, Duration::from_millis(100)));
    FunctionExecutor::builder()
        .action("echo", |_, Echo { text }: Echo| async { Ok::<_, Failure>(text) })
        .action("fail", |_, Fail { message }: Fail| async { Err::<(), _>(Failure::new(message)) })
        .action("count", count)
        .action("sleep", sleep)
        .action_with("sleep_briefly", brief, sleep)
        .action_with("sleep_retried", retried, sleep)
        .action("lines", |context: Context, Lines { count }: Lines| async move {
            for number in 1..=count {
                context.log(Level::Info, format!("line {number}")).await;
            }
            Ok::<_, Failure>(())
        })
        .action("big", |_, Big { bytes }: Big| async move { Ok::<_, Failure>("x".repeat(bytes)) })
        .build()
}

/// Has a new key enrolled. Returns what seals frames with it.
async fn enrol(broker: &str, token: &Path, name: &str) -> Result<(RingSuite, Pins)> {
    let text = std::fs::read_to_string(token).map_err(|error| invalid("the join token", error))?;
    let token = JoinToken::parse(text.trim())?;
    let suite = RingSuite::new(&IdentityKey::generate()?);
    let own = Arc::new(suite.clone());
    let request = JoinRequest::new(
        &token.suite(),
        own,
        token.coordinator(),
        "tinpot",
        name,
        env!("CARGO_PKG_VERSION"),
    )?;
    let transport = MqttTransport::builder(broker).worker(&request.joiner());
    let transport = transport.user("join").password("").connect().await?;
    let joined = join(&transport, request, Duration::from_secs(60)).await?;
    Ok((suite, Pins::new("tinpot", joined.coordinator_keys)))
}

fn invalid(what: &str, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("{what}: {why}"))
}

fn setting(name: &str) -> Result<String> {
    env::var(name).map_err(|error| invalid(name, error))
}

#[tokio::main]
async fn main() -> Result<()> {
    let (broker, name) = (setting("MQTT_BROKER")?, setting("WORKER_NAME")?);
    let slots = setting("CONCURRENCY")?.parse().map_err(|error| invalid("CONCURRENCY", error))?;
    let sealed = match env::var_os("TINPOT_JOIN_TOKEN_FILE") {
        Some(token) => Some(enrol(&broker, Path::new(&token), &name).await?),
        None => None,
    };
    let id = WorkerId::generate(&name);
    let transport = MqttTransport::builder(&broker).worker(&id).connect().await?;
    let mut builder =
        Worker::builder(transport).id(id).name(&name).slots(slots).executor(actions()?);
    if let Some((suite, pins)) = sealed {
        builder = builder.sealed(suite, pins);
    }
    let worker = builder.start().await?;
    let mut terminated =
        signal(SignalKind::terminate()).map_err(|error| invalid("SIGTERM", error))?;
    tokio::select! {
        _ = terminated.recv() => {}
        () = worker.drain_requested() => {}
    }
    worker.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
