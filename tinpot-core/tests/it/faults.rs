//! Coordinators and workers on a bad network, in paused time: the layer above the simulator.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use tinpot_core::testing::{Faults, FaultyTransport, Random};
use tinpot_core::{
    Context, Coordinator, Event, ExecutionId, FunctionExecutor, Json, Level, MemoryNetwork,
    MemoryStore, RetryPolicy, Status, Worker,
};

use crate::support::Number;

const FAULTS: Faults = Faults { loss: 0.15, duplicate: 0.15, delay: Duration::from_secs(3) };
const EXECUTIONS: u64 = 40;
const LINES: u64 = 30;

/// The number of starts of each execution, by its parameter.
type Starts = Arc<Mutex<BTreeMap<u64, u32>>>;

struct World {
    network: MemoryNetwork,
    store: Arc<MemoryStore>,
    starts: Starts,
    random: Random,
}

impl World {
    fn transport(&mut self) -> FaultyTransport<tinpot_core::MemoryTransport> {
        FaultyTransport::new(self.network.transport(), FAULTS, self.random.number())
    }

    async fn coordinator(&mut self) -> Coordinator {
        let builder = Coordinator::builder(self.transport()).store(self.store.clone());
        builder.start().await.expect("a coordinator")
    }

    async fn worker(&mut self) -> Worker {
        let starts = self.starts.clone();
        let body = move |context: Context, Number { number }: Number| {
            let starts = starts.clone();
            async move {
                *starts.lock().expect("a lock").entry(number).or_default() += 1;
                for line in 1..=LINES {
                    context.log(Level::Info, format!("{line}")).await;
                    tokio::time::sleep(Duration::from_millis(number * 37 % 200)).await;
                }
                if number % 5 == 0 { Err("five") } else { Ok(number) }
            }
        };
        let executor = FunctionExecutor::builder()
            .action("once", body.clone())
            .action_with("retried", |action| action.retry(RetryPolicy::exponential(8)), body)
            .build()
            .expect("an executor");
        let worker = Worker::builder(self.transport()).executor(executor).slots(4);
        worker.start().await.expect("a worker")
    }
}

async fn history(seed: u64) {
    let mut world = World {
        network: MemoryNetwork::new(),
        store: Arc::new(MemoryStore::new()),
        starts: Starts::default(),
        random: Random::new(seed),
    };
    let mut coordinator = world.coordinator().await;
    let mut workers = vec![world.worker().await, world.worker().await];
    let mut catalogue = coordinator.watch_catalogue();
    catalogue.wait_for(|catalogue| catalogue.contains_key("retried")).await.expect("a catalogue");
    let mut ids: Vec<(ExecutionId, &str, u64)> = Vec::new();
    for number in 0..EXECUTIONS {
        let action = if number % 2 == 0 { "once" } else { "retried" };
        let parameters = Json::serialize(&serde_json::json!({ "number": number })).expect("JSON");
        let submitted = coordinator.submit(action, parameters).await;
        ids.push((submitted.expect("accepted").id(), action, number));
        let pause = world.random.duration(Duration::from_secs(4));
        tokio::time::sleep(pause).await;
        if number % 13 == 12 {
            drop(coordinator);
            crate::session_probe::released(&world.store).await;
            coordinator = world.coordinator().await;
        }
        if number == 20 {
            drop(workers.swap_remove(0));
            workers.push(world.worker().await);
        }
    }
    for (id, action, number) in ids {
        let handle = coordinator.handle(id).await.expect("the execution is known");
        let ended = tokio::time::timeout(Duration::from_secs(3_600), handle.events(0).collect());
        let Ok(events) = ended.await else {
            let execution = handle.execution().await;
            let workers = coordinator.workers().await;
            panic!("{action} {number} does not end: {execution:?} {workers:?}");
        };
        let events: Vec<Event> = events;
        assert!(matches!(events.last(), Some(Event::Finished(_))), "{action} {number}: {events:?}");
        let starts = world.starts.lock().expect("a lock").get(&number).copied().unwrap_or(0);
        let execution = handle.execution().await.expect("it is there");
        if action == "once" {
            assert!(starts <= 1, "{number} is started {starts} times: {execution:?}");
        } else if number % 5 != 0 {
            assert_eq!(execution.status, Status::Succeeded, "{number}: {execution:?}");
        }
        // Each attempt's log is a prefix without a gap, or a line says what is missing. Lines of
        // two attempts may mix: those of the first may arrive late.
        let lines = events.iter().filter_map(|event| match event {
            Event::Logs(chunk) => Some(chunk.lines.iter()),
            _ => None,
        });
        let mut counts = vec![0_u64; LINES as usize + 2];
        for line in lines.flatten().filter(|line| !line.starts_with("[tinpot]")) {
            let line: usize = line.parse().expect("a number");
            counts[line] += 1;
            assert!(
                line == 1 || counts[line] <= counts[line - 1],
                "{action} {number}: line {line}"
            );
        }
        for attempt in &execution.attempts {
            let whole = attempt.log_end.is_none_or(|end| attempt.log_lines == end);
            assert!(whole, "{action} {number}: {attempt:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn executions_end_and_logs_are_whole_on_a_bad_network() {
    for seed in 0..12 {
        println!("seed {seed}");
        history(seed).await;
    }
}
