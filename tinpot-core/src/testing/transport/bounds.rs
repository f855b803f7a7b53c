//! Floods, and the bounds that hold them back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Network;
use super::support::{at_once, drain, eventually, join, listen, next, send, worker};
use crate::model::address::{Address, Lane};
use crate::model::error::{Error, ErrorKind};
use crate::testing::case::pause;
use crate::transport::Transport;

/// More accepted frames than a bounded listener may hold.
const FLOOD_FRAMES: usize = 50_000;
/// Frames that are sent without a pause: fewer than any queue on the way to the listener holds, so
/// that the flood reaches the listener instead of being dropped earlier.
const BURST_FRAMES: usize = 500;
/// A sender that refuses frames for this long, while no listener reads, has a bound of its own.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// While one side floods `Logs` and the other does not read, every frame on `Control` arrives soon,
/// in both directions.
pub async fn logs_flood_leaves_control_alone(network: &impl Network) {
    let web = worker("web-1");
    let coordinator = join(network, &Address::Coordinator).await;
    let sender = join(network, &web).await;
    let _unread = listen(&*coordinator, &Address::Coordinator, Lane::Logs).await;
    let mut requests = listen(&*coordinator, &Address::Coordinator, Lane::Control).await;
    let mut replies = listen(&*sender, &web, Lane::Control).await;

    let over = Arc::new(AtomicBool::new(false));
    let tried = Arc::new(AtomicUsize::new(0));
    let flood = tokio::spawn({
        let (sender, over, tried) = (sender.clone(), over.clone(), tried.clone());
        async move {
            let chunk = Bytes::from(vec![b'x'; 2048]);
            while !over.load(Ordering::Relaxed) {
                tried.fetch_add(1, Ordering::Relaxed);
                let sent = sender.send(&Address::Coordinator, Lane::Logs, chunk.clone()).await;
                assert!(sent.as_ref().err().is_none_or(Error::is_retryable), "{sent:?}");
                // This loop never waits, so it has to yield to other tasks.
                tokio::task::yield_now().await;
            }
        }
    });
    eventually("the flood rises", async || tried.load(Ordering::Relaxed) > 5000).await;
    for n in 0..200 {
        let text = n.to_string();
        let sent = at_once(
            "handing over during a flood",
            sender.send(&Address::Coordinator, Lane::Control, text.clone().into()),
        );
        sent.await.expect("control has room during a flood of logs");
        assert_eq!(at_once("a request during a flood", next(&mut requests, "it")).await, text);
        let replied = at_once(
            "answering during a flood",
            coordinator.send(&web, Lane::Control, text.clone().into()),
        );
        replied.await.expect("control has room during a flood of logs");
        assert_eq!(at_once("a reply during a flood", next(&mut replies, "it")).await, text);
    }
    over.store(true, Ordering::Relaxed);
    flood.await.expect("the flood meets retryable refusals only");
}

/// While a listener does not read, every `send` returns at once with `Ok` or a retryable error, and
/// memory is bounded. When the listener reads again, frames arrive again.
pub async fn send_never_blocks(network: &impl Network) {
    let coordinator = join(network, &Address::Coordinator).await;
    let sender = join(network, &worker("web-1")).await;
    for lane in Lane::ALL {
        let mut frames = listen(&*coordinator, &Address::Coordinator, lane).await;
        let accepted = flood(&*sender, lane).await;
        let seen = drain(&*sender, &Address::Coordinator, lane, &mut frames).await;
        let waited = seen.iter().filter(|frame| frame.starts_with(b"flood")).count();
        // Of the accepted frames: those that a sender refuses are in no memory.
        assert!(
            waited < FLOOD_FRAMES,
            "{waited} of {accepted} accepted frames waited in memory for a listener that did not read"
        );
        // Marks of `drain` that were still on their way come first.
        send(&*sender, &Address::Coordinator, lane, "as before").await;
        while next(&mut frames, "a frame after the flood").await != "as before" {}
    }
}

/// Sends until `FLOOD_FRAMES` frames are accepted or the sender has refused for `REFUSED_FOR`.
/// Returns the number of accepted frames.
async fn flood(sender: &dyn Transport, lane: Lane) -> usize {
    let (mut accepted, mut refused_since) = (0, None);
    while accepted < FLOOD_FRAMES {
        let frame = format!("flood {accepted}").into();
        let sending = sender.send(&Address::Coordinator, lane, frame);
        match at_once("sending to a listener that does not read", sending).await {
            Ok(()) => {
                accepted += 1;
                refused_since = None;
                if accepted % BURST_FRAMES == 0 {
                    pause().await;
                }
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Overloaded, "{error:?}");
                assert!(error.is_retryable());
                let refused_for = refused_since.get_or_insert_with(Instant::now).elapsed();
                if refused_for > REFUSED_FOR {
                    break;
                }
                // The sender may be faster than its link; what counts is the listener.
                if refused_for < Duration::from_millis(1) {
                    tokio::task::yield_now().await;
                } else {
                    pause().await;
                }
            }
        }
    }
    accepted
}
