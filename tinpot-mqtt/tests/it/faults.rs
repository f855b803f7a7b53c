//! What happens to connections, beyond what the conformance suite asks of every transport.

use bytes::Bytes;
use futures::StreamExt;
use rumqttc::v5::{AsyncClient, MqttOptions};
use tinpot_core::{Address, ErrorKind, Lane, Link, Transport, WorkerId};
use tinpot_mqtt::MqttTransport;

use crate::mosquitto::Mosquitto;
use crate::support::{link_is, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_our_id_is_reported_and_survived() {
    let here = tempfile::tempdir().unwrap();
    let broker = Mosquitto::with(here, "allow_anonymous true\nlog_type notice").await;
    let web = WorkerId::generate("web");
    let transport = MqttTransport::builder(broker.url()).worker(&web).connect().await.unwrap();
    link_is(&transport, Link::is_up).await;
    let mut frames = transport.listen(&Address::Worker(web.clone()), Lane::Control).await.unwrap();
    let beginning = format!("{web}-control-");
    let log = broker.log();
    let id = log.split_whitespace().find(|word| word.starts_with(&beginning)).expect(&log);

    let mut status = transport.status();
    let reason = tokio::spawn(async move {
        let down = status.wait_for(|link| !link.is_up()).await.unwrap().clone();
        format!("{down:?}")
    });
    let (_thief, mut thief_loop) =
        AsyncClient::new(MqttOptions::new(id, "127.0.0.1", broker.port()), 1);
    let thief = tokio::spawn(async move { while thief_loop.poll().await.is_ok() {} });
    let reason = within("the theft shows", reason).await.unwrap();
    assert!(reason.contains("another client") && reason.contains(id), "{reason}");

    link_is(&transport, Link::is_up).await;
    transport.send(&Address::Worker(web), Lane::Control, "still me".into()).await.unwrap();
    assert_eq!(within("the frame", frames.next()).await.unwrap(), "still me");
    assert!(!thief.is_finished(), "it came back under another id");
    thief.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_over_a_limit_is_refused_and_harms_nothing() {
    let here = tempfile::tempdir().unwrap();
    let broker = Mosquitto::with(here, "allow_anonymous true\nmax_packet_size 100000").await;
    let transport = MqttTransport::builder(broker.url()).connect().await.unwrap();
    link_is(&transport, Link::is_up).await;
    let mut frames = transport.listen(&Address::Coordinator, Lane::Control).await.unwrap();
    for (bytes, limited_by) in [(100_000, "the broker"), (20_000_000, "this transport")] {
        let frame = Bytes::from(vec![0; bytes]);
        let error = transport.send(&Address::Coordinator, Lane::Control, frame).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains(limited_by), "{error}");
    }
    transport.send(&Address::Coordinator, Lane::Control, "small".into()).await.unwrap();
    assert_eq!(within("the small one", frames.next()).await.unwrap(), "small");
    assert!(transport.status().borrow().is_up());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_transport_ends_its_streams_and_connections() {
    let here = tempfile::tempdir().unwrap();
    let broker = Mosquitto::with(here, "allow_anonymous true\nlog_type notice").await;
    let transport = MqttTransport::builder(broker.url()).connect().await.unwrap();
    link_is(&transport, Link::is_up).await;
    let mut frames = transport.listen(&Address::AllWorkers, Lane::Logs).await.unwrap();
    let mut status = transport.status();
    drop(transport);
    assert_eq!(within("the stream ends", frames.next()).await, None);
    assert!(
        within("the status says so", status.wait_for(|link| *link == Link::Closed)).await.is_ok()
    );
    within("both connections end", async {
        while broker.log().matches("closed its connection").count() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}
