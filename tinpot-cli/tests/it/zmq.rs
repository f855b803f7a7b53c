//! Workers that reach their coordinator by ZeroMQ, without a broker.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;

use crate::support::{PATIENCE, Process, Ran, file, free_port, tinpot};

const ACTIONS: &str = r#"
import os
import time

from tinpot import action


@action
def say(text: str = "hello"):
    return text


@action
def until(path: str):
    print("started", flush=True)
    while not os.path.exists(path):
        time.sleep(0.02)
    return "there"
"#;

/// A coordinator that listens, and folders for workers.
struct Place {
    folder: tempfile::TempDir,
    port: u16,
    address: String,
    more: &'static [&'static str],
    coordinator: Process,
}

impl Place {
    fn start(address: impl FnOnce(PathBuf) -> String, more: &'static [&'static str]) -> Self {
        let folder = tempfile::Builder::new().prefix("zmq").tempdir().expect("a folder");
        let rights = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(folder.path(), rights).expect("a folder");
        file(folder.path(), "actions/actions.py", ACTIONS);
        let (port, address) = (free_port(), address(folder.path().join("run/zmq")));
        let command = Self::command(&folder, port, &address, more);
        let mut coordinator = Process::start(command);
        coordinator.line(&format!("Workers connect to {address}"));
        coordinator.line("Tinpot listens on http");
        Self { folder, port, address, more, coordinator }
    }

    fn command(folder: &tempfile::TempDir, port: u16, listen: &str, more: &[&str]) -> Command {
        let mut command = tinpot();
        command.args(["coordinator", "--listen", listen, "--port", &port.to_string()]).args(more);
        command.env("TINPOT_STORE", folder.path().join("tinpot.db")).current_dir(folder.path());
        command
    }

    /// Kills the coordinator, and starts it again.
    fn restart(&mut self) {
        self.coordinator.kill();
        let command = Self::command(&self.folder, self.port, &self.address, self.more);
        self.coordinator = Process::start(command);
        self.coordinator.line("Tinpot listens on http");
    }

    fn run(&self, words: &[&str]) -> Ran {
        let mut command = tinpot();
        command.env("TINPOT_SERVER", format!("http://127.0.0.1:{}", self.port)).args(words);
        Ran::of(command)
    }

    /// Returns a command in the folder of a worker.
    fn worker(&self, name: &str, words: &[&str]) -> Command {
        let place = self.folder.path().join(name);
        std::fs::create_dir_all(&place).expect("a folder");
        let mut command = tinpot();
        command.arg("worker").args(words).current_dir(place);
        command.env("ACTIONS_DIR", self.folder.path().join("actions"));
        command.env("TINPOT_NO_RELOAD", "true").env("WORKER_NAME", name);
        command
    }

    fn start_worker(&self, name: &str) -> Process {
        let mut worker = Process::start(self.worker(name, &["--broker", &self.address]));
        let line = worker.line("reaches its coordinator by");
        assert!(line.ends_with(&self.address), "{line}");
        worker
    }

    #[track_caller]
    fn wait_for(&self, what: &str, words: &[&str], so: impl Fn(&Ran) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ran = self.run(words);
            if so(&ran) {
                return;
            }
            assert!(Instant::now() < deadline, "waited for {what}: {ran:?}");
        }
    }

    #[track_caller]
    fn says(&self, text: &str) {
        self.wait_for("the action", &["actions", "show", "say"], |ran| ran.code == Some(0));
        assert_eq!(self.run(&["run", "say", "--text", text]).ok().trim(), text);
    }
}

#[test]
fn a_socket_is_enough_and_both_sides_may_be_killed() {
    let mut place = Place::start(|path| format!("zmq+ipc://{}", path.display()), &[]);
    let mut worker = place.start_worker("one");
    place.says("hello");

    let second = Place::command(&place.folder, 0, &place.address, &["--store", "other.db"]);
    let second = Ran::of(second);
    assert!(second.failed(1).contains("another program listens at"), "{second:?}");

    // The socket of the killed coordinator is still there, and the worker runs on.
    let there = place.folder.path().join("there");
    let path = there.to_str().expect("a path");
    let id = place.run(&["run", "until", "--path", path, "--detach"]).ok().trim().to_owned();
    let show = ["executions", "show", &id, "--json"];
    place.wait_for("its start", &show, |ran| ran.json()["status"] == "running");
    place.restart();
    std::fs::write(&there, "").expect("a file");
    place.wait_for("its end", &show, |ran| ran.json()["status"] == "succeeded");
    let shown = place.run(&show).json();
    assert_eq!(shown["attempts"].as_array().map(Vec::len), Some(1), "{shown}");

    worker.kill();
    let mut worker = place.start_worker("two");
    place.says("again");
    worker.signal(Signal::TERM);
    assert!(worker.end().success(), "{:#?}", worker.seen);
    place.coordinator.signal(Signal::TERM);
    assert!(place.coordinator.end().success(), "{:#?}", place.coordinator.seen);
    assert!(!place.folder.path().join("run/zmq").exists());
}

#[test]
fn a_worker_joins_by_tcp() {
    let port = free_port();
    let place = Place::start(|_| format!("zmq+tcp://127.0.0.1:{port}"), &["--frames=require"]);
    let token = {
        let mut command = tinpot();
        command.env("TINPOT_STORE", place.folder.path().join("tinpot.db"));
        command.args(["workers", "join-token", "--names", "web"]).current_dir(place.folder.path());
        Ran::of(command)
    };
    let token = file(place.folder.path(), "token", token.ok().trim());
    let token = token.to_str().expect("a path");
    let joined =
        Ran::of(place.worker("web", &["join", "--join-token-file", token, &place.address]));
    assert!(joined.ok().contains("This worker has joined as"), "{joined:?}");
    let mut worker = Process::start(place.worker("web", &[]));
    let line = worker.line("reaches its coordinator by");
    assert!(line.ends_with(&place.address), "{line}");
    place.says("sealed");
}

#[test]
fn settings_that_do_not_fit_get_a_message_each() {
    let folder = tempfile::tempdir().expect("a folder");
    let long = format!("--listen=zmq+ipc:///{}", "x".repeat(120));
    for (words, says) in [
        (&["--listen=zmq+tcp://0.0.0.0:5555"][..], "add --frames require"),
        (&["--listen=zmq+tcp://127.0.0.1"], "there is no port"),
        (&["--listen=tcp://127.0.0.1:1"], "the scheme must be zmq+ipc or zmq+tcp"),
        (&["--listen=zmq+ipc:///tmp/zmq"], "other users of this machine can enter /tmp"),
        (&[&*long], "at most 107 bytes (got 121)"),
        (&["--broker=zmq+tcp://127.0.0.1:1"], "with --listen (TINPOT_LISTEN)"),
    ] {
        let mut command = tinpot();
        command.args(["coordinator", "--port=0"]).args(words).current_dir(folder.path());
        let ran = Ran::of(command);
        assert!(ran.code != Some(0) && ran.stderr.contains(says), "{words:?}: {ran:?}");
        assert!(!folder.path().join("tinpot.db").exists(), "{words:?} leaves a store behind");
    }
    let mut command = tinpot();
    command.args(["worker", "--broker=zmq+tcp://127.0.0.1"]).current_dir(folder.path());
    command.env("ACTIONS_DIR", folder.path());
    let ran = Ran::of(command);
    assert!(ran.code != Some(0) && ran.stderr.contains("there is no port"), "{ran:?}");
}
