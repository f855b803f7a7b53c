//! What people wait for who write Python actions: a worker that starts, and an edit that takes effect.
//!
//! ```sh
//! cargo run --release -p tinpot-benches --bin python
//! ```

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tinpot_benches::stats::percentile;
use tinpot_core::{Coordinator, Json, MemoryNetwork, Outcome, SubmitOptions, Worker};
use tinpot_python::PythonPool;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

const FILES: usize = 200;
const ACTIONS_PER_FILE: usize = 5;
const STARTS: usize = 5;
const EDITS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(60);
/// So many executions are always on their way while files are edited.
const CALLERS: usize = 4;

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let actions = tempfile::tempdir()?;
        write_many(actions.path())?;
        starts.push(start_to_catalogue(actions.path()).await?);
    }
    let (mut edits, executions) = edits_under_load().await?;
    let answer = json!({
        "start_to_catalogue": {
            "actions": FILES * ACTIONS_PER_FILE, "files": FILES,
            "p50_ms": percentile(&mut starts, 0.5), "max_ms": percentile(&mut starts, 1.0),
        },
        "edit_to_answer": {
            "edits": EDITS, "executions": executions, "lost": 0,
            "p50_ms": percentile(&mut edits, 0.5), "max_ms": percentile(&mut edits, 1.0),
        },
    });
    println!("{answer:#}");
    Ok(())
}

fn write_many(directory: &Path) -> std::io::Result<()> {
    for file in 0..FILES {
        let folder = directory.join(format!("area_{}", file / 20));
        std::fs::create_dir_all(&folder)?;
        let mut text = "from typing import Optional\nfrom tinpot import action\n".to_owned();
        for action in 0..ACTIONS_PER_FILE {
            text += &format!(
                "\n@action(group=\"Group {}\", timeout=60)\ndef action_{file}_{action}(name: str, count: int = 3, flags: Optional[list[str]] = None) -> str:\n    \"\"\"Do something {action} times.\"\"\"\n    return name * count\n",
                file / 20
            );
        }
        std::fs::write(folder.join(format!("file_{file}.py")), text)?;
    }
    Ok(())
}

/// Milliseconds from the start of a worker until the coordinator's catalogue has all its actions.
async fn start_to_catalogue(directory: &Path) -> Result<f64, AnyError> {
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).start().await?;
    let begun = Instant::now();
    let pool = PythonPool::builder(directory).start().await?;
    let worker = Worker::builder(network.transport()).executor(pool).start().await?;
    let last = format!("action_{}_{}", FILES - 1, ACTIONS_PER_FILE - 1);
    let mut catalogue = coordinator.watch_catalogue();
    let there = catalogue.wait_for(|known| known.get(&*last).is_some_and(|entry| entry.available));
    tokio::time::timeout(PATIENCE, there).await??;
    let took = milliseconds(begun);
    drop(worker);
    Ok(took)
}

/// Milliseconds from each edit until its code answers, and how many executions went well meanwhile: all of them, or it fails.
async fn edits_under_load() -> Result<(Vec<f64>, u64), AnyError> {
    let actions = tempfile::tempdir()?;
    let edit = |version: usize| {
        let text =
            format!("from tinpot import action\n@action\ndef version() -> int: return {version}\n");
        std::fs::write(actions.path().join("edited.py"), text)
    };
    edit(0)?;
    let network = MemoryNetwork::new();
    let coordinator = Arc::new(Coordinator::builder(network.transport()).start().await?);
    let pool = PythonPool::builder(actions.path()).size(2).start().await?;
    let _worker = Worker::builder(network.transport()).executor(pool).start().await?;
    let mut catalogue = coordinator.watch_catalogue();
    catalogue.wait_for(|known| known.get("version").is_some_and(|entry| entry.available)).await?;
    let (done, newest) = (Arc::new(AtomicBool::new(false)), tokio::sync::watch::Sender::new(0));
    let executions = Arc::new(AtomicU64::new(0));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let (coordinator, done, newest) = (coordinator.clone(), done.clone(), newest.clone());
        let executions = executions.clone();
        callers.spawn(async move {
            while !done.load(Ordering::Relaxed) {
                let parameters = Json::empty_object();
                let options = SubmitOptions::default();
                let execution = coordinator.submit("version", parameters, options).await?;
                match execution.outcome().await? {
                    Outcome::Succeeded(value) => newest.send_replace(value.to::<usize>()?),
                    other => return Err(format!("an execution was lost: {other:?}").into()),
                };
                executions.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, AnyError>(())
        });
    }
    let mut times = Vec::new();
    let mut answers = newest.subscribe();
    for version in 1..=EDITS {
        let begun = Instant::now();
        edit(version)?;
        tokio::time::timeout(PATIENCE, answers.wait_for(|answer| *answer == version)).await??;
        times.push(milliseconds(begun));
    }
    done.store(true, Ordering::Relaxed);
    while let Some(caller) = callers.join_next().await {
        caller??;
    }
    Ok((times, executions.load(Ordering::Relaxed)))
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
