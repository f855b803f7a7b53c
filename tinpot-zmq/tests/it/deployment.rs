//! Coordinators and workers over ZeroMQ, which start in any order and end.

use std::time::Duration;

use tinpot_core::{Coordinator, Failure, FunctionExecutor, Worker};
use tinpot_zmq::ZmqAddress;

use crate::support::{Folder, any_port, connect, id, is_up, reason, serve, within};

async fn start_worker(address: &ZmqAddress, name: &str) -> Worker {
    let text = name.to_owned();
    let executor = FunctionExecutor::builder()
        .action("name", move |_, ()| {
            let text = text.clone();
            async { Ok::<_, Failure>(text) }
        })
        .build()
        .unwrap();
    let transport = connect(address).await;
    Worker::builder(transport).id(id(name)).executor(executor).start().await.unwrap()
}

async fn runs(coordinator: &Coordinator, on: &str) {
    within("a worker is there", coordinator.action_available("name")).await.unwrap();
    let result = within("a result", coordinator.call::<String>("name", ())).await;
    assert_eq!(result.unwrap(), on);
}

async fn survives_restarts(address: ZmqAddress) {
    let server = serve(address).await;
    let address = server.address().clone();
    let coordinator = Coordinator::builder(server.transport()).start().await.unwrap();
    let worker = start_worker(&address, "web-1").await;
    runs(&coordinator, "web-1").await;

    // The coordinator goes, and comes back at the same address.
    let watching = connect(&address).await;
    is_up(&watching).await;
    coordinator.shutdown().await;
    drop(server);
    reason(&watching).await;
    let server = serve(address.clone()).await;
    let coordinator = Coordinator::builder(server.transport()).start().await.unwrap();
    is_up(&watching).await;
    runs(&coordinator, "web-1").await;

    // The worker goes, and another one comes.
    worker.shutdown(Duration::from_secs(1)).await;
    let worker = start_worker(&address, "web-2").await;
    runs(&coordinator, "web-2").await;
    worker.shutdown(Duration::from_secs(1)).await;
    coordinator.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_may_start_again_on_tcp() {
    survives_restarts(any_port()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_may_start_again_on_a_file() {
    let folder = Folder::new();
    survives_restarts(folder.address("zmq")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_may_start_before_its_coordinator() {
    let folder = Folder::new();
    let address = folder.address("zmq");
    let worker = start_worker(&address, "early").await;
    let server = serve(address).await;
    let coordinator = Coordinator::builder(server.transport()).start().await.unwrap();
    runs(&coordinator, "early").await;
    worker.shutdown(Duration::from_secs(1)).await;
    coordinator.shutdown().await;
}
