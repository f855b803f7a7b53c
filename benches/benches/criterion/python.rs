//! One no-op Python function, called straight through its executor: the pool and, with feature `embed`, the interpreter in this process.

use std::sync::Arc;

use criterion::{Criterion, Throughput};
use tinpot_core::executor::{Attempt, ContextParts, stop_channel};
use tinpot_core::{Context, ExecutionId, Executor, Json, LogWriter, Outcome};
use tinpot_core::{Epoch, Fence};
use tinpot_python::PythonPool;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, watch};

const ACTIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/actions");

pub(crate) fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("python");
    group.throughput(Throughput::Elements(1));
    let pool = runtime.block_on(PythonPool::builder(ACTIONS).size(1).start()).expect("a pool");
    group.bench_function("pool round trip", |bencher| {
        bencher.to_async(&runtime).iter(|| call(&pool))
    });
    runtime.block_on(pool.close()).expect("closed");
    #[cfg(feature = "embed")]
    {
        let starting = tinpot_python::PythonExecutor::builder(ACTIONS).start();
        let embedded = runtime.block_on(starting).expect("an interpreter");
        group.bench_function("embedded call", |bencher| {
            bencher.to_async(&runtime).iter(|| call(&embedded))
        });
    }
    group.finish();
}

async fn call(executor: &dyn Executor) {
    let fence = Fence { epoch: Epoch { instance: 1, number: 1 }, number: 1 };
    let attempt = Attempt::new(ExecutionId::from_u128(1), fence, "noop", Json::empty_object());
    let (logs, _buffer) = LogWriter::channel(Arc::new(Notify::new()), u64::MAX);
    let (_stop, stop) = stop_channel();
    let (progress, _progress) = watch::channel(None);
    let outcome =
        executor.execute(attempt, Context::new(ContextParts::new(logs, stop, progress))).await;
    assert!(matches!(outcome, Outcome::Succeeded(_)), "{outcome:?}");
}
