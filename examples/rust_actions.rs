//! Rust closures as actions, without Python, HTTP or a broker: submit, watch, cancel.
//!
//! ```sh
//! cargo run --example rust_actions
//! ```

use std::time::Duration;

use futures::StreamExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tinpot_core::{Action, Context, Event, Failure, FunctionExecutor, Level, Local, RetryPolicy};

/// The parameters of `checksum`; the schema that callers see is derived from this.
#[derive(Deserialize, JsonSchema)]
struct Checksum {
    /// The text to sum up.
    text: String,
    /// The number of rounds.
    #[serde(default = "one")]
    rounds: u32,
}

fn one() -> u32 {
    1
}

#[derive(Serialize)]
struct Sum {
    adler32: u32,
}

async fn checksum(context: Context, Checksum { text, rounds }: Checksum) -> Result<Sum, Failure> {
    let (mut a, mut b) = (1_u32, 0_u32);
    for round in 1..=rounds {
        for byte in text.bytes() {
            a = (a + u32::from(byte)) % 65_521;
            b = (b + a) % 65_521;
        }
        context.progress(f64::from(round), Some(f64::from(rounds)), "adding");
        context.log(Level::Info, format!("after round {round}: {:08x}", b << 16 | a)).await;
    }
    Ok(Sum { adler32: b << 16 | a })
}

async fn patient(context: Context, (): ()) -> Result<(), Failure> {
    let stop = context.stopped().await;
    context.log(Level::Warning, format!("asked to end: {:?}", stop.reason)).await;
    Err(Failure::new("did not finish"))
}

#[tokio::main]
async fn main() -> Result<(), tinpot_core::Error> {
    let describe = |action: Action| {
        action.group("Sums").retry(RetryPolicy::exponential(3)).timeout(Duration::from_secs(30))
    };
    let executor = FunctionExecutor::builder()
        .action_with("checksum", describe, checksum)
        .action("patient", patient)
        .build()?;

    let tinpot = Local::builder(executor).slots(4).start().await?;
    let execution = tinpot.submit("checksum", json!({"text": "tinpot", "rounds": 3})).await?;
    let mut events = execution.events(0);
    while let Some(event) = events.next().await {
        match event {
            Event::Logs(chunk) => chunk.lines.iter().for_each(|line| println!("log       {line}")),
            Event::Progress(progress) => {
                println!("progress  {} of {:?}", progress.done, progress.total)
            }
            Event::Finished(outcome) => println!("finished  {outcome:?}"),
            other => println!("event     {other:?}"),
        }
    }

    let refused = tinpot.submit("checksum", json!({"rounds": "3"})).await;
    if let Err(error) = refused {
        println!("refused   {error}");
    }

    let execution = tinpot.submit("patient", ()).await?;
    execution.cancel(false).await?;
    println!("cancelled {:?}", execution.outcome().await?);

    tinpot.shutdown(Duration::from_secs(1)).await;
    Ok(())
}
