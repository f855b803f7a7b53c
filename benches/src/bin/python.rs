//! Waiting times of people who write Python actions: the start of a worker, an edit that takes
//! effect, and the overhead on their functions.
//!
//! ```sh
//! cargo run --release -p tinpot-benches --bin python
//! ```

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::json;
use tinpot_benches::stats::percentile;
use tinpot_core::{Coordinator, Event, Json, MemoryNetwork, Outcome, SubmitOptions, Worker};
use tinpot_python::PythonPool;
use tinpot_sqlite::SqliteStore;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

const FILES: usize = 200;
const ACTIONS_PER_FILE: usize = 5;
const STARTS: usize = 5;
const EDITS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(60);
/// The number of executions in flight while files are edited.
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
        "functions": functions().await?,
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
                let execution = coordinator.submit("version", parameters).options(options).await?;
                match execution.outcome().await? {
                    Outcome::Succeeded(value) => newest.send_replace(value.deserialize::<usize>()?),
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

/// Actions that measure themselves, and some that are measured from outside.
const ACTIONS: &str = r#"
import asyncio, dataclasses, datetime, time
from tinpot import action, schema

@action
def inner(): pass

@action
def steps(count: int) -> float:
    """Microseconds of one step."""
    begin = time.perf_counter()
    for _ in range(count):
        inner()
    return (time.perf_counter() - begin) / count * 1e6

fields = [("number_%d" % n, int) for n in range(8)] + [("text_%d" % n, str) for n in range(8)]
fields += [("day_%d" % n, datetime.date) for n in range(4)]
Large = dataclasses.make_dataclass("Large", fields)
GIVEN = {"value": {name: {int: 7, str: "text", datetime.date: "2026-11-21"}[kind] for name, kind in fields}}

@action
def convert(count: int) -> float:
    """Microseconds of the conversion of a dataclass with 20 fields."""
    def function(value: Large): pass
    signature = schema.derive(function)
    begin = time.perf_counter()
    for _ in range(count):
        signature.convert(GIVEN, trusted=True)
    return (time.perf_counter() - begin) / count * 1e6

@action
def lines(count: int):
    for number in range(count):
        print("line", number)

@action(concurrency=1000)
async def nap():
    await asyncio.sleep(1)
"#;

/// Measures the overhead on functions: microseconds of a step and of a conversion, lines per
/// second, and a thousand coroutines that sleep for a second.
async fn functions() -> Result<serde_json::Value, AnyError> {
    const COUNT: u64 = 20_000;
    const LINES: u64 = 1_000_000;
    const NAPS: usize = 1_000;
    const TIMES: usize = 5;
    let actions = tempfile::tempdir()?;
    std::fs::write(actions.path().join("measured.py"), ACTIONS)?;
    let network = MemoryNetwork::new();
    let store = SqliteStore::builder(actions.path().join("measured.db")).build();
    let coordinator = Coordinator::builder(network.transport()).store(store).start().await?;
    let pool = PythonPool::builder(actions.path()).size(2).start().await?;
    let _worker = Worker::builder(network.transport()).executor(pool).start().await?;
    let mut catalogue = coordinator.watch_catalogue();
    catalogue.wait_for(|known| known.get("nap").is_some_and(|entry| entry.available)).await?;
    let run = async |action: &str, parameters: serde_json::Value| -> Result<Json, AnyError> {
        let parameters = Json::serialize(&parameters)?;
        let handle = coordinator.submit(action, parameters).await?;
        // To the end of the log, not only of the attempt.
        let mut events = handle.events(0);
        while let Some(event) = events.next().await {
            if let Event::Finished(outcome) = event {
                return outcome.value().cloned().ok_or_else(|| format!("{outcome:?}").into());
            }
        }
        Err("the coordinator is gone".into())
    };
    let (mut steps, mut converts, mut rates, mut naps) = (vec![], vec![], vec![], vec![]);
    for _ in 0..TIMES {
        steps.push(run("steps", json!({"count": COUNT})).await?.deserialize::<f64>()?);
        converts.push(run("convert", json!({"count": COUNT})).await?.deserialize::<f64>()?);
        let begun = Instant::now();
        run("lines", json!({"count": LINES})).await?;
        rates.push(LINES as f64 / begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        let mut handles = Vec::new();
        for _ in 0..NAPS {
            let options = SubmitOptions::default();
            handles.push(coordinator.submit("nap", Json::empty_object()).options(options).await?);
        }
        for handle in &handles {
            handle.outcome().await?.value().ok_or("a nap failed")?;
        }
        naps.push(milliseconds(begun));
    }
    Ok(json!({
        "step_us": percentile(&mut steps, 0.5),
        "convert_20_fields_us": percentile(&mut converts, 0.5),
        "lines_per_second_to_sqlite": percentile(&mut rates, 0.5),
        "thousand_naps_of_a_second_ms": percentile(&mut naps, 0.5),
    }))
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
