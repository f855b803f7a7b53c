//! The power fails under a coordinator: what it has acknowledged is there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tinpot_tests::{
    Api, Durable, Mosquitto, PowerLoss, QUICK, Random, free_port, marks, wait_for,
    wait_for_workers, worker,
};

/// The number of power failures.
const FAILURES: usize = 5;
const LINES: usize = 3;
/// Executions that may wait: some end all the time.
const AHEAD: usize = 60;

/// The acknowledgements of the coordinator.
struct Acknowledged {
    accepted: Vec<String>,
    /// The records of executions that have ended, and their logs where all of it was read.
    ended: Vec<(Value, Option<Vec<String>>)>,
}

impl Acknowledged {
    /// All that was accepted; the records of the latest ones.
    fn of(api: &Api, accepted: &Mutex<Vec<String>>) -> Self {
        let accepted = accepted.lock().expect("no panic").clone();
        let (_, page) = api.get("/api/executions?status=succeeded&limit=60");
        let latest = page["executions"].as_array().expect("a page").iter();
        let ended =
            latest.map(|summary| api.execution(summary["execution_id"].as_str().expect("an id")));
        let with_log = |execution: Value| {
            let lines = api.lines(execution["execution_id"].as_str().expect("an id"));
            (execution, (lines.len() == LINES).then_some(lines))
        };
        Self { accepted, ended: ended.map(with_log).collect() }
    }

    fn complete_logs(&self) -> usize {
        self.ended.iter().filter(|(_, log)| log.is_some()).count()
    }

    fn is_known_to(&self, api: &Api) {
        for id in &self.accepted {
            let (status, execution) = api.get(&format!("/api/executions/{id}"));
            assert_eq!(status, 200, "{id} was accepted: {execution}");
        }
        for (execution, log) in &self.ended {
            let id = execution["execution_id"].as_str().expect("an id");
            assert_eq!(api.execution(id), *execution);
            if let Some(log) = log {
                assert_eq!(api.lines(id), *log);
            }
        }
    }
}

#[test]
fn acknowledged_writes_survive_a_power_cut() {
    let mut random = Random::new();
    let broker = Mosquitto::start();
    let power = PowerLoss::new();
    let durable = Durable::new(&broker.url(), &QUICK);
    let watched = power.environment(&durable.store());
    let durable = durable.with(watched);
    let (coordinator, api) = durable.start();
    let mut env = QUICK.to_vec();
    env.extend([("WORKER_NAME", "one"), ("CONCURRENCY", "3")]);
    let _worker = worker(&broker.url(), &env);
    wait_for_workers(&api, &["one"]);

    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("marks");
    let accepted = Arc::new(Mutex::new(Vec::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let clients = [1, 2].map(|client| {
        let (api, accepted, stop, file) =
            (api.clone(), accepted.clone(), stop.clone(), file.clone());
        std::thread::spawn(move || {
            let parameters = json!({"file": file, "text": "x", "count": LINES, "seconds": 0.01});
            let body = json!({"parameters": parameters});
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                if accepted.lock().expect("no panic").len() > marks(&file).len() + AHEAD {
                    std::thread::park_timeout(Duration::from_millis(5));
                    continue;
                }
                let id = api.try_submit("chatty", &format!("{client} {number}"), &body);
                accepted.lock().expect("no panic").push(id.expect("it is accepted"));
                number += 1;
            }
        })
    });
    let count = || accepted.lock().expect("no panic").len();
    let mut failures = Vec::new();
    for _ in 0..FAILURES {
        let next = count() + 30 + random.below(80) as usize;
        wait_for("more executions", || if count() >= next { Ok(()) } else { Err(count()) });
        // A failure proves something once enough was promised, however slow the machine is.
        let acknowledged = wait_for("complete logs", || {
            let acknowledged = Acknowledged::of(&api, &accepted);
            let complete = acknowledged.complete_logs();
            if acknowledged.accepted.len() > 25 && complete > 5 {
                Ok(acknowledged)
            } else {
                Err(complete)
            }
        });
        failures.push((acknowledged, power.left(&coordinator)));
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("a client");
    }
    drop(coordinator);

    for (acknowledged, left) in &failures {
        let no_broker = format!("tcp://127.0.0.1:{}", free_port());
        let store = left.path().join("tinpot.db");
        let store = store.to_str().expect("a path in UTF-8");
        // There is no broker: it only has to remember.
        let (_coordinator, api) = tinpot_tests::coordinator(&no_broker, &[("TINPOT_STORE", store)]);
        acknowledged.is_known_to(&api);
    }
}
