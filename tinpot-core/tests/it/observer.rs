//! Observers: what coordinators and workers measure.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tinpot_core::observer::{Direction, LogCut, Measure, Observer};
use tinpot_core::transport::Lane;
use tinpot_core::{
    Backoff, Context, Coordinator, ErrorKind, Failure, FunctionExecutor, Level, MemoryNetwork,
    Outcome, ProtocolConfig, Worker,
};

use crate::support::in_time;

/// Counts measures by a short text.
#[derive(Debug, Default)]
struct Counts(Mutex<BTreeMap<String, u64>>);

impl Counts {
    fn of(&self, text: &str) -> u64 {
        self.0.lock().expect("a lock").get(text).copied().unwrap_or(0)
    }

    fn add(&self, text: String, number: u64) {
        *self.0.lock().expect("a lock").entry(text).or_default() += number;
    }

    fn set(&self, text: &str, number: u64) {
        self.0.lock().expect("a lock").insert(text.to_owned(), number);
    }
}

impl Observer for Counts {
    fn observe(&self, measure: &Measure<'_>) {
        let (text, number) = match measure {
            Measure::Accepted { execution } => (format!("accepted {}", execution.action), 1),
            Measure::Granted { execution, waited } => {
                assert!(*waited < Duration::from_secs(30), "{waited:?}");
                (format!("granted {} {}", execution.action, execution.queue), 1)
            }
            Measure::AttemptEnded { execution, status, ran } => {
                let ran = if ran.is_some() { "ran" } else { "-" };
                (format!("attempt {} {status:?} {ran}", execution.action), 1)
            }
            Measure::Ended { execution, status } => {
                (format!("ended {} {status:?}", execution.action), 1)
            }
            Measure::Committed { transitions, .. } => ("transitions".into(), *transitions as u64),
            Measure::LeasesExpired(number) => ("leases".into(), *number),
            Measure::LogBytes { stream, bytes } => (format!("bytes {stream:?}"), *bytes),
            Measure::LogCut(cut) => (format!("cut {cut:?}"), 1),
            Measure::Frame { lane, direction } => (format!("frame {lane:?} {direction:?}"), 1),
            Measure::Link(link) => (format!("up {}", link.is_up()), 1),
            Measure::Ran { action, status, .. } => (format!("ran {action} {status:?}"), 1),
            Measure::Held { attempts, slots } => {
                assert!(*attempts <= *slots as usize);
                return self.set("held", *attempts as u64);
            }
            Measure::Queues(queues) => {
                for queue in *queues {
                    self.set(&format!("waiting {}", queue.name), queue.waiting as u64);
                    let is_late = queue.waiting_since.is_some();
                    self.set(&format!("late {}", queue.name), is_late.into());
                }
                return;
            }
            Measure::Workers(workers) => {
                self.set("slots", workers.iter().map(|worker| u64::from(worker.slots)).sum());
                return self.set("workers", workers.len() as u64);
            }
            _ => return,
        };
        self.add(text, number);
    }
}

struct Setting {
    network: MemoryNetwork,
    coordinator: Coordinator,
    of_coordinator: Arc<Counts>,
    of_worker: Arc<Counts>,
}

impl Setting {
    async fn new(config: ProtocolConfig) -> Self {
        let (network, of_coordinator) = (MemoryNetwork::new(), Arc::new(Counts::default()));
        let coordinator = Coordinator::builder(network.transport()).config(config);
        let coordinator = coordinator.observer(of_coordinator.clone()).start().await;
        let coordinator = coordinator.expect("a coordinator");
        Self { network, coordinator, of_coordinator, of_worker: Arc::default() }
    }

    async fn worker(&self) -> Worker {
        let executor = FunctionExecutor::builder()
            .action("good", |context: Context, ()| async move {
                context.log(Level::Info, "twelve bytes").await;
                Ok::<_, Failure>(())
            })
            .action("bad", |_, ()| async { Err::<(), _>("no") })
            .action("long", |context: Context, ()| async move {
                context.log(Level::Info, "x".repeat(3_000)).await;
                context.log(Level::Info, "y".repeat(3_000)).await;
                Ok::<_, Failure>(())
            })
            .action("endless", |_, ()| async {
                std::future::pending::<()>().await;
                Ok::<_, Failure>(())
            })
            .build()
            .expect("an executor");
        let worker = Worker::builder(self.network.transport()).executor(executor);
        let worker = worker.log_limit_bytes(4_096).observer(self.of_worker.clone());
        let worker = worker.start().await.expect("a worker");
        in_time("it", self.coordinator.action_available("endless")).await.expect("it is offered");
        worker
    }
}

#[tokio::test]
async fn every_execution_and_attempt_is_measured_once_it_is_committed() {
    let setting = Setting::new(ProtocolConfig::default()).await;
    let (coordinator, counts) = (&setting.coordinator, &setting.of_coordinator);
    let worker = setting.worker().await;
    for _ in 0..3 {
        in_time("it", coordinator.call::<()>("good", ())).await.expect("a result");
    }
    let again = Backoff::fixed(Duration::ZERO);
    let handle = coordinator.submit("bad", ()).retries(1).backoff(again).await.expect("a handle");
    let outcome = in_time("its end", handle.outcome()).await.expect("an outcome");
    assert!(matches!(outcome, Outcome::Failed(_)));
    let handle = coordinator.submit("long", ()).await.expect("a handle");
    in_time("its end", handle.outcome()).await.expect("an outcome");
    coordinator.pause_queue("default").await.expect("it is paused");
    let waits = coordinator.submit("good", ()).await.expect("a handle");
    coordinator.measure().await.expect("measures");
    assert_eq!((counts.of("waiting default"), counts.of("late default")), (1, 1));
    assert_eq!((counts.of("workers"), counts.of("slots")), (1, 2));
    waits.cancel(false).await.expect("it is cancelled");
    for (text, number) in [
        ("accepted good", 4),
        ("granted good default", 3),
        ("attempt good Succeeded ran", 3),
        ("ended good Succeeded", 3),
        ("ended good Cancelled", 1),
        ("accepted bad", 1),
        ("granted bad default", 2),
        ("attempt bad Failed ran", 2),
        ("ended bad Failed", 1),
        ("ended long Succeeded", 1),
        ("leases", 0),
        ("up true", 1),
    ] {
        assert_eq!(counts.of(text), number, "{text}: {counts:?}");
    }
    assert!(counts.of("transitions") >= 20, "{counts:?}");
    assert!(counts.of("bytes Log") >= 36, "{counts:?}");
    let of_worker = &setting.of_worker;
    for (text, number) in [
        ("ran good Succeeded", 3),
        ("ran bad Failed", 2),
        ("cut Limit", 1),
        ("held", 0),
        ("up true", 1),
    ] {
        assert_eq!(of_worker.of(text), number, "{text}: {of_worker:?}");
    }
    for lane in Lane::ALL {
        for direction in [Direction::Sent, Direction::Received] {
            let text = format!("frame {lane:?} {direction:?}");
            assert!(counts.of(&text) > 0 && of_worker.of(&text) > 0, "{text}");
        }
    }
    worker.shutdown(Duration::ZERO).await;
    coordinator.shutdown().await;
    let after = coordinator.measure().await.expect_err("it has ended");
    assert_eq!(after.kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_lost_worker_is_an_expired_lease_and_a_lost_attempt() {
    let setting = Setting::new(ProtocolConfig::default()).await;
    let worker = setting.worker().await;
    let handle = setting.coordinator.submit("endless", ()).await.expect("a handle");
    let counts = &setting.of_coordinator;
    while setting.of_worker.of("held") == 0 {
        tokio::task::yield_now().await;
    }
    // It dies without a word.
    drop(worker);
    let outcome = handle.outcome().await.expect("an outcome");
    assert_eq!(outcome, Outcome::Lost);
    for (text, number) in [("leases", 1), ("attempt endless Lost -", 1), ("ended endless Lost", 1)]
    {
        assert_eq!(counts.of(text), number, "{text}: {counts:?}");
    }
    assert_eq!(counts.of(&format!("cut {:?}", LogCut::Limit)), 0);
    setting.coordinator.shutdown().await;
}

#[tokio::test]
async fn without_an_observer_nothing_is_measured() {
    let coordinator = Coordinator::builder(MemoryNetwork::new().transport()).start().await;
    let coordinator = coordinator.expect("a coordinator");
    coordinator.measure().await.expect("nothing");
    coordinator.shutdown().await;
}
