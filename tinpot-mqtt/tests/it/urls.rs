//! Settings that cannot work are refused before the first attempt, with a remedy.

use std::time::Duration;

use tinpot_core::{ErrorKind, WorkerId};
use tinpot_mqtt::{MqttTransport, MqttTransportBuilder};

async fn refused(builder: MqttTransportBuilder, words: &[&str]) {
    let shown = format!("{builder:?}");
    let error = builder.connect().await.expect_err(&shown);
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    for word in words {
        assert!(error.message().contains(word), "{:?} does not say {word:?}", error.message());
    }
    assert!(!error.message().contains("secret"), "{error}");
}

#[tokio::test]
async fn bad_urls_say_what_is_wrong_and_what_is_right() {
    for (url, words) in [
        ("", &["no scheme", "mqtt://host:1883"][..]),
        ("localhost:1883", &["no scheme", "mqtt://host:1883"]),
        ("http://h", &["\"http\"", "mqtts", "wss"]),
        ("mqtt://", &["no host"]),
        ("mqtt://me:secret@", &["no host"]),
        ("mqtt://:secret@h", &["no user name"]),
        ("mqtt://me:secret%zz@h", &["password", "%25"]),
        ("mqtt://me:/secret@h", &["port", "\"\""]),
        ("mqtt://me:secret?x@h", &["%3F"]),
        ("mqtt://h:0", &["\"0\"", "1 to 65535"]),
        ("mqtt://h:port", &["\"port\"", "1 to 65535"]),
        ("mqtt://::1", &["[::1]:1883"]),
        ("mqtt://[::1", &["never closed"]),
        ("mqtt://h o", &["\"h o\""]),
        ("mqtt://h/tinpot", &["path", "namespace"]),
        ("mqtt://h?client_id=x", &["set in code"]),
    ] {
        refused(MqttTransport::builder(url), words).await;
    }
}

#[tokio::test]
async fn bad_options_are_refused() {
    let good = || MqttTransport::builder("mqtt://h");
    refused(good().namespace("a/+"), &["\"a/+\"", "namespace"]).await;
    refused(good().password("secret"), &["password", "user"]).await;
    refused(good().keep_alive(Duration::from_secs(1)), &["1s", "5s"]).await;
    refused(good().max_frame_bytes(1000), &["1000", "4194304"]).await;
    refused(good().ca_certificate("x"), &["mqtts://"]).await;
    refused(MqttTransport::builder("mqtts://h").ca_certificate("x"), &["CA certificate"]).await;
}

#[tokio::test]
async fn secrets_are_never_shown() {
    let builder = MqttTransport::builder("mqtt://me:secret1@h")
        .worker(&WorkerId::generate("web"))
        .password("secret2")
        .client_certificate("secret3", "secret4");
    assert!(!format!("{builder:?}").contains("secret"), "{builder:?}");
    let transport = MqttTransport::builder("mqtt://me:secret@127.0.0.1:1").connect().await.unwrap();
    assert!(!format!("{transport:?}").contains("secret"), "{transport:?}");
}
