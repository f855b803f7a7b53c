//! `sync_execute`: outcomes, timeouts.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cluster::{Cluster, within};

#[tokio::test]
async fn every_outcome_has_its_status() {
    let cluster = Cluster::start().await;
    let run = async |action: &str, body: &'static str| {
        let answer = cluster.post(&format!("/api/actions/{action}/sync_execute"), body).await;
        assert_eq!(answer.status, 200);
        let mut json = answer.json();
        assert!(json.as_object_mut().unwrap().remove("execution_id").is_some());
        json
    };
    let added = run("add", r#"{"parameters":{"a":40,"b":2}}"#).await;
    let expected = json!({"action_name": "add", "status": "SUCCESS", "result": 42, "error": null});
    assert_eq!(added, expected);
    let exploded = run("explode", "").await;
    assert_eq!(exploded["status"], "FAILURE");
    assert_eq!(exploded["result"], Value::Null);
    assert_eq!(exploded["error"], "ValueError: bad \"host\"");
    assert_eq!(exploded["traceback"], "Traceback:\n  line 1\n");
    let late = run("until_stopped", r#"{"options":{"timeout":0.01}}"#).await;
    assert_eq!((&late["status"], &late["error"]), (&json!("FAILURE"), &json!("timed out")));
}

#[tokio::test]
async fn a_result_goes_out_as_it_came() {
    let cluster = Cluster::start().await;
    let answer = cluster.post("/api/actions/laid_out/sync_execute", "").await;
    let raw = "\"result\":{\n  \"a\": [1.0,\r\n 2],\"b\":\"x\\ny\"\n}";
    assert!(answer.text().contains(raw), "{}", answer.text());
}

#[tokio::test]
async fn one_that_is_cancelled_meanwhile_is_revoked() {
    let cluster = Cluster::start().await;
    let waiting = cluster.post("/api/actions/until_stopped/sync_execute", "");
    let cancel = async {
        let mut list = cluster.get("/api/executions").await.json();
        while list["executions"][0].is_null() {
            tokio::task::yield_now().await;
            list = cluster.get("/api/executions").await.json();
        }
        let id = list["executions"][0]["execution_id"].as_str().unwrap().to_owned();
        cluster.post(&format!("/api/executions/{id}/cancel"), "").await
    };
    let (answer, cancelled) = within(async { tokio::join!(waiting, cancel) }).await;
    assert_eq!(cancelled.status, 200);
    assert_eq!(answer.json()["status"], "REVOKED");
    assert_eq!(answer.json()["error"], "cancelled");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_times_out_names_the_execution() {
    let cluster = Cluster::start().await;
    let started = Instant::now();
    let answer = cluster.post("/api/actions/gate/sync_execute?timeout=7.5", "").await;
    assert_eq!(answer.status, 504);
    assert!(started.elapsed() >= Duration::from_millis(7_500));
    let json = answer.json();
    assert!(json["detail"].as_str().unwrap().contains("7.5 s"), "{json}");
    let id = json["execution_id"].as_str().unwrap();
    let status = cluster.get(&format!("/api/executions/{id}/status")).await.json();
    assert_eq!(status["state"], "STARTED");
    cluster.open_gate();
    let stream = cluster.get(&format!("/api/executions/{id}/stream")).await;
    assert!(stream.text().contains(r#""result":"through""#));
}

#[tokio::test]
async fn a_timeout_that_is_no_time_is_refused_before_anything_runs() {
    let cluster = Cluster::start().await;
    for timeout in ["0", "-1", "x", "", "NaN", "inf", "1e300"] {
        let path = format!("/api/actions/gate/sync_execute?timeout={timeout}");
        let detail = cluster.post(&path, "").await.detail(422);
        assert!(detail.contains("timeout must be a number of seconds above 0"), "{detail}");
    }
    let detail = cluster.post("/api/actions/gate/sync_execute?timeuot=1", "").await.detail(422);
    assert!(detail.contains("\"timeuot\" is not a query parameter; use timeout"), "{detail}");
    let twice = cluster.post("/api/actions/gate/sync_execute?timeout=1&timeout=2", "").await;
    assert!(twice.detail(422).contains("timeout must be given at most once"));
    assert_eq!(cluster.get("/api/executions").await.json()["executions"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn a_very_long_timeout_is_a_timeout_and_so_is_a_very_short_one() {
    let cluster = Cluster::start().await;
    let path = "/api/actions/refuse/sync_execute?timeout=1e15";
    assert_eq!(cluster.post(path, "").await.status, 200);
    let path = "/api/actions/gate/sync_execute?timeout=5e-324";
    assert_eq!(cluster.post(path, "").await.status, 504);
}
