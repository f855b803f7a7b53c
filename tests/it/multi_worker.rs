//! The example of several workers, started as its README says.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tinpot_tests::{Api, Mosquitto, Program, QUICK, coordinator, wait_for, wait_for_workers};

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/multi_worker");

/// The settings of every worker in the README, in its order.
fn documented(environments: &Path) -> Vec<Vec<(String, String)>> {
    let readme = std::fs::read_to_string(format!("{HERE}/README.md")).expect("the README");
    let commands = readme.lines().filter(|line| line.ends_with("--example worker"));
    let environments = environments.to_str().expect("a path in UTF-8");
    let setting = |word: &str| {
        let (name, value) = word.split_once('=')?;
        // They are meant for the root of the repository, and the environments of this test are its own.
        let value = value
            .replace("examples/multi_worker/.venv", environments)
            .replace("examples/multi_worker", HERE);
        Some((name.to_owned(), value))
    };
    commands.map(|line| line.split(' ').map_while(setting).collect()).collect()
}

struct Site {
    broker: Mosquitto,
    _coordinator: Program,
    api: Api,
    documented: Vec<Vec<(String, String)>>,
    directory: tempfile::TempDir,
}

impl Site {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let setup = Command::new("sh")
            .arg(format!("{HERE}/setup.sh"))
            .arg(directory.path())
            .output()
            .expect("sh runs");
        assert!(setup.status.success(), "{setup:?}");
        let broker = Mosquitto::start();
        let (coordinator, api) = coordinator(&broker.url(), &QUICK);
        let documented = documented(directory.path());
        Self { broker, _coordinator: coordinator, api, documented, directory }
    }

    /// Starts a worker of the README, under that name, and waits until it is there.
    fn worker(&self, of: &str, name: &str) -> Program {
        let is_it = |(key, value): &(String, String)| key == "WORKER_NAME" && value == of;
        let found = self.documented.iter().find(|settings| settings.iter().any(is_it));
        let broker = self.broker.url();
        let mut env = QUICK.to_vec();
        env.extend(found.expect("such a worker").iter().map(|(n, v)| (n.as_str(), v.as_str())));
        env.extend([("MQTT_BROKER", broker.as_str()), ("WORKER_NAME", name)]);
        let program = Program::start("worker", &env);
        wait_for_workers(&self.api, &[name]);
        program
    }

    /// The name of the worker that has, or had, the last attempt at an execution.
    fn ran_on(&self, id: &str) -> String {
        let execution = self.api.execution(id);
        let last = execution["attempts"].as_array().and_then(|attempts| attempts.last());
        let worker = last.and_then(|attempt| attempt["worker"].as_str()).expect("a worker");
        worker.rsplit_once('-').expect("a name and more").0.to_owned()
    }

    fn queue(&self, name: &str) -> Value {
        let (_, body) = self.api.get("/api/queues");
        let queues = body["queues"].as_array().cloned().unwrap_or_default();
        let found = queues.into_iter().find(|queue| queue["name"] == name);
        found.unwrap_or_else(|| panic!("no queue {name}: {body}"))
    }

    /// Returns the running actions and executions that a worker reports.
    fn doing(&self, worker: &str) -> Vec<(String, String)> {
        let (_, body) = self.api.get("/api/workers");
        let workers = body["workers"].as_array().cloned().unwrap_or_default();
        let found = workers.into_iter().find(|one| one["name"] == worker);
        let running = found.expect("the worker")["running"].as_array().cloned().expect("a list");
        let told = |one: &Value| {
            assert!(one["since"].is_string() && one["held_for"].as_f64() < Some(60.0), "{one}");
            let text = |field: &str| one[field].as_str().expect("a text").to_owned();
            (text("action_name"), text("execution_id"))
        };
        running.iter().map(told).collect()
    }

    fn cancel(&self, id: &str) {
        let (status, body) = self.api.post(&format!("/api/executions/{id}/cancel"), &json!({}));
        assert_eq!(status, 200, "{body}");
        self.api.wait_for_end(id, "cancelled");
    }
}

#[test]
fn each_action_runs_on_its_own_worker_and_only_there_are_its_packages() {
    let site = Site::start();
    let _workers = ["general", "devops", "ml"].map(|name| site.worker(name, name));
    let cases = [
        ("simple_task", "general", json!(null)),
        ("k8s_deploy", "devops", json!({"namespace": "default", "applied": true})),
        ("migrate", "devops", json!(null)),
        ("run_inference", "ml", json!({"model": "bert-base", "tokens": 1})),
    ];
    for (action, worker, result) in cases {
        for _ in 0..3 {
            let answer = site.api.run(action, json!({}));
            assert_eq!((&answer["status"], &answer["result"]), (&json!("SUCCESS"), &result));
            assert_eq!(site.ran_on(answer["execution_id"].as_str().expect("an id")), worker);
        }
    }
    let (_, body) = site.api.get("/api/workers");
    for worker in body["workers"].as_array().expect("workers") {
        let expected: Vec<&str> = cases_of(worker["name"].as_str().expect("a name"));
        assert_eq!(worker["actions"], json!(expected), "{worker}");
        assert_eq!(worker["problems"], json!([]), "{worker}");
    }
    for (worker, module, has) in [
        ("general", "kubernetes", false),
        ("general", "torch", false),
        ("devops", "kubernetes", true),
        ("devops", "torch", false),
        ("ml", "kubernetes", false),
        ("ml", "transformers", true),
    ] {
        let python = site.directory.path().join(worker).join("bin/python");
        let ran = Command::new(python).args(["-c", &format!("import {module}")]).output();
        assert_eq!(ran.expect("Python runs").status.success(), has, "{module} on {worker}");
    }
}

fn cases_of(worker: &str) -> Vec<&'static str> {
    match worker {
        "general" => vec!["simple_task"],
        "devops" => vec!["k8s_deploy", "migrate"],
        _ => vec!["run_inference"],
    }
}

#[test]
fn the_queue_of_a_stopped_worker_waits_and_others_continue() {
    let site = Site::start();
    let _others = ["general", "devops"].map(|name| site.worker(name, name));
    let mut ml = site.worker("ml", "ml");
    ml.terminate();
    assert_eq!(ml.wait().code(), Some(0), "{}", ml.output());
    let waiting = site.api.submit("run_inference", json!({"text": "to be or not"}));
    for action in ["simple_task", "k8s_deploy"] {
        assert_eq!(site.api.run(action, json!({}))["status"], "SUCCESS");
    }
    assert_eq!(site.api.status(&waiting), "queued");
    let queue = site.queue("ml");
    assert_eq!((&queue["waiting"], &queue["workers"]), (&json!(1), &json!(0)), "{queue}");
    let mut again = site.worker("ml", "ml");
    site.api.wait_for_end(&waiting, "succeeded");
    assert_eq!(site.api.execution(&waiting)["outcome"]["result"]["tokens"], 4);

    // Killed, it has until the end of its lease to come back.
    again.kill();
    wait_for("the end of its lease", || match site.queue("ml") {
        queue if queue["workers"] == 0 => Ok(()),
        queue => Err(queue),
    });
    let later = site.api.submit("run_inference", json!({}));
    assert_eq!(site.api.run("simple_task", json!({}))["status"], "SUCCESS");
    let _third = site.worker("ml", "ml");
    site.api.wait_for_end(&later, "succeeded");
}

#[test]
fn two_workers_share_a_queue_and_both_report() {
    let site = Site::start();
    let _workers = ["general", "ml"].map(|name| site.worker(name, name));
    let busy = json!({"seconds": 600});
    let first = site.api.submit("run_inference", busy.clone());
    site.api.wait_for_start(&first);
    let second = site.api.submit("run_inference", busy.clone());
    let third = site.api.submit("run_inference", busy.clone());
    let other = site.api.submit("simple_task", busy);
    site.api.wait_for_start(&other);
    let queue = site.queue("ml");
    let lengths = ["waiting", "granted", "workers"].map(|field| queue[field].clone());
    assert_eq!(lengths, [json!(2), json!(1), json!(1)], "{queue}");
    assert_eq!(site.doing("ml"), [("run_inference".to_owned(), first.clone())]);
    assert_eq!(site.doing("general"), [("simple_task".to_owned(), other.clone())]);

    let _more = site.worker("ml", "ml-2");
    site.api.wait_for_start(&second);
    assert_eq!((site.ran_on(&first), site.ran_on(&second)), ("ml".to_owned(), "ml-2".to_owned()));
    assert_eq!(site.doing("ml-2"), [("run_inference".to_owned(), second.clone())]);
    let queue = site.queue("ml");
    let lengths = ["waiting", "granted", "workers"].map(|field| queue[field].clone());
    assert_eq!(lengths, [json!(1), json!(2), json!(2)], "{queue}");
    site.cancel(&first);
    site.api.wait_for_start(&third);
    assert_eq!(site.ran_on(&third), "ml");
    for id in [&second, &third, &other] {
        site.cancel(id);
    }
    wait_for("idle workers", || match [site.doing("ml"), site.doing("ml-2")] {
        [one, two] if one.is_empty() && two.is_empty() => Ok(()),
        other => Err(other),
    });
}
