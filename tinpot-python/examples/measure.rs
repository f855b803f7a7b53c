//! Measures the cost of an attempt, a printed line, a start and a kill.
//!
//! Run it with `cargo run --release -p tinpot-python --example measure [--features embed]`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tinpot_core::executor::{Attempt, ContextParts, stop_channel};
use tinpot_core::{Context, ExecutionId, Executor, Json, LogWriter, Outcome, Stop, StopReason};
use tinpot_core::{Epoch, Fence};
use tinpot_python::PythonPool;
use tokio::sync::{Notify, watch};

const ACTIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance");

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let start = Instant::now();
    let pool = PythonPool::builder(ACTIONS).size(2).start().await?;
    println!("PythonPool: started in {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    // The interpreters that start in the background would be measured too.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let pool = Arc::new(pool);
    measure_kills(&pool).await?;
    measure("PythonPool", pool).await?;
    #[cfg(feature = "embed")]
    {
        let embedded = tinpot_python::PythonExecutor::builder(ACTIONS).start().await?;
        measure("PythonExecutor", Arc::new(embedded)).await?;
    }
    Ok(())
}

/// Measures the time from a stop without grace to the death of all processes.
async fn measure_kills(pool: &PythonPool) -> Result<(), Box<dyn std::error::Error>> {
    let mut times = Vec::new();
    for _ in 0..30 {
        let directory = tempfile::tempdir()?;
        let (logs, _buffer) = LogWriter::channel(Arc::new(Notify::new()), u64::MAX);
        let (stop, stops) = stop_channel();
        let parts = ContextParts::new(logs, stops, watch::Sender::new(None));
        let parameters = Json::serialize(&serde_json::json!({ "dir": directory.path() }))?;
        let mut execute = pool.execute(attempt("wait", parameters), Context::new(parts));
        while !directory.path().join("started").exists() {
            tokio::time::timeout(Duration::from_millis(1), &mut execute).await.ok();
        }
        // Spare interpreters that start would be measured too.
        tokio::time::timeout(Duration::from_millis(400), &mut execute).await.ok();
        let start = Instant::now();
        stop.send_replace(Some(Stop::new(StopReason::Cancelled, Duration::ZERO)));
        execute.await;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let (p50, max) = (times[times.len() / 2], times[times.len() - 1]);
    println!("PythonPool: killed within p50 {p50:.1?}, at most {max:.1?}");
    Ok(())
}

fn attempt(action: &str, parameters: Json) -> Attempt {
    let fence = Fence { epoch: Epoch { instance: 1, number: 1 }, number: 1 };
    Attempt::new(ExecutionId::generate(), fence, action, parameters)
}

async fn measure(name: &str, executor: Arc<dyn Executor>) -> Result<(), tinpot_core::Error> {
    let two = Json::parse(r#"{"a":1,"b":2}"#)?;
    // In a task of its own, as on a worker: another thread has to wake the main thread of the
    // runtime.
    let task = executor.clone();
    let mut times = tokio::spawn(async move {
        let mut times = Vec::new();
        for _ in 0..20_000 {
            let start = Instant::now();
            run(&*task, "add", &two).await;
            times.push(start.elapsed());
        }
        times
    })
    .await
    .unwrap_or_default();
    times.sort_unstable();
    let at = |part: f64| times[(times.len() as f64 * part) as usize].as_nanos() as f64 / 1e3;
    println!("{name}: round trip p50 {:.1} µs, p99 {:.1} µs", at(0.5), at(0.99));
    let lines = Json::parse(r#"{"count":100000}"#)?;
    for _ in 0..3 {
        let task = (executor.clone(), lines.clone());
        let start = Instant::now();
        let run = tokio::spawn(async move { run(&*task.0, "print_lines", &task.1).await });
        run.await.ok();
        let took = start.elapsed().as_secs_f64();
        println!("{name}: 100,000 lines in {took:.3} s, {:.0} lines/s", 1e5 / took);
    }
    executor.close().await
}

async fn run(executor: &dyn Executor, action: &str, parameters: &Json) {
    let ready = Arc::new(Notify::new());
    let (logs, buffer) = LogWriter::channel(ready.clone(), u64::MAX);
    let (_stop, stops) = stop_channel();
    let context = Context::new(ContextParts::new(logs, stops, watch::Sender::new(None)));
    let mut execute = executor.execute(attempt(action, parameters.clone()), context);
    let outcome = loop {
        tokio::select! {
            biased;
            outcome = &mut execute => break outcome,
            () = ready.notified() => drop(buffer.take(usize::MAX)),
        }
    };
    assert!(matches!(outcome, Outcome::Succeeded(_)), "{outcome:?}");
}
