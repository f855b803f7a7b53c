//! Actions that have others run, over mosquitto: results, errors, other workers, cancels, depth.

use serde_json::{Value, json};
use tinpot_tests::{
    Api, Mosquitto, Program, QUICK, coordinator, is_alive, marks, wait_for, wait_for_workers,
    worker,
};

struct Site {
    broker: Mosquitto,
    _coordinator: Program,
    api: Api,
    near: Program,
    directory: tempfile::TempDir,
}

impl Site {
    /// A coordinator and a worker of queue `default` with one slot.
    fn start() -> Self {
        let broker = Mosquitto::start();
        let (coordinator, api) = coordinator(&broker.url(), &QUICK);
        let near = named(&broker, "near", "default");
        wait_for_workers(&api, &["near"]);
        let directory = tempfile::tempdir().expect("a directory");
        Self { broker, _coordinator: coordinator, api, near, directory }
    }

    /// A worker of queue `special`.
    fn far(&self) -> Program {
        let far = named(&self.broker, "far", "special");
        wait_for_workers(&self.api, &["far"]);
        far
    }

    fn result(&self, action: &str, parameters: Value) -> Value {
        let answer = self.api.run(action, parameters);
        assert_eq!(answer["status"], "SUCCESS", "{answer}");
        answer["result"].clone()
    }

    /// Returns the child that `waits_elsewhere` called, once it exists.
    fn child(&self, parent: &str) -> String {
        wait_for("the child", || match self.api.children(parent).as_slice() {
            [one] => Ok(one.clone()),
            other => Err(other.to_vec()),
        })
    }

    fn cancel(&self, id: &str) {
        let (status, body) = self.api.post(&format!("/api/executions/{id}/cancel"), &json!({}));
        assert_eq!(status, 200, "{body}");
    }
}

fn named(broker: &Mosquitto, name: &str, queue: &str) -> Program {
    let mut env = QUICK.to_vec();
    env.extend([("WORKER_NAME", name), ("QUEUES", queue), ("CONCURRENCY", "1")]);
    worker(&broker.url(), &env)
}

#[test]
fn every_way_to_call_gives_the_result_and_one_child_each() {
    let site = Site::start();
    let answer = site.api.run("calls", json!({}));
    assert_eq!(answer["result"], json!([3, 7, 6, 15, [0, 1, 2]]), "{answer}");
    let parent = answer["execution_id"].as_str().expect("an id");
    let children = site.api.children(parent);
    assert_eq!(children.len(), 6, "the plain call is a step and no execution");
    for (place, id) in children.iter().enumerate() {
        let child = site.api.execution(id);
        assert_eq!((&child["action_name"], &child["status"]), (&json!("add"), &json!("succeeded")));
        let link = &child["parent"];
        assert_eq!((&link["execution_id"], &link["depth"]), (&json!(parent), &json!(1)));
        // Newest first; those that were submitted are not waited for from the start.
        assert_eq!(link["waits"], json!(place >= 3), "{child}");
        assert_eq!(site.api.lines(id), ["adding"], "each has a log of its own");
    }
    let (_, steps) = site.api.get(&format!("/api/executions/{parent}/spans"));
    let linked = steps["children"].as_array().expect("children").iter().rev();
    let linked: Vec<_> = linked.map(|child| child["execution_id"].clone()).collect();
    assert_eq!(json!(linked), json!(children), "each is recorded once, in the order of the calls");
    assert_eq!(site.api.execution(parent)["parent"], Value::Null);
    let (status, body) = site.api.get("/api/executions?parent=nonsense");
    assert_eq!(status, 422, "{body}");
}

#[test]
fn an_error_of_a_child_arrives_with_its_own_traceback() {
    let site = Site::start();
    let told = site
        .result("catches", json!({"action": "broken", "parameters": {"why": "the disk is gone"}}));
    assert_eq!((&told["kind"], &told["status"]), (&json!("LookupError"), &json!("failed")));
    assert_eq!(told["message"], "the disk is gone");
    let trace = told["traceback"].as_str().expect("a traceback");
    assert!(trace.contains("in deep") && trace.contains("children.py"), "{trace}");
    let child = told["execution"].as_str().expect("the child's id");
    assert_eq!(site.api.execution(child)["outcome"]["kind"], "LookupError");

    let answer = site.api.run("passes_on", json!({}));
    assert_eq!(answer["status"], "FAILURE", "{answer}");
    let trace = answer["traceback"].as_str().expect("a traceback");
    for part in [
        "ActionError",
        "in passes_on",
        "Traceback of the called action",
        "in deep",
        "the disk is gone",
    ] {
        assert!(trace.contains(part), "{part:?} is not in {trace}");
    }

    let refused = |action: &str, parameters: Value| {
        site.result("catches", json!({"action": action, "parameters": parameters}))
    };
    let told = refused("add", json!({"a": "one", "c": 2}));
    assert_eq!((&told["kind"], &told["status"]), (&json!("InvalidParameters"), &json!("refused")));
    let message = told["message"].as_str().expect("a message");
    assert!(message.contains("a must be") && message.contains("c is not a parameter"), "{message}");
    let told = refused("no_such_action", json!({}));
    assert_eq!((&told["kind"], &told["status"]), (&json!("NotFound"), &json!("refused")));
    assert_eq!(told["execution"], Value::Null);
}

#[test]
fn a_child_of_another_queue_runs_on_its_own_worker() {
    let site = Site::start();
    let waiting = site.api.submit("asks_elsewhere", json!({}));
    let child = site.child(&waiting);
    assert_eq!(site.api.status(&child), "queued", "no worker serves its queue");
    // The slot is free meanwhile, and the worker says who waits.
    assert_eq!(site.result("add", json!({"a": 1})), 2);
    let (_, body) = site.api.get("/api/workers");
    let running = &body["workers"][0]["running"];
    assert_eq!(running[0]["action_name"], "asks_elsewhere", "{body}");
    assert_eq!((&running[0]["waits"], running.get(1)), (&json!(true), None), "{body}");
    let far = site.far();
    site.api.wait_for_end(&waiting, "succeeded");
    let result = site.api.execution(&waiting)["outcome"]["result"].clone();
    assert_eq!(result[0][0], "there");
    assert_ne!(result[0][1], result[1], "they ran below different workers");
    let worker = site.api.execution(&child)["attempts"][0]["worker"].clone();
    assert!(worker.as_str().is_some_and(|id| id.starts_with("far-")), "{worker}");
    drop(far);
}

#[test]
fn a_cancel_takes_the_child_with_it_wherever_it_is() {
    let site = Site::start();
    let file = site.directory.path().join("child");
    let parameters = json!({"file": file});

    // It waits in its queue, which no worker serves.
    let parent = site.api.submit("waits_elsewhere", parameters.clone());
    let child = site.child(&parent);
    site.cancel(&parent);
    site.api.wait_for_end(&parent, "cancelled");
    site.api.wait_for_end(&child, "cancelled");
    assert_eq!(site.api.execution(&child)["attempts"], json!([]));

    // It runs, on another worker.
    let _far = site.far();
    let parent = site.api.submit("waits_elsewhere", parameters.clone());
    let child = site.child(&parent);
    let running = wait_for("its start", || marks(&file).first().cloned().ok_or("no mark"));
    site.cancel(&parent);
    site.api.wait_for_end(&parent, "cancelled");
    site.api.wait_for_end(&child, "cancelled");
    assert!(!is_alive(running.parse().expect("a process id")));

    // Only the child is cancelled: its parent receives that outcome.
    let body = json!({"action": "hold_elsewhere", "parameters": {"file": file}});
    let parent = site.api.submit("catches", body);
    let child = site.child(&parent);
    wait_for("its start", || match marks(&file).len() {
        2 => Ok(()),
        other => Err(other),
    });
    site.cancel(&child);
    site.api.wait_for_end(&parent, "succeeded");
    assert_eq!(site.api.execution(&parent)["outcome"]["result"]["status"], "cancelled");
}

#[test]
fn a_child_ends_with_the_worker_of_its_parent() {
    let mut site = Site::start();
    let _far = site.far();
    let file = site.directory.path().join("child");
    let parent = site.api.submit("waits_elsewhere", json!({"file": file}));
    let child = site.child(&parent);
    let running = wait_for("its start", || marks(&file).first().cloned().ok_or("no mark"));
    site.near.kill();
    site.api.wait_for_end(&parent, "lost");
    site.api.wait_for_end(&child, "cancelled");
    assert!(!is_alive(running.parse().expect("a process id")));
}

#[test]
fn a_parent_learns_that_the_worker_of_its_child_is_lost() {
    let site = Site::start();
    let mut far = site.far();
    let file = site.directory.path().join("child");
    let body = json!({"action": "hold_elsewhere", "parameters": {"file": file}});
    let parent = site.api.submit("catches", body);
    wait_for("its start", || marks(&file).first().cloned().ok_or("no mark"));
    far.kill();
    site.api.wait_for_end(&parent, "succeeded");
    assert_eq!(site.api.execution(&parent)["outcome"]["result"]["status"], "lost");
}

#[test]
fn there_is_an_end_to_nesting() {
    let site = Site::start();
    assert_eq!(site.result("nest", json!({"depth": 4})), 4);
    let answer = site.api.run("nest", json!({"depth": 100}));
    assert_eq!(answer["status"], "FAILURE", "{answer}");
    let error = answer["error"].as_str().expect("an error");
    assert!(error.contains("may be nested"), "{error}");
    assert_eq!(site.result("add", json!({"a": 1})), 2, "the slot is free again");
}
