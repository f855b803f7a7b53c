//! The one stream of a page.

use std::collections::BTreeSet;

use serde_json::Value;
use tokio::sync::watch;

use crate::client::{Client, Server, serve};
use crate::cluster::Cluster;

async fn server(cluster: &Cluster) -> (Server, watch::Sender<bool>) {
    let (stop, stopped) = watch::channel(false);
    (serve(cluster.router.clone(), stopped).await, stop)
}

async fn open(server: &Server, query: &str) -> Client {
    let client = Client::open(server.address, &format!("GET /api/stream?{query} HTTP/1.1")).await;
    assert_eq!(client.status, 200, "{}", client.head);
    assert!(client.head.to_lowercase().contains("content-type: text/event-stream"));
    client
}

/// The numbers of the lines of an event.
fn numbers(event: &Value) -> Vec<u64> {
    event["lines"].as_array().unwrap().iter().map(|line| line["seq"].as_u64().unwrap()).collect()
}

/// Reads up to the end of this execution: its lines, and the types of its other events.
async fn followed(client: &mut Client, id: &str) -> (Vec<u64>, Vec<String>) {
    let (mut lines, mut others) = (Vec::new(), Vec::new());
    loop {
        let block = client.block().await.expect("more events");
        let Some(event) = crate::client::events(&block).pop() else { continue };
        let event = event.data;
        if event["execution_id"] != id {
            continue;
        }
        match event["type"].as_str().unwrap() {
            "log" => lines.extend(numbers(&event)),
            "event" => {
                let kind = event["event"]["type"].as_str().unwrap().to_owned();
                others.push(kind.clone());
                if kind == "complete" {
                    return (lines, others);
                }
            }
            other => panic!("{other} of an execution"),
        }
    }
}

#[tokio::test]
async fn the_first_event_says_which_server_it_is() {
    let cluster = Cluster::start().await;
    let (server, _stop) = server(&cluster).await;
    let mut instances = BTreeSet::new();
    for _ in 0..2 {
        let first = open(&server, "").await.until("connected").await.data;
        assert_eq!(first["server"]["version"], env!("CARGO_PKG_VERSION"));
        instances.insert(first["server"]["instance"].as_str().unwrap().to_owned());
    }
    assert_eq!(instances.len(), 1);
    for query in ["executions=1", "what=true", "log=x", "log=", "log=:3"] {
        cluster.get(&format!("/api/stream?{query}")).await.detail(422);
    }
    let id = cluster.run("write", r#"{"parameters":{"count":1}}"#).await;
    cluster.get(&format!("/api/stream?log={id},{id}:1")).await.detail(422);
    let unknown = "00000000-0000-7000-8000-000000000000";
    let missing = open(&server, &format!("log={unknown}")).await.until("missing").await;
    assert_eq!(missing.data["execution_id"], unknown);
}

#[tokio::test]
async fn several_executions_are_followed_from_where_each_is_known() {
    let cluster = Cluster::start().await;
    let (server, _stop) = server(&cluster).await;
    let done = cluster.run("write", r#"{"parameters":{"count":5000}}"#).await;
    let live = cluster.submit("gate", "{}").await;
    cluster.wrote(&live, 1).await;
    let mut client = open(&server, &format!("log={done}:4000,{live}")).await;
    let (lines, others) = followed(&mut client, &done).await;
    assert_eq!(lines, (4_001..=5_000).collect::<Vec<_>>());
    assert_eq!(others, ["complete"]);
    let mut late = open(&server, &format!("log={live}:0")).await;
    cluster.open_gate();
    let (lines, others) = followed(&mut late, &live).await;
    assert_eq!(lines, [1, 2]);
    assert_eq!((&*others[0], &**others.last().unwrap()), ("status", "complete"));
    // All events were sent. The stream stays open, since its page is.
    let again = cluster.submit("gate", "{}").await;
    let mut other = open(&server, &format!("log={again}:1")).await;
    let (lines, _) = followed(&mut other, &again).await;
    assert_eq!(lines, [2], "the client says that it has the first one");
}

#[tokio::test]
async fn every_reader_gets_every_line_once_however_late() {
    let cluster = Cluster::start().await;
    let (server, _stop) = server(&cluster).await;
    let id = cluster.submit("write", r#"{"parameters":{"count":60000}}"#).await;
    let address = server.address;
    let mut clients = Vec::new();
    for from in [0, 1, 777, 20_000] {
        let id = id.clone();
        let request = format!("GET /api/stream?log={id}:{from} HTTP/1.1");
        clients.push(tokio::spawn(async move {
            let mut client = Client::open(address, &request).await;
            let (lines, _) = followed(&mut client, &id).await;
            let expected: Vec<u64> = (from + 1..=60_000).collect();
            assert!(
                lines == expected,
                "{} lines after {from}: {:?}…",
                lines.len(),
                &lines[..5.min(lines.len())]
            );
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn changes_reach_their_subscribers() {
    let cluster = Cluster::start().await;
    let (server, _stop) = server(&cluster).await;
    let mut all = open(&server, "executions=true&workers=true&queues=true&catalogue=true").await;
    let mut queues = open(&server, "queues=true&executions=false").await;
    all.until("connected").await;
    queues.until("connected").await;
    let id = cluster.submit("add", r#"{"parameters":{"a":1,"b":2}}"#).await;
    loop {
        let event = all.until("executions").await.data;
        let executions = event["executions"].as_array().unwrap();
        assert!(executions.iter().all(|execution| execution["execution_id"] == *id));
        if executions.iter().any(|execution| execution["status"] == "succeeded") {
            break;
        }
    }
    all.until("queues").await;
    let block = queues.block().await.unwrap();
    assert_eq!(crate::client::events(&block).pop().unwrap().data["type"], "queues");
    let mut cluster = cluster;
    cluster.worker.take().unwrap().shutdown(std::time::Duration::ZERO).await;
    all.until("catalogue").await;
}

#[tokio::test]
async fn a_server_that_ends_ends_its_streams() {
    let (stop, stopped) = watch::channel(false);
    let config =
        tinpot_http::HttpConfig::default().shutdown_signal(crate::client::begun(stopped.clone()));
    let cluster = Cluster::with(config).await;
    let server = serve(cluster.router.clone(), stopped).await;
    let id = cluster.submit("gate", "{}").await;
    let mut client = open(&server, &format!("executions=true&log={id}")).await;
    client.until("connected").await;
    stop.send_replace(true);
    while client.block().await.is_some() {}
    crate::cluster::within(server.ended).await.unwrap();
}
