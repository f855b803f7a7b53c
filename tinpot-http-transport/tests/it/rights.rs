//! Clients that may not do what they ask for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use tinpot_core::transport::{Address, Channel, Lane};
use tinpot_core::{Error, ErrorKind, Link, Result, Transport, WorkerId};
use tinpot_http_transport::{Admission, HttpTransport, LinkServer, Login, Peer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{HEARTBEAT, Served, Trusting, id};

/// One worker with a password, which can be revoked.
#[derive(Clone, Debug, Default)]
struct OneLogin(Arc<AtomicBool>);

impl Admission for OneLogin {
    fn admit(&self, login: Option<&Login>, worker: &WorkerId) -> Result<Peer> {
        let is_right = login.is_some_and(|login| *login == Login::new("key", "secret"));
        if !is_right || self.0.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Forbidden, "user or password is wrong"));
        }
        Ok(Peer::worker("key", "web", worker))
    }
}

async fn connect(served: &Served, name: &str, password: &str) -> HttpTransport {
    let builder = HttpTransport::builder(served.url(), &id(name)).heartbeat(HEARTBEAT);
    builder.login("key", password).connect().await.unwrap()
}

/// Waits until the link is down, and returns the reason.
async fn reason(transport: &HttpTransport) -> String {
    let down = |link: &Link| matches!(link, Link::Down { reason } if !reason.is_empty());
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        transport.status().wait_for(down).await.unwrap()
    });
    let Link::Down { reason } = waited.await.unwrap() else { unreachable!() };
    reason
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_speaks_for_itself_and_hears_its_own_frames_only() {
    let served = Served::start(OneLogin::default()).await;
    let coordinator = served.link.transport();
    let mut frames = coordinator.listen(&Address::Coordinator, Lane::Control).await.unwrap();
    let web = connect(&served, "web-1", "secret").await;
    assert!(web.status().current().is_up(), "{web:?}");
    assert_eq!(web.speaks_for(), Channel::of(&Address::Worker(id("web-1"))));
    let own = Address::Worker(id("web-1"));
    let mut to_web = web.listen(&own, Lane::Control).await.unwrap();
    web.send(&Address::Coordinator, Lane::Control, "hello".into()).await.unwrap();
    let received = frames.next().await.unwrap();
    assert_eq!((&received.bytes[..], received.channel), (&b"hello"[..], Channel::of(&own)));
    coordinator.send(&own, Lane::Control, "welcome".into()).await.unwrap();
    assert_eq!(to_web.next().await.unwrap().bytes, "welcome");

    let joins = web.send(&Address::Joins, Lane::Control, "join".into()).await;
    assert_eq!(joins.unwrap_err().kind(), ErrorKind::InvalidInput);
    web.send(&Address::AllWorkers, Lane::Control, "drain".into()).await.unwrap();
    let why = reason(&web).await;
    assert!(why.contains("this worker may not send to \"workers\""), "{why}");
    let curious = connect(&served, "web-2", "secret").await;
    let _frames = curious.listen(&own, Lane::Control).await.unwrap();
    let why = reason(&curious).await;
    assert!(why.contains("this worker may not listen at \"worker/web-1\""), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_and_revoked_logins_are_refused() {
    let admission = OneLogin::default();
    let served = Served::start(admission.clone()).await;
    let wrong = connect(&served, "web-1", "guess").await;
    let why = reason(&wrong).await;
    assert!(why.contains("403 Forbidden: ") && why.contains("password is wrong"), "{why}");
    let web = connect(&served, "web-1", "secret").await;
    assert!(web.status().current().is_up(), "{web:?}");
    admission.0.store(true, Ordering::Relaxed);
    let why = reason(&web).await;
    assert!(why.contains("403 Forbidden") || why.contains("ended the link"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reason_names_servers_without_a_link() {
    let elsewhere = axum::Router::new().route("/", axum::routing::get(async || "hello"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, elsewhere).await.unwrap() });
    let worker = HttpTransport::builder(url, &id("web-1")).connect().await.unwrap();
    let why = reason(&worker).await;
    assert!(why.contains("404 Not Found: it takes no workers at this URL"), "{why}");
    server.abort();
}

/// Sends a request, and returns the status and the body of the answer.
async fn request(address: SocketAddr, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!("{head}content-length: {length}\r\nconnection: close\r\nhost: h\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_get_a_message_each() {
    const SESSION: &str = "0123456789abcdef0123456789abcdef";
    let served = Served::start(Trusting).await;
    let ask = async |method: &str, query: &str, worker: &str, body: &[u8]| {
        let head = format!(
            "{method} /api/link/control?session={query} HTTP/1.1\r\ntinpot-worker: {worker}\r\n"
        );
        request(served.address, &head, body).await
    };
    let refused = |answer: String, status: &str, why: &str| {
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {answer}");
        assert!(answer.contains(why) && answer.contains("no-store"), "{why}: {answer}");
    };
    let nameless = request(served.address, "GET /api/link/control HTTP/1.1\r\n", b"").await;
    refused(nameless, "400", "the header tinpot-worker must name the worker");
    refused(ask("GET", "1", "web", b"").await, "400", "session must be 32 hexadecimal digits");
    refused(ask("GET", SESSION, "a/b", b"").await, "400", "worker id");
    let post = format!("{SESSION}&n=0");
    refused(ask("POST", &post, "web", b"").await, "410", "there is no such link");
    let open = format!("{SESSION}&once=1&open=1");
    assert!(ask("GET", &open, "web", b"").await.starts_with("HTTP/1.1 200"));
    refused(ask("POST", &post, "db", b"").await, "403", "belongs to another worker");
    refused(ask("POST", SESSION, "web", b"").await, "400", "n must be the number");
    assert!(ask("POST", &post, "web", b"").await.starts_with("HTTP/1.1 204"));
    // A request that a proxy repeats is not taken twice.
    assert!(ask("POST", &post, "web", b"what?").await.starts_with("HTTP/1.1 204"));
    let large = ask("POST", &format!("{SESSION}&n=1"), "web", &[0xff; 4]).await;
    refused(large, "400", "a record must have at most");
    // The link is of no more use.
    refused(ask("POST", &format!("{SESSION}&n=1"), "web", b"").await, "410", "no such link");
    assert!(ask("GET", &open, "web", b"").await.starts_with("HTTP/1.1 200"));
    refused(
        ask("POST", &format!("{SESSION}&n=5"), "web", b"").await,
        "409",
        "request 0 is missing",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_are_bounded_in_number() {
    let builder = LinkServer::builder(Arc::new(Trusting)).max_clients(5);
    let served = Served::of(builder.start()).await;
    let ask = async |method: &str, number: usize, rest: &str, worker: &str| {
        let head = format!(
            "{method} /api/link/logs?session={number:032x}&{rest} HTTP/1.1\r\ntinpot-worker: \
             {worker}\r\n"
        );
        request(served.address, &head, b"").await
    };
    let is = |answer: String, status: &str| assert!(answer.contains(status), "{status}: {answer}");
    let open = "once=1&open=1";
    for number in 0..5 {
        is(ask("GET", number, open, "web").await, "200 OK");
    }
    // The oldest one of a worker ends.
    is(ask("POST", 0, "n=0", "web").await, "410 Gone");
    is(ask("POST", 1, "n=0", "web").await, "204 No Content");
    is(ask("GET", 5, open, "db").await, "200 OK");
    is(ask("GET", 6, open, "job").await, "503 Service Unavailable");
    let end = served.link.transport();
    end.close().await;
    is(ask("GET", 7, open, "web").await, "the coordinator is shutting down");
}
