//! Apps, versions and uploads.

use serde_json::{Value, json};
use tinpot_bundle::{Hasher, Limits};
use tinpot_tower::TowerConfig;

use crate::support::{Server, archive, bundle, form};

const APPS: &str = "/api/v1/apps";

/// Returns the text of a JSON object with its time replaced.
fn timeless(body: &str, names: &[&str]) -> String {
    let mut text = body.to_owned();
    for name in names {
        let begin = text.find(&format!("\"{name}\":\"")).expect("a time") + name.len() + 4;
        let time = text[begin..].split('"').next().expect("an end").to_owned();
        assert!(time.len() == 20 && time.ends_with('Z') && time.contains('T'), "{time}");
        text.replace_range(begin..begin + time.len(), "T");
    }
    text
}

#[tokio::test]
async fn an_app_is_created_and_shown() {
    let server = Server::start().await;
    let token = server.team("team").await;
    assert_eq!(server.get(&token, APPS).await.body, "{\"apps\":[]}\n");
    let answer =
        server.post(&token, APPS, r#"{"slug":"hello","description":"Says \"hello\"."}"#).await;
    let expected = "{\"app_id\":1,\"slug\":\"hello\",\"description\":\"Says \\\"hello\\\".\",\
                    \"disabled\":false,\"created_at\":\"T\",\"updated_at\":\"T\"}\n";
    let times = ["created_at", "updated_at"];
    assert_eq!((answer.status, timeless(&answer.body, &times).as_str()), (201, expected));
    assert_eq!(server.get(&token, "/api/v1/apps/hello").await.body, answer.body);
    let second = server.post(&token, APPS, r#"{"slug":"another"}"#).await.ok(201);
    assert_eq!((&second["app_id"], second.get("description")), (&json!(2), None));
    let all = server.get(&token, APPS).await.ok(200);
    let slugs: Vec<&str> =
        all["apps"].as_array().unwrap().iter().map(|app| app["slug"].as_str().unwrap()).collect();
    assert_eq!(slugs, ["another", "hello"]);
    for (body, status, code) in [
        (r#"{"slug":"hello"}"#, 409, "slug_taken"),
        (r#"{"slug":"He"}"#, 400, "invalid_slug"),
        (r#"{"slug":"internal"}"#, 400, "invalid_slug"),
        ("{}", 400, "invalid_slug"),
        (r#"{"slug":"abc","description":7}"#, 400, "invalid_request"),
        ("", 400, "invalid_request"),
    ] {
        assert_eq!(server.post(&token, APPS, body).await.code(status), code, "{body}");
    }
    assert_eq!(server.get(&token, "/api/v1/apps/none").await.code(404), "not_found");
    assert_eq!(server.get(&token, "/api/v1/apps/a%20b").await.code(404), "not_found");
    assert_eq!(server.get(&token, "/api/v1/apps/..%2Fx").await.status, 404);
}

#[tokio::test]
async fn another_team_sees_nothing() {
    let server = Server::start().await;
    let (owner, other) = (server.team("owner").await, server.team("other").await);
    server.app(&owner, "hello", "").await;
    let run = server.run(&owner, "hello", "{}").await;
    let run = format!("/api/v1/runs/{run}");
    assert_eq!(server.get(&owner, "/api/v1/apps/hello").await.status, 200);
    for path in
        ["/api/v1/apps/hello", "/api/v1/apps/hello/versions", "/api/v1/apps/hello/runs", &run]
    {
        assert_eq!(server.get(&other, path).await.code(404), "not_found", "{path}");
    }
    for path in ["/api/v1/apps/hello/runs", &format!("{run}/cancel")] {
        assert_eq!(server.post(&other, path, "{}").await.code(404), "not_found", "{path}");
    }
    let log = format!("{run}/logs");
    assert_eq!(server.get(&other, &log).await.code(404), "not_found");
    let upload = server.upload(&other, "hello", &bundle("hello", "")).await;
    assert_eq!(upload.code(404), "not_found");
    assert_eq!(server.get(&other, APPS).await.ok(200), json!({"apps": []}));
    assert_eq!(server.get(&other, "/api/v1/runs").await.ok(200), json!({"runs": []}));
    // It may have an app of the same name.
    server.app(&other, "hello", "").await;
}

#[tokio::test]
async fn an_upload_is_a_version() {
    let server = Server::start().await;
    let token = server.team("team").await;
    server.post(&token, APPS, r#"{"slug":"hello"}"#).await.ok(201);
    let versions = "/api/v1/apps/hello/versions";
    assert_eq!(server.get(&token, versions).await.body, "{\"versions\":[]}\n");
    let more = "import_paths = [\"./lib\"]\n[app.timeout]\nseconds = 30\n\
                [[parameters]]\nname = \"zone\"\ntype = \"integer\"\ndefault = 3\n\
                [[parameters]]\nname = \"area\"\ndescription = \"Where\"\n";
    let archive = bundle("hello", more);
    let answer = server.upload(&token, "hello", &archive).await;
    let towerfile = format!("[app]\nname = \"hello\"\nscript = \"./main.sh\"\n{more}");
    let expected = format!(
        "{{\"version_id\":{id},\"version_no\":1,\"entrypoint\":\"./main.sh\",\"timeout_seconds\":30,\
         \"params_schema\":{{\"properties\":{{\"area\":{{\"description\":\"Where\",\"type\":\"string\"}},\
         \"zone\":{{\"default\":3,\"type\":\"integer\"}}}},\"type\":\"object\"}},\
         \"artifact_sha256\":\"{digest}\",\"towerfile_toml\":{towerfile},\"import_paths\":[\"./lib\"],\
         \"created_at\":\"T\"}}\n",
        id = answer.number("version_id"),
        digest = Hasher::of(&archive),
        towerfile = Value::from(towerfile),
    );
    assert_eq!((answer.status, timeless(&answer.body, &["created_at"])), (201, expected));
    // The same bytes are another version, and nothing that is not there is null.
    let again = server.upload(&token, "hello", &archive).await;
    assert_eq!((again.status, again.number("version_no")), (201, 2));
    let bare = server.upload(&token, "hello", &bundle("hello", "")).await.ok(201);
    for name in ["timeout_seconds", "params_schema", "import_paths"] {
        assert_eq!(bare.get(name), None);
    }
    let all = server.get(&token, versions).await.ok(200);
    let numbers: Vec<u64> = all["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| version["version_no"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [3, 2, 1]);
    let mut ids: Vec<u64> = all["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| version["version_id"].as_u64().unwrap())
        .collect();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn a_towerfile_may_name_another_app() {
    let server = Server::start().await;
    let token = server.team("team").await;
    let _worker = server.worker().await;
    server.post(&token, APPS, r#"{"slug":"hello"}"#).await.ok(201);
    server.upload(&token, "hello", &bundle("elsewhere", "")).await.ok(201);
    let run = server.run(&token, "hello", "{}").await;
    assert_eq!(server.until(&token, run, "completed").await["app_slug"], "hello");
}

#[tokio::test]
async fn what_is_no_bundle_is_refused() {
    let server = Server::start().await;
    let token = server.team("team").await;
    server.post(&token, APPS, r#"{"slug":"hello"}"#).await.ok(201);
    let hello = |more: &str| bundle("hello", more);
    let large = format!("{}\n", "#".repeat(Limits::default().towerfile_bytes as usize));
    let with = |towerfile: &str| archive(&[("Towerfile", towerfile), ("main.sh", "")]);
    for (archive, code) in [
        (b"not gzip".to_vec(), "TOWERFILE_MISSING"),
        (Vec::new(), "TOWERFILE_MISSING"),
        (archive(&[("main.sh", "")]), "TOWERFILE_MISSING"),
        (archive(&[("sub/Towerfile", ""), ("main.sh", "")]), "TOWERFILE_MISSING"),
        (with(&large), "TOWERFILE_MISSING"),
        (hello("[app.timeout]\nseconds = 0\n"), "TOWERFILE_INVALID"),
        (hello("[app.timeout]\nseconds = -5\n"), "TOWERFILE_INVALID"),
        (hello("source = [\"../x\"]\n"), "TOWERFILE_INVALID"),
        (hello("[[parameters]]\nname = \"\"\n"), "TOWERFILE_INVALID"),
        (
            hello("[[parameters]]\nname = \"a\"\n[[parameters]]\nname = \"a\"\n"),
            "TOWERFILE_INVALID",
        ),
        (hello("[[parameters]]\nname = \"a\"\ntype = \"date\"\n"), "TOWERFILE_INVALID"),
        (
            hello("[[parameters]]\nname = \"a\"\ntype = \"integer\"\ndefault = 5.0\n"),
            "TOWERFILE_INVALID",
        ),
        // In MiniTower's server, this ends as 500.
        (
            hello("[[parameters]]\nname = \"a\"\ntype = \"number\"\ndefault = inf\n"),
            "TOWERFILE_INVALID",
        ),
        (with("not TOML"), "TOWERFILE_INVALID"),
        (with("[app]\nscript = \"main.sh\"\n"), "TOWERFILE_INVALID"),
        (with("[app]\nname = \"hello\"\nscript = \"main.rb\"\n"), "TOWERFILE_INVALID"),
        (with("[app]\nname = \"api\"\nscript = \"main.sh\"\n"), "TOWERFILE_INVALID"),
    ] {
        let answer = server.upload(&token, "hello", &archive).await;
        assert_eq!(answer.code(400), code, "{answer:?}");
    }
    let good = hello("");
    for form in [
        form("artifact", None, &good),
        form("other", Some("a.tar.gz"), &good),
        b"--limit--\r\n".to_vec(),
        b"--limit\r\nno form".to_vec(),
    ] {
        assert_eq!(server.upload_form(&token, "hello", &form).await.code(400), "invalid_request");
    }
    let bearer = format!("Bearer {token}");
    let path = "/api/v1/apps/hello/versions";
    for kind in ["application/gzip", "multipart/form-data", "text/plain; boundary=limit"] {
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", kind)];
        let answer = server.request("POST", path, &headers, &good).await;
        assert_eq!(answer.code(400), "invalid_request", "{kind}");
    }
    // Nothing of it is a version.
    assert_eq!(server.get(&token, path).await.ok(200), json!({"versions": []}));
    let mut two = form("note", None, b"other parts are ignored");
    two.truncate(two.len() - "--limit--\r\n".len());
    two.extend(form("artifact", Some("x"), &good));
    assert_eq!(server.upload_form(&token, "hello", &two).await.status, 201);
}

#[tokio::test]
async fn an_upload_has_a_limit() {
    let server = Server::with(TowerConfig::default().max_artifact_bytes(1_000)).await;
    let token = server.team("team").await;
    server.post(&token, APPS, r#"{"slug":"hello"}"#).await.ok(201);
    let answer = server.upload(&token, "hello", &[0; 2_000]).await;
    assert_eq!(answer.code(413), "invalid_request");
    assert_eq!(server.upload(&token, "hello", &bundle("hello", "")).await.status, 201);
    // The app is looked for before the body is read.
    assert_eq!(server.upload(&token, "none", &[0; 2_000]).await.code(404), "not_found");
}

#[tokio::test]
async fn a_member_deploys() {
    let server = Server::start().await;
    let admin = server.team("team").await;
    let member = server.post(&admin, "/api/v1/tokens", "").await.ok(201);
    let member = member["token"].as_str().unwrap();
    server.app(member, "hello", "").await;
    let _worker = server.worker().await;
    let run = server.run(member, "hello", "{}").await;
    server.until(member, run, "completed").await;
    server.post(member, &format!("/api/v1/runs/{run}/cancel"), "").await.ok(200);
}
