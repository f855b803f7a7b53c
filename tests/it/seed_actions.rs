//! Actions as they were written for Celery run unchanged.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tinpot_tests::{Api, Mosquitto, Program, coordinator, wait_for, wait_for_workers, worker};

struct Site {
    _programs: [Program; 2],
    _broker: Mosquitto,
    api: Api,
    directory: tempfile::TempDir,
}

impl Site {
    fn start() -> Self {
        let broker = Mosquitto::start();
        let (coordinator, api) = coordinator(&broker.url(), &[]);
        let worker = worker(&broker.url(), &[("WORKER_NAME", "one")]);
        wait_for_workers(&api, &["one"]);
        let directory = tempfile::tempdir().expect("a directory");
        Self { _programs: [coordinator, worker], _broker: broker, api, directory }
    }

    /// The names of the steps of an execution, each below the name of the one that it is part of.
    fn steps(&self, id: &str, count: usize) -> Vec<String> {
        let spans = wait_for("the steps", || {
            let (_, body) = self.api.get(&format!("/api/executions/{id}/spans"));
            let spans = body["spans"].as_array().cloned().unwrap_or_default();
            let ended = spans.iter().filter(|span| span["outcome"] == "succeeded").count();
            if ended == count { Ok(spans) } else { Err(spans) }
        });
        let name = |id: &Value| spans.iter().find(|span| span["id"] == *id);
        let path = |span: &Value| match name(&span["parent"]) {
            Some(parent) => format!("{}/{}", parent["name"], span["name"]).replace('"', ""),
            None => span["name"].as_str().expect("a name").to_owned(),
        };
        spans.iter().map(path).collect()
    }
}

fn git(at: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=Test", "-c", "user.email=test@example.org"]);
    let output = command.args(arguments).current_dir(at).output().expect("git is needed");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn a_deployment_calls_a_cleanup_in_its_own_log() {
    let site = Site::start();
    let (_, catalogue) = site.api.get("/api/actions");
    assert_eq!(catalogue["cleanup"]["description"], "Clean up old files");
    assert_eq!(catalogue["deploy"]["group"], "DevOps");
    let answer = site.api.run("deploy", json!({"environment": "production"}));
    assert_eq!((&answer["status"], &answer["result"]), (&json!("SUCCESS"), &Value::Null));
    let id = answer["execution_id"].as_str().expect("an id");
    let expected = [
        "Deploying to production...",
        "Cleaning files older than 30 days...",
        "✓ Cleanup complete!",
        "✓ Deploy complete!",
    ];
    wait_for("the lines", || match site.api.lines(id) {
        lines if lines == expected => Ok(()),
        lines => Err(lines),
    });
    assert_eq!(site.steps(id, 1), ["cleanup"]);
    assert_eq!(site.api.children(id), Vec::<String>::new(), "a plain call is no execution");
    assert_eq!(site.api.run("cleanup", json!({}))["result"], json!({"files_deleted": 42}));
}

#[test]
fn a_health_check_is_seen_while_it_runs_and_can_be_ended() {
    let site = Site::start();
    let id = site.api.submit("health_check", json!({"checks": 1000, "interval": 0.2}));
    site.api.wait_for_start(&id);
    let mut events = site.api.open_stream(&id);
    for number in 1..=5 {
        let line = events.find(|event| event["type"] == "log").expect("a line");
        assert_eq!(line["data"]["message"], format!("[{number}/1000] all services respond"));
        // It is there long before the end.
        assert_eq!(site.api.state(&id), "STARTED");
    }
    let (status, body) = site.api.post(&format!("/api/executions/{id}/cancel"), &json!({}));
    assert_eq!(status, 200, "{body}");
    let end = events.find(|event| event["type"] == "complete").expect("an end");
    assert_eq!(end["data"]["state"], "REVOKED", "{end}");
    let answer = site.api.run("health_check", json!({"checks": 2, "interval": 0.01}));
    assert_eq!(answer["result"], "healthy");
}

#[test]
fn a_site_is_backed_up_and_updated_by_git() {
    let site = Site::start();
    let at = |name: &str| site.directory.path().join(name);
    let (origin, checkout, target) = (at("origin"), at("checkout"), at("backups"));
    for directory in [&origin, &target] {
        std::fs::create_dir(directory).expect("a directory");
    }
    git(&origin, &["init", "--quiet"]);
    std::fs::write(origin.join("page.html"), "old").expect("a file");
    git(&origin, &["add", "."]);
    git(&origin, &["commit", "--quiet", "-m", "first"]);
    git(site.directory.path(), &["clone", "--quiet", "origin", "checkout"]);
    std::fs::write(origin.join("page.html"), "new").expect("a file");
    git(&origin, &["commit", "--quiet", "-am", "second"]);
    let revision = git(&origin, &["rev-parse", "--short", "HEAD"]);

    let parameters = json!({"source": checkout, "checkout": checkout, "target": target});
    let answer = site.api.run("update_site", parameters.clone());
    assert_eq!(answer["status"], "SUCCESS", "{answer}");
    let archive = target.join("backup.tar.gz");
    assert_eq!(answer["result"], json!({"backup": archive, "revision": revision}));
    assert_eq!(std::fs::read_to_string(checkout.join("page.html")).expect("a file"), "new");
    let old = Command::new("tar").arg("-xOf").arg(&archive).arg("./page.html").output();
    assert_eq!(old.expect("tar runs").stdout, b"old", "the backup is from before");
    let id = answer["execution_id"].as_str().expect("an id");
    assert_eq!(site.steps(id, 2), ["backup_directory", "git_update"]);
    let lines = site.api.lines(id);
    for part in ["Wrote backup.tar.gz", "$ git pull --ff-only", "Fast-forward", &revision] {
        assert!(lines.iter().any(|line| line.contains(part)), "{part:?} is not in {lines:?}");
    }

    // What git says is in the log, and in the error.
    std::fs::remove_dir_all(&origin).expect("a directory");
    let answer = site.api.run("git_update", json!({"checkout": checkout}));
    assert_eq!(answer["status"], "FAILURE", "{answer}");
    let error = answer["error"].as_str().expect("an error");
    assert!(error.contains("CommandError") && error.contains("git pull"), "{error}");
    let id = answer["execution_id"].as_str().expect("an id");
    assert!(site.api.lines(id).iter().any(|line| line.contains("fatal:")), "{answer}");
}
