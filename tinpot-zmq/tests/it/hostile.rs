//! Peers that send what no worker sends.

use std::time::Duration;

use futures::StreamExt;
use omq_tokio::{Message, Options, Socket, SocketType};
use tinpot_core::Transport;
use tinpot_core::transport::{Address, Lane};
use tinpot_zmq::{ZmqAddress, ZmqServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{any_port, connect, id, is_up, serve, within};

fn host(address: &ZmqAddress) -> String {
    address.to_string().replace("zmq+tcp://", "")
}

/// The greeting of ZMTP 3.0 without security.
fn greeting() -> Vec<u8> {
    let mut bytes = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 0];
    bytes.extend_from_slice(b"NULL");
    bytes.resize(64, 0);
    bytes
}

fn ready() -> Vec<u8> {
    let mut body = b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER".to_vec();
    body.splice(0..0, [4, body.len() as u8]);
    body
}

/// A frame's header that announces this many bytes.
fn header(flags: u8, bytes: u64) -> Vec<u8> {
    let mut header = vec![flags | 2];
    header.extend_from_slice(&bytes.to_be_bytes());
    header
}

/// A worker that connects now is served.
async fn serves(server: &ZmqServer) {
    let (coordinator, worker) = (server.transport(), connect(server.address()).await);
    is_up(&worker).await;
    let mut frames = coordinator.listen(&Address::Coordinator, Lane::Logs).await.unwrap();
    worker.send(&Address::Coordinator, Lane::Logs, "a line".into()).await.unwrap();
    assert_eq!(within("the frame", frames.next()).await.unwrap().bytes, "a line");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_protocol_end_their_connection_only() {
    const TERABYTE: u64 = 1 << 40;
    let server = serve(any_port()).await;
    let _open = server.transport();
    let after = |parts: &[Vec<u8>]| [greeting()].iter().chain(parts).flatten().copied().collect();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("another protocol", b"GET / HTTP/1.1\r\nhost: h\r\n\r\n".to_vec()),
        ("zeros", vec![0; 4096]),
        ("a huge command before the greeting is answered", after(&[header(4, TERABYTE)])),
        ("a huge frame in place of the handshake", after(&[header(0, TERABYTE)])),
        ("the largest number", after(&[ready(), header(0, u64::MAX)])),
        ("a huge frame", after(&[ready(), header(0, TERABYTE)])),
        ("a huge part", after(&[ready(), vec![1, 1, b'F'], header(0, TERABYTE)])),
        ("a huge command", after(&[ready(), header(4, TERABYTE)])),
        ("a frame that is a little too large", after(&[ready(), header(0, 17 << 20)])),
    ];
    for (what, bytes) in cases {
        let mut stream = TcpStream::connect(host(server.address())).await.unwrap();
        // The server may have closed it while this is written.
        let _ = stream.write_all(&bytes).await;
        let mut answer = Vec::new();
        let _ = within(what, stream.read_to_end(&mut answer)).await;
        serves(&server).await;
    }
}

/// A peer with the protocol of ZeroMQ, and another one than a worker's on top.
async fn peer(server: &ZmqServer) -> Socket {
    peer_with(server, Options::default()).await
}

async fn peer_with(server: &ZmqServer, options: Options) -> Socket {
    let socket = Socket::new(SocketType::Dealer, options);
    socket.connect(format!("tcp://{}", host(server.address())).as_str()).await.unwrap();
    within("a peer connects", socket.wait_connected(1, Duration::from_secs(60))).await.unwrap();
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_no_worker_sends_are_refused_with_the_reason() {
    let server = serve(any_port()).await;
    let coordinator = server.transport();
    let mut heard = coordinator.listen(&Address::Coordinator, Lane::Control).await.unwrap();
    let many: Vec<Vec<u8>> =
        (0..257).flat_map(|n| [format!("Sworker/w{n}").into_bytes(), Vec::new()]).collect();
    let large = vec![b"Fecho/1".to_vec(), vec![0; 65]];
    let parts = |parts: &[&str]| parts.iter().map(|part| part.as_bytes().to_vec()).collect();
    let cases: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("a record must have two parts", parts(&["Fcoordinator", "a", "Fcoordinator"])),
        ("a record has the unknown kind 81", parts(&["Qworkers", ""])),
        ("\"mars\" is no topic", parts(&["Fmars", "hello"])),
        ("a worker may not send to \"workers\"", parts(&["Fworkers", "drain"])),
        ("a worker may not send to \"worker/db\"", parts(&["Fworker/db", "run this"])),
        ("a worker may not listen at \"coordinator\"", parts(&["Scoordinator", ""])),
        ("a worker may not listen at \"joins\"", parts(&["Sjoins", ""])),
        ("a worker may listen at 256 addresses at most", many),
        ("an echo must have at most 64 bytes (got 65)", large),
    ];
    for (why, message) in cases {
        let peer = peer(&server).await;
        peer.send(Message::single("tinpot/1/control")).await.unwrap();
        peer.send(Message::multipart(message)).await.unwrap();
        let refusal = within(why, peer.recv()).await.unwrap();
        let text = String::from_utf8(refusal.part_slice(0).unwrap().to_vec()).unwrap();
        assert!(refusal.len() == 1 && text.contains(why), "{why}: {text}");
    }
    let stranger = peer(&server).await;
    stranger.send(Message::single("tinpot/9/control")).await.unwrap();
    let refusal = within("a refusal", stranger.recv()).await.unwrap();
    assert_eq!(
        refusal.part_slice(0).unwrap(),
        b"the first message must be tinpot/1/control or tinpot/1/logs"
    );
    let named = peer_with(&server, Options::default().identity("web")).await;
    named.send(Message::single("tinpot/1/control")).await.unwrap();
    let refusal = within("a refusal", named.recv()).await.unwrap();
    assert_eq!(refusal.part_slice(0).unwrap(), b"a worker must not declare an identity");
    // What came before the part that is wrong counts; nothing else was heard.
    serves(&server).await;
    assert_eq!(heard.next().await.unwrap().bytes, "a");
    let worker = connect(server.address()).await;
    is_up(&worker).await;
    worker.send(&Address::Coordinator, Lane::Control, "b".into()).await.unwrap();
    assert_eq!(within("the worker's frame", heard.next()).await.unwrap().bytes, "b");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_goes_on_after_a_refusal_is_disconnected() {
    let server = serve(any_port()).await;
    let _open = server.transport();
    let peer = peer(&server).await;
    let seen = peer.connections_generation();
    within("the connection ends", async {
        while peer.connections_generation() == seen {
            let _ = peer.try_send(Message::single("nonsense"));
            let _ = peer.try_recv();
            tokio::task::yield_now().await;
        }
    })
    .await;
    serves(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_bounded_in_number_and_end_when_they_are_silent() {
    let address = any_port();
    let builder = ZmqServer::builder(address).max_connections(2).silence(Duration::from_secs(1));
    let server = builder.bind().await.unwrap();
    let _open = server.transport();
    let silent = peer(&server).await;
    let seen = silent.connections_generation();
    let speaker = peer(&server).await;
    speaker.send(Message::single("tinpot/1/logs")).await.unwrap();
    within("one who never spoke", silent.connections_changed(seen)).await.unwrap();
    // It receives the end of its connection when it speaks again.
    let refusal = within("one who fell silent", async {
        loop {
            // Longer than a client may be silent.
            match timeout(Duration::from_millis(1500), speaker.recv()).await {
                Ok(message) => return message.unwrap(),
                Err(_) => drop(speaker.try_send(Message::multipart(["Fcoordinator", "a line"]))),
            }
        }
    })
    .await;
    let text = String::from_utf8_lossy(refusal.part_slice(0).unwrap()).into_owned();
    assert!(text.contains("this connection has ended"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_does_not_read_loses_frames_and_holds_up_no_other() {
    let server = serve(any_port()).await;
    let coordinator = server.transport();
    let slow = peer(&server).await;
    slow.send(Message::single("tinpot/1/control")).await.unwrap();
    slow.send(Message::multipart(["Sworkers", "", "Sworker/slow", ""])).await.unwrap();
    let quick = connect(server.address()).await;
    is_up(&quick).await;
    let mut frames = quick.listen(&Address::AllWorkers, Lane::Control).await.unwrap();
    let megabyte = bytes::Bytes::from(vec![7; 1 << 20]);
    let to_slow = Address::Worker(id("slow"));
    // Once what the system and both libraries hold for it is full, frames are refused.
    within("the slow worker has no room", async {
        while coordinator.send(&to_slow, Lane::Control, megabyte.clone()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for n in 0..100 {
        let text = n.to_string();
        coordinator.send(&Address::AllWorkers, Lane::Control, text.clone().into()).await.unwrap();
        assert_eq!(within("a frame", frames.next()).await.unwrap().bytes, text);
    }
}
