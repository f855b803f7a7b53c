//! The price of the audit of runs, in executions per second on one store.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tinpot_access::ChainAudit;
use tinpot_core::{
    Caller, Coordinator, FunctionExecutor, Json, MemoryNetwork, SubmitOptions, Worker,
};
use tinpot_sqlite::SqliteStore;

use super::{AnyError, Line};
use crate::stats::median;

const CALLERS: usize = 16;

/// Measures pairs of runs of this many executions, with and without an audit.
pub async fn measure(
    folder: &Path,
    rounds: usize,
    executions: usize,
) -> Result<Vec<Line>, AnyError> {
    let mut ratios = Vec::new();
    let mut rates = [const { Vec::new() }; 2];
    for round in 0..rounds {
        // Each goes first in turn.
        let order = if round % 2 == 0 { [false, true] } else { [true, false] };
        let mut pair = [0.0; 2];
        for is_audited in order {
            let place = folder.join(format!("audit-{round}-{is_audited}.db"));
            pair[usize::from(is_audited)] = rate(&place, is_audited, executions).await?;
        }
        ratios.push(pair[1] / pair[0]);
        rates.iter_mut().zip(pair).for_each(|(rates, rate)| rates.push(rate));
    }
    let cost = (1.0 - median(&ratios)) * 100.0;
    let [without, with] = rates.map(|rates| median(&rates));
    let measured = format!("{cost:.1} % ({with:.0}/s after {without:.0}/s)");
    Ok(vec![Line::new("the audit of runs: cost of throughput", "5 %", "2 %", measured)])
}

async fn rate(place: &Path, is_audited: bool, executions: usize) -> Result<f64, AnyError> {
    let network = MemoryNetwork::new();
    let store = SqliteStore::builder(place).build();
    let records = Arc::new(store.records());
    let mut builder = Coordinator::builder(network.transport()).store(store);
    if is_audited {
        builder = builder.audit(ChainAudit::start(records, "bench"));
    }
    let coordinator = builder.start().await?;
    let noop = |_, ()| async { Ok::<_, String>(()) };
    let executor = FunctionExecutor::builder().action("noop", noop).build()?;
    let worker = Worker::builder(network.transport()).executor(executor).slots(4).start().await?;
    coordinator.action_available("noop").await?;
    run(&coordinator, executions / 10).await?;
    let begin = Instant::now();
    run(&coordinator, executions).await?;
    let rate = executions as f64 / begin.elapsed().as_secs_f64();
    worker.shutdown(Duration::ZERO).await;
    coordinator.shutdown().await;
    Ok(rate)
}

async fn run(coordinator: &Coordinator, executions: usize) -> Result<(), AnyError> {
    let callers = (0..CALLERS).map(|number| {
        let caller = Caller::new(format!("user:{number}")).name("bench");
        let scoped = coordinator.scoped(caller);
        tokio::spawn(async move {
            for _ in 0..executions / CALLERS {
                let (parameters, options) = (Json::empty_object(), SubmitOptions::new());
                scoped.submit("noop", parameters, options).await?.outcome().await?;
            }
            Ok::<_, tinpot_core::Error>(())
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await??;
    }
    Ok(())
}
