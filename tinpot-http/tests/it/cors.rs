//! Pages of other sites that may use the API.

use axum::body::Body;
use axum::http::{Method, Request};
use tinpot_http::HttpConfig;

use crate::cluster::{Answer, Cluster};

const PORTAL: &str = "https://portal.example.org";

async fn ask(cluster: &Cluster, method: Method, headers: &[(&str, &str)]) -> Answer {
    let path = match method {
        Method::GET => "/api/actions",
        _ => "/api/queues/default/resume",
    };
    let mut request =
        Request::builder().method(method).uri(path).header("host", "tinpot.localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    cluster.request(request.body(Body::empty()).unwrap()).await
}

fn preflight(origin: &str) -> [(&'static str, String); 3] {
    [
        ("origin", origin.to_owned()),
        ("access-control-request-method", "POST".to_owned()),
        ("access-control-request-headers", "content-type,idempotency-key".to_owned()),
    ]
}

async fn ask_first(cluster: &Cluster, origin: &str) -> Answer {
    let headers = preflight(origin);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
    ask(cluster, Method::OPTIONS, &headers).await
}

#[tokio::test]
async fn pages_of_named_origins_may_read_and_change() {
    let cluster = Cluster::with(HttpConfig::default().cors_origins([PORTAL])).await;
    let first = ask_first(&cluster, PORTAL).await;
    assert_eq!(first.status, 204, "{first:?}");
    assert_eq!(first.header("access-control-allow-origin"), PORTAL);
    assert_eq!(first.header("access-control-allow-credentials"), "true");
    assert_eq!(first.header("access-control-allow-headers"), "content-type,idempotency-key");
    assert!(first.header("access-control-allow-methods").contains("POST"));
    let foreign = [("origin", PORTAL), ("sec-fetch-site", "cross-site")];
    for method in [Method::GET, Method::POST] {
        let answer = ask(&cluster, method, &foreign).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), PORTAL);
        assert_eq!(answer.header("vary"), "origin");
    }
}

#[tokio::test]
async fn pages_of_other_origins_may_not() {
    for config in [HttpConfig::default(), HttpConfig::default().cors_origins([PORTAL])] {
        let cluster = Cluster::with(config).await;
        for origin in ["https://evil.example", "https://portal.example.org.evil.example", "null"] {
            let first = ask_first(&cluster, origin).await;
            assert!(!first.headers.contains_key("access-control-allow-origin"), "{first:?}");
            let foreign = [("origin", origin), ("sec-fetch-site", "cross-site")];
            let read = ask(&cluster, Method::GET, &foreign).await;
            assert!(!read.headers.contains_key("access-control-allow-origin"), "{read:?}");
            ask(&cluster, Method::POST, &foreign).await.detail(403);
        }
    }
}

#[tokio::test]
async fn all_origins_may_without_credentials() {
    let cluster = Cluster::with(HttpConfig::default().cors_origins(["*"])).await;
    let answer = ask(&cluster, Method::POST, &[("origin", "https://any.example")]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert!(!answer.headers.contains_key("access-control-allow-credentials"));
}

#[tokio::test]
async fn an_origin_may_be_named_with_its_usual_port() {
    let named = ["https://Portal.example.org:443", "http://intranet:80", "http://other:8080"];
    let cluster = Cluster::with(HttpConfig::default().cors_origins(named)).await;
    for (origin, status) in [
        (PORTAL, 204),
        ("http://intranet", 204),
        ("http://other:8080", 204),
        ("https://portal.example.org:80", 405),
        ("http://other", 405),
    ] {
        assert_eq!(ask_first(&cluster, origin).await.status, status, "{origin}");
    }
}
