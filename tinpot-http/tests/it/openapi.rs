//! The OpenAPI document, checked against the answers of the API.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::client::{Client, events, serve};
use crate::cluster::{Answer, Cluster};

/// The copy of the document, from which clients generate their types.
const COPY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");

pub(crate) async fn document(cluster: &Cluster) -> Value {
    let answer = cluster.get("/openapi.json").await;
    assert_eq!(answer.status, 200);
    answer.json()
}

/// Refuses fields that a schema does not name, so that the document must be complete.
fn exact(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.contains_key("properties") {
                object.insert("additionalProperties".to_owned(), false.into());
            }
            object.values_mut().for_each(exact);
        }
        Value::Array(values) => values.iter_mut().for_each(exact),
        _ => {}
    }
}

struct Shapes(Value);

impl Shapes {
    fn of(document: &Value) -> Self {
        let mut components = document["components"].clone();
        exact(&mut components["schemas"]);
        Self(components)
    }

    #[track_caller]
    fn fits(&self, schema: &Value, value: &Value) {
        let whole = json!({ "allOf": [schema], "components": self.0 });
        let validator = jsonschema::validator_for(&whole).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{value:#}\ndoes not fit {schema}:\n{}", errors.join("\n"));
    }

    #[track_caller]
    fn fits_named(&self, name: &str, value: &Value) {
        self.fits(&json!({ "$ref": format!("#/components/schemas/{name}") }), value);
    }
}

/// Asserts that an answer is as the document describes it.
#[track_caller]
pub(crate) fn assert_described(document: &Value, method: &str, path: &str, answer: &Answer) {
    let status = answer.status.as_str();
    let described = &document["paths"][path][method]["responses"][status];
    assert!(
        described.is_object(),
        "{method} {path} answered {status}, which is not in the document"
    );
    let content_type = answer.header("content-type").split(';').next().unwrap();
    let schema = &described["content"][content_type]["schema"];
    assert!(schema.is_object(), "{method} {path} {status}: {content_type} is not in the document");
    if content_type == "application/json" {
        Shapes::of(document).fits(schema, &answer.json());
    }
}

#[tokio::test]
async fn the_copy_is_what_is_served() {
    let served = Cluster::start().await.get("/openapi.json").await;
    let served = format!("{}\n", served.text());
    if std::env::var_os("TINPOT_RENEW").is_some() {
        std::fs::write(COPY, &served).unwrap();
    }
    let copy = std::fs::read_to_string(COPY).unwrap_or_default();
    assert!(
        copy == served,
        "docs/openapi.json is not what the server says; renew it: \
         TINPOT_RENEW=1 cargo test -p tinpot-http --test it the_copy_is_what_is_served"
    );
}

#[tokio::test]
async fn every_path_is_served_and_every_operation_has_a_name_and_a_summary() {
    // Routes are added together with their descriptions; only the catch-all has none.
    let router = include_str!("../../src/router.rs");
    let undescribed = router.split(".route(\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    assert_eq!(undescribed.collect::<Vec<_>>(), ["/api/{*rest}"]);
    let cluster = Cluster::start().await;
    let document = document(&cluster).await;
    for (path, operations) in document["paths"].as_object().unwrap() {
        // Every path is known to the router: another method is refused, with the right ones named.
        let request = Request::builder().method("TRACE").uri(path.replace(['{', '}'], ""));
        let request = request.body(Body::empty()).unwrap();
        let answer = cluster.request(request).await;
        assert_eq!(answer.status, 405, "{path}");
        let methods: BTreeSet<_> = operations.as_object().unwrap().keys().cloned().collect();
        let allowed = answer.header("allow").replace(",HEAD", "").to_lowercase();
        let allowed: BTreeSet<_> = allowed.split(',').map(str::to_owned).collect();
        assert_eq!(methods, allowed, "{path}");
    }
    let mut names = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name), "{name} is not unique");
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
        }
    }
}

#[tokio::test]
async fn every_schema_that_is_referred_to_exists() {
    fn names<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str));
                object.values().for_each(|value| names(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| names(value, found)),
            _ => {}
        }
    }
    let document = document(&Cluster::start().await).await;
    let mut found = BTreeSet::new();
    names(&document, &mut found);
    assert!(found.contains("#/components/schemas/Error"), "{found:?}");
    for name in found {
        assert!(document.pointer(&name[1..]).is_some(), "{name} is missing");
    }
}

#[tokio::test]
async fn answers_match_the_document() {
    let cluster = Cluster::start().await;
    let document = document(&cluster).await;
    let done = cluster
        .run(
            "write",
            r#"{"parameters":{"count":30},"options":{"timeout":9.5,"idempotency_key":"k"}}"#,
        )
        .await;
    let failed = cluster.run("explode", "{}").await;
    let refused = cluster.run("refuse", "").await;
    let running = cluster.submit("gate", "{}").await;
    cluster.wrote(&running, 1).await;
    let waiting = cluster
        .submit("add", r#"{"parameters":{"a":1,"b":2},"options":{"delay":3600,"expires_in":7200}}"#)
        .await;
    for id in [&done, &failed, &refused, &running, &waiting] {
        for part in ["", "/status", "/logs", "/spans", "/summary", "/artifacts"] {
            let answer = cluster.get(&format!("/api/executions/{id}{part}")).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_described(&document, "get", &format!("/api/executions/{{id}}{part}"), &answer);
        }
    }
    let lists = [
        "/api/actions",
        "/api/executions",
        "/api/workers",
        "/api/queues",
        "/api/stats",
        "/api/stats/actions",
        "/api/version",
        "/health",
        "/ready",
        "/openapi.json",
    ];
    for path in lists {
        assert_described(&document, "get", path, &cluster.get(path).await);
    }
    assert_described(
        &document,
        "get",
        "/api/executions",
        &cluster.get("/api/executions?limit=2").await,
    );
    assert_described(
        &document,
        "get",
        "/api/executions",
        &cluster.get("/api/executions?limit=x").await,
    );
    for query in [
        "logs?tail=true",
        "logs?before=7&limit=2",
        "logs/search?q=line&context=2&limit=5",
        "logs/search?q=",
    ] {
        let answer = cluster.get(&format!("/api/executions/{done}/{query}")).await;
        let path = query.split('?').next().unwrap();
        assert_described(&document, "get", &format!("/api/executions/{{id}}/{path}"), &answer);
    }
    let text = cluster.get(&format!("/api/executions/{done}/logs?format=text")).await;
    assert_described(&document, "get", "/api/executions/{id}/logs", &text);
    let artifact = cluster.get(&format!("/api/executions/{done}/artifacts/1.1")).await;
    assert_described(&document, "get", "/api/executions/{id}/artifacts/{artifact}", &artifact);
    for (body, action) in [
        (r#"{"parameters":{"a":1,"b":2}}"#, "add"),
        (r#"{"parameters":{"a":"x"}}"#, "add"),
        ("{", "add"),
        ("{}", "explode"),
        ("{}", "nothing"),
    ] {
        for way in ["execute", "sync_execute"] {
            let answer = cluster.post(&format!("/api/actions/{action}/{way}"), body).await;
            assert_described(&document, "post", &format!("/api/actions/{{name}}/{way}"), &answer);
        }
    }
    let slow = cluster.post("/api/actions/gate/sync_execute?timeout=0.01", "{}").await;
    assert_eq!(slow.status, 504);
    assert_described(&document, "post", "/api/actions/{name}/sync_execute", &slow);
    for id in [&running, &done, &waiting] {
        let answer = cluster.post(&format!("/api/executions/{id}/cancel"), "").await;
        assert_described(&document, "post", "/api/executions/{id}/cancel", &answer);
    }
    assert_described(
        &document,
        "get",
        "/api/actions/{name}",
        &cluster.get("/api/actions/add").await,
    );
    assert_described(
        &document,
        "get",
        "/api/actions/{name}",
        &cluster.get("/api/actions/nothing").await,
    );
    for verb in ["cancel", "rerun"] {
        let ids = json!({ "ids": [&done, &waiting, "00000000-0000-7000-8000-000000000000"] });
        let path = format!("/api/executions/{verb}");
        let answer = cluster.post(&path, ids.to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_described(&document, "post", &path, &answer);
    }
    let again = cluster
        .post(&format!("/api/executions/{done}/rerun"), r#"{"options":{"priority":3}}"#)
        .await;
    assert_eq!(again.status, 202);
    assert_described(&document, "post", "/api/executions/{id}/rerun", &again);
    for verb in ["pause", "resume"] {
        let queue = cluster.post(&format!("/api/queues/default/{verb}"), "").await;
        assert_eq!(queue.status, 200);
        assert_described(&document, "post", &format!("/api/queues/{{name}}/{verb}"), &queue);
    }
    let workers = cluster.get("/api/workers").await.json();
    let worker = workers["workers"][0]["id"].as_str().unwrap();
    let one = cluster.get(&format!("/api/workers/{worker}")).await;
    assert_described(&document, "get", "/api/workers/{id}", &one);
    let drained = cluster.post(&format!("/api/workers/{worker}/drain"), "").await;
    assert_eq!(drained.status, 202);
    assert_described(&document, "post", "/api/workers/{id}/drain", &drained);
    let cancelled = cluster.get(&format!("/api/executions/{waiting}")).await;
    assert_described(&document, "get", "/api/executions/{id}", &cancelled);
}

#[tokio::test]
async fn events_match_the_document() {
    let cluster = Cluster::start().await;
    let shapes = Shapes::of(&document(&cluster).await);
    let stop = tokio::sync::watch::channel(false);
    let server = serve(cluster.router.clone(), stop.1).await;
    let mut seen = BTreeSet::new();
    for action in ["gate", "explode", "laid_out"] {
        let id = cluster.submit(action, "{}").await;
        let mut client =
            Client::open(server.address, &format!("GET /api/executions/{id}/stream HTTP/1.1"))
                .await;
        cluster.open_gate();
        for mut event in events(&client.rest().await) {
            let kind = event.data["type"].as_str().unwrap().to_owned();
            if ["connected", "complete"].contains(&&*kind) {
                // Their fields are repeated at the top level.
                for (name, value) in event.data["data"].as_object().unwrap().clone() {
                    assert_eq!(event.data.as_object_mut().unwrap().remove(&name), Some(value));
                }
            }
            seen.insert(kind);
            shapes.fits_named("ExecutionEvent", &event.data);
        }
    }
    for kind in ["connected", "log", "complete"] {
        assert!(seen.contains(kind), "{kind}: {seen:?}");
    }
}

#[tokio::test]
async fn submissions_that_match_the_document_are_accepted() {
    let cluster = Cluster::start().await;
    let shapes = Shapes::of(&document(&cluster).await);
    let bodies = [
        json!({}),
        json!({ "parameters": { "a": 1, "b": 2 } }),
        json!({ "options": { "priority": null, "delay": 0, "queue": "default", "backoff": "fixed", "retries": 3 }, "parameters": { "a": 1, "b": 2 } }),
        json!({ "options": { "not_before": "2020-01-01T00:00:00Z", "expires_in": 60, "retry_jitter": 0.5 }, "parameters": { "a": 1, "b": 2 } }),
    ];
    for body in &bodies {
        shapes.fits_named("Submission", body);
        let answer = cluster.post("/api/actions/add/execute", body.to_string()).await;
        assert_eq!(answer.status == 200, body["parameters"].is_object(), "{answer:?}");
    }
}

#[tokio::test]
async fn events_of_the_feed_match_the_document() {
    let cluster = Cluster::start().await;
    let shapes = Shapes::of(&document(&cluster).await);
    let stop = tokio::sync::watch::channel(false);
    let server = serve(cluster.router.clone(), stop.1).await;
    let id = cluster.submit("gate", "{}").await;
    let unknown = "00000000-0000-7000-8000-000000000000";
    let request = format!(
        "GET /api/stream?executions=true&workers=true&queues=true&catalogue=true&log={id},{unknown} HTTP/1.1"
    );
    let mut client = Client::open(server.address, &request).await;
    let mut wanted: BTreeSet<&str> =
        ["connected", "missing", "log", "event", "executions", "workers", "queues"].into();
    cluster.open_gate();
    while !wanted.is_empty() {
        let block = client.block().await.expect("more events");
        for event in events(&block) {
            shapes.fits_named("PageEvent", &event.data);
            wanted.remove(event.data["type"].as_str().unwrap());
        }
    }
}
