//! An executor of your own: shell scripts as actions.
//!
//! The executor itself is `examples/src/shell_executor.rs`; `examples/tests/it` runs the conformance
//! suite on it.
//!
//! ```sh
//! cargo run --example custom_executor
//! ```

use std::time::Duration;

use futures::StreamExt;
use tinpot_core::{Action, Coordinator, Event, Json, MemoryNetwork, Worker};
use tinpot_examples::{AnyError, shell_executor};

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let schema = r#"{"type": "object", "properties": {"name": {"type": "string"}}}"#;
    let greet = Action::new("greet")?.group("Scripts").schema(Json::parse(schema)?);
    let executor = shell_executor(vec![(greet, "echo \"got $1\"; echo \"careful, $name\" >&2")]);

    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).start().await?;
    let worker = Worker::builder(network.transport()).executor(executor).start().await?;
    let mut catalogue = coordinator.watch_catalogue();
    drop(catalogue.wait_for(|catalogue| catalogue.contains_key("greet")).await);

    let parameters = Json::parse(r#"{"name": "$(rm -rf /)"}"#)?;
    let execution = coordinator.submit("greet", parameters).await?;
    let mut events = execution.events(0);
    while let Some(event) = events.next().await {
        match event {
            Event::Logs(chunk) => {
                chunk.lines.iter().for_each(|line| println!("{:?}: {line}", chunk.stream))
            }
            Event::Finished(outcome) => println!("outcome: {outcome:?}"),
            _ => {}
        }
    }

    worker.shutdown(Duration::from_secs(1)).await;
    Ok(())
}
