//! The coordinator is killed wherever it hurts, and starts again on the same store.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

use serde_json::{Value, json};
use tinpot_tests::{
    Api, Durable, Follower, Mosquitto, Program, QUICK, Random, marks, wait_for, wait_for_workers,
    worker,
};

/// Every failpoint at which a coordinator can kill itself.
const FAILPOINTS: [&str; 5] = [
    "coordinator.before-commit",
    "coordinator.after-commit",
    "coordinator.after-send",
    "logs.before-append",
    "logs.after-append",
];
/// The signal of `abort`.
const SIGABRT: i32 = 6;
/// Executions that may wait while more are submitted: enough that there is always something to interrupt.
const AHEAD: usize = 20;
const LINES: usize = 5;

/// Submits executions one after the other, each under a key of its own, however often it takes.
struct Feed {
    api: Api,
    file: PathBuf,
    /// The ids of those that were accepted, in the order of their keys.
    accepted: Vec<String>,
}

impl Feed {
    fn key(number: usize) -> String {
        format!("key {number}")
    }

    fn body(&self, number: usize) -> Value {
        let text = format!("number {number}");
        json!({"parameters": {"file": self.file, "text": text, "count": LINES, "seconds": 0.02}})
    }

    /// Submits the next one unless enough wait; one that was perhaps accepted is submitted again.
    fn next(&mut self) {
        let number = self.accepted.len();
        if number > marks(&self.file).len() + AHEAD {
            return std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
        match self.api.try_submit("chatty", &Self::key(number), &self.body(number)) {
            Ok(id) => self.accepted.push(id),
            // The process may be gone: the caller checks.
            Err(_) => std::thread::park_timeout(std::time::Duration::from_millis(5)),
        }
    }

    /// Asserts that all accepted executions succeeded, ran once and have complete logs, and that
    /// each key still means the same execution.
    fn is_complete(&self) {
        for (number, id) in self.accepted.iter().enumerate() {
            self.api.wait_for_end(id, "succeeded");
            let expected: Vec<String> =
                (1..=LINES).map(|line| format!("number {number}: line {line}")).collect();
            wait_for("the last lines", || match self.api.lines(id) {
                lines if lines == expected => Ok(()),
                lines => Err(lines),
            });
            let again = self.api.try_submit("chatty", &Self::key(number), &self.body(number));
            assert_eq!(again.as_ref(), Ok(id));
        }
        let mut texts = marks(&self.file);
        texts.sort();
        let mut expected: Vec<String> =
            (0..self.accepted.len()).map(|number| format!("number {number}")).collect();
        expected.sort();
        assert_eq!(texts, expected, "each ran once");
    }
}

fn two_workers(broker: &Mosquitto, api: &Api) -> [Program; 2] {
    let workers = ["one", "two"].map(|name| {
        let mut env = QUICK.to_vec();
        env.push(("WORKER_NAME", name));
        worker(&broker.url(), &env)
    });
    wait_for_workers(api, &["one", "two"]);
    workers
}

#[test]
fn nothing_is_lost_or_run_twice_wherever_the_coordinator_dies() {
    let mut random = Random::new();
    let broker = Mosquitto::start();
    let durable = Durable::new(&broker.url(), &QUICK);
    let (mut coordinator, api) = durable.start();
    let _workers = two_workers(&broker, &api);
    let directory = tempfile::tempdir().expect("a directory");
    let stop = directory.path().join("stop");
    let watched = api.submit("until", json!({"file": stop}));
    let follower = Follower::start(api.clone(), &watched);
    let file = directory.path().join("marks");
    let mut feed = Feed { api, file, accepted: Vec::new() };
    coordinator.kill();
    for failpoint in FAILPOINTS {
        let failpoint = format!("{failpoint}:{}", 20 + random.below(100));
        coordinator = durable.begin(Some(&failpoint));
        let status = wait_for(&failpoint, || match coordinator.ended() {
            Some(status) => Ok(status),
            None => {
                feed.next();
                Err(feed.accepted.len())
            }
        });
        assert_eq!(status.signal(), Some(SIGABRT), "{failpoint}: {}", coordinator.output());
    }
    let (_coordinator, _) = durable.start();
    let enough = feed.accepted.len() + AHEAD;
    while feed.accepted.len() < enough {
        feed.next();
    }
    std::fs::write(&stop, "").expect("a file");
    feed.is_complete();

    let followed = follower.followed();
    assert!(followed.breaks >= FAILPOINTS.len(), "{} breaks", followed.breaks);
    let count = followed.end["result"].as_u64().expect("how many lines were written");
    let expected = (1..=count).map(|number| format!("line {number}"));
    assert!(expected.eq(followed.lines.iter().cloned()), "{:?}", followed.lines);
}

#[test]
fn one_execution_survives_a_crash_at_every_step_of_its_life() {
    /// The worker sends heartbeats, too, so some failpoints are passed again and again.
    const STEPS: u64 = 8;
    let broker = Mosquitto::start();
    let durable = Durable::new(&broker.url(), &QUICK);
    let (mut coordinator, api) = durable.start();
    let _workers = two_workers(&broker, &api);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("marks");
    let mut feed = Feed { api, file, accepted: Vec::new() };
    for failpoint in FAILPOINTS {
        let mut deaths = 0;
        for step in 1..=STEPS {
            coordinator.kill();
            coordinator = durable.begin(Some(&format!("{failpoint}:{step}")));
            let number = feed.accepted.len();
            let dies = wait_for("an acceptance, a mark and the end of the log, or a death", || {
                if coordinator.ended().is_some() {
                    return Ok(true);
                }
                if feed.accepted.len() == number {
                    feed.next();
                    return Err("not accepted");
                }
                let id = &feed.accepted[number];
                match feed.api.try_get(&format!("/api/executions/{id}/logs")) {
                    Ok((200, page))
                        if page["lines"].as_array().is_some_and(|lines| lines.len() == LINES) =>
                    {
                        Ok(false)
                    }
                    _ => Err("not complete"),
                }
            });
            if !dies {
                break;
            }
            deaths += 1;
            coordinator = durable.start().0;
            while feed.accepted.len() == number {
                feed.next();
            }
        }
        // Accepted and granted, finished, and started where that is known before; and at least one commit of lines.
        let least = if failpoint.starts_with("logs") { 1 } else { 2 };
        assert!(deaths >= least, "{failpoint}: {deaths} deaths");
    }
    // It waits at a place that it may still pass.
    coordinator.kill();
    let (_coordinator, _) = durable.start();
    feed.is_complete();
}

#[test]
fn a_restarted_coordinator_has_the_same_catalogue_and_history() {
    let broker = Mosquitto::start();
    let durable = Durable::new(&broker.url(), &QUICK);
    let (mut coordinator, api) = durable.start();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("marks");
    let [mut first, mut second] = two_workers(&broker, &api);
    let done =
        api.submit("chatty", json!({"file": file, "text": "done", "count": 3, "seconds": 0}));
    let failed = api.submit("leave", json!({"code": 3}));
    api.wait_for_end(&done, "succeeded");
    api.wait_for_end(&failed, "failed");
    for worker in [&mut first, &mut second] {
        worker.terminate();
        worker.wait();
    }
    let mark = |text: &str| json!({"file": file, "text": text});
    let waiting: Vec<String> = ["a", "b", "c"].map(|text| api.submit("mark", mark(text))).into();
    let cancelled = api.submit("mark", mark("never"));
    let (status, body) = api.post(&format!("/api/executions/{cancelled}/cancel"), &json!({}));
    assert_eq!(status, 200, "{body}");
    let all = [&[done.clone(), failed, cancelled][..], &waiting].concat();
    let known = |api: &Api| -> Vec<Value> {
        let told = |id: &String| {
            let mut execution = api.execution(id);
            // Of the workers, which the next coordinator has not met yet.
            execution.as_object_mut().expect("an object").remove("waiting_for");
            json!([execution, api.lines(id), api.stream_end(id)])
        };
        all.iter().map(told).collect()
    };
    let catalogue = |api: &Api| api.get("/api/actions").1;
    let (before, catalogue_before) = (known(&api), catalogue(&api));
    assert_eq!(catalogue_before["mark"]["available"], false, "{catalogue_before}");

    coordinator.kill();
    // No message has reached it: there is no worker.
    let (coordinator_again, api) = durable.start();
    assert_eq!(known(&api), before);
    assert_eq!(catalogue(&api), catalogue_before);
    let more = api.submit("mark", mark("d"));
    let (status, refusal) =
        api.post("/api/actions/mark/execute", &json!({"parameters": {"file": 5}}));
    assert_eq!(status, 422, "{refusal}");

    let _workers = two_workers(&broker, &api);
    for id in waiting.iter().chain([&more]) {
        api.wait_for_end(id, "succeeded");
    }
    let mut texts = marks(&file);
    texts.sort();
    assert_eq!(texts, ["a", "b", "c", "d", "done"]);

    // A second one on the same store does not start while the first lives, also on a port of its own.
    let elsewhere = durable.with([("PORT", "0".to_owned())]);
    let mut rival = elsewhere.begin(None);
    assert_eq!(rival.wait().code(), Some(1));
    assert!(rival.output().contains("tinpot.db"), "{}", rival.output());
    assert_eq!(api.run("mark", mark("e"))["result"], "e", "{}", coordinator_again.output());
}
