//! Traces at a collector, from the header of a request over coordinator, broker and worker to an
//! action.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;
use tinpot_otel::testing::{ReceivedSpan, TestCollector};

use crate::broker_acl::mosquitto;
use crate::support::{PATIENCE, Process, Ran, ask, file, free_port, tinpot};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

const ACTIONS: &str = r#"
import os
from tinpot import action, Context

@action
def seen(ctx: Context):
    return os.environ.get("TRACEPARENT")

@action
def caller(ctx: Context):
    return [os.environ.get("TRACEPARENT"), ctx.call("seen")]

@action
def fails():
    raise ValueError("out of tea")
"#;

fn traced(collector: &TestCollector) -> Command {
    let mut command = tinpot();
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    command.env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20secret");
    command
}

/// Submits an action with a trace context in the header, and returns its result.
fn run(url: &str, head: &str, action: &str, flags: &str) -> Value {
    let head = format!("{head}traceparent: 00-{TRACE_ID}-{PARENT}-{flags}\r\n");
    let path = format!("/api/actions/{action}/sync_execute");
    let answer = ask(url, "POST", &path, &head, "{}");
    let body = answer.split_once("\r\n\r\n").expect("a head").1;
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// Returns the way from a span up to the first one whose parent is not there, and that parent.
fn way_up(spans: &[ReceivedSpan], from: &str) -> (Vec<String>, String) {
    let known: HashMap<&str, &ReceivedSpan> =
        spans.iter().map(|span| (span.text("spanId"), span)).collect();
    let (mut way, mut at) = (Vec::new(), from);
    while let Some(span) = known.get(at) {
        way.push(format!("{} {}", span.service, span.text("name")));
        at = span.text("parentSpanId");
    }
    (way, at.to_owned())
}

fn actions(folder: &Path) {
    file(folder, "actions/actions.py", ACTIONS);
}

#[test]
fn one_trace_leads_from_the_header_over_the_broker_to_the_action() {
    let (collector, folder) = (TestCollector::start(), tempfile::tempdir().expect("a folder"));
    actions(folder.path());
    let port = free_port();
    let _mosquitto = mosquitto(folder.path(), port, "allow_anonymous true");
    let broker = format!("tcp://127.0.0.1:{port}");
    let start = |program: &str, more: &[&str]| {
        let mut command = traced(&collector);
        command.args([program, "--broker", &broker]).args(more).current_dir(folder.path());
        command.env("ACTIONS_DIR", folder.path().join("actions"));
        Process::start(command)
    };
    let mut coordinator = start("coordinator", &["--port=0", "--insecure-no-auth"]);
    let url = coordinator.url();
    let mut worker = start("worker", &[]);
    worker.line("reaches its coordinator");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut command = tinpot();
        command.env("TINPOT_SERVER", &url).args(["run", "seen"]);
        let ran = Ran::of(command);
        if ran.code == Some(0) {
            break;
        }
        assert!(Instant::now() < deadline, "{ran:?}");
    }

    let called = run(&url, "", "caller", "01");
    let context = |value: &Value| {
        let text = value.as_str().unwrap_or_else(|| panic!("{called}"));
        let parts: Vec<&str> = text.split('-').collect();
        assert_eq!((parts[0], parts[1], parts[3]), ("00", TRACE_ID, "01"), "{called}");
        parts[2].to_owned()
    };
    let (caller, seen) = (context(&called["result"][0]), context(&called["result"][1]));
    run(&url, "", "fails", "01");
    // The submitter has decided that this one is not recorded.
    let unsampled = run(&url, "", "seen", "00")["result"].to_string();
    assert!(unsampled.contains(TRACE_ID) && unsampled.ends_with("-00\""), "{unsampled}");

    // The end of a program sends what is left.
    for process in [&mut worker, &mut coordinator] {
        process.signal(Signal::TERM);
        assert!(process.end().success(), "{:#?}", process.seen);
    }
    let heads = collector.heads();
    assert!(heads.iter().all(|head| head.contains("api-key: a secret\r\n")), "{heads:#?}");
    let mut spans = collector.spans();
    spans.retain(|span| span.text("traceId") == TRACE_ID);
    let ids: HashSet<&str> = spans.iter().map(|span| span.text("spanId")).collect();
    assert_eq!((spans.len(), ids.len()), (11, 11), "{spans:#?}");

    let own = [
        "tinpot-worker run caller",
        "tinpot-coordinator attempt caller",
        "tinpot-coordinator execute caller",
        "tinpot-coordinator POST /api/actions/{name}/sync_execute",
    ];
    let child = [
        "tinpot-worker run seen",
        "tinpot-coordinator attempt seen",
        "tinpot-coordinator execute seen",
    ];
    let (way, parent) = way_up(&spans, &caller);
    assert_eq!((way, &*parent), (own.map(str::to_owned).to_vec(), PARENT));
    let (way, parent) = way_up(&spans, &seen);
    let whole = child.iter().chain(&own).map(|name| (*name).to_owned()).collect();
    assert_eq!((way, &*parent), (whole, PARENT));

    let found = |name: &str| {
        let span = spans.iter().find(|span| span.text("name") == name);
        span.unwrap_or_else(|| panic!("{name}: {spans:#?}"))
    };
    for name in ["execute fails", "attempt fails", "run fails"] {
        let span = found(name);
        assert_eq!(span.span["status"]["code"], 2, "{span:?}");
        assert_eq!(span.attribute("error.type"), "ValueError");
        assert_eq!(span.attribute("tinpot.status"), "failed");
        assert!(span.span["status"]["message"].to_string().contains("out of tea"), "{span:?}");
    }
    let request = found("POST /api/actions/{name}/sync_execute");
    assert_eq!(request.attribute("http.response.status_code"), "200");
    assert_eq!(request.attribute("http.request.method"), "POST");
    let attempt = found("attempt caller");
    assert_eq!(
        (attempt.attribute("tinpot.queue"), attempt.attribute("tinpot.team")),
        ("default", "default")
    );
    // What is below lies within, by the clock of this machine.
    let execute = found("execute caller");
    assert!(execute.nanos("startTimeUnixNano") <= attempt.nanos("startTimeUnixNano"));
    assert!(execute.nanos("endTimeUnixNano") >= attempt.nanos("endTimeUnixNano"));
}

#[test]
fn dev_exports_traces_and_runs_without_a_collector() {
    let folder = tempfile::tempdir().expect("a folder");
    actions(folder.path());
    let dev = |command: &mut Command| {
        command.args(["dev", "--port=0", "--insecure-no-auth"]);
        command.arg(folder.path().join("actions"));
    };
    let collector = TestCollector::start();
    let mut command = traced(&collector);
    dev(&mut command);
    command.env("OTEL_SERVICE_NAME", "desk").env("OTEL_TRACES_SAMPLER", "always_on");
    let mut process = Process::start(command);
    let url = process.url();
    run(&url, "", "seen", "00");
    process.signal(Signal::TERM);
    assert!(process.end().success(), "{:#?}", process.seen);
    let spans = collector.spans();
    assert_eq!(spans.len(), 4, "{spans:#?}");
    assert!(spans.iter().all(|span| span.service == "desk" && span.text("traceId") == TRACE_ID));

    let mut command = tinpot();
    dev(&mut command);
    command.args(["--otlp-endpoint", &format!("http://127.0.0.1:{}", free_port())]);
    let mut process = Process::start(command);
    let url = process.url();
    assert_eq!(run(&url, "", "seen", "01")["status"], "SUCCESS");
    process.line("traces cannot be exported to http://127.0.0.1:");
    process.signal(Signal::TERM);
    assert!(process.end().success(), "{:#?}", process.seen);
    let warnings = process.seen.iter().filter(|line| line.contains("traces cannot be exported"));
    assert_eq!(warnings.count(), 1, "{:#?}", process.seen);
}

#[test]
fn settings_that_cannot_be_used_end_the_program() {
    let failed = |arguments: &[&str], variable: (&str, &str)| {
        let mut command = tinpot();
        command.args(["coordinator", "--port=0"]).args(arguments).env(variable.0, variable.1);
        let folder = tempfile::tempdir().expect("a folder");
        command.current_dir(folder.path());
        let ran = Ran::of(command);
        assert!(ran.code.is_some_and(|code| code != 0), "{ran:?}");
        ran.stderr
    };
    let endpoint = ["--broker=none", "--otlp-endpoint=http://127.0.0.1:9"];
    let text = failed(&endpoint, ("OTEL_TRACES_SAMPLER", "sometimes"));
    assert!(text.contains("OTEL_TRACES_SAMPLER") && text.contains("traceidratio"), "{text}");
    let text = failed(&["--broker=none", "--otlp-endpoint=localhost:4318"], ("A", "b"));
    assert!(text.contains("must start with http://"), "{text}");
    let text = failed(&endpoint, ("OTEL_EXPORTER_OTLP_HEADERS", "secret"));
    assert!(text.contains("HEADERS") && !text.contains("secret"), "{text}");
    let mut command = tinpot();
    command.args(["coordinator", "--show-config"]);
    command.env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=canary");
    let shown = Ran::of(command);
    assert!(shown.ok().contains("otlp_headers = \"***\"") && !shown.ok().contains("canary"));
    let text = failed(&["--otlp-headers=api-key=secret"], ("A", "b"));
    assert!(text.contains("on the command line"), "{text}");
}
