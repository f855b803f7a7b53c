//! A worker whose interpreters cannot start takes nothing from the others, and says why.

use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::{Value, json};
use tinpot_tests::{Api, Mosquitto, coordinator, wait_for, wait_for_workers, worker};

const ACTIONS: &str = "import os
from tinpot import action

@action
def hello():
    return 'hello'

@action(queue='bad')
def crash():
    os._exit(1)
";

/// The problems of a worker that keep it from taking work.
fn blocking(api: &Api, name: &str) -> Vec<Value> {
    let (_, body) = api.get("/api/workers");
    let workers = body["workers"].as_array().cloned().unwrap_or_default();
    let named = workers.iter().find(|worker| worker["name"] == name);
    let problems = named.and_then(|worker| worker["problems"].as_array()).cloned();
    problems.unwrap_or_default().into_iter().filter(|one| one["blocking"] == true).collect()
}

#[test]
fn a_worker_that_cannot_start_interpreters_fails_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let actions = directory.path().join("actions");
    std::fs::create_dir(&actions).expect("a directory");
    std::fs::write(actions.join("jobs.py"), ACTIONS).expect("a file");
    let actions = actions.to_str().expect("a path");
    let environment = directory.path().join("environment");
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--without-pip"]).arg(&environment);
    assert!(make.status().expect("python3").success());
    let python = environment.join("bin/python");
    let target = std::fs::read_link(&python).expect("a link");
    let broker = Mosquitto::start();
    let (_coordinator, api) = coordinator(&broker.url(), &[]);
    let common = [("ACTIONS_DIR", actions), ("CONCURRENCY", "1")];
    let good = [("WORKER_NAME", "good"), ("QUEUES", "default")];
    let bad = [
        ("WORKER_NAME", "bad"),
        ("TINPOT_PYTHON", environment.to_str().expect("a path")),
        // Copies need no program.
        ("TINPOT_NO_COPIES", "true"),
    ];
    let _good = worker(&broker.url(), &[&common[..], &good].concat());
    let _bad = worker(&broker.url(), &[&common[..], &bad].concat());
    wait_for_workers(&api, &["good", "bad"]);

    std::fs::remove_file(&python).expect("removed");
    // One interpreter for the slot, and one that is spare.
    for _ in 0..2 {
        assert_eq!(api.run("crash", json!({}))["status"], "FAILURE");
    }
    let ids: Vec<String> = (0..30).map(|_| api.submit("hello", json!({}))).collect();
    for id in &ids {
        api.wait_for_state(id, "SUCCESS");
        let attempts = api.execution(id)["attempts"].as_array().cloned().unwrap_or_default();
        let ended: Vec<&Value> = attempts.iter().map(|one| &one["status"]).collect();
        assert!(ended.iter().all(|status| **status != "failed"), "{attempts:?}");
    }
    let problems = wait_for("the reason", || match blocking(&api, "bad") {
        problems if problems.is_empty() => Err(api.get("/api/workers")),
        problems => Ok(problems),
    });
    let why = problems[0]["message"].as_str().expect("a message");
    assert!(why.contains("no Python interpreter starts"), "{why}");
    assert!(why.contains("environment/bin/python"), "{why}");
    let (status, ready) = api.get("/ready");
    assert!(status == 200 && ready["problems"][0].to_string().contains("bad"), "{ready}");
    let waiting = api.submit("crash", json!({}));
    wait_for("the reason of the wait", || match api.get("/api/queues").1.to_string() {
        text if text.contains("cannot start") => Ok(()),
        text => Err(text),
    });
    assert_eq!(api.state(&waiting), "PENDING");

    symlink(target, &python).expect("a link");
    wait_for("its recovery", || match blocking(&api, "bad") {
        problems if problems.is_empty() => Ok(()),
        problems => Err(problems),
    });
    api.wait_for_state(&waiting, "FAILURE");
}
