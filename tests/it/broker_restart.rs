//! The broker dies in the middle and comes back.

use serde_json::json;
use tinpot_tests::{Api, Mosquitto, Program, actions, free_port, wait_for};

#[test]
fn two_hundred_running_and_queued_executions_survive_the_broker() {
    let mut broker = Mosquitto::start();
    let port = free_port();
    let _coordinator = Program::start(
        "coordinator",
        &[("PORT", &port.to_string()), ("MQTT_BROKER", &broker.url())],
    );
    let url = broker.url();
    let worker = |name| {
        let env = [
            ("MQTT_BROKER", url.as_str()),
            ("ACTIONS_DIR", actions()),
            ("WORKER_NAME", name),
            ("CONCURRENCY", "4"),
        ];
        Program::start("worker", &env)
    };
    let _one = worker("one");
    let _two = worker("two");
    let api = Api::ready(port);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("marks");
    let marks = || std::fs::read_to_string(&file).unwrap_or_default().lines().count();
    let ids: Vec<String> = (0..200)
        .map(|number| {
            api.submit("mark", json!({"file": file, "text": number.to_string(), "seconds": 0.1}))
        })
        .collect();
    // Some are done, some run, most wait.
    wait_for("the first marks", || if marks() >= 20 { Ok(()) } else { Err(marks()) });
    broker.kill();
    let before = marks();
    assert!(before < 200, "the broker died too late to show anything");
    let (_, health) = wait_for("the coordinator to notice", || match api.get("/health") {
        answer @ (503, _) => Ok(answer),
        other => Err(other),
    });
    assert!(health["detail"].is_string(), "{health}");
    broker.restart();
    for id in &ids {
        api.wait_for_state(id, "SUCCESS");
    }
    let text = std::fs::read_to_string(&file).expect("marks");
    let mut marks: Vec<u32> = text.lines().map(|line| line.parse().expect("a number")).collect();
    marks.sort_unstable();
    assert_eq!(marks, (0..200).collect::<Vec<u32>>(), "each ran once");
}
