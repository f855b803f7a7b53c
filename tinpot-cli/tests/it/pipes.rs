//! Readers that go away.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::Server;

#[test]
fn a_closed_pipe_ends_the_command_quietly() {
    let server = Server::shared();
    let id = server.run(&["run", "lines", "--number", "20000", "--detach"]).ok().trim().to_owned();
    server.run(&["executions", "watch", &id, "-q"]).ok();
    for more in [&[][..], &["-f"], &["--json"]] {
        let mut command = server.tinpot(&[&["executions", "logs", &id], more].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command starts");
        let mut line = String::new();
        BufReader::with_capacity(64, child.stdout.take().expect("a pipe"))
            .read_line(&mut line)
            .expect("a line");
        assert!(line.contains("number 0"), "{line}");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(
            (output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()),
            (Some(0), ""),
            "{more:?}"
        );
    }
}

#[test]
fn a_run_with_a_closed_log_exits_with_7() {
    let server = Server::shared();
    let mut command = server.tinpot(&["run", "slow"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    let mut line = String::new();
    BufReader::with_capacity(16, child.stderr.take().expect("a pipe"))
        .read_line(&mut line)
        .expect("a line");
    assert!(line.starts_with("tinpot: execution "), "{line}");
    assert_eq!(child.wait().expect("it ends").code(), Some(7));
    for line in server
        .run(&["executions", "list", "--action", "slow", "--status", "running", "--json"])
        .ok()
        .lines()
    {
        let execution: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(execution["status"], "running");
    }
}

#[test]
fn help_into_a_closed_pipe_does_not_crash() {
    let mut command = crate::support::tinpot();
    command.arg("--help").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn no_command_fails_because_of_a_closed_pipe() {
    let server = Server::shared();
    let id = server.run(&["run", "say", "--detach"]).ok().trim().to_owned();
    server.run(&["executions", "watch", &id, "-q"]).ok();
    for arguments in [
        &["actions", "list"][..],
        &["actions", "show", "echo"],
        &["executions", "list"],
        &["executions", "list", "--json"],
        &["executions", "show", &id],
        &["executions", "watch", &id],
        &["run", "say", "-q"],
        &["run", "noop", "--json"],
        &["run", "say", "--detach", "-q"],
        &["run", "echo", "--help"],
        &["workers", "list"],
        &["queues", "list"],
        &["openapi"],
        &["version"],
        &["completions", "bash"],
        &["coordinator", "--show-config"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = server.tinpot(arguments);
        let output = command.stdout(writer).stderr(Stdio::piped()).output().expect("it starts");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
}
