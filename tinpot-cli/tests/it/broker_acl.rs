//! The access list that the command writes, as mosquitto understands it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use futures::StreamExt;
use futures::stream::BoxStream;
use tinpot_core::transport::{Address, Lane, Received};
use tinpot_core::{Transport, WorkerId};
use tinpot_mqtt::MqttTransport;

use crate::support::{PATIENCE, Process, Ran, file, free_port, tinpot};

/// A broker with a password file and an access list; killed when dropped.
pub(crate) struct Mosquitto(Child);

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns a command of the distribution, which may be where only root's PATH leads.
fn system(name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
    let mut command = Command::new(name);
    command.env("PATH", path);
    command
}

/// Starts mosquitto with these lines of configuration.
pub(crate) fn mosquitto(folder: &Path, port: u16, lines: &str) -> Mosquitto {
    let config = format!("user root\nlistener {port} 127.0.0.1\n{lines}\n");
    let config = file(folder, "mosquitto.conf", &config);
    let mut command = system("mosquitto");
    command.arg("-c").arg(config).stdout(Stdio::null()).stderr(Stdio::null());
    let broker = Mosquitto(command.spawn().expect("mosquitto is installed"));
    let deadline = Instant::now() + PATIENCE;
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "mosquitto does not start");
        std::thread::yield_now();
    }
    broker
}

/// Returns what a place prints in a folder.
fn operate(folder: &Path, words: &[&str]) -> String {
    let mut command = tinpot();
    command.env("TINPOT_STORE", folder.join("tinpot.db")).current_dir(folder).args(words);
    Ran::of(command).ok().to_owned()
}

/// Joins workers of these names, and returns the ids of their keys.
fn join(folder: &Path, names: &[&str]) {
    let broker = format!("tcp://127.0.0.1:{}", free_port());
    let mut command = tinpot();
    command.args(["coordinator", "--embedded-broker", "--port=0", "--broker", &broker]);
    command.env("TINPOT_STORE", folder.join("tinpot.db")).current_dir(folder);
    let mut coordinator = Process::start(command);
    coordinator.url();
    for name in names {
        let token = operate(folder, &["workers", "join-token", "--names", name]);
        let token = file(folder, "token", &token);
        let mut command = tinpot();
        command.args(["worker", "join", "--name", name, "--join-token-file"]).arg(token);
        command.arg("--worker-key").arg(folder.join(name).join("worker.key")).arg(&broker);
        Ran::of(command).ok();
    }
    coordinator.kill();
}

async fn next(frames: &mut BoxStream<'static, Received>) -> String {
    let frame = tokio::time::timeout(PATIENCE, frames.next()).await.expect("in time");
    String::from_utf8_lossy(&frame.expect("a frame").bytes).into_owned()
}

#[test]
fn mosquitto_holds_each_worker_to_its_topics_with_the_printed_rules() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path();
    join(place, &["web", "db"]);
    let users = operate(place, &["broker", "acl", "--passwords"]);
    assert_eq!(users, operate(place, &["broker", "acl", "--passwords"]), "they do not change");
    file(place, "acl", &operate(place, &["broker", "acl"]));
    let passwd = file(place, "passwd", &users);
    let hashed = system("mosquitto_passwd").arg("-U").arg(&passwd).status();
    assert!(hashed.expect("mosquitto_passwd is installed").success());
    let facts = std::fs::read_to_string(place.join("web/worker.toml")).expect("a file");
    let facts: toml::Table = facts.parse().expect("TOML");
    let fact = |name: &str| facts[name].as_str().expect("a text").to_owned();
    let password = |user: &str| {
        let line = users.lines().find_map(|line| line.strip_prefix(&format!("{user}:")));
        line.unwrap_or_else(|| panic!("no user {user}")).to_owned()
    };
    assert_eq!(password(&fact("broker_user")), fact("broker_password"), "the worker has it, too");
    let port = free_port();
    let lines = "allow_anonymous false\npassword_file {0}/passwd\nacl_file {0}/acl";
    let _broker = mosquitto(place, port, &lines.replace("{0}", &place.to_string_lossy()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("one");
    runtime.block_on(async {
        let id = |text: &str| WorkerId::new(text).expect("an id");
        let connect = async |user: &str, worker: &str| {
            let transport = MqttTransport::builder(format!("mqtt://127.0.0.1:{port}"));
            let transport = transport.user(user).password(password(user)).worker(&id(worker));
            transport.connect().await.expect("a transport")
        };
        let (to, lane) = (Address::Coordinator, Lane::Control);
        let coordinator = connect("coordinator", "coordinator").await;
        let mut frames = coordinator.listen(&to, lane).await.expect("frames");
        let mut joins = coordinator.listen(&Address::Joins, lane).await.expect("joins");
        let web = fact("broker_user");
        // It writes as another, as the coordinator, and as one that joins; then as itself.
        let thief = connect(&web, "db-1").await;
        let topics = [to.clone(), Address::Worker(id("db-2")), Address::AllWorkers, Address::Joins];
        let itself = connect(&web, "web-1").await;
        let mut own = itself.listen(&Address::Worker(id("web-1")), lane).await.expect("frames");
        let mut all = itself.listen(&Address::AllWorkers, lane).await.expect("frames");
        let other = thief.listen(&Address::Worker(id("db-1")), lane).await;
        for topic in &topics {
            thief.send(topic, lane, "stolen".into()).await.expect("it is sent");
        }
        // The broker answers in order, so it has seen those frames.
        let _ = thief.listen(&Address::Worker(id("web-2")), lane).await;
        itself.send(&to, lane, "own".into()).await.expect("it is sent");
        assert_eq!(next(&mut frames).await, "own");
        // It reads what is for another; then what is for it and for all.
        for (at, text) in [("db-1", "for another"), ("web-1", "for itself")] {
            coordinator
                .send(&Address::Worker(id(at)), lane, text.into())
                .await
                .expect("it is sent");
        }
        assert_eq!(next(&mut own).await, "for itself");
        coordinator.send(&Address::AllWorkers, lane, "for all".into()).await.expect("it is sent");
        assert_eq!(next(&mut all).await, "for all");
        if let Ok(mut other) = other {
            let heard = futures::FutureExt::now_or_never(other.next()).flatten();
            assert!(heard.is_none(), "a worker reads what is for another: {heard:?}");
        }
        // Those that join use the topics of joins alone.
        let joiner = connect("join", "0bd7").await;
        joiner.send(&to, lane, "stolen".into()).await.expect("it is sent");
        joiner.send(&Address::Joins, lane, "a join".into()).await.expect("it is sent");
        assert_eq!(next(&mut joins).await, "a join");
        itself.send(&to, lane, "own again".into()).await.expect("it is sent");
        assert_eq!(next(&mut frames).await, "own again");
    });
}
