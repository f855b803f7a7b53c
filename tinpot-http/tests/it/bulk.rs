//! Many executions in one request, and the latest executions of each action.

use serde_json::{Value, json};

use crate::cluster::{Cluster, within};

const UNKNOWN: &str = "00000000-0000-7000-8000-000000000000";

fn body(ids: &[&str]) -> String {
    json!({ "ids": ids }).to_string()
}

#[tokio::test]
async fn several_executions_are_cancelled_with_a_result_for_each() {
    let cluster = Cluster::start().await;
    let ended = cluster.run("refuse", "").await;
    let delay = r#"{"options":{"delay":3600}}"#;
    let waiting = cluster.submit("gate", delay).await;
    let running = cluster.submit("until_stopped", "").await;
    cluster.wrote(&running, 1).await;
    let ids = [&*waiting, &ended, UNKNOWN, &running];
    let answer = cluster.post("/api/executions/cancel", body(&ids)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let results = answer.json()["results"].clone();
    let of = |at: usize| &results[at];
    let named: Vec<&Value> = (0..4).map(|at| &of(at)["execution_id"]).collect();
    assert_eq!(named, ids);
    assert_eq!(of(0)["execution"]["status"], "cancelled");
    assert_eq!(of(0)["execution"]["execution_id"], *waiting);
    assert!(of(1)["error"]["detail"].as_str().unwrap().contains("has ended already"), "{results}");
    assert!(of(2)["error"]["detail"].as_str().unwrap().contains("not found"), "{results}");
    assert!(of(3).get("error").is_none(), "{results}");
    let handle = cluster.coordinator.handle(running.parse().unwrap()).await.unwrap();
    let outcome = within(handle.outcome()).await.unwrap();
    assert_eq!(outcome, tinpot_core::Outcome::Cancelled);
}

#[tokio::test]
async fn several_executions_run_again_with_their_secrets() {
    let cluster = Cluster::start().await;
    let parameters = r#"{"parameters":{"days":3,"password":"hunter2"}}"#;
    let first = cluster.run("typed", parameters).await;
    let second = cluster.run("add", r#"{"parameters":{"a":1,"b":2}}"#).await;
    let answer = cluster.post("/api/executions/rerun", body(&[&first, &second, UNKNOWN])).await;
    let results = answer.json()["results"].clone();
    for (at, (id, action)) in [(&first, "typed"), (&second, "add")].into_iter().enumerate() {
        assert_eq!(results[at]["execution_id"], **id);
        let copy = &results[at]["execution"];
        assert_eq!(copy["action_name"], action);
        assert_ne!(copy["execution_id"], **id);
        let copy: tinpot_core::ExecutionId =
            copy["execution_id"].as_str().unwrap().parse().unwrap();
        let recorded = cluster.coordinator.execution(copy).await.unwrap().unwrap();
        let original = cluster.coordinator.execution(id.parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(recorded.parameters, original.parameters);
    }
    assert!(results[2]["error"]["detail"].as_str().unwrap().contains("not found"));
}

#[tokio::test]
async fn a_bulk_request_that_makes_no_sense_is_refused_as_a_whole() {
    let cluster = Cluster::start().await;
    let waiting = cluster.submit("gate", r#"{"options":{"delay":3600}}"#).await;
    let many: Vec<String> =
        (0..1_001).map(|n| format!("00000000-0000-7000-8000-{n:012}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for path in ["/api/executions/cancel", "/api/executions/rerun"] {
        for (body, part) in [
            (body(&[]), "ids must have 1 to 1000 items (got 0)"),
            (body(&many), "ids must have 1 to 1000 items (got 1001)"),
            (body(&[&waiting, &waiting]), "ids must have no duplicates"),
            (format!(r#"{{"ids":["{waiting}"],"filter":{{}}}}"#), "filter is not a field"),
            (
                format!(r#"{{"ids":["{waiting}","x"]}}"#),
                r#"ids[1] must be the id of an execution (got "x")"#,
            ),
            ("{}".to_owned(), "missing field `ids`"),
        ] {
            let detail = cluster.post(path, body).await.detail(422);
            assert!(detail.contains(part), "{part:?} in {detail:?}");
        }
    }
    let execution = cluster.get(&format!("/api/executions/{waiting}")).await.json();
    assert_eq!(execution["status"], "queued");
}

#[tokio::test]
async fn the_latest_executions_of_each_action_are_known() {
    let cluster = Cluster::start().await;
    let of = async |name: &str| {
        let answer = cluster.get("/api/stats/actions").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let all = answer.json()["actions"].as_array().unwrap().clone();
        all.into_iter().find(|one| one["name"] == name).unwrap()
    };
    assert_eq!(of("add").await, json!({"name": "add", "recent": [], "median_ms": null}));
    let mut ids = Vec::new();
    for _ in 0..22 {
        ids.push(cluster.run("add", r#"{"parameters":{"a":1,"b":2}}"#).await);
    }
    let waiting =
        cluster.submit("add", r#"{"parameters":{"a":1,"b":2},"options":{"delay":99}}"#).await;
    ids.push(waiting.clone());
    let stats = of("add").await;
    let recent = stats["recent"].as_array().unwrap();
    let latest: Vec<&Value> = recent.iter().map(|run| &run["execution_id"]).collect();
    assert_eq!(latest, ids.iter().rev().take(20).collect::<Vec<_>>());
    assert_eq!((&recent[0]["status"], &recent[0]["duration_ms"]), (&json!("queued"), &Value::Null));
    assert_eq!(recent[1]["status"], "succeeded");
    assert!(recent[1]["duration_ms"].is_u64() && stats["median_ms"].is_u64(), "{stats}");
    let failed = cluster.run("explode", "").await;
    let stats = of("explode").await;
    assert_eq!(stats["recent"][0]["execution_id"], *failed);
    assert_eq!(
        (&stats["recent"][0]["status"], &stats["median_ms"]),
        (&json!("failed"), &Value::Null)
    );
}
