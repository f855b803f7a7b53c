//! The reconnecting transport: the conformance suite on a hub in memory, and links that are half
//! open.

use std::future::{Ready, ready};
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt;
use tinpot_core::testing::transport::Faults;
use tinpot_core::transport::{Address, Lane, Link, Reconnecting};
use tinpot_core::{ErrorKind, Transport};
use tokio::time::Instant;

use crate::hub::{HubConnect, HubNetwork};

fn network() -> Ready<HubNetwork> {
    ready(HubNetwork::default())
}

tinpot_core::transport_conformance!(network);

#[tokio::test(start_paused = true)]
async fn a_half_open_link_shows_within_two_heartbeats() {
    let network = HubNetwork::default();
    let transport = network.transport("tinpot").await;
    let mut status = transport.status();
    status.wait_for(Link::is_up).await.expect("a status");
    // A link in use is no different from an idle one.
    let _frames = transport.listen(&Address::Coordinator, Lane::Control).await.expect("a stream");
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(status.try_next(), None, "an idle link stays up");
    network.connect.0.silent.store(true, Ordering::SeqCst);
    let start = Instant::now();
    let down = status.wait_for(|link| !link.is_up()).await.expect("a status");
    assert!(start.elapsed() <= Duration::from_secs(20), "{:?}", start.elapsed());
    assert!(
        matches!(&down, Link::Down { reason } if reason.contains("nothing was received for 10s")),
        "{down:?}"
    );
    network.connect.0.silent.store(false, Ordering::SeqCst);
    status.wait_for(Link::is_up).await.expect("it comes back");
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_notices_a_cut_late_is_not_taken_for_one_that_works() {
    let network = HubNetwork::default();
    *network.connect.0.logs_notice_late.lock().expect("a lock") = Duration::from_secs(3);
    let transport = network.transport("tinpot").await;
    let mut frames = transport.listen(&Address::AllWorkers, Lane::Logs).await.expect("a stream");
    let mut status = transport.status();
    for round in 0..2 {
        network.connect.0.cut().await;
        let down = status.wait_for(|link| !link.is_up()).await.expect("a status");
        assert!(matches!(&down, Link::Down { reason } if !reason.is_empty()), "{down:?}");
        network.connect.0.restore().await;
        while !transport.status().current().is_up() {
            let down = transport.status().current();
            assert!(matches!(&down, Link::Down { reason } if !reason.is_empty()), "{down:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let text = format!("round {round}");
        let sent = transport.send(&Address::AllWorkers, Lane::Logs, text.clone().into()).await;
        sent.expect("the link is up");
        let frame = tokio::time::timeout(Duration::from_secs(60), frames.next()).await;
        assert_eq!(frame.expect("in time").expect("a frame").bytes, text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_works_goes_on_when_the_other_breaks() {
    let network = HubNetwork::default();
    let transport = network.transport("tinpot").await;
    let mut status = transport.status();
    status.wait_for(Link::is_up).await.expect("a status");
    let connections = network.connect.0.connections.load(Ordering::SeqCst);
    network.connect.0.cut_control();
    status.wait_for(|link| !link.is_up()).await.expect("a status");
    status.wait_for(Link::is_up).await.expect("it comes back");
    assert_eq!(network.connect.0.connections.load(Ordering::SeqCst), connections + 1);
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_confirms_nothing_is_no_link() {
    let network = HubNetwork::default();
    network.connect.0.silent.store(true, Ordering::SeqCst);
    let transport = network.transport("tinpot").await;
    let down = transport.status().current();
    assert!(
        matches!(&down, Link::Down { reason } if reason.contains("took effect within 5s")),
        "{down:?}"
    );
    transport.close().await;
    assert_eq!(transport.status().current(), Link::Closed);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_transport_ends_its_streams() {
    let network = HubNetwork::default();
    let transport = network.transport("tinpot").await;
    let mut frames = transport.listen(&Address::AllWorkers, Lane::Logs).await.expect("a stream");
    drop(transport);
    assert_eq!(frames.next().await, None);
}

#[tokio::test]
async fn settings_out_of_bounds_are_refused_with_value_and_bound() {
    let builder = || Reconnecting::builder(HubConnect::default());
    for (refused, words) in [
        (builder().namespace("a/+"), ["\"a/+\"", "A-Z"]),
        (builder().heartbeat(Duration::ZERO), ["0ns", "100ms"]),
        (builder().max_frame_bytes(1), ["(got 1)", "4194304"]),
    ] {
        let error = refused.connect().await.expect_err("it is out of bounds");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(words.iter().all(|word| error.message().contains(word)), "{error}");
    }
}

#[tokio::test]
async fn a_frame_over_the_limit_is_refused_and_harms_nothing() {
    let network = HubNetwork::default();
    let transport = network.transport("tinpot").await;
    let mut frames = transport.listen(&Address::Coordinator, Lane::Control).await.expect("open");
    let large = vec![0; 16 * 1024 * 1024 + 1].into();
    let error = transport.send(&Address::Coordinator, Lane::Control, large).await;
    assert_eq!(error.expect_err("it is too large").kind(), ErrorKind::InvalidInput);
    let sent = transport.send(&Address::Coordinator, Lane::Control, "small".into()).await;
    sent.expect("the link is up");
    assert_eq!(frames.next().await.expect("a frame").bytes, "small");
}
