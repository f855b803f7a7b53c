//! Requests that make no sense are refused with the name of what is wrong; nothing runs, and the server goes on.

use serde_json::json;
use tinpot_tests::{Api, Program, actions, free_port};

const JSON: (&str, &str) = ("content-type", "application/json");

/// A body for `mark` with one more thing in it.
fn mark(more: &str) -> String {
    format!(r#"{{"parameters": {{"file": "/nowhere/at/all", "text": "x"}}{more}}}"#)
}

#[test]
fn invalid_input_is_named_and_runs_nothing() {
    let port = free_port();
    let port_text = port.to_string();
    let env = [("PORT", port_text.as_str()), ("ACTIONS_DIR", actions())];
    let _program = Program::start("standalone", &env);
    let api = Api::ready(port);

    let deep = |open: &str, close: &str| {
        format!("{{\"parameters\": {}{}}}", open.repeat(100_000), close.repeat(100_000))
    };
    let huge = format!("\"{}\"", "x".repeat(900_000));
    let parameters = |text: &str| format!("{{\"parameters\": {text}}}");
    let option = |text: &str| mark(&format!(", \"options\": {{{text}}}"));
    let bodies: Vec<(u16, &str, Vec<u8>)> = [
        (422, "must be nested at most 100 levels deep", deep("[", "]")),
        (422, "must be nested at most 100 levels deep", deep("{\"a\":", "}")),
        (422, "must be nested at most 100 levels deep", deep("[", "")),
        (
            422,
            "seconds must be a JSON number (got NaN)",
            parameters(r#"{"file": "/dev/null", "text": "x", "seconds": NaN}"#),
        ),
        (
            422,
            "seconds must be a JSON number (got -Infinity)",
            parameters(r#"{"seconds": -Infinity}"#),
        ),
        (
            422,
            "seconds must be between -1.8e308 and 1.8e308 (got 1e999)",
            parameters(r#"{"seconds": 1e999}"#),
        ),
        (400, "body must be JSON", "{".to_owned()),
        (400, "body must be JSON", mark("") + mark("").as_str()),
        (422, "must be a JSON object", "[]".to_owned()),
        (422, "must be a JSON object", "\"text\"".to_owned()),
        (
            422,
            "text must be given at most once",
            parameters(r#"{"file": "f", "text": "a", "text": "b"}"#),
        ),
        (422, "parameters must be given at most once", mark(", \"parameters\": {}")),
        (422, "file is required", parameters("{}")),
        (422, "parameters", parameters("[1, 2]")),
        (422, "parameters", parameters("null")),
        (422, "text must be", parameters(r#"{"file": "f", "text": 7}"#)),
        (422, "seconds must be", parameters(r#"{"file": "f", "text": "x", "seconds": "long"}"#)),
        (
            422,
            "sceonds is not a parameter; use",
            parameters(r#"{"file": "f", "text": "x", "sceonds": 1}"#),
        ),
        (422, "params is not a field; use", r#"{"params": {}}"#.to_owned()),
        (422, "options.timeout", option("\"timeout\": -1")),
        (422, "options.timeout", option("\"timeout\": 0")),
        (422, "options.timeout", option("\"timeout\": \"soon\"")),
        (422, "options.priority", option("\"priority\": 1.5")),
        (422, "options.priority", option("\"priority\": 99999999999")),
        (422, "options.queue", option("\"queue\": 5")),
        (422, "queue", option("\"queue\": \"a/b #\"")),
        (422, "retries", option("\"retries\": 1000000000")),
        (422, "options.retries", option("\"retries\": -1")),
        (422, "options.delay", option("\"delay\": -5")),
        (422, "options.expires_in", option("\"expires_in\": 0")),
        (422, "options.not_before", option("\"not_before\": \"tomorrow\"")),
        (422, "options.dleay is not a field; use", option("\"dleay\": 5")),
        (422, "idempotency", option(&format!("\"idempotency_key\": {huge}"))),
        (422, "options.timeout", option(&format!("\"timeout\": {huge}"))),
        (422, "queue", option(&format!("\"queue\": {huge}"))),
        (
            422,
            "seconds must be",
            parameters(&format!("{{\"file\": \"f\", \"text\": \"x\", \"seconds\": {huge}}}")),
        ),
        (
            422,
            "is not a parameter",
            parameters(&format!("{{\"file\": \"f\", \"text\": \"x\", {huge}: 1}}")),
        ),
        (422, "is not a field", format!("{{{huge}: 1}}")),
    ]
    .map(|(status, named, body)| (status, named, body.into_bytes()))
    .into();
    for (status, named, body) in bodies {
        refused(&api, &[JSON], &body, status, named);
    }

    let plain = mark("");
    refused(&api, &[JSON], b"{\"parameters\": {\"text\": \"\xff\"}}", 400, "body must be");
    let of_a_page = [("content-type", "text/plain"), ("sec-fetch-site", "same-origin")];
    refused(&api, &of_a_page, plain.as_bytes(), 415, "text/plain");
    let long = format!("{{\"parameters\": {{\"text\": \"{}\"}}}}", "x".repeat(2_000_000));
    refused(&api, &[JSON], long.as_bytes(), 413, "at most 1048576 bytes");
    let key = |text: &'static str| [JSON, ("idempotency-key", text)];
    refused(&api, &key(""), plain.as_bytes(), 422, "idempotency");

    let (status, body) = api.get("/api/executions");
    assert_eq!((status, &body["executions"]), (200, &json!([])), "nothing was accepted");
    assert_eq!(api.run("mark", json!({"file": "/dev/null", "text": "fine"}))["result"], "fine");
}

fn refused(api: &Api, headers: &[(&str, &str)], body: &[u8], status: u16, named: &str) {
    let shown = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
    let (seen, answer) = api.post_raw("/api/actions/mark/execute", headers, body);
    assert_eq!(seen, status, "{shown}: {answer}");
    let detail = answer["detail"].as_str().unwrap_or_default();
    assert!(
        detail.to_lowercase().contains(&named.to_lowercase()),
        "{named:?} is not in {detail:?} for {shown}"
    );
    assert!(detail.len() < 5_000, "{} bytes for {shown}", detail.len());
}
