//! The stores by themselves: what an execution and its log cost in memory and on disk.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use tinpot_core::log_sink::LogBatch;
use tinpot_core::store::{Session, Transition};
use tinpot_core::{Epoch, Fence};
use tinpot_core::{
    Execution, ExecutionId, Json, Level, LogChunk, MemoryStore, Outcome, Store, Stream, Timestamp,
    WorkerId,
};
use tinpot_sqlite::SqliteStore;
use tokio::runtime::Runtime;

const LINES: u64 = 1_000;
const FENCE: Fence = Fence { epoch: Epoch { instance: 1, number: 1 }, number: 1 };

pub(crate) fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    // On the disk that the programs use, not on one in memory.
    let target = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target"));
    let directory = tempfile::tempdir_in(target).expect("a directory");
    let sqlite = SqliteStore::builder(directory.path().join("tinpot.db")).build();
    let stores: [(&str, Box<dyn Store>); 2] =
        [("memory", Box::new(MemoryStore::new())), ("sqlite", Box::new(sqlite))];
    let mut group = criterion.benchmark_group("store");
    group.sample_size(20);
    for (name, store) in &stores {
        let (_, session) = runtime.block_on(store.open()).expect("open");
        for count in [1, 16, 128] {
            group.throughput(Throughput::Elements(count));
            group.bench_function(format!("{name}: executions, {count} at a time"), |bencher| {
                bencher.to_async(&runtime).iter(|| run(&*session, count, 0));
            });
        }
        group.throughput(Throughput::Elements(LINES));
        group.bench_function(format!("{name}: an execution with {LINES} lines"), |bencher| {
            bencher.to_async(&runtime).iter(|| run(&*session, 1, LINES));
        });
        runtime.block_on(session.close()).expect("close");
    }
    group.finish();
}

/// Accepted and granted; then, after its log, started and finished.
async fn run(session: &dyn Session, count: u64, lines: u64) {
    let ids: Vec<_> = (0..count).map(|_| ExecutionId::generate()).collect();
    let begin = ids.iter().flat_map(|id| {
        let new = Arc::new(Execution::new(*id, "measure", Json::empty_object()));
        let worker = WorkerId::new("w-1").expect("an id");
        let lease = Duration::from_secs(90);
        let grant = Transition::Grant { execution: *id, fence: FENCE, attempt: 1, worker, lease };
        [Transition::Accept(new), grant]
    });
    session.commit(&begin.collect::<Vec<_>>(), Timestamp::now()).await.expect("a commit");
    for first in (1..=lines).step_by(LINES as usize / 10) {
        session.append_logs(&[batch(ids[0], first, LINES / 10)]).await.expect("lines");
    }
    let end = ids.iter().flat_map(|id| {
        let finish = Transition::Finish {
            execution: *id,
            fence: Some(FENCE),
            outcome: Outcome::Succeeded(Json::null()),
            ran: Some(Duration::from_millis(1)),
            log_end: Some(lines),
        };
        [Transition::Start { execution: *id, fence: FENCE }, finish]
    });
    session.commit(&end.collect::<Vec<_>>(), Timestamp::now()).await.expect("a commit");
}

fn batch(execution: ExecutionId, first_seq: u64, count: u64) -> LogBatch {
    let line = |seq| format!("line {seq} of a log, with as much text behind it as lines have");
    let lines = (first_seq..first_seq + count).map(line).collect();
    let (time, stream, level) = (Timestamp::now(), Stream::Stdout, Level::Info);
    let chunk = LogChunk::new(first_seq, time, stream, level, lines);
    LogBatch::new(execution, 1, vec![Arc::new(chunk)])
}
