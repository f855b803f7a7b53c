//! The link to the broker fails on either side, for long or again and again: it is noticed, it comes back, and nothing is lost or run twice.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use tinpot_tests::{
    Api, Direction, Fault, Mosquitto, Program, Proxy, Random, coordinator, coordinator_with_broker,
    marks, wait_for, wait_for_workers, worker,
};

/// The shortest there is: what is dead shows after two of them.
const KEEP_ALIVE: (&str, &str) = ("MQTT_KEEP_ALIVE", "5");
const NOTICED: Duration = Duration::from_secs(15);
/// The least that a flood of this many lines needs more than all buffers between the action and the coordinator hold.
const LINES: usize = 100_000;

fn submit_marks(api: &Api, file: &Path, count: usize, seconds: f64) -> Vec<String> {
    let parameters =
        |number: usize| json!({"file": file, "text": number.to_string(), "seconds": seconds});
    (0..count).map(|number| api.submit("mark", parameters(number))).collect()
}

/// Each execution succeeded, by one attempt that ran once.
fn ran_once(api: &Api, ids: &[String], file: &Path) {
    for id in ids {
        api.wait_for_end(id, "succeeded");
        let execution = api.execution(id);
        assert_eq!(execution["attempts"].as_array().map(Vec::len), Some(1), "{execution}");
    }
    let mut texts = marks(file);
    texts.sort();
    let mut expected: Vec<String> = (0..ids.len()).map(|number| number.to_string()).collect();
    expected.sort();
    assert_eq!(texts, expected);
}

#[test]
fn a_coordinator_recovers_from_a_silent_network() {
    let broker = Mosquitto::start();
    let proxy = Proxy::start(broker.port());
    let (_coordinator, api) = coordinator(&proxy.url(), &[KEEP_ALIVE]);
    let _worker = worker(&broker.url(), &[KEEP_ALIVE, ("WORKER_NAME", "one")]);
    wait_for_workers(&api, &["one"]);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("marks");
    let mut ids = submit_marks(&api, &file, 40, 0.2);
    wait_for("a start", || marks(&file).pop().ok_or("no mark"));
    proxy.set_both(Fault::BlackHole);
    let begin = Instant::now();
    let health = wait_for("the coordinator to notice", || match api.get("/health") {
        (503, health) => Ok(health),
        other => Err(other),
    });
    assert!(begin.elapsed() < NOTICED, "{:?}", begin.elapsed());
    assert!(health["detail"].as_str().is_some_and(|detail| detail.contains("ping")), "{health}");
    // What is accepted meanwhile waits.
    let id = api.submit("mark", json!({"file": file, "text": "40"}));
    assert_eq!(api.status(&id), "queued");
    ids.push(id);
    proxy.set_both(Fault::Pass);
    ran_once(&api, &ids, &file);
}

/// The broker stops reading while a worker sends many lines, until the worker gives the connection
/// up.
fn lines_survive_a_stall(who_is_stalled: &str, direction: Direction) {
    let broker = Mosquitto::start();
    let proxy = Proxy::start(broker.port());
    let url = |program: &str| if program == who_is_stalled { proxy.url() } else { broker.url() };
    let (coordinator, api) = coordinator(&url("coordinator"), &[KEEP_ALIVE]);
    let worker = worker(&url("worker"), &[KEEP_ALIVE, ("WORKER_NAME", "one")]);
    wait_for_workers(&api, &["one"]);
    let directory = tempfile::tempdir().expect("a directory");
    let gate = directory.path().join("gate");
    let id = api.submit("lines", json!({"count": LINES, "gate": gate}));
    api.wait_for_start(&id);
    wait_for("a line", || api.lines(&id).pop().ok_or("no line"));
    proxy.set(direction, Fault::Stall);
    std::fs::write(&gate, "").expect("the gate opens");
    let stalled = if who_is_stalled == "worker" { &worker } else { &coordinator };
    let begin = Instant::now();
    wait_for("the link to be given up", || match stalled.output() {
        output if output.contains("the link is down") => Ok(()),
        output => Err(output),
    });
    assert!(begin.elapsed() < NOTICED, "{:?}", begin.elapsed());
    assert_eq!(api.status(&id), "running");
    proxy.set(direction, Fault::Pass);
    api.wait_for_end(&id, "succeeded");
    let lines = wait_for("the last lines", || match api.lines(&id) {
        lines if lines.len() >= LINES => Ok(lines),
        lines => Err((lines.len(), lines.last().cloned())),
    });
    let expected = (1..=LINES).map(|number| format!("line {number}"));
    assert!(expected.eq(lines), "every line, once, in order");
    let peak = worker.peak_memory_bytes();
    assert!(peak < 100 << 20, "the worker held {peak} bytes");
}

#[test]
fn lines_survive_a_broker_that_does_not_read() {
    lines_survive_a_stall("worker", Direction::ToBroker);
}

#[test]
fn lines_survive_a_coordinator_that_does_not_read() {
    lines_survive_a_stall("coordinator", Direction::FromBroker);
}

/// Connections break again and again, at random, on all sides.
fn executions_survive_chaos(proxies: &[Proxy], api: &Api) {
    const FAULTS: usize = 15;
    /// Executions that wait, at least: there is always something to interrupt.
    const AHEAD: usize = 10;
    let mut random = Random::new();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("marks");
    let mut ids = Vec::new();
    for _ in 0..FAULTS {
        // Something goes on between any two faults, so each one is recovered from.
        let next = marks(&file).len() + 1 + random.below(6) as usize;
        while ids.len() < next + AHEAD {
            let text = ids.len().to_string();
            ids.push(api.submit("mark", json!({"file": file, "text": text, "seconds": 0.05})));
        }
        wait_for("another mark", || match marks(&file).len() {
            now if now >= next => Ok(()),
            now => Err(now),
        });
        let proxy = &proxies[random.below(proxies.len() as u64) as usize];
        match random.below(4) {
            0 => proxy.half_close(Direction::ToBroker),
            1 => proxy.half_close(Direction::FromBroker),
            2 => proxy.reset(),
            _ => {
                // A restart of a gateway: gone, and refused until there is a connection less.
                proxy.take_connections(false);
                proxy.reset();
                proxy.take_connections(true);
            }
        }
    }
    ran_once(api, &ids, &file);
}

fn two_workers(proxies: &[Proxy], api: &Api) -> [Program; 2] {
    let workers = [("one", &proxies[0]), ("two", &proxies[1])]
        .map(|(name, proxy)| worker(&proxy.url(), &[("WORKER_NAME", name)]));
    wait_for_workers(api, &["one", "two"]);
    workers
}

#[test]
fn executions_survive_chaos_around_mosquitto() {
    let broker = Mosquitto::start();
    let proxies = [(); 3].map(|()| Proxy::start(broker.port()));
    let (_coordinator, api) = coordinator(&proxies[2].url(), &[]);
    let _workers = two_workers(&proxies, &api);
    executions_survive_chaos(&proxies, &api);
}

#[test]
fn executions_survive_chaos_around_the_embedded_broker() {
    let (_coordinator, api, port) = coordinator_with_broker(&[]);
    let proxies = [(); 2].map(|()| Proxy::start(port));
    let _workers = two_workers(&proxies, &api);
    executions_survive_chaos(&proxies, &api);
}
