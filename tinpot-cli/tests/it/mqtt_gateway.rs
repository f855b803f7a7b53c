//! The MQTT gateway of a server with users, for a client that is no more than `mosquitto_pub`.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

use serde_json::Value;

use crate::broker_acl::mosquitto;
use crate::support::{PATIENCE, Process, Ran, file, free_port, tinpot};

const ACTIONS: &str = r#"
from tinpot import action


@action
def say(text: str = "hello"):
    return text


@action
def erase():
    return "gone"
"#;

fn operator(folder: &Path) -> Command {
    let mut command = tinpot();
    command.env("TINPOT_STORE", folder.join("tinpot.db")).current_dir(folder);
    command
}

/// A client of the broker on this port.
struct Client(u16);

impl Client {
    fn command(&self, program: &str, words: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(["-p", &self.0.to_string()]).args(words);
        command.output().expect("the clients of mosquitto are installed")
    }

    /// Sends a trigger, and returns its answer.
    fn ask(&self, action: &str, payload: &str) -> Value {
        let topic = format!("home/actions/{action}/trigger");
        let answer = self
            .command("mosquitto_rr", &["-t", &topic, "-e", "home/x", "-W", "60", "-m", payload]);
        serde_json::from_slice(&answer.stdout).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    }

    /// Returns the retained messages of actions.
    fn announced(&self) -> String {
        // It ends with a failure, since it waits for more.
        let found = self.command("mosquitto_sub", &["-t", "home/actions/+", "-W", "1", "-F", "%t"]);
        String::from_utf8_lossy(&found.stdout).into_owned()
    }
}

#[test]
fn messages_have_the_rights_of_the_user_of_their_prefix() {
    let folder = tempfile::tempdir().expect("a folder");
    let actions = folder.path().join("actions");
    std::fs::create_dir(&actions).expect("a folder");
    file(&actions, "actions.py", ACTIONS);
    let operate = |words: &[&str]| {
        let mut command = operator(folder.path());
        command.args(words);
        Ran::of(command).ok().to_owned()
    };
    // This makes the store.
    file(folder.path(), "password", "correct horse\n");
    operate(&["users", "add", "dan", "--admin", "--password-file", "password"]);
    operate(&["programs", "add", "hallway"]);
    operate(&["grants", "add", "operator", "--program", "hallway", "--action", "say"]);
    let port = free_port();
    let _broker = mosquitto(folder.path(), port, "allow_anonymous true");
    let url = format!("tcp://127.0.0.1:{port}");
    let start = |words: &[&str]| {
        let mut command = operator(folder.path());
        command.args(words).args(["--broker", &url]);
        Process::start(command)
    };
    let mut coordinator =
        start(&["coordinator", "--auth=users", "--port=0", "--mqtt-clients=home=hallway"]);
    coordinator.url();
    let _worker = start(&["worker", "--actions", "actions", "--no-reload"]);
    let client = Client(port);
    let deadline = Instant::now() + PATIENCE;
    while !client.announced().contains("home/actions/say") {
        assert!(Instant::now() < deadline, "the action is not announced");
    }
    // What it may not see is not there.
    assert!(!client.announced().contains("erase"));
    let said = client.ask("say", r#"{"parameters": {"text": "ho"}}"#);
    assert_eq!((&said["status"], &said["result"]), (&"succeeded".into(), &"ho".into()), "{said}");
    let refused = client.ask("erase", "");
    let unknown = client.ask("erasx", "");
    let text = |answer: &Value| answer["error"].as_str().expect("a text").to_owned();
    assert_eq!(text(&refused), text(&unknown).replace("erasx", "erase"));
    // The audit names the program, and the rights end with it.
    let audit = operate(&["audit", "list", "--what", "run", "--json"]);
    assert!(audit.contains("hallway") && audit.contains("mqtt:home"), "{audit}");
    operate(&["programs", "remove", "hallway"]);
    let deadline = Instant::now() + PATIENCE;
    let removed = "\"hallway\" in --mqtt-clients is no user or program now";
    while !client.ask("say", "")["error"].to_string().contains(&removed.replace('"', "\\\"")) {
        assert!(Instant::now() < deadline, "it still runs actions");
    }
}
