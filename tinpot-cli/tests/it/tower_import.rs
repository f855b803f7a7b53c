//! A MiniTower's database and objects become ours.

use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use rusqlite::Connection;
use serde_json::Value;
use tinpot_bundle::{Hasher, PackOptions, pack};

use crate::support::{PATIENCE, Process, Ran, file, tinpot};
use crate::tower::{Client, ask, minitowerd, quoted};

/// The password of the team `acme`.
const PASSWORD: &str = "U*U";

/// The text of a token, of which the database has the SHA-256.
fn token(prefix: &str, letter: char) -> String {
    format!("{prefix}_{}", letter.to_string().repeat(43))
}

/// Packs an app, puts it among the objects, and returns the digest of the archive.
fn object(folder: &Path, key: &str, greeting: &str) -> String {
    let app = folder.join("app");
    file(&app, "main.sh", &format!("echo \"{greeting}, $name!\"\n"));
    file(
        &app,
        "Towerfile",
        "[app]\nname = \"hello\"\nscript = \"./main.sh\"\nsource = [\"*.sh\"]\n\
         [app.timeout]\nseconds = 30\n[[parameters]]\nname = \"name\"\n",
    );
    let mut packed = pack(&app, &PackOptions::default()).expect("a bundle");
    let mut archive = Vec::new();
    packed.archive.read_to_end(&mut archive).expect("an archive");
    let path = folder.join("objects").join(key);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(path, &archive).expect("an object");
    Hasher::of(&archive).to_string()
}

/// Makes the files of a MiniTower in a folder.
fn minitower(folder: &Path) -> Connection {
    let digest = |text: String| Hasher::of(text.as_bytes()).to_string();
    let sql = include_str!("minitower.sql")
        .replace("{admin}", &digest(token("mtk", 'A')))
        .replace("{member}", &digest(token("mtk", 'B')))
        .replace("{revoked}", &digest(token("mtk", 'C')))
        .replace("{runner}", &digest(token("mtr", 'R')))
        .replace("{one}", &object(folder, "5/one.tar.gz", "Hello"))
        .replace("{two}", &object(folder, "5/two.tar.gz", "Good day"));
    let database = Connection::open(folder.join("minitower.db")).expect("a database");
    database.execute_batch("PRAGMA journal_mode = WAL").expect("as MiniTower does");
    database.execute_batch(&sql).expect("the schema");
    database
}

/// Returns the command of an import.
fn import(folder: &Path, more: &[&str]) -> std::process::Command {
    let mut command = tinpot();
    command.args(["tower", "import"]).args(more).current_dir(folder);
    command
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    let is_of_sqlite = |name: &String| name.ends_with("-wal") || name.ends_with("-shm");
    names.retain(|name| name.starts_with("tinpot") && !is_of_sqlite(name));
    names.sort();
    names
}

fn server(folder: &Path) -> Process {
    let mut command = minitowerd(folder);
    command.envs([
        ("MINITOWER_LISTEN_ADDR", "127.0.0.1:0"),
        ("MINITOWER_DB_PATH", "tinpot.db"),
        ("MINITOWER_OBJECTS_DIR", "tinpot.db.blobs"),
        ("MINITOWER_RUNNER_REGISTRATION_TOKEN", "registration-secret"),
        ("TINPOT_CONCURRENCY", "0"),
    ]);
    Process::start(command)
}

fn json(client: &Client<'_>, path: &str) -> Value {
    let (status, body) = client.ask("GET", path, "");
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).expect("JSON")
}

#[test]
fn a_minitower_becomes_ours() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let database = minitower(folder);

    // One run is with a runner.
    let refused = Ran::of(import(folder, &[]));
    assert_eq!(refused.code, Some(6), "{refused:?}");
    assert!(refused.stderr.contains("1 runs are with runners"), "{refused:?}");
    assert!(refused.stderr.contains("--active requeue"), "{refused:?}");
    assert!(names(folder).is_empty(), "{:?}", names(folder));

    let dry = Ran::of(import(folder, &["--active", "requeue", "--dry-run"]));
    assert_eq!(dry.code, Some(0), "{dry:?}");
    assert!(dry.stdout.contains("would take 2 teams, 2 tokens, 1 runners, 2 apps"), "{dry:?}");
    assert!(names(folder).is_empty(), "{:?}", names(folder));

    let taken = Ran::of(import(folder, &["--active", "requeue"]));
    assert_eq!(taken.code, Some(0), "{taken:?}");
    let counts = "took 2 teams, 2 tokens, 1 runners, 2 apps, 3 versions, 7 runs, 6 log lines\n";
    assert_eq!(taken.stdout, counts, "{taken:?}");
    for notice in [
        "token 10 of team \"beta\" is not taken",
        "runner \"runner-2\" is not taken",
        "version 1 of app \"old\" of team \"beta\" cannot run: the object \"6/gone.tar.gz\"",
        "the latest version of app \"old\" of team \"beta\" cannot run: it has no active version",
    ] {
        assert!(taken.stderr.contains(notice), "{notice}: {taken:?}");
    }
    assert_eq!(taken.stderr.matches("warning: ").count(), 4, "{taken:?}");
    assert_eq!(names(folder), ["tinpot.db", "tinpot.db-access", "tinpot.db.blobs"]);

    // Again, and from another state.
    let again = Ran::of(import(folder, &["--active", "dead"]));
    assert!(again.code == Some(0) && again.stderr.contains("nothing was changed"), "{again:?}");
    for (change, back) in [
        (
            "UPDATE runs SET status = 'dead' WHERE id = 25",
            "UPDATE runs SET status = 'queued' WHERE id = 25",
        ),
        (
            "UPDATE runners SET token_hash = 'x' || token_hash",
            "UPDATE runners SET token_hash = substr(token_hash, 2)",
        ),
        ("UPDATE teams SET password_hash = NULL WHERE slug = 'acme'", ""),
    ] {
        database.execute(change, []).expect("a change");
        let again = Ran::of(import(folder, &["--active", "dead"]));
        assert!(again.code == Some(6) && again.stderr.contains("another state"), "{again:?}");
        if !back.is_empty() {
            database.execute(back, []).expect("a change");
        }
    }

    let mut process = server(folder);
    let url = process.url();
    let client = Client { url: &url, token: token("mtk", 'A') };
    let me = json(&client, "/api/v1/me");
    assert_eq!((&me["team_id"], &me["team_slug"]), (&2.into(), &"acme".into()), "{me}");
    assert_eq!((&me["token_id"], &me["role"]), (&7.into(), &"admin".into()), "{me}");
    let member = Client { url: &url, token: token("mtk", 'B') };
    assert_eq!(json(&member, "/api/v1/me")["role"], "member");
    let revoked = Client { url: &url, token: token("mtk", 'C') };
    assert_eq!(revoked.ask("GET", "/api/v1/me", "").0, 401);
    // The second time, the hash is another one.
    for _ in 0..2 {
        let body = format!("{{\"slug\":\"acme\",\"password\":\"{PASSWORD}\"}}");
        let (status, body) = ask(&url, "POST", "/api/v1/teams/login", &[], body.as_bytes());
        assert_eq!(status, 201, "{body}");
    }
    let body = br#"{"slug":"acme","password":"U*V"}"#;
    assert_eq!(ask(&url, "POST", "/api/v1/teams/login", &[], body).0, 401);

    let apps = json(&client, "/api/v1/apps");
    assert_eq!(apps["apps"][0]["app_id"], 5, "{apps}");
    assert_eq!(apps["apps"][0]["created_at"], "2026-02-02T02:40:00Z", "{apps}");
    let versions = json(&client, "/api/v1/apps/hello/versions");
    assert_eq!(versions["versions"].as_array().map(Vec::len), Some(2), "{versions}");

    let run = json(&client, "/api/v1/runs/21");
    for (key, expected) in [
        ("run_no", Value::from(1)),
        ("version_no", 1.into()),
        ("status", "completed".into()),
        ("priority", 3.into()),
        ("exit_code", 0.into()),
        ("queued_at", "2026-02-02T02:40:10Z".into()),
        ("started_at", "2026-02-02T02:40:12Z".into()),
        ("finished_at", "2026-02-02T02:40:15Z".into()),
    ] {
        assert_eq!(run[key], expected, "{key}: {run}");
    }
    assert_eq!(run["input"]["name"], "Ada", "{run}");
    let logs = |run: u64| {
        let all = json(&client, &format!("/api/v1/runs/{run}/logs"));
        let lines = all["logs"].as_array().cloned().unwrap_or_default();
        let text = |line: &Value| format!("{} {} {}", line["seq"], line["stream"], line["line"]);
        lines.iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(
        logs(21),
        [r#"1 "stderr" "artifact unpacked""#, r#"2 "stdout" "Hello, Ada!""#, r#"3 "stdout" """#]
    );
    let failed = json(&client, "/api/v1/runs/22");
    assert_eq!((&failed["status"], &failed["exit_code"]), (&"failed".into(), &3.into()));
    let dead = json(&client, "/api/v1/runs/23");
    assert_eq!((&dead["status"], &dead["retry_count"]), (&"dead".into(), &1.into()), "{dead}");
    assert_eq!(logs(23).len(), 3);
    assert_eq!(json(&client, "/api/v1/runs/24")["status"], "cancelled");
    assert_eq!(client.ask("GET", "/api/v1/runs/27", "").0, 404);
    let summary = json(&client, "/api/v1/runs/summary");
    assert_eq!((&summary["total_runs"], &summary["queued_runs"]), (&6.into(), &2.into()));

    // The runner goes on with its token: what ran goes first, as it has the higher priority.
    let runners = json(&client, "/api/v1/admin/runners");
    assert_eq!(runners["runners"][0]["runner_id"], 3, "{runners}");
    assert_eq!(runners["runners"][0]["last_seen_at"], "2026-02-02T02:55:00Z", "{runners}");
    let runner = Client { url: &url, token: token("mtr", 'R') };
    let (status, lease) = runner.ask("POST", "/api/v1/runs/lease", "");
    assert!(status == 200 && lease.contains("\"run_id\":26"), "{status} {lease}");
    assert_eq!(quoted(&lease, "\"app_slug\":\""), "hello");

    let (status, new) = client.ask("POST", "/api/v1/apps/hello/runs", "{}");
    assert!(status == 201 && new.contains("\"run_id\":28"), "{new}");
    assert!(new.contains("\"run_no\":7") && new.contains("\"version_no\":2"), "{new}");
    // Those that were counted before are not counted again.
    let summary = json(&client, "/api/v1/runs/summary");
    let found = ["total_runs", "active_runs", "queued_runs", "terminal_runs"];
    let found = found.map(|name| summary[name].as_u64().unwrap_or_default());
    assert_eq!(found, [7, 1, 2, 4], "{summary}");
}

#[test]
fn an_import_that_is_killed_leaves_no_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let database = minitower(folder);
    let more = "WITH RECURSIVE n (i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 1100) \
                INSERT INTO runs SELECT i, 2, 5, 1, 12, i, '{}', 'cancelled', 0, 0, 0, 1, \
                1770000090000 + i, NULL, 1770000090000 + i, 1770000090000 + i, 1 FROM n";
    database.execute_batch(more).expect("more runs");
    drop(database);

    // The draft is there, so it has begun.
    let mut command = import(folder, &["--active", "dead"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("an import");
    let draft = folder.join("tinpot.db-import/tinpot.db");
    let deadline = Instant::now() + PATIENCE;
    while !draft.exists() && Instant::now() < deadline {
        std::thread::yield_now();
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("the end");
    assert!(!folder.join("tinpot.db").exists(), "{:?}", names(folder));
    assert!(draft.exists());

    let taken = Ran::of(import(folder, &["--active", "dead"]));
    assert!(taken.code == Some(0) && taken.stdout.contains(" 1008 runs, 6 log lines"), "{taken:?}");
    assert_eq!(names(folder), ["tinpot.db", "tinpot.db-access", "tinpot.db.blobs"]);
}

#[test]
fn what_is_no_minitower_is_refused_and_a_minitower_is_no_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let nothing = Ran::of(import(folder, &[]));
    assert!(
        nothing.code == Some(5) && nothing.stderr.contains("no file ./minitower.db"),
        "{nothing:?}"
    );
    std::fs::write(folder.join("text.db"), "a text that is no database").expect("a file");
    let text = Ran::of(import(folder, &["--database", "text.db"]));
    assert!(
        text.code == Some(2) && text.stderr.contains("not the database of a MiniTower"),
        "{text:?}"
    );
    drop(minitower(folder));
    let same = Ran::of(import(folder, &["--store", "minitower.db"]));
    assert!(
        same.code == Some(6) && same.stderr.contains("name the file of a new store"),
        "{same:?}"
    );
    let same = Ran::of(import(folder, &["--active", "dead", "--blobs", "objects"]));
    assert!(same.code == Some(2) && same.stderr.contains("another directory"), "{same:?}");

    let mut command = tinpot();
    command.args(["tower", "--listen-addr", "127.0.0.1:0"]).current_dir(folder);
    command.env("MINITOWER_RUNNER_REGISTRATION_TOKEN", "x");
    let refused = Ran::of(command);
    assert!(
        refused.code != Some(0) && refused.stderr.contains("tinpot tower import"),
        "{refused:?}"
    );
}
