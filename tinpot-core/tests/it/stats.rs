//! The counts of the last day.

use std::time::Duration;

use tinpot_core::{
    Coordinator, Failure, FunctionExecutor, MemoryNetwork, MemoryStore, Stats, Timestamp, Worker,
};

use crate::support::in_time;

fn counted(stats: &Stats) -> (u64, u64, u64) {
    let sum = |of: fn(&tinpot_core::MinuteStats) -> u64| stats.minutes.iter().map(of).sum();
    (sum(|minute| minute.accepted), sum(|minute| minute.succeeded), sum(|minute| minute.failed))
}

#[tokio::test]
async fn a_coordinator_counts_what_earlier_ones_recorded() {
    let store = std::sync::Arc::new(MemoryStore::new());
    let start = async || {
        let network = MemoryNetwork::new();
        let coordinator =
            Coordinator::builder(network.transport()).store(store.clone()).start().await;
        let executor = FunctionExecutor::builder()
            .action("good", |_, ()| async { Ok::<_, Failure>(()) })
            .action("bad", |_, ()| async { Err::<(), _>("no") })
            .build()
            .expect("an executor");
        let worker = Worker::builder(network.transport()).executor(executor).start().await;
        (coordinator.expect("a coordinator"), worker.expect("a worker"))
    };
    let run = async |coordinator: &Coordinator| {
        for action in ["good", "good", "bad"] {
            in_time("it", coordinator.action_available(action)).await.expect("it is offered");
            let handle = coordinator.submit(action, ()).await.expect("a handle");
            in_time("it", handle.outcome()).await.expect("an outcome");
        }
    };
    let (first, worker) = start().await;
    run(&first).await;
    assert_eq!(counted(&first.stats(60)), (3, 2, 1));
    worker.shutdown(Duration::ZERO).await;
    first.shutdown().await;
    let restarted = Timestamp::now();
    let (second, worker) = start().await;
    in_time("the history", async {
        // Read in the background; nothing is counted twice meanwhile.
        while counted(&second.stats(60)) != (3, 2, 1) {
            assert_eq!(counted(&second.stats(60)).0 % 3, 0);
            tokio::task::yield_now().await;
        }
    })
    .await;
    let stats = second.stats(60);
    assert!(stats.since < restarted && stats.minutes.len() == 60, "{stats:?}");
    assert!(stats.minutes.iter().any(|minute| minute.duration_p50.is_some()));
    run(&second).await;
    assert_eq!(counted(&second.stats(60)), (6, 4, 2));
    worker.shutdown(Duration::ZERO).await;
    second.shutdown().await;
}
