//! Faults of connections beyond those of the conformance suite.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use rumqttc::v5::mqttbytes::v5::{ConnAck, ConnectReturnCode, Packet};
use tinpot_core::transport::{Address, Lane};
use tinpot_core::{ErrorKind, Link, Transport, WorkerId};
use tinpot_mqtt::MqttTransport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::mosquitto::Mosquitto;
use crate::support::{down_because, link_is, within};

/// Takes a client in, as a broker does, and answers its id.
async fn take_in(socket: &mut TcpStream) -> String {
    let mut bytes = BytesMut::new();
    let id = loop {
        socket.read_buf(&mut bytes).await.unwrap();
        if let Ok(Packet::Connect(connect, _, _)) = Packet::read(&mut bytes.clone(), None) {
            break connect.client_id;
        }
    };
    let code = ConnectReturnCode::Success;
    write(socket, Packet::ConnAck(ConnAck { session_present: false, code, properties: None }))
        .await;
    id
}

async fn write(socket: &mut TcpStream, packet: Packet) {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, None).unwrap();
    socket.write_all(&bytes).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_our_id_is_reported_and_survived() {
    let broker = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("mqtt://{}", broker.local_addr().unwrap());
    let web = WorkerId::generate("web");
    let mut builder = MqttTransport::builder(url).worker(&web);
    builder = builder.keep_alive(Duration::from_secs(60));
    let (transport, mut clients) = tokio::join!(builder.connect(), async {
        let mut clients = Vec::new();
        for _ in Lane::ALL {
            let (mut socket, _) = broker.accept().await.unwrap();
            clients.push((take_in(&mut socket).await, socket));
        }
        clients
    });
    let transport = transport.unwrap();
    link_is(&transport, Link::is_up).await;
    let mut ids: Vec<_> = clients.iter().map(|(id, _)| id.clone()).collect();
    ids.sort();
    assert!(ids[0].starts_with(&format!("{web}-control-")), "{ids:?}");
    assert!(ids[1].starts_with(&format!("{web}-logs-")), "{ids:?}");

    let (id, socket) = &mut clients[0];
    // DISCONNECT, two bytes, session taken over, no properties.
    socket.write_all(&[0xe0, 2, 0x8e, 0]).await.unwrap();
    down_because(&transport, &["another client", id]).await;
    let (mut socket, _) = within("it comes back", broker.accept()).await.unwrap();
    let new_id = take_in(&mut socket).await;
    assert_ne!(new_id, *id, "under the same id it would take it back, and so on for ever");
    link_is(&transport, Link::is_up).await;
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
    assert_eq!(within("the small one", frames.next()).await.unwrap().bytes, "small");
    assert!(transport.status().current().is_up());
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
    // With a goodbye or without: the broker has words of its own for each.
    let ended = |log: &str, client: &str| {
        ["disconnected", "closed its connection"]
            .iter()
            .any(|how| log.contains(&format!("Client {client} {how}")))
    };
    within("both connections end", async {
        loop {
            let log = broker.log();
            let clients: Vec<&str> = log
                .lines()
                .filter(|line| line.contains("New client connected"))
                .filter_map(|line| line.split_once(" as ")?.1.split(' ').next())
                .collect();
            if clients.len() == 2 && clients.iter().all(|client| ended(&log, client)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
