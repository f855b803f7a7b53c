//! Attempts that an executor could not start: workers give them back, and they count for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tinpot_core::executor::{ActionSet, ScopedExecutor};
use tinpot_core::{Action, Coordinator, LoadError, MemoryNetwork, Outcome, SubmitOptions, Worker};

use crate::support::{available, in_time, outcome, submit};

/// An executor that can start its action only while a switch is on.
#[derive(Clone, Default)]
struct Switch {
    works: Arc<AtomicBool>,
    refused: Arc<AtomicU32>,
    ran: Arc<AtomicU32>,
}

impl Switch {
    async fn worker(&self, network: &MemoryNetwork, name: &str) -> Worker {
        let this = self.clone();
        let offer = ActionSet::new([Action::new("job").expect("a name")]);
        let executor = ScopedExecutor::new(offer, move |_, _| {
            let this = this.clone();
            async move {
                if this.works.load(Ordering::Relaxed) {
                    this.ran.fetch_add(1, Ordering::Relaxed);
                    return Outcome::Succeeded(tinpot_core::Json::null());
                }
                this.refused.fetch_add(1, Ordering::Relaxed);
                Outcome::not_started("no interpreter is left")
            }
        });
        let worker = Worker::builder(network.transport()).name(name).slots(2).executor(executor);
        worker.start().await.expect("a worker")
    }
}

#[tokio::test]
async fn worker_that_cannot_start_code_takes_nothing_from_one_that_can() {
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).start().await.expect("it starts");
    let (bad, good) = (Switch::default(), Switch::default());
    good.works.store(true, Ordering::Relaxed);
    let _workers = [bad.worker(&network, "bad").await, good.worker(&network, "good").await];
    available(&coordinator, "job").await;
    for _ in 0..20 {
        let options = SubmitOptions::new();
        let handle = submit(&coordinator, "job", options).await.expect("accepted");
        assert!(matches!(outcome(&handle).await, Outcome::Succeeded(_)));
        let execution = handle.execution().await.expect("a record");
        assert_eq!(execution.tries(), 1, "{:?}", execution.attempts);
    }
    assert_eq!(good.ran.load(Ordering::Relaxed), 20);
    // A try per hold, each twice as long as the one before.
    let refused = bad.refused.load(Ordering::Relaxed);
    assert!(refused <= 8, "{refused} attempts were given to a worker that cannot start them");
}

#[tokio::test]
async fn execution_waits_with_the_reason_until_its_action_can_be_started() {
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).start().await.expect("it starts");
    let switch = Switch::default();
    let _worker = switch.worker(&network, "only").await;
    available(&coordinator, "job").await;
    let handle = submit(&coordinator, "job", SubmitOptions::new()).await.expect("accepted");
    let mut changes = coordinator.changes();
    let reason = in_time("the reason", async {
        loop {
            let queues = coordinator.queues().await.expect("it lives");
            match queues[0].reason.clone().filter(|reason| reason.contains("cannot start")) {
                Some(reason) => return reason,
                None => changes.next().await.expect("it lives"),
            };
        }
    });
    let reason = reason.await;
    assert!(reason.contains("\"only\"") && reason.contains("no interpreter is left"), "{reason}");
    let workers = coordinator.workers().await.expect("it lives");
    assert!(workers[0].actions.is_empty() && workers[0].load_errors[0].blocking, "{workers:?}");
    let unavailable = coordinator.catalogue()["job"].unavailable.expect("a reason");
    assert!(unavailable.contains("can start it now"), "{unavailable}");
    switch.works.store(true, Ordering::Relaxed);
    assert!(matches!(outcome(&handle).await, Outcome::Succeeded(_)));
    assert!(handle.execution().await.expect("a record").tries() == 1);
}

#[tokio::test]
async fn reason_is_given_by_a_worker_that_never_offered_anything_to_this_coordinator() {
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).start().await.expect("it starts");
    let switch = Switch::default();
    let worker = switch.worker(&network, "gone").await;
    available(&coordinator, "job").await;
    worker.shutdown(std::time::Duration::ZERO).await;
    let error = LoadError::new("python3", "no interpreter starts").blocking();
    let offer = ActionSet::default().load_error(error);
    let executor = ScopedExecutor::new(offer, |_, _| async { Outcome::not_started("never") });
    let worker = Worker::builder(network.transport()).name("blocked").executor(executor);
    let _worker = worker.start().await.expect("a worker");
    let _handle = submit(&coordinator, "job", SubmitOptions::new()).await.expect("accepted");
    let mut changes = coordinator.changes();
    in_time("the reason", async {
        loop {
            let queues = coordinator.queues().await.expect("it lives");
            let reason = queues[0].reason.clone().unwrap_or_default();
            if reason.contains("\"blocked\"") && reason.contains("no interpreter starts") {
                return;
            }
            changes.next().await.expect("it lives");
        }
    })
    .await;
}
