//! A transport of your own: a coordinator and a worker that meet at a hub on a Unix socket.
//!
//! The transport itself is `examples/src/unix_socket.rs`, on top of `Reconnecting`;
//! `examples/tests/it` runs the conformance suite on it.
//!
//! ```sh
//! cargo run --example custom_transport
//! ```

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;
use tinpot_core::transport::Reconnecting;
use tinpot_core::{Coordinator, FunctionExecutor, Json, Worker};
use tinpot_examples::{UnixHub, UnixSocket};

#[derive(Deserialize, JsonSchema)]
struct Square {
    of: u64,
}

#[tokio::main]
async fn main() -> Result<(), tinpot_examples::AnyError> {
    let path = std::env::temp_dir().join(format!("tinpot-hub-{}", std::process::id()));
    let _hub = UnixHub::bind(&path)?;
    let connect = || Reconnecting::builder(UnixSocket::new(&path)).connect();
    let executor = FunctionExecutor::builder()
        .action("square", |_context, Square { of }| async move { Ok::<_, String>(of * of) })
        .build()?;

    let coordinator = Coordinator::builder(connect().await?).start().await?;
    let worker = Worker::builder(connect().await?).executor(executor).slots(8).start().await?;
    let mut catalogue = coordinator.watch_catalogue();
    drop(catalogue.wait_for(|catalogue| catalogue.contains_key("square")).await);

    let begin = Instant::now();
    let mut executions = Vec::new();
    for of in 1..=100 {
        let parameters = Json::parse(format!("{{\"of\": {of}}}"))?;
        executions.push(coordinator.submit("square", parameters).await?);
    }
    let mut sum = 0;
    for execution in executions {
        let outcome = execution.outcome().await?;
        sum += outcome.value().map_or(Ok(0), Json::deserialize::<u64>)?;
    }
    println!("the squares of 1 to 100 add up to {sum}, by 100 executions in {:?}", begin.elapsed());

    worker.shutdown(Duration::from_secs(1)).await;
    coordinator.shutdown().await;
    std::fs::remove_file(path)?;
    Ok(())
}
