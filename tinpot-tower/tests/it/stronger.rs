//! Cases in which MiniTower harms its users: ours does the right thing on the same wire.

use serde_json::json;

use crate::support::{BOOTSTRAP, Server, archive, bundle};

/// A lost answer must not start a run twice.
#[tokio::test]
async fn a_submission_with_a_key_is_made_once() {
    let server = Server::start().await;
    let token = server.team("team").await;
    server.app(&token, "hello", "").await;
    let bearer = format!("Bearer {token}");
    let create = async |key: &str, body: &str| {
        let headers = [("Authorization", bearer.as_str()), ("Idempotency-Key", key)];
        server.request("POST", "/api/v1/apps/hello/runs", &headers, body.as_bytes()).await
    };
    let first = create("one", r#"{"input":{"a":1}}"#).await.ok(201);
    let again = create("one", r#"{"input":{"a":1}}"#).await.ok(201);
    assert_eq!(first["run_id"], again["run_id"]);
    assert_eq!(create("one", r#"{"input":{"a":2}}"#).await.code(409), "conflict");
    assert_ne!(create("two", r#"{"input":{"a":1}}"#).await.ok(201)["run_id"], first["run_id"]);
}

/// Followers with `after_seq` see the lines of all attempts.
#[tokio::test]
async fn the_numbers_of_lines_grow_over_attempts() {
    let server = Server::start().await;
    let token = server.team("team").await;
    server.app(&token, "hello", "").await;
    let worker = server.worker().await;
    let body = r#"{"input":{"say":"begun","wait":true},"max_retries":1}"#;
    let run = server.run(&token, "hello", body).await;
    server.until(&token, run, "running").await;
    let logs = format!("/api/v1/runs/{run}/logs");
    let lines = async |after: u64| {
        let path = format!("{logs}?after_seq={after}");
        let found = server.get(&token, &path).await.ok(200);
        let lines = found["logs"].as_array().unwrap().clone();
        lines.iter().map(|line| line["seq"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let mut changes = server.coordinator.changes();
    while lines(0).await.len() < 4 {
        changes.next().await.unwrap();
    }
    drop(worker);
    server.until(&token, run, "queued").await;
    let _worker = server.worker().await;
    server.until(&token, run, "running").await;
    let mut changes = server.coordinator.changes();
    while lines(4).await.len() < 4 {
        changes.next().await.unwrap();
    }
    let all = lines(0).await;
    // One line may say that the rest of the first attempt is missing.
    assert!(all.is_sorted_by(|one, other| one < other) && all.len() >= 8, "{all:?}");
    server.post(&token, &format!("/api/v1/runs/{run}/cancel"), "").await.ok(200);
}

/// A refused password used to take the slug for ever.
#[tokio::test]
async fn a_sign_up_makes_all_or_nothing() {
    let server = Server::start().await;
    let long = "p".repeat(2_000);
    for _ in 0..2 {
        let body = format!(r#"{{"slug":"team","name":"n","password":"{long}"}}"#);
        let answer = server.post("", "/api/v1/teams/signup", &body).await;
        assert_eq!(answer.code(400), "invalid_request");
    }
    assert_eq!(server.directory.users(), []);
    let long = "p".repeat(100);
    let body = format!(r#"{{"slug":"team","name":"n","password":"{long}"}}"#);
    server.post("", "/api/v1/teams/signup", &body).await.ok(201);
    // All bytes of a password count, and not only 72.
    let shorter = format!(r#"{{"slug":"team","password":"{}"}}"#, &long[..99]);
    let answer = server.post("", "/api/v1/teams/login", &shorter).await;
    assert_eq!(answer.code(401), "unauthorized");
}

/// Of two sign-ups with one slug, one is made.
#[tokio::test]
async fn a_slug_is_taken_once() {
    let server = Server::start().await;
    let body = r#"{"slug":"team","name":"n","password":"p"}"#;
    let both = (0..4).map(|_| server.post("", "/api/v1/teams/signup", body));
    let answers = futures::future::join_all(both).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 1, "{answers:?}");
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(answer.code(409), "slug_taken");
    }
    assert_eq!(server.directory.users().len(), 1);
    let body = r#"{"slug":"other","name":"n"}"#;
    let answer = server.post(BOOTSTRAP, "/api/v1/bootstrap/team", body).await;
    assert_eq!(answer.code(409), "team_exists");
}

/// With 50 files before it, the Towerfile of MiniTower's own command was not found.
#[tokio::test]
async fn a_towerfile_is_found_wherever_it_is() {
    let server = Server::start().await;
    let token = server.team("team").await;
    server.post(&token, "/api/v1/apps", r#"{"slug":"hello"}"#).await.ok(201);
    let names: Vec<String> = (0..200).map(|number| format!("A{number:03}")).collect();
    let mut files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    files.push(("main.sh", "echo hello\n"));
    files.push(("Towerfile", "[app]\nname = \"hello\"\nscript = \"main.sh\"\n"));
    server.upload(&token, "hello", &archive(&files)).await.ok(201);
}

/// An archive that writes outside of its folder, or grows without end, never reaches a worker.
#[tokio::test]
async fn a_hostile_archive_is_refused() {
    let server = Server::start().await;
    let token = server.team("team").await;
    server.post(&token, "/api/v1/apps", r#"{"slug":"hello"}"#).await.ok(201);
    let towerfile = "[app]\nname = \"hello\"\nscript = \"main.sh\"\n";
    let zeros = "\0".repeat(20 << 20);
    let bomb = archive(&[("Towerfile", towerfile), ("main.sh", ""), ("zeros", &zeros)]);
    assert_eq!(server.upload(&token, "hello", &bomb).await.status, 400);
    let mut cut = bundle("hello", "");
    cut.truncate(cut.len() / 2);
    assert_eq!(server.upload(&token, "hello", &cut).await.status, 400);
    let versions = server.get(&token, "/api/v1/apps/hello/versions").await.ok(200);
    assert_eq!(versions, json!({"versions": []}));
}

/// Uploads at one time make versions without gap or repeat, and the last one is what runs.
#[tokio::test]
async fn uploads_at_one_time_are_numbered() {
    let server = Server::start().await;
    let token = server.team("team").await;
    server.app(&token, "hello", "").await;
    let archive = bundle("hello", "");
    let uploads = (0..4).map(|_| server.upload(&token, "hello", &archive));
    let answers = futures::future::join_all(uploads).await;
    let mut numbers: Vec<u64> = answers.iter().map(|answer| answer.number("version_no")).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3, 4, 5]);
    let run = server.post(&token, "/api/v1/apps/hello/runs", "").await.ok(201);
    assert_eq!(run["version_no"], 5);
}

/// `Rerun` was dead for a moment after a cancel, whose answer lacked the slug.
#[tokio::test]
async fn every_answer_about_a_run_names_its_app() {
    let server = Server::start().await;
    let token = server.team("team").await;
    server.app(&token, "hello", "").await;
    let run = server.post(&token, "/api/v1/apps/hello/runs", "").await.ok(201);
    assert_eq!(run["app_slug"], "hello");
    let cancelled = server.post(&token, "/api/v1/runs/1/cancel", "").await.ok(200);
    assert_eq!(cancelled["app_slug"], "hello");
    let listed = server.get(&token, "/api/v1/apps/hello/runs").await.ok(200);
    assert_eq!(listed["runs"][0]["app_slug"], "hello");
}
