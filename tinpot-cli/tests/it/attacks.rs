//! A broker that everyone may read and write, against workers that have joined: what it forges,
//! repeats and moves has no effect.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use tinpot_access::{IdentityKey, RingSuite};
use tinpot_core::seal::{KeyId, Suite};
use tinpot_core::transport::{Address, Lane, Received};
use tinpot_core::{Link, Transport, WorkerId};
use tinpot_mqtt::MqttTransport;

use crate::broker_acl::{Mosquitto, mosquitto};
use crate::support::{PATIENCE, Process, Ran, file, free_port, tinpot};

const ACTIONS: &str = r#"
from tinpot import action


@action
def mark(file: str, text: str = "canary-in-every-place"):
    with open(file, "a") as marks:
        marks.write("x\n")
    print(text)
    return text
"#;

struct Place {
    folder: tempfile::TempDir,
    broker: String,
    _mosquitto: Mosquitto,
    coordinator: Process,
    url: String,
}

impl Place {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let mosquitto = mosquitto(folder.path(), port, "allow_anonymous true");
        let broker = format!("mqtt://127.0.0.1:{port}");
        let actions = folder.path().join("actions");
        std::fs::create_dir(&actions).expect("a folder");
        file(&actions, "actions.py", ACTIONS);
        let mut coordinator = Process::start(coordinator(folder.path(), &broker));
        let url = coordinator.url();
        Self { folder, broker, _mosquitto: mosquitto, coordinator, url }
    }

    fn restart(&mut self) {
        self.coordinator.kill();
        self.coordinator = Process::start(coordinator(self.folder.path(), &self.broker));
        self.url = self.coordinator.url();
    }

    /// Joins a worker, and starts it.
    fn worker(&self, name: &str) -> (Process, WorkerId) {
        let mut command = tinpot();
        command.env("TINPOT_STORE", self.folder.path().join("tinpot.db"));
        command.args(["workers", "join-token", "--names", name]).current_dir(self.folder.path());
        let token = file(self.folder.path(), name, Ran::of(command).ok());
        let mut command = tinpot();
        command.args(["worker", "--name", name, "--worker-key", "memory", "--no-reload"]);
        command.args(["--broker", &self.broker, "--join-token-file"]).arg(token);
        command.env("ACTIONS_DIR", self.folder.path().join("actions"));
        let mut worker = Process::start(command);
        let line = worker.line("Worker ");
        let id = line.split_whitespace().nth(1).expect("an id");
        (worker, WorkerId::new(id).expect("an id"))
    }

    fn marks(&self) -> PathBuf {
        self.folder.path().join("marks")
    }

    /// Runs the action, and checks that it ran as often as it was asked for.
    #[track_caller]
    fn runs(&self, times: usize) {
        let deadline = Instant::now() + PATIENCE;
        let marks = self.marks();
        loop {
            let mut command = tinpot();
            command.env("TINPOT_SERVER", &self.url);
            command.args(["run", "mark", "--file"]).arg(&marks);
            let ran = Ran::of(command);
            if ran.code == Some(0) {
                break;
            }
            // Until the action is known.
            assert!(Instant::now() < deadline && ran.code == Some(5), "{ran:?}");
        }
        let text = std::fs::read_to_string(marks).expect("marks");
        assert_eq!(text.lines().count(), times);
    }
}

fn coordinator(folder: &Path, broker: &str) -> Command {
    let mut command = tinpot();
    command.args(["coordinator", "--frames=require", "--port=0", "--broker", broker]);
    command.env("TINPOT_STORE", folder.join("tinpot.db")).current_dir(folder);
    command
}

/// Returns a signed frame of a key that no worker pins.
fn foreign(kind: u8, name: &str, payload: &str) -> Bytes {
    let suite = RingSuite::new(&IdentityKey::from_seed(&[9; 32]));
    let text = [b"tinpot/1 ", name.as_bytes(), b"\0", payload.as_bytes()].concat();
    let head = [b"TPF1".as_slice(), &[kind], &[0; 19]].concat();
    [&head, suite.sign(&text).as_slice(), payload.as_bytes()].concat().into()
}

/// One who reads and writes every topic.
struct Adversary {
    /// As the coordinator, and as each worker.
    ends: Vec<MqttTransport>,
    heard: Vec<(Address, Lane, BoxStream<'static, Received>)>,
    frames: Vec<(Address, Lane, Bytes)>,
}

impl Adversary {
    async fn new(broker: &str, workers: &[&WorkerId]) -> Self {
        let (mut ends, mut heard) = (Vec::new(), Vec::new());
        for worker in workers {
            let end = MqttTransport::builder(broker).worker(worker).connect().await;
            let end = end.expect("a transport");
            end.status().wait_for(Link::is_up).await.expect("a link");
            for lane in Lane::ALL {
                for at in [Address::Worker((*worker).clone()), Address::AllWorkers] {
                    let frames = end.listen(&at, lane).await.expect("frames");
                    heard.push((at, lane, frames));
                }
                let at = Address::Coordinator;
                let frames = end.listen(&at, lane).await.expect("frames");
                heard.push((at, lane, frames));
            }
            ends.push(end);
        }
        Self { ends, heard, frames: Vec::new() }
    }

    /// Takes what was on the network.
    fn record(&mut self) {
        for (at, lane, frames) in &mut self.heard {
            while let Some(Some(frame)) = frames.next().now_or_never() {
                let text = String::from_utf8_lossy(&frame.bytes);
                assert!(text.starts_with("TPF1"), "a plain frame: {text}");
                assert!(!text.contains("canary") && !text.contains("mark"), "{text}");
                self.frames.push((at.clone(), *lane, frame.bytes));
            }
        }
    }

    /// Sends all that was recorded again: where it was, on the other lane, and to others.
    async fn replay(&self, others: &[Address]) {
        for (to, lane, frame) in &self.frames {
            for end in &self.ends {
                for lane in [*lane, if *lane == Lane::Logs { Lane::Control } else { Lane::Logs }] {
                    for to in std::iter::once(to).chain(others) {
                        // What does not fit into the queue is not needed.
                        let _ = end.send(to, lane, frame.clone()).await;
                    }
                }
            }
        }
    }

    async fn send(&self, to: &Address, frame: Bytes) {
        for end in &self.ends {
            end.send(to, Lane::Control, frame.clone()).await.expect("it is sent");
        }
    }
}

#[test]
fn what_a_hostile_broker_forges_and_repeats_has_no_effect() {
    let mut place = Place::start();
    let (mut worker, web) = place.worker("web");
    let (_other, db) = place.worker("db");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("one");
    let mut adversary = runtime.block_on(Adversary::new(&place.broker, &[&web, &db]));
    place.runs(1);
    // What was sent is on its way to the adversary, too.
    let deadline = Instant::now() + PATIENCE;
    while adversary.frames.iter().filter(|(_, _, frame)| frame[4] == 0).count() < 4 {
        assert!(Instant::now() < deadline, "only {} frames", adversary.frames.len());
        adversary.record();
        std::thread::yield_now();
    }

    // Plain frames in the name of either side: a dispatch, an end, and the result of a worker.
    let to_web = Address::Worker(web.clone());
    let marks = place.marks();
    let dispatch = format!(
        r#"{{"v":1,"to":"{web}","messages":[{{"dispatch":{{"fence":"00000001.1.1","seq_echo":1,"settled":0,"execution":"0192f0c1-2b3c-7d4e-8f50-61728394a5b6","attempt":1,"action":"mark","parameters":{{"file":{:?}}},"grace_ms":1000,"retryable":false}}}},{{"drain":{{"epoch":"00000001.1"}}}}]}}"#,
        marks.display()
    );
    let goodbye = format!(r#"{{"v":1,"from":"{web}","messages":[{{"goodbye":{{"held":[]}}}}]}}"#);
    // Signed frames of a namespace key that the worker does not know.
    let key = RingSuite::new(&IdentityKey::from_seed(&[9; 32]));
    let key = KeyId::of(&key, &key.public());
    let notice = format!(
        r#"{{"v":1,"namespace":"tinpot","key":"{key}","epoch":"00000001.9","shard":0,"shards":1}}"#
    );
    let joined = format!(r#"{{"v":1,"namespace":"tinpot","key":"{key}","join":"{key}{key}"}}"#);
    let attack = |adversary: &Adversary| {
        runtime.block_on(async {
            adversary.send(&to_web, dispatch.clone().into()).await;
            adversary.send(&Address::Coordinator, goodbye.clone().into()).await;
            adversary.send(&to_web, foreign(3, "notice", &notice)).await;
            adversary.send(&Address::AllWorkers, foreign(3, "notice", &notice)).await;
            adversary.send(&to_web, foreign(2, "accept", &notice)).await;
            adversary.send(&to_web, foreign(5, "joined", &joined)).await;
            let changed = adversary.frames.iter().map(|(to, _, frame)| {
                let mut frame = frame.to_vec();
                let last = frame.len() - 1;
                frame[last] ^= 1;
                (to.clone(), frame)
            });
            for (to, frame) in changed.collect::<Vec<_>>() {
                adversary.send(&to, frame.into()).await;
            }
            adversary.replay(&[to_web.clone(), Address::Worker(db.clone())]).await;
        });
    };
    attack(&adversary);
    place.runs(2);
    // The sessions of both end with the coordinator, and what was recorded is of no session.
    place.restart();
    attack(&adversary);
    place.runs(3);
    adversary.heard.clear();
    worker.signal(rustix::process::Signal::TERM);
    assert!(worker.end().success(), "{:?}", worker.seen);
}

#[test]
fn a_plain_worker_under_require_is_told_to_join() {
    let mut place = Place::start();
    let mut command = tinpot();
    command.args(["worker", "--name", "plain", "--no-reload", "--broker", &place.broker]);
    command.env("ACTIONS_DIR", place.folder.path().join("actions"));
    let mut plain = Process::start(command);
    plain
        .line("this worker is not enrolled: ask for a join token, then run \"tinpot worker join\"");
    place.coordinator.line("plain frame is dropped");
}
