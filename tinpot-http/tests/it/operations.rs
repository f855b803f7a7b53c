//! The operations of operators: queues, workers, counts, reruns.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::cluster::{Cluster, within};

fn queue<'a>(queues: &'a Value, name: &str) -> &'a Value {
    let queues = queues["queues"].as_array().unwrap();
    queues.iter().find(|queue| queue["name"] == name).unwrap()
}

async fn outcome(cluster: &Cluster, id: &str) -> tinpot_core::Outcome {
    let handle = cluster.coordinator.handle(id.parse().unwrap()).await.unwrap();
    within(handle.outcome()).await.unwrap()
}

#[tokio::test]
async fn a_queue_is_paused_and_resumed() {
    let cluster = Cluster::start().await;
    let idle = cluster.get("/api/queues").await.json();
    let idle = queue(&idle, "default");
    assert_eq!(idle["paused"], false);
    for field in ["paused_at", "oldest_accepted_at", "reason"] {
        assert_eq!(idle.get(field), Some(&Value::Null), "{field} of {idle}");
    }
    let paused = cluster.post("/api/queues/default/pause", "").await;
    assert_eq!(paused.status, StatusCode::OK, "{paused:?}");
    let paused = paused.json();
    assert_eq!((&paused["name"], &paused["paused"]), (&json!("default"), &json!(true)));
    assert!(paused["paused_at"].as_str().unwrap().ends_with('Z'), "{paused}");
    let id = cluster.submit("add", r#"{"parameters": {"a": 1, "b": 2}}"#).await;
    let queues = cluster.get("/api/queues").await.json();
    let waiting = queue(&queues, "default");
    assert_eq!(
        (&waiting["waiting"], &waiting["reason"]),
        (&json!(1), &json!("the queue is paused"))
    );
    assert!(waiting["oldest_accepted_at"].is_string(), "{waiting}");
    let resumed = cluster.post("/api/queues/default/resume", "").await.json();
    assert_eq!((&resumed["paused"], &resumed["paused_at"]), (&json!(false), &Value::Null));
    assert_eq!(outcome(&cluster, &id).await.value().unwrap().as_str(), "3");
    let unknown = cluster.post("/api/queues/defualt/pause", "").await.detail(404);
    assert!(unknown.contains("defualt"), "{unknown}");
    let encoded = cluster.post("/api/queues/no%2Fsuch%20%C3%BC/resume", "").await.detail(404);
    assert!(encoded.contains("no/such ü"), "{encoded}");
}

#[tokio::test]
async fn a_worker_is_drained() {
    let cluster = Cluster::start().await;
    let worker = cluster.get("/api/workers").await.json()["workers"][0].clone();
    assert_eq!((&worker["draining"], &worker["version"]), (&json!(false), &json!("0.1.0")));
    assert!(worker["started_at"].as_str().unwrap().ends_with('Z'), "{worker}");
    assert!(worker["last_beat_seconds"].is_number(), "{worker}");
    let path = format!("/api/workers/{}/drain", worker["id"].as_str().unwrap());
    let answer = cluster.post(&path, "").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    assert_eq!(answer.json(), json!({"worker_id": worker["id"], "status": "draining"}));
    within(cluster.worker.as_ref().unwrap().drain_requested()).await;
    assert_eq!(cluster.get("/api/workers").await.json()["workers"][0]["draining"], true);
    let action = cluster.get("/api/actions/add").await.json();
    assert_eq!(action["available"], false);
    assert!(action["unavailable"].as_str().unwrap().contains("draining"), "{action}");
    cluster.post("/api/workers/unknown-12345678/drain", "").await.detail(404);
    cluster.post("/api/workers/no%20id/drain", "").await.detail(404);
}

#[tokio::test]
async fn one_action_is_described_as_in_the_list() {
    let cluster = Cluster::start().await;
    let all = cluster.get("/api/actions").await.json();
    for name in ["add", "typed"] {
        assert_eq!(cluster.get(&format!("/api/actions/{name}")).await.json(), all[name]);
    }
    let odd = cluster.get("/api/actions/odd%20name%20%C3%BC%25%3F").await.json();
    assert_eq!(odd["name"], "odd name ü%?");
    for (field, value) in [
        ("priority", json!(0)),
        ("timeout", Value::Null),
        ("retries", json!(0)),
        ("concurrency", Value::Null),
        ("unavailable", Value::Null),
    ] {
        assert_eq!(all["add"].get(field), Some(&value), "{field}");
    }
    let unknown = cluster.get("/api/actions/nothing%20like%20that").await.detail(404);
    assert!(unknown.contains("nothing like that"), "{unknown}");
}

#[tokio::test]
async fn a_finished_execution_is_run_again() {
    let cluster = Cluster::start().await;
    let body = r#"{"parameters": {"days": 3, "password": "pssst"}, "options": {"priority": 3, "idempotency_key": "one"}}"#;
    let first = cluster.run("typed", body).await;
    let answer = cluster.post(&format!("/api/executions/{first}/rerun"), "").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    let answer = answer.json();
    let id = answer["execution_id"].as_str().unwrap();
    assert_ne!(id, first);
    let stream = format!("/api/executions/{id}/stream");
    assert_eq!(
        answer,
        json!({"execution_id": id, "action_name": "typed", "status": "submitted", "stream_url": stream})
    );
    let given = outcome(&cluster, id).await;
    // The worker masks secrets with stars; the length shows that it received the value.
    assert!(given.value().unwrap().as_str().contains("\"days\": 3"), "{given:?}");
    let again = cluster.get(&format!("/api/executions/{id}")).await.json();
    assert_eq!(again["parameters"], json!({"days": 3, "password": "***"}));
    assert_eq!((&again["priority"], &again["idempotency_key"]), (&json!(3), &Value::Null));
    let recorded = cluster.coordinator.execution(id.parse().unwrap()).await.unwrap().unwrap();
    assert!(recorded.parameters.as_str().contains("pssst"), "it has the secret itself");
    let path = format!("/api/executions/{first}/rerun");
    let other = cluster.post(&path, r#"{"options": {"priority": -2, "queue": "special"}}"#).await;
    let other = other.json()["execution_id"].as_str().unwrap().to_owned();
    let other = cluster.get(&format!("/api/executions/{other}")).await.json();
    assert_eq!((&other["priority"], &other["queue"]), (&json!(-2), &json!("special")));
    let wrong = cluster.post(&path, r#"{"parameters": {"days": 4}}"#).await.detail(422);
    assert!(wrong.contains("parameters is not a field; use options"), "{wrong}");
    let wrong = cluster.post(&path, r#"{"options": {"retries": -1}}"#).await.detail(422);
    assert!(wrong.contains("options.retries"), "{wrong}");
    let unknown = "/api/executions/0192f0c1-2b3c-7d4e-8f50-61728394a5b6/rerun";
    cluster.post(unknown, "").await.detail(404);
    cluster.post("/api/executions/x/rerun", "").await.detail(404);
}

async fn listed(cluster: &Cluster, query: &str) -> Vec<String> {
    let answer = cluster.get(&format!("/api/executions?{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let page = answer.json();
    let id = |execution: &Value| execution["execution_id"].as_str().unwrap().to_owned();
    page["executions"].as_array().unwrap().iter().map(id).collect()
}

#[tokio::test]
async fn the_requester_is_shown_and_searchable() {
    let cluster = Cluster::start().await;
    let sum = r#""parameters": {"a": 1, "b": 2}"#;
    let option =
        cluster.run("add", &format!(r#"{{{sum}, "options": {{"requested_by": "Änne"}}}}"#)).await;
    let anonymous = cluster.run("add", &format!("{{{sum}}}")).await;
    let with_header = |value: &str, body: String| {
        Request::post("/api/actions/add/sync_execute")
            .header("content-type", "application/json")
            .header("x-requested-by", value.as_bytes())
            .body(Body::from(body))
            .unwrap()
    };
    let header = cluster.request(with_header(" Änne ", format!("{{{sum}}}"))).await.json();
    let header = header["execution_id"].as_str().unwrap().to_owned();
    // A proxy sends an empty header for users without a login.
    let empty = cluster.request(with_header("", format!("{{{sum}}}"))).await;
    assert_eq!(empty.status, StatusCode::OK, "{empty:?}");
    let view = cluster.get(&format!("/api/executions/{header}")).await.json();
    assert_eq!(view["requested_by"], "Änne");
    let view = cluster.get(&format!("/api/executions/{anonymous}")).await.json();
    assert_eq!(view.get("requested_by"), Some(&Value::Null));
    assert_eq!(listed(&cluster, "requested_by=%C3%84nne").await, [header, option]);
    let list = cluster.get("/api/executions?requested_by=%C3%84nne").await.json();
    assert_eq!(list["executions"][0]["requested_by"], "Änne");
    let both = format!(r#"{{{sum}, "options": {{"requested_by": "Ben"}}}}"#);
    let wrong = cluster.request(with_header("Änne", both)).await.detail(422);
    assert!(wrong.contains("options.requested_by"), "{wrong}");
    let long = format!(r#"{{{sum}, "options": {{"requested_by": "{}"}}}}"#, "x".repeat(256));
    let wrong = cluster.post("/api/actions/add/execute", long).await.detail(422);
    assert!(wrong.contains("requested_by must have 1 to 255 characters (got 256)"), "{wrong}");
}

#[tokio::test]
async fn history_is_filtered_by_time_and_by_several_statuses() {
    let cluster = Cluster::start().await;
    let good = cluster.run("add", r#"{"parameters": {"a": 1, "b": 2}}"#).await;
    let bad = cluster.run("refuse", "{}").await;
    let runs = cluster.submit("gate", "{}").await;
    cluster.wrote(&runs, 1).await;
    assert_eq!(listed(&cluster, "status=succeeded,failed").await, [bad.clone(), good.clone()]);
    assert_eq!(
        listed(&cluster, "status=queued,running,%20failed").await,
        [runs.clone(), bad.clone()]
    );
    let at = async |id: &str| {
        let view = cluster.get(&format!("/api/executions/{id}")).await.json();
        view["accepted_at"].as_str().unwrap().to_owned()
    };
    let (first, second) = (at(&good).await, at(&bad).await);
    assert_eq!(listed(&cluster, &format!("since={second}")).await, [runs.clone(), bad.clone()]);
    assert_eq!(listed(&cluster, &format!("until={first}")).await, std::slice::from_ref(&good));
    assert_eq!(listed(&cluster, &format!("since={second}&until={second}")).await, [bad]);
    assert!(listed(&cluster, "since=2999-01-01T00:00:00%2B02:00").await.is_empty());
    assert_eq!(
        listed(&cluster, &format!("since=0001-01-01T00:00:00Z&until={first}")).await,
        [good]
    );
    assert!(listed(&cluster, "until=1969-12-31T23:59:59Z").await.is_empty());
    for query in ["since=yesterday", "until=12", "status=succeeded,", "status=done"] {
        cluster.get(&format!("/api/executions?{query}")).await.detail(422);
    }
    cluster.open_gate();
}

#[tokio::test]
async fn counts_by_the_minute() {
    let cluster = Cluster::start().await;
    cluster.run("add", r#"{"parameters": {"a": 1, "b": 2}}"#).await;
    cluster.run("refuse", "{}").await;
    let stats = cluster.get("/api/stats").await.json();
    assert!(stats["since"].is_string() && stats["minute_seconds"] == 60, "{stats}");
    let minutes = stats["minutes"].as_array().unwrap();
    let sum = |field: &str| minutes.iter().map(|m| m[field].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("accepted"), sum("succeeded"), sum("failed")), (2, 1, 1), "{stats}");
    assert_eq!((sum("cancelled"), sum("timed_out"), sum("lost")), (0, 0, 0), "{stats}");
    assert!(minutes.iter().any(|minute| minute["duration_p95"].is_number()), "{stats}");
    let last = minutes.last().unwrap()["at"].as_str().unwrap();
    assert!(last.ends_with(":00.000000Z"), "{last}");
    let one = cluster.get("/api/stats?minutes=1").await.json();
    assert_eq!(one["minutes"].as_array().unwrap().len(), 1);
    for query in ["minutes=0", "minutes=1441", "minutes=x", "hours=1"] {
        cluster.get(&format!("/api/stats?{query}")).await.detail(422);
    }
}

#[tokio::test]
async fn a_client_learns_what_it_talks_to() {
    let cluster = Cluster::start().await;
    let version = cluster.get("/api/version").await.json();
    assert_eq!(version, json!({"version": env!("CARGO_PKG_VERSION"), "api": 1}));
}
