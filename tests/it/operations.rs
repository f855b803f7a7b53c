//! The work of operators: queues are paused and workers drained, while executions run and processes
//! die.

use serde_json::{Value, json};
use tinpot_tests::{Api, Durable, Mosquitto, QUICK, wait_for, wait_for_workers, worker};

fn queue(api: &Api, name: &str) -> Value {
    let (status, body) = api.get("/api/queues");
    assert_eq!(status, 200, "{body}");
    let queues = body["queues"].as_array().expect("queues");
    queues.iter().find(|queue| queue["name"] == name).cloned().unwrap_or_default()
}

fn talk(api: &Api, count: u32) -> String {
    let parameters = json!({"file": "/dev/null", "text": "x", "count": count, "seconds": 0.1});
    let id = api.submit("chatty", parameters);
    api.wait_for_start(&id);
    id
}

#[test]
fn a_queue_stays_paused_across_a_kill_of_the_coordinator_and_attempts_continue() {
    let broker = Mosquitto::start();
    let durable = Durable::new(&broker.url(), &QUICK);
    let (mut coordinator, api) = durable.start();
    let mut env = QUICK.to_vec();
    env.push(("WORKER_NAME", "one"));
    let _worker = worker(&broker.url(), &env);
    wait_for_workers(&api, &["one"]);
    let running = talk(&api, 20);
    let (status, paused) = api.post("/api/queues/default/pause", &json!({}));
    assert_eq!((status, &paused["paused"]), (200, &json!(true)), "{paused}");
    let waiting = api.submit("mark", json!({"file": "/dev/null", "text": "x"}));
    coordinator.kill();
    let (_coordinator, api) = durable.start();
    let again = queue(&api, "default");
    assert_eq!((&again["paused"], &again["paused_at"]), (&json!(true), &paused["paused_at"]));
    wait_for_workers(&api, &["one"]);
    api.wait_for_end(&running, "succeeded");
    // The worker has room now, and takes nothing of it.
    let elsewhere = json!({"parameters": {"file": "/dev/null", "text": "x"}, "options": {"queue": "elsewhere"}});
    let (status, body) = api.post("/api/actions/mark/sync_execute", &elsewhere);
    assert_eq!((status, &body["result"]), (200, &json!("x")), "{body}");
    assert_eq!(api.status(&waiting), "queued");
    let seen = queue(&api, "default");
    assert_eq!(
        (&seen["waiting"], &seen["reason"]),
        (&json!(1), &json!("the queue is paused")),
        "{seen}"
    );
    let (status, resumed) = api.post("/api/queues/default/resume", &json!({}));
    assert_eq!((status, &resumed["paused"]), (200, &json!(false)), "{resumed}");
    api.wait_for_end(&waiting, "succeeded");
}

#[test]
fn a_drained_worker_exits_once_its_attempts_have_ended() {
    let broker = Mosquitto::start();
    let (_coordinator, api) = tinpot_tests::coordinator(&broker.url(), &[]);
    let mut leaves = worker(&broker.url(), &[("WORKER_NAME", "leaves")]);
    wait_for_workers(&api, &["leaves"]);
    let running = talk(&api, 10);
    let (_, body) = api.get("/api/workers");
    let id = body["workers"][0]["id"].as_str().expect("an id").to_owned();
    let (status, body) = api.post(&format!("/api/workers/{id}/drain"), &json!({}));
    assert_eq!(status, 202, "{body}");
    let waiting = api.submit("mark", json!({"file": "/dev/null", "text": "x"}));
    assert_eq!(leaves.wait().code(), Some(0), "{}", leaves.output());
    api.wait_for_end(&running, "succeeded");
    wait_for("its goodbye", || match api.get("/api/workers") {
        (200, body) if body["workers"] == json!([]) => Ok(()),
        other => Err(other),
    });
    assert_eq!(api.status(&waiting), "queued");
    let _stays = worker(&broker.url(), &[("WORKER_NAME", "stays")]);
    api.wait_for_end(&waiting, "succeeded");
}
