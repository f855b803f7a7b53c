//! `/metrics`, and what the API measures.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::Request;
use futures::StreamExt;
use tinpot_core::observer::{Measure, Observer};
use tinpot_core::{Coordinator, MemoryNetwork};
use tinpot_http::{Anonymous, HttpConfig};
use tower::ServiceExt;

use crate::cluster::{Cluster, answer, within};

#[derive(Debug, Default)]
struct Requests(Mutex<BTreeMap<String, i64>>);

impl Requests {
    fn of(&self, text: &str) -> i64 {
        self.0.lock().unwrap().get(text).copied().unwrap_or(0)
    }
}

impl Observer for Requests {
    fn observe(&self, measure: &Measure<'_>) {
        let (text, number) = match measure {
            Measure::Request { method, route, code, .. } => (format!("{method} {route} {code}"), 1),
            Measure::StreamOpened => ("streams".to_owned(), 1),
            Measure::StreamClosed => ("streams".to_owned(), -1),
            Measure::AuthFailed(why) => (format!("{why:?}"), 1),
            Measure::Queues(_) => ("scrapes".to_owned(), 1),
            _ => return,
        };
        *self.0.lock().unwrap().entry(text).or_default() += number;
    }
}

async fn cluster(requests: &Arc<Requests>, config: HttpConfig) -> Cluster {
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).observer(requests.clone());
    let coordinator = coordinator.start().await.unwrap();
    let config = config.observer(requests.clone()).metrics(|| "up 1\n".to_owned());
    Cluster::on(network, coordinator, config).await
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn requests_are_measured_by_their_route_and_never_by_their_path() {
    let requests = Arc::new(Requests::default());
    let open = HttpConfig::default().authenticator(Anonymous::default());
    let cluster = cluster(&requests, open).await;
    for path in ["/api/actions/gate", "/api/actions/none", "/api/x/y", "/nowhere/at-all", "/health"]
    {
        cluster.get(path).await;
    }
    let odd = Request::builder().method("BREW").uri("/api/actions").body(Body::empty()).unwrap();
    cluster.request(odd).await;
    for (text, number) in [
        ("GET /api/actions/{name} 200", 1),
        ("GET /api/actions/{name} 404", 1),
        ("GET unmatched 404", 2),
        ("GET /health 200", 1),
        ("OTHER /api/actions 405", 1),
    ] {
        assert_eq!(requests.of(text), number, "{text}: {requests:?}");
    }
    let metrics = cluster.get("/metrics").await;
    assert_eq!((metrics.status.as_u16(), &*metrics.body), (200, &b"up 1\n"[..]));
    assert_eq!(metrics.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(requests.of("scrapes"), 1);
}

#[tokio::test]
async fn an_open_stream_is_measured_until_its_client_is_gone() {
    let requests = Arc::new(Requests::default());
    let open = HttpConfig::default().authenticator(Anonymous::default());
    let cluster = cluster(&requests, open).await;
    let answer = cluster.router.clone().oneshot(get("/api/stream")).await.unwrap();
    let mut frames = answer.into_body().into_data_stream();
    within(frames.next()).await.unwrap().unwrap();
    assert_eq!(requests.of("streams"), 1);
    drop(frames);
    assert_eq!(requests.of("streams"), 0);
    assert_eq!(requests.of("GET /api/stream 200"), 1);
}

#[tokio::test]
async fn metrics_need_a_caller_unless_they_are_open() {
    let requests = Arc::new(Requests::default());
    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).observer(requests.clone());
    let coordinator = coordinator.start().await.unwrap();
    let closed = HttpConfig::default().observer(requests.clone()).metrics(|| "up 1\n".to_owned());
    let closed = tinpot_http::router(coordinator.clone(), closed);
    assert_eq!(answer(closed, get("/metrics")).await.status, 401);
    assert_eq!((requests.of("Missing"), requests.of("scrapes")), (1, 0));
    let config = || HttpConfig::default().metrics(|| "up 1\n".to_owned()).metrics_open(true);
    let open = tinpot_http::router(coordinator.clone(), config());
    assert_eq!(answer(open.clone(), get("/metrics")).await.status, 200);
    // Nothing else is.
    assert_eq!(answer(open, get("/api/queues")).await.status, 401);
    let config = HttpConfig::default().authenticator(Anonymous::default());
    let without = answer(tinpot_http::router(coordinator, config), get("/metrics")).await;
    assert_eq!(without.detail(404), "this server has no metrics");
}
