//! A transport of your own: a coordinator and a worker that share nothing but a directory of Unix sockets.
//!
//! The transport itself is `examples/src/unix_transport.rs`; `examples/tests/it` holds it to the conformance suite.
//!
//! ```sh
//! cargo run --example custom_transport
//! ```

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;
use tinpot_core::{Coordinator, FunctionExecutor, Json, Worker};
use tinpot_examples::UnixTransport;

#[derive(Deserialize, JsonSchema)]
struct Square {
    of: u64,
}

#[tokio::main]
async fn main() -> Result<(), tinpot_examples::AnyError> {
    let directory = std::env::temp_dir().join(format!("tinpot-sockets-{}", std::process::id()));
    let executor = FunctionExecutor::builder()
        .action("square", |_context, Square { of }| async move { Ok::<_, String>(of * of) })
        .build()?;

    let coordinator = Coordinator::builder(UnixTransport::new(&directory)?).start().await?;
    let worker = Worker::builder(UnixTransport::new(&directory)?)
        .executor(executor)
        .slots(8)
        .start()
        .await?;
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
    std::fs::remove_dir_all(directory)?;
    Ok(())
}
