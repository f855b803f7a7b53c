//! Bad input: each wrong value is named by its path, by HTTP and by the SDK in the same words, and nothing runs.

use tinpot_core::{Coordinator, Json, MemoryNetwork};
use tinpot_http::HttpConfig;

use crate::cluster::Cluster;

const EXECUTE: &str = "/api/actions/typed/execute";

/// A cluster that takes bodies of some megabytes.
async fn cluster() -> Cluster {
    let network = MemoryNetwork::new();
    let builder = Coordinator::builder(network.transport()).max_parameters_bytes(40_000_000);
    let coordinator = builder.start().await.unwrap();
    Cluster::on(network, coordinator, HttpConfig::default().max_body_bytes(40_000_000)).await
}

/// Returns the violations by HTTP, which are those of the SDK.
async fn errors(cluster: &Cluster, parameters: &str) -> Vec<String> {
    let body = format!("{{\"parameters\":{parameters}}}");
    let by_http = cluster.post(EXECUTE, body).await.errors();
    let error = match Json::parse(parameters) {
        Ok(parameters) => cluster.coordinator.submit("typed", parameters).await.err().unwrap(),
        Err(error) => error,
    };
    assert_eq!(by_http.join("; "), error.to_string());
    by_http
}

#[tokio::test]
async fn bad_input_is_named_by_its_path_and_runs_nothing() {
    let cluster = cluster().await;
    let deep = |levels: usize| {
        format!(r#"{{"days":1,"any":{}{}}}"#, "[".repeat(levels), "]".repeat(levels))
    };
    let huge = "x".repeat(10_000_000);
    let rows = [
        (r#"{"days":"3"}"#.to_owned(), "days must be an integer (got a string)"),
        (r#"{"days":true}"#.to_owned(), "days must be an integer (got a boolean)"),
        (r#"{"days":3.0}"#.to_owned(), "days must be an integer (got 3.0)"),
        (r#"{"days":null}"#.to_owned(), "days must be an integer (got null)"),
        ("{}".to_owned(), "days is required"),
        (
            r#"{"days":1,"dayz":2}"#.to_owned(),
            "dayz is not a parameter; use any, blob, days, hosts, ",
        ),
        (
            r#"{"days":1,"options":{"froce":true}}"#.to_owned(),
            "options.froce is not a field; use force",
        ),
        (r#"{"days":0}"#.to_owned(), "days must be at least 1 (got 0)"),
        (r#"{"days":31}"#.to_owned(), "days must be at most 30 (got 31)"),
        (
            r#"{"days":1,"when":"2023-02-29"}"#.to_owned(),
            "when must be a date such as 2024-12-31 (got \"2023-02-29\")",
        ),
        (
            r#"{"days":1,"mode":"medium"}"#.to_owned(),
            "mode must be one of \"fast\", \"slow\" (got \"medium\")",
        ),
        (r#"{"days":1,"hosts":["a",null]}"#.to_owned(), "hosts[1] must be a string (got null)"),
        (
            r#"{"days":1,"options":{"force":"yes"}}"#.to_owned(),
            "options.force must be true or false (got a string)",
        ),
        (deep(100), "any[0][0]"),
        (deep(1_000_000), "any[0][0]"),
        (r#"{"days":NaN}"#.to_owned(), "days must be a JSON number (got NaN)"),
        (
            r#"{"days":1,"any":[{"x":Infinity}]}"#.to_owned(),
            "any[0].x must be a JSON number (got Infinity)",
        ),
        (
            r#"{"days":1,"ratio":-Infinity}"#.to_owned(),
            "ratio must be a JSON number (got -Infinity)",
        ),
        (
            r#"{"days":1,"ratio":1e999}"#.to_owned(),
            "ratio must be between -1.8e308 and 1.8e308 (got ",
        ),
        (r#"{"days":1,"any":{"k":1,"k":1}}"#.to_owned(), "any.k must be given at most once"),
        (r#"{"days":1,"days":2}"#.to_owned(), "days must be given at most once"),
        (r#"{"days":1,"name":"\ud800"}"#.to_owned(), "name must be JSON: "),
        (
            format!(r#"{{"days":1,"name":"{huge}"}}"#),
            "name must have at most 20 characters (got 10000000)",
        ),
        (format!(r#"{{"days":"{huge}"}}"#), "days must be an integer (got a string)"),
        (format!(r#"{{"days":1,"{huge}":1}}"#), "xxxxxxxx"),
        ("[1]".to_owned(), "parameters must be an object (got a list)"),
        ("null".to_owned(), "parameters must be an object (got null)"),
    ];
    for (parameters, expected) in rows {
        let found = errors(&cluster, &parameters).await;
        assert!(found.len() == 1 && found[0].starts_with(expected), "{expected:?}: {found:#?}");
        assert!(found[0].len() < 1_000, "{expected}");
    }
    let executions = cluster.get("/api/executions").await.json();
    assert_eq!(executions["executions"], serde_json::json!([]), "nothing was accepted");
}

#[tokio::test]
async fn every_wrong_field_is_named_at_once() {
    let cluster = cluster().await;
    let parameters = r#"{"days":"1","mode":"x","when":"never","hosts":[1,"b",2],"options":{"force":1},"extra":0,"ratio":1,"ratio":2}"#;
    let mut paths: Vec<String> = errors(&cluster, parameters)
        .await
        .iter()
        .map(|error| error.split(' ').next().unwrap().to_owned())
        .collect();
    paths.sort();
    assert_eq!(
        paths,
        ["days", "extra", "hosts[0]", "hosts[2]", "mode", "options.force", "ratio", "when"]
    );

    let many: Vec<String> = (0..1_000).map(|number| format!("\"n{number}\":1")).collect();
    let answer = cluster
        .post(EXECUTE, format!("{{\"parameters\":{{\"days\":1,{}}}}}", many.join(",")))
        .await;
    assert_eq!(answer.errors().len(), 50);
    assert!(answer.detail(422).ends_with("; and 950 more"));
    assert!(answer.body.len() < 40_000);
}

#[tokio::test]
async fn numbers_that_json_does_not_have_are_named_together() {
    let cluster = cluster().await;
    let found = errors(&cluster, r#"{"days":NaN,"any":[1,Infinity],"ratio":1e999,"days":1}"#).await;
    let paths: Vec<&str> = found.iter().map(|error| error.split(' ').next().unwrap()).collect();
    assert_eq!(paths, ["days", "any[1]", "ratio", "days"]);
}
