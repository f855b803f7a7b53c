//! `/health` and `/ready`.

use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde_json::json;
use tinpot_core::executor::{ActionSet, ScopedExecutor};
use tinpot_core::testing::{Grant, TestPolicy};
use tinpot_core::transport::{Address, Lane, Received};
use tinpot_core::{
    Caller, Coordinator, Link, LoadError, MemoryNetwork, MemoryTransport, Outcome, Right,
    Transport, Watcher, Worker,
};
use tinpot_http::{Authenticator, HttpConfig, Identity, Presented};
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
    let expected =
        json!({"status": "ready", "workers": 2, "reasons": ["worker"], "problems": [why]});
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

/// Knows callers by the header `x-user`.
#[derive(Debug)]
struct ByHeader;

#[async_trait]
impl Authenticator for ByHeader {
    async fn authenticate(&self, request: &Presented<'_>) -> tinpot_core::Result<Identity> {
        let user = request.headers.get("x-user").and_then(|user| user.to_str().ok());
        Ok(match user {
            None => Identity::Unknown,
            Some("expired") => Identity::Refused("it has expired".to_owned()),
            Some(user) => Identity::Known {
                caller: Caller::new(user).into(),
                valid_until: None,
                by_cookie: false,
            },
        })
    }
}

#[tokio::test]
async fn strangers_learn_the_kinds_of_problems_without_names_and_counts() {
    let network = MemoryNetwork::new();
    let policy = TestPolicy::new([
        Grant::new("root", &[Right::ManageServer]),
        Grant::new("vera", &[Right::SeeWorker, Right::Read]),
        Grant::new("part", &[Right::SeeWorker, Right::Read]).actions(&["add"]),
    ]);
    let (link, status) = watch::channel(Link::Up);
    let switch = Switch { inner: network.transport(), link: status };
    let coordinator = Coordinator::builder(switch).policy(policy).start().await.unwrap();
    let config = HttpConfig::default().authenticator(ByHeader);
    let mut cluster = Cluster::on(network.clone(), coordinator, config).await;
    let ask = async |cluster: &Cluster, path: &str, user: &str| {
        let request = Request::get(path).header("x-user", user).body(Body::empty()).unwrap();
        cluster.request(request).await
    };
    let error = LoadError::new("/usr/bin/canary", "canary: no interpreter starts");
    let offer = ActionSet::default().load_error(error.blocking());
    let executor = ScopedExecutor::new(offer, |_, _| async { Outcome::not_started("never") });
    let bad = Worker::builder(network.transport()).name("canary").executor(executor);
    let _bad = bad.start().await.unwrap();
    let mut changes = cluster.coordinator.changes();
    while cluster.coordinator.workers().await.unwrap().len() < 2 {
        within(changes.next()).await.unwrap();
    }
    let ready = json!({"status": "ready", "reasons": ["worker"]});
    assert_eq!(cluster.get("/ready").await.json(), ready);
    assert_eq!(cluster.get("/health").await.json(), json!({"status": "healthy"}));
    for user in ["expired", "part", "unknown"] {
        assert_eq!(ask(&cluster, "/ready", user).await.json(), ready, "{user}");
    }
    for user in ["root", "vera"] {
        let answer = ask(&cluster, "/ready", user).await.json();
        assert_eq!(answer["workers"], 2, "{user}");
        assert!(answer["problems"][0].to_string().contains("canary"), "{answer}");
    }

    cluster.worker.take().unwrap().shutdown(Duration::ZERO).await;
    while cluster.coordinator.workers().await.unwrap().len() > 1 {
        within(changes.next()).await.unwrap();
    }
    assert_eq!(cluster.get("/ready").await.detail(503), "server is not ready: worker");
    link.send_replace(down("canary refused"));
    for path in ["/health", "/ready"] {
        assert_eq!(cluster.get(path).await.detail(503), "server is not ready: transport");
        assert!(ask(&cluster, path, "root").await.detail(503).ends_with("canary refused"));
    }
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
