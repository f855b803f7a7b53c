//! A server with several teams, whose workers have joined for them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::support::{PATIENCE, Process, Ran, file, free_port, tinpot};

/// A word in everything of the team `blue`.
const CANARY: &str = "canary";

struct Place {
    folder: tempfile::TempDir,
    broker: String,
}

impl Place {
    /// A store with the teams `red` and `blue-canary`, and with an admin of each.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let place = Self { folder, broker: format!("tcp://127.0.0.1:{}", free_port()) };
        let password = file(place.path(), "password", "correct horse battery");
        let password = password.to_str().expect("a path");
        let add = |words: &[&str]| {
            let words = [&["users", "add", "--password-file", password], words].concat();
            place.operate(&words).ok().to_owned()
        };
        add(&["root", "--admin"]);
        for (team, user) in [("red", "ada"), ("blue-canary", "bob-canary")] {
            let created = place.operate(&["teams", "create", team]);
            assert_eq!(created.ok(), format!("team {team} was created\n"));
            add(&[user, "--role", "admin", "--team", team]);
            place.secret(user, &["tokens", "create", "x", "--user", user, "--team", team]);
            place.secret(team, &["workers", "join-token", "--names", "*", "--team", team]);
            let actions = place.path().join(team);
            std::fs::create_dir(&actions).expect("a folder");
            let text = format!(
                "from tinpot import action\n\n\n@action\ndef deploy():\n    print(\"{team}\")\n    \
                 return \"{team}\"\n"
            );
            file(&actions, "actions.py", &text);
        }
        place
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command on the store.
    fn operate(&self, words: &[&str]) -> Ran {
        let mut command = tinpot();
        command.env("TINPOT_STORE", self.path().join("tinpot.db"));
        command.current_dir(self.path()).args(words);
        Ran::of(command)
    }

    /// Makes a secret, and keeps it in a private file of this name.
    fn secret(&self, name: &str, words: &[&str]) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = file(self.path(), &format!("{name}.secret"), self.operate(words).ok().trim());
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, private).expect("a mode");
        path
    }

    fn coordinator(&self, more: &[&str]) -> Command {
        let mut command = tinpot();
        command.args(["coordinator", "--embedded-broker", "--port=0", "--auth", "users"]);
        command.args(more).env("MQTT_BROKER", &self.broker);
        command.env("TINPOT_STORE", self.path().join("tinpot.db")).current_dir(self.path());
        command
    }

    /// Starts the worker of a team, which joins.
    fn worker(&self, team: &str) -> Process {
        let mut command = tinpot();
        let token = self.path().join(format!("{team}.secret"));
        command.args(["worker", "--worker-key", "memory", "--name", &format!("{team}-worker")]);
        command.arg("--join-token-file").arg(token).current_dir(self.path());
        command.env("ACTIONS_DIR", self.path().join(team)).env("MQTT_BROKER", &self.broker);
        let mut worker = Process::start(command);
        worker.line(&format!("Worker {team}-worker-"));
        worker
    }

    /// Runs a command as a user.
    fn run(&self, url: &str, user: &str, words: &[&str]) -> Ran {
        let mut command = tinpot();
        let token = self.path().join(format!("{user}.secret"));
        command.env("TINPOT_SERVER", url).env("TINPOT_TOKEN_FILE", token).args(words);
        Ran::of(command)
    }
}

/// Attack 6, on real processes: team B in the lists, searches and errors of team A.
#[test]
fn two_teams_with_actions_of_one_name_see_nothing_of_each_other() {
    let place = Place::new();
    let mut coordinator = Process::start(place.coordinator(&["--teams"]));
    let url = coordinator.url();
    let _workers = [place.worker("red"), place.worker("blue-canary")];
    for (user, team) in [("ada", "red"), ("bob-canary", "blue-canary")] {
        let deadline = Instant::now() + PATIENCE;
        while place.run(&url, user, &["actions", "show", "deploy"]).code != Some(0) {
            assert!(Instant::now() < deadline, "the action of {team} does not come");
        }
        assert_eq!(place.run(&url, user, &["run", "deploy"]).ok().trim(), team);
    }
    for words in [
        &["executions", "list", "--json"][..],
        &["executions", "list", "--requested-by", "bob-canary", "--json"],
        &["actions", "list", "--json"],
        &["workers", "list", "--json"],
        &["queues", "list", "--json"],
        &["whoami", "--json"],
    ] {
        let seen = place.run(&url, "ada", words);
        assert!(!seen.ok().contains(CANARY), "{words:?}: {seen:?}");
    }
    let all = place.run(&url, "bob-canary", &["executions", "list", "--json"]);
    let id = all.ok().split("\"execution_id\":\"").nth(1).expect("an execution");
    let id = id.split('"').next().expect("an id");
    let never = "0190a0c0-0000-7000-8000-000000000000";
    let error =
        |id: &str| place.run(&url, "ada", &["executions", "show", id]).failed(5).replace(id, never);
    assert_eq!(error(id), error(never));
    let who = place.run(&url, "ada", &["whoami", "--team", "RED"]);
    assert!(who.ok().contains("ada in team red at"), "{who:?}");
    let foreign = place.run(&url, "ada", &["actions", "list", "--team", "blue-canary"]);
    let message = "no team \"blue-canary\", or you are not in it";
    assert!(foreign.failed(5).contains(message), "{foreign:?}");
}

#[test]
fn a_store_with_teams_is_not_served_without_them() {
    let place = Place::new();
    let refused = Ran::of(place.coordinator(&[]));
    assert!(refused.failed(1).contains("the store has 3 teams"), "{refused:?}");
    let mut command = tinpot();
    command.args(["coordinator", "--teams"]).current_dir(place.path());
    let refused = Ran::of(command);
    assert!(refused.failed(2).contains("--teams (TINPOT_TEAMS) needs users"), "{refused:?}");
}

#[test]
fn teams_are_managed_in_the_file_of_a_store() {
    let place = Place::new();
    let joined = place.operate(&["teams", "add-member", "red", "bob-canary", "--role", "viewer"]);
    assert_eq!(joined.ok(), "team red has the member bob-canary\n");
    let again = place.operate(&["teams", "add-member", "red", "bob-canary"]);
    assert!(again.failed(6).contains("is in the team \"red\" already"), "{again:?}");
    let listed = place.operate(&["users", "list", "--team", "red", "--json"]);
    assert!(listed.ok().contains("ada") && listed.stdout.contains(CANARY), "{listed:?}");
    let left = place.operate(&["teams", "remove-member", "red", "bob-canary"]);
    assert_eq!(left.ok(), "team red no longer has the member bob-canary\n");
    let renamed = place.operate(&["teams", "rename", "red", "crimson"]);
    assert_eq!(renamed.ok(), "team crimson has another name\n");
    let full = place.operate(&["teams", "remove", "crimson"]);
    assert!(full.failed(6).contains("the team \"crimson\" is not empty"), "{full:?}");
    let unknown = place.operate(&["teams", "disable", "red"]);
    assert!(unknown.failed(5).contains("no team \"red\""), "{unknown:?}");
    for (command, says) in [("disable", "is disabled"), ("enable", "is enabled")] {
        let changed = place.operate(&["teams", command, "crimson"]);
        assert_eq!(changed.ok(), format!("team crimson {says}\n"));
    }
    let teams = place.operate(&["teams", "list"]);
    assert!(teams.ok().contains("default") && teams.stdout.contains("crimson"), "{teams:?}");
    let token = place.operate(&["workers", "join-token", "--names", "x", "--team", "crimson,none"]);
    assert!(token.failed(5).contains("no team \"none\""), "{token:?}");
}
