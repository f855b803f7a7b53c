//! `tinpot run`: parameters in every form, results, logs, help.

use serde_json::json;

use crate::support::{Ran, Server, file};

#[test]
fn the_result_is_on_stdout_and_the_log_on_stderr() {
    let server = Server::shared();
    let ran = server.run(&["run", "echo", "--text", "x"]);
    assert_eq!(ran.json()["text"], "x");
    assert!(
        ran.stdout.contains("\n  \"count\": 3,\n"),
        "in the order of the action: {}",
        ran.stdout
    );
    let mut lines: Vec<_> = ran.stderr.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["to stderr", "to stdout"]);
    let quiet = server.run(&["run", "echo", "--text", "x", "-q"]);
    assert_eq!((quiet.json()["text"].clone(), &*quiet.stderr), (json!("x"), ""));
    // Text is printed as it is, and null prints nothing.
    assert_eq!(server.run(&["run", "say", "--text", "a \"b\""]).ok(), "a \"b\"\n");
    assert_eq!(server.run(&["run", "noop"]).ok(), "");
}

#[test]
fn parameters_come_from_flags_pairs_files_and_standard_input() {
    let server = Server::shared();
    let ran = server.run(&[
        "run",
        "echo",
        "--text=-1",
        "--count",
        "7",
        "--loud",
        "--words",
        "b",
        "--words",
        "c d",
        "--kind",
        "long",
        "--settings",
        r#"{"a": [1]}"#,
        "--param-timeout",
        "2",
        "--timeout",
        "60",
    ]);
    let expected = json!({"text": "-1", "count": 7, "loud": true, "words": ["b", "c d"], "kind": "long", "settings": {"a": [1]}, "timeout": 2.0});
    assert_eq!(ran.json(), expected);
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(folder.path(), "p.json", r#"{"text": "file", "count": 1, "loud": true}"#);
    let at = format!("@{}", path.display());
    let got = server.run(&["run", "echo", "-d", &at, "-p", "count=2", "--no-loud"]).json();
    assert_eq!(
        (&got["text"], &got["count"], &got["loud"]),
        (&json!("file"), &json!(2), &json!(false))
    );
    let got =
        Ran::with_input(server.tinpot(&["run", "echo", "--data", "-"]), r#"{"text": "piped"}"#);
    assert_eq!(got.json()["text"], "piped");
    // Options before the name of the action count too.
    assert_eq!(
        server.run(&["run", "-p", "text=early", "--json", "echo"]).json()["result"]["text"],
        "early"
    );
}

#[test]
fn json_output_has_the_outcome() {
    let server = Server::shared();
    let ended = server.run(&["run", "say", "--json"]).json();
    assert_eq!(
        (&ended["status"], &ended["result"], &ended["successful"]),
        (&json!("succeeded"), &json!("hello"), &json!(true))
    );
    let ran = server.run(&["run", "fail", "--json"]);
    assert_eq!(ran.code, Some(1));
    let ended: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(
        (&ended["status"], &ended["kind"], &ended["error"]),
        (&json!("failed"), &json!("ValueError"), &json!("ValueError: no luck"))
    );
}

#[test]
fn help_is_made_from_the_schema() {
    let server = Server::shared();
    let ran = server.run(&["run", "echo", "--help"]);
    // The wrapping of the help text does not matter.
    let help = ran.ok().split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "Give back what came.",
        "Usage: tinpot run echo --text <TEXT> [OPTIONS]",
        "--text <TEXT>",
        "What is given back. [required]",
        "--count <INTEGER>",
        "How often, at most nine times. [default: 3]",
        "--loud[=<true|false>]",
        "[default: false]",
        "[possible values: short, long]",
        "[default: short]",
        "--words <TEXT>",
        "[may be repeated]",
        "--settings <JSON>",
        "--param-timeout <NUMBER>",
        "--attempt-timeout",
    ] {
        assert!(help.contains(part), "{part:?} in {help}");
    }
    assert!(server.run(&["run", "--help"]).ok().contains("tinpot run NAME --help"));
    let shown = server.run(&["actions", "show", "echo"]);
    assert!(shown.ok().contains("--count <INTEGER>"), "{shown:?}");
}

#[test]
fn detach_prints_the_id_and_the_same_key_is_the_same_execution() {
    let server = Server::shared();
    let run = |text: &str| {
        server.run(&["run", "say", "--text", text, "--detach", "--idempotency-key", "one"])
    };
    let first = run("a").ok().trim().to_owned();
    assert_eq!(run("a").ok().trim(), first);
    assert_eq!(server.run(&["executions", "watch", &first]).ok(), "a\n");
    assert!(run("b").failed(6).contains("idempotency"));
    let options = [
        "--priority",
        "-5",
        "--queue",
        "default",
        "--retries",
        "1",
        "--attempt-timeout",
        "9",
        "--detach",
        "--json",
    ];
    let submitted = server.run(&[&["run", "say"], &options[..]].concat()).json();
    let id = submitted["execution_id"].as_str().expect("an id");
    let shown = server.run(&["executions", "show", id, "--json"]).json();
    assert_eq!(
        (&shown["priority"], &shown["retries"], &shown["timeout"]),
        (&json!(-5), &json!(1), &json!(9.0))
    );
}

#[test]
fn a_log_has_no_colours_without_a_terminal() {
    let ran = Server::shared().run(&["run", "colours"]);
    ran.ok();
    assert_eq!(ran.stderr, "red text\n");
}
