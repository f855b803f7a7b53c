//! Workers that join with a token, and what a revoked or an unknown one gets.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;

use crate::support::{PATIENCE, Process, Ran, file, free_port, tinpot};

const ACTIONS: &str = r#"
from tinpot import action


@action(queue="web")
def say(text: str = "hello"):
    return text


@action(queue="money")
def pay():
    return "paid"
"#;

const HOLD: &str = r#"
import pathlib
import time

from tinpot import action

here = pathlib.Path(__file__).parent


@action(queue="web")
def hold():
    with open(here / "begun", "a") as begun:
        begun.write(".")
    while not (here / "go").exists():
        time.sleep(0.001)
    return "held"
"#;

/// A coordinator with its own broker, and folders for workers.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    broker: String,
    url: String,
    coordinator: Process,
}

impl Place {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let broker = format!("tcp://127.0.0.1:{}", free_port());
        let actions = folder.path().join("actions");
        std::fs::create_dir(&actions).expect("a folder");
        file(&actions, "actions.py", ACTIONS);
        let mut coordinator = Process::start(coordinator(folder.path(), &broker));
        let url = coordinator.url();
        Self { folder, broker, url, coordinator }
    }

    /// Returns the folder of a worker.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn restart(&mut self) {
        self.coordinator.kill();
        self.coordinator = Process::start(coordinator(self.folder.path(), &self.broker));
        self.url = self.coordinator.url();
    }

    pub(crate) fn operate(&self, words: &[&str]) -> Ran {
        let mut command = tinpot();
        command.env("TINPOT_STORE", self.folder.path().join("tinpot.db"));
        command.current_dir(self.folder.path()).args(words);
        Ran::of(command)
    }

    /// Makes a join token, and returns its file.
    pub(crate) fn token(&self, words: &[&str]) -> PathBuf {
        let made = self.operate(&[&["workers", "join-token"], words].concat());
        let token = made.ok().trim();
        assert!(token.starts_with("tpj_") && token.len() == 96, "{token}");
        file(self.folder.path(), "token", token)
    }

    /// Returns a command in the folder of a worker.
    pub(crate) fn worker(&self, folder: &str, words: &[&str]) -> Command {
        let place = self.folder.path().join(folder);
        std::fs::create_dir_all(&place).expect("a folder");
        let mut command = tinpot();
        command.arg("worker").args(words).current_dir(place);
        command.env("ACTIONS_DIR", self.folder.path().join("actions"));
        command.env("MQTT_BROKER", &self.broker).env("TINPOT_NO_RELOAD", "true");
        command
    }

    pub(crate) fn join(&self, folder: &str, token: &Path, name: &str) -> Ran {
        let token = token.to_str().expect("a path");
        let words = ["join", "--join-token-file", token, "--name", name, &self.broker];
        Ran::of(self.worker(folder, &words))
    }

    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        let mut command = tinpot();
        command.env("TINPOT_SERVER", &self.url).args(words);
        Ran::of(command)
    }

    #[track_caller]
    pub(crate) fn wait_for_action(&self, name: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ran = self.run(&["actions", "show", name]);
            if ran.code == Some(0) {
                return;
            }
            assert!(Instant::now() < deadline, "the action does not come: {ran:?}");
        }
    }
}

fn coordinator(folder: &Path, broker: &str) -> Command {
    let mut command = tinpot();
    command.args(["coordinator", "--embedded-broker", "--port=0", "--broker", broker]);
    command.env("TINPOT_STORE", folder.join("tinpot.db")).current_dir(folder);
    command
}

#[test]
fn a_worker_joins_runs_within_its_grant_and_is_revoked() {
    let mut place = Place::start();
    let token = place.token(&["--names", "web-*", "--queue", "web"]);
    let key = place.folder.path().join("namespace.key");
    for file in [&key, &place.folder.path().join("tinpot.db")] {
        let mode = std::fs::metadata(file).expect("a file").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file:?}");
    }
    let wrong = place.join("other", &token, "db-1");
    let why = "this worker cannot join: the join token is for workers named \"web-*\"";
    assert!(wrong.failed(1).contains(why), "{wrong:?}");
    let joined = place.join("web", &token, "web-1");
    assert!(joined.ok().contains("This worker has joined as \"web-1\""), "{joined:?}");
    for name in ["worker.key", "worker.toml"] {
        let file = place.folder.path().join("web").join(name);
        let mode = std::fs::metadata(file).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let again = place.join("web", &token, "web-1");
    assert!(again.failed(1).contains("worker.key exists"), "{again:?}");
    let used = place.join("late", &token, "web-2");
    assert!(used.failed(1).contains("the join token was used already"), "{used:?}");

    let mut worker = Process::start(place.worker("web", &[]));
    worker.line("Worker web-1-");
    place.wait_for_action("say");
    assert_eq!(place.run(&["run", "say", "--text", "sealed"]).ok().trim(), "sealed");
    let listed = place.run(&["workers", "list"]);
    let problem = "the worker's key is not granted queue \"money\"";
    assert!(listed.ok().contains(problem), "{listed:?}");
    assert_eq!(place.run(&["run", "pay"]).code, Some(5));
    let keys = place.operate(&["workers", "keys"]);
    assert!(keys.ok().contains("web-1") && keys.stdout.contains("queues web"), "{keys:?}");
    let wrong = Ran::of(place.worker("web", &["--name", "db-1"]));
    assert!(wrong.failed(1).contains("has joined as \"web-1\", and not as \"db-1\""), "{wrong:?}");

    // A key is enrolled: from the next start on, workers have to join.
    place.restart();
    assert_eq!(place.run(&["run", "say", "--text", "again"]).ok().trim(), "again");
    let mut plain = Process::start(place.worker("plain", &["--name", "plain"]));
    plain.line("refuses");

    let revoked = place.operate(&["workers", "revoke", "web-1"]);
    assert!(revoked.ok().contains("was revoked"), "{revoked:?}");
    // The broker takes nothing from it, and nothing of it is offered soon.
    place.coordinator.line("not authorized to publish");
    place.coordinator.line("catalogue changed actions=1 available=0");
    assert!(worker.seen.iter().any(|line| line.contains("Worker web-1-")));
    let keys = place.operate(&["workers", "keys"]);
    assert!(keys.ok().contains("revoked"), "{keys:?}");
    let audit = place.operate(&["audit", "verify"]);
    audit.ok();
}

/// A key that another process revokes is of no use from that moment on: what its worker reports
/// after the command has ended is not taken.
#[test]
fn a_result_counts_for_nothing_once_the_key_is_revoked() {
    let mut place = Place::start();
    let actions = place.folder.path().join("actions");
    file(&actions, "hold.py", HOLD);
    let token = place.token(&["--names", "web-1", "--queue", "web"]);
    place.join("web", &token, "web-1").ok();
    let mut worker = Process::start(place.worker("web", &["--concurrency", "8"]));
    worker.line("Worker web-1-");
    place.wait_for_action("hold");
    let ids: Vec<String> =
        (0..8).map(|_| place.run(&["run", "hold", "--detach"]).ok().trim().to_owned()).collect();
    let begun = |place: &Place| {
        place.folder.path().join("actions/begun").metadata().map_or(0, |it| it.len())
    };
    let deadline = Instant::now() + PATIENCE;
    while begun(&place) < 8 {
        assert!(Instant::now() < deadline, "the executions do not begin");
    }
    place.operate(&["workers", "revoke", "web-1"]).ok();
    file(&actions, "go", "");
    // The broker takes the first frame, since the coordinator has not looked at the keys since.
    place.coordinator.line("not authorized to publish");
    for id in ids {
        let shown = place.run(&["executions", "show", &id, "--json"]).json();
        assert_eq!(shown["status"], "running", "{shown}");
    }
}

#[test]
fn a_worker_joins_when_it_starts_with_a_key_in_a_file_or_in_memory() {
    let place = Place::start();
    let token = place.token(&["--names", "auto", "--uses", "3", "--temporary"]);
    let token = token.to_str().expect("a path");
    let words = ["--join-token-file", token, "--name", "auto"];
    let start = |more: &[&str]| {
        let mut worker = Process::start(place.worker("auto", &[&words, more].concat()));
        worker.line("Worker auto-");
        worker
    };
    let mut kept = start(&[]);
    place.wait_for_action("say");
    kept.kill();
    // It has a key now, and needs no token.
    let _kept = start(&[]);
    let _memory = start(&["--worker-key", "memory"]);
    let deadline = Instant::now() + PATIENCE;
    while place.operate(&["workers", "keys"]).ok().matches(" ok ").count() < 2 {
        assert!(Instant::now() < deadline, "two keys are expected");
    }
    assert!(place.operate(&["workers", "keys"]).ok().contains("token, 1 left"));
}

#[test]
fn a_worker_says_which_topic_the_broker_forbids() {
    let place = Place::start();
    let token = place.token(&["--names", "web-1"]);
    place.join("web", &token, "web-1").ok();
    // Its login is for topics of the namespace in which it has joined.
    let mut worker = Process::start(place.worker("web", &["--namespace", "other"]));
    worker.line("the broker does not let this client listen at other/worker/web-1/");
}

#[test]
fn a_lost_key_of_the_namespace_is_said_and_the_former_one_is_put_back() {
    let mut place = Place::start();
    let token = place.token(&["--names", "web-1"]);
    place.join("web", &token, "web-1").ok();
    let mut worker = Process::start(place.worker("web", &[]));
    worker.line("Worker web-1-");
    place.wait_for_action("say");
    let key = place.folder.path().join("namespace.key");
    let former = std::fs::read_to_string(&key).expect("a key");
    std::fs::remove_file(&key).expect("it is lost");
    place.restart();
    let says = "the key of the namespace was missing, and is another one now";
    assert!(place.coordinator.seen.iter().any(|line| line.contains(says)));
    // Nothing runs on a worker that believes the former one.
    assert_ne!(std::fs::read_to_string(&key).expect("a key"), former);
    std::fs::write(&key, former).expect("it is there again");
    place.restart();
    let deadline = Instant::now() + PATIENCE;
    while place.run(&["run", "say", "--text", "again"]).stdout.trim() != "again" {
        assert!(Instant::now() < deadline, "the worker does not follow it");
    }
}

/// The procedures of `docs/security.md`, "Rotate everything".
#[test]
fn the_keys_of_a_worker_and_of_the_namespace_are_rotated() {
    let mut place = Place::start();
    let join = |place: &Place, folder: &str| {
        let token = place.token(&["--names", "web-1"]);
        place.join(folder, &token, "web-1").ok();
        let mut worker = Process::start(place.worker(folder, &[]));
        worker.line("Worker web-1-");
        worker
    };
    let says = |place: &Place, text: &str| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ran = place.run(&["run", "say", "--text", text]);
            if ran.stdout.trim() == text {
                return;
            }
            assert!(Instant::now() < deadline, "the worker does not run it: {ran:?}");
        }
    };
    let key = |place: &Place, folder: &str| {
        let path = place.folder.path().join(folder).join("worker.toml");
        let text = std::fs::read_to_string(path).expect("a file");
        let line = text.lines().find(|line| line.starts_with("key ")).expect("a key");
        line.split('"').nth(1).expect("an id").to_owned()
    };
    let stop = |mut worker: Process| {
        worker.signal(Signal::TERM);
        assert!(worker.end().success());
    };
    let first = join(&place, "second");
    place.wait_for_action("say");
    says(&place, "first");
    // The key of the worker: it gets another one under the same name, then the former is revoked.
    let former = key(&place, "second");
    let token = place.token(&["--names", "web-1"]);
    let token = token.to_str().expect("a path");
    let words = ["join", "--replace", "--join-token-file", token, "--name", "web-1", &place.broker];
    let replaced = Ran::of(place.worker("second", &words));
    let revoke = format!("tinpot workers revoke {former}");
    assert!(replaced.ok().contains(&revoke), "{replaced:?}");
    assert_ne!(key(&place, "second"), former);
    // It goes on with the former key until its next start.
    says(&place, "still");
    stop(first);
    let mut second = Process::start(place.worker("second", &[]));
    second.line("Worker web-1-");
    place.operate(&["workers", "revoke", &former]).ok();
    says(&place, "second");
    // The key of the namespace: workers learn the next one before it is used.
    let former = place.token(&["--names", "web-1"]);
    let former = std::fs::read_to_string(former).expect("a token");
    let pinned = |place: &Place| {
        let path = place.folder.path().join("second").join("worker.toml");
        let text = std::fs::read_to_string(path).expect("a file");
        let line = text.lines().find(|line| line.starts_with("coordinator_keys")).expect("keys");
        line.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let wait_for_pins = |place: &Place, is_right: &dyn Fn(&[String]) -> bool| {
        let deadline = Instant::now() + PATIENCE;
        while !is_right(&pinned(place)) {
            assert!(Instant::now() < deadline, "the keys are {:?}", pinned(place));
            std::thread::yield_now();
        }
    };
    let old = pinned(&place);
    let early = place.operate(&["workers", "rotate-namespace-key", "--finish"]);
    assert!(early.failed(5).contains("namespace.key.next"), "{early:?}");
    place.operate(&["workers", "rotate-namespace-key"]).ok();
    place.restart();
    wait_for_pins(&place, &|keys| keys.len() == 2 && keys[0] == old[0]);
    says(&place, "both");
    let new = pinned(&place)[1].clone();
    place.operate(&["workers", "rotate-namespace-key", "--finish"]).ok();
    place.restart();
    // The worker follows without a restart, and after one.
    says(&place, "follows");
    wait_for_pins(&place, &|keys| keys == [new.clone()]);
    stop(second);
    let mut second = Process::start(place.worker("second", &[]));
    second.line("Worker web-1-");
    says(&place, "starts");
    let former = file(place.folder.path(), "former", &former);
    let refused = place.join("late", &former, "web-1");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let _third = join(&place, "third");
}

#[test]
fn bad_tokens_and_keys_get_a_message_each() {
    let place = Place::start();
    let token = place.token(&["--names", "web", "--valid-for", "1"]);
    let text = std::fs::read_to_string(&token).expect("a token");
    let bad = |name: &str, text: &str| file(place.folder.path(), name, text);
    for (token, says) in [
        (bad("cut", &text[..90]), "the join token is incomplete or has a typing error"),
        (bad("api", "tpt_0123"), "it is an API token"),
        (place.folder.path().join("none"), "cannot read a password from"),
    ] {
        let ran = place.join("web", &token, "web");
        assert!(ran.failed(1).contains(says), "{ran:?}");
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ran = place.operate(&["workers", "keys"]);
        if ran.ok().contains("expired") {
            break;
        }
        assert!(Instant::now() < deadline, "{ran:?}");
    }
    let late = place.join("web", &token, "web");
    assert!(late.failed(1).contains("the join token expired at"), "{late:?}");
    let missing = Ran::of(place.worker("web", &["--worker-key", "none.key"]));
    assert!(missing.failed(1).contains("this worker is not enrolled"), "{missing:?}");
    let unknown = place.operate(&["workers", "revoke", "unknown"]);
    assert!(unknown.failed(5).contains("no key of a worker \"unknown\""), "{unknown:?}");
    let wide = place.operate(&["workers", "join-token", "--names", "a/b"]);
    assert!(wide.failed(2).contains("names must be 1 to 64"), "{wide:?}");
}
