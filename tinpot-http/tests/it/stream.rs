//! The stream of an execution that has ended: shape, resuming, refusals.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::client::{events, messages};
use crate::cluster::{Answer, Cluster};

async fn stream(cluster: &Cluster, id: &str, last_event_id: Option<&str>, query: &str) -> Answer {
    let mut request = Request::get(format!("/api/executions/{id}/stream{query}"));
    if let Some(last) = last_event_id {
        request = request.header("last-event-id", last);
    }
    cluster.request(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn events_have_the_shape_that_clients_know() {
    let cluster = Cluster::start().await;
    let id = cluster.run("explode", "").await;
    let answer = stream(&cluster, &id, None, "").await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("x-accel-buffering"), "no");
    let events = events(answer.text());
    assert_eq!(events.len(), 3, "{events:?}");
    assert_eq!(events[0].id, "0");
    assert_eq!(events[0].data["type"], "connected");
    assert_eq!(events[0].data["data"]["execution_id"], *id);
    assert_eq!(events[0].data["data"]["after"], 0);
    // Clients of older Tinpots read the fields of these two events at the top level.
    assert_eq!(events[0].data["execution_id"], *id);
    assert_eq!(events[1].id, "1");
    let line = &events[1].data["data"];
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    let mut rest = line.clone();
    rest.as_object_mut().unwrap().remove("timestamp");
    // A line end within a line, which no writer may send, is shown as one.
    let expected =
        json!({"level": "INFO", "message": "\"\\n\u{1b}[1m\r", "stream": "system", "seq": 1});
    assert_eq!(rest, expected);
    assert_eq!(events[2].id, "end");
    let data = json!({
        "state": "FAILURE", "status": "failed", "successful": false,
        "error": "ValueError: bad \"host\"", "kind": "ValueError", "traceback": "Traceback:\n  line 1\n"
    });
    let mut complete = data.clone();
    complete["type"] = json!("complete");
    complete["data"] = data;
    assert_eq!(events[2].data, complete);
    assert!(
        answer.text().contains("data: {\"type\":\"complete\",\"data\":{\"state\":\"FAILURE\",")
    );
}

#[tokio::test]
async fn a_result_with_line_ends_is_one_line_of_data() {
    let cluster = Cluster::start().await;
    let id = cluster.run("laid_out", "").await;
    let events = events(stream(&cluster, &id, None, "").await.text());
    let complete = &events.last().unwrap().data["data"];
    assert_eq!(complete["result"], json!({"a": [1.0, 2], "b": "x\ny"}));
    assert_eq!((&complete["state"], &complete["successful"]), (&json!("SUCCESS"), &json!(true)));
}

#[tokio::test]
async fn a_client_resumes_in_the_middle_of_a_chunk() {
    let cluster = Cluster::start().await;
    let id = cluster.run("write", r#"{"parameters":{"count":1200}}"#).await;
    let whole = stream(&cluster, &id, None, "").await;
    let whole = events(whole.text());
    assert_eq!(messages(&whole).len(), 1200);
    for after in [1_usize, 250, 499, 500, 501, 1199, 1200] {
        let text = after.to_string();
        let query = format!("?after={after}");
        let header = stream(&cluster, &id, Some(&text), "").await;
        let header = events(header.text());
        assert_eq!((&header[0].id, &header[0].data["data"]["after"]), (&text, &json!(after)));
        // Everything after it, exactly as the client that stayed saw it.
        assert_eq!(header[1..], whole[1 + after..], "{after}");
        assert_eq!(header, events(stream(&cluster, &id, None, &query).await.text()));
        // An `EventSource` asks for its first URL again, with a header.
        assert_eq!(header, events(stream(&cluster, &id, Some(&text), "?after=7").await.text()));
        assert_eq!(header, events(stream(&cluster, &id, Some(""), &query).await.text()));
    }
}

#[tokio::test]
async fn a_client_that_returns_after_the_end_receives_204() {
    let cluster = Cluster::start().await;
    let id = cluster.run("write", r#"{"parameters":{"count":3}}"#).await;
    let all = stream(&cluster, &id, None, "").await;
    let last = events(all.text()).pop().unwrap();
    let again = stream(&cluster, &id, Some(&last.id), "").await;
    assert_eq!((again.status.as_u16(), again.body.len()), (204, 0));
    // A client that saw every line, and was cut off before the end, receives the end.
    let cut = stream(&cluster, &id, Some("3"), "").await;
    let kinds: Vec<_> = events(cut.text()).iter().map(|event| event.data["type"].clone()).collect();
    assert_eq!(kinds, ["connected", "complete"]);
    let beyond = stream(&cluster, &id, Some("18446744073709551615"), "").await;
    assert_eq!(events(beyond.text()).len(), 2);
}

#[tokio::test]
async fn an_id_that_is_none_is_a_bad_request() {
    let cluster = Cluster::start().await;
    let id = cluster.run("refuse", "").await;
    for wrong in ["x", "-1", "1.5", "18446744073709551616", "end ", "\u{e9}"] {
        let detail = stream(&cluster, &id, Some(wrong), "").await.detail(400);
        assert!(detail.contains("Last-Event-ID"), "{detail}");
    }
    assert!(stream(&cluster, &id, None, "?after=x").await.detail(400).contains("after"));
    stream(&cluster, &id, None, "?afetr=1").await.detail(422);
}
