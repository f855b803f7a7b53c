//! 20,000 strangers at the broker, each with a name and a key of its own: known workers go on, and
//! the memory of the coordinator stays bounded.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

use tinpot_access::{IdentityKey, RingSuite};
use tinpot_core::seal::{KeyId, Suite};

use crate::broker_acl::{Mosquitto, mosquitto};
use crate::support::{PATIENCE, Process, Ran, file, free_port, page, tinpot};

const STRANGERS: usize = 20_000;
/// More than a coordinator needs for all that it remembers of workers, in a build without
/// optimizations.
const MEMORY_KB: u64 = 256 * 1024;

const ACTIONS: &str = "
from tinpot import action


@action
def say(text: str):
    return text
";

/// A client of the broker that only sends.
struct Client(TcpStream);

impl Client {
    fn connect(port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        let name = b"strangers";
        let mut connect = vec![0x10, 12 + name.len() as u8, 0, 4];
        connect.extend_from_slice(b"MQTT\x04\x02\x00\x00\x00");
        connect.push(name.len() as u8);
        connect.extend_from_slice(name);
        stream.write_all(&connect).expect("it is sent");
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(answer, [0x20, 2, 0, 0]);
        Self(stream)
    }

    /// Publishes a frame as the one worker of a name.
    fn publish(&mut self, name: &str, payload: &[u8]) {
        let topic = format!("tinpot/worker/{name}/{name}-1/up/control");
        let mut left = 2 + topic.len() + payload.len();
        let mut packet = vec![0x30];
        loop {
            let more = if left >= 128 { 128 } else { 0 };
            packet.push((left % 128) as u8 | more);
            left /= 128;
            if left == 0 {
                break;
            }
        }
        packet.extend_from_slice(&(topic.len() as u16).to_be_bytes());
        packet.extend_from_slice(topic.as_bytes());
        packet.extend_from_slice(payload);
        self.0.write_all(&packet).expect("it is sent");
    }
}

/// Returns the hello of a stranger.
fn hello(name: &str, _: usize) -> Vec<u8> {
    let hello = format!(r#"{{"name":"{name}","slots":1,"offer":{{"actions":[]}}}}"#);
    format!(r#"{{"v":1,"from":"{name}-1","messages":[{{"hello":{hello}}}]}}"#).into_bytes()
}

/// Returns an init of a key that is not enrolled. Its signature is looked at only if it were.
fn init(name: &str, number: usize) -> Vec<u8> {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    let suite = RingSuite::new(&IdentityKey::from_seed(&seed));
    let key = KeyId::of(&suite, &suite.public());
    let payload = format!(
        r#"{{"v":1,"namespace":"tinpot","to":"{key}","worker":"{name}-1","key":"{key}","shard":0,"e":"{}","suites":["TP1"]}}"#,
        suite.public()
    );
    let text = [b"tinpot/1 init\0", payload.as_bytes()].concat();
    let head = [b"TPF1\x01".as_slice(), &[0; 19]].concat();
    [&head, suite.sign(&text).as_slice(), payload.as_bytes()].concat()
}

struct Place {
    folder: tempfile::TempDir,
    port: u16,
    _mosquitto: Mosquitto,
    coordinator: Process,
    url: String,
}

impl Place {
    fn start(frames: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let lines = "allow_anonymous true\nmax_queued_messages 0";
        let mosquitto = mosquitto(folder.path(), port, lines);
        let actions = folder.path().join("actions");
        std::fs::create_dir(&actions).expect("a folder");
        file(&actions, "actions.py", ACTIONS);
        let mut command = operator(folder.path());
        command.args(["coordinator", "--port=0", "--frames", frames]);
        command.args(["--broker", &format!("mqtt://127.0.0.1:{port}")]);
        let mut coordinator = Process::start(command);
        let url = coordinator.url();
        Self { folder, port, _mosquitto: mosquitto, coordinator, url }
    }

    fn worker(&self, words: &[&str]) -> Process {
        let mut command = operator(self.folder.path());
        command.args(["worker", "--name", "known", "--no-reload"]).args(words);
        command.args(["--broker", &format!("mqtt://127.0.0.1:{}", self.port)]);
        command.env("ACTIONS_DIR", self.folder.path().join("actions"));
        let mut worker = Process::start(command);
        worker.line("Worker known-");
        worker
    }

    /// Sends a frame of each stranger, while the known worker goes on. Frames that wait for the
    /// coordinator are bounded: beyond, they are dropped. All that were not are taken in at the end,
    /// since what the known worker says then is behind them.
    #[track_caller]
    fn crowd(&self, frame: fn(&str, usize) -> Vec<u8>) {
        let mut client = Client::connect(self.port);
        let crowd = std::thread::spawn(move || {
            for number in 0..STRANGERS {
                let name = format!("stranger{number}");
                client.publish(&name, &frame(&name, number));
            }
        });
        self.wait_until_it_says("meanwhile");
        crowd.join().expect("all were sent");
        self.wait_until_it_says("after");
    }

    fn says(&self, text: &str) -> Ran {
        let mut command = tinpot();
        command.env("TINPOT_SERVER", &self.url).args(["run", "say", "--text", text]);
        Ran::of(command)
    }

    #[track_caller]
    fn wait_until_it_says(&self, text: &str) {
        let deadline = Instant::now() + 4 * PATIENCE;
        loop {
            let ran = self.says(text);
            if ran.stdout.trim() == text {
                return;
            }
            assert!(Instant::now() < deadline, "the action does not run: {ran:?}");
        }
    }

    /// Returns the sum of the values of a metric, of all labels that have this part.
    fn metric(&self, name: &str, label: &str) -> u64 {
        let text = page(&self.url, "/metrics");
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
    }

    fn memory_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.coordinator.id()));
        let status = status.expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    #[track_caller]
    fn is_small(&self, before: u64) {
        let more = self.memory_kb().saturating_sub(before);
        assert!(more < MEMORY_KB, "{more} kB more than {before} kB");
    }
}

fn operator(folder: &Path) -> std::process::Command {
    let mut command = tinpot();
    command.env("TINPOT_STORE", folder.join("tinpot.db")).current_dir(folder);
    command
}

#[test]
fn twenty_thousand_strangers_with_plain_frames_keep_no_worker_out() {
    let place = Place::start("allow");
    let _known = place.worker(&[]);
    place.wait_until_it_says("before");
    let before = place.memory_kb();
    place.crowd(hello);
    place.is_small(before);
    let known = place.metric("tinpot_workers", "state=");
    assert!((100..=10_000).contains(&known), "{known} workers are known");
}

#[test]
fn twenty_thousand_strangers_without_an_enrolled_key_are_not_remembered() {
    let place = Place::start("require");
    let mut command = operator(place.folder.path());
    command.args(["workers", "join-token", "--names", "known"]);
    let token = file(place.folder.path(), "token", Ran::of(command).ok().trim());
    let _known = place.worker(&["--join-token-file", token.to_str().expect("a path")]);
    place.wait_until_it_says("before");
    let before = place.memory_kb();
    place.crowd(init);
    place.crowd(hello);
    place.is_small(before);
    assert_eq!(place.metric("tinpot_workers", "state="), 1);
    assert!(place.metric("tinpot_frames_refused_total", "") >= 1_000);
}
