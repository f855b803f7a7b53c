//! Encryption, certificates, users, and brokers that are not there.

use futures::StreamExt;
use tinpot_core::transport::{Address, Lane};
use tinpot_core::{Link, Transport, WorkerId};
use tinpot_mqtt::MqttTransport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::certificates::Authority;
use crate::mosquitto::{Mosquitto, free_port};
use crate::support::{LARGE, assert_frames_move, down_because, link_is, within};

/// Starts a broker that requires client certificates of `authority`.
async fn encrypted(authority: &Authority, more: &str) -> Mosquitto {
    let here = tempfile::tempdir().unwrap();
    let server = authority.certify("127.0.0.1");
    for (name, text) in
        [("ca.pem", &authority.pem), ("server.pem", &server.pem), ("server.key", &server.key)]
    {
        std::fs::write(here.path().join(name), text).unwrap();
    }
    let lines = "cafile ca.pem\ncertfile server.pem\nkeyfile server.key\nrequire_certificate true";
    Mosquitto::with(here, &format!("{lines}\n{more}")).await
}

async fn with_users() -> Mosquitto {
    let here = tempfile::tempdir().unwrap();
    // In clear; `mosquitto_passwd` makes hashes of it.
    std::fs::write(here.path().join("users"), "web:s@cret\n").unwrap();
    let done = std::process::Command::new("mosquitto_passwd")
        .args(["-U", "users"])
        .current_dir(here.path())
        .status()
        .expect("these tests need mosquitto_passwd, which comes with mosquitto");
    assert!(done.success());
    Mosquitto::with(here, "allow_anonymous false\npassword_file users").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_a_client_certificate() {
    let authority = Authority::new();
    let broker = encrypted(&authority, "allow_anonymous true").await;
    let client = authority.certify("web");
    let url = format!("mqtts://127.0.0.1:{}", broker.port());
    let connect = MqttTransport::builder(&url).ca_certificate(authority.pem.clone());
    assert_frames_move(&connect.clone().client_certificate(client.pem, client.key), LARGE).await;

    let without = connect.connect().await.unwrap();
    assert!(!without.status().current().is_up(), "the broker wants a certificate");
    let other = Authority::new();
    let stranger = MqttTransport::builder(&url).ca_certificate(other.pem).connect().await.unwrap();
    down_because(&stranger, &["invalid peer certificate"]).await;
}

/// mosquitto 2.0.11 writes 4 KiB to a WebSocket and then rests for 100 ms, so the frames over one
/// are small.
const SMALL: usize = 3000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets() {
    let here = tempfile::tempdir().unwrap();
    let broker = Mosquitto::with(here, &Mosquitto::websockets()).await;
    let connect = MqttTransport::builder(format!("ws://127.0.0.1:{}/mqtt", broker.port()));
    assert_frames_move(&connect, SMALL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_over_tls() {
    let authority = Authority::new();
    let broker = encrypted(&authority, &Mosquitto::websockets()).await;
    let client = authority.certify("web");
    let connect = MqttTransport::builder(format!("wss://127.0.0.1:{}", broker.port()))
        .ca_certificate(authority.pem.clone())
        .client_certificate(client.pem, client.key);
    assert_frames_move(&connect, SMALL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_connect_and_others_learn_the_reason() {
    let broker = with_users().await;
    let place = format!("127.0.0.1:{}", broker.port());
    assert_frames_move(&MqttTransport::builder(format!("mqtt://web:s%40cret@{place}")), LARGE)
        .await;
    assert_frames_move(
        &MqttTransport::builder(format!("mqtt://x:y@{place}")).user("web").password("s@cret"),
        LARGE,
    )
    .await;

    for url in [format!("mqtt://web:wrong@{place}"), format!("mqtt://{place}")] {
        let refused = MqttTransport::builder(url).connect().await.unwrap();
        down_because(&refused, &["refuses", &place, "user", "password"]).await;
        refused.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_comes_later_is_found() {
    let port = free_port();
    let transport =
        MqttTransport::builder(format!("mqtt://127.0.0.1:{port}")).connect().await.unwrap();
    down_because(&transport, &["cannot connect", &port.to_string(), "refused"]).await;
    let here = tempfile::tempdir().unwrap();
    let _broker = Mosquitto::with_port(here, port, "allow_anonymous true").await;
    link_is(&transport, Link::is_up).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_never_answers_is_named() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = silent.local_addr().unwrap().to_string();
    let transport = MqttTransport::builder(format!("mqtt://{place}")).connect().await.unwrap();
    down_because(&transport, &[&place, "did not answer within 5 s"]).await;
}

/// Takes a client in, and resets the connection at the first packet after that.
async fn reset_when_up(mut socket: TcpStream) {
    let mut packet = [0; 256];
    assert_ne!(socket.read(&mut packet).await.unwrap(), 0, "CONNECT");
    // CONNACK, without properties.
    socket.write_all(&[0x20, 3, 0, 0, 0]).await.unwrap();
    assert_ne!(socket.read(&mut packet).await.unwrap(), 0, "SUBSCRIBE");
    socket.set_zero_linger().unwrap();
}

/// A broker that ends a connection while bytes of ours are on their way makes the system report a reset, which says no more than
/// the end of a stream does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_is_told_as_a_closed_connection() {
    let broker = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = broker.local_addr().unwrap().to_string();
    let resetting = tokio::spawn(async move {
        loop {
            let (socket, _) = broker.accept().await.unwrap();
            tokio::spawn(reset_when_up(socket));
        }
    });
    let transport = MqttTransport::builder(format!("mqtt://{place}")).connect().await.unwrap();
    let _received = transport.listen(&Address::Coordinator, Lane::Control).await.unwrap();
    down_because(&transport, &[&place, "closed the connection"]).await;
    resetting.abort();
}

/// The list in the docs of the crate.
const RULES: &str = "\
pattern write tinpot/worker/%u/+/up/+
pattern read tinpot/worker/%u/+/down/+
pattern read tinpot/workers/+
user coordinator
topic readwrite tinpot/#
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_access_list_holds_every_worker_to_its_own_topics() {
    let here = tempfile::tempdir().unwrap();
    std::fs::write(here.path().join("rules"), RULES).unwrap();
    let broker = Mosquitto::with(here, "allow_anonymous true\nacl_file rules").await;
    let connect = MqttTransport::builder(broker.url());
    let web = WorkerId::generate("web");
    let coordinator = connect.clone().user("coordinator").connect().await.unwrap();
    let worker = connect.clone().user("web").worker(&web).connect().await.unwrap();
    let liar = connect.user("db").worker(&web).connect().await.unwrap();
    for transport in [&coordinator, &worker, &liar] {
        link_is(transport, Link::is_up).await;
    }
    let down = Address::Worker(web);
    for lane in Lane::ALL {
        let mut at_coordinator = coordinator.listen(&Address::Coordinator, lane).await.unwrap();
        let mut at_worker = worker.listen(&down, lane).await.unwrap();
        let mut broadcasts = worker.listen(&Address::AllWorkers, lane).await.unwrap();
        // The broker drops what the list does not allow, without a word.
        for to in [&Address::Coordinator, &Address::AllWorkers, &down] {
            liar.send(to, lane, "a lie".into()).await.unwrap();
        }
        worker.send(&Address::AllWorkers, lane, "a lie, too".into()).await.unwrap();
        worker.send(&Address::Coordinator, lane, "the truth".into()).await.unwrap();
        assert_eq!(within("up", at_coordinator.next()).await.unwrap().bytes, "the truth");
        coordinator.send(&down, lane, "do it".into()).await.unwrap();
        assert_eq!(within("down", at_worker.next()).await.unwrap().bytes, "do it");
        coordinator.send(&Address::AllWorkers, lane, "who is there?".into()).await.unwrap();
        assert_eq!(within("broadcast", broadcasts.next()).await.unwrap().bytes, "who is there?");
    }
}
