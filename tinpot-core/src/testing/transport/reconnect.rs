//! Links that break and come back. A network whose link cannot break is held to that instead.

use std::sync::Arc;

use futures::StreamExt;

use super::support::{
    at_once, drain, eventually, join, link_is, listen, next, send, within, worker,
};
use super::{Faults, Network};
use crate::model::address::{Address, Lane};
use crate::model::error::ErrorKind;
use crate::transport::{Link, Transport};

/// Cuts the link of a worker, and that of the coordinator if it can break.
async fn cut(
    network: &impl Network,
    faults: &dyn Faults,
    worker: &Arc<dyn Transport>,
    coordinator: Option<&Arc<dyn Transport>>,
) {
    within("cutting the link", faults.cut()).await;
    link_is(&**worker, "the cut shows", |link| !link.is_up()).await;
    let Some(coordinator) = coordinator else { return };
    if network.can_break(&Address::Coordinator) {
        link_is(&**coordinator, "the cut shows", |link| !link.is_up()).await;
    } else {
        assert_eq!(coordinator.status().current(), Link::Up, "a link that cannot break");
    }
}

async fn restore(faults: &dyn Faults, participants: &[&Arc<dyn Transport>]) {
    within("restoring the link", faults.restore()).await;
    for transport in participants {
        link_is(&***transport, "the link comes back by itself", Link::is_up).await;
    }
}

/// Without faults: the link is up from the start, stays up, and ends only by `close`.
async fn assert_unbreakable(network: &impl Network) {
    let web = worker("web-1");
    let transport = network.join(&web).await;
    let mut status = transport.status();
    assert_eq!(status.try_next(), Some(Link::Up), "up without waiting");
    let mut frames = listen(&*transport, &web, Lane::Control).await;
    for n in 0..100 {
        send(&*transport, &web, Lane::Control, n.to_string()).await;
        assert_eq!(next(&mut frames, "the frame").await, n.to_string());
    }
    assert_eq!(status.try_next(), None, "never anything but up");
    transport.close().await;
    assert_eq!(status.current(), Link::Closed);
}

/// A link that breaks becomes `Down`, with a reason for people, and then `Up` again by itself.
pub async fn link_says_why_it_is_down(network: &impl Network) {
    let Some(faults) = network.faults() else { return assert_unbreakable(network).await };
    let transport = join(network, &worker("web-1")).await;
    for _ in 0..2 {
        cut(network, faults, &transport, None).await;
        let has_reason = |link: &Link| matches!(link, Link::Down { reason } if !reason.is_empty());
        link_is(&*transport, "the status has a reason", has_reason).await;
        restore(faults, &[&transport]).await;
    }
}

/// While the link is down, `send` returns `Unavailable` at once, on both lanes.
pub async fn send_while_down_is_unavailable(network: &impl Network) {
    let Some(faults) = network.faults() else { return assert_unbreakable(network).await };
    let transport = join(network, &worker("web-1")).await;
    cut(network, faults, &transport, None).await;
    for lane in Lane::ALL {
        // One lane may notice the cut a moment after the other.
        eventually("the lane knows", async || {
            let sending = transport.send(&Address::Coordinator, lane, "now?".into());
            let sent = at_once("sending while down", sending).await;
            // Until then its queue may fill up, which is another error.
            sent.is_err_and(|error| error.kind() == ErrorKind::Unavailable)
        })
        .await;
        for _ in 0..100 {
            let sending = transport.send(&Address::Coordinator, lane, "now?".into());
            let error = at_once("sending while down", sending).await.expect_err("it is down");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
            assert!(error.is_retryable());
        }
    }
}

/// Streams from before a cut receive frames after it, without another `listen`.
pub async fn listeners_survive_a_cut(network: &impl Network) {
    let Some(faults) = network.faults() else { return assert_unbreakable(network).await };
    let web = worker("web-1");
    let coordinator = join(network, &Address::Coordinator).await;
    let receiver = join(network, &web).await;
    let mut streams = Vec::new();
    for lane in Lane::ALL {
        for at in [&web, &Address::AllWorkers] {
            streams.push((at.clone(), lane, listen(&*receiver, at, lane).await));
        }
    }
    for round in 0..2 {
        cut(network, faults, &receiver, Some(&coordinator)).await;
        restore(faults, &[&coordinator, &receiver]).await;
        for (at, lane, frames) in &mut streams {
            // `Up` means that every listener is in place: the first frame counts.
            let text = format!("round {round}");
            send(&*coordinator, at, *lane, text.clone()).await;
            assert_eq!(next(frames, "the first frame after the cut").await, text);
        }
    }
}

/// Listening while the link is down resolves, and takes effect when the link is up.
pub async fn listening_while_down_takes_effect_later(network: &impl Network) {
    let Some(faults) = network.faults() else { return assert_unbreakable(network).await };
    let web = worker("web-1");
    let coordinator = join(network, &Address::Coordinator).await;
    let receiver = join(network, &web).await;
    cut(network, faults, &receiver, Some(&coordinator)).await;
    let mut streams = Vec::new();
    for lane in Lane::ALL {
        streams.push((lane, listen(&*receiver, &web, lane).await));
        // A stream that is dropped before the link is back leaves no trace.
        drop(listen(&*receiver, &worker("other"), lane).await);
    }
    restore(faults, &[&coordinator, &receiver]).await;
    for (lane, frames) in &mut streams {
        let before = drain(&*coordinator, &web, *lane, frames).await;
        assert!(before.is_empty(), "nothing was sent before: {before:?}");
    }
}

/// `close` takes a short time while the link is down.
pub async fn close_while_down_ends(network: &impl Network) {
    let Some(faults) = network.faults() else { return assert_unbreakable(network).await };
    let web = worker("web-1");
    let transport = join(network, &web).await;
    let mut frames = listen(&*transport, &web, Lane::Control).await;
    cut(network, faults, &transport, None).await;
    at_once("closing while down", transport.close()).await;
    assert_eq!(within("the stream ends", frames.next()).await, None);
    assert_eq!(transport.status().current(), Link::Closed);
    within("restoring the link", faults.restore()).await;
    assert_eq!(transport.status().current(), Link::Closed, "closed for good");
}
