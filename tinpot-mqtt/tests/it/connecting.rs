//! Encryption, certificates, users, and brokers that are not there.

use tinpot_core::{Link, Transport, WorkerId};
use tinpot_mqtt::MqttTransport;

use crate::certificates::Authority;
use crate::mosquitto::{Mosquitto, free_port};
use crate::support::{assert_frames_move, down_because, link_is};

/// One that wants a certificate of `authority` from everybody.
async fn encrypted(authority: &Authority, more: &str) -> Mosquitto {
    let here = tempfile::tempdir().unwrap();
    let server = authority.certify("127.0.0.1");
    for (name, text) in
        [("ca.pem", &authority.pem), ("server.pem", &server.pem), ("server.key", &server.key)]
    {
        std::fs::write(here.path().join(name), text).unwrap();
    }
    let lines = "cafile ca.pem\ncertfile server.pem\nkeyfile server.key\nrequire_certificate true\nallow_anonymous true";
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
    let broker = encrypted(&authority, "").await;
    let client = authority.certify("web");
    let url = format!("mqtts://127.0.0.1:{}", broker.port());
    let connect = MqttTransport::builder(&url).ca_certificate(authority.pem.clone());
    assert_frames_move(&connect.clone().client_certificate(client.pem, client.key)).await;

    let without = connect.connect().await.unwrap();
    assert!(!without.status().borrow().is_up(), "the broker wants a certificate");
    let other = Authority::new();
    let stranger = MqttTransport::builder(&url).ca_certificate(other.pem).connect().await.unwrap();
    down_because(&stranger, &["invalid peer certificate"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_over_tls() {
    let authority = Authority::new();
    let broker = encrypted(&authority, "protocol websockets").await;
    let client = authority.certify("web");
    let connect = MqttTransport::builder(format!("wss://127.0.0.1:{}", broker.port()))
        .ca_certificate(authority.pem.clone())
        .client_certificate(client.pem, client.key);
    assert_frames_move(&connect).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_get_in_and_others_are_told_why_not() {
    let broker = with_users().await;
    let place = format!("127.0.0.1:{}", broker.port());
    assert_frames_move(&MqttTransport::builder(format!("mqtt://web:s%40cret@{place}"))).await;
    assert_frames_move(
        &MqttTransport::builder(format!("mqtt://x:y@{place}")).user("web").password("s@cret"),
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
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = silent.local_addr().unwrap().to_string();
    let transport = MqttTransport::builder(format!("mqtt://{place}")).connect().await.unwrap();
    down_because(&transport, &[&place, "did not answer within 5 s"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_access_list_holds_for_all_workers() {
    let here = tempfile::tempdir().unwrap();
    let rules = "user web\npattern write tinpot/worker/%u/+/up/+\npattern read tinpot/worker/%u/+/down/+\n\
                 topic read tinpot/workers/+\n";
    std::fs::write(here.path().join("rules"), rules).unwrap();
    let broker = Mosquitto::with(here, "allow_anonymous true\nacl_file rules").await;
    let transport = MqttTransport::builder(broker.url())
        .worker(&WorkerId::generate("web"))
        .user("web")
        .password("any")
        .connect()
        .await
        .unwrap();
    link_is(&transport, Link::is_up).await;
}
