//! Coordinator and workers as processes, behind a broker.

use std::collections::BTreeSet;

use serde_json::json;
use tinpot_tests::{
    Api, Mosquitto, Program, coordinator, family, free_port, wait_for, wait_for_deaths,
    wait_for_workers, worker,
};

#[test]
fn two_workers_run_each_of_a_thousand_executions_once() {
    let broker = Mosquitto::start();
    let (_coordinator, api) = coordinator(&broker.url(), &[]);
    let _one = worker(&broker.url(), &[("WORKER_NAME", "one")]);
    let _two = worker(&broker.url(), &[("WORKER_NAME", "two")]);
    wait_for_workers(&api, &["one", "two"]);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("marks");
    let ids: Vec<String> = (0..1000)
        .map(|number| api.submit("mark", json!({"file": file, "text": number.to_string()})))
        .collect();
    let mut workers = BTreeSet::new();
    for id in &ids {
        api.wait_for_state(id, "SUCCESS");
        let (_, execution) = api.get(&format!("/api/executions/{id}"));
        let attempts = execution["attempts"].as_array().cloned().unwrap_or_default();
        assert_eq!(attempts.len(), 1, "{execution}");
        workers.insert(attempts[0]["worker"].as_str().unwrap_or_default().to_owned());
    }
    let text = std::fs::read_to_string(&file).expect("marks");
    let mut marks: Vec<u32> = text.lines().map(|line| line.parse().expect("a number")).collect();
    marks.sort_unstable();
    assert_eq!(marks, (0..1000).collect::<Vec<u32>>());
    assert!(
        workers.iter().any(|id| id.starts_with("one-"))
            && workers.iter().any(|id| id.starts_with("two-")),
        "{workers:?}"
    );
}

#[test]
fn queues_and_groups_say_who_runs_what() {
    let broker = Mosquitto::start();
    let (_coordinator, api) = coordinator(&broker.url(), &[]);
    let _general = worker(&broker.url(), &[("QUEUES", "default"), ("WORKER_NAME", "general")]);
    wait_for_workers(&api, &["general"]);
    wait_for("its actions", || match api.get("/api/actions") {
        (200, catalogue) if catalogue["special"]["available"] == false => Ok(()),
        other => Err(other),
    });
    let waiting = api.submit("special", json!({}));
    assert_eq!(api.state(&waiting), "PENDING");
    let (_, queues) = api.get("/api/queues");
    assert!(queues.to_string().contains("special"), "{queues}");
    let _special = worker(
        &broker.url(),
        &[("QUEUES", " special ,"), ("ACTION_GROUPS", "Special"), ("WORKER_NAME", "special")],
    );
    api.wait_for_state(&waiting, "SUCCESS");
    let (_, execution) = api.get(&format!("/api/executions/{waiting}"));
    assert!(
        execution["attempts"][0]["worker"].as_str().is_some_and(|id| id.starts_with("special-")),
        "{execution}"
    );
}

#[test]
fn the_embedded_broker_needs_nothing_installed() {
    let (port, broker_port) = (free_port(), free_port());
    let address = format!("127.0.0.1:{broker_port}");
    let mut coordinator = Program::start_with(
        "coordinator",
        &["--embedded-broker", &address],
        &[("PORT", &port.to_string())],
    );
    let mut worker = worker(&format!("tcp://{address}"), &[]);
    let api = Api::ready(port);
    assert_eq!(api.run("mark", json!({"file": "/dev/null", "text": "x"}))["result"], "x");
    worker.terminate();
    assert_eq!(worker.wait().code(), Some(0), "{}", worker.output());
    wait_for("the goodbye", || match api.get("/ready") {
        (503, _) => Ok(()),
        other => Err(other),
    });
    coordinator.terminate();
    assert_eq!(coordinator.wait().code(), Some(0), "{}", coordinator.output());
}

#[test]
fn children_of_a_killed_worker_die() {
    let broker = Mosquitto::start();
    let (_coordinator, api) = coordinator(&broker.url(), &[]);
    let mut worker = worker(&broker.url(), &[("WORKER_NAME", "doomed")]);
    wait_for_workers(&api, &["doomed"]);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("ids");
    api.submit("family", json!({"file": file}));
    let ids = family(&file);
    worker.kill();
    wait_for_deaths(&ids);
}

#[test]
fn a_worker_reports_that_it_waits_for_its_broker() {
    let mut broker = Mosquitto::start();
    let url = broker.url();
    broker.kill();
    let (_coordinator, api) = coordinator(&url, &[]);
    let _worker = worker(&url, &[]);
    let (status, health) = api.get("/health");
    assert_eq!(status, 503, "{health}");
    assert!(!health["detail"].as_str().unwrap_or_default().is_empty(), "{health}");
    broker.restart();
    wait_for("the worker", || match api.get("/ready") {
        (200, _) => Ok(()),
        other => Err(other),
    });
    assert_eq!(api.run("mark", json!({"file": "/dev/null", "text": "back"}))["result"], "back");
}
