//! A disk is full: nothing new is accepted, what runs goes on, and once there is room all is as before.

use std::time::{Duration, Instant};

use serde_json::json;
use tinpot_tests::{
    Durable, FullDisk, Mosquitto, QUICK, Random, marks, wait_for, wait_for_workers, worker,
};

/// Longer than the coordinator's lease.
const OUTAGE: Duration = Duration::from_secs(6);

#[test]
fn a_coordinator_does_not_start_on_a_full_disk() {
    let disk = FullDisk::new();
    let durable = Durable::new("tcp://127.0.0.1:1", &[]);
    let limited = disk.environment(&durable.store());
    let durable = durable.with(limited);
    disk.set_room(10_000);
    let mut coordinator = durable.begin(None);
    assert_eq!(coordinator.wait().code(), Some(1));
    let told = coordinator.output();
    assert!(told.contains("tinpot.db") && told.contains("the disk is full"), "{told}");
    // Nothing of it is in the way once there is room.
    disk.set_room(i64::MAX);
    let (_coordinator, api) = durable.start();
    assert_eq!(api.get("/api/executions").0, 200);
}

#[test]
fn a_full_disk_stops_what_is_new_and_nothing_else() {
    let mut random = Random::new();
    let broker = Mosquitto::start();
    let disk = FullDisk::new();
    let durable = Durable::new(&broker.url(), &QUICK);
    let limited = disk.environment(&durable.store());
    let durable = durable.with(limited);
    let (coordinator, api) = durable.start();
    let mut env = QUICK.to_vec();
    env.extend([("WORKER_NAME", "one"), ("CONCURRENCY", "4")]);
    let _worker = worker(&broker.url(), &env);
    wait_for_workers(&api, &["one"]);
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str| directory.path().join(name);
    let stop = file("stop");

    // One ends while the disk is full, one writes all the time, and two outlive the outage.
    let quick = api.submit(
        "chatty",
        json!({"file": file("quick"), "text": "quick", "count": 20, "seconds": 2}),
    );
    let writer = api.submit("until", json!({"file": stop}));
    let held = ["hold", "guarded"]
        .map(|action| api.submit(action, json!({"file": file(action), "seconds": 8})));
    for id in [&quick, &writer, &held[0], &held[1]] {
        api.wait_for_start(id);
    }

    disk.set_room(random.below(20_000) as i64);
    let begin = Instant::now();
    let mark = |text: &str| json!({"parameters": {"file": file("marks"), "text": text}});
    let mut accepted = 0;
    let refusal = wait_for("a refusal", || {
        match api.post("/api/actions/mark/execute", &mark(&accepted.to_string())) {
            (200, _) => {
                accepted += 1;
                Err("accepted")
            }
            (507, body) => Ok(body),
            other => panic!("{other:?}"),
        }
    });
    assert!(refusal["detail"].as_str().is_some_and(|detail| detail.contains("store")), "{refusal}");
    // What is there can be read; what ends is not said to have ended before that is recorded.
    while begin.elapsed() < OUTAGE {
        let (status, body) = api.post("/api/actions/mark/execute", &mark("refused"));
        assert_eq!(status, 507, "{body}");
        assert_eq!(api.status(&quick), "running");
        let (_, body) = api.get("/api/workers");
        assert_eq!(body["workers"].as_array().map(Vec::len), Some(1), "{body}");
        assert!(
            body["workers"][0]["silent_for"].as_f64().is_some_and(|silent| silent < 3.0),
            "{body}"
        );
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let (status, _) = api.post(&format!("/api/executions/{}/cancel", held[0]), &json!({}));
    assert_eq!(status, 507, "a cancel cannot be recorded either");
    wait_for("monitoring to see it", || match api.get("/ready") {
        (503, body) if body.to_string().contains("store is full") => Ok(()),
        other => Err(other),
    });

    disk.set_room(i64::MAX);
    wait_for("an acceptance", || match api.post("/api/actions/mark/execute", &mark("later")) {
        (200, _) => Ok(()),
        other => Err(other),
    });
    wait_for("monitoring to see it", || match api.get("/ready") {
        (200, _) => Ok(()),
        other => Err(other),
    });
    std::fs::write(&stop, "").expect("a file");
    api.wait_for_end(&quick, "succeeded");
    api.wait_for_end(&writer, "succeeded");
    for id in [&quick, &writer, &held[0], &held[1]] {
        let execution = api.execution(id);
        assert_eq!(execution["attempts"].as_array().map(Vec::len), Some(1), "{execution}");
    }
    api.wait_for_end(&held[1], "succeeded");
    let count = api.execution(&writer)["outcome"]["result"].as_u64().expect("a number of lines");
    let expected: Vec<String> = (1..=count).map(|number| format!("line {number}")).collect();
    wait_for("the last lines", || match api.lines(&writer) {
        lines if lines == expected => Ok(()),
        lines => Err(lines.len()),
    });
    let (_, page) = api.get("/api/executions?action=mark&limit=100");
    let executions = page["executions"].as_array().expect("a page");
    assert_eq!(executions.len(), accepted + 1, "those that were refused left nothing");
    for execution in executions {
        api.wait_for_end(execution["execution_id"].as_str().expect("an id"), "succeeded");
    }
    let mut expected: Vec<String> = (0..accepted).map(|number| number.to_string()).collect();
    expected.push("later".to_owned());
    let mut texts = marks(&file("marks"));
    texts.sort();
    expected.sort();
    assert_eq!(texts, expected);
    let told = coordinator.output();
    for words in ["the disk is full", "nothing new is accepted until it can", "can write again"] {
        assert!(told.contains(words), "{words:?} is not in {told}");
    }
    assert!(told.lines().count() < 10, "once is enough: {told}");
}

#[test]
fn a_worker_with_a_full_disk_takes_no_new_work() {
    let broker = Mosquitto::start();
    let durable = Durable::new(&broker.url(), &QUICK);
    let (_coordinator, api) = durable.start();
    let directory = tempfile::tempdir().expect("a directory");
    let disk = FullDisk::new();
    let temporary = directory.path().join("tmp");
    std::fs::create_dir(&temporary).expect("a directory");
    let limited = disk.environment(&temporary);
    let mut env = QUICK.to_vec();
    let place = temporary.to_str().expect("a path in UTF-8");
    env.extend([("WORKER_NAME", "one"), ("TMPDIR", place)]);
    env.extend(limited.iter().map(|(name, value)| (*name, value.as_str())));
    let worker = worker(&broker.url(), &env);
    wait_for_workers(&api, &["one"]);
    let file = |name: &str| directory.path().join(name);
    let held = api.submit("hold", json!({"file": file("held"), "seconds": 8}));
    api.wait_for_start(&held);

    disk.set_room(0);
    wait_for("a worker without actions", || {
        let (_, body) = api.get("/api/workers");
        let told = body["workers"][0]["problems"].to_string();
        if told.contains("temporary files") { Ok(()) } else { Err(body) }
    });
    let waiting = api.submit("mark", json!({"file": file("marks"), "text": "later"}));
    api.wait_for_end(&held, "succeeded");
    assert_eq!(api.status(&waiting), "queued");

    disk.set_room(i64::MAX);
    api.wait_for_end(&waiting, "succeeded");
    assert_eq!(marks(&file("marks")), ["later"]);
    let told = worker.output();
    assert!(told.contains("no attempt is accepted"), "{told}");
}
