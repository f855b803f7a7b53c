//! A server that asks for API tokens, and the command with a token.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Instant;

use crate::support::{PATIENCE, Process, Ran, file, free_port, page, tinpot};

const ACTIONS: &str = r#"
import time

from tinpot import action


@action
def say(text: str = "hello"):
    return text


@action
def count():
    for number in range(100_000):
        print("line", number, flush=True)
        time.sleep(0.05)
"#;

/// A coordinator that asks for tokens, a worker, and the store that both tests and operators change.
struct Place {
    folder: tempfile::TempDir,
    url: String,
    coordinator: Process,
    _worker: Process,
}

impl Place {
    /// Starts it with a user of each role, and one without.
    fn start(host: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let actions = folder.path().join("actions");
        std::fs::create_dir(&actions).expect("a folder");
        file(&actions, "actions.py", ACTIONS);
        file(folder.path(), "password", "correct horse\n");
        for (user, role) in
            [("ada", "--role=operator"), ("bob", "--role=viewer"), ("cyd", ""), ("dan", "--admin")]
        {
            let mut command = operator(folder.path());
            command.args(["users", "add", user, "--password-file", "password"]);
            command.args([role].iter().filter(|role| !role.is_empty()));
            Ran::of(command).ok();
        }
        let broker = format!("tcp://127.0.0.1:{}", free_port());
        let start = |words: &[&str]| {
            let mut command = operator(folder.path());
            command.args(words).args(["--broker", &broker]);
            Process::start(command)
        };
        let mut coordinator = start(&[
            "coordinator",
            "--auth=users",
            "--embedded-broker",
            "--port=0",
            &format!("--host={host}"),
        ]);
        let url = coordinator.url().replace("0.0.0.0", "127.0.0.1");
        let worker = start(&["worker", "--actions", "actions", "--no-reload"]);
        Self { folder, url, coordinator, _worker: worker }
    }

    /// Runs the command on the file of the store.
    fn operate(&self, words: &[&str]) -> Ran {
        let mut command = operator(self.folder.path());
        command.args(words);
        Ran::of(command)
    }

    /// Makes a token, and returns the file with it and its id.
    fn token(&self, user: &str) -> (PathBuf, String) {
        let made = self.operate(&["tokens", "create", "test", "--user", user, "--json"]).json();
        let text = |name: &str| made[name].as_str().expect("a text").to_owned();
        (secret(self.folder.path(), &text("id"), &text("token")), text("id"))
    }

    /// Returns the command as a client with the token in this file.
    fn client(&self, token: Option<&Path>, words: &[&str]) -> Command {
        let mut command = tinpot();
        command.env("TINPOT_SERVER", &self.url).args(words);
        // Without the token of a `tinpot dev` that had this port and was killed.
        command.env("XDG_STATE_HOME", self.folder.path());
        if let Some(token) = token {
            command.arg("--token-file").arg(token);
        }
        command
    }

    fn run(&self, token: Option<&Path>, words: &[&str]) -> Ran {
        Ran::of(self.client(token, words))
    }

    /// Waits until the server knows the token, and the actions of its worker.
    fn wait_for_actions(&self, token: &Path) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ran = self.run(Some(token), &["actions", "show", "say"]);
            if ran.code == Some(0) {
                return;
            }
            assert!(Instant::now() < deadline, "the action does not come: {ran:?}");
        }
    }
}

fn operator(folder: &Path) -> Command {
    let mut command = tinpot();
    command.env("TINPOT_STORE", folder.join("tinpot.db")).current_dir(folder);
    command
}

/// Writes a file that only its owner may read.
fn secret(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = file(folder, name, text);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("a mode");
    path
}

#[test]
fn a_server_admits_only_callers_with_a_token_and_only_to_their_rights() {
    // An address of the network needs no other word.
    let place = Place::start("0.0.0.0");
    let (ada, _) = place.token("ada");
    let (bob, _) = place.token("bob");
    let (cyd, _) = place.token("cyd");
    place.wait_for_actions(&ada);
    let run = ["run", "say", "--text", "good morning"];
    assert_eq!(place.run(Some(&ada), &run).ok(), "good morning\n");
    let mut by_variable = place.client(None, &run);
    let token = std::fs::read_to_string(&ada).expect("a token");
    by_variable.env("TINPOT_TOKEN", &token);
    assert_eq!(Ran::of(by_variable).ok(), "good morning\n");
    let without = place.run(None, &run);
    let said = without.failed(4);
    assert!(said.contains("requires an API token") && said.contains("--token-file"), "{said}");
    // A viewer sees the action, and may not run it; others see nothing.
    place.run(Some(&bob), &["actions", "show", "say"]).ok();
    place.run(Some(&bob), &run).failed(4);
    place.run(Some(&cyd), &run).failed(5);
    assert_eq!(place.run(Some(&bob), &["executions", "list", "--json"]).ok().lines().count(), 2);
    assert_eq!(place.run(Some(&cyd), &["executions", "list", "--json"]).ok(), "");
    // A typing error is noticed without a look at the tokens.
    let wrong = secret(place.folder.path(), "wrong", &token.replace("tpt_", "tpt_x"));
    let refused = place.run(Some(&wrong), &run);
    let said = refused.failed(4);
    assert!(said.contains("typing error") && said.contains("wrong"), "{said}");
    assert!(!said.contains(&token[4..]), "{said}");
    // The page loads, its data does not.
    assert!(page(&place.url, "/").starts_with("HTTP/1.1 200 "));
    assert!(page(&place.url, "/health").starts_with("HTTP/1.1 200 "));
    for path in ["/api/actions", "/api/nothing", "/openapi.json"] {
        let answer = page(&place.url, path);
        assert!(answer.starts_with("HTTP/1.1 401 "), "{path}: {answer}");
        assert!(answer.contains("www-authenticate: Bearer\r\n"), "{path}: {answer}");
    }
    let audit = place.operate(&["audit", "verify"]);
    assert!(audit.ok().contains("chain intact"), "{audit:?}");
}

#[test]
fn a_revoked_token_ends_open_streams_and_is_refused() {
    let mut place = Place::start("127.0.0.1");
    let (ada, id) = place.token("ada");
    let (other, _) = place.token("ada");
    place.wait_for_actions(&ada);
    let mut revoked = Process::start(place.client(Some(&ada), &["run", "count"]));
    let mut stays = Process::start(place.client(Some(&other), &["run", "count"]));
    revoked.line("line 5");
    stays.line("line 5");
    place.operate(&["tokens", "revoke", &id]).ok();
    assert_eq!(revoked.end().code(), Some(4), "{:#?}", revoked.seen);
    let last = revoked.seen.join("\n");
    assert!(last.contains("is not known, or was revoked"), "{last}");
    place.run(Some(&ada), &["actions", "list"]).failed(4);
    // The stream of another token of the same user goes on.
    stays.line("line 6");
    let now = Instant::now();
    while now.elapsed() < std::time::Duration::from_secs(2) {
        stays.line("line ");
    }
    place.operate(&["users", "disable", "ada"]).ok();
    assert_eq!(stays.end().code(), Some(4), "{:#?}", stays.seen);
    assert!(stays.seen.join("\n").contains("the account is disabled"), "{:#?}", stays.seen);
    place.coordinator.signal(rustix::process::Signal::TERM);
    assert_eq!(place.coordinator.end().code(), Some(0), "{:#?}", place.coordinator.seen);
}

#[test]
fn a_server_with_users_needs_a_file_and_says_that_it_has_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = tinpot();
    command.args(["coordinator", "--auth", "users", "--store", "memory"]);
    let ran = Ran::of(command);
    let said = ran.failed(2);
    assert!(said.contains("needs a store in a file") && said.contains("--store"), "{said}");
    let mut command = tinpot();
    command.args(["coordinator", "--auth", "everyone"]);
    assert!(Ran::of(command).failed(2).contains("must be users, proxy, oidc"));
    let mut command = operator(folder.path());
    command.args(["coordinator", "--port=0", "--embedded-broker=127.0.0.1:0"]);
    command.env("TINPOT_AUTH", "users");
    let mut process = Process::start(command);
    // Both come, from two streams: in any order.
    process.url();
    if !process.seen.iter().any(|line| line.contains("No users yet")) {
        process.line("No users yet");
    }
}

#[test]
fn a_token_is_kept_from_others_and_sent_to_its_server_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = secret(folder.path(), "token", "tpt_canary\n");
    let list = |url: &str, token: &Path| {
        let mut command = tinpot();
        command.args(["actions", "list", "--server", url, "--token-file"]).arg(token);
        Ran::of(command)
    };
    for away in ["http://192.0.2.1:8000", "http://localhost.example.org", "http://127.1.example"] {
        let ran = list(away, &token);
        let said = ran.failed(2);
        assert!(said.contains("over plain HTTP") && said.contains("https://"), "{said}");
        assert!(!said.contains("canary"), "{said}");
    }
    let open = file(folder.path(), "open", "tpt_canary");
    for mode in [0o644, 0o640, 0o604] {
        std::fs::set_permissions(&open, PermissionsExt::from_mode(mode)).expect("a mode");
        let ran = list("http://127.0.0.1:1", &open);
        let said = ran.failed(2);
        let expected = format!("may be read by others ({mode:04o}): chmod 600 ");
        assert!(said.contains(&expected), "{said}");
    }
    assert!(list("http://127.0.0.1:1", &folder.path().join("no")).failed(5).contains("token"));
    let two = secret(folder.path(), "two", "tpt_canary tpt_canary");
    let ran = list("http://127.0.0.1:1", &two);
    assert!(ran.failed(2).contains("one API token") && !ran.stderr.contains("canary"), "{ran:?}");
    let mut command = tinpot();
    command.args(["actions", "list", "--token", "tpt_canary"]);
    assert!(Ran::of(command).failed(2).contains("--token-file"));

    // A redirect is not followed, wherever it leads.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = |listener: &TcpListener| listener.local_addr().expect("an address").port();
    let to = format!("http://localhost:{}/api/actions", at(&other));
    let url = format!("http://127.0.0.1:{}", at(&listener));
    let (tell, told) = channel();
    let answer = format!("HTTP/1.1 307 X\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { return };
            let mut head = [0; 4096];
            let length = connection.read(&mut head).unwrap_or_default();
            let _ = connection.write_all(answer.as_bytes());
            let _ = tell.send(String::from_utf8_lossy(&head[..length]).into_owned());
        }
    });
    let ran = list(&url, &token);
    let said = ran.failed(2);
    assert!(said.contains(&format!("redirects to {to}")), "{said}");
    let asked = told.recv_timeout(PATIENCE).expect("a request");
    assert!(asked.contains("Bearer tpt_canary\r\n"), "the token goes to its server: {asked}");
    other.set_nonblocking(true).expect("a listener");
    assert!(other.accept().is_err(), "another server was asked");
}
