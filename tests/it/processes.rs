//! Workers and the processes of attempts are killed, stopped and broken from within.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tinpot_tests::{
    Api, Mosquitto, Program, QUICK, coordinator, family, is_alive, marks, wait_for,
    wait_for_deaths, wait_for_workers, worker,
};

struct Site {
    broker: Mosquitto,
    _coordinator: Program,
    api: Api,
    worker: Program,
    directory: tempfile::TempDir,
}

impl Site {
    /// A coordinator and a worker called `first` with that many slots.
    fn start(slots: &str) -> Self {
        let broker = Mosquitto::start();
        let (coordinator, api) = coordinator(&broker.url(), &QUICK);
        let mut env = QUICK.to_vec();
        env.extend([("WORKER_NAME", "first"), ("CONCURRENCY", slots)]);
        let worker = worker(&broker.url(), &env);
        wait_for_workers(&api, &["first"]);
        let directory = tempfile::tempdir().expect("a directory");
        Self { broker, _coordinator: coordinator, api, worker, directory }
    }

    /// A worker called `second`.
    fn second(&self) -> Program {
        let mut env = QUICK.to_vec();
        env.push(("WORKER_NAME", "second"));
        let worker = worker(&self.broker.url(), &env);
        wait_for_workers(&self.api, &["second"]);
        worker
    }

    /// Starts an action that writes down its process id; the id of the execution, and that.
    fn running(&self, action: &str, name: &str, mut body: Value) -> (String, i32) {
        let file = self.directory.path().join(name);
        body["parameters"]["file"] = json!(file);
        let (status, answer) = self.api.post(&format!("/api/actions/{action}/execute"), &body);
        assert_eq!(status, 200, "{answer}");
        let id = answer["execution_id"].as_str().expect("an id").to_owned();
        (id, first_mark(&file))
    }

    fn hold(&self, seconds: f64) -> (String, i32) {
        let body = json!({"parameters": {"seconds": seconds}});
        self.running("hold", &format!("hold {seconds}"), body)
    }

    fn guarded(&self) -> (String, i32) {
        self.running("guarded", "guarded", json!({"parameters": {"seconds": 1000}}))
    }

    fn cancel(&self, id: &str) {
        let (status, body) = self.api.post(&format!("/api/executions/{id}/cancel"), &json!({}));
        assert_eq!(status, 200, "{body}");
    }

    /// Returns the records of the attempts: their workers and outcomes.
    fn attempts(&self, id: &str) -> Vec<(String, String)> {
        let execution = self.api.execution(id);
        let attempts = execution["attempts"].as_array().cloned().unwrap_or_default();
        let told = |attempt: &Value| {
            let worker = attempt["worker"].as_str().unwrap_or_default();
            let status = attempt["outcome"]["status"].as_str().unwrap_or_default();
            (worker.split('-').next().unwrap_or_default().to_owned(), status.to_owned())
        };
        attempts.iter().map(told).collect()
    }
}

fn first_mark(file: &Path) -> i32 {
    let line = wait_for("the start", || marks(file).into_iter().next().ok_or("no mark"));
    line.split(' ').next().and_then(|pid| pid.parse().ok()).expect("a process id")
}

fn told(attempts: &[(&str, &str)]) -> Vec<(String, String)> {
    attempts.iter().map(|(worker, status)| ((*worker).to_owned(), (*status).to_owned())).collect()
}

#[test]
fn attempts_of_a_killed_worker_are_lost_or_retried() {
    let mut site = Site::start("3");
    let (lost, process) = site.hold(1000.0);
    let (retried, retried_process) = site.guarded();
    let file = site.directory.path().join("family");
    let family_id = site.api.submit("family", json!({"file": file}));
    let mut processes = family(&file);
    processes.extend([process, retried_process]);
    let _second = site.second();
    let begin = Instant::now();
    site.worker.kill();
    wait_for_deaths(&processes);
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    site.api.wait_for_end(&lost, "lost");
    site.api.wait_for_end(&family_id, "lost");
    // Not before the lease has expired; the last beat was heard up to one interval before.
    assert!(begin.elapsed() >= Duration::from_secs_f64(4.2), "{:?}", begin.elapsed());
    site.api.wait_for_end(&retried, "succeeded");
    assert_eq!(site.attempts(&lost), told(&[("first", "lost")]));
    assert_eq!(site.attempts(&retried), told(&[("first", "lost"), ("second", "succeeded")]));
    let lines = marks(&site.directory.path().join("guarded"));
    assert!(lines.len() == 2 && lines[1].ends_with("alone"), "{lines:?}");
}

/// Kills a worker and starts it again with the same state directory. The leases are so long that only proof ends what the first one held.
fn comes_again(containment: &str, is_proof: bool) {
    let broker = Mosquitto::start();
    let (_coordinator, api) = coordinator(&broker.url(), &[]);
    let directory = tempfile::tempdir().expect("a directory");
    let state = directory.path().join("state");
    let start = || {
        let env = [
            ("WORKER_NAME", "phoenix"),
            ("TINPOT_STATE_DIR", state.to_str().expect("a path in UTF-8")),
            ("TINPOT_CONTAINMENT", containment),
        ];
        worker(&broker.url(), &env)
    };
    let mut first = start();
    wait_for_workers(&api, &["phoenix"]);
    let file = |name: &str| directory.path().join(name);
    let submit = |action: &str| api.submit(action, json!({"file": file(action), "seconds": 1000}));
    let (lost, retried) = (submit("hold"), submit("guarded"));
    let processes = [first_mark(&file("hold")), first_mark(&file("guarded"))];
    for id in [&lost, &retried] {
        api.wait_for_start(id);
    }
    first.kill();
    let mut second = start();
    if is_proof {
        api.wait_for_end(&lost, "lost");
        api.wait_for_end(&retried, "succeeded");
        let lines = marks(&file("guarded"));
        assert!(lines.len() == 2 && lines[1].ends_with("alone"), "{lines:?}");
    } else {
        // It works, and the attempt that the first one may still run was not granted to it.
        for _ in 0..3 {
            assert_eq!(api.run("is_there", json!({"process": processes[0]}))["result"], false);
        }
        assert_eq!((api.status(&lost), api.status(&retried)), ("running".into(), "running".into()));
    }
    second.terminate();
    assert_eq!(second.wait().code(), Some(0), "{}", second.output());
    let notes = std::fs::read_dir(&state).expect("a directory").count();
    assert_eq!(notes, 0, "an end in order needs no note");
}

#[test]
fn a_worker_that_comes_again_proves_that_its_earlier_life_is_over() {
    // Without cgroups the worker says so, and the test proves nothing.
    let broker = Mosquitto::start();
    let (_coordinator, api) = coordinator(&broker.url(), &QUICK);
    let probe = worker(&broker.url(), &[("WORKER_NAME", "probe")]);
    wait_for_workers(&api, &["probe"]);
    let has_cgroups = !probe.output().contains("not cgroups");
    comes_again("auto", has_cgroups);
}

#[test]
fn without_cgroups_a_worker_that_comes_again_proves_nothing() {
    comes_again("process-group", false);
}

#[test]
fn a_worker_that_was_stopped_for_too_long_drops_what_it_held() {
    let site = Site::start("3");
    let (late, _) = site.hold(8.0);
    let (endless, process) = site.hold(1000.0);
    let (retried, retried_process) = site.guarded();
    let _second = site.second();
    site.worker.signal(Signal::STOP);
    for id in [&late, &endless] {
        site.api.wait_for_end(id, "lost");
    }
    site.api.wait_for_end(&retried, "succeeded");
    // Its processes were not stopped. One of them may overlap with its successor: the promise
    // excludes such a pause.
    assert!(is_alive(process) && is_alive(retried_process));
    wait_for("the end of the late one", || {
        match marks(&site.directory.path().join("hold 8")).len() {
            2 => Ok(()),
            count => Err(count),
        }
    });
    site.worker.signal(Signal::CONT);
    wait_for_deaths(&[process, retried_process]);
    wait_for("it to be idle and heard", || {
        let (_, body) = site.api.get("/api/workers");
        let workers = body["workers"].as_array().cloned().unwrap_or_default();
        let idle = |worker: &&Value| worker["name"] == "first" && worker["executions"] == json!([]);
        if workers.iter().any(|worker| idle(&worker)) { Ok(()) } else { Err(body) }
    });
    // All slots are free again, and what the late one had to tell came too late.
    for _ in 0..6 {
        assert_eq!(site.api.run("is_there", json!({"process": process}))["result"], false);
    }
    for id in [&late, &endless] {
        assert_eq!(site.attempts(id), told(&[("first", "lost")]));
        assert_eq!(site.api.status(id), "lost");
    }
    assert_eq!(site.attempts(&retried), told(&[("first", "lost"), ("second", "succeeded")]));
}

#[test]
fn a_process_that_is_stopped_can_still_be_ended() {
    let site = Site::start("2");
    let body = json!({"options": {"timeout": 0.5}});
    let (timed_out, first) = site.running("freeze", "one", body);
    let (cancelled, second) = site.running("freeze", "two", json!({}));
    site.cancel(&cancelled);
    site.api.wait_for_end(&timed_out, "timed_out");
    site.api.wait_for_end(&cancelled, "cancelled");
    assert!(!is_alive(first) && !is_alive(second), "the end is reported when they are dead");
}

#[test]
fn a_slot_is_free_only_once_its_processes_are_dead() {
    let site = Site::start("1");
    let (cancelled, process) = site.running("deaf", "deaf", json!({}));
    let next = site.api.submit("is_there", json!({"process": process}));
    let begin = Instant::now();
    site.cancel(&cancelled);
    assert_eq!(site.api.status(&cancelled), "cancelling");
    site.api.wait_for_end(&cancelled, "cancelled");
    assert!(!is_alive(process));
    // It was asked first.
    assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());
    site.api.wait_for_end(&next, "succeeded");
    assert_eq!(site.api.execution(&next)["outcome"]["result"], json!(false));
}

#[test]
fn an_attempt_that_breaks_its_interpreter_fails_alone() {
    let site = Site::start("2");
    let (neighbour, process) = site.hold(1000.0);
    for (action, parameters, how) in [
        ("segfault", json!({}), "signal 11 (SIGSEGV)"),
        ("leave", json!({"code": 3}), "exit code 3"),
        ("shoot", json!({}), "signal 9 (SIGKILL), for example because memory ran out"),
        ("exhaust", json!({}), "MemoryError"),
        ("leave", json!({"code": 0}), "exit code 0"),
    ] {
        let answer = site.api.run(action, parameters);
        assert_eq!(answer["status"], "FAILURE", "{action}: {answer}");
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(error.contains(how), "{action}: {error}");
    }
    assert_eq!(site.api.run("is_there", json!({"process": process}))["result"], true);
    assert_eq!(site.api.status(&neighbour), "running");
    let (_, body) = site.api.get("/api/workers");
    assert_eq!(body["workers"].as_array().map(Vec::len), Some(1), "the same worker: {body}");
}
