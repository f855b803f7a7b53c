//! The structured output of actions in the API: steps, children, artifacts, a summary.

use serde_json::{Value, json};
use tinpot_tests::{
    Api, Durable, Mosquitto, Program, QUICK, coordinator, wait_for, wait_for_workers, worker,
};

struct Site {
    _programs: [Program; 2],
    _broker: Mosquitto,
    api: Api,
    directory: tempfile::TempDir,
}

impl Site {
    fn start() -> Self {
        let broker = Mosquitto::start();
        let (coordinator, api) = coordinator(&broker.url(), &[]);
        let worker = worker(&broker.url(), &[("WORKER_NAME", "one")]);
        wait_for_workers(&api, &["one"]);
        let directory = tempfile::tempdir().expect("a directory");
        Self { _programs: [coordinator, worker], _broker: broker, api, directory }
    }

    fn of(&self, id: &str, what: &str) -> Value {
        let (status, body) = self.api.get(&format!("/api/executions/{id}/{what}"));
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Runs the action `pipeline` to its end; its id.
    fn pipeline(&self) -> String {
        let id = self.api.submit("pipeline", json!({"file": self.directory.path().join("marks")}));
        self.api.wait_for_end(&id, "succeeded");
        id
    }
}

#[test]
fn steps_are_a_tree_with_durations_outcomes_and_children() {
    let site = Site::start();
    let id = site.pipeline();
    let steps = wait_for("the last step", || match site.of(&id, "spans") {
        steps if steps["spans"].as_array().is_some_and(|spans| spans.len() == 5) => Ok(steps),
        steps => Err(steps),
    });
    let spans = steps["spans"].as_array().expect("steps");
    let told: Vec<Value> = spans
        .iter()
        .map(|span| json!([span["id"], span["parent"], span["name"], span["outcome"]]))
        .collect();
    assert_eq!(
        told,
        [
            json!(["1.1", null, "build", "succeeded"]),
            json!(["1.2", "1.1", "compile", "succeeded"]),
            json!(["1.3", "1.1", "chatty", "succeeded"]),
            json!(["1.4", "1.3", "mark", "succeeded"]),
            json!(["1.5", null, "deploy", "failed"]),
        ]
    );
    assert_eq!(spans[4]["error"], "RuntimeError: no room");
    let took = |place: usize| spans[place]["duration"].as_f64().expect("a duration");
    assert!(took(1) >= 0.05 && took(0) >= took(1) + took(2) && took(2) >= 0.02, "{spans:?}");
    let begin = |place: usize| spans[place]["started_at"].as_str().expect("a time");
    assert!(begin(0) <= begin(1) && begin(1) <= begin(2) && begin(2) <= begin(4), "{spans:?}");
    let child = &site.api.children(&id)[0];
    let expected = json!([{"execution_id": child, "action_name": "add", "span": "1.1"}]);
    assert_eq!(steps["children"], expected);
    assert_eq!(site.api.execution(child)["parent"]["span"], "1.1");
}

/// Returns what is compared of a line in the log and in the stream: its text and its step.
const LINES: [(&str, Option<&str>); 6] = [
    ("before", None),
    ("building", Some("1.1")),
    ("slow", Some("1.2")),
    ("pipeline: line 1", Some("1.3")),
    ("pipeline: line 2", Some("1.3")),
    ("after", None),
];

#[test]
fn lines_and_events_say_which_step_they_belong_to() {
    let site = Site::start();
    let id = site.pipeline();
    let stream = site.api.stream(&id);
    let log = site.of(&id, "logs");
    let of_stream: Vec<Value> =
        stream.iter().filter(|event| event["type"] == "log").map(|e| e["data"].clone()).collect();
    for lines in [&of_stream, log["lines"].as_array().expect("lines")] {
        let told: Vec<_> = lines
            .iter()
            .map(|line| (line["message"].as_str().unwrap_or_default(), line["span"].as_str()))
            .collect();
        assert_eq!(told, LINES, "{lines:?}");
        assert_eq!(
            (&lines[2]["fields"], &lines[2]["level"]),
            (&json!({"host": "db1"}), &json!("WARNING"))
        );
    }
    let kinds: Vec<&str> = stream.iter().filter_map(|event| event["type"].as_str()).collect();
    let count = |kind: &str| kinds.iter().filter(|seen| **seen == kind).count();
    let counts =
        ["span_started", "span_ended", "child", "artifact", "summary", "complete"].map(count);
    assert_eq!(counts, [5, 5, 1, 1, 2, 1], "{kinds:?}");
    let of = |kind: &str| {
        stream.iter().find(|event| event["type"] == kind).expect("it was counted")["data"].clone()
    };
    assert_eq!(
        (&of("span_started")["span"], &of("span_started")["name"]),
        (&json!("1.1"), &json!("build"))
    );
    assert_eq!(
        (&of("span_ended")["span"], &of("span_ended")["outcome"]),
        (&json!("1.2"), &json!("succeeded"))
    );
    assert_eq!(of("child")["action"], "add");
    assert_eq!(of("artifact")["name"], "marks");
    assert_eq!(of("summary")["markdown"], "# Draft");
    assert_eq!(site.of(&id, "summary"), json!({"summary": "# Done\n\n- built"}), "the last counts");
}

#[test]
fn the_start_of_a_step_is_reported_at_once() {
    let site = Site::start();
    let file = site.directory.path().join("go");
    let id = site.api.submit("publish", json!({"file": file}));
    let mut events = site.api.open_stream(&id);
    let mut next = |kind: &str| {
        events.find(|event| event["type"] == kind).expect("such an event")["data"].clone()
    };
    assert_eq!(next("span_started")["name"], "first");
    assert_eq!(next("span_ended")["span"], "1.1");
    assert_eq!(next("span_started")["name"], "second");
    let spans = site.of(&id, "spans")["spans"].clone();
    assert_eq!((&spans[1]["outcome"], &spans[1]["duration"]), (&Value::Null, &Value::Null));
    assert_eq!(site.of(&id, "summary"), json!({"summary": null}));
    std::fs::write(&file, "").expect("a file");
    assert_eq!(next("span_ended")["outcome"], "succeeded");
    assert_eq!(next("complete")["state"], "SUCCESS");
}

#[test]
fn an_artifact_comes_back_byte_for_byte() {
    let site = Site::start();
    let path = site.directory.path().join("image.bin");
    // Every byte, at every distance from a line end; nothing that compresses.
    let bytes: Vec<u8> =
        (0..5_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 23) as u8).collect();
    std::fs::write(&path, &bytes).expect("a file");
    let id = site.api.submit("keeps", json!({"path": path, "name": "Bild \"ä\".bin"}));
    site.api.wait_for_end(&id, "succeeded");
    let link = wait_for("the artifact", || match site.of(&id, "artifacts")["artifacts"].clone() {
        list if list.as_array().is_some_and(|list| list.len() == 1) => Ok(list[0].clone()),
        list => Err(list),
    });
    assert_eq!(
        link,
        json!({"id": "1.1", "name": "Bild \"ä\".bin", "size_bytes": 5_000_000, "media_type": "application/octet-stream", "attempt": 1})
    );
    let found = site.api.bytes(&format!("/api/executions/{id}/artifacts/1.1"));
    assert!(found == bytes, "{} bytes came back", found.len());
    assert_eq!(site.api.lines(&id), Vec::<String>::new(), "its bytes are no lines");
    for (artifact, status) in [("1.2", 404), ("2.1", 404), ("x", 404)] {
        let (seen, body) = site.api.get(&format!("/api/executions/{id}/artifacts/{artifact}"));
        assert_eq!(seen, status, "{artifact}: {body}");
    }
    let empty = site.directory.path().join("empty");
    std::fs::write(&empty, "").expect("a file");
    let id = site.api.submit("keeps", json!({"path": empty, "name": "empty.txt"}));
    site.api.wait_for_end(&id, "succeeded");
    let link = wait_for("the artifact", || match site.of(&id, "artifacts")["artifacts"].clone() {
        list if list.as_array().is_some_and(|list| list.len() == 1) => Ok(list[0].clone()),
        list => Err(list),
    });
    assert_eq!((&link["size_bytes"], &link["media_type"]), (&json!(0), &json!("text/plain")));
    assert_eq!(site.api.bytes(&format!("/api/executions/{id}/artifacts/1.1")), b"");
}

#[test]
fn steps_and_events_survive_a_restart_of_the_coordinator() {
    let broker = Mosquitto::start();
    let durable = Durable::new(&broker.url(), &QUICK);
    let (mut first, api) = durable.start();
    let mut env = QUICK.to_vec();
    env.push(("WORKER_NAME", "one"));
    let _worker = worker(&broker.url(), &env);
    wait_for_workers(&api, &["one"]);
    let directory = tempfile::tempdir().expect("a directory");
    let (file, go) = (directory.path().join("marks"), directory.path().join("go"));
    let ended = api.submit("pipeline", json!({"file": file}));
    api.wait_for_end(&ended, "succeeded");
    let open = api.submit("publish", json!({"file": go}));
    let paths = ["spans", "artifacts", "summary", "logs"]
        .map(|what| format!("/api/executions/{ended}/{what}"));
    let told = || paths.each_ref().map(|path| api.get(path));
    let spans = format!("/api/executions/{open}/spans");
    wait_for("the second step", || match api.get(&spans).1 {
        steps if steps["spans"].as_array().is_some_and(|spans| spans.len() == 2) => Ok(()),
        steps => Err(steps),
    });
    api.stream(&ended);
    let doing = || {
        let (_, body) = api.get("/api/workers");
        let running = &body["workers"][0]["running"];
        let fields = ["execution_id", "action_name", "attempt", "since"];
        fields.map(|field| running[0][field].clone())
    };
    let (before, since) = (told(), doing());
    assert_eq!(since[..2], [json!(open), json!("publish")]);

    let killed = jiff::Timestamp::now();
    first.kill();
    let (_second, _) = durable.start();
    wait_for_workers(&api, &["one"]);
    assert_eq!(told(), before);
    let now = doing();
    assert_eq!(now[..3], since[..3]);
    let since: jiff::Timestamp = now[3].as_str().and_then(|at| at.parse().ok()).expect("a time");
    assert!(since < killed, "it runs since it was given, not since the restart: {now:?}");
    std::fs::write(&go, "").expect("a file");
    api.wait_for_end(&open, "succeeded");
    wait_for("the end of the second step", || match api.get(&spans).1 {
        steps if steps["spans"][1]["outcome"] == "succeeded" => Ok(()),
        steps => Err(steps),
    });
}
