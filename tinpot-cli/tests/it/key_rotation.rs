//! A worker replaces its key while it runs, and comes in again wherever it was interrupted.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;

use crate::joining::Place;
use crate::support::{PATIENCE, Process};

/// The files of a worker.
struct Files {
    folder: PathBuf,
}

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file")
    }

    fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(self.path(name), text).expect("a file");
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(self.path(name), mode).expect("permissions");
    }

    /// Returns the id of the key that worker.toml names.
    fn key(&self) -> String {
        let text = self.read("worker.toml");
        let line = text.lines().find(|line| line.starts_with("key ")).expect("a key");
        line.split('"').nth(1).expect("an id").to_owned()
    }

    #[track_caller]
    fn wait_for_another_key(&self, former: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        while self.key() == former || self.path("worker.key.next").exists() {
            assert!(Instant::now() < deadline, "the key stays {former}");
            std::thread::park_timeout(std::time::Duration::from_millis(20));
        }
        self.key()
    }
}

#[track_caller]
fn says(place: &Place, text: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ran = place.run(&["run", "say", "--text", text]);
        if ran.stdout.trim() == text {
            return;
        }
        assert!(Instant::now() < deadline, "the worker does not run it: {ran:?}");
    }
}

/// Returns the key with this id, as it is listed.
fn listed(place: &Place, id: &str) -> Value {
    let keys = place.operate(&["workers", "keys", "--json"]);
    let keys: Value = serde_json::from_str(keys.ok()).expect("JSON");
    let keys = keys["keys"].as_array().expect("a list");
    keys.iter().find(|key| key["id"] == id).expect("the key").clone()
}

fn start(place: &Place) -> Process {
    let mut worker = Process::start(place.worker("web", &[]));
    worker.line("Worker web-1-");
    worker
}

fn stop(mut worker: Process) {
    worker.signal(Signal::TERM);
    assert!(worker.end().success());
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

#[test]
fn a_worker_replaces_its_key_while_it_runs_and_comes_in_wherever_it_was_interrupted() {
    let place = Place::start();
    let token = place.token(&["--names", "web-1"]);
    place.join("web", &token, "web-1").ok();
    let files = Files { folder: place.folder("web") };
    let worker = start(&place);
    place.wait_for_action("say");
    says(&place, "first");

    // The operator asks, and the worker does it without a restart.
    let (former, former_key, former_facts) =
        (files.key(), files.read("worker.key"), files.read("worker.toml"));
    let asked = place.operate(&["workers", "rotate", "web-1"]);
    assert!(asked.ok().contains(&format!("the worker with key {former} replaces it")), "{asked:?}");
    let second = files.wait_for_another_key(&former);
    assert_eq!(mode(&files.path("worker.key")), 0o600);
    assert_ne!(files.read("worker.key"), former_key);
    says(&place, "second");
    let old = listed(&place, &former);
    assert_eq!(old["replaced_by"], second.as_str());
    assert!(old["ends_at"].is_string() && old["revoked_at"].is_null(), "{old}");
    let again = place.operate(&["workers", "rotate", &former]);
    assert!(again.failed(6).contains("was replaced by"), "{again:?}");
    let audit = place.operate(&["audit", "list", "--what", "worker.*"]);
    for what in ["worker.ask_to_rotate", "worker.rotate"] {
        assert!(audit.ok().contains(what), "{audit:?}");
    }
    stop(worker);
    let (key, facts) = (files.read("worker.key"), files.read("worker.toml"));

    // It ended after worker.toml was written, and before the key was in its place.
    files.write("worker.key.next", &key);
    files.write("worker.key", &former_key);
    let worker = start(&place);
    assert_eq!(files.read("worker.key"), key);
    assert!(!files.path("worker.key.next").exists());
    says(&place, "third");
    stop(worker);

    // It ended before it heard that the coordinator has the other key.
    files.write("worker.key.next", &key);
    files.write("worker.key", &former_key);
    files.write("worker.toml", &former_facts);
    let worker = start(&place);
    assert_eq!(files.wait_for_another_key(&former), second);
    assert_eq!((files.read("worker.key"), files.read("worker.toml")), (key.clone(), facts));
    says(&place, "fourth");
    stop(worker);

    // The former key has ended meanwhile: only the other one is known.
    files.write("worker.key.next", &key);
    files.write("worker.key", &former_key);
    files.write("worker.toml", &former_facts);
    let revoked = place.operate(&["workers", "revoke", &former]);
    let goes_on = format!("goes on with key {second}, which has replaced it");
    assert!(revoked.ok().contains(&goes_on), "{revoked:?}");
    let worker = start(&place);
    assert_eq!(files.wait_for_another_key(&former), second);
    says(&place, "fifth");

    // Both keys end with the name, and the thief of one of them has no use for it.
    place.operate(&["workers", "rotate", "web-1"]).ok();
    let third = files.wait_for_another_key(&second);
    place.operate(&["workers", "revoke", "web-1"]).ok();
    for key in [&second, &third] {
        assert!(listed(&place, key)["revoked_at"].is_string(), "{key}");
    }
    drop(worker);
    place.operate(&["audit", "verify"]).ok();
}

#[test]
fn a_worker_replaces_a_key_that_is_old() {
    let place = Place::start();
    let token = place.token(&["--names", "web-1"]);
    place.join("web", &token, "web-1").ok();
    let files = Files { folder: place.folder("web") };
    let former = files.key();
    let touched = std::process::Command::new("touch")
        .args(["-d", "31 days ago"])
        .arg(files.path("worker.key"))
        .status();
    assert!(touched.expect("touch").success());
    let mut worker = Process::start(place.worker("web", &["--worker-key-days", "30"]));
    worker.line("Worker web-1-");
    let second = files.wait_for_another_key(&former);
    assert_eq!(listed(&place, &former)["replaced_by"], second.as_str());
}
