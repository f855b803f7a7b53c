//! A store of your own: the history of a coordinator in a redb database.
//!
//! The store itself is `examples/src/redb_store.rs`: three methods, which `KeyValueAdapter` turns
//! into a full store. `examples/tests/it` runs the conformance suites on it.
//!
//! ```sh
//! cargo run --example custom_store
//! ```

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tinpot_core::store::{KeyValueAdapter, ListOptions};
use tinpot_core::{Coordinator, FunctionExecutor, Json, MemoryNetwork, Worker};
use tinpot_examples::Redb;

#[derive(Deserialize, JsonSchema)]
struct Greet {
    name: String,
}

#[tokio::main]
async fn main() -> Result<(), tinpot_examples::AnyError> {
    let path = std::env::temp_dir().join("tinpot-custom-store.redb");
    let executor = FunctionExecutor::builder()
        .action("greet", |_context, Greet { name }| async move {
            Ok::<_, String>(format!("Hello, {name}!"))
        })
        .build()?;

    let network = MemoryNetwork::new();
    let store = KeyValueAdapter::new(Redb::open(&path)?);
    let coordinator = Coordinator::builder(network.transport()).store(store).start().await?;
    let worker = Worker::builder(network.transport()).executor(executor).start().await?;
    let mut catalogue = coordinator.watch_catalogue();
    drop(catalogue.wait_for(|catalogue| catalogue.contains_key("greet")).await);

    let parameters = Json::parse(r#"{"name": "redb"}"#)?;
    let execution = coordinator.submit("greet", parameters).await?;
    println!("{:?}", execution.outcome().await?);
    let history = coordinator.executions(&ListOptions::default()).await?;
    println!("{} executions in {}: run this again for one more", history.len(), path.display());

    worker.shutdown(Duration::from_secs(1)).await;
    coordinator.shutdown().await;
    Ok(())
}
