//! The price of history for a durable coordinator: the cost of an execution with and without a
//! million in the history, a start with a million queued, and searches of a million.
//!
//! ```sh
//! history --rows 1000000
//! history --rows 1000000 --only-searches
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;
use tinpot_benches::process::resident_mb;
use tinpot_benches::stats::median;
use tinpot_core::Fence;
use tinpot_core::store::Transition;
use tinpot_core::{
    Coordinator, Execution, ExecutionId, FunctionExecutor, Json, MemoryNetwork, Outcome, Store,
    SubmitOptions, Timestamp, Worker, WorkerId,
};
use tinpot_sqlite::{Retention, SqliteStore};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Parser)]
#[command(about)]
struct Arguments {
    /// Executions in the history, and in the queue.
    #[arg(long, default_value_t = 1_000_000)]
    rows: usize,
    /// Executions that are timed, each time.
    #[arg(long, default_value_t = 20_000)]
    executions: usize,
    /// The number of rounds; the two stores take turns.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The folder of the files.
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
    /// Measure nothing but the searches.
    #[arg(long)]
    only_searches: bool,
    /// The store to start on, and to report the duration and cost of that start: the program calls
    /// itself with it.
    #[arg(long, hide = true)]
    only_start: Option<PathBuf>,
}

/// Transitions of one commit while the files are filled.
const FILL_BATCH: usize = 5_000;
/// Callers that wait for their executions, one after the other.
const CALLERS: usize = 16;

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let arguments = Arguments::parse();
    if let Some(path) = &arguments.only_start {
        return start_only(path.clone()).await;
    }
    let file = |name: &str| arguments.folder.join(format!("history-{name}.db"));
    let [empty, full, queue, search] = ["empty", "full", "queue", "search"].map(file);
    for path in [&empty, &full, &queue, &search] {
        for suffix in ["", "-wal", "-shm", "-lock"] {
            let path = format!("{}{suffix}", path.display());
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error.into());
                }
                _ => {}
            }
        }
    }
    std::fs::create_dir_all(&arguments.folder)?;
    let searches = tinpot_benches::searches::measure(&search, arguments.rows).await?;
    if arguments.only_searches {
        println!("{searches}");
        return Ok(());
    }
    fill(&full, arguments.rows, true).await?;
    fill(&queue, arguments.rows, false).await?;
    let mut costs = [Vec::new(), Vec::new(), Vec::new()];
    let at_its_bound = Retention::unbounded().executions(arguments.rows as u64);
    let cases = [
        ("empty", &empty, Retention::unbounded()),
        ("full", &full, Retention::unbounded()),
        ("full, and the oldest forgotten as fast", &full, at_its_bound),
    ];
    for round in 1..=arguments.rounds {
        for ((name, path, retention), costs) in cases.iter().zip(&mut costs) {
            let micros = cost(path, retention.clone(), arguments.executions).await?;
            eprintln!("round {round}, {name}: {micros:.1} µs per execution");
            costs.push(micros);
        }
    }
    let [empty, full, forgetting] = costs.map(|costs| median(&costs));
    let start = std::process::Command::new(std::env::current_exe()?)
        .arg("--only-start")
        .arg(&queue)
        .output()?;
    let start: serde_json::Value = serde_json::from_slice(&start.stdout)?;
    let answer = json!({
        "empty_us": empty, "full_us": full, "ratio": full / empty, "forgetting_us": forgetting,
        "forgetting_ratio": forgetting / empty, "start": start, "searches": searches,
    });
    println!("{answer}");
    Ok(())
}

/// Makes a store with `count` executions, ended or waiting.
async fn fill(path: &PathBuf, rows: usize, ended: bool) -> Result<(), AnyError> {
    let store = SqliteStore::builder(path).build();
    let (opened, session) = store.open().await?;
    let epoch = opened.epoch;
    let worker = WorkerId::new("w-1")?;
    let begin = Instant::now();
    let mut number = 0;
    while number < rows {
        let mut batch = Vec::with_capacity(FILL_BATCH * 3);
        for _ in 0..FILL_BATCH.min(rows - number) {
            number += 1;
            let id = ExecutionId::generate();
            let parameters = Json::parse(format!("{{\"number\":{number}}}"))?;
            let mut execution = Execution::new(id, ["noop", "other"][number % 2], parameters);
            execution.priority = (number % 3) as i32;
            batch.push(Transition::Accept(Arc::new(execution)));
            if ended {
                let fence = Fence { epoch, number: number as u64 };
                let (worker, lease) = (worker.clone(), Duration::from_secs(90));
                batch.push(Transition::Grant { execution: id, fence, attempt: 1, worker, lease });
                batch.push(Transition::Finish {
                    execution: id,
                    fence: Some(fence),
                    outcome: Outcome::Succeeded(Json::serialize(&number)?),
                    ran: Some(Duration::from_micros(50)),
                    log_end: Some(0),
                });
            }
        }
        session.commit(&batch, Timestamp::now()).await?;
    }
    session.close().await?;
    eprintln!("{}: {rows} executions in {:.1} s", path.display(), begin.elapsed().as_secs_f64());
    Ok(())
}

/// Microseconds per execution of a coordinator on this store, with its worker in the same process.
async fn cost(path: &PathBuf, retention: Retention, executions: usize) -> Result<f64, AnyError> {
    let network = MemoryNetwork::new();
    let store = SqliteStore::builder(path).retention(retention).build();
    let coordinator = Coordinator::builder(network.transport()).store(store).start().await?;
    let noop = |_, _: std::collections::BTreeMap<String, String>| async { Ok::<_, String>(()) };
    let executor = FunctionExecutor::builder().action("noop", noop).build()?;
    let worker = Worker::builder(network.transport()).executor(executor).slots(4).start().await?;
    let mut catalogue = coordinator.watch_catalogue();
    catalogue.wait_for(|known| known.get("noop").is_some_and(|entry| entry.available)).await?;
    run(&coordinator, executions / 10).await?;
    let begin = Instant::now();
    run(&coordinator, executions).await?;
    let micros = begin.elapsed().as_secs_f64() * 1e6 / executions as f64;
    worker.shutdown(Duration::ZERO).await;
    coordinator.shutdown().await;
    Ok(micros)
}

async fn run(coordinator: &Coordinator, executions: usize) -> Result<(), AnyError> {
    let callers = (0..CALLERS).map(|_| {
        let coordinator = coordinator.clone();
        tokio::spawn(async move {
            for _ in 0..executions / CALLERS {
                let (parameters, options) = (Json::empty_object(), SubmitOptions::new());
                coordinator.submit("noop", parameters).options(options).await?.outcome().await?;
            }
            Ok::<_, tinpot_core::Error>(())
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await??;
    }
    Ok(())
}

async fn start_only(path: PathBuf) -> Result<(), AnyError> {
    let begin = Instant::now();
    let network = MemoryNetwork::new();
    let store = SqliteStore::builder(path).build();
    let coordinator = Coordinator::builder(network.transport()).store(store).start().await?;
    let queues = coordinator.queues().await?;
    let seconds = begin.elapsed().as_secs_f64();
    let waiting: usize = queues.iter().map(|queue| queue.waiting).sum();
    let megabytes = resident_mb(std::process::id());
    println!("{}", json!({"seconds": seconds, "megabytes": megabytes, "waiting": waiting}));
    Ok(())
}
