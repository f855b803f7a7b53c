//! Unknown workers that come all at once.

use std::time::Duration;

use tinpot_core::executor::ActionSet;
use tinpot_core::protocol::{Frame, Message};
use tinpot_core::transport::{Address, Lane, Transport};
use tinpot_core::{
    Action, Coordinator, FunctionExecutor, MemoryNetwork, Refusal, Worker, WorkerId,
};

use crate::machine::hello;

/// Says hello as these workers, each with an action of its own.
async fn say_hello(network: &MemoryNetwork, workers: &[WorkerId]) {
    for id in workers {
        let mut hello = hello(ActionSet::new([Action::new(id.name()).expect("a name")]));
        hello.name = id.name().to_owned();
        let messages = vec![Message::Hello(hello)];
        let frame = Frame { from: Some(id.clone()), to: None, messages }.encode();
        let transport = network.transport_of(&Address::Worker(id.clone()));
        transport.send(&Address::Coordinator, Lane::Control, frame).await.expect("sent");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_workers_is_heard_bit_by_bit_and_delays_no_known_one() {
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).start().await.expect("started");
    let id = WorkerId::generate("known");
    let executor = FunctionExecutor::builder()
        .action("echo", |_, ()| async { Ok::<_, String>("still here") })
        .build()
        .expect("an action");
    let transport = network.transport_of(&Address::Worker(id.clone()));
    let worker = Worker::builder(transport).id(id).executor(executor).start().await.expect("one");
    coordinator.action_available("echo").await.expect("available");
    let strangers: Vec<_> =
        (0..2_000).map(|number| WorkerId::generate(&format!("s{number}"))).collect();
    // Those that are refused come again, as workers do.
    for (round, known) in [(1, 501), (2, 1_001), (3, 1_501)] {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let refused = coordinator.refused(Refusal::Workers);
        say_hello(&network, &strangers).await;
        let said = coordinator.call::<String>("echo", ()).await.expect("an answer");
        assert_eq!(said, "still here");
        assert_eq!(coordinator.workers().await.expect("workers").len(), known, "round {round}");
        let refused = coordinator.refused(Refusal::Workers) - refused;
        assert_eq!(refused, 2_000 - (known as u64 - 1), "round {round}");
    }
    worker.shutdown(Duration::ZERO).await;
    coordinator.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_fleet_that_comes_at_once_is_there_after_a_few_beats() {
    let network = MemoryNetwork::new();
    let mut workers = Vec::new();
    for number in 0..1_200 {
        let id = WorkerId::generate(&format!("w{number}"));
        let transport = network.transport_of(&Address::Worker(id.clone()));
        let echo = |_, ()| async { Ok::<_, String>(()) };
        let executor = FunctionExecutor::builder().action("echo", echo).build().expect("one");
        workers
            .push(Worker::builder(transport).id(id).executor(executor).start().await.expect("one"));
    }
    // All of them hear it at the same moment, and their beats stay in step.
    let coordinator = Coordinator::builder(network.transport()).start().await.expect("started");
    let known = async {
        while coordinator.workers().await.expect("workers").len() < workers.len() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), known).await.expect("in time");
    for worker in workers {
        worker.shutdown(Duration::ZERO).await;
    }
    coordinator.shutdown().await;
}
