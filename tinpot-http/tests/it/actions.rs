//! The catalogue.

use std::time::Duration;

use crate::cluster::{Cluster, ORDERED, RESULT, within};

#[tokio::test]
async fn an_action_is_described_in_the_words_that_clients_know() {
    let cluster = Cluster::start().await;
    let answer = cluster.get("/api/actions").await;
    let add = &answer.json()["add"];
    assert_eq!(add["name"], "add");
    assert_eq!(add["group"], "Sums");
    assert_eq!(add["description"], "Adds two numbers.");
    assert_eq!(add["queue"], "default");
    assert_eq!(add["available"], true);
    assert_eq!(
        add["parameters"]["a"],
        serde_json::json!({"type": "int", "default": null, "required": true})
    );
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn parameters_stand_in_the_order_of_the_signature() {
    let cluster = Cluster::start().await;
    let answer = cluster.get("/api/actions").await;
    let parameters = concat!(
        r#""queue":"special","parameters":{"zone":{"type":"str","default":null,"required":true},"#,
        r#""count":{"type":"int","default":null,"required":true},"#,
        r#""alpha":{"type":"float","default":0.5,"required":false},"#,
        r#""flag":{"type":"bool","default":false,"required":false},"#,
        r#""hosts":{"type":"list","default":[],"required":false},"#,
        r#""labels":{"type":"dict","default":null,"required":false},"#,
        r#""note":{"type":"str","default":null,"required":false},"#,
        r#""whatever":{"type":"any","default":null,"required":false}},"schema":"#,
    );
    assert!(answer.text().contains(parameters), "{}", answer.text());
    assert!(answer.text().contains(ORDERED), "the schema is what the worker sent");
}

#[tokio::test]
async fn a_known_result_type_is_described() {
    let cluster = Cluster::start().await;
    let actions = cluster.get("/api/actions").await.json();
    let result: serde_json::Value = serde_json::from_str(RESULT).unwrap();
    assert_eq!(actions["typed"]["result_schema"], result);
    assert_eq!(actions["explode"]["result_schema"], serde_json::Value::Null);
}

#[tokio::test]
async fn an_action_whose_schema_is_none_is_a_problem_and_hides_no_other() {
    let cluster = Cluster::start().await;
    let actions = cluster.get("/api/actions").await.json();
    assert!(actions["not_a_schema"].is_null() && actions["typed"]["available"] == true);
    let workers = cluster.get("/api/workers").await.json();
    let problems = workers["workers"][0]["problems"].as_array().unwrap();
    let problem = problems.iter().find(|problem| problem["place"] == "not_a_schema").unwrap();
    let message = problem["message"].as_str().unwrap();
    assert!(message.starts_with("schema is invalid: ") && message.contains("strnig"), "{message}");
    cluster.post("/api/actions/not_a_schema/execute", "").await.detail(404);
}

#[tokio::test]
async fn an_action_without_a_worker_is_known_and_not_available() {
    let mut cluster = Cluster::start().await;
    cluster.worker.take().unwrap().shutdown(Duration::ZERO).await;
    let mut catalogue = cluster.coordinator.watch_catalogue();
    within(catalogue.wait_for(|known| !known["add"].available)).await.unwrap();
    assert_eq!(cluster.get("/api/actions").await.json()["add"]["available"], false);
    // It is accepted, and waits.
    let id = cluster.submit("add", r#"{"parameters":{"a":1,"b":2}}"#).await;
    let status = cluster.get(&format!("/api/executions/{id}/status")).await.json();
    assert_eq!(status["state"], "PENDING");
}
