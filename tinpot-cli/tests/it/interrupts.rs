//! Ctrl-C and SIGTERM at every point.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Process, Server, tinpot};

/// Returns the id of the execution in a line of advice.
fn id_in(line: &str) -> String {
    line.split_whitespace().last().expect("an id").to_owned()
}

#[test]
fn one_ctrl_c_leaves_the_execution_running_and_prints_how_to_cancel_it() {
    let server = Server::shared();
    let mut run = Process::start(server.tinpot(&["run", "slow"]));
    run.line("line 2");
    run.signal(Signal::INT);
    let id = id_in(&run.line("executions cancel"));
    assert_eq!(run.end().code(), Some(130), "{:?}", run.seen);
    assert!(
        run.seen.iter().any(|line| line.contains(&format!("executions watch {id}"))),
        "{:?}",
        run.seen
    );
    assert_eq!(server.run(&["executions", "show", &id, "--json"]).json()["status"], "running");
    server.run(&["executions", "cancel", "--force", &id]).ok();
}

#[test]
fn two_ctrl_c_cancel_the_execution_and_wait_for_its_end() {
    let server = Server::shared();
    let mut run = Process::start(server.tinpot(&["run", "slow"]));
    run.line("line 2");
    run.signal(Signal::INT);
    let id = id_in(&run.line("executions cancel"));
    run.signal(Signal::INT);
    assert_eq!(run.end().code(), Some(3), "{:?}", run.seen);
    assert_eq!(server.run(&["executions", "show", &id, "--json"]).json()["status"], "cancelled");
}

#[test]
fn an_execution_that_ends_after_one_ctrl_c_is_reported() {
    let server = Server::shared();
    let mut run = Process::start(server.tinpot(&["run", "slow", "--seconds", "1"]));
    run.line("line 2");
    run.signal(Signal::INT);
    run.line("executions cancel");
    assert_eq!(run.end().code(), Some(0), "{:?}", run.seen);
}

#[test]
fn sigterm_ends_the_command_at_once() {
    let server = Server::shared();
    let mut run = Process::start(server.tinpot(&["run", "slow"]));
    run.line("line 1");
    let begun = Instant::now();
    run.signal(Signal::TERM);
    let id = id_in(&run.line("executions cancel"));
    assert_eq!(run.end().code(), Some(130), "{:?}", run.seen);
    assert!(begun.elapsed() < Duration::from_secs(3), "it waited as for a second Ctrl-C");
    server.run(&["executions", "cancel", "--force", &id]).ok();
}

#[test]
fn ctrl_c_works_while_the_execution_is_queued() {
    let server = Server::shared();
    let mut run = Process::start(server.tinpot(&["run", "say", "--delay", "300"]));
    // The command knows that it was accepted.
    run.line("tinpot: execution ");
    run.signal(Signal::INT);
    run.line("executions cancel");
    run.signal(Signal::INT);
    assert_eq!(run.end().code(), Some(3), "{:?}", run.seen);
}

#[test]
fn ctrl_c_works_before_the_server_has_answered() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let mut command = tinpot();
    command.args(["run", "x", "-q", "--server", &url]);
    // The first request asks for the action; signals have their default effect until then.
    let mut run = Process::start(command);
    let connection = listener.accept().expect("a request");
    run.signal(Signal::INT);
    let status = run.end();
    drop(connection);
    assert!(
        std::os::unix::process::ExitStatusExt::signal(&status) == Some(2)
            || status.code() == Some(130),
        "{status}"
    );

    let mut command = tinpot();
    command.env("TINPOT_SERVER", &url).args(["run", "x"]);
    let mut run = Process::start(command);
    let connection = listener.accept().expect("a request");
    run.signal(Signal::INT);
    run.line("before the server confirmed the submission");
    assert_eq!(run.end().code(), Some(130));
    drop(connection);
}

#[test]
fn ctrl_c_ends_a_followed_log() {
    let server = Server::shared();
    let id = server.running();
    let mut logs = Process::start(server.tinpot(&["executions", "logs", "-f", &id]));
    logs.line("line 3");
    logs.signal(Signal::INT);
    assert_eq!(logs.end().code(), Some(130), "{:?}", logs.seen);
    assert_eq!(server.run(&["executions", "show", &id, "--json"]).json()["status"], "running");
    server.run(&["executions", "cancel", "--force", &id]).ok();
}

#[test]
fn a_server_drains_before_it_ends() {
    let mut server = Server::start();
    server.running();
    server.process().signal(Signal::TERM);
    server.process().line("shutting down");
    assert_eq!(server.process().end().code(), Some(0));
}

#[test]
fn ctrl_c_cancels_an_execution_of_exec() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = include_str!("actions.py");
    let path = crate::support::file(folder.path(), "actions.py", text);
    let mut command = tinpot();
    command.arg("exec").arg(format!("{}::slow", path.display()));
    let mut exec = Process::start(command);
    exec.line("line 2");
    exec.signal(Signal::INT);
    assert_eq!(exec.end().code(), Some(3), "{:?}", exec.seen);
    let advice = exec.seen.iter().find(|line| line.contains("--server"));
    assert_eq!(advice, None, "there is no server to come back to");
}

/// The servers, each with the line that shows it is ready.
fn serving(folder: &std::path::Path) -> Vec<(Process, &'static str)> {
    let text = include_str!("actions.py");
    crate::support::file(folder, "actions.py", text);
    let broker = format!("tcp://127.0.0.1:{}", crate::support::free_port());
    let mut all = Vec::new();
    for (name, more, begun) in [
        ("dev", &["--port", "0"][..], "press Ctrl-C to stop"),
        ("worker", &["--actions"], "the broker cannot be reached"),
        ("coordinator", &["--port", "0", "--store", "memory"], "the broker cannot be reached"),
    ] {
        let mut command = tinpot();
        command.arg(name).args(more);
        if name != "coordinator" {
            command.arg(folder);
        }
        if name != "dev" {
            command.args(["--broker", &broker]);
        }
        all.push((Process::start(command), begun));
    }
    all
}

#[test]
fn servers_shut_down_in_order_without_a_broker() {
    let folder = tempfile::tempdir().expect("a folder");
    for (mut process, begun) in serving(folder.path()) {
        process.line(begun);
        process.signal(Signal::INT);
        process.line("shutting down");
        assert_eq!(process.end().code(), Some(0), "{:?}", process.seen);
    }
}

#[test]
fn a_coordinator_with_an_embedded_broker_logs_no_outage_at_its_end() {
    let broker = format!("127.0.0.1:{}", crate::support::free_port());
    let mut command = tinpot();
    command.args(["coordinator", "--port", "0", "--store", "memory", "--embedded-broker", &broker]);
    let mut coordinator = Process::start(command);
    coordinator.url();
    coordinator.signal(Signal::TERM);
    assert_eq!(coordinator.end().code(), Some(0), "{:?}", coordinator.seen);
    let outage = coordinator.seen.iter().find(|line| line.contains("the link is down"));
    assert_eq!(outage, None);
}

#[test]
fn a_second_signal_ends_a_server_at_once() {
    let mut server = Server::start();
    server.running();
    server.process().signal(Signal::INT);
    server.process().line("shutting down");
    server.process().signal(Signal::INT);
    assert_eq!(server.process().end().code(), Some(130));
}

#[test]
fn ctrl_c_works_while_the_server_is_away() {
    let mut server = Server::start();
    let begin = |arguments: &[&str]| {
        let mut run = Process::start(server.tinpot(arguments));
        run.line("line 2");
        run
    };
    let id = server.running();
    let (mut once, mut twice) = (begin(&["run", "slow"]), begin(&["run", "slow"]));
    let mut logs = begin(&["executions", "logs", "--follow", &id]);
    server.process().kill();
    for process in [&mut once, &mut twice, &mut logs] {
        process.line("waiting for the server");
        process.signal(Signal::INT);
    }
    twice.line("executions cancel");
    twice.signal(Signal::INT);
    assert_eq!(once.end().code(), Some(130), "{:?}", once.seen);
    assert_eq!(logs.end().code(), Some(130), "{:?}", logs.seen);
    // The server cannot be reached to cancel the execution.
    assert_eq!(twice.end().code(), Some(8), "{:?}", twice.seen);
    assert!(
        twice.seen.iter().any(|line| line.contains("cannot reach the server")),
        "{:?}",
        twice.seen
    );
}
