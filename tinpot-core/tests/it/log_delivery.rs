//! The delivery of lines to the log sinks of a coordinator, in paused time.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use tinpot_core::log_sink::LogBatch;
use tinpot_core::{
    Context, Coordinator, Error, ErrorKind, Event, FunctionExecutor, Json, Level, LogSink,
    MemoryLogSink, MemoryNetwork, Result, TracingLogSink, Worker,
};
use tokio::time::Instant;

use crate::support::{Number, available};
use crate::tracing_events::Recorded;

/// A sink whose behaviour the test controls.
#[derive(Debug, Default)]
struct Scripted {
    /// The number of calls of `append` that still have to fail with this kind.
    failures: AtomicU32,
    kind: Mutex<Option<ErrorKind>>,
    hangs: AtomicBool,
    /// Lines that were appended but not flushed.
    buffer: Mutex<Vec<String>>,
    written: Mutex<Vec<String>>,
    origins: Mutex<Vec<(String, String)>>,
    closed: AtomicBool,
}

impl Scripted {
    fn failing(times: u32, kind: ErrorKind) -> Arc<Self> {
        let sink = Self { failures: AtomicU32::new(times), ..Self::default() };
        *sink.kind.lock().expect("a lock") = Some(kind);
        Arc::new(sink)
    }

    fn hanging() -> Arc<Self> {
        Arc::new(Self { hangs: AtomicBool::new(true), ..Self::default() })
    }

    fn written(&self) -> Vec<String> {
        self.written.lock().expect("a lock").clone()
    }
}

#[async_trait]
impl LogSink for Scripted {
    async fn append(&self, batches: &[LogBatch]) -> Result<()> {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.failures.load(Ordering::SeqCst) > 0 {
            self.failures.fetch_sub(1, Ordering::SeqCst);
            let kind = self.kind.lock().expect("a lock").unwrap_or(ErrorKind::Other);
            return Err(Error::new(kind, "the log server is away"));
        }
        for batch in batches {
            let origin = (batch.action.to_string(), batch.queue.to_string());
            self.origins.lock().expect("a lock").push(origin);
            let lines = batch.text_chunks().flat_map(|chunk| chunk.lines.clone());
            self.buffer.lock().expect("a lock").extend(lines);
        }
        Ok(())
    }

    async fn flush(&self) -> Result<()> {
        let mut buffer = self.buffer.lock().expect("a lock");
        self.written.lock().expect("a lock").append(&mut buffer);
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::SeqCst);
        Ok(())
    }
}

struct World {
    coordinator: Coordinator,
    _worker: Worker,
}

impl World {
    async fn new(sinks: &[Arc<dyn LogSink>]) -> Self {
        let network = MemoryNetwork::new();
        let mut builder = Coordinator::builder(network.transport());
        for sink in sinks {
            builder = builder.log_sink(sink.clone());
        }
        let coordinator = builder.start().await.expect("a coordinator");
        let body = |context: Context, Number { number }: Number| async move {
            for line in 1..=number {
                context.log(Level::Info, format!("line {line}")).await;
            }
            context.step("a step", |_| async { Ok::<_, String>(()) }).await
        };
        let executor = FunctionExecutor::builder()
            .action_with("print", |action| action.queue("paper"), body)
            .action("long", |context: Context, Number { number }: Number| async move {
                for _ in 0..number {
                    context.log(Level::Info, "x".repeat(60_000)).await;
                }
                Ok::<_, String>(())
            })
            .build()
            .expect("an executor");
        let worker = Worker::builder(network.transport()).executor(executor);
        let worker = worker.queues(["paper", "default"]).start().await.expect("a worker");
        available(&coordinator, "print").await;
        Self { coordinator, _worker: worker }
    }

    /// Runs an action to the end of its log.
    async fn run(&self, action: &str, number: u64) {
        let parameters = Json::parse(format!("{{\"number\":{number}}}")).expect("JSON");
        let submitted = self.coordinator.submit(action, parameters).await;
        let events: Vec<Event> = submitted.expect("accepted").events(0).collect().await;
        assert!(matches!(events.last(), Some(Event::Finished(_))), "{events:?}");
    }
}

fn lines(number: u64) -> Vec<String> {
    (1..=number).map(|line| format!("line {line}")).collect()
}

#[tokio::test(start_paused = true)]
async fn retryable_errors_are_retried_and_nothing_is_lost() {
    let sink = Scripted::failing(5, ErrorKind::Unavailable);
    let world = World::new(&[sink.clone() as Arc<dyn LogSink>]).await;
    let recorded = Recorded::start();
    world.run("print", 200).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(sink.written(), lines(200));
    assert!(recorded.any(&["WARN", "a log sink failed; trying again", "is away"]), "{recorded:?}");
    assert!(!recorded.any(&["lost lines"]), "{recorded:?}");
}

#[tokio::test(start_paused = true)]
async fn an_outage_beyond_the_bound_loses_lines_and_says_how_many() {
    let sink = Scripted::failing(u32::MAX, ErrorKind::Unavailable);
    let world = World::new(&[sink.clone() as Arc<dyn LogSink>]).await;
    let recorded = Recorded::start();
    world.run("print", 7).await;
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert!(recorded.any(&["WARN", "a log sink lost lines", "lines=", "total="]), "{recorded:?}");
    sink.failures.store(0, Ordering::SeqCst);
    world.run("print", 3).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(sink.written(), lines(3), "the sink is used again after its outage");
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_loses_its_lines_at_once() {
    let sink = Scripted::failing(1, ErrorKind::InvalidInput);
    let world = World::new(&[sink.clone() as Arc<dyn LogSink>]).await;
    let recorded = Recorded::start();
    world.run("print", 1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(recorded.any(&["WARN", "a log sink lost lines", "is away"]), "{recorded:?}");
}

#[tokio::test(start_paused = true)]
async fn lines_are_flushed_within_about_a_second() {
    let sink = Arc::new(Scripted::default());
    let world = World::new(&[sink.clone() as Arc<dyn LogSink>]).await;
    world.run("print", 3).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(sink.written(), lines(3));
    assert!(!sink.closed.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_flushes_the_tail_and_closes() {
    let sink = Arc::new(Scripted::default());
    let world = World::new(&[sink.clone() as Arc<dyn LogSink>]).await;
    world.run("print", 100).await;
    world.coordinator.shutdown().await;
    assert_eq!(sink.written(), lines(100));
    assert!(sink.closed.load(Ordering::SeqCst));
    world.coordinator.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_hanging_sink_delays_neither_watchers_nor_other_sinks() {
    let (stuck, memory) = (Scripted::hanging(), Arc::new(MemoryLogSink::new(100)));
    let world = World::new(&[stuck, memory.clone()]).await;
    let start = Instant::now();
    for _ in 0..3 {
        world.run("print", 10).await;
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    tokio::time::sleep(Duration::from_millis(10)).await;
    let executions = world.coordinator.executions(&Default::default()).await.expect("a list");
    for execution in executions {
        assert_eq!(memory.lines(execution.id), lines(10));
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_five_seconds_for_a_hanging_sink_and_counts_what_is_lost() {
    let stuck = Scripted::hanging();
    let world = World::new(&[stuck]).await;
    world.run("print", 10).await;
    let recorded = Recorded::start();
    let start = Instant::now();
    world.coordinator.shutdown().await;
    assert_eq!(start.elapsed().as_secs(), 5);
    // Ten lines of text, and the beginning and the end of the step.
    assert!(recorded.any(&["WARN", "did not close within 5s", "lines=12"]), "{recorded:?}");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_loses_lines_of_its_sink_and_says_how_many() {
    let (slow, memory) = (Scripted::hanging(), Arc::new(MemoryLogSink::new(1_000)));
    let world = World::new(&[slow.clone(), memory.clone()]).await;
    let recorded = Recorded::start();
    // 24 MB, half as much again as a queue holds.
    world.run("long", 400).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let executions = world.coordinator.executions(&Default::default()).await.expect("a list");
    assert_eq!(memory.lines(executions[0].id).len(), 400, "the other sink has all lines");
    slow.hangs.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let written = slow.written().len();
    assert!((150..400).contains(&written), "{written} lines");
    assert!(recorded.any(&["WARN", "found no room", "lines="]), "{recorded:?}");
}

#[tokio::test(start_paused = true)]
async fn batches_name_action_and_queue() {
    let sink = Arc::new(Scripted::default());
    let world = World::new(&[sink.clone() as Arc<dyn LogSink>]).await;
    world.run("print", 2).await;
    world.run("long", 1).await;
    world.coordinator.shutdown().await;
    let origins = sink.origins.lock().expect("a lock").clone();
    let (print, long) = (("print", "paper"), ("long", "default"));
    assert!(origins.iter().any(|(a, q)| (&**a, &**q) == print), "{origins:?}");
    assert!(origins.iter().any(|(a, q)| (&**a, &**q) == long), "{origins:?}");
    assert!(origins.iter().all(|(a, q)| [print, long].contains(&(&**a, &**q))), "{origins:?}");
}

#[tokio::test(start_paused = true)]
async fn the_tracing_sink_prints_text_only() {
    let world = World::new(&[Arc::new(TracingLogSink)]).await;
    let recorded = Recorded::start();
    world.run("print", 1).await;
    world.coordinator.shutdown().await;
    assert!(recorded.any(&["INFO tinpot::log", "line 1", "action=\"print\""]), "{recorded:?}");
    assert!(!recorded.any(&["INFO tinpot::log", "span"]), "{recorded:?}");
}
