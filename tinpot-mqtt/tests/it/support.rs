//! Helpers of the tests.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use tinpot_core::transport::{Address, Lane};
use tinpot_core::{Link, Transport, WorkerId};
use tinpot_mqtt::{MqttTransport, MqttTransportBuilder};

/// The longest time that a condition may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing within {PATIENCE:?}"),
    }
}

/// More than any buffer on the way holds.
pub(crate) const LARGE: usize = 1_000_000;

/// Sets the identity of a participant, as a real system does.
pub(crate) fn participant(builder: &MqttTransportBuilder, who: &Address) -> MqttTransportBuilder {
    match who {
        Address::Worker(id) => builder.clone().worker(id),
        _ => builder.clone(),
    }
}

pub(crate) async fn link_is(transport: &MqttTransport, so: impl FnMut(&Link) -> bool) -> Link {
    let mut status = transport.status();
    within("the link changes", status.wait_for(so)).await.unwrap().clone()
}

/// Waits until the link is down for a reason that says all of `words`.
pub(crate) async fn down_because(transport: &MqttTransport, words: &[&str]) {
    link_is(transport, |link| {
        matches!(link, Link::Down { reason } if words.iter().all(|word| reason.contains(word)))
    })
    .await;
}

/// A coordinator and a worker find each other, on both lanes, both ways, with frames of this size.
pub(crate) async fn assert_frames_move(builder: &MqttTransportBuilder, bytes: usize) {
    let web = WorkerId::generate("web");
    let coordinator = builder.clone().connect().await.unwrap();
    let worker = builder.clone().worker(&web).connect().await.unwrap();
    let down = Address::Worker(web);
    link_is(&coordinator, Link::is_up).await;
    link_is(&worker, Link::is_up).await;
    let frame = Bytes::from(vec![7; bytes]);
    for lane in Lane::ALL {
        let mut at_worker = worker.listen(&down, lane).await.unwrap();
        let mut at_coordinator = coordinator.listen(&Address::Coordinator, lane).await.unwrap();
        coordinator.send(&down, lane, frame.clone()).await.unwrap();
        assert!(within("down", at_worker.next()).await.unwrap().bytes == frame);
        worker.send(&Address::Coordinator, lane, frame.clone()).await.unwrap();
        assert!(within("up", at_coordinator.next()).await.unwrap().bytes == frame);
    }
    worker.close().await;
    coordinator.close().await;
}
