//! The `standalone` program, from its start to its end.

use serde_json::{Value, json};
use tinpot_tests::{
    Api, Program, actions, family, free_port, is_alive, run_example, wait_for, wait_for_deaths,
};

fn start(env: &[(&str, &str)]) -> (Program, Api) {
    let port = free_port();
    let text = port.to_string();
    let mut all = vec![("PORT", text.as_str()), ("ACTIONS_DIR", actions())];
    all.extend(env);
    let program = Program::start("standalone", &all);
    (program, Api::ready(port))
}

#[test]
fn the_useful_actions_do_their_work() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/actions");
    let (_program, api) = start(&[("ACTIONS_DIR", directory)]);
    let hello = api.run("hello", json!({"name": "you"}));
    assert_eq!(
        (&hello["status"], &hello["result"]),
        (&json!("SUCCESS"), &json!("Hello, you!")),
        "{hello}"
    );

    let failing = api.run("failing", json!({}));
    assert_eq!(failing["status"], "FAILURE");
    let error = failing["error"].as_str().unwrap_or_default();
    assert!(error.contains("the server cannot start"), "{error}");
    let id = failing["execution_id"].as_str().expect("an id");
    let (_, recorded) = api.get(&format!("/api/executions/{id}"));
    assert!(recorded.to_string().contains("in port_of"), "the traceback is kept: {recorded}");

    let id = api.submit("countdown", json!({"seconds": 1, "interval": 0.2}));
    let events = api.stream(&id);
    let lines: Vec<&str> =
        events.iter().filter_map(|event| event["data"]["message"].as_str()).collect();
    assert_eq!(lines.last(), Some(&"lift-off!"), "{events:?}");
    assert_eq!(events.last().map(|event| &event["data"]["state"]), Some(&json!("SUCCESS")));
}

#[test]
fn a_hundred_thousand_lines_arrive_in_order() {
    let (_program, api) = start(&[]);
    let id = api.submit("lines", json!({"count": 100_000}));
    let events = api.stream(&id);
    let messages =
        events.iter().filter(|event| event["type"] == "log").map(|event| &event["data"]["message"]);
    let mut count = 0;
    for message in messages {
        count += 1;
        assert_eq!(message, &json!(format!("line {count}")));
    }
    assert_eq!(count, 100_000);
}

#[test]
fn a_cancel_leaves_nothing_alive() {
    let (_program, api) = start(&[]);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("ids");
    let id = api.submit("family", json!({"file": file}));
    let ids = family(&file);
    assert!(ids.iter().all(|id| is_alive(*id)), "{ids:?}");
    let (status, body) = api.post(&format!("/api/executions/{id}/cancel"), &json!({}));
    assert_eq!(status, 200, "{body}");
    api.wait_for_state(&id, "REVOKED");
    // The status says so only when all of it is dead.
    assert!(!ids.iter().any(|id| is_alive(*id)), "{ids:?}");
}

#[test]
fn a_termination_lets_running_actions_finish() {
    let (mut program, api) = start(&[("CONCURRENCY", "1")]);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("marks");
    let id = api.submit("mark", json!({"file": file, "text": "started", "seconds": 1.0}));
    wait_for("the start", || std::fs::read_to_string(&file));
    let stream = api.open_stream(&id);
    program.terminate();
    let status = program.wait();
    assert_eq!(status.code(), Some(0), "{}", program.output());
    let events: Vec<Value> = stream.collect();
    assert_eq!(
        events.last().map(|event| &event["data"]["result"]),
        Some(&json!("started")),
        "{events:?}"
    );
}

#[test]
fn a_killed_program_leaves_nothing_alive() {
    let (mut program, api) = start(&[]);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("ids");
    api.submit("family", json!({"file": file}));
    let ids = family(&file);
    program.kill();
    wait_for_deaths(&ids);
}

#[test]
fn a_wrong_setting_is_named() {
    for (variable, value, named) in [
        ("PORT", "eighty", "--port"),
        ("CONCURRENCY", "0", "--concurrency"),
        ("HOST", "nowhere", "--host"),
        ("ACTIONS_DIR", "/nowhere/at/all", "/nowhere/at/all"),
        ("TINPOT_PYTHON", "/nowhere/python", "/nowhere/python"),
        ("TINPOT_HEARTBEAT_INTERVAL", "-1", "--heartbeat-interval"),
        ("TINPOT_KILL_AFTER", "soon", "--kill-after"),
        ("TINPOT_WORKER_LEASE", "1", "worker_lease"),
        ("TINPOT_COORDINATOR_LEASE", "60", "coordinator_lease"),
    ] {
        let output = run_example(
            "standalone",
            &[],
            &[("PORT", "0"), ("ACTIONS_DIR", actions()), (variable, value)],
        );
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{variable}={value}");
        assert!(text.contains(named), "{variable}={value} is reported as: {text}");
    }
}
