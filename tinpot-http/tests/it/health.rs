//! `/health` and `/ready`.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde_json::json;
use tinpot_core::executor::{ActionSet, ScopedExecutor};
use tinpot_core::transport::{Address, Lane, Received};
use tinpot_core::{
    Coordinator, Link, LoadError, MemoryNetwork, MemoryTransport, Outcome, Transport, Watcher,
    Worker,
};
use tinpot_http::HttpConfig;
use tokio::sync::watch;

use crate::cluster::{Cluster, within};

/// A transport that says of its link what the test wants.
#[derive(Debug)]
struct Switch {
    inner: MemoryTransport,
    link: watch::Receiver<Link>,
}

#[async_trait]
impl Transport for Switch {
    async fn send(&self, to: &Address, lane: Lane, frame: Bytes) -> tinpot_core::Result<()> {
        self.inner.send(to, lane, frame).await
    }

    async fn listen(
        &self,
        at: &Address,
        lane: Lane,
    ) -> tinpot_core::Result<BoxStream<'static, Received>> {
        self.inner.listen(at, lane).await
    }

    fn status(&self) -> Watcher<Link> {
        self.link.clone().into()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[tokio::test]
async fn the_link_decides() {
    let (link, status) = watch::channel(Link::Up);
    let network = MemoryNetwork::new();
    let switch = Switch { inner: network.transport(), link: status };
    let coordinator = Coordinator::builder(switch).start().await.unwrap();
    let cluster = Cluster::on(network, coordinator, HttpConfig::default()).await;
    assert_eq!(cluster.get("/health").await.json(), json!({"status": "healthy", "workers": 1}));
    assert_eq!(cluster.get("/ready").await.json(), json!({"status": "ready", "workers": 1}));
    let links = [
        (Link::Closed, "transport is closed"),
        (down("connection refused"), "transport is not connected: connection refused"),
        (down(""), "transport is not connected"),
    ];
    for (now, expected) in links {
        link.send_replace(now);
        for path in ["/health", "/ready"] {
            let answer = cluster.get(path).await;
            assert_eq!(answer.detail(503), expected);
            assert_eq!(answer.header("retry-after"), "1");
        }
    }
    link.send_replace(Link::Up);
    assert_eq!(cluster.get("/health").await.status, 200);
}

#[tokio::test]
async fn without_a_worker_it_lives_and_is_not_ready() {
    let mut cluster = Cluster::start().await;
    cluster.worker.take().unwrap().shutdown(Duration::ZERO).await;
    let mut catalogue = cluster.coordinator.watch_catalogue();
    within(catalogue.wait_for(|known| !known["add"].available)).await.unwrap();
    assert_eq!(cluster.get("/health").await.json()["workers"], 0);
    assert_eq!(cluster.get("/ready").await.detail(503), "no worker is live; start one");
}

#[tokio::test]
async fn worker_that_cannot_start_code_is_named_and_not_counted_on() {
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).start().await.unwrap();
    let mut cluster = Cluster::on(network.clone(), coordinator, HttpConfig::default()).await;
    let error = LoadError::new("/usr/bin/python3", "no Python interpreter starts\nmore");
    let offer = ActionSet::default().load_error(error.blocking());
    let executor = ScopedExecutor::new(offer, |_, _| async { Outcome::not_started("never") });
    let bad =
        Worker::builder(network.transport()).name("bad").executor(executor).start().await.unwrap();
    let mut changes = cluster.coordinator.changes();
    while cluster.coordinator.workers().await.unwrap().len() < 2 {
        within(changes.next()).await.unwrap();
    }
    let why = "worker \"bad\": no Python interpreter starts";
    let expected = json!({"status": "ready", "workers": 2, "problems": [why]});
    assert_eq!(cluster.get("/ready").await.json(), expected);
    let workers = cluster.get("/api/workers").await.json();
    let bad_one = workers["workers"].as_array().unwrap().iter().find(|one| one["name"] == "bad");
    assert_eq!(bad_one.unwrap()["problems"][0]["blocking"], true);
    cluster.worker.take().unwrap().shutdown(Duration::ZERO).await;
    while cluster.coordinator.workers().await.unwrap().len() > 1 {
        within(changes.next()).await.unwrap();
    }
    let expected = format!("no live worker can run actions: {why}");
    assert_eq!(cluster.get("/ready").await.detail(503), expected);
    drop(bad);
}

#[tokio::test]
async fn a_coordinator_that_was_shut_down_is_neither() {
    let cluster = Cluster::start().await;
    cluster.coordinator.shutdown().await;
    for path in ["/health", "/ready"] {
        assert!(cluster.get(path).await.detail(503).contains("shut down"));
    }
}

/// `Link::Down` has room for more fields; a transport of ours says what it looks like.
fn down(reason: &str) -> Link {
    Link::Down { reason: reason.to_owned() }
}
