//! Users, tokens and the audit in the file of a store.

use std::path::{Path, PathBuf};

use crate::support::{Ran, tinpot};

/// A directory with a store and the file of a password.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("password"), "correct horse\n").expect("a file");
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, words: &[&str]) -> Ran {
        let mut command = tinpot();
        command.args(words).arg("--utc").env("TINPOT_STORE", self.path("tinpot.db"));
        command.env("USER", "root").current_dir(self.directory.path());
        Ran::of(command)
    }

    fn add(&self, name: &str, more: &[&str]) -> Ran {
        self.run(&[&["users", "add", name, "--password-file", "password"], more].concat())
    }
}

#[test]
fn users_are_added_listed_disabled_and_removed() {
    let place = Place::new();
    place.run(&["users", "list"]).failed(5);
    assert!(!place.path("tinpot.db").exists(), "a list makes no store");
    assert_eq!(place.add("ada", &["--admin"]).ok(), "ada was added\n");
    assert_eq!(place.add("bob", &["--role", "operator"]).ok(), "bob was added\n");
    assert!(place.add("ADA", &[]).failed(6).contains("a user \"ADA\" already"));
    let list = place.run(&["users", "list"]);
    let lines: Vec<&str> = list.ok().lines().collect();
    assert!(lines[1].starts_with("ada ") && lines[1].ends_with("server admin, admin"), "{list:?}");
    assert!(lines[2].starts_with("bob ") && lines[2].ends_with(" operator"), "{list:?}");
    let says = "the server needs an admin";
    assert!(place.run(&["users", "remove", "ada"]).failed(6).contains(says));
    assert!(place.run(&["users", "disable", "bbo"]).failed(5).contains("did you mean \"bob\"?"));
    assert_eq!(place.run(&["users", "disable", "bob"]).ok(), "bob is disabled\n");
    let list = place.run(&["users", "list", "--json"]).json();
    let bob = &list["users"][1];
    assert_eq!((&bob["name"], &bob["disabled"]), (&"bob".into(), &true.into()));
    assert_eq!((&bob["server_admin"], &bob["roles"][0]), (&false.into(), &"operator".into()));
    assert_eq!(place.run(&["users", "enable", "bob"]).ok(), "bob is enabled\n");
    let other = ["users", "password", "bob", "--password-file", "password"];
    assert!(place.run(&other).ok().contains("another password"));
    assert_eq!(place.run(&["users", "remove", "bob"]).ok(), "bob was removed\n");
    assert_eq!(place.run(&["users", "list", "--json"]).json()["users"][1], serde_json::Value::Null);
}

#[test]
fn wrong_passwords_and_stores_are_explained() {
    let place = Place::new();
    std::fs::write(place.path("password"), "short\n").expect("a file");
    let says = "a password must have at least 12 bytes (got 5)";
    assert!(place.add("ada", &[]).failed(2).contains(says));
    let says = "no terminal to ask for the password";
    assert!(place.run(&["users", "add", "ada"]).failed(2).contains(says));
    let missing = place.run(&["users", "add", "ada", "--password-file", "nothing"]);
    assert!(missing.stderr.contains("--password-file") && missing.code != Some(0), "{missing:?}");
    let says = "a store in memory has no users";
    assert!(place.run(&["users", "list", "--store", "memory"]).failed(2).contains(says));
    std::fs::write(place.path("other"), "some text that is no database").expect("a file");
    let other = place.run(&["users", "list", "--store", "other"]);
    assert!(other.failed(1).contains("other"), "{other:?}");
}

#[test]
fn a_token_is_printed_once_and_rotated_and_revoked() {
    let place = Place::new();
    place.add("ada", &[]).ok();
    let create = ["tokens", "create", "ci", "--user", "ada", "--scope", "run:deploy-*"];
    let created = place.run(&create);
    let token = created.ok().trim();
    assert!(token.starts_with("tpt_") && token.len() == 53, "{created:?}");
    assert!(created.stderr.contains("it is not shown again"), "{created:?}");
    let list = place.run(&["tokens", "list"]);
    assert!(list.ok().contains("run:deploy-*") && !list.ok().contains("tpt_"), "{list:?}");
    let listed = place.run(&["tokens", "list", "--json"]).json();
    let id = listed["tokens"][0]["id"].as_str().expect("an id").to_owned();
    assert!(created.stderr.contains(&id), "{created:?}");
    let rotated = place.run(&["tokens", "rotate", &id, "--json"]).json();
    assert_eq!(rotated["id"], id.as_str());
    assert!(rotated["token"].as_str().is_some_and(|other| other != token), "{rotated}");
    assert_eq!(place.run(&["tokens", "revoke", &id]).ok(), format!("token {id} was revoked\n"));
    place.run(&["tokens", "revoke", &id]).failed(5);
    let never = ["tokens", "create", "x", "--user", "ada", "--never", "--json"];
    assert_eq!(place.run(&never).json()["expires_at"], serde_json::Value::Null);
    let wrong = ["tokens", "create", "x", "--user", "ada", "--scope", "write"];
    assert!(place.run(&wrong).failed(2).contains("no scope \"write\"; there are all, read"));
    assert!(place.run(&["tokens", "create", "x", "--user", "eve"]).failed(5).contains("eve"));
    // Nothing that was printed once is in the file, or in those next to it.
    for file in std::fs::read_dir(place.directory.path()).expect("files") {
        let bytes = std::fs::read(file.expect("a file").path()).expect("bytes");
        let secret = token.as_bytes();
        assert!(!bytes.windows(secret.len()).any(|part| part == secret), "the token is stored");
    }
}

/// Changes the file as an intruder does who knows SQLite.
fn forge(store: &Path) {
    let mut command = std::process::Command::new("python3");
    let script = "import sqlite3, sys\n\
        db = sqlite3.connect(sys.argv[1])\n\
        db.execute(\"UPDATE record_entries SET entry = CAST(replace(entry, 'user.add', 'user.see') AS BLOB) WHERE number = 1\")\n\
        db.commit()";
    command.args(["-c", script]).arg(store);
    Ran::of(command).ok();
}

#[test]
fn the_audit_says_who_did_what_and_shows_a_forged_entry() {
    let place = Place::new();
    place.add("ada", &["--admin"]).ok();
    place.run(&["tokens", "create", "ci", "--user", "ada"]).ok();
    let verified = place.run(&["audit", "verify"]);
    assert!(verified.ok().starts_with("audit: 3 entries, chain intact; entry 3 has the SHA-256 "));
    assert!(verified.ok().contains("audit.runs: no entries"), "{verified:?}");
    forge(&place.path("tinpot.db"));
    let says = "audit: entry 2 of 3: it does not follow the entry before it";
    assert!(place.run(&["audit", "verify"]).failed(1).contains(says));
    let json = place.run(&["audit", "verify", "--json"]);
    assert_eq!(json.code, Some(1));
    assert!(json.stdout.contains("\"entry\":2"), "{json:?}");
}
