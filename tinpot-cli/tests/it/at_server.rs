//! The commands about users, tokens, secrets, worker keys and the audit, through a server.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Process, Ran, file, free_port, tinpot};

const PASSWORD: &str = "correct horse battery";
const CANARY: &str = "a-canary-of-a-secret";

/// A coordinator with the admin `ada`, and the folder with its store.
struct Place {
    folder: tempfile::TempDir,
    url: String,
    _process: Process,
}

impl Place {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        file(folder.path(), "password", PASSWORD);
        let on = |words: &[&str]| {
            let mut command = tinpot();
            command.current_dir(folder.path()).args(words);
            command.env("TINPOT_STORE", folder.path().join("tinpot.db"));
            command
        };
        let add = ["users", "add", "ada", "--admin", "--password-file", "password"];
        Ran::of(on(&add)).ok();
        let mut command = on(&["coordinator", "--auth=users", "--port=0"]);
        command.arg(format!("--embedded-broker=127.0.0.1:{}", free_port()));
        let mut process = Process::start(command);
        let url = process.url();
        Self { folder, url, _process: process }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = tinpot();
        // Not the folder of the store.
        command.env("TINPOT_SERVER", &self.url).current_dir("/").args(words);
        command.env("XDG_CONFIG_HOME", self.folder.path().join("config"));
        command
    }

    fn run(&self, words: &[&str]) -> Ran {
        Ran::of(self.command(words))
    }

    fn password(&self) -> String {
        self.folder.path().join("password").display().to_string()
    }

    fn login(&self) {
        self.login_with(&["--scope=all", "--scope=tokens"]);
    }

    fn login_with(&self, more: &[&str]) {
        let password = self.password();
        let words = ["login", &self.url, "--user", "ada", "--password-file", &password];
        self.run(&[&words, more].concat()).ok();
    }
}

#[test]
fn without_a_sign_in_the_command_says_how_to_sign_in() {
    let place = Place::start();
    for words in [
        &["users", "list"][..],
        &["tokens", "list"],
        &["secrets", "list"],
        &["workers", "keys"],
        &["audit", "list"],
    ] {
        let refused = place.run(words).failed(4).to_owned();
        assert!(refused.contains("not signed in to http://"), "{refused}");
        assert!(refused.contains("tinpot login") && refused.contains("--store"), "{refused}");
    }
}

#[test]
fn users_and_tokens_are_managed_through_a_server() {
    let place = Place::start();
    place.login();
    let password = place.password();
    let add = ["users", "add", "bob", "--role=viewer", "--password-file", &password];
    assert_eq!(place.run(&add).ok(), "bob was added\n");
    place.run(&add).failed(6);
    let users = place.run(&["users", "list", "--json"]).json();
    let bob = &users["users"][1];
    assert_eq!((&bob["name"], &bob["roles"]), (&"bob".into(), &serde_json::json!(["viewer"])));
    assert!(place.run(&["users", "list"]).ok().contains("viewer"));
    assert_eq!(place.run(&["users", "disable", "bob"]).ok(), "bob is disabled\n");
    assert_eq!(place.run(&["users", "enable", "bob"]).ok(), "bob is enabled\n");
    assert!(place.run(&["users", "disable", "bop"]).failed(5).contains("did you mean \"bob\"?"));

    let made =
        place.run(&["tokens", "create", "ci", "--scope", "read", "--days=9", "--json"]).json();
    let id = made["id"].as_str().expect("an id").to_owned();
    assert!(made["token"].as_str().expect("a secret").starts_with("tpt_"), "{made}");
    let of_bob = ["tokens", "create", "ci", "--user", "bob", "--scope", "read", "--days", "9"];
    let of_bob = place.run(&of_bob);
    assert!(of_bob.ok().starts_with("tpt_"));
    let listed = place.run(&["tokens", "list"]).ok().to_owned();
    assert!(listed.contains("bob") && listed.contains(&id), "{listed}");
    let rotated = place.run(&["tokens", "rotate", &id, "--json"]).json();
    assert_ne!(rotated["token"], made["token"]);
    assert_eq!(place.run(&["tokens", "revoke", &id]).ok(), format!("token {id} was revoked\n"));
    place.run(&["tokens", "revoke", &id]).failed(5);
    assert_eq!(place.run(&["users", "remove", "bob"]).ok(), "bob was removed\n");

    let audit = place.run(&["audit", "list", "--what", "user.*"]).ok().to_owned();
    assert!(audit.contains("user.remove") && audit.contains("ada"), "{audit}");
}

#[test]
fn grants_and_groups_are_managed_through_a_server_and_in_its_store() {
    let place = Place::start();
    place.login();
    let password = place.password();
    place.run(&["users", "add", "bob", "--password-file", &password]).ok();
    let store = place.folder.path().join("tinpot.db").display().to_string();
    for more in [&[][..], &["--store", &store]] {
        let run = |words: &[&str]| place.run(&[words, more].concat());
        let set = ["groups", "set", "ops", "--user", "bob"];
        assert_eq!(run(&set).ok(), "group ops has 1 member\n");
        assert!(run(&["groups", "list"]).ok().contains("bob"));
        let add = ["grants", "add", "operator", "--to-group", "ops", "--action", "deploy-*"];
        let id = run(&[&add[..], &["--json"]].concat()).json()["id"].as_str().unwrap().to_owned();
        run(&["grants", "add", "viewer", "--user", "bob", "--own-only"]).ok();
        run(&["grants", "add", "developer", "--to-action", "deploy-web"]).ok();
        let admin = ["grants", "add", "admin", "--to-action", "deploy-web"];
        assert!(run(&admin).failed(2).contains("operator or developer"));
        assert!(run(&["grants", "add", "viewer"]).failed(2).contains("--to-group"));
        run(&["grants", "add", "viewer", "--user", "bop"]).failed(5);
        if more.is_empty() {
            let unknown = run(&["grants", "add", "viewer", "--user", "bob", "--action", "deploi"]);
            unknown.ok();
            let says = "no action \"deploi\" is known yet, or you may not see it";
            assert!(unknown.stderr.contains(says), "{unknown:?}");
        }
        let listed = run(&["grants", "list"]).ok().to_owned();
        for text in ["group ops", "actions deploy-*", "user bob", "own exec", "action deploy-web"] {
            assert!(listed.contains(text), "{text}: {listed}");
        }
        assert_eq!(run(&["grants", "remove", &id]).ok(), format!("grant {id} was removed\n"));
        run(&["grants", "remove", &id]).failed(5);
        assert_eq!(run(&["groups", "remove", "ops"]).ok(), "group ops was removed\n");
    }
}

#[test]
fn programs_act_by_tokens_and_are_managed_through_a_server_and_in_its_store() {
    let place = Place::start();
    place.login();
    let store = place.folder.path().join("tinpot.db").display().to_string();
    for more in [&[][..], &["--store", &store]] {
        let run = |words: &[&str]| place.run(&[words, more].concat());
        assert!(run(&["programs", "list"]).ok().is_empty());
        let added = run(&["programs", "add", "ci", "--role", "viewer"]);
        assert!(added.ok().starts_with("program ci was added (program:"), "{added:?}");
        run(&["programs", "add", "ci"]).failed(6);
        assert!(run(&["programs", "list"]).ok().contains("ci"));
        let token = run(&["tokens", "create", "build", "--program", "ci", "--days", "9"])
            .ok()
            .trim()
            .to_owned();
        assert!(run(&["tokens", "list"]).ok().contains("  ci  "));
        let as_program = || {
            let mut command = place.command(&["whoami"]);
            command.env("TINPOT_TOKEN", &token);
            Ran::of(command)
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        // The server takes in what the command has written to its file.
        while !as_program().stdout.starts_with("ci at ") {
            assert!(Instant::now() < deadline, "{:?}", as_program());
        }
        run(&["grants", "add", "operator", "--program", "ci"]).ok();
        let wrong = run(&["grants", "add", "viewer", "--program", "cj"]);
        assert!(wrong.failed(5).contains("no program \"cj\"; known: ci"), "{wrong:?}");
        assert_eq!(run(&["programs", "remove", "ci"]).ok(), "program ci was removed\n");
        run(&["programs", "remove", "ci"]).failed(5);
        while as_program().code != Some(4) {
            assert!(Instant::now() < deadline, "{:?}", as_program());
        }
    }
}

#[test]
fn a_sign_in_makes_tokens_only_if_it_asks_for_that() {
    let place = Place::start();
    place.login_with(&[]);
    place.run(&["users", "list"]).ok();
    let create = ["tokens", "create", "ci", "--scope", "read", "--days=9"];
    let refused = place.run(&create).failed(4).to_owned();
    assert!(refused.contains("needs the scope \"tokens\""), "{refused}");
    place.login_with(&["--scope=read"]);
    place.run(&["users", "list"]).failed(5);
    place.login_with(&["--scope=all", "--scope=tokens"]);
    place.run(&create).ok();
}

#[test]
fn secrets_and_worker_keys_are_managed_through_a_server() {
    let place = Place::start();
    place.login();
    let words = ["secrets", "set", "token", "--action", "backup-*"];
    let set = Ran::with_input(place.command(&words), CANARY);
    assert_eq!(set.ok(), "secret token was set, version 1\n");
    let listed = place.run(&["secrets", "list", "--json"]).json();
    assert_eq!(listed["secrets"][0]["actions"], serde_json::json!(["backup-*"]));
    assert!(!listed.to_string().contains(CANARY), "{listed}");
    assert_eq!(place.run(&["secrets", "remove", "token"]).ok(), "secret token was removed\n");
    place.run(&["secrets", "remove", "token"]).failed(5);

    let token = place.run(&["workers", "join-token", "--names", "web-*", "--uses", "2"]);
    assert!(token.ok().starts_with("tpj_"));
    let listed = place.run(&["workers", "keys", "--json"]).json();
    let token = &listed["join_tokens"][0];
    assert_eq!((&token["uses"], &token["limits"]["names"]), (&2.into(), &"web-*".into()));
    let id = token["id"].as_str().expect("an id");
    assert!(place.run(&["workers", "revoke", id]).ok().contains("no worker joins with it"));
    place.run(&["workers", "revoke", "web-1"]).failed(5);
}
