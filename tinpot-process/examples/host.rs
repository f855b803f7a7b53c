//! A program that runs one action of a directory: `host DIRECTORY ACTION PARAMETERS`.
//!
//! The tests kill it, and use it as the supervisor of their own programs.

use std::process::ExitCode;

use tinpot_core::local;
use tinpot_process::ProcessExecutor;

fn main() -> ExitCode {
    // Before anything else: an executor starts this program again as a supervisor.
    tinpot_process::supervise_if_asked();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, action, parameters] = &arguments[..] else {
        eprintln!("usage: host DIRECTORY ACTION PARAMETERS");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ran = runtime.map_err(tinpot_core::Failure::from_error).and_then(|runtime| {
        runtime
            .block_on(run(directory, action, parameters))
            .map_err(tinpot_core::Failure::from_error)
    });
    match ran {
        Ok(value) => {
            println!("{value}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(directory: &str, action: &str, parameters: &str) -> tinpot_core::Result<String> {
    let executor = ProcessExecutor::builder(directory).start().await?;
    let tinpot = local(executor).await?;
    let parameters = tinpot_core::Json::parse(parameters)?;
    let value: serde_json::Value = tinpot.call(action, parameters).await?;
    tinpot.shutdown(std::time::Duration::from_secs(10)).await;
    Ok(value.to_string())
}
