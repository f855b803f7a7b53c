//! A backup that was restored: what was revoked since must not come back without a word.

use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;

use crate::support::{Process, Ran, ask, file, free_port, tinpot};

struct Place {
    folder: tempfile::TempDir,
    port: u16,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        file(folder.path(), "password", "correct horse battery");
        Self { folder, port: free_port() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = tinpot();
        command.env("TINPOT_STORE", self.path("tinpot.db")).current_dir(self.folder.path());
        command.args(words);
        command
    }

    fn operate(&self, words: &[&str]) -> Ran {
        Ran::of(self.command(words))
    }

    fn coordinator(&self) -> Command {
        let port = self.port.to_string();
        self.command(&["coordinator", "--auth=users", "--broker=none", "--port", &port])
    }

    fn start(&self) -> Process {
        let mut process = Process::start(self.coordinator());
        process.url();
        process
    }

    fn stop(&self, mut process: Process) {
        process.signal(Signal::TERM);
        assert_eq!(process.end().code(), Some(0), "{:?}", process.seen);
    }

    /// Creates a token of the admin, and returns its secret and its id.
    fn token(&self, name: &str) -> (String, String) {
        let created = self.operate(&["tokens", "create", name, "--user", "ada", "--json"]).json();
        let text = |field: &str| created[field].as_str().expect("a text").to_owned();
        (text("token"), text("id"))
    }

    /// Returns the status of a request with a token.
    fn status(&self, token: &str) -> String {
        let head = format!("authorization: Bearer {token}\r\n");
        let answer =
            ask(&format!("http://127.0.0.1:{}", self.port), "GET", "/api/actions", &head, "");
        answer.split_whitespace().nth(1).unwrap_or_default().to_owned()
    }

    /// Puts a copy of the database in its place, as an operator does.
    fn restore(&self, copy: &str) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(self.path(&format!("tinpot.db{suffix}")));
        }
        std::fs::copy(self.path(copy), self.path("tinpot.db")).expect("a copy");
    }
}

#[test]
fn a_restored_backup_is_refused_until_its_credentials_are_ended_or_kept() {
    let place = Place::new();
    place.operate(&["users", "add", "ada", "--admin", "--password-file", "password"]).ok();
    let (stolen, id) = place.token("stolen");
    let process = place.start();
    let url = format!("http://127.0.0.1:{}", place.port);
    let join = place.operate(&["workers", "join-token", "--names", "web-1"]);
    file(place.folder.path(), "join", join.ok());
    let words = ["worker", "join", "--join-token-file", "join", "--name", "web-1", &url];
    place.operate(&words).ok();
    assert_eq!(place.status(&stolen), "200");
    place.stop(process);
    std::fs::copy(place.path("tinpot.db"), place.path("backup.db")).expect("a copy");

    place.operate(&["tokens", "revoke", &id]).ok();
    place.operate(&["workers", "revoke", "web-1"]).ok();

    // A start without an operator opens nothing.
    place.restore("backup.db");
    let refused = Ran::of(place.coordinator());
    let says = refused.failed(1);
    for part in ["was restored from a backup", "stolen", "web-1", "ada", "revoke-all"] {
        assert!(says.contains(part), "{part:?} is not in {says}");
    }
    // The commands work, and tell it as well; what they change does not hide it.
    assert!(place.operate(&["tokens", "list"]).stderr.contains("was restored from a backup"));
    let (made, _) = place.token("made meanwhile");
    Ran::of(place.coordinator()).failed(1);
    let shown = place.operate(&["store", "credentials", "--json"]).json();
    assert!(shown["restored"]["revision_before"].is_u64(), "{shown}");
    let tokens = shown["credentials"]["tokens"].as_array().expect("a list");
    assert!(tokens.len() == 2 && tokens.contains(&"stolen".into()), "{shown}");

    let ended = place.operate(&["store", "revoke-all"]);
    assert!(ended.ok().contains("2 tokens") && ended.ok().contains("1 worker key"), "{ended:?}");
    let process = place.start();
    assert_eq!((&*place.status(&stolen), &*place.status(&made)), ("401", "401"));
    let body = r#"{"user":"ada","password":"correct horse battery"}"#;
    let head = format!("origin: {url}\r\ncontent-type: application/json\r\n");
    let answer = ask(&url, "POST", "/api/auth/login", &head, body);
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    let keys = place.operate(&["workers", "keys"]);
    assert!(keys.ok().contains("revoked"), "{keys:?}");
    let audit = place.operate(&["audit", "list", "--what", "store.*"]);
    assert!(audit.ok().contains("store.revoke_all"), "{audit:?}");
    place.stop(process);

    // An operator who knows that nothing was revoked keeps all of it.
    place.restore("backup.db");
    Ran::of(place.coordinator()).failed(1);
    place.operate(&["store", "accept-restored"]).ok();
    let process = place.start();
    assert_eq!(place.status(&stolen), "200");
    place.stop(process);
}

#[test]
fn a_copy_elsewhere_is_refused_and_a_moved_store_is_not() {
    let place = Place::new();
    place.operate(&["users", "add", "ada", "--admin", "--password-file", "password"]).ok();
    place.stop(place.start());
    let other = Place::new();
    std::fs::copy(place.path("tinpot.db"), other.path("tinpot.db")).expect("a copy");
    let refused = Ran::of(other.coordinator());
    assert!(refused.failed(1).contains("is a copy, perhaps a backup"), "{refused:?}");
    let moved = Place::new();
    for name in ["tinpot.db", "tinpot.db-access", "store.key", "namespace.key"] {
        let _ = std::fs::copy(place.path(name), moved.path(name));
    }
    moved.stop(moved.start());
    // A store without credentials has nothing to end.
    let empty = Place::new();
    let plain = |place: &Place| {
        place.command(&["coordinator", "--port=0", "--broker=none", "--http-workers=on"])
    };
    let mut process = Process::start(plain(&empty));
    process.url();
    empty.stop(process);
    let copy = Place::new();
    std::fs::copy(empty.path("tinpot.db"), copy.path("tinpot.db")).expect("a copy");
    let mut process = Process::start(plain(&copy));
    process.url();
    copy.stop(process);
}
