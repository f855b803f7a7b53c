//! Streams of executions that run: over a socket, with clients that come, go, and do not read.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures::StreamExt;
use tinpot_http::HttpConfig;
use tokio::sync::watch;
use tokio::time::Instant;
use tower::ServiceExt;

use crate::client::{Client, begun, events, messages, serve};
use crate::cluster::{Cluster, within};

fn get(id: &str) -> String {
    format!("GET /api/executions/{id}/stream HTTP/1.1")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_watcher_sees_events_live() {
    let cluster = Cluster::start().await;
    let (_stop, stopped) = watch::channel(false);
    let server = serve(cluster.router.clone(), stopped).await;
    let id = cluster.submit("gate", "").await;
    let mut early = Client::open(server.address, &get(&id)).await;
    assert_eq!(early.status, 200);
    assert!(early.head.to_lowercase().contains("content-type: text/event-stream"));
    let line = early.until("log").await;
    assert_eq!(line.data["data"]["message"], "waiting");
    assert_eq!(
        (&line.data["data"]["level"], &line.data["data"]["stream"]),
        (&"ERROR".into(), &"stderr".into())
    );
    let progress = early.until("progress").await;
    assert_eq!(progress.id, "1", "where to resume");
    assert_eq!(
        progress.data["data"],
        serde_json::json!({"done": 1.0, "total": 2.0, "message": "half"})
    );
    let mut late = Client::open(server.address, &get(&id)).await;
    assert_eq!(late.until("log").await, line);
    cluster.open_gate();
    let (mut early, mut late) = (events(&early.rest().await), events(&late.rest().await));
    // Which changes of status and progress one sees is a matter of timing; lines and end are not.
    let seen = |event: &crate::client::SseEvent| {
        ["log", "complete"].contains(&event.data["type"].as_str().unwrap())
    };
    early.retain(seen);
    late.retain(seen);
    assert_eq!(early, late);
    assert_eq!(messages(&early), ["gone on"]);
    assert_eq!(early[0].data["data"]["level"], "DEBUG");
    assert_eq!(early[1].data["data"]["result"], "through");
    let mut after = Client::open(server.address, &get(&id)).await;
    assert_eq!(messages(&events(&after.rest().await)), ["waiting", "gone on"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_of_a_log_without_anything_to_show_do_not_end_the_stream() {
    let cluster = Cluster::start().await;
    let (_stop, stopped) = watch::channel(false);
    let server = serve(cluster.router.clone(), stopped).await;
    let id = cluster.submit("keep", "").await;
    let mut client = Client::open(server.address, &get(&id)).await;
    cluster.wrote(&id, 2).await;
    cluster.open_gate();
    let events = events(&client.rest().await);
    assert_eq!(messages(&events), ["kept"]);
    assert_eq!(events.last().unwrap().data["type"], "complete");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_lines_arrive_in_order_and_a_client_that_does_not_read_delays_no_other()
{
    let cluster = Cluster::start().await;
    let (_stop, stopped) = watch::channel(false);
    let server = serve(cluster.router.clone(), stopped).await;
    let id = cluster.submit("write", r#"{"parameters":{"count":100000}}"#).await;
    let mut stuck = Client::open(server.address, &get(&id)).await;
    let mut reading = Client::open(server.address, &get(&id)).await;
    let expect_all = |text: &str| {
        let events = events(text);
        let logs: Vec<_> = events.iter().filter(|event| event.data["type"] == "log").collect();
        assert_eq!(logs.len(), 100_000);
        for (number, event) in (1..).zip(logs) {
            assert_eq!(event.id, number.to_string());
            assert_eq!(event.data["data"]["seq"], number);
            assert_eq!(event.data["data"]["message"], format!("line {number}"));
        }
        assert_eq!(events.last().unwrap().data["type"], "complete");
    };
    expect_all(&reading.rest().await);
    // The one that did not read has missed nothing.
    expect_all(&stuck.rest().await);
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_sends_heartbeats() {
    let cluster = Cluster::start().await;
    let id = cluster.submit("gate", "").await;
    cluster.wrote(&id, 1).await;
    let request = Request::get(format!("/api/executions/{id}/stream")).body(Body::empty()).unwrap();
    let response = cluster.router.clone().oneshot(request).await.unwrap();
    let mut body = response.into_body().into_data_stream();
    let mut next = async || within(body.next()).await.unwrap().unwrap();
    // The first events.
    let mut before = Instant::now();
    while next().await != ": heartbeat\n\n" {
        before = Instant::now();
    }
    for _ in 0..3 {
        let waited = before.elapsed();
        assert!((15..16).contains(&waited.as_secs()), "{waited:?}");
        before = Instant::now();
        assert_eq!(next().await, ": heartbeat\n\n");
    }
    cluster.open_gate();
    assert!(next().await.starts_with(b"id: "), "news come at once");
}

#[tokio::test(start_paused = true)]
async fn heartbeats_can_be_turned_off() {
    let cluster = Cluster::with(HttpConfig::default().heartbeat(Duration::ZERO)).await;
    let id = cluster.submit("gate", "").await;
    cluster.wrote(&id, 1).await;
    let request = Request::get(format!("/api/executions/{id}/stream")).body(Body::empty()).unwrap();
    let response = cluster.router.clone().oneshot(request).await.unwrap();
    let mut body = response.into_body().into_data_stream();
    let hour = tokio::time::sleep(Duration::from_secs(3600));
    tokio::pin!(hour);
    loop {
        tokio::select! {
            () = &mut hour => break,
            bytes = body.next() => assert!(bytes.unwrap().unwrap().starts_with(b"id: ")),
        }
    }
}

#[tokio::test]
async fn open_streams_and_waits_do_not_hold_up_the_shutdown_of_the_server() {
    let (stop, stopped) = watch::channel(false);
    let cluster =
        Cluster::with(HttpConfig::default().shutdown_signal(begun(stopped.clone()))).await;
    let server = serve(cluster.router.clone(), stopped).await;
    let id = cluster.submit("gate", "").await;
    let mut stream = Client::open(server.address, &get(&id)).await;
    stream.until("log").await;
    let address = server.address;
    let wait = tokio::spawn(async move {
        let request = "POST /api/actions/until_stopped/sync_execute HTTP/1.1";
        Client::open(address, request).await
    });
    within(async {
        // Until the second request has come in.
        while cluster.get("/api/executions").await.json()["executions"][1].is_null() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    stop.send_replace(true);
    let end = stream.rest().await;
    assert!(!end.contains("complete"), "{end}");
    let waited = within(wait).await.unwrap();
    assert_eq!(waited.status, 503);
    assert!(waited.head.to_lowercase().contains("retry-after: 1"), "{}", waited.head);
    within(server.ended).await.unwrap();
    // The execution goes on, and a client that comes back to another server resumes.
    cluster.open_gate();
    let handle = cluster.coordinator.handle(id.parse().unwrap()).await.unwrap();
    within(handle.outcome()).await.unwrap();
}

#[tokio::test]
async fn streams_end_with_their_coordinator() {
    let cluster = Cluster::start().await;
    let (_stop, stopped) = watch::channel(false);
    let server = serve(cluster.router.clone(), stopped).await;
    let id = cluster.submit("gate", "").await;
    let mut stream = Client::open(server.address, &get(&id)).await;
    stream.until("log").await;
    cluster.coordinator.shutdown().await;
    assert!(!stream.rest().await.contains("complete"));
}

#[tokio::test]
async fn a_client_that_leaves_takes_nothing_with_it() {
    let cluster = Cluster::start().await;
    let (_stop, stopped) = watch::channel(false);
    let server = serve(cluster.router.clone(), stopped).await;
    let id = cluster.submit("gate", "").await;
    let mut gone = Client::open(server.address, &get(&id)).await;
    let last = gone.until("log").await.id;
    drop(gone);
    cluster.open_gate();
    let resumed = format!("{}\nlast-event-id: {last}", get(&id));
    let mut back = Client::open(server.address, &resumed).await;
    let events = events(&back.rest().await);
    assert_eq!(events[0].data["data"]["after"], 1);
    assert_eq!(messages(&events), ["gone on"]);
}
