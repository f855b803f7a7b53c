//! Programs as actions: a shell script and a Python script that do nothing, from the submission to
//! the outcome, next to the bare programs.
//!
//! ```sh
//! cargo run --release -p tinpot-benches --bin programs
//! ```

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use tinpot_benches::stats::percentile;
use tinpot_core::{Coordinator, Json, MemoryNetwork, Outcome, SubmitOptions, Worker};
use tinpot_process::ProcessExecutor;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

const RUNS: usize = 200;
const SLOTS: u32 = 2;
const PATIENCE: Duration = Duration::from_secs(120);

fn main() -> Result<(), AnyError> {
    tinpot_process::supervise_if_asked();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run())
}

async fn run() -> Result<(), AnyError> {
    let (actions, cache) = (tempfile::tempdir()?, tempfile::tempdir()?);
    app(actions.path(), "shell", "main.sh", ":\n")?;
    app(actions.path(), "python", "main.py", "pass\n")?;
    let cache = cache.path().join("cache");
    let executor = ProcessExecutor::builder(actions.path()).cache(&cache).start().await?;
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).start().await?;
    let worker = Worker::builder(network.transport()).executor(executor).slots(SLOTS);
    let worker = worker.start().await?;
    let mut catalogue = coordinator.watch_catalogue();
    tokio::time::timeout(PATIENCE, catalogue.wait_for(|known| known.len() == 2)).await??;
    let miss = timed(&coordinator, "python").await?;
    let python = format!("{}/bin/python", first_folder(&cache.join("venvs"))?);
    let mut answer = json!({ "python_new_environment_ms": miss });
    for (action, bare) in
        [("shell", &["/bin/sh", "-c", ":"][..]), ("python", &[&*python, "-u", "-c", "pass"][..])]
    {
        let mut times = Vec::new();
        let mut bare_times = Vec::new();
        for _ in 0..RUNS {
            times.push(timed(&coordinator, action).await?);
            let begun = Instant::now();
            let status = Command::new(bare[0]).args(&bare[1..]).status()?;
            assert!(status.success());
            bare_times.push(milliseconds(begun));
        }
        answer[action] = json!({
            "p50_ms": percentile(&mut times, 0.5), "p99_ms": percentile(&mut times, 0.99),
            "bare_p50_ms": percentile(&mut bare_times, 0.5),
            "per_second": throughput(&coordinator, action).await?,
        });
    }
    println!("{answer:#}");
    worker.shutdown(Duration::ZERO).await;
    Ok(())
}

fn app(actions: &Path, name: &str, script: &str, text: &str) -> std::io::Result<()> {
    let folder = actions.join(name);
    std::fs::create_dir(&folder)?;
    let towerfile = format!("[app]\nname = {name:?}\nscript = {script:?}\n");
    std::fs::write(folder.join("Towerfile"), towerfile)?;
    std::fs::write(folder.join(script), text)
}

fn first_folder(folder: &Path) -> Result<String, AnyError> {
    let mut entries = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let found = entries.find(|path| path.is_dir()).ok_or("no environment")?;
    Ok(found.display().to_string())
}

/// Milliseconds from the submission of one execution to its outcome.
async fn timed(coordinator: &Coordinator, action: &str) -> Result<f64, AnyError> {
    let begun = Instant::now();
    one(coordinator, action).await?;
    Ok(milliseconds(begun))
}

async fn one(coordinator: &Coordinator, action: &str) -> Result<(), AnyError> {
    let execution = coordinator.submit(action, Json::empty_object());
    let execution = execution.options(SubmitOptions::default()).await?;
    match execution.outcome().await? {
        Outcome::Succeeded(_) => Ok(()),
        other => Err(format!("{action} ended with {other:?}").into()),
    }
}

/// Executions per second with all slots busy.
async fn throughput(coordinator: &Coordinator, action: &str) -> Result<f64, AnyError> {
    let begun = Instant::now();
    let all = (0..RUNS).map(|_| one(coordinator, action));
    for done in futures::future::join_all(all).await {
        done?;
    }
    Ok(RUNS as f64 / begun.elapsed().as_secs_f64())
}

fn milliseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1000.0
}
