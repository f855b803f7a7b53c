//! Pages of other origins.

use tinpot_tower::TowerConfig;

use crate::support::{Answer, Server};

const PAGE: &str = "http://localhost:5173";
const NAMES: [&str; 4] = [
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-max-age",
];

#[track_caller]
fn assert_open(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer:?}");
    let values = [
        PAGE,
        "GET, POST, PUT, DELETE, OPTIONS",
        "Authorization, Content-Type, X-Lease-Token",
        "86400",
    ];
    assert_eq!(NAMES.map(|name| answer.header(name)), values.map(Some));
    assert_eq!(answer.header("vary"), Some("Origin"));
}

#[track_caller]
fn assert_shut(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(NAMES.map(|name| answer.header(name)), [None; 4]);
}

#[tokio::test]
async fn pages_of_configured_origins_are_let_in() {
    let origins = [PAGE.to_owned(), "*".to_owned()];
    let server = Server::with(TowerConfig::default().cors_origins(origins)).await;
    let ask = |method: &'static str, path: &'static str, origin: &'static str| {
        let server = &server;
        async move { server.request(method, path, &[("Origin", origin)], b"").await }
    };
    for path in ["/api/v1/runs", "/api/v1/anything", "/health"] {
        assert_open(&ask("OPTIONS", path, PAGE).await, 204);
        assert_shut(&ask("OPTIONS", path, "http://evil.example").await, 204);
    }
    assert_open(&ask("GET", "/health", PAGE).await, 200);
    // Refusals can be read, too.
    assert_open(&ask("GET", "/api/v1/me", PAGE).await, 401);
    // A `*` is nothing special.
    assert_shut(&ask("GET", "/health", "http://localhost:5174").await, 200);
    assert_shut(&server.request("OPTIONS", "/api/v1/me", &[], b"").await, 401);
}

#[tokio::test]
async fn without_origins_nothing_is_different() {
    let server = Server::start().await;
    let ask = async |path| server.request("OPTIONS", path, &[("Origin", PAGE)], b"").await;
    assert_shut(&ask("/api/v1/me").await, 401);
    assert_shut(&ask("/health").await, 405);
    assert_shut(&ask("/api/v1/runs/1").await, 405);
}
