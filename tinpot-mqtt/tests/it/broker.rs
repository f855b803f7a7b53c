//! The embedded broker: who may come in, and what it gives back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{FutureExt, StreamExt};
use tinpot_core::transport::{Address, Lane};
use tinpot_core::{ErrorKind, Link, Transport, WorkerId};
use tinpot_mqtt::MqttTransport;
use tinpot_mqtt::broker::{Broker, BrokerRights, WorkerLogins};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{LARGE, assert_frames_move, down_because, link_is, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_connect_and_others_do_not() {
    let broker = Broker::builder().user("web", "s@cret").start().await.unwrap();
    let connect = MqttTransport::builder(broker.url());
    assert_frames_move(&connect.clone().user("web").password("s@cret"), LARGE).await;
    for refused in [connect.clone().user("web").password("wrong"), connect] {
        let refused = refused.connect().await.unwrap();
        down_because(&refused, &["refuses", "password"]).await;
    }
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_address_is_free_again_after_shutdown() {
    let broker = Broker::builder().start().await.unwrap();
    let address = broker.address();
    let transport = MqttTransport::builder(broker.url()).connect().await.unwrap();
    link_is(&transport, Link::is_up).await;
    let taken = Broker::builder().bind(address).start().await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Unavailable);
    assert!(taken.message().contains(&address.to_string()), "{taken}");
    broker.shutdown().await;
    link_is(&transport, |link| !link.is_up()).await;
    let _again = Broker::builder().bind(address).start().await.unwrap();
    link_is(&transport, Link::is_up).await;
}

#[tokio::test]
async fn an_address_for_other_machines_needs_a_user() {
    let open = Broker::builder().bind(([0, 0, 0, 0], 0)).start().await.unwrap_err();
    assert_eq!(open.kind(), ErrorKind::InvalidInput);
    assert!(open.message().contains("other machines"), "{open}");
    let shown = format!("{:?}", Broker::builder().user("web", "s@cret"));
    assert!(shown.contains("web") && !shown.contains("s@cret"), "{shown}");
}

/// The login of one worker.
#[derive(Debug)]
struct OneLogin(AtomicBool);

impl WorkerLogins for OneLogin {
    fn worker(&self, user: &str, password: &str) -> Option<String> {
        ((user, password) == ("0bd7", "s@cret") && self.is_valid(user)).then(|| "web".to_owned())
    }

    fn is_valid(&self, user: &str) -> bool {
        user == "0bd7" && self.0.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_client_uses_its_own_topics_and_no_others() {
    let login = Arc::new(OneLogin(AtomicBool::new(true)));
    let rights = BrokerRights::new("tinpot", "coordinator", "c-secret").workers(login.clone());
    let broker = Broker::builder().rights(rights).start().await.unwrap();
    let connect = MqttTransport::builder(broker.url());
    let coordinator = connect.clone().user("coordinator").password("c-secret").connect();
    let coordinator = coordinator.await.unwrap();
    let (to, lane) = (Address::Coordinator, Lane::Control);
    let mut frames = coordinator.listen(&to, lane).await.unwrap();
    let mut joins = coordinator.listen(&Address::Joins, lane).await.unwrap();

    // No anonymous client, also on this machine.
    for (user, password) in [(None, ""), (Some("0bd7"), "guess"), (Some("coordinator"), "")] {
        let client = user.map_or(connect.clone(), |user| connect.clone().user(user));
        let client = if password.is_empty() { client } else { client.password(password) };
        down_because(&client.connect().await.unwrap(), &["refuses"]).await;
    }

    let id = |text: &str| WorkerId::new(text).unwrap();
    let as_web = |worker: &str| {
        connect.clone().worker(&id(worker)).user("0bd7").password("s@cret").connect()
    };
    let thief = as_web("db-1").await.unwrap();
    thief.send(&to, lane, "as another".into()).await.unwrap();
    for at in [Address::Worker(id("db-1")), Address::Joins, Address::Coordinator] {
        // The answer also says that the broker has seen the frame before it.
        let error = thief.listen(&at, lane).await.err().expect("it is refused").to_string();
        assert!(error.contains("NotAuthorized"), "{at}: {error}");
    }
    let web = as_web("web-1").await.unwrap();
    let mut own = web.listen(&Address::Worker(id("web-1")), lane).await.unwrap();
    web.send(&to, lane, "as itself".into()).await.unwrap();
    assert_eq!(within("its frame", frames.next()).await.unwrap().bytes, "as itself");
    coordinator.send(&Address::Worker(id("web-1")), lane, "down".into()).await.unwrap();
    assert_eq!(within("an answer", own.next()).await.unwrap().bytes, "down");

    // One that joins has the topics of its key.
    let key = "0123456789abcdef0123456789abcdef";
    let joiner = connect.clone().worker(&id(key)).user("join").connect().await.unwrap();
    let mut answers = joiner.listen(&Address::Joiner(id(key)), lane).await.unwrap();
    joiner.send(&Address::Joins, lane, "a join".into()).await.unwrap();
    assert_eq!(within("a join", joins.next()).await.unwrap().bytes, "a join");
    coordinator.send(&Address::Joiner(id(key)), lane, "joined".into()).await.unwrap();
    assert_eq!(within("an answer", answers.next()).await.unwrap().bytes, "joined");
    for at in [Address::Joiner(id("9a1f")), Address::AllWorkers, Address::Coordinator] {
        assert!(joiner.listen(&at, lane).await.is_err(), "{at}");
    }

    // The login ends: what its connection publishes is dropped, and there is no other connection.
    login.0.store(false, Ordering::SeqCst);
    web.send(&to, lane, "revoked".into()).await.unwrap();
    let error = web.listen(&Address::AllWorkers, lane).await.err().expect("it is refused");
    assert!(error.to_string().contains("NotAuthorized"), "{error}");
    down_because(&as_web("web-2").await.unwrap(), &["refuses"]).await;
    assert!(frames.next().now_or_never().is_none(), "a frame of a revoked login");
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_that_join_take_few_connections_and_send_little() {
    let login = Arc::new(OneLogin(AtomicBool::new(true)));
    let rights = BrokerRights::new("tinpot", "coordinator", "c-secret").workers(login);
    let broker = Broker::builder().rights(rights).start().await.unwrap();
    let connect = MqttTransport::builder(broker.url());
    let coordinator = connect.clone().user("coordinator").password("c-secret").connect();
    let coordinator = coordinator.await.unwrap();
    let lane = Lane::Control;
    let mut joins = coordinator.listen(&Address::Joins, lane).await.unwrap();
    let mut frames = coordinator.listen(&Address::Coordinator, lane).await.unwrap();

    let id = |text: &str| WorkerId::new(text).unwrap();
    let joiner = |number: u8| {
        let key = id(&format!("{number:032x}"));
        connect.clone().worker(&key).user("join").connect()
    };
    let mut strangers = Vec::new();
    for number in 0..40 {
        strangers.push(joiner(number).await.unwrap());
        let link = match number {
            0..4 => link_is(strangers.last().unwrap(), Link::is_up).await,
            _ => {
                down_because(strangers.last().unwrap(), &["refuses", "QuotaExceeded"]).await;
                continue;
            }
        };
        assert!(link.is_up());
    }
    // A worker that has joined comes in, and its frames arrive.
    let web = connect.clone().worker(&id("web-1")).user("0bd7").password("s@cret");
    let web = web.connect().await.unwrap();
    link_is(&web, Link::is_up).await;
    web.send(&Address::Coordinator, lane, vec![7; LARGE].into()).await.unwrap();
    assert_eq!(within("its frame", frames.next()).await.unwrap().bytes.len(), LARGE);
    // What is too large for a join is dropped, and the next one arrives.
    for size in [LARGE, 16 * 1024 + 1, 16 * 1024] {
        strangers[0].send(&Address::Joins, lane, vec![7; size].into()).await.unwrap();
    }
    assert_eq!(within("a join", joins.next()).await.unwrap().bytes.len(), 16 * 1024);
    // A place that is left is free again.
    strangers.drain(..).for_each(drop);
    let next = joiner(99).await.unwrap();
    link_is(&next, Link::is_up).await;
    broker.shutdown().await;
}

/// Attack 33: a client that subscribes and reads nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_for_a_client_that_does_not_read_are_bounded_in_bytes() {
    const FRAMES: usize = 64;
    const BYTES: usize = 1 << 20;
    let broker = Broker::builder().start().await.unwrap();
    let connect = MqttTransport::builder(broker.url());
    let id = |text: &str| WorkerId::new(text).unwrap();
    let mut slow = tokio::net::TcpStream::connect(broker.address()).await.unwrap();
    let connected = [&[0x10, 17, 0, 4][..], b"MQTT", &[5, 2, 0, 60, 0, 0, 4], b"slow"].concat();
    let topic = b"tinpot/worker/slow/slow-1/down/control";
    let length = topic.len() as u8;
    let subscribed = [&[0x82, length + 6, 0, 1, 0, 0, length][..], topic, &[0]].concat();
    slow.write_all(&[connected, subscribed].concat()).await.unwrap();
    // Both answers.
    let mut answers = Vec::new();
    while !answers.windows(4).any(|part| part[0] == 0x90 && part[2..] == [0, 1]) {
        answers.push(within("an answer", slow.read_u8()).await.unwrap());
    }
    let coordinator = connect.clone().connect().await.unwrap();
    let healthy = connect.clone().worker(&id("quick-1")).connect().await.unwrap();
    let lane = Lane::Control;
    let mut quick = healthy.listen(&Address::Worker(id("quick-1")), lane).await.unwrap();
    let to_slow = Address::Worker(id("slow-1"));
    for _ in 0..FRAMES {
        coordinator.send(&to_slow, lane, vec![b'x'; BYTES].into()).await.unwrap();
    }
    coordinator.send(&to_slow, lane, "the last frame".into()).await.unwrap();
    // Others get theirs, and the broker has seen everything before it.
    let large = Address::Worker(id("quick-1"));
    coordinator.send(&large, lane, vec![b'y'; BYTES].into()).await.unwrap();
    assert_eq!(within("a frame", quick.next()).await.unwrap().bytes.len(), BYTES);
    let (mut read, mut end, mut buffer) = (0, Vec::new(), vec![0; 1 << 16]);
    while !end.ends_with(b"the last frame") {
        let size = within("bytes", slow.read(&mut buffer)).await.unwrap();
        assert_ne!(size, 0, "the connection has ended after {read} bytes");
        read += size;
        end.extend_from_slice(&buffer[..size]);
        end.drain(..end.len().saturating_sub(64));
    }
    // Those of the system's own buffers are no longer the broker's.
    assert!((BYTES..40 * BYTES).contains(&read), "{read} bytes");
    broker.shutdown().await;
}

/// Returns what mosquitto_sub prints for a filter within a second, `topic payload` in each line.
async fn retained(port: u16, filter: &str) -> Vec<String> {
    let port = port.to_string();
    let words = ["-p", &port, "-t", filter, "-W", "1", "-F", "%r %t %p"];
    let output = tokio::process::Command::new("mosquitto_sub").args(words).output().await.unwrap();
    let mut lines: Vec<_> =
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

async fn publish(port: u16, topic: &str, payload: &[u8]) {
    let (port, how) = (port.to_string(), if payload.is_empty() { "-n" } else { "-s" });
    let mut command = tokio::process::Command::new("mosquitto_pub");
    command.args(["-p", &port, "-r", "-t", topic, how]).stdin(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(payload).await.unwrap();
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retained_messages_are_kept_within_bounds() {
    let broker = Broker::builder().start().await.unwrap();
    let port = broker.address().port();
    let is = async |filter: &str, expected: &[&str]| {
        within(filter, async { while retained(port, filter).await != expected {} }).await;
    };
    publish(port, "a/b", b"one").await;
    publish(port, "a/c", b"two").await;
    // They have the flag, also for wildcards, and the last one counts.
    is("a/b", &["1 a/b one"]).await;
    publish(port, "a/b", b"three").await;
    is("a/+", &["1 a/b three", "1 a/c two"]).await;
    is("#", &["1 a/b three", "1 a/c two"]).await;
    // One that is too large is not kept, and its predecessor is no longer true.
    publish(port, "a/b", &[b'x'; 64 * 1024 + 1]).await;
    is("a/#", &["1 a/c two"]).await;
    publish(port, "a/b", &[b'x'; 64 * 1024]).await;
    within("the largest one", async {
        while retained(port, "a/b").await.first().map(String::len) != Some(64 * 1024 + 6) {}
    })
    .await;
    // An empty one removes it.
    publish(port, "a/b", b"").await;
    publish(port, "a/c", b"").await;
    is("#", &[]).await;
    broker.shutdown().await;
}
