//! `execute`: what is accepted, and what is refused.

use axum::body::{Body, Bytes};
use axum::http::Request;
use serde_json::json;
use tinpot_http::HttpConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::serve;
use crate::cluster::{Cluster, json_post, within};

const EXECUTE: &str = "/api/actions/ordered/execute";
const FINE: &str = r#"{"parameters":{"zone":"a","count":1}}"#;

#[tokio::test]
async fn a_submission_is_answered_at_once_with_where_to_watch_it() {
    let cluster = Cluster::start().await;
    let answer = cluster.post("/api/actions/gate/execute", r#"{"parameters":{}}"#).await;
    let json = answer.json();
    let id = json["execution_id"].as_str().unwrap();
    let stream_url = format!("/api/executions/{id}/stream");
    let expected = json!({
        "execution_id": id, "action_name": "gate", "status": "submitted", "stream_url": stream_url
    });
    assert_eq!(json, expected);
}

#[tokio::test]
async fn nothing_at_all_means_no_parameters() {
    let cluster = Cluster::start().await;
    for body in ["", " \n", "{}", r#"{"parameters":{}}"#, r#"{"options":{}}"#] {
        let answer = cluster.post("/api/actions/refuse/sync_execute", body).await;
        assert_eq!(answer.json()["error"], "not today", "{body:?}");
    }
    let bare = Request::post("/api/actions/refuse/execute").body(Body::empty()).unwrap();
    assert_eq!(cluster.request(bare).await.status, 200);
}

#[tokio::test]
async fn options_reach_the_execution() {
    let cluster = Cluster::start().await;
    let options = r#"{"options":{"priority":-3,"timeout":2.5,"queue":"elsewhere"}}"#;
    let id = cluster.submit("gate", options).await;
    let execution = cluster.get(&format!("/api/executions/{id}")).await.json();
    assert_eq!(execution["priority"], -3);
    assert_eq!(execution["timeout"], 2.5);
    assert_eq!(execution["queue"], "elsewhere");
    let id = cluster.submit("gate", r#"{"options":{"timeout":null,"queue":null}}"#).await;
    assert_eq!(cluster.get(&format!("/api/executions/{id}")).await.json()["queue"], "default");
}

#[tokio::test]
async fn all_options_reach_the_execution() {
    let cluster = Cluster::start().await;
    let options = r#"{"options":{"priority":7,"delay":3600,"expires_in":7200,"timeout":1,"retries":4,"retry_delay":2,
        "backoff":"fixed","max_retry_delay":9,"retry_jitter":0.5,"max_lost_attempts":2,"idempotency_key":"k"}}"#;
    let id = cluster.submit("gate", options).await;
    let execution = cluster.get(&format!("/api/executions/{id}")).await.json();
    let expected = json!({"priority": 7, "retries": 4, "max_lost_attempts": 2, "idempotency_key": "k", "status": "queued"});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&execution[name], value, "{name}");
    }
    assert!(execution["not_before"].is_string() && execution["expires_at"].is_string());
    let at = r#"{"options":{"not_before":"2099-12-31T23:59:59+01:00"}}"#;
    let id = cluster.submit("gate", at).await;
    let execution = cluster.get(&format!("/api/executions/{id}")).await.json();
    assert_eq!(execution["not_before"], "2099-12-31T22:59:59.000000Z");
}

#[tokio::test]
async fn the_header_names_a_submission_as_the_option_does() {
    let cluster = Cluster::start().await;
    let submit_to = async |path: &str, key: &str, body: &str| {
        let mut request = json_post(path, body.to_owned());
        request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        cluster.request(request).await
    };
    let submit =
        async |key: &str, body: &str| submit_to("/api/actions/refuse/execute", key, body).await;
    let first = submit("k 1", "{}").await.json();
    let again = submit("\"k 1\"", r#"{"parameters":{}}"#).await.json();
    assert_eq!(first["execution_id"], again["execution_id"]);
    let option = r#"{"options":{"idempotency_key":"k 1"}}"#;
    let by_option = cluster.post("/api/actions/refuse/execute", option).await.json();
    assert_eq!(first["execution_id"], by_option["execution_id"]);
    let conflict = submit_to(EXECUTE, "k 1", FINE).await;
    assert!(conflict.detail(409).contains("idempotency_key"));
    let two = submit("k 2", r#"{"options":{"idempotency_key":"k 1"}}"#).await;
    assert!(two.detail(422).contains("Idempotency-Key"));
    let long = submit(&"k".repeat(5_000), "{}").await;
    assert!(long.detail(422).contains("idempotency_key must have 1 to 255 characters (got 5000)"));
}

#[tokio::test]
async fn parameters_that_do_not_fit_are_named() {
    let cluster = Cluster::start().await;
    let body = r#"{"parameters":{"count":"1","dayz":true,"hosts":["a",2]}}"#;
    let detail = cluster.post(EXECUTE, body).await.detail(422);
    for part in
        ["zone is required", "count must be an integer", "dayz is not a parameter", "hosts[1]"]
    {
        assert!(detail.contains(part), "{part:?} in {detail:?}");
    }
}

#[tokio::test]
async fn a_body_of_the_wrong_shape_is_refused_with_the_field_that_is_wrong() {
    let cluster = Cluster::start().await;
    let rows = [
        ("[1]", "JSON object"),
        ("null", "JSON object"),
        (r#"{"parameters":[1]}"#, "parameters must be an object"),
        (r#"{"parameters":null}"#, "parameters must be an object"),
        (r#"{"paramters":{},"x\ny":1}"#, "paramters is not a field"),
        (r#"{"options":7}"#, "options must be an object (got 7)"),
        (r#"{"options":{"prio":1}}"#, "options.prio is not a field; use backoff, delay, "),
        (r#"{"options":{"priority":1.5}}"#, "options.priority must be an integer from -2147483648"),
        (r#"{"options":{"priority":3000000000}}"#, "options.priority"),
        (r#"{"options":{"timeout":0}}"#, "options.timeout must be a number of seconds above 0"),
        (r#"{"options":{"timeout":-1}}"#, "options.timeout"),
        (r#"{"options":{"timeout":"5"}}"#, "options.timeout"),
        (r#"{"options":{"timeout":1e300}}"#, "options.timeout"),
        (r#"{"options":{"queue":5}}"#, "options.queue"),
        (
            r#"{"parameters":{"zone":"a","count":1},"options":{"retries":1000000000}}"#,
            "retries must be at most 1000 (got 1000000000)",
        ),
        (
            r#"{"options":{"retries":-1}}"#,
            "options.retries must be an integer from 0 to 1000 (got -1)",
        ),
        (
            r#"{"options":{"backoff":"linear"}}"#,
            "options.backoff must be \"exponential\" or \"fixed\"",
        ),
        (r#"{"options":{"retry_jitter":1.5}}"#, "options.retry_jitter"),
        (r#"{"options":{"retry_delay":-1}}"#, "options.retry_delay"),
        (
            r#"{"options":{"delay":-1}}"#,
            "options.delay must be a number of seconds of at least 0 (got -1)",
        ),
        (
            r#"{"parameters":{"zone":"a","count":1},"options":{"delay":1,"not_before":"2099-01-01T00:00:00Z"}}"#,
            "delay and not_before",
        ),
        (r#"{"options":{"not_before":"tomorrow"}}"#, "options.not_before must be a time such as"),
        (r#"{"options":{"not_before":"2099-02-30T00:00:00Z"}}"#, "options.not_before"),
        (r#"{"options":{"expires_in":0}}"#, "options.expires_in"),
        (
            r#"{"parameters":{"zone":"a","count":1},"options":{"max_lost_attempts":0}}"#,
            "max_lost_attempts must be at least 1 (got 0)",
        ),
        (r#"{"options":{"idempotency_key":7}}"#, "options.idempotency_key must be text (got 7)"),
        (
            r#"{"parameters":{"zone":"a","count":1},"options":{"idempotency_key":""}}"#,
            "idempotency_key must have 1 to 255 characters (got 0)",
        ),
        (r#"{"parameters":{"zone":"a","count":1,"zone":"b"}}"#, "zone must be given at most once"),
        (r#"{"parameters":{},"parameters":{}}"#, "parameters must be given at most once"),
        (r#"{"options":{"queue":"a","queue":"b"}}"#, "options.queue must be given at most once"),
        (
            r#"{"parameters":{"zone":"a","count":1,"labels":{"k":1,"k":2}}}"#,
            "labels.k must be given at most once",
        ),
    ];
    for (body, part) in rows {
        let detail = cluster.post(EXECUTE, body).await.detail(422);
        assert!(detail.contains(part), "{part:?} in {detail:?} for {body}");
    }
    let detail = cluster
        .post(EXECUTE, r#"{"parameters":{"zone":"a","count":1},"options":{"queue":"a/b"}}"#)
        .await
        .detail(422);
    assert!(detail.contains("queue"), "{detail}");
}

#[tokio::test]
async fn a_body_that_is_not_json_is_a_bad_request() {
    let cluster = Cluster::start().await;
    let rows: [&[u8]; 6] = [
        b"{",
        b"parameters",
        b"{'parameters':{}}",
        b"{\"parameters\":{}} {}",
        b"{\"parameters\":{\"zone\":\"\xff\"}}",
        b"{\"parameters\":{\"count\":NaNs}}",
    ];
    for body in rows {
        let detail = cluster.post(EXECUTE, Bytes::copy_from_slice(body)).await.detail(400);
        assert!(detail.starts_with("body must be JSON: "), "{detail}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_with_or_without_a_declared_length() {
    let cluster = Cluster::with(HttpConfig::default().max_body_bytes(1_000)).await;
    let large = format!("{FINE}{}", " ".repeat(1_000));
    let request = Request::post(EXECUTE).header("content-length", large.len());
    let detail =
        cluster.request(request.body(Body::from(large.clone())).unwrap()).await.detail(413);
    assert!(detail.contains("1000 bytes"), "{detail}");
    let pieces: Vec<Result<Bytes, std::convert::Infallible>> =
        large.as_bytes().chunks(100).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let silent = Body::from_stream(futures::stream::iter(pieces));
    cluster.request(json_post(EXECUTE, silent)).await.detail(413);
    assert_eq!(cluster.post(EXECUTE, FINE).await.status, 200, "the next one is answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_writes_its_whole_body_first_reads_the_refusal() {
    let cluster = Cluster::start().await;
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    let server = serve(cluster.router.clone(), stopped).await;
    let size = 40 << 20;
    let head = |path: &str, header: &str| {
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{header}\r\n\r\n")
    };
    let length = format!("content-length: {size}");
    for (path, header, status) in [
        (EXECUTE, length.as_str(), "413"),
        (EXECUTE, "transfer-encoding: chunked", "413"),
        (EXECUTE, &format!("{length}\r\norigin: http://evil.example"), "403"),
        (
            EXECUTE,
            &format!("{length}\r\nuser-agent: Mozilla/5.0\r\ncontent-type: text/plain"),
            "415",
        ),
        ("/api/nothing", &length, "404"),
        ("/api/executions/cancel", &length, "413"),
    ] {
        let answered = async {
            let mut client = TcpStream::connect(server.address).await.unwrap();
            client.write_all(head(path, header).as_bytes()).await.unwrap();
            let piece = vec![b' '; 1 << 20];
            for _ in 0..size >> 20 {
                if header.contains("chunked") {
                    client.write_all(b"100000\r\n").await.unwrap();
                }
                client.write_all(&piece).await.unwrap();
                if header.contains("chunked") {
                    client.write_all(b"\r\n").await.unwrap();
                }
            }
            if header.contains("chunked") {
                client.write_all(b"0\r\n\r\n").await.unwrap();
            }
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let answer = within(answered).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{header}: {answer}");
        assert!(answer.contains("{\"detail\":"), "{answer}");
    }
}

#[tokio::test]
async fn json_is_read_under_any_type_unless_a_browser_sends_it() {
    let cluster = Cluster::start().await;
    let with_type =
        |kind: &str| Request::post(EXECUTE).header("content-type", kind).body(Body::from(FINE));
    for kind in [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/vnd.tinpot+json",
        "application/octet-stream",
        "",
    ] {
        assert_eq!(cluster.request(with_type(kind).unwrap()).await.status, 200, "{kind}");
    }
    let forms =
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"];
    let of_browsers = [
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
        ("origin", "http://tinpot.localhost"),
        ("referer", "http://tinpot.localhost/page"),
        ("sec-fetch-site", "same-origin"),
    ];
    for kind in forms {
        for (name, value) in of_browsers {
            let mut request = with_type(kind).unwrap();
            request.headers_mut().insert("host", "tinpot.localhost".parse().unwrap());
            request.headers_mut().insert(name, value.parse().unwrap());
            let detail = cluster.request(request).await.detail(415);
            assert!(detail.contains("application/json"), "{detail}");
        }
        let mut curl = with_type(kind).unwrap();
        curl.headers_mut().insert("user-agent", "curl/8.5.0".parse().unwrap());
        assert_eq!(cluster.request(curl).await.status, 200, "{kind}");
    }
}

#[tokio::test]
async fn an_action_of_any_name_runs() {
    let cluster = Cluster::start().await;
    let path = "/api/actions/odd%20name%20%C3%BC%25%3F/sync_execute";
    let json = cluster.post(path, r#"{"parameters":{"x":[1.50, 2]}}"#).await.json();
    assert_eq!(json["action_name"], "odd name ü%?");
    assert_eq!(json["result"], json!({"x": [1.5, 2]}));
}
