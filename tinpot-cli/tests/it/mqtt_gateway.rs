//! The MQTT gateway of a server with users, for a client that is no more than `mosquitto_pub`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use serde_json::Value;

use crate::broker_acl::mosquitto;
use crate::support::{PATIENCE, Process, Ran, file, free_port, tinpot};

const ACTIONS: &str = r#"
import time

from tinpot import action


@action
def say(text: str = "hello"):
    return text


@action
def erase():
    return "gone"


@action
def hold():
    print("holding")
    time.sleep(3600)
"#;

/// A server with the program `hallway`, whose grant is for one action, and a worker.
struct House {
    folder: PathBuf,
    _processes: [Process; 2],
}

impl House {
    /// Starts both at a broker, the server with these words.
    fn start(folder: &Path, broker: &str, action: &str, words: &[&str]) -> Self {
        let actions = folder.join("actions");
        std::fs::create_dir(&actions).expect("a folder");
        file(&actions, "actions.py", ACTIONS);
        // This makes the store.
        file(folder, "password", "correct horse\n");
        operate(folder, &["users", "add", "dan", "--admin", "--password-file", "password"]);
        operate(folder, &["programs", "add", "hallway"]);
        let grant = ["grants", "add", "operator", "--program", "hallway", "--action", action];
        operate(folder, &grant);
        let start = |words: &[&str], more: &[&str]| {
            let mut command = operator(folder);
            command.args(words).args(more).args(["--broker", broker]);
            Process::start(command)
        };
        let mut coordinator = start(&["coordinator", "--auth=users", "--port=0"], words);
        coordinator.url();
        let worker = start(&["worker", "--actions", "actions", "--no-reload"], &[]);
        Self { folder: folder.to_owned(), _processes: [coordinator, worker] }
    }

    fn operate(&self, words: &[&str]) -> String {
        operate(&self.folder, words)
    }

    /// Waits until the audit says that the program has done this through its prefix.
    fn records(&self, what: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let audit = self.operate(&["audit", "list", "--what", what, "--json"]);
            if audit.contains("hallway") && audit.contains("mqtt:home") {
                return;
            }
            assert!(Instant::now() < deadline, "{audit}");
        }
    }
}

fn operator(folder: &Path) -> Command {
    let mut command = tinpot();
    command.env("TINPOT_STORE", folder.join("tinpot.db")).current_dir(folder);
    command
}

fn operate(folder: &Path, words: &[&str]) -> String {
    let mut command = operator(folder);
    command.args(words);
    Ran::of(command).ok().to_owned()
}

/// A client of the broker on this port, with a user and a password.
struct Client(u16, Option<(&'static str, &'static str)>);

impl Client {
    fn command(&self, program: &str, words: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(["-p", &self.0.to_string()]).args(words);
        if let Some((user, password)) = self.1 {
            command.args(["-u", user, "-P", password]);
        }
        command.output().expect("the clients of mosquitto are installed")
    }

    fn publish(&self, topic: &str, payload: &str, more: &[&str]) {
        let payload = if payload.is_empty() { vec!["-n"] } else { vec!["-m", payload] };
        self.command("mosquitto_pub", &[&["-t", topic][..], &payload, more].concat());
    }

    /// Sends a message, and returns its answer.
    fn request(&self, topic: &str, payload: &str) -> Value {
        let payload = if payload.is_empty() { vec!["-n"] } else { vec!["-m", payload] };
        let words = [&["-t", topic, "-e", "home/x", "-W", "60"][..], &payload].concat();
        let answer = self.command("mosquitto_rr", &words);
        serde_json::from_slice(&answer.stdout).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    }

    /// Sends a trigger, and returns its answer.
    fn ask(&self, action: &str, payload: &str) -> Value {
        self.request(&format!("home/actions/{action}/trigger"), payload)
    }

    /// Returns the topics of the retained messages that a filter shows.
    fn retained(&self, filter: &str) -> String {
        // It ends with a failure, since it waits for more.
        let words = ["-t", filter, "-W", "1", "-F", "%t", "--retained-only"];
        let found = self.command("mosquitto_sub", &words);
        String::from_utf8_lossy(&found.stdout).into_owned()
    }

    /// Waits until there is a retained message at a topic, or none.
    fn retains(&self, topic: &str, yes: bool) {
        let deadline = Instant::now() + PATIENCE;
        while self.retained(topic).lines().any(|line| line == topic) != yes {
            assert!(Instant::now() < deadline, "{topic} is not as it should be: {yes}");
        }
    }

    /// Waits for one message at a topic.
    fn next(&self, topic: &str) -> String {
        let found = self.command("mosquitto_sub", &["-t", topic, "-C", "1", "-W", "60"]);
        String::from_utf8_lossy(&found.stdout).into_owned()
    }
}

#[test]
fn messages_have_the_rights_of_the_user_of_their_prefix() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let _broker = mosquitto(folder.path(), port, "allow_anonymous true");
    let url = format!("tcp://127.0.0.1:{port}");
    let house = House::start(folder.path(), &url, "say", &["--mqtt-clients=home=hallway"]);
    let client = Client(port, None);
    client.retains("home/actions/say", true);
    // What it may not see is not there.
    assert!(!client.retained("home/actions/+").contains("erase"));
    let said = client.ask("say", r#"{"parameters": {"text": "ho"}}"#);
    assert_eq!((&said["status"], &said["result"]), (&"succeeded".into(), &"ho".into()), "{said}");
    let refused = client.ask("erase", "");
    let unknown = client.ask("erasx", "");
    let text = |answer: &Value| answer["error"].as_str().expect("a text").to_owned();
    assert_eq!(text(&refused), text(&unknown).replace("erasx", "erase"));
    // The audit names the program, and the rights end with it.
    house.records("run");
    house.operate(&["programs", "remove", "hallway"]);
    let deadline = Instant::now() + PATIENCE;
    let removed = "\"hallway\" in --mqtt-clients is no user or program now";
    while !client.ask("say", "")["error"].to_string().contains(&removed.replace('"', "\\\"")) {
        assert!(Instant::now() < deadline, "it still runs actions");
    }
}

#[test]
fn a_client_cancels_with_the_rights_of_the_user_of_its_prefix() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let _broker = mosquitto(folder.path(), port, "allow_anonymous true");
    let url = format!("tcp://127.0.0.1:{port}");
    let house = House::start(folder.path(), &url, "hold", &["--mqtt-clients=home=hallway"]);
    let client = Client(port, None);
    client.retains("home/actions/hold", true);
    client.publish("home/actions/hold/trigger", r#"{"execution_id": "long"}"#, &[]);
    let cancel = |id: &str| client.request(&format!("home/exec/{id}/cancel"), "");
    let error = |answer: &Value| answer["error"].as_str().unwrap_or_default().to_owned();
    // Without its grant, the program does not even see the execution.
    let grants = house.operate(&["grants", "list", "--json"]);
    let grants: Value = serde_json::from_str(&grants).expect("JSON");
    let grants = grants["grants"].as_array().expect("grants");
    let of_program = grants.iter().find(|grant| grant.to_string().contains("\"hold\""));
    let id = of_program.expect("a grant")["id"].as_str().expect("an id");
    house.operate(&["grants", "remove", id]);
    let deadline = Instant::now() + PATIENCE;
    client.retains("home/actions/hold", false);
    assert!(error(&cancel("long")).contains("not found"), "{}", cancel("long"));
    house.operate(&["grants", "add", "operator", "--program", "hallway", "--action", "hold"]);
    while cancel("long")["status"] == "refused" {
        assert!(Instant::now() < deadline, "it cannot cancel");
    }
    let result: Value =
        serde_json::from_str(&client.next("home/exec/long/result")).expect("a result");
    assert_eq!((&result["status"], &result["action"]), (&"cancelled".into(), &"hold".into()));
    house.records("cancel");
    assert!(error(&cancel("long")).contains("ended already"));
    assert!(error(&cancel("other")).contains("was triggered below home/"));
}

#[test]
fn clients_of_the_embedded_broker_reach_their_own_prefix_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let url = format!("tcp://127.0.0.1:{port}");
    let users = "home=hall:h-secret\ngarden=gnome:g-secret\n";
    file(folder.path(), "users", users);
    let words = [
        "--embedded-broker",
        "--mqtt-users-file=users",
        "--mqtt-clients=home=hallway,garden=hallway",
        "--mqtt-actions=garden=water",
    ];
    let _house = House::start(folder.path(), &url, "say", &words);
    let hall = Client(port, Some(("hall", "h-secret")));
    let gnome = Client(port, Some(("gnome", "g-secret")));
    hall.retains("home/actions/say", true);
    assert_eq!(hall.next("home/status"), "online\n");
    let said = hall.ask("say", r#"{"parameters": {"text": "ho"}}"#);
    assert_eq!((&said["status"], &said["result"]), (&"succeeded".into(), &"ho".into()), "{said}");
    // Also what is larger than the frames that the broker does not count.
    let long = "x".repeat(5000);
    let said = hall.ask("say", &format!(r#"{{"parameters": {{"text": "{long}"}}}}"#));
    assert_eq!(said["result"], long);
    // A result is kept for those who come later.
    hall.publish("home/actions/say/trigger", r#"{"execution_id": "first"}"#, &[]);
    assert!(hall.next("home/exec/first/result").contains("hello"));
    hall.retains("home/exec/first/result", true);
    // A client offers an action, and withdraws it by an empty message.
    gnome.publish("garden/actions/water", r#"{"description": "Water."}"#, &["-r"]);
    gnome.retains("garden/actions/water", true);
    gnome.publish("garden/actions/water", "", &["-r"]);
    gnome.retains("garden/actions/water", false);
    // Not below its own prefix without a rule for that, and nowhere else.
    hall.publish("home/actions/water", "{}", &["-r"]);
    hall.publish("garden/actions/water", "{}", &["-r"]);
    hall.publish("tinpot/worker/web/web-1/up/control", "{}", &["-r"]);
    hall.publish("home/status", "offline", &["-r"]);
    assert!(!gnome.retained("garden/actions/+").contains("water"));
    assert!(!hall.retained("home/actions/+").contains("water"));
    assert_eq!(hall.next("home/status"), "online\n");
    for filter in ["#", "+/actions/+", "garden/#", "tinpot/#", "tinpot/workers/control"] {
        let words = ["-t", filter, "-W", "5", "-C", "1"];
        let refused = hall.command("mosquitto_sub", &words);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.stdout.is_empty() && said.contains("were denied"), "{filter}: {refused:?}");
    }
    // No login, a wrong one, and that of another.
    for login in [None, Some(("hall", "g-secret")), Some(("coordinator", "")), Some(("x", "y"))] {
        let stranger = Client(port, login);
        let words = ["-t", "home/status", "-W", "5", "-C", "1"];
        let refused = stranger.command("mosquitto_sub", &words);
        // Without a login, it may be a worker.
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        let is_refused = !refused.status.success() || said.contains("were denied");
        assert!(refused.stdout.is_empty() && is_refused, "{login:?}: {refused:?}");
    }
}

#[test]
fn logins_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    file(folder.path(), "users", "home=hall:h-secret\noffice=clerk:o-secret\n");
    let refused = |words: &[&str]| {
        let mut command = operator(folder.path());
        command.args(["coordinator", "--embedded-broker=127.0.0.1:0", "--port=0"]).args(words);
        let ran = Ran::of(command);
        assert_ne!(ran.code, Some(0), "{ran:?}");
        ran.stderr
    };
    let alone = refused(&["--mqtt-clients=home=anonymous"]);
    assert!(alone.contains("PREFIX=NAME:PASSWORD by --mqtt-users-file"), "{alone}");
    let wrong = refused(&["--mqtt-clients=home=anonymous", "--mqtt-users-file=users"]);
    assert!(wrong.contains("users") && wrong.contains("line 2: the prefix must be"), "{wrong}");
    assert!(!wrong.contains("o-secret"), "{wrong}");
    let missing = refused(&["--mqtt-clients=home=anonymous", "--mqtt-users-file=nothing"]);
    assert!(missing.contains("nothing (--mqtt-users-file"), "{missing}");
}
