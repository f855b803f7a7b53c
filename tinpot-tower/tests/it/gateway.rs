//! Runners with the habits of MiniTower's, against a coordinator.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::runners::{Installation, Runner, Server, TTL, WAIT, line};

#[tokio::test(start_paused = true)]
async fn a_run_goes_its_way() {
    let server = Server::start().await;
    let admin = server.team("demo").await;
    let archive = server.app(&admin, "hello", "").await;
    let mut runner = server.runner("one").await;
    // It asks before there is anything to do.
    let (lease, run) = tokio::join!(runner.lease(), async {
        tokio::time::sleep(Duration::from_secs(7)).await;
        server.run(&admin, "hello", json!({ "input": { "b": 1, "a": "x" } })).await
    });
    let lease = lease.expect("a run");
    assert_eq!((&lease["run_id"], &lease["app_slug"]), (&json!(run), &json!("hello")));
    assert_eq!((&lease["version_no"], &lease["attempt_no"]), (&json!(1), &json!(1)));
    assert_eq!(lease["attempt_id"], run * 4_096 + 1);
    assert_eq!((&lease["entrypoint"], &lease["timeout_seconds"]), (&json!("main.sh"), &json!(30)));
    assert_eq!(lease["input"], json!({ "a": "x", "b": 1 }));
    assert_eq!(lease["lease_token"].as_str().map(str::len), Some(43));
    assert_eq!(server.status(&admin, run).await, "leased");

    let started = runner.start().await.ok(200);
    assert_eq!(
        (&started["status"], &started["run_status"]),
        (&json!("running"), &json!("running"))
    );
    assert_eq!((&started["cancel_requested"], &started["attempt_no"]), (&json!(false), &json!(1)));
    assert_eq!(server.status(&admin, run).await, "running");
    assert_eq!(runner.start().await.ok(200)["status"], "running");

    let artifact = runner.call("GET", "artifact", Value::Null).await;
    assert_eq!((artifact.status, &artifact.body[..]), (200, &archive[..]));
    assert_eq!(artifact.header("content-type"), Some("application/gzip"));
    let digest = tinpot_bundle::Hasher::of(&archive).to_string();
    assert_eq!(artifact.header("x-artifact-sha256"), Some(&*digest));
    assert_eq!(artifact.header("x-entrypoint"), Some("main.sh"));
    assert_eq!(artifact.header("x-timeout-seconds"), Some("30"));

    tokio::time::sleep(Duration::from_secs(20)).await;
    let beat = runner.heartbeat().await.ok(200);
    assert_eq!((&beat["status"], &beat["cancel_requested"]), (&json!("running"), &json!(false)));
    assert_eq!(runner.logs(json!([])).await.ok(200), json!({ "status": "ok" }));
    runner.logs(json!([line(1, "stdout", "hello"), line(2, "stderr", "")])).await.ok(200);
    let end = json!({ "status": "completed", "exit_code": 0 });
    assert_eq!(runner.result(end).await.ok(200), json!({ "status": "ok" }));
    assert_eq!(server.status(&admin, run).await, "completed");
    assert_eq!(server.log(&admin, run).await, ["1 stdout hello", "2 stderr "]);
    assert!(runner.lease().await.is_none(), "it is free again");
}

#[tokio::test(start_paused = true)]
async fn without_a_run_the_answer_is_204_after_a_wait() {
    let server = Server::start().await;
    let mut runner = server.runner("one").await;
    let begun = Instant::now();
    let answer = runner.ask_for_a_run().await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!((WAIT..WAIT + Duration::from_secs(1)).contains(&begun.elapsed()));
    // What comes while no runner asks waits for the next request.
    let admin = server.team("demo").await;
    server.app(&admin, "hello", "").await;
    let run = server.run(&admin, "hello", json!({})).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(server.status(&admin, run).await, "queued");
    let begun = Instant::now();
    assert_eq!(runner.lease().await.expect("a run")["run_id"], run);
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_cancel_reaches_the_runner_with_its_next_call() {
    let server = Server::start().await;
    let admin = server.team("demo").await;
    server.app(&admin, "hello", "").await;
    let mut runner = server.runner("one").await;
    let run = server.run(&admin, "hello", json!({})).await;
    runner.lease().await.expect("a run");
    runner.start().await.ok(200);
    server.post(&admin, &format!("/api/v1/runs/{run}/cancel"), Value::Null).await.ok(200);
    let beat = runner.heartbeat().await.ok(200);
    assert_eq!((&beat["status"], &beat["cancel_requested"]), (&json!("cancelling"), &json!(true)));
    runner.result(json!({ "status": "cancelled" })).await.ok(200);
    assert_eq!(server.status(&admin, run).await, "cancelled");
    // Between the lease and the start.
    let run = server.run(&admin, "hello", json!({})).await;
    runner.lease().await.expect("a run");
    server.post(&admin, &format!("/api/v1/runs/{run}/cancel"), Value::Null).await.ok(200);
    let started = runner.start().await.ok(200);
    assert_eq!(
        (&started["status"], &started["run_status"], &started["cancel_requested"]),
        (&json!("cancelling"), &json!("cancelling"), &json!(true))
    );
    runner.result(json!({ "status": "cancelled" })).await.ok(200);
    assert_eq!(server.status(&admin, run).await, "cancelled");
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_falls_silent_loses_its_run() {
    let server = Server::start().await;
    let admin = server.team("demo").await;
    server.app(&admin, "hello", "").await;
    let mut silent = server.runner("silent").await;
    let run = server.run(&admin, "hello", json!({})).await;
    silent.lease().await.expect("a run");
    silent.start().await.ok(200);
    // Longer than its lease: a runner that is late may come back.
    tokio::time::sleep(TTL + Duration::from_secs(5)).await;
    silent.heartbeat().await.ok(200);
    tokio::time::sleep(TTL + Duration::from_secs(40)).await;
    assert_eq!(server.status(&admin, run).await, "dead");
    assert_eq!(silent.heartbeat().await.code(410), "gone");
    assert_eq!(silent.logs(json!([line(1, "stdout", "late")])).await.code(410), "gone");
    let late = silent.result(json!({ "status": "completed", "exit_code": 0 })).await;
    assert_eq!(late.code(410), "gone");
    assert_eq!(server.status(&admin, run).await, "dead");
    // With retries, another one gets it.
    let run = server.run(&admin, "hello", json!({ "max_retries": 1 })).await;
    silent.lease().await.expect("a run");
    silent.start().await.ok(200);
    tokio::time::sleep(TTL + Duration::from_secs(40)).await;
    assert_eq!(server.status(&admin, run).await, "queued");
    let mut other = server.runner("other").await;
    let lease = other.lease().await.expect("the same run");
    assert_eq!((&lease["run_id"], &lease["attempt_no"]), (&json!(run), &json!(2)));
    other.start().await.ok(200);
    assert_eq!(silent.heartbeat().await.code(410), "gone");
    other.result(json!({ "status": "completed", "exit_code": 0 })).await.ok(200);
    assert_eq!(server.status(&admin, run).await, "completed");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_not_started_is_given_again_and_no_try_is_spent() {
    let server = Server::start().await;
    let admin = server.team("demo").await;
    server.app(&admin, "hello", "").await;
    let (mut one, mut other) = (server.runner("one").await, server.runner("other").await);
    let run = server.run(&admin, "hello", json!({})).await;
    let first = one.lease().await.expect("a run");
    let forgotten = one.clone();
    let second = one.lease().await.expect("the run again");
    assert_eq!((&second["run_id"], &second["attempt_no"]), (&json!(run), &json!(1)));
    assert_ne!(first["lease_token"], second["lease_token"]);
    assert_eq!(forgotten.start().await.code(410), "gone");
    // It dies before the start.
    tokio::time::sleep(TTL + Duration::from_secs(1)).await;
    assert_eq!(one.start().await.code(410), "gone");
    let third = other.lease().await.expect("the run again");
    assert_eq!((&third["run_id"], &third["attempt_no"]), (&json!(run), &json!(1)));
    other.start().await.ok(200);
    assert_eq!(other.ask_for_a_run().await.code(409), "conflict");
    // A result without a start is taken too.
    let run = server.run(&admin, "hello", json!({})).await;
    one.lease().await.expect("a run");
    one.result(json!({ "status": "failed", "error_message": "failed to unpack: x" })).await.ok(200);
    assert_eq!(server.status(&admin, run).await, "failed");
}

#[tokio::test(start_paused = true)]
async fn what_runs_goes_on_when_the_server_is_restarted() {
    let installation = Installation::new();
    let server = installation.start().await;
    let admin = server.team("demo").await;
    server.app(&admin, "hello", "").await;
    let mut runner = server.runner("one").await;
    let run = server.run(&admin, "hello", json!({})).await;
    runner.lease().await.expect("a run");
    runner.start().await.ok(200);
    let first = [line(1, "stdout", "one"), line(2, "stdout", "two")];
    runner.logs(json!(first)).await.ok(200);
    runner.logs(json!([line(5, "stdout", "five")])).await.ok(200);
    server.stop().await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    let server = installation.start().await;
    runner.moves_to(&server);
    // The batch with 6 was lost meanwhile; one before comes again.
    runner.logs(json!([line(5, "stdout", "five"), line(7, "stdout", "seven")])).await.ok(200);
    assert_eq!(runner.heartbeat().await.ok(200)["status"], "running");
    assert_eq!(runner.ask_for_a_run().await.code(409), "conflict");
    assert_eq!(runner.call("GET", "artifact", Value::Null).await.status, 200);
    assert_eq!(server.status(&admin, run).await, "running");
    let end = json!({ "status": "failed", "exit_code": 3, "error_message": "exit status 3" });
    runner.result(end.clone()).await.ok(200);
    assert_eq!(server.status(&admin, run).await, "failed");
    let ended = server.get(&admin, &format!("/api/v1/runs/{run}")).await.ok(200);
    assert_eq!((&ended["exit_code"], &ended["error"]), (&json!(3), &json!("exit status 3")));
    let log = [
        "1 stdout one",
        "2 stdout two",
        "3 stderr [tinpot] 2 lines of this log were lost on the way",
        "4 stdout five",
        "5 stderr [tinpot] 1 line of this log was lost on the way",
        "6 stdout seven",
    ];
    assert_eq!(server.log(&admin, run).await, log);
    // A cancel that was asked for meanwhile is not missed either, and a result is not either.
    let run = server.run(&admin, "hello", json!({})).await;
    runner.lease().await.expect("a run");
    runner.start().await.ok(200);
    server.post(&admin, &format!("/api/v1/runs/{run}/cancel"), Value::Null).await.ok(200);
    server.stop().await;
    let server = installation.start().await;
    runner.moves_to(&server);
    assert_eq!(runner.heartbeat().await.ok(200)["cancel_requested"], true);
    runner.result(json!({ "status": "cancelled" })).await.ok(200);
    assert_eq!(server.status(&admin, run).await, "cancelled");
}

#[tokio::test(start_paused = true)]
async fn a_result_that_comes_again_is_answered_as_before() {
    let server = Server::start().await;
    let admin = server.team("demo").await;
    server.app(&admin, "hello", "").await;
    let mut runner = server.runner("one").await;
    for (end, status) in [
        (json!({ "status": "completed", "exit_code": 0 }), "completed"),
        (json!({ "status": "failed", "error_message": "timeout" }), "failed"),
        (json!({ "status": "cancelled" }), "cancelled"),
    ] {
        let run = server.run(&admin, "hello", json!({})).await;
        runner.lease().await.expect("a run");
        runner.start().await.ok(200);
        runner.result(end.clone()).await.ok(200);
        runner.result(end).await.ok(200);
        assert_eq!(server.status(&admin, run).await, status);
        let other = if status == "failed" { "completed" } else { "failed" };
        assert_eq!(runner.result(json!({ "status": other })).await.code(410), "gone");
        assert_eq!(runner.heartbeat().await.code(410), "gone");
        assert_eq!(server.status(&admin, run).await, status);
    }
    // Completed against a cancel: the first to be recorded counts.
    let run = server.run(&admin, "hello", json!({})).await;
    runner.lease().await.expect("a run");
    runner.start().await.ok(200);
    server.post(&admin, &format!("/api/v1/runs/{run}/cancel"), Value::Null).await.ok(200);
    runner.result(json!({ "status": "completed", "exit_code": 0 })).await.ok(200);
    assert_eq!(server.status(&admin, run).await, "completed");
}

#[tokio::test(start_paused = true)]
async fn calls_are_checked_in_order() {
    let server = Server::start().await;
    let admin = server.team("demo").await;
    server.app(&admin, "hello", "").await;
    let (mut runner, other) = (server.runner("one").await, server.runner("other").await);
    let run = server.run(&admin, "hello", json!({})).await;
    runner.lease().await.expect("a run");
    runner.start().await.ok(200);
    let with = |change: &dyn Fn(&mut Runner)| {
        let mut changed = runner.clone();
        change(&mut changed);
        changed
    };
    assert_eq!(
        with(&|runner| runner.token = "mtr_x".into()).heartbeat().await.code(401),
        "unauthorized"
    );
    assert_eq!(
        with(&|runner| runner.token = admin.clone()).heartbeat().await.code(401),
        "unauthorized"
    );
    assert_eq!(
        with(&|runner| runner.run = "x".into()).heartbeat().await.code(400),
        "invalid_request"
    );
    assert_eq!(with(&|runner| runner.lease.clear()).heartbeat().await.code(400), "invalid_request");
    assert_eq!(with(&|runner| runner.lease = "x".into()).heartbeat().await.code(410), "gone");
    assert_eq!(with(&|runner| runner.run = "99".into()).heartbeat().await.code(410), "gone");
    let token = other.token.clone();
    assert_eq!(with(&|runner| runner.token = token.clone()).heartbeat().await.code(410), "gone");
    for (body, part) in [
        (json!({ "logs": 1 }), "logs"),
        (json!({ "logs": [{ "seq": "1", "stream": "stdout", "line": "" }] }), "logs"),
        (json!({ "logs": [{ "seq": 1, "stream": "system", "line": "" }] }), "logs"),
        (json!({ "logs": [line(1, "stdout", &"x".repeat(8_193))] }), "8192 bytes"),
        (json!({ "logs": vec![line(1, "stdout", ""); 101] }), "100 lines"),
    ] {
        let answer = runner.call("POST", "logs", body).await;
        assert!(answer.text().contains(part), "{answer:?}");
        assert_eq!(answer.code(400), "invalid_request");
    }
    assert_eq!(runner.result(json!({ "status": "dead" })).await.code(400), "invalid_request");
    // Numbers that no reader asks for are left out; the same batch has others.
    let lines =
        json!([line(0, "stdout", "no"), line(-3, "stdout", "no"), line(1, "stdout", "yes")]);
    runner.logs(lines).await.ok(200);
    assert_eq!(server.log(&admin, run).await, ["1 stdout yes"]);
    for (token, body, status) in [
        ("wrong", json!({ "name": "x" }), 401),
        ("registration", json!({}), 400),
        ("registration", json!({ "name": "x", "environment": "a\nb" }), 400),
        ("registration", json!({ "name": "x" }), 201),
        ("registration", json!({ "name": "x" }), 200),
    ] {
        let answer = server.post(token, "/api/v1/runners/register", body).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_of_two_runners_gets_one_run_of_any_team() {
    let server = Server::start().await;
    let (red, blue) = (server.team("red").await, server.team("blue").await);
    server.app(&red, "hello", "").await;
    server.app(&blue, "hello", "").await;
    let (mut one, mut other) = (server.runner("one").await, server.runner("other").await);
    let runs =
        [server.run(&red, "hello", json!({})).await, server.run(&blue, "hello", json!({})).await];
    let (first, second) = tokio::join!(one.lease(), other.lease());
    let mut got =
        [first, second].map(|lease| lease.expect("a run")["run_id"].as_u64().expect("id"));
    got.sort_unstable();
    assert_eq!(got, runs);
    one.start().await.ok(200);
    other.start().await.ok(200);
    let list = server.get(&red, "/api/v1/admin/runners").await.ok(200);
    let names: Vec<_> = list["runners"].as_array().expect("runners").iter().collect();
    assert_eq!(names.len(), 2);
    assert_eq!((&names[0]["name"], &names[0]["status"]), (&json!("one"), &json!("online")));
    one.result(json!({ "status": "completed", "exit_code": 0 })).await.ok(200);
    assert!(one.lease().await.is_none());
    // A new token ends the one before, and not the attempt.
    let again = server.runner("other").await;
    assert_eq!(other.heartbeat().await.code(401), "unauthorized");
    other.token = again.token;
    assert_eq!(other.heartbeat().await.ok(200)["status"], "running");
}

#[tokio::test(start_paused = true)]
async fn an_environment_is_a_queue() {
    let server = Server::start().await;
    let admin = server.team("demo").await;
    server.app(&admin, "hello", "").await;
    server.app(&admin, "heavy", "\n[tinpot]\nqueue = \"gpu\"\n").await;
    let mut gpu = server.runner_in("gpu", Some("gpu")).await;
    let (light, heavy) = (
        server.run(&admin, "hello", json!({})).await,
        server.run(&admin, "heavy", json!({})).await,
    );
    assert_eq!(gpu.lease().await.expect("a run")["run_id"], heavy);
    gpu.start().await.ok(200);
    gpu.result(json!({ "status": "completed", "exit_code": 0 })).await.ok(200);
    assert!(gpu.lease().await.is_none());
    assert_eq!(server.runner("cpu").await.lease().await.expect("a run")["run_id"], light);
    // It moves.
    let run = server.run(&admin, "hello", json!({})).await;
    let mut moved = server.runner_in("gpu", None).await;
    assert_eq!(moved.lease().await.expect("a run")["run_id"], run);
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_hangs_up_gets_nothing() {
    let server = Server::start().await;
    let admin = server.team("demo").await;
    server.app(&admin, "hello", "").await;
    let (mut gone, mut other) = (server.runner("gone").await, server.runner("other").await);
    let hung_up = tokio::time::timeout(Duration::from_secs(2), gone.ask_for_a_run()).await;
    assert!(hung_up.is_err());
    let run = server.run(&admin, "hello", json!({})).await;
    assert_eq!(other.lease().await.expect("a run")["run_id"], run);
}
