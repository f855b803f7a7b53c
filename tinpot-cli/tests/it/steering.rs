//! Steering: requesters, reruns, pausing, draining and searches.

use crate::support::Server;

#[test]
fn the_requester_is_recorded() {
    let server = Server::shared();
    let mut command = server.tinpot(&["run", "noop", "--detach"]);
    command.env("USER", "ada");
    let ran = crate::support::Ran::of(command);
    let id = ran.ok().trim();
    let shown = server.run(&["executions", "show", id, "--json"]).json();
    assert!(shown["requested_by"].as_str().is_some_and(|by| by.starts_with("ada@")), "{shown}");
    let by = shown["requested_by"].as_str().expect("text");
    assert!(server.run(&["executions", "list", "--requested-by", by]).ok().contains(id));
    // No variable names the user, as under systemd.
    let mut command = server.tinpot(&["run", "noop", "--detach"]);
    command.env_remove("USER").env("LOGNAME", "");
    let ran = crate::support::Ran::of(command);
    let shown = server.run(&["executions", "show", ran.ok().trim(), "--json"]).json();
    let mut id = std::process::Command::new("id");
    id.arg("-un");
    let name = crate::support::Ran::of(id);
    let by = shown["requested_by"].as_str().expect("text");
    assert!(by.starts_with(&format!("{}@", name.ok().trim())), "{by}");
}

#[test]
fn the_reason_for_waiting_is_printed() {
    let server = crate::support::Server::start();
    server.run(&["queues", "pause", "aside"]).ok();
    let mut run = crate::support::Process::start(server.tinpot(&["run", "aside"]));
    run.line("waiting: queue \"aside\" is paused");
    server.run(&["queues", "resume", "aside"]).ok();
    assert_eq!(run.end().code(), Some(0), "{:?}", run.seen);
    let mut run = crate::support::Process::start(server.tinpot(&["run", "say", "--delay", "300"]));
    run.line("waiting: not before 20");
}

#[test]
fn an_execution_is_run_again() {
    let server = Server::shared();
    let id = server.run(&["run", "say", "--text", "again", "--detach"]).ok().trim().to_owned();
    assert_eq!(server.run(&["executions", "rerun", &id]).ok(), "again\n");
    let other =
        server.run(&["executions", "rerun", &id, "--detach", "--priority", "7", "--json"]).json();
    let other = other["execution_id"].as_str().expect("an id");
    assert_ne!(other, id);
    assert_eq!(server.run(&["executions", "show", other, "--json"]).json()["priority"], 7);
}

#[test]
fn a_queue_is_paused_and_resumed() {
    let server = Server::shared();
    assert!(server.run(&["queues", "pause", "aside"]).ok().contains("aside is paused"));
    let id = server.run(&["run", "aside", "--detach"]).ok().trim().to_owned();
    server.run(&["executions", "watch", &id, "--timeout", "0.3"]).failed(7);
    assert!(
        server
            .run(&["queues", "list"])
            .ok()
            .lines()
            .any(|line| line.starts_with("aside") && line.contains("paused"))
    );
    assert_eq!(server.run(&["queues", "resume", "aside", "--json"]).json()["paused"], false);
    assert_eq!(server.run(&["executions", "watch", &id]).ok(), "1\n");
    assert!(
        server.run(&["queues", "pause", "asdie"]).failed(5).contains("did you mean \"aside\"?")
    );
}

#[test]
fn a_worker_is_drained() {
    let mut server = Server::start();
    let id = server.running();
    assert!(server.run(&["workers", "drain", "dev"]).ok().contains("is draining"));
    let later = server.run(&["run", "noop", "--detach"]).ok().trim().to_owned();
    assert!(server.run(&["workers", "list"]).ok().contains("draining"));
    server.run(&["executions", "watch", &later, "--timeout", "0.3"]).failed(7);
    server.run(&["executions", "cancel", "--force", &id]).ok();
    server.process().signal(rustix::process::Signal::TERM);
    assert_eq!(server.process().end().code(), Some(0));
}

#[test]
fn openapi_prints_the_description() {
    let openapi = Server::shared().run(&["openapi"]).json();
    assert!(openapi["paths"]["/api/actions/{name}/execute"].is_object(), "{openapi}");
}

#[test]
fn several_statuses_are_listed_at_once() {
    let server = Server::shared();
    let id = server.run(&["run", "fail", "--detach"]).ok().trim().to_owned();
    server.wait_for(&id, "failed");
    assert!(server.run(&["executions", "list", "--status", "failed,lost"]).ok().contains(&id));
    assert!(!server.run(&["executions", "list", "--status", "succeeded,lost"]).ok().contains(&id));
    assert!(
        !server.run(&["executions", "list", "--since", "2999-01-01T00:00:00Z"]).ok().contains(&id)
    );
    server.run(&["executions", "list", "--since", "soon"]).failed(2);
}

#[test]
fn versions_of_command_and_server_are_printed() {
    let both = Server::shared().run(&["version", "--json"]).json();
    assert_eq!(
        (&both["version"], &both["server"]["version"]),
        (&env!("CARGO_PKG_VERSION").into(), &env!("CARGO_PKG_VERSION").into())
    );
}

#[test]
fn a_log_is_filtered_and_searched_by_the_server() {
    let server = Server::shared();
    let id = server.run(&["run", "lines", "--number", "300", "--detach"]).ok().trim().to_owned();
    server.run(&["executions", "watch", &id, "-q"]).ok();
    let logs = |more: &[&str]| server.run(&[&["executions", "logs", &id], more].concat());
    assert_eq!(logs(&["--tail", "2"]).ok(), "number 298\nnumber 299\n");
    assert_eq!(logs(&["--search", "NUMBER 15"]).ok().lines().count(), 11);
    assert_eq!(logs(&["--search", "NUMBER 15", "--case"]).ok(), "");
    assert_eq!(
        logs(&["--search", "r 29[89]$", "--regex", "-C", "1"])
            .ok()
            .lines()
            .filter(|line| line.starts_with("> "))
            .count(),
        2
    );
    let id = server.run(&["run", "logged", "--detach"]).ok().trim().to_owned();
    server.run(&["executions", "watch", &id, "-q"]).ok();
    for arguments in [&["--level", "warning"][..], &["--level", "warning", "-f"]] {
        let ran = server.run(&[&["executions", "logs", &id], arguments].concat());
        assert_eq!(ran.ok(), "WARNING look out\n", "{arguments:?}");
    }
    assert_eq!(server.run(&["executions", "logs", &id, "--stream", "stdout"]).ok(), "plain\n");
}
