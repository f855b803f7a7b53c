//! Clients that are slow, silent or too many.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use futures::{StreamExt, stream};
use tinpot_serve::{ConnectionLimits, serve_on};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A limit in these tests, and a time that is clearly longer.
const SHORT: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(30);
const HEAD: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Limits that no test reaches by accident.
fn wide() -> ConnectionLimits {
    ConnectionLimits::default().head(PATIENCE).idle(PATIENCE).body(PATIENCE).write(PATIENCE)
}

struct Server {
    address: SocketAddr,
    end: watch::Sender<bool>,
    ended: JoinHandle<()>,
}

async fn serve(limits: ConnectionLimits) -> Server {
    let app = Router::new()
        .route("/", get(async || "fine"))
        .route(
            "/echo",
            post(async |body: Result<Bytes, _>| body.map(|body| body.len().to_string())),
        )
        .route(
            "/flood",
            get(async || Body::from_stream(stream::repeat(Ok::<_, String>("x".repeat(1 << 16))))),
        )
        .route(
            "/silent",
            get(async || {
                let first = stream::iter([Ok::<_, String>("begun")]);
                Body::from_stream(first.chain(stream::pending()))
            }),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (end, mut ending) = watch::channel(false);
    let ended = serve_on(listener, app, limits, async move {
        let _ = ending.wait_for(|ending| *ending).await;
    });
    Server { address, end, ended }
}

impl Server {
    /// Connects and writes.
    async fn says(&self, text: &[u8]) -> TcpStream {
        let mut client = TcpStream::connect(self.address).await.unwrap();
        client.write_all(text).await.unwrap();
        client
    }

    async fn is_fine(&self) -> bool {
        let head = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        read_to_end(&mut self.says(head).await).await.ends_with("fine")
    }
}

async fn read_to_end(client: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A connection that is reset has ended, too.
    let _ = within(client.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads until the text has come.
async fn read_until(client: &mut TcpStream, part: &str) {
    let mut text = String::new();
    while !text.contains(part) {
        let mut bytes = [0; 4096];
        let read = within(client.read(&mut bytes)).await.unwrap();
        assert_ne!(read, 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

#[tokio::test]
async fn a_head_that_does_not_arrive_ends_the_connection() {
    let server = serve(wide().head(SHORT)).await;
    for begin in [&b""[..], b"GET", b"GET / HTTP/1.1\r\nhost: localhost\r\nx: y"] {
        let mut client = server.says(begin).await;
        assert_eq!(read_to_end(&mut client).await, "");
    }
    // One byte now and then gains no time.
    let mut client = server.says(b"GET / HTTP/1.1\r\nx: ").await;
    let begun = Instant::now();
    while client.write_all(b"y").await.is_ok() {
        assert!(begun.elapsed() < PATIENCE, "it may go on for ever");
        tokio::time::sleep(SHORT / 10).await;
    }
    // Also in the second request of a connection.
    let mut client = server.says(HEAD).await;
    read_until(&mut client, "fine").await;
    client.write_all(b"GET /").await.unwrap();
    assert_eq!(read_to_end(&mut client).await, "");
    assert!(server.is_fine().await);
}

#[tokio::test]
async fn an_idle_connection_ends() {
    let server = serve(wide().idle(SHORT)).await;
    let mut client = server.says(HEAD).await;
    read_until(&mut client, "fine").await;
    assert_eq!(read_to_end(&mut client).await, "");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_refused() {
    let server = serve(wide().body(SHORT)).await;
    let head = "POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nabc";
    let mut client = server.says(head.as_bytes()).await;
    let answer = read_to_end(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    // One that arrives in pieces is read.
    let mut client = server.says(head.as_bytes()).await;
    for _ in 0..7 {
        tokio::time::sleep(SHORT / 4).await;
        client.write_all(b"x").await.unwrap();
    }
    read_until(&mut client, "10").await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_given_up() {
    let server = serve(wide().write(SHORT)).await;
    let mut client = server.says(b"GET /flood HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    read_until(&mut client, "200 OK").await;
    // The shutdown waits for open answers, and so shows that this one has ended.
    server.end.send_replace(true);
    within(server.ended).await.unwrap();
}

#[tokio::test]
async fn a_stream_may_be_silent_for_any_time() {
    let server = serve(wide().head(SHORT).idle(SHORT).body(SHORT).write(SHORT)).await;
    let mut client = server.says(b"GET /silent HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    read_until(&mut client, "begun").await;
    let closed = tokio::time::timeout(SHORT * 5, client.read_u8()).await;
    assert!(closed.is_err(), "{closed:?}");
    drop(client);
    server.end.send_replace(true);
    within(server.ended).await.unwrap();
}

#[tokio::test]
async fn a_connection_too_many_is_closed_at_once_and_frees_no_place() {
    let server = serve(wide().connections(3)).await;
    let mut first = Vec::new();
    for _ in 0..3 {
        let mut client = server.says(b"GET /silent HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        read_until(&mut client, "begun").await;
        first.push(client);
    }
    for _ in 0..5 {
        assert_eq!(read_to_end(&mut server.says(b"").await).await, "");
    }
    first.pop();
    let begun = Instant::now();
    while !server.is_fine().await {
        assert!(begun.elapsed() < PATIENCE, "the place is free");
    }
}

/// Attack 16: half-open connections, and idle ones, take no place of those that ask for something.
#[tokio::test]
async fn a_new_connection_takes_the_place_of_the_oldest_one_without_a_request() {
    let server = serve(wide().connections(4)).await;
    let mut stream = server.says(b"GET /silent HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    read_until(&mut stream, "begun").await;
    let mut idle = server.says(HEAD).await;
    read_until(&mut idle, "fine").await;
    let mut half_open = Vec::new();
    for _ in 0..50 {
        half_open.push(server.says(b"GET / HTTP/1.1\r\nx: ").await);
        assert!(server.is_fine().await);
    }
    assert_eq!(read_to_end(&mut idle).await, "");
    // The open request is still answered.
    let closed = tokio::time::timeout(SHORT / 4, stream.read_u8()).await;
    assert!(closed.is_err(), "{closed:?}");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = serve(wide()).await;
    let many = "x: y\r\n".repeat(101);
    let large = format!("x: {}\r\n", "y".repeat(40_000));
    for fields in [many, large] {
        let head = format!("GET / HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n");
        let answer = read_to_end(&mut server.says(head.as_bytes()).await).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}
