//! Every exit code, with what is said along with it.

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::support::{Ran, Server, free_port, tinpot};

#[test]
fn exit_code_0_is_success_and_1_a_failure_with_its_reason() {
    let server = Server::shared();
    server.run(&["run", "noop"]).ok();
    let ran = server.run(&["run", "fail", "--text", "so sad"]);
    let stderr = ran.failed(1);
    assert!(
        stderr.contains("ValueError: so sad")
            && stderr.contains("Traceback")
            && stderr.contains("actions.py"),
        "{stderr}"
    );
    assert_eq!(ran.stdout, "");
    let last = |stderr: &str| stderr.lines().last().unwrap_or_default().to_owned();
    assert!(last(stderr).ends_with("failed: ValueError: so sad"), "the kind once: {stderr}");
    // The traceback has the further lines already.
    let ran = server.run(&["run", "fail", "--text", "first\nsecond"]);
    let stderr = ran.failed(1);
    assert!(last(stderr).ends_with("failed: ValueError: first"), "{stderr}");
    assert_eq!(stderr.matches("\nsecond").count(), 1, "{stderr}");
}

#[test]
fn exit_code_2_is_a_wrong_command_line_or_wrong_parameters() {
    let server = Server::shared();
    for (arguments, said) in [
        (&["run"][..], "name an action"),
        (&["rum", "x"], "did you mean `tinpot run`?"),
        (&["rnu", "x"], "did you mean `tinpot run`?"),
        (&["dev", "--host", "::"], "did you mean `tinpot coordinator --host`?"),
        (&["actions", "lst"], "did you mean `tinpot actions list`?"),
        (&["watch", "x"], "did you mean `tinpot executions watch`?"),
        (&["list"], "`tinpot actions list` or `tinpot executions list`"),
        (&["executions", "list", "--statuses", "failed"], "did you mean `--status`?"),
        (&["run", "echo"], "--text is required"),
        (&["run", "echo", "--txt", "a"], "did you mean `--text`?"),
        (
            &["run", "echo", "--text", "a", "--count", "many"],
            "--count must be an integer (got \"many\")",
        ),
        (&["run", "echo", "--text", "a", "--kind", "shrot"], "did you mean `short`?"),
        (&["run", "echo", "-p", "tetx=a"], "did you mean \"text\"?"),
        (&["run", "echo", "-p", "text"], "NAME=VALUE"),
        (&["run", "echo", "-d", "[1]"], "--data"),
        (&["run", "echo", "-d", "@/nonexistent"], "--data cannot read /nonexistent"),
        (&["run", "echo", "-d", "@"], "--data must name a file after the @"),
        (&["run", "echo", "-d", r#"{"text": 5, "count": "x"}"#], "--text must be a string (got 5)"),
        (&["run", "echo", "--text", "a", "--timeout", "-1"], "--timeout"),
        (&["executions", "list", "--status", "done"], "possible values"),
        (&["executions", "list", "--status", "FAILURE"], "did you mean `failed`?"),
        (&["executions", "list", "--status", "failed, lost"], "did you mean `lost`?"),
        (&["executions", "show", ""], "the id of an execution must not be empty"),
        (&["--server", "host:80", "actions", "list"], "http://host:80"),
        (&["exec", "nothing"], "FILE::ACTION"),
        (&["completions", "tcsh"], "possible values"),
    ] {
        let ran = server.run(arguments);
        assert!(ran.failed(2).contains(said), "{arguments:?}: {said:?} in {ran:?}");
        assert_eq!(ran.stdout, "", "{arguments:?}");
    }
    let ran = server.run(&["run", "echo", "-d", r#"{"text": 5, "count": "x"}"#]);
    assert!(
        ran.stderr.contains("--count must be an integer") && ran.stderr.contains("run echo --help"),
        "{ran:?}"
    );
}

#[test]
fn a_number_that_does_not_fit_is_refused_in_plain_words() {
    let server = Server::shared();
    let echo = ["run", "echo", "--text", "a"];
    let list = ["executions", "list"];
    let logs = ["executions", "logs", "0190"];
    for (command, option, value, said) in [
        (&echo[..], "--priority", "high", "must be a whole number"),
        (&echo, "--priority", "9999999999", "must be from -2147483648 to 2147483647"),
        (&echo, "--delay", "1h", "must be a number of seconds, 0 or more, like 90"),
        (&echo, "--delay", "-1", "must be a number of seconds, 0 or more, like 90"),
        (&echo, "--expires-in", "0", "must be a number of seconds above 0, like 90"),
        (&echo, "--attempt-timeout", "nan", "must be a number of seconds above 0, like 90"),
        (&echo, "--retries", "-1", "must be from 0 to 1000"),
        (&echo, "--idempotency-key", "", "must have 1 to 255 characters (got 0)"),
        (&list, "--limit", "0", "must be from 1 to 100000"),
        (&list, "--limit", "-1", "must be from 1 to 100000"),
        (&list, "--limit", "many", "must be a whole number"),
        (&logs, "--tail", "-1", "must be from 1 to 10000"),
        (&logs, "--after", "-1", "must be a whole number, 0 or more"),
    ] {
        let ran = server.run(&[command, &[option, value]].concat());
        let stderr = ran.failed(2);
        let named = format!("invalid value '{value}' for '{option} ");
        assert!(stderr.contains(&named) && stderr.contains(said), "{said:?} in {stderr}");
    }
    let ran = server.run(&["--json", "executions", "list", "--limit", "0"]);
    assert!(ran.failed(2).contains("must be from 1 to 100000"), "{ran:?}");
}

#[test]
fn exit_code_3_is_a_cancelled_execution_and_6_a_conflict() {
    let server = Server::shared();
    let id = server.running();
    let mut watch = crate::support::Process::start(server.tinpot(&["executions", "watch", &id]));
    watch.line("line 1");
    assert!(server.run(&["executions", "cancel", &id]).ok().contains("cancelling"));
    assert_eq!(watch.end().code(), Some(3), "{:?}", watch.seen);
    server.run(&["executions", "cancel", &id]).failed(6);
    let id = server.running();
    server.run(&["executions", "cancel", "--force", &id]).ok();
    let ran = server.run(&["executions", "watch", &id, "-q"]);
    assert!(ran.failed(3).contains(&format!("execution {id} was cancelled by ")), "{ran:?}");
    let shown = server.run(&["executions", "show", &id]);
    assert!(shown.ok().contains("\nend           cancelled by "), "{shown:?}");
}

#[test]
fn an_execution_that_times_out_is_reported_with_its_limit() {
    let server = Server::shared();
    let ran = server.run(&["run", "slow", "--attempt-timeout", "0.5"]);
    assert!(ran.failed(1).ends_with(" timed out after 500 ms\n"), "{ran:?}");
    let id = server.run(&["executions", "list", "--status", "timed_out", "-n", "1", "--json"]);
    let id = id.json()["execution_id"].as_str().expect("an id").to_owned();
    let shown = server.run(&["executions", "show", &id]);
    assert!(shown.ok().contains("\nend           timed out after 500 ms\n"), "{shown:?}");
}

#[test]
fn exit_code_4_is_a_server_that_refuses_the_user() {
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let url = answering(status, r#"{"detail": "who are you?"}"#);
        let mut command = tinpot();
        command.args(["actions", "list", "--server", &url]);
        assert!(Ran::of(command).failed(4).contains("who are you?"));
    }
}

#[test]
fn exit_code_5_is_an_unknown_name_with_a_suggestion() {
    let server = Server::shared();
    assert!(server.run(&["run", "ecko"]).failed(5).contains("did you mean \"echo\"?"));
    assert!(server.run(&["run", "ecko", "--help"]).failed(5).contains("did you mean \"echo\"?"));
    assert!(server.run(&["actions", "show", "ecko"]).failed(5).contains("did you mean \"echo\"?"));
    for arguments in [
        ["executions", "show"],
        ["executions", "watch"],
        ["executions", "logs"],
        ["executions", "cancel"],
    ] {
        let ran = server.run(&[&arguments[..], &["01890000-0000-7000-8000-000000000000"]].concat());
        assert!(ran.failed(5).contains("01890000-0000-7000-8000-000000000000"), "{ran:?}");
    }
    assert!(server.run(&["workers", "drain", "missing"]).failed(5).contains("\"missing\""));
    server.run(&["check", "/nonexistent"]).failed(5);
    server.run(&["exec", "/nonexistent.py::x"]).failed(5);
}

#[test]
fn exit_code_7_is_a_wait_that_ends_before_the_execution() {
    let server = Server::shared();
    let ran = server.run(&["run", "slow", "--timeout", "0.5"]);
    let stderr = ran.failed(7);
    let id = stderr.rsplit("executions watch ").next().expect("advice").trim();
    assert_eq!(server.run(&["executions", "show", id, "--json"]).json()["status"], "running");
    server.run(&["executions", "watch", id, "--timeout", "0.1", "-q"]).failed(7);
    server.run(&["executions", "cancel", "--force", id]).ok();
}

#[test]
fn exit_code_8_is_a_missing_or_unavailable_server() {
    let plain = Server::shared();
    let wrong = plain.url.replace("http://", "https://");
    let ran = plain.run(&["actions", "list", "--server", &wrong]);
    assert!(ran.failed(8).contains(&format!("try {}", plain.url)), "{ran:?}");
    let url = format!("http://127.0.0.1:{}", free_port());
    for arguments in [
        &["actions", "list"][..],
        &["run", "x"],
        &["executions", "watch", "x"],
        &["executions", "logs", "x", "-f"],
        &["workers", "list"],
        &["queues", "list"],
        &["openapi"],
    ] {
        let mut command = tinpot();
        command.env("TINPOT_SERVER", &url).args(arguments);
        let ran = Ran::of(command);
        assert!(
            ran.failed(8).contains(&url) && ran.stderr.contains("tinpot dev"),
            "{arguments:?}: {ran:?}"
        );
    }
    for (status, body, said) in [
        ("503 Service Unavailable", r#"{"detail": "not now"}"#, "not now"),
        ("200 OK", "<html>", "is not a Tinpot server"),
        ("502 Bad Gateway", "<html>", "is not a Tinpot server"),
    ] {
        let url = answering(status, body);
        let mut command = tinpot();
        command.args(["actions", "list", "--server", &url]);
        let ran = Ran::of(command);
        assert!(ran.failed(8).contains(said), "{ran:?}");
    }
}

#[test]
fn a_body_that_is_too_large_is_refused_with_the_limit() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("blob");
    let at = format!("@{}", path.display());
    let server = Server::shared();
    for megabytes in [1, 40] {
        let text = "x".repeat(megabytes << 20);
        std::fs::write(&path, format!("{{\"text\":\"{text}\"}}")).expect("a file");
        let ran = server.run(&["run", "echo", "--data", &at]);
        let stderr = ran.failed(2);
        let said = "at most 1048576 bytes, by the setting limit_request of the server";
        assert!(stderr.contains(said) && stderr.contains("(got "), "{megabytes} MB: {stderr}");
    }
    // Servers and proxies that end the connection without reading, with an answer and without.
    for (answer, code, said) in [
        (Some(r#"{"detail": "at most 10 bytes"}"#), 2, "bytes): at most 10 bytes"),
        // Without an answer, it may as well have been stopped.
        (None, 8, "it, or a proxy in front of it, may admit fewer"),
    ] {
        let url = impatient(answer);
        let mut command = tinpot();
        command.args(["run", "measure", "--blob", &at, "--server", &url]);
        assert!(Ran::of(command).failed(code).contains(said), "{answer:?}");
    }
    // Files that no server takes are not read to their end.
    std::fs::File::create(&path).and_then(|file| file.set_len(65 << 20)).expect("a file");
    let ran = server.run(&["run", "measure", "--blob", &at]);
    assert!(ran.failed(2).contains("at most 67108864 bytes"), "{ran:?}");
}

#[test]
fn errors_are_json_with_the_json_flag() {
    let ran = Server::shared().run(&["run", "ecko", "--json"]);
    let error: serde_json::Value = serde_json::from_str(ran.failed(5)).expect("JSON");
    assert!(error["detail"].as_str().is_some_and(|text| text.contains("ecko")), "{error}");
    assert_eq!(error["exit_code"], 5);
    for wrong in [
        &["executions", "list", "--status", "done", "--json"][..],
        &["--json", "run", "echo", "--txt", "a"],
        &["--json", "rum"],
    ] {
        let ran = Server::shared().run(wrong);
        let error: serde_json::Value = serde_json::from_str(ran.failed(2)).expect("JSON");
        assert_eq!(error["exit_code"], 2, "{error}");
    }
    let ran = Server::shared().run(&["--json", "rum"]);
    assert!(ran.failed(2).contains("did you mean `tinpot run`?"), "{ran:?}");
    let ran = Server::shared().run(&["--json", "executions", "list", "--status", "done"]);
    assert!(ran.stderr.contains("'done'") && ran.stderr.contains("succeeded"), "{ran:?}");
}

#[test]
fn a_command_without_its_subcommand_prints_its_help() {
    for (arguments, said) in [
        (&[][..], "Usage: tinpot"),
        (&["executions"], "Usage: tinpot executions"),
        (&["queues"], "Usage: tinpot queues"),
        (&["--utc"], "Usage: tinpot"),
        (&["--utc", "executions"], "Usage: tinpot executions"),
    ] {
        // Variables count as arguments.
        let mut command = tinpot();
        command.env("TINPOT_SERVER", "http://localhost:1").args(arguments);
        let ran = Ran::of(command);
        assert!(ran.ok().contains(said), "{arguments:?}: {ran:?}");
        assert_eq!(ran.stderr, "", "{arguments:?}");
    }
}

#[test]
fn a_wrong_value_of_a_variable_names_the_variable() {
    let wrong = |arguments: &[&str]| {
        let mut command = tinpot();
        command.env("PORT", "many").args(arguments);
        Ran::of(command).failed(2).to_owned()
    };
    let said = wrong(&["coordinator", "--show-config"]);
    assert!(
        said.contains("'many' for '--port <PORT>'") && said.contains("variable PORT"),
        "{said}"
    );
    assert!(wrong(&["coordinator", "--show-config", "--json"]).contains("variable PORT"));
    let said = wrong(&["coordinator", "--show-config", "--port", "few"]);
    assert!(said.contains("'few'") && !said.contains("variable"), "{said}");
}

/// Starts a server that knows an action, and ends the connection of a submission after its head: with
/// that answer, or after the first bytes of the body.
fn impatient(answer: Option<&'static str>) -> String {
    let action = r#"{"name": "measure", "group": "", "description": "", "queue": "default", "available": true, "schema": {"type": "object", "properties": {"blob": {"type": "string", "format": "binary"}}}}"#;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { return };
            let mut head = [0; 4096];
            let read = connection.read(&mut head).unwrap_or(0);
            let (status, body) = match answer {
                _ if head[..read].starts_with(b"GET") => ("200 OK", action),
                Some(answer) => ("413 Content Too Large", answer),
                None => {
                    let _ = connection.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
                    let _ = connection.read(&mut head);
                    continue;
                }
            };
            let length = body.len();
            let _ = write!(
                connection,
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
    url
}

/// Starts a server that gives every request the same answer, until the test process ends.
fn answering(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { return };
            let _ = connection.read(&mut [0; 4096]);
            let length = body.len();
            let _ = write!(
                connection,
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
    url
}
