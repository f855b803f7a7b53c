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
    let mut lines: Vec<_> = ran.stderr.lines().skip(1).collect();
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
    assert!(ran.stderr.ends_with("\nred text\n") && !ran.stderr.contains('\x1b'), "{ran:?}");
}

#[test]
fn a_run_begins_with_the_id_and_the_page_of_the_execution() {
    let server = Server::shared();
    for more in [&[][..], &["--detach"]] {
        let ran = server.run(&[&["run", "noop"], more].concat());
        ran.ok();
        let first = ran.stderr.lines().next().expect("a line");
        let id = first.split_whitespace().nth(2).expect("an id");
        assert_eq!(first, format!("tinpot: execution {id}  {}/executions/{id}", server.url));
        assert_eq!(server.run(&["executions", "show", id, "--json"]).json()["action_name"], "noop");
    }
    for more in [["--quiet"], ["--json"]] {
        let ran = server.run(&[&["run", "noop"][..], &more].concat());
        assert_eq!((ran.code, &*ran.stderr), (Some(0), ""), "{more:?}");
    }
}

#[test]
fn steps_and_fields_are_part_of_the_log() {
    let server = Server::shared();
    let ran = server.run(&["run", "stepped"]);
    let stderr = ran.failed(1);
    let lines: Vec<_> = stderr.lines().skip(1).take(6).collect();
    assert_eq!(
        lines[..3],
        ["→ outer", "  → inner", "INFO counted number=3 place=here words=\"a b\""]
    );
    assert!(lines[3].starts_with("  ✓ inner (") && lines[4].starts_with("✓ outer ("), "{lines:?}");
    assert!(
        stderr.contains("✗ last failed (") && stderr.contains("): ValueError: no luck"),
        "{stderr}"
    );
    let id = stderr.split_whitespace().nth(2).expect("an id");
    let log = server.run(&["executions", "logs", id]);
    assert_eq!(log.ok().lines().next(), Some("INFO counted number=3 place=here words=\"a b\""));
}

#[test]
fn bytes_come_from_a_file_from_standard_input_or_as_base64() {
    let server = Server::shared();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("blob");
    std::fs::write(&path, [0, 255, b'a']).expect("a file");
    let at = format!("@{}", path.display());
    let pair = format!("blob={at}");
    for arguments in [["--blob", &at], ["-p", &pair]] {
        let ran = server.run(&[&["run", "measure"][..], &arguments].concat());
        assert_eq!(ran.json(), json!({"size": 3, "start": "\0ÿa"}), "{arguments:?}");
    }
    let piped = Ran::with_input(server.tinpot(&["run", "measure", "--blob", "@-"]), "piped");
    assert_eq!(piped.json()["start"], "piped");
    assert_eq!(server.run(&["run", "measure", "--blob", "YWJj"]).json()["start"], "abc");
    assert_eq!(server.run(&["run", "measure", "--blob", "@@abc"]).json()["start"], "@abc");
    let ran = server.run(&["run", "measure", "--blob", "@/nonexistent/file"]);
    assert!(ran.failed(2).contains("--blob cannot read /nonexistent/file"), "{ran:?}");
    let twice = ["run", "measure", "--blob", "@-", "--suffix", "@-"];
    let ran = Ran::with_input(server.tinpot(&twice), "piped");
    assert!(ran.failed(2).contains("standard input twice"), "{ran:?}");
    let help = server.run(&["run", "measure", "--help"]);
    assert!(help.ok().contains("--blob <@FILE|BASE64>"), "{help:?}");
}

#[test]
fn a_rerun_takes_parameters_that_replace_the_recorded_ones() {
    let server = Server::shared();
    let first =
        server.run(&["run", "echo", "--text", "a", "--count", "5", "--priority", "7", "--detach"]);
    let id = first.ok().trim();
    server.wait_for(id, "succeeded");
    let rerun = |more: &[&str]| server.run(&[&["executions", "rerun", id], more].concat());
    assert_eq!(rerun(&[]).json()["text"], "a");
    for (more, text, count) in [
        (&["--text", "b"][..], "b", 5),
        (&["-p", "text=c", "--count", "1"], "c", 1),
        (&["-d", r#"{"text": "d"}"#], "d", 5),
    ] {
        let got = rerun(more).json();
        assert_eq!((&got["text"], &got["count"]), (&json!(text), &json!(count)), "{more:?}");
    }
    let again = rerun(&["--text", "e", "--detach"]);
    let shown = server.run(&["executions", "show", again.ok().trim(), "--json"]).json();
    assert_eq!(shown["priority"], 7, "options stay");
    assert!(rerun(&["--txt", "e"]).failed(2).contains("did you mean `--text`?"));
    assert!(rerun(&["--count", "many"]).failed(2).contains("--count must be an integer"));
    let help = rerun(&["--help"]);
    assert!(
        help.ok().contains("--count <INTEGER>") && help.ok().contains("executions rerun"),
        "{help:?}"
    );
    assert!(server.run(&["executions", "rerun", "--help"]).ok().contains("FLAGS OF THE ACTION"));
    server.run(&["executions", "rerun"]).failed(2);
}

#[test]
fn a_rerun_never_sends_the_mark_of_a_hidden_secret() {
    let server = Server::shared();
    let id = server.run(&["run", "login", "--user", "a", "--token", "secret", "-q", "--detach"]);
    let id = id.ok().trim();
    server.wait_for(id, "succeeded");
    let rerun = |more: &[&str]| server.run(&[&["executions", "rerun", id], more].concat());
    assert_eq!(rerun(&[]).ok(), "a has a token of 6 characters\n");
    let ran = rerun(&["--user", "b"]);
    assert!(ran.failed(2).contains("--token must be given again"), "{ran:?}");
    assert_eq!(rerun(&["--user", "b", "--token", "new"]).ok(), "b has a token of 3 characters\n");
}
