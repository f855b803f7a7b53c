//! The limits of each principal.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::Request;
use futures::StreamExt;
use futures::future::join_all;
use serde_json::Value;
use tinpot_core::{Caller, Result};
use tinpot_http::{Authenticator, HttpConfig, Identity, Presented, PrincipalLimits};
use tower::ServiceExt;

use crate::cluster::{Answer, Cluster, within};

/// Takes the header `x-caller` for the caller.
#[derive(Debug)]
struct Named;

#[async_trait]
impl Authenticator for Named {
    async fn authenticate(&self, request: &Presented<'_>) -> Result<Identity> {
        let name = request.headers["x-caller"].to_str().unwrap();
        let caller = Arc::new(Caller::new(name));
        Ok(Identity::Known { caller, valid_until: None, by_cookie: false })
    }
}

async fn cluster(limits: PrincipalLimits) -> Cluster {
    Cluster::with(HttpConfig::default().authenticator(Named).principal_limits(limits)).await
}

fn request(caller: &str, method: &str, path: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("x-caller", caller);
    request.header("content-type", "application/json").body(Body::empty()).unwrap()
}

impl Cluster {
    async fn as_caller(&self, caller: &str, method: &str, path: &str) -> Answer {
        self.request(request(caller, method, path)).await
    }
}

fn too_many(answer: &Answer) -> String {
    assert_eq!(answer.header("retry-after"), "1");
    answer.detail(429)
}

#[tokio::test]
async fn requests_beyond_the_rate_of_a_principal_are_refused_and_those_of_others_are_not() {
    let limits = PrincipalLimits::default().requests_per_second(1).burst(3);
    let cluster = cluster(limits).await;
    let ask = || cluster.as_caller("ada", "GET", "/api/version");
    let statuses: Vec<u16> =
        join_all((0..3).map(|_| ask())).await.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses, [200, 200, 200]);
    let detail = too_many(&ask().await);
    assert_eq!(
        detail,
        "too many requests: a user or program may send 3 at once, and 1 in a second"
    );
    assert_eq!(cluster.as_caller("eve", "GET", "/api/version").await.status, 200);
    // Monitoring and pages have no principal.
    assert_eq!(cluster.as_caller("ada", "GET", "/health").await.status, 200);
}

#[tokio::test]
async fn streams_and_waits_count_while_they_last() {
    let limits = PrincipalLimits::default().streams(1).waiting(1);
    let cluster = cluster(limits).await;
    let first = cluster.router.clone().oneshot(request("ada", "GET", "/api/stream")).await.unwrap();
    let mut body = first.into_body().into_data_stream();
    assert!(within(body.next()).await.is_some());
    let detail = too_many(&cluster.as_caller("ada", "GET", "/api/stream").await);
    assert_eq!(detail, "too many open streams: a user or program may have 1");
    drop(body);
    let again = cluster.router.clone().oneshot(request("ada", "GET", "/api/stream")).await.unwrap();
    assert_eq!(again.status(), 200);

    let run = "/api/actions/gate/sync_execute";
    let waits = cluster.as_caller("ada", "POST", run);
    let second = async {
        loop {
            let answer = cluster.as_caller("ada", "POST", &format!("{run}?timeout=0.01")).await;
            match answer.status.as_u16() {
                504 => tokio::task::yield_now().await,
                _ => break answer,
            }
        }
    };
    let opened = async {
        let detail = too_many(&second.await);
        assert!(detail.starts_with("too many requests that wait for an execution"), "{detail}");
        cluster.open_gate();
    };
    let (first, ()) = within(Box::pin(async { tokio::join!(waits, opened) })).await;
    assert_eq!(first.status, 200);
    let _: Value = first.json();
    assert_eq!(cluster.as_caller("ada", "POST", run).await.status, 200);
}

#[tokio::test]
async fn one_caller_for_all_requests_has_no_limits() {
    let limits = PrincipalLimits::default().requests_per_second(1).burst(1);
    let cluster = Cluster::with(HttpConfig::default().principal_limits(limits)).await;
    for _ in 0..5 {
        assert_eq!(cluster.get("/api/version").await.status, 200);
    }
}
