//! Leases do not depend on the wall clock.

use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use tinpot_tests::{Api, Mosquitto, QUICK, WallClock, coordinator, wait_for_workers, worker};

const HOUR: i64 = 3600;

/// The hours by which the clocks of the coordinator and the worker are ahead of ours.
fn hours_ahead(api: &Api) -> [i64; 2] {
    let answer = api.run("clock", json!({}));
    let execution = api.execution(answer["execution_id"].as_str().expect("an id"));
    let accepted: jiff::Timestamp =
        execution["accepted_at"].as_str().and_then(|text| text.parse().ok()).expect("a time");
    let coordinator = accepted.as_millisecond() as f64 / 1e3;
    let worker = answer["result"].as_f64().expect("a time");
    let ours = SystemTime::UNIX_EPOCH.elapsed().expect("a time after 1970").as_secs_f64();
    [coordinator, worker].map(|theirs| ((theirs - ours) / HOUR as f64).round() as i64)
}

#[test]
fn a_wall_clock_that_is_moved_changes_nothing() {
    let broker = Mosquitto::start();
    let clocks = [WallClock::new(), WallClock::new()];
    let environments = clocks.each_ref().map(WallClock::environment);
    let [at_coordinator, at_worker] = environments.each_ref().map(|environment| {
        let mut all = QUICK.to_vec();
        all.extend(environment.iter().map(|(name, value)| (*name, value.as_str())));
        all
    });
    let (_coordinator, api) = coordinator(&broker.url(), &at_coordinator);
    let mut all = at_worker.clone();
    all.extend([("WORKER_NAME", "one"), ("CONCURRENCY", "3")]);
    let _worker = worker(&broker.url(), &all);
    wait_for_workers(&api, &["one"]);
    let directory = tempfile::tempdir().expect("a directory");
    let running = ["hold", "guarded"].map(|action| {
        api.submit(action, json!({"file": directory.path().join(action), "seconds": 1000}))
    });

    for hours in [[1, 0], [-1, 0], [0, 1], [0, -1], [1, -1], [-24, 24], [0, 0]] {
        for (clock, hours) in clocks.iter().zip(hours) {
            clock.set(hours * HOUR);
        }
        assert_eq!(hours_ahead(&api), hours, "the clocks are moved");
        // A timeout is as long as ever.
        let begin = Instant::now();
        let body = json!({
            "parameters": {"file": "/dev/null", "seconds": 1000},
            "options": {"timeout": 0.3, "delay": 0.1},
        });
        let (status, answer) = api.post("/api/actions/hold/sync_execute", &body);
        assert_eq!((status, &answer["error"]), (200, &json!("timed out")), "{answer}");
        assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    }
    for id in &running {
        let execution = api.execution(id);
        assert_eq!(execution["status"], "running", "{execution}");
        assert_eq!(execution["attempts"].as_array().map(Vec::len), Some(1), "{execution}");
    }
    let (_, body) = api.get("/api/workers");
    assert_eq!(body["workers"].as_array().map(Vec::len), Some(1), "the same worker: {body}");
    assert!(body["workers"][0]["silent_for"].as_f64().is_some_and(|silent| silent < 1.0), "{body}");
}
