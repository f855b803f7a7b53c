//! Processes that actions start end with them and with the worker, even those that left both
//! behind.

use std::time::{Duration, Instant};

use serde_json::json;
use tinpot_tests::{
    Api, Mosquitto, Program, QUICK, coordinator, family, is_alive, run_example, wait_for_deaths,
    wait_for_workers, worker,
};

/// The words at start that name this kind.
const KINDS: [(&str, &[&str]); 2] = [
    // Which of the two depends on the machine.
    ("auto", &["contained by cgroups below /", "contained by process groups"]),
    ("process-group", &["contained by process groups and a search for descendants, not cgroups: "]),
];

/// A coordinator with one worker of that kind.
struct Site {
    _broker: Mosquitto,
    _coordinator: Program,
    api: Api,
    worker: Program,
}

impl Site {
    fn start(kind: &str) -> Self {
        let broker = Mosquitto::start();
        let (coordinator, api) = coordinator(&broker.url(), &QUICK);
        let mut env = QUICK.to_vec();
        env.push(("TINPOT_CONTAINMENT", kind));
        let worker = worker(&broker.url(), &env);
        wait_for_workers(&api, &["worker"]);
        Self { _broker: broker, _coordinator: coordinator, api, worker }
    }
}

#[test]
fn a_killed_worker_takes_daemons_with_it() {
    for (kind, said) in KINDS {
        let mut site = Site::start(kind);
        let (api, output) = (&site.api, site.worker.output());
        assert!(said.iter().any(|said| output.contains(said)), "{kind}: {output}");
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("ids");
        let id = api.submit("outcast", json!({"file": file}));
        let ids = family(&file);
        assert!(ids.iter().all(|id| is_alive(*id)), "{ids:?}");
        site.worker.kill();
        let begin = Instant::now();
        wait_for_deaths(&ids);
        assert!(begin.elapsed() < Duration::from_secs(2), "{kind}: {:?}", begin.elapsed());
        api.wait_for_end(&id, "lost");
    }
}

#[test]
fn daemons_are_dead_before_a_stop_is_reported() {
    for (kind, _) in KINDS {
        let Site { api, .. } = &Site::start(kind);
        let directory = tempfile::tempdir().expect("a directory");
        for (options, end) in [(json!({}), "cancelled"), (json!({"timeout": 3}), "timed_out")] {
            let file = directory.path().join(end);
            let body = json!({"parameters": {"file": file}, "options": options});
            let (status, answer) = api.post("/api/actions/outcast/execute", &body);
            assert_eq!(status, 200, "{answer}");
            let id = answer["execution_id"].as_str().expect("an id");
            let ids = family(&file);
            if end == "cancelled" {
                api.post(&format!("/api/executions/{id}/cancel"), &json!({}));
            }
            api.wait_for_end(id, end);
            let left: Vec<_> = ids.into_iter().filter(|id| is_alive(*id)).collect();
            assert!(left.is_empty(), "{kind}, {end}: {left:?}");
        }
    }
}

#[test]
fn a_containment_that_does_not_exist_is_named() {
    let output = run_example("worker", &[], &[("TINPOT_CONTAINMENT", "jail")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    for part in ["--containment", "\"jail\"", "auto, cgroup or process-group"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
