//! The broker dies in the middle and comes back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tinpot_tests::{Mosquitto, Random, coordinator, marks, wait_for, wait_for_workers, worker};

const EXECUTIONS: usize = 60;
const LINES: usize = 20;
/// The longest pause between two tries to reach the broker is 5 s.
const BACK: Duration = Duration::from_secs(10);

/// Executions that log while they run are dispatched, run and reported while the broker is killed three times.
fn executions_survive(mut broker: Mosquitto) {
    let mut random = Random::new();
    let url = broker.url();
    let (_coordinator, api) = coordinator(&url, &[]);
    let _one = worker(&url, &[("WORKER_NAME", "one"), ("CONCURRENCY", "4")]);
    let _two = worker(&url, &[("WORKER_NAME", "two"), ("CONCURRENCY", "4")]);
    wait_for_workers(&api, &["one", "two"]);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("marks");
    let texts: Vec<String> = (0..EXECUTIONS).map(|number| format!("number {number}")).collect();
    let parameters = |text| json!({"file": file, "text": text, "count": LINES, "seconds": 0.5});
    let ids: Vec<String> =
        texts.iter().map(|text| api.submit("chatty", parameters(text))).collect();

    for kill in 1..=3 {
        // Some are done, some run, most wait.
        let started = kill * EXECUTIONS / 5 + random.below(8) as usize;
        let seen = || marks(&file).len();
        wait_for("more marks", || if seen() >= started { Ok(()) } else { Err(seen()) });
        broker.kill();
        assert!(seen() < EXECUTIONS, "the broker died too late to show anything");
        let health = wait_for("the coordinator to notice", || match api.get("/health") {
            (503, health) => Ok(health),
            other => Err(other),
        });
        assert!(health["detail"].is_string(), "{health}");
        broker.restart();
        let begin = Instant::now();
        wait_for("both workers to be heard again", || {
            let (_, body) = api.get("/api/workers");
            let workers = body["workers"].as_array().map_or(&[][..], Vec::as_slice);
            let silent = |worker: &Value| worker["silent_for"].as_f64().unwrap_or(f64::MAX);
            let heard = |worker| silent(worker) < begin.elapsed().as_secs_f64();
            if workers.len() == 2 && workers.iter().all(heard) { Ok(()) } else { Err(body) }
        });
        assert!(begin.elapsed() < BACK, "{:?}", begin.elapsed());
    }

    for (id, text) in ids.iter().zip(&texts) {
        api.wait_for_state(id, "SUCCESS");
        let execution = api.execution(id);
        assert_eq!(execution["attempts"].as_array().map(Vec::len), Some(1), "{execution}");
        let expected: Vec<String> =
            (1..=LINES).map(|line| format!("{text}: line {line}")).collect();
        wait_for("the last lines", || match api.lines(id) {
            lines if lines == expected => Ok(()),
            lines => Err(lines),
        });
    }
    let (mut marks, mut expected) = (marks(&file), texts);
    marks.sort();
    expected.sort();
    assert_eq!(marks, expected, "each ran once");
}

#[test]
fn executions_survive_a_broker_that_keeps_nothing() {
    executions_survive(Mosquitto::start());
}

#[test]
fn executions_survive_a_broker_that_remembers() {
    executions_survive(Mosquitto::start_persistent());
}
