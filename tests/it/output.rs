//! Excessive output and results: memory stays bounded, cuts are marked, and other executions are
//! not affected.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tinpot_tests::{
    Api, Mosquitto, Program, QUICK, coordinator, wait_for, wait_for_workers, worker,
};

/// The latency at which others count as unaffected; the worker beats every quarter of a second.
const PROMPT: Duration = Duration::from_secs(3);
/// Measured in November 2026: 16 MB, and 35 MB with all that is kept of 200 MB written.
const WORKER_BYTES: u64 = 64 << 20;
const COORDINATOR_BYTES: u64 = 128 << 20;

struct Site {
    _broker: Mosquitto,
    coordinator: Program,
    worker: Program,
    api: Api,
}

impl Site {
    fn start() -> Self {
        let broker = Mosquitto::start();
        let (coordinator, api) = coordinator(&broker.url(), &QUICK);
        let mut env = QUICK.to_vec();
        env.push(("WORKER_NAME", "one"));
        let worker = worker(&broker.url(), &env);
        wait_for_workers(&api, &["one"]);
        Self { _broker: broker, coordinator, worker, api }
    }

    /// Runs a heavy action, and short ones until it has ended, which must not be affected. Returns
    /// its id.
    fn with_neighbours(&self, action: &str, parameters: Value) -> String {
        let id = self.api.submit(action, parameters);
        while self.api.execution(&id)["finished_at"].is_null() {
            let begin = Instant::now();
            let other = self.api.run("mark", json!({"file": "/dev/null", "text": "x"}));
            assert_eq!(other["result"], "x", "{other}");
            assert!(begin.elapsed() < PROMPT, "{:?}", begin.elapsed());
            let (_, body) = self.api.get("/api/workers");
            let silence = body["workers"][0]["silent_for"].as_f64().expect("a worker");
            assert!(silence < PROMPT.as_secs_f64(), "{body}");
        }
        for (program, limit) in
            [(&self.worker, WORKER_BYTES), (&self.coordinator, COORDINATOR_BYTES)]
        {
            let peak = program.peak_memory_bytes();
            assert!(peak < limit, "{program:?} held {peak} bytes");
        }
        id
    }

    fn error(&self, id: &str) -> String {
        self.api.wait_for_end(id, "failed");
        self.api.execution(id)["outcome"]["error"].as_str().expect("an error").to_owned()
    }
}

#[test]
fn a_flood_is_cut_with_a_marker_and_harms_no_other_execution() {
    let site = Site::start();
    let id = site.with_neighbours("flood", json!({"megabytes": 200}));
    site.api.wait_for_end(&id, "succeeded");
    // What is kept is 64 MiB, each line of 100 bytes with what it costs to keep it.
    let page = wait_for("the end of the log", || {
        let (_, page) =
            site.api.get(&format!("/api/executions/{id}/logs?after=620000&limit=10000"));
        match page["lines"].as_array().and_then(|lines| lines.last()) {
            Some(last) if last["stream"] == "system" => Ok(page),
            _ => Err("no marker yet"),
        }
    });
    let lines = page["lines"].as_array().expect("lines");
    let marker = &lines[lines.len() - 1];
    assert_eq!(
        marker["message"],
        "[tinpot] the log is longer than 67108864 bytes: the rest is not kept"
    );
    for (place, line) in lines[..lines.len() - 1].iter().enumerate() {
        assert_eq!(line["message"], format!("{:099}", (620_000 + place) % 10_000));
    }
}

#[test]
fn a_line_without_end_is_cut_with_a_word() {
    let site = Site::start();
    let id = site.with_neighbours("long_line", json!({"megabytes": 100}));
    site.api.wait_for_end(&id, "succeeded");
    let lines = wait_for("both lines", || match site.api.lines(&id) {
        lines if lines.len() == 2 => Ok(lines),
        lines => Err(lines.len()),
    });
    assert!(lines[0].len() < 64 * 1024 && lines[0].starts_with("xxx"), "{}", lines[0].len());
    assert!(lines[0].ends_with("bytes of this line are not kept"), "{}", lines[0]);
    assert_eq!(lines[1], "next");
}

#[test]
fn bytes_that_are_no_text_are_kept_or_marked() {
    let site = Site::start();
    let id = site.api.submit("odd_bytes", json!({}));
    let events = site.api.stream(&id);
    let streamed: Vec<&str> =
        events.iter().filter_map(|event| event["data"]["message"].as_str()).collect();
    let expected = [
        "not \u{fffd}\u{fffd} utf-8",
        "nul \0 inside",
        "\u{1b}[31mred\u{1b}[0m",
        "cut \u{fffd}",
        "",
        "back",
        "no end",
    ];
    assert_eq!(streamed, expected);
    assert_eq!(site.api.lines(&id), expected);
    // A download has them as they are, but for the marks.
    assert_eq!(
        site.api.text(&format!("/api/executions/{id}/logs?format=text")),
        expected.join("\n") + "\n"
    );
}

#[test]
fn a_result_beyond_the_limit_is_a_failure() {
    let site = Site::start();
    let id = site.with_neighbours("large_result", json!({"megabytes": 100}));
    let error = site.error(&id);
    assert!(
        error.contains(
            "max_result of 15728640 bytes was exceeded: the result is too large, 100000002 bytes"
        ),
        "{error}"
    );
}

#[test]
fn large_results_arrive_also_many_at_once() {
    let site = Site::start();
    // More in all than a frame carries.
    let ids: Vec<String> =
        (0..6).map(|_| site.api.submit("large_result", json!({"megabytes": 5}))).collect();
    for id in ids {
        site.api.wait_for_end(&id, "succeeded");
        let result = site.api.execution(&id)["outcome"]["result"].clone();
        assert_eq!(result.as_str().map(str::len), Some(5_000_000));
    }
}
