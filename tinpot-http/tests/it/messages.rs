//! The form of error messages, of every kind of bad request.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::Value;

use crate::cluster::Cluster;

/// Requests that fail, by method, path, content type and body.
fn bad_requests(id: &str) -> Vec<(Method, String, &'static str, String)> {
    let get = |path: &str| (Method::GET, path.replace("{id}", id), "", String::new());
    let submit = |body: &str| {
        let path = "/api/actions/add/execute".to_owned();
        (Method::POST, path, "application/json", body.to_owned())
    };
    let option = |name: &str, value: &str| {
        submit(&format!(r#"{{"parameters":{{"a":1,"b":2}},"options":{{"{name}":{value}}}}}"#))
    };
    let mut all = vec![
        get("/nothing"),
        get("/api/nothing"),
        get("/api/actions/nothing"),
        get("/api/actions/%ff"),
        get("/api/executions/x"),
        get("/api/executions/00000000-0000-7000-8000-000000000000"),
        get("/api/executions/00000000-0000-7000-8000-000000000000/stream"),
        get("/api/executions/{id}/artifacts/1.1"),
        get("/api/executions/{id}/artifacts/x"),
        get("/api/executions/{id}/stream?after=x"),
        get("/api/stats?minutes=0"),
        get("/api/stats?minuets=1"),
        get("/api/stats?minutes=1&minutes=2"),
        get("/api/version"),
        get("/api/stream?log=x"),
        get("/api/stream?workers=1"),
        (Method::DELETE, "/api/actions".to_owned(), "", String::new()),
        (Method::POST, "/api/queues/nothing/pause".to_owned(), "", String::new()),
        (Method::POST, "/api/workers/nothing-12345678/drain".to_owned(), "", String::new()),
        (Method::POST, format!("/api/executions/{id}/cancel"), "", String::new()),
        (Method::POST, "/api/actions/nothing/execute".to_owned(), "", String::new()),
        (Method::POST, "/api/actions/add/execute".to_owned(), "text/plain", "{}".to_owned()),
    ];
    all.retain(|(_, path, ..)| path != "/api/version");
    for query in [
        "limit=0",
        "limit=x",
        "status=SUCCESS",
        "since=now",
        "parent=x",
        "before=x",
        "statsu=failed",
        "limit=1&limit=2",
    ] {
        all.push(get(&format!("/api/executions?{query}")));
    }
    for query in [
        "after=x",
        "level=loud",
        "stream=stdin",
        "format=html",
        "format=text&tail=true",
        "after=1&before=2",
        "tail=1",
    ] {
        all.push(get(&format!("/api/executions/{{id}}/logs?{query}")));
    }
    for query in ["q=", "q=(&regex=true", "q=x&context=6"] {
        all.push(get(&format!("/api/executions/{{id}}/logs/search?{query}")));
    }
    for body in [
        "{",
        "[]",
        r#"{"parameters":[]}"#,
        r#"{"paramters":{}}"#,
        r#"{"parameters":{},"parameters":{}}"#,
        r#"{"parameters":{"a":1}}"#,
        r#"{"parameters":{"a":"1","b":2}}"#,
        r#"{"parameters":{"a":1.5,"b":2}}"#,
        r#"{"parameters":{"a":NaN,"b":1e999}}"#,
        r#"{"options":7}"#,
    ] {
        all.push(submit(body));
    }
    for (name, value) in [
        ("prio", "1"),
        ("priority", "1.5"),
        ("backoff", "\"linear\""),
        ("delay", "-1"),
        ("timeout", "0"),
        ("not_before", "\"soon\""),
        ("retries", "1001"),
        ("retry_jitter", "2"),
        ("max_lost_attempts", "0"),
        ("queue", "\"a/b\""),
        ("queue", "\"\""),
        ("idempotency_key", "\"\""),
        ("requested_by", "\"a\\nb\""),
    ] {
        all.push(option(name, value));
    }
    all
}

/// Asserts that a message names a value first, and says what is wrong in the agreed form.
#[track_caller]
fn assert_form(message: &str) {
    let first = message.chars().next().unwrap();
    assert!(first.is_lowercase() || "\"$".contains(first), "starts with the value: {message}");
    for article in ["the ", "an ", "it ", "this ", "there "] {
        assert!(!message.starts_with(article), "starts with the value: {message}");
    }
    assert!(!message.ends_with(['.', '!', ' ']), "has no period at its end: {message}");
    for banned in ["there is no", "is unknown", "is given", "does not fit", ", not "] {
        assert!(!message.contains(banned), "{banned:?} in {message}");
    }
    assert!(message.len() < 1_000, "{message}");
    // A rule about a value is followed by the value.
    let bounded = ["must be at ", "must be from ", "must be an integer from", "must have "];
    if bounded.iter().any(|rule| message.contains(rule)) {
        assert!(message.contains("(got "), "repeats the value: {message}");
    }
}

#[tokio::test]
async fn every_message_names_the_value_first_and_repeats_it() {
    let cluster = Cluster::start().await;
    let id = cluster.run("add", r#"{"parameters":{"a":1,"b":2}}"#).await;
    for (method, path, content_type, body) in bad_requests(&id) {
        let case = format!("{method} {path} {body}");
        let mut request = Request::builder().method(method).uri(path);
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        let answer = cluster.request(request.body(Body::from(body)).unwrap()).await;
        assert!(answer.status.is_client_error(), "{case}: {answer:?}");
        let answer: Value = answer.json();
        let detail = answer["detail"].as_str().unwrap();
        detail.split("; ").take(1).for_each(assert_form);
        assert!(!detail.ends_with('.'), "{case}: {detail}");
        for violation in answer["errors"].as_array().into_iter().flatten() {
            let message = violation["message"].as_str().unwrap();
            assert!(["must ", "is "].iter().any(|verb| message.starts_with(verb)), "{message}");
            assert_form(message);
        }
    }
}
