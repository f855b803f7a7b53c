//! Secrets of actions and of parameters, and the audit of a coordinator.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::support::{PATIENCE, Process, Ran, file, free_port, tinpot};

const CANARY: &str = "a-canary-of-a-secret";

const ACTIONS: &str = r#"
from tinpot import Context, Secret, action


@action
def login(ctx: Context, password: Secret):
    token = ctx.secret("token")
    print("token", token.reveal(), "password", password.reveal())
    return len(token.reveal())


@action
def other(ctx: Context):
    return len(ctx.secret("token").reveal())


@action
async def shared(ctx: Context):
    return len((await ctx.secret_async("token")).reveal())
"#;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let actions = folder.path().join("actions");
        std::fs::create_dir(&actions).expect("a folder");
        file(&actions, "actions.py", ACTIONS);
        file(folder.path(), "password", "correct horse\n");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = tinpot();
        command.args(words).current_dir(self.folder.path());
        command.env("TINPOT_STORE", self.path("tinpot.db")).env("USER", "root");
        command
    }

    fn run(&self, words: &[&str]) -> Ran {
        Ran::of(self.command(words))
    }

    fn set(&self, name: &str, value: &str, more: &[&str]) -> Ran {
        Ran::with_input(self.command(&[&["secrets", "set", name], more].concat()), value)
    }

    /// Returns the files in which a text stands, without those that the test itself has written.
    fn files_with(&self, text: &str) -> Vec<String> {
        let found = Command::new("grep").args(["-rlaF", text]).arg(self.folder.path()).output();
        let found = String::from_utf8(found.expect("grep").stdout).expect("paths");
        found.lines().map(str::to_owned).collect()
    }
}

#[test]
fn secrets_are_set_listed_and_removed_and_shown_nowhere() {
    let place = Place::new();
    let set = place.set("token", &format!("{CANARY}\n"), &["--action", "login", "--queue", "*"]);
    assert_eq!(set.ok(), "secret token was set, version 1\n");
    let key = std::fs::metadata(place.path("store.key")).expect("a key");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);
    place.set("token", CANARY, &[]).ok();
    let listed = place.run(&["secrets", "list", "--json"]).json();
    let secret = &listed["secrets"][0];
    assert_eq!((&secret["name"], &secret["version"]), (&"token".into(), &2.into()));
    let list = place.run(&["secrets", "list"]);
    assert!(list.ok().lines().nth(1).expect("a row").starts_with("token "), "{list:?}");
    assert!(place.set("a b", "x", &[]).failed(2).contains("the name of a secret must have"));
    assert!(place.set("empty", "\n", &[]).failed(2).contains("must have 1 to"));
    assert_eq!(place.files_with(CANARY), [""; 0]);
    let audit = place.run(&["audit", "list", "--what", "secret.*"]);
    let rows: Vec<&str> = audit.ok().lines().collect();
    assert_eq!(rows.len(), 3, "{audit:?}");
    assert!(rows[1].contains("root") && rows[1].contains("secret.set"), "{audit:?}");
    assert_eq!(place.run(&["secrets", "remove", "token"]).ok(), "secret token was removed\n");
    assert!(place.run(&["secrets", "remove", "token"]).failed(5).contains("no secret \"token\""));
}

#[test]
fn an_action_gets_its_secret_and_no_file_has_it() {
    let place = Place::new();
    place.set("token", CANARY, &["--action", "login", "--action", "shared"]).ok();
    let mut server = Process::start(place.command(&["dev", "--port=0", "actions"]));
    let url = server.url();
    let run = |words: &[&str]| {
        let mut command = place.command(&[&["run"], words].concat());
        command.env("TINPOT_SERVER", &url);
        Ran::of(command)
    };
    let password = "another-canary-of-a-secret";
    let mut command = place.command(&["run", "login", "--data", "-"]);
    command.env("TINPOT_SERVER", &url);
    let ran = Ran::with_input(command, &format!(r#"{{"password":"{password}"}}"#));
    assert_eq!(ran.ok().trim(), CANARY.len().to_string(), "{ran:?}");
    assert!(ran.stderr.contains("token *** password ***"), "{ran:?}");
    assert_eq!(run(&["shared"]).ok().trim(), CANARY.len().to_string());
    let refused = run(&["other"]);
    assert!(refused.stderr.contains("may not have it"), "{refused:?}");
    for canary in [CANARY, password] {
        assert_eq!(place.files_with(canary), [""; 0], "{canary}");
    }
    // The key is replaced twice, with a start between: everything is still readable.
    assert!(place.run(&["secrets", "rotate-key"]).ok().ends_with("store.key has another key\n"));
    let again = place.run(&["secrets", "rotate-key"]);
    assert!(again.failed(6).contains("was not started since the last rotation"), "{again:?}");
    // What is set under the new key is there at once.
    place.set("token", CANARY, &["--action", "login", "--action", "shared"]).ok();
    assert_eq!(run(&["shared"]).ok().trim(), CANARY.len().to_string());
    drop(server);
    let mut server = Process::start(place.command(&["dev", "--port=0", "actions"]));
    server.url();
    place.run(&["secrets", "rotate-key"]).ok();
    drop(server);
    let mut server = Process::start(place.command(&["dev", "--port=0", "actions"]));
    let url = server.url();
    // The rerun has the password again.
    let mut list = place.command(&["executions", "list", "--action", "login", "-n", "1", "--json"]);
    list.env("TINPOT_SERVER", &url);
    let list = Ran::of(list).json();
    let id = list["execution_id"].as_str().expect("an id").to_owned();
    let mut rerun = place.command(&["executions", "rerun", &id]);
    rerun.env("TINPOT_SERVER", &url);
    assert_eq!(Ran::of(rerun).ok().trim(), CANARY.len().to_string());
}

#[test]
fn a_key_that_is_missing_or_another_one_destroys_nothing() {
    let place = Place::new();
    place.run(&["users", "add", "ada", "--admin", "--password-file", "password"]).ok();
    place.run(&["secrets", "list"]).ok();
    let (key, away) = (place.path("store.key"), place.path("away.key"));
    assert!(!key.exists(), "a list makes no key");
    place.run(&["secrets", "rotate-key"]).failed(5);
    // The key of another user's store would be of no use to its coordinator.
    let (own, other) = (Some(0), Some(4_242));
    let is_root = std::os::unix::fs::chown(place.path("tinpot.db"), other, None).is_ok();
    if is_root {
        let refused = place.set("token", CANARY, &[]);
        assert!(refused.failed(2).contains("belongs to another user (uid 4242)"), "{refused:?}");
        assert!(!key.exists());
        std::os::unix::fs::chown(place.path("tinpot.db"), own, None).expect("an owner");
    }
    place.set("token", CANARY, &[]).ok();
    let dev = ["dev", "--port=0", "actions"];
    let start = |more: &[&str]| {
        Process::start(place.command(&[&dev, more].concat())).url();
    };
    let refuses = |ran: &Ran, code: i32, why: &str| {
        let why = format!("store.key {why}: put the key there");
        let said = ran.failed(code);
        assert!(said.contains(&why) && said.contains("TINPOT_STORE_KEY_FILE"), "{ran:?}");
        assert!(said.contains("--accept-lost-secrets"), "{ran:?}");
    };
    // Before the first start, only the secrets tell of the key; afterwards, its mark does.
    for is_marked in [false, true] {
        std::fs::rename(&key, &away).expect("a key");
        refuses(&place.run(&dev), 1, "is missing");
        refuses(&place.set("token", CANARY, &[]), 2, "is missing");
        refuses(&place.run(&["secrets", "rotate-key"]), 2, "is missing");
        let typo = place.run(&[&dev[..], &["--store-key-file=a-store.key"]].concat());
        refuses(&typo, 1, "is missing");
        place.run(&["secrets", "list"]).ok();
        assert!(!key.exists() && !place.path("a-store.key").exists(), "{is_marked}");
        let stranger = place.path("stranger.key");
        tinpot_access::StoreKeys::load_or_create(&stranger).expect("a key");
        std::fs::copy(&stranger, &key).expect("a copy");
        refuses(&place.run(&dev), 1, "has another one");
        std::fs::rename(&away, &key).expect("a key");
        start(&[]);
    }
    // The loss is accepted once.
    std::fs::remove_file(&key).expect("a key");
    start(&["--accept-lost-secrets"]);
    start(&[]);
    place.set("token", CANARY, &[]).ok();
}

/// Starts a coordinator that asks for tokens, and a worker; returns the URL.
fn start(place: &Place, more: &[&str]) -> (Process, Process, String) {
    place.run(&["users", "add", "ada", "--admin", "--password-file", "password"]).ok();
    let token = place.run(&["tokens", "create", "ci", "--user", "ada"]);
    file(place.folder.path(), "ada.token", token.ok());
    let path = place.path("ada.token");
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("a mode");
    let broker = format!("--broker=tcp://127.0.0.1:{}", free_port());
    let coordinator = ["coordinator", "--auth=users", "--embedded-broker", "--port=0", &broker];
    let mut coordinator = Process::start(place.command(&[&coordinator, more].concat()));
    let url = coordinator.url();
    let worker = ["worker", "--actions", "actions", "--no-reload", &broker];
    (coordinator, Process::start(place.command(&worker)), url)
}

fn until(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !check() {
        assert!(Instant::now() < deadline, "{what}");
    }
}

fn client(place: &Place, url: &str, words: &[&str]) -> Ran {
    let mut command = place.command(words);
    command.env("TINPOT_SERVER", url).env("TINPOT_TOKEN_FILE", Path::new("ada.token"));
    Ran::of(command)
}

#[test]
fn a_coordinator_records_what_callers_do_and_sends_no_secrets_in_plain_frames() {
    let place = Place::new();
    place.set("token", CANARY, &[]).ok();
    let (_coordinator, _worker, url) = start(&place, &[]);
    until("no action", || client(&place, &url, &["actions", "list"]).stdout.contains("other"));
    let refused = client(&place, &url, &["run", "other"]);
    assert!(refused.stderr.contains("its frames are not sealed"), "{refused:?}");
    client(&place, &url, &["queues", "pause", "default"]).ok();
    until("no entry of the pause", || {
        place.run(&["audit", "list", "--what", "queue.pause"]).stdout.contains("ada")
    });
    let runs = place.run(&["audit", "list", "--log", "runs", "--json"]).json();
    let run = &runs["entries"][0];
    assert_eq!((&run["what"], &run["who"]["name"]), (&"run".into(), &"ada".into()), "{runs}");
    let detail = run["detail"].as_str().expect("text");
    assert!(detail.starts_with("action \"other\" in queue \"default\", parameters "), "{detail}");
    let started = place.run(&["audit", "list", "--what", "server.start"]);
    assert!(started.ok().contains("auth users"), "{started:?}");
    let export = place.run(&["audit", "export", "--who", "ada"]);
    for line in export.ok().lines() {
        let entry: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(entry["entry"]["who"]["name"], "ada", "{line}");
    }
    assert!(export.stdout.lines().count() >= 2, "{export:?}");
    place.run(&["audit", "verify"]).ok();
}

#[test]
fn texts_in_the_audit_do_not_steer_the_terminal() {
    let place = Place::new();
    place.run(&["users", "add", "ada", "--admin", "--password-file", "password"]).ok();
    // As a hostile peer would write it.
    let script = "import sqlite3, sys\n\
        db = sqlite3.connect(sys.argv[1])\n\
        text = '{\"n\":9,\"prev\":\"' + '0' * 64 + '\",\"time\":1,\"who\":{\"name\":\"e\\\\u001b[2Jve\\\\nroot\"},\"what\":\"cancel\",\"detail\":\"\\\\r\\\\u0007x\"}'\n\
        db.execute(\"UPDATE record_entries SET entry = CAST(? AS BLOB) WHERE number = 1\", [text])\n\
        db.commit()";
    let mut forge = Command::new("python3");
    forge.args(["-c", script]).arg(place.path("tinpot.db"));
    Ran::of(forge).ok();
    let list = place.run(&["audit", "list", "--what", "cancel"]);
    assert_eq!(list.ok().lines().count(), 2, "{list:?}");
    assert!(!list.stdout.contains('\u{1b}') && !list.stdout.contains('\u{7}'), "{list:?}");
}

/// A submission that is repeated after the end of its execution is the same one only with the same
/// secret, although the server has forgotten that.
#[test]
fn a_server_for_this_machine_compares_secrets_that_it_has_forgotten() {
    for store in ["memory", "tinpot.db"] {
        let place = Place::new();
        let mut command = place.command(&["dev", "--port=0", "--forget-secrets", "actions"]);
        command.env("TINPOT_STORE", store).env("TINPOT_SECRET_TOKEN", CANARY);
        let mut dev = Process::start(command);
        let url = dev.url();
        let submit = |password: &str| {
            let data = format!("{{\"password\":\"{password}\"}}");
            let words = ["run", "login", "--idempotency-key", "once", "--json", "--data", &data];
            let mut command = place.command(&words);
            command.env("TINPOT_SERVER", &url);
            Ran::of(command)
        };
        let id = submit("one").json()["execution_id"].clone();
        assert!(id.is_string(), "{id}");
        assert_eq!(submit("one").json()["execution_id"], id);
        assert!(submit("two").code == Some(6), "{store}: another secret is another submission");
    }
}
