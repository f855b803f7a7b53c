//! Every row of docs/types.md through HTTP: what is sent, what arrives, what comes back; and what is refused.

use serde_json::{Value, json};
use tinpot_tests::{Api, Program, actions, free_port, marks, wait_for_workers};

const JSON: (&str, &str) = ("content-type", "application/json");

fn start() -> (Program, Api) {
    let port = free_port();
    let port_text = port.to_string();
    let env = [("PORT", port_text.as_str()), ("ACTIONS_DIR", actions())];
    let program = Program::start("standalone", &env);
    let api = Api::ready(port);
    wait_for_workers(&api, &[]);
    (program, api)
}

/// The name of a parameter, what a form sends for it, and type and `repr` of what arrives.
fn rows() -> Vec<(&'static str, Value, &'static str)> {
    let id = "12345678-1234-5678-1234-567812345678";
    vec![
        ("text", json!("ä\u{0}\u{1f600}\n"), "str 'ä\\x00\u{1f600}\\n'"),
        ("whole", json!(9_007_199_254_740_993_u64), "int 9007199254740993"),
        ("real", json!(3), "float 3.0"),
        ("flag", json!(true), "bool True"),
        ("nothing", json!(null), "NoneType None"),
        ("anything", json!({"a": [1, null]}), "dict {'a': [1, None]}"),
        ("bare", json!("1"), "str '1'"),
        ("literal", json!(1), "int 1"),
        ("kind", json!("long"), "Kind <Kind.LONG: 'long'>"),
        ("level", json!(2), "Level <Level.HIGH: 2>"),
        ("optional", json!(null), "NoneType None"),
        ("union", json!("2026-01-31"), "date datetime.date(2026, 1, 31)"),
        ("numbers", json!([1, 2]), "list [1, 2]"),
        ("sequence", json!(["a"]), "list ['a']"),
        ("unique", json!([1, 2]), "set {1, 2}"),
        ("frozen", json!([7]), "frozenset frozenset({7})"),
        ("many", json!([1, 2, 3]), "tuple (1, 2, 3)"),
        ("pair", json!([1, "b"]), "tuple (1, 'b')"),
        ("point", json!([1]), "Point Point(x=1, y=0)"),
        ("by_name", json!({"a": 1}), "dict {'a': 1}"),
        ("by_number", json!({"1": "one"}), "dict {1: 'one'}"),
        ("by_kind", json!({"short": 1}), "dict {<Kind.SHORT: 'short'>: 1}"),
        ("day", json!("2024-02-29"), "date datetime.date(2024, 2, 29)"),
        ("hour", json!("14:30"), "time datetime.time(14, 30)"),
        (
            "moment",
            json!("2026-01-31T14:30:00Z"),
            "datetime datetime.datetime(2026, 1, 31, 14, 30, tzinfo=datetime.timezone.utc)",
        ),
        ("span", json!("P1DT2H30M"), "timedelta datetime.timedelta(days=1, seconds=9000)"),
        ("price", json!("0.10"), "Decimal Decimal('0.10')"),
        ("key", json!(id), "UUID UUID('12345678-1234-5678-1234-567812345678')"),
        ("path", json!("/tmp/x"), "PosixPath PosixPath('/tmp/x')"),
        ("like", json!("x/y"), "PosixPath PosixPath('x/y')"),
        ("data", json!("AP8="), "bytes b'\\x00\\xff'"),
        ("buffer", json!("AP8="), "bytearray bytearray(b'\\x00\\xff')"),
        ("secret", json!("correct horse"), "Secret ***"),
        (
            "limits",
            json!({"cpu": 2, "since": "2026-01-31"}),
            "Limits Limits(cpu=2, since=datetime.date(2026, 1, 31), names=[])",
        ),
        ("host", json!({"name": "db1", "port": 1}), "dict {'name': 'db1', 'port': 1}"),
        ("port", json!(80), "int 80"),
        ("bound", json!(81), "int 81"),
        ("small", json!(9), "int 9"),
    ]
}

#[test]
fn every_type_arrives_as_what_it_is() {
    let (_program, api) = start();
    let sent: Value = rows().into_iter().map(|(name, value, _)| (name.to_owned(), value)).collect();
    let answer = api.run("every_type", sent.clone());
    assert_eq!(answer["status"], "SUCCESS", "{answer}");
    for (name, value, expected) in rows() {
        assert_eq!(answer["result"][name], expected, "{name}: {value}");
    }
    let defaults = [
        ("short", "str 'none'"),
        ("when", "date datetime.date(2020, 2, 29)"),
        ("more", "tuple ()"),
        ("others", "dict {}"),
    ];
    for (name, expected) in defaults {
        assert_eq!(answer["result"][name], expected, "{name}");
    }
    let mut sent = sent;
    sent["more"] = json!([1, 2]);
    sent["rate"] = json!(1);
    sent["union"] = json!("tomorrow");
    sent["moment"] = json!("2026-01-31 14:30");
    sent["span"] = json!(-0.5);
    let answer = api.run("every_type", sent);
    for (name, expected) in [
        ("more", "tuple (1, 2)"),
        ("others", "dict {'rate': 1.0}"),
        ("union", "str 'tomorrow'"),
        ("moment", "datetime datetime.datetime(2026, 1, 31, 14, 30)"),
        ("span", "timedelta datetime.timedelta(days=-1, seconds=86399, microseconds=500000)"),
    ] {
        assert_eq!(answer["result"][name], expected, "{answer}");
    }
}

#[test]
fn every_type_is_returned_as_json() {
    let (_program, api) = start();
    let answer = api.run("every_result", json!({}));
    let expected = json!({
        "text": "ä\u{0}\u{1f600}", "whole": 4_611_686_018_427_387_904_u64, "real": 0.5, "flag": true, "nothing": null,
        "kind": "long", "level": 2, "numbers": [1, [2]], "unique": [1, 2, 3], "frozen": [1, 2], "many": [1, 2], "point": [1, 0],
        "by_name": {"a": 1}, "by_number": {"1": "one"}, "by_kind": {"short": 1},
        "day": "2026-01-31", "hour": "14:30:00", "moment": "2026-01-31T14:30:00+00:00", "span": "P1DT2H30M",
        "price": "0.10", "key": "00000000-0000-0000-0000-000000000001", "path": "/tmp/x", "data": "AP8=", "secret": "***",
        "limits": {"cpu": 2, "since": "2026-01-31", "names": []}, "host": {"name": "db1", "port": 1},
    });
    assert_eq!(answer["result"], expected, "{answer}");
    let answer = api.run("not_a_number", json!({}));
    assert_eq!(answer["status"], "FAILURE", "{answer}");
    let error = answer["error"].as_str().expect("an error");
    assert!(error.contains("rate") && error.to_lowercase().contains("nan"), "{error}");
}

#[test]
fn values_that_do_not_fit_are_named_by_path_and_run_nothing() {
    let (_program, api) = start();
    let directory = tempfile::tempdir().expect("a directory");
    let mark = directory.path().join("mark");
    // More of the parameters than `mark` and `days`, the path, and what is said of it.
    let deep =
        |levels: usize| format!(r#""anything": {}{}"#, "[".repeat(levels), "]".repeat(levels));
    let long = "a".repeat(900_000);
    let cases: Vec<(String, &str, &str)> = [
        (r#""rate": "1""#, "rate", "must be a number"),
        (r#""when": 5"#, "when", "must be"),
        (r#""when": "2026-02-30""#, "when", "must be a date"),
        (r#""kind": "medium""#, "kind", "must be one of"),
        (r#""kind": null"#, "kind", "must be"),
        (r#""limits": {"cpu": 1}"#, "limits.since", "is required"),
        (
            r#""limits": {"cpu": 1, "since": "2026-01-31", "gpu": 1}"#,
            "limits.gpu",
            "is not a field",
        ),
        (
            r#""hosts": [{"name": "a", "port": 1}, {"name": 2, "port": 1}]"#,
            "hosts[1].name",
            "must be a string",
        ),
        (r#""price": "1,5""#, "price", "must be"),
        (r#""key": "123""#, "key", "must be"),
        (r#""data": "AP8""#, "data", "must be"),
        (r#""name": "A""#, "name", "must"),
        (r#""unique": [1, 1]"#, "unique", "must"),
        (r#""unique": [1.5]"#, "unique[0]", "must be an integer"),
        (r#""rate": NaN"#, "rate", "must be a JSON number (got NaN)"),
        (r#""rate": Infinity"#, "rate", "must be a JSON number (got Infinity)"),
        (r#""rate": 1e999"#, "rate", "must be between -1.8e308"),
        (r#""dayz": 1"#, "dayz", "is not a parameter"),
        (r#""rate": 1, "rate": 2"#, "rate", "at most once"),
    ]
    .map(|(more, path, told)| (more.to_owned(), path, told))
    .into_iter()
    .chain([
        (format!(r#""name": "{long}""#), "name", "at most 100"),
        (deep(1_000), "anything", "at most 100 levels"),
    ])
    .collect();
    let body = |days: &str, more: &str| {
        format!(r#"{{"parameters": {{"mark": {}, {days}{more}}}}}"#, json!(mark))
    };
    let refused = |body: &str, path: &str, told: &str| {
        let shown: String = body.chars().take(200).collect();
        let (status, answer) =
            api.post_raw("/api/actions/checked/execute", &[JSON], body.as_bytes());
        assert_eq!(status, 422, "{shown}: {answer}");
        let errors = answer["errors"].as_array().cloned().unwrap_or_default();
        let named = |one: &Value| {
            one["path"].as_str().is_some_and(|seen| seen.starts_with(path))
                && one["message"].as_str().is_some_and(|message| message.contains(told))
        };
        assert!(errors.iter().any(named), "{path}: {told:?} is not in {answer} for {shown}");
    };
    for (more, path, told) in &cases {
        refused(&body(r#""days": 1, "#, more), path, told);
    }
    for (days, told) in [
        ("\"3\"", "must be an integer (got a string)"),
        ("3.0", "must be an integer"),
        ("true", "must be an integer (got a boolean)"),
        ("null", "must be an integer (got null)"),
        ("0", "must be at least 1"),
        ("31", "must be at most 30"),
    ] {
        refused(&body(&format!("\"days\": {days}"), ""), "days", told);
    }
    refused(r#"{"parameters": {}}"#, "days", "is required");
    refused(r#"{"parameters": {}}"#, "mark", "is required");
    // A body has at most one megabyte, regardless of its content.
    let huge = body(r#""days": 1, "#, &format!(r#""name": "{}""#, "a".repeat(10_000_000)));
    let (status, answer) = api.post_raw("/api/actions/checked/execute", &[JSON], huge.as_bytes());
    assert_eq!(status, 413, "{answer}");
    let (_, page) = api.get("/api/executions");
    assert_eq!((&page["executions"], marks(&mark).len()), (&json!([]), 0));
    let (status, answer) = api.post_raw(
        "/api/actions/checked/sync_execute",
        &[JSON],
        body(r#""days": 30"#, "").as_bytes(),
    );
    assert_eq!((status, &answer["status"]), (200, &json!("SUCCESS")), "{answer}");
    assert_eq!(marks(&mark), ["ran"]);
}

#[test]
fn a_secret_arrives_and_is_shown_nowhere() {
    let (_program, api) = start();
    let (password, key) = ("correct horse \"battery\"", "staple-4711");
    let answer =
        api.run("login", json!({"user": "root", "password": password, "keys": {"db": key}}));
    let id = answer["execution_id"].as_str().expect("an id");
    let result = &answer["result"];
    let backwards: String = password.chars().rev().collect();
    assert_eq!(
        (&result["backwards"], &result["length"]),
        (&json!(backwards), &json!(password.len()))
    );
    assert_eq!((&result["password"], &result["wrapped"]), (&json!("***"), &json!("***")));
    let execution = api.execution(id);
    let shown = json!({"user": "root", "password": "***", "keys": {"db": "***"}});
    assert_eq!(execution["parameters"], shown);
    assert_eq!(api.lines(id), ["password is *** or *** of root", "keys: {'db': '***'}"]);
    let everything = [
        answer.to_string(),
        execution.to_string(),
        json!(api.stream(id)).to_string(),
        api.text(&format!("/api/executions/{id}/logs?format=text")),
        api.text("/api/executions"),
        api.text(&format!("/api/executions/{id}/status")),
    ];
    for text in everything {
        assert!(!text.contains("correct horse") && !text.contains(key), "{text}");
    }
    let wrong = json!({"parameters": {"user": "root", "password": 5, "keys": {"db": [key]}}});
    let (status, answer) = api.post("/api/actions/login/execute", &wrong);
    assert_eq!(status, 422);
    assert!(!answer.to_string().contains(key), "{answer}");
}
