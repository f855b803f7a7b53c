//! Headers that every answer has.

use axum::body::Body;
use axum::http::Request;

use crate::cluster::{Cluster, json_post};

const POLICY: &str = "content-security-policy";

#[tokio::test]
async fn no_answer_is_a_page_a_frame_or_a_file_for_another_site() {
    let cluster = Cluster::start().await;
    let id = cluster.run("write", r#"{"parameters":{"count":3}}"#).await;
    let requests = [
        Request::get("/api/actions"),
        Request::get(format!("/api/executions/{id}/logs?format=text")),
        Request::get(format!("/api/executions/{id}/stream")),
        Request::get("/health"),
        Request::get("/openapi.json"),
        Request::get("/api/nothing"),
        Request::get("/api/executions/x"),
        Request::delete("/api/actions"),
        Request::get("/api/actions").header("host", "evil.example"),
        Request::post("/api/actions/add/execute").header("origin", "http://evil.example"),
    ];
    let requests = requests.map(|request| request.body(Body::empty()).unwrap());
    for mut request in requests.into_iter().chain([json_post("/api/actions/add/execute", "{")]) {
        let host = request.headers_mut().entry("host").or_insert("localhost".parse().unwrap());
        // Browsers heed it for hosts that they trust.
        let openers = if *host == "localhost" { "same-origin" } else { "" };
        let asked = format!("{request:?}");
        let answer = cluster.request(request).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            (POLICY, "default-src 'none'; frame-ancestors 'none'"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", openers),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), value, "{name} of {asked}");
        }
    }
}

#[tokio::test]
async fn each_answer_has_an_id_of_the_server() {
    let cluster = Cluster::start().await;
    let mut ids = std::collections::HashSet::new();
    for _ in 0..3 {
        let request = Request::get("/api/version").header("x-request-id", "of-the-client");
        let answer = cluster.request(request.body(Body::empty()).unwrap()).await;
        let id = answer.header("x-request-id").to_owned();
        assert!(!id.is_empty() && id != "of-the-client", "{id}");
        assert!(ids.insert(id), "{ids:?}");
    }
}

#[cfg(feature = "ui")]
#[tokio::test]
async fn files_of_the_page_and_its_worker_have_the_policy_of_the_page() {
    let cluster = Cluster::start().await;
    let page = cluster.get("/").await;
    for path in ["/ui/app.js", "/ui/stream-worker.js"] {
        let file = cluster.get(path).await;
        assert_eq!(file.header(POLICY), page.header(POLICY), "{path}");
        assert_eq!(file.header("x-content-type-options"), "nosniff");
        assert_eq!(file.header("cache-control"), "no-cache");
    }
}
