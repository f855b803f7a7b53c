//! Measures the cost of an attempt, a printed line, a start, a kill and a replacement.
//!
//! Run it with `cargo run --release -p tinpot-python --example measure [--features embed]`. With the
//! directory of a virtual environment that has pandas as an argument, it measures memory, too.

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
    for copies in [true, false] {
        measure_replacements(copies).await?;
        if let Some(python) = std::env::args().nth(1) {
            measure_memory(copies, &python).await?;
        }
    }
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

/// Measures the time from the death of an interpreter to the end of the next attempt, with imports
/// that take a second.
async fn measure_replacements(copies: bool) -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let text = "import os, time\nfrom tinpot import action\ntime.sleep(1)\n\
                @action\ndef die(): os.kill(os.getpid(), 9)\n\
                @action\ndef live(): pass\n\
                @action(isolation='fresh')\ndef fresh(): pass\n";
    std::fs::write(directory.path().join("slow.py"), text)?;
    let pool = PythonPool::builder(directory.path()).size(1).copies(copies).start().await?;
    let nothing = Json::parse("{}")?;
    let mut times = Vec::new();
    for _ in 0..if copies { 100 } else { 10 } {
        outcome(&pool, "die", &nothing).await;
        let start = Instant::now();
        outcome(&pool, "live", &nothing).await;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("copies {copies}: replaced within p50 {p50:.1?}, p99 {p99:.1?}");
    let mut times = Vec::new();
    for _ in 0..500 {
        let start = Instant::now();
        run(&pool, "fresh", &nothing).await;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("copies {copies}: fresh processes p50 {p50:.1?}, p99 {p99:.1?}");
    Ok(pool.close().await?)
}

/// Measures the memory of all processes of a pool of 8 (PSS), each of which has used pandas.
async fn measure_memory(copies: bool, python: &str) -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let text = "import os, time\nimport numpy, pandas\nfrom tinpot import action\n\
                HERE = os.path.dirname(__file__)\n\
                @action\ndef group(name: str):\n    \
                frame = pandas.DataFrame({'a': range(1000), 'b': range(1000)})\n    \
                frame.groupby('a').sum()\n    \
                open(f'{HERE}/met-{name}', 'w').close()\n    \
                while not os.path.exists(HERE + '/go'): time.sleep(0.01)\n";
    std::fs::write(directory.path().join("frames.py"), text)?;
    let builder = PythonPool::builder(directory.path()).python(python).size(8).spare(0);
    let pool = Arc::new(builder.copies(copies).start().await?);
    let mut attempts = tokio::task::JoinSet::new();
    for name in 0..8 {
        let (pool, name) = (pool.clone(), Json::parse(format!(r#"{{"name":"{name}"}}"#))?);
        attempts.spawn(async move { run(&*pool, "group", &name).await });
    }
    let is_note =
        |entry: &std::fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(b"met-");
    while std::fs::read_dir(directory.path())?.flatten().filter(is_note).count() < 8 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut kilobytes = 0;
    for process in std::fs::read_dir("/proc")?.flatten() {
        let read = |name: &str| std::fs::read_to_string(process.path().join(name));
        let is_ours = read("cmdline").is_ok_and(|line| line.contains("tinpot_child.py"));
        if let (true, Ok(memory)) = (is_ours, read("smaps_rollup")) {
            let pss = memory.lines().find_map(|line| line.strip_prefix("Pss:"));
            let pss = pss.and_then(|pss| pss.split_whitespace().next()?.parse::<u64>().ok());
            kilobytes += pss.unwrap_or_default();
        }
    }
    println!("copies {copies}: {} MB in 8 interpreters with pandas", kilobytes / 1024);
    std::fs::write(directory.path().join("go"), "")?;
    while attempts.join_next().await.is_some() {}
    Ok(pool.close().await?)
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
    let outcome = outcome(executor, action, parameters).await;
    assert!(matches!(outcome, Outcome::Succeeded(_)), "{outcome:?}");
}

async fn outcome(executor: &dyn Executor, action: &str, parameters: &Json) -> Outcome {
    let ready = Arc::new(Notify::new());
    let (logs, buffer) = LogWriter::channel(ready.clone(), u64::MAX);
    let (_stop, stops) = stop_channel();
    let context = Context::new(ContextParts::new(logs, stops, watch::Sender::new(None)));
    let mut execute = executor.execute(attempt(action, parameters.clone()), context);
    loop {
        tokio::select! {
            biased;
            outcome = &mut execute => return outcome,
            () = ready.notified() => drop(buffer.take(usize::MAX)),
        }
    }
}
