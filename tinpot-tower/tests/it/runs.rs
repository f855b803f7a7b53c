//! Runs: created, listed, shown, cancelled, with their logs.

use serde_json::{Value, json};

use crate::support::{Server, bundle};

const TYPED: &str = "[[parameters]]\nname = \"text\"\n\
                     [[parameters]]\nname = \"count\"\ntype = \"integer\"\ndefault = 3\n\
                     [[parameters]]\nname = \"ratio\"\ntype = \"number\"\n\
                     [[parameters]]\nname = \"flag\"\ntype = \"boolean\"\n";

async fn ready(more: &str) -> (Server, String) {
    let server = Server::start().await;
    let token = server.team("team").await;
    server.app(&token, "hello", more).await;
    (server, token)
}

fn ids(list: &Value) -> Vec<u64> {
    let runs = list["runs"].as_array().expect("a list");
    runs.iter().map(|run| run["run_id"].as_u64().expect("an id")).collect()
}

#[tokio::test]
async fn a_run_is_created_and_completed() {
    let (server, token) = ready("").await;
    let body = r#"{"input":{"say":"Hi","n":{"b":1,"a":9007199254740993}},"priority":-2}"#;
    let created = server.post(&token, "/api/v1/apps/hello/runs", body).await;
    let time = created.json()["queued_at"].as_str().unwrap().to_owned();
    let expected = format!(
        "{{\"run_id\":1,\"app_id\":1,\"app_slug\":\"hello\",\"run_no\":1,\"version_no\":1,\
         \"status\":\"queued\",\"input\":{{\"n\":{{\"a\":9007199254740993,\"b\":1}},\"say\":\"Hi\"}},\
         \"priority\":-2,\"max_retries\":0,\"retry_count\":0,\"cancel_requested\":false,\
         \"queued_at\":\"{time}\"}}\n"
    );
    assert_eq!((created.status, created.body.as_str()), (201, &*expected));
    let _worker = server.worker().await;
    let run = server.until(&token, 1, "completed").await;
    assert!(run["started_at"].is_string() && run["finished_at"].is_string(), "{run}");
    assert_eq!(run["attempts"][0]["outcome"], "succeeded");
    let answer = server.get(&token, "/api/v1/runs/1").await;
    for word in ["\"status\":\"", "\"run_id\":"] {
        assert_eq!(answer.body.matches(word).count(), 1, "{answer:?}");
    }
    // Without a body, everything has its default. An empty input is not shown.
    let second = server.post(&token, "/api/v1/apps/hello/runs", "").await.ok(201);
    assert_eq!((second["run_no"].as_u64(), second.get("input")), (Some(2), None));
    server.until(&token, 2, "completed").await;
}

#[tokio::test]
async fn what_makes_no_run_is_refused() {
    let (server, token) = ready(TYPED).await;
    server.post(&token, "/api/v1/apps", r#"{"slug":"empty"}"#).await.ok(201);
    let create = |app: &'static str, body: &'static str| {
        let (server, token) = (&server, &token);
        async move { server.post(token, &format!("/api/v1/apps/{app}/runs"), body).await }
    };
    for (app, body, status, code) in [
        ("none", "{}", 404, "not_found"),
        ("empty", "{}", 400, "no_version"),
        ("hello", r#"{"version_no":2}"#, 404, "not_found"),
        ("hello", r#"{"version_no":0}"#, 404, "not_found"),
        ("hello", r#"{"version_no":-1}"#, 404, "not_found"),
        ("hello", r#"{"version_no":"1"}"#, 400, "invalid_request"),
        ("hello", r#"{"version_no":1.0}"#, 400, "invalid_request"),
        ("hello", r#"{"input":[]}"#, 400, "invalid_request"),
        ("hello", r#"{"input":"x"}"#, 400, "invalid_request"),
        ("hello", r#"{"priority":1.5}"#, 400, "invalid_request"),
        ("hello", r#"{"priority":99999999999}"#, 400, "invalid_request"),
        ("hello", r#"{"max_retries":-1}"#, 400, "invalid_request"),
        ("hello", r#"{"max_retries":1001}"#, 400, "invalid_request"),
        ("hello", r#"{"input":{"text":1}}"#, 400, "invalid_request"),
        ("hello", r#"{"input":{"text":null}}"#, 400, "invalid_request"),
        ("hello", r#"{"input":{"count":1.5}}"#, 400, "invalid_request"),
        ("hello", r#"{"input":{"count":"1"}}"#, 400, "invalid_request"),
        ("hello", r#"{"input":{"flag":"true"}}"#, 400, "invalid_request"),
        ("hello", "[]", 400, "invalid_request"),
        ("hello", "{", 400, "invalid_request"),
    ] {
        let answer = create(app, body).await;
        assert_eq!(answer.code(status), code, "{body}: {answer:?}");
    }
    let answer = create("hello", r#"{"input":{"text":1}}"#).await;
    assert!(answer.body.contains("schema") && answer.body.contains("text"), "{answer:?}");
    for body in [
        "",
        "null",
        r#"{"input":null,"version_no":null,"priority":null,"max_retries":null}"#,
        r#"{"input":{}}"#,
        r#"{"input":{"count":3.0,"ratio":1}}"#,
        r#"{"input":{"undeclared":[1],"text":"a"}}"#,
    ] {
        let run = create("hello", body).await.ok(201);
        // Defaults are not merged into the input.
        assert!(run["input"]["count"].is_null() || body.contains("count"), "{run}");
    }
}

#[tokio::test]
async fn an_old_version_can_be_run() {
    let (server, token) = ready("").await;
    server.upload(&token, "hello", &bundle("hello", TYPED)).await.ok(201);
    let latest = server.post(&token, "/api/v1/apps/hello/runs", "").await.ok(201);
    let old = r#"{"version_no":1,"input":{"count":"of another type"}}"#;
    let old = server.post(&token, "/api/v1/apps/hello/runs", old).await.ok(201);
    assert_eq!((&latest["version_no"], &old["version_no"]), (&json!(2), &json!(1)));
}

#[tokio::test]
async fn a_disabled_app_runs_nothing() {
    let (server, token) = ready("").await;
    let team = server.directory.team("team").unwrap().id;
    let by = tinpot_core::access::AuditWho::new("operator", "", "test");
    server.apps.set_enabled(&by, &team, "hello", false).await.unwrap();
    assert_eq!(server.get(&token, "/api/v1/apps/hello").await.ok(200)["disabled"], true);
    let answer = server.post(&token, "/api/v1/apps/hello/runs", "").await;
    assert_eq!(answer.code(409), "app_disabled");
}

#[tokio::test]
async fn a_queued_run_is_cancelled_at_once_and_again() {
    let (server, token) = ready("").await;
    let run = server.run(&token, "hello", "").await;
    let path = format!("/api/v1/runs/{run}/cancel");
    let cancelled = server.post(&token, &path, "").await.ok(200);
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(cancelled["cancel_requested"], true);
    assert!(cancelled["finished_at"].is_string() && cancelled.get("started_at").is_none());
    assert_eq!(server.post(&token, &path, "").await.ok(200), cancelled);
}

#[tokio::test]
async fn a_running_run_is_stopped() {
    let (server, token) = ready("").await;
    let _worker = server.worker().await;
    let run = server.run(&token, "hello", r#"{"input":{"wait":true}}"#).await;
    server.until(&token, run, "running").await;
    let answer = server.post(&token, &format!("/api/v1/runs/{run}/cancel"), "").await.ok(200);
    let status = answer["status"].as_str().unwrap();
    assert!(["cancelling", "cancelled"].contains(&status), "{answer}");
    assert_eq!(answer["cancel_requested"], true);
    server.until(&token, run, "cancelled").await;
    // One that has ended stays as it is.
    let done = server.run(&token, "hello", "").await;
    let before = server.until(&token, done, "completed").await;
    let after = server.post(&token, &format!("/api/v1/runs/{done}/cancel"), "").await.ok(200);
    assert_eq!(
        (&after["status"], &after["cancel_requested"]),
        (&json!("completed"), &json!(false))
    );
    assert_eq!(after["finished_at"], before["finished_at"]);
}

#[tokio::test]
async fn a_failure_is_final() {
    let (server, token) = ready("").await;
    let _worker = server.worker().await;
    let body = r#"{"input":{"fail":"exit status 3"},"max_retries":5}"#;
    let run = server.run(&token, "hello", body).await;
    let run = server.until(&token, run, "failed").await;
    assert_eq!((&run["max_retries"], &run["retry_count"]), (&json!(5), &json!(0)));
    assert_eq!(run["error"], "exit status 3");
}

#[tokio::test]
async fn only_lost_runs_are_tried_again_and_then_dead() {
    let (server, token) = ready("").await;
    let worker = server.worker().await;
    let body = r#"{"input":{"wait":true},"max_retries":1}"#;
    let run = server.run(&token, "hello", body).await;
    server.until(&token, run, "running").await;
    // It vanishes without a word.
    drop(worker);
    let queued = server.until(&token, run, "queued").await;
    assert_eq!((&queued["retry_count"], queued.get("finished_at")), (&json!(1), None));
    let worker = server.worker().await;
    server.until(&token, run, "running").await;
    drop(worker);
    let dead = server.until(&token, run, "dead").await;
    assert_eq!((&dead["retry_count"], &dead["max_retries"]), (&json!(1), &json!(1)));
    assert!(dead["finished_at"].is_string());
}

#[tokio::test]
async fn runs_are_listed_by_status_and_age() {
    let (server, token) = ready("").await;
    server.app(&token, "other", "").await;
    let worker = server.worker().await;
    let done = server.run(&token, "hello", "").await;
    server.until(&token, done, "completed").await;
    let failed = server.run(&token, "other", r#"{"input":{"fail":"no"}}"#).await;
    server.until(&token, failed, "failed").await;
    let running = server.run(&token, "hello", r#"{"input":{"wait":true}}"#).await;
    server.until(&token, running, "running").await;
    let more: Vec<u64> = {
        let mut more = Vec::new();
        for _ in 0..3 {
            let run = server.run(&token, "other", r#"{"input":{"wait":true}}"#).await;
            server.until(&token, run, "running").await;
            more.push(run);
        }
        more
    };
    // All slots are taken.
    let waiting = [server.run(&token, "hello", "").await, server.run(&token, "hello", "").await];
    let cancelled = server.run(&token, "hello", "").await;
    server.post(&token, &format!("/api/v1/runs/{cancelled}/cancel"), "").await.ok(200);

    let list = async |query: &str| {
        let path = format!("/api/v1/runs{query}");
        ids(&server.get(&token, &path).await.ok(200))
    };
    let all = [more[2], more[1], more[0], running, waiting[1], waiting[0], done, failed, cancelled];
    assert_eq!(list("").await, all);
    assert_eq!(list("?limit=2&offset=3").await, all[3..5]);
    assert_eq!(list("?limit=101").await, all);
    assert_eq!(list("?limit=x&offset=-1").await, all);
    assert_eq!(list("?limit=0&offset=8").await, all[8..]);
    assert_eq!(list("?offset=9").await, [0; 0]);
    assert_eq!(list("?status=queued").await, [waiting[1], waiting[0]]);
    assert_eq!(list("?status=failed&app=other").await, [failed]);
    assert_eq!(list("?app=other&limit=1").await, [more[2]]);
    assert_eq!(list("?app=unknown").await, [0; 0]);
    assert_eq!(list("?status=dead").await, [0; 0]);
    let answer = server.get(&token, "/api/v1/runs?status=lost").await;
    assert_eq!(answer.code(400), "invalid_request");
    let answer = server.get(&token, "/api/v1/runs").await.ok(200);
    assert_eq!(answer["runs"][0]["app_slug"], "other");

    let of_app = async |query: &str| {
        let path = format!("/api/v1/apps/hello/runs{query}");
        ids(&server.get(&token, &path).await.ok(200))
    };
    let hello = [cancelled, waiting[1], waiting[0], running, done];
    assert_eq!(of_app("").await, hello);
    assert_eq!(of_app("?limit=2&offset=1").await, hello[1..3]);
    assert_eq!(server.get(&token, "/api/v1/apps/none/runs").await.code(404), "not_found");

    let numbers = server.get(&token, "/api/v1/apps/hello/runs").await.ok(200);
    let numbers = numbers["runs"].as_array().unwrap().iter();
    // Those of each app are counted on their own.
    let numbers: Vec<_> = numbers.map(|run| run["run_no"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [5, 4, 3, 2, 1]);

    let summary = server.get(&token, "/api/v1/runs/summary").await;
    let expected = "{\"total_runs\":9,\"active_runs\":4,\"queued_runs\":2,\"terminal_runs\":3}\n";
    assert_eq!((summary.status, summary.body.as_str()), (200, expected));
    drop(worker);
}

#[tokio::test]
async fn logs_are_read_from_a_number_on() {
    let (server, token) = ready("").await;
    let _worker = server.worker().await;
    let run = server.run(&token, "hello", r#"{"input":{"say":"Hi <you> & \u00e4"}}"#).await;
    server.until(&token, run, "completed").await;
    let logs = format!("/api/v1/runs/{run}/logs");
    let all = server.get(&token, &logs).await;
    assert_eq!(all.header("content-type"), Some("application/json"));
    assert!(all.body.ends_with("]}\n"), "{all:?}");
    let all = all.ok(200);
    let lines: Vec<(u64, &str, &str)> = all["logs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            assert!(line["logged_at"].is_string(), "{line}");
            let text = |name: &str| line[name].as_str().unwrap();
            (line["seq"].as_u64().unwrap(), text("stream"), text("line"))
        })
        .collect();
    let expected = [
        (1, "stderr", "setting up"),
        (2, "stdout", "Hi <you> & ä"),
        (3, "stdout", ""),
        (4, "stderr", "a warning"),
    ];
    assert_eq!(lines, expected);
    let rest = server.get(&token, &format!("{logs}?after_seq=2")).await.ok(200);
    assert_eq!(rest["logs"].as_array().unwrap().len(), 2);
    assert_eq!(server.get(&token, &format!("{logs}?after_seq=4")).await.body, "{\"logs\":[]}\n");
    for wrong in ["-1", "x", "1.5"] {
        let answer = server.get(&token, &format!("{logs}?after_seq={wrong}")).await;
        assert_eq!(answer.code(400), "invalid_request");
    }
}

#[tokio::test]
async fn an_id_is_a_positive_integer() {
    let (server, token) = ready("").await;
    for id in ["0", "x", "-1", "1.5", "99999999999999999999"] {
        for path in [format!("/api/v1/runs/{id}"), format!("/api/v1/runs/{id}/logs")] {
            assert_eq!(server.get(&token, &path).await.code(400), "invalid_request", "{path}");
        }
        let path = format!("/api/v1/runs/{id}/cancel");
        assert_eq!(server.post(&token, &path, "").await.code(400), "invalid_request");
    }
    for path in ["/api/v1/runs/7", "/api/v1/runs/7/logs"] {
        assert_eq!(server.get(&token, path).await.code(404), "not_found");
    }
    assert_eq!(server.post(&token, "/api/v1/runs/7/cancel", "").await.code(404), "not_found");
}
