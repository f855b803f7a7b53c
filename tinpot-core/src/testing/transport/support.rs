//! Helpers of the cases.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;

use super::Network;
use crate::model::address::{Address, Lane};
use crate::model::id::WorkerId;
use crate::testing::case::pause;
pub(super) use crate::testing::case::{at_once, eventually, within};
use crate::transport::{Link, Received, Transport};

pub(super) type Frames = BoxStream<'static, Received>;

pub(super) fn worker(name: &str) -> Address {
    Address::Worker(WorkerId::new(name).expect("a good name"))
}

/// A participant whose link is up.
pub(super) async fn join(network: &dyn Network, participant: &Address) -> Arc<dyn Transport> {
    let transport = within("joining", network.join(participant)).await;
    link_is(&*transport, "the link comes up", Link::is_up).await;
    transport
}

/// Waits until the link satisfies `so`, and returns it.
pub(super) async fn link_is(
    transport: &dyn Transport,
    what: &str,
    so: impl FnMut(&Link) -> bool,
) -> Link {
    let mut status = transport.status();
    within(what, status.wait_for(so))
        .await
        .expect("the status lasts as long as the transport")
        .clone()
}

pub(super) async fn listen(transport: &dyn Transport, at: &Address, lane: Lane) -> Frames {
    within("listening", transport.listen(at, lane)).await.expect("can listen")
}

/// Sends a frame, and retries: any implementation may refuse for a moment with a retryable error.
pub(super) async fn send(
    transport: &dyn Transport,
    to: &Address,
    lane: Lane,
    frame: impl Into<Bytes>,
) {
    let frame = frame.into();
    within("sending", async {
        loop {
            match transport.send(to, lane, frame.clone()).await {
                Ok(()) => break,
                Err(error) if error.is_retryable() => pause().await,
                Err(error) => panic!("cannot send to {to}: {error:?}"),
            }
        }
    })
    .await;
}

pub(super) async fn next(frames: &mut Frames, what: &str) -> Bytes {
    next_received(frames, what).await.bytes
}

pub(super) async fn next_received(frames: &mut Frames, what: &str) -> Received {
    within(what, frames.next()).await.unwrap_or_else(|| panic!("{what}: the stream ended"))
}

/// Sends marks until one arrives, and returns the frames before it. For links that may have lost
/// frames a moment ago.
pub(super) async fn drain(
    sender: &dyn Transport,
    to: &Address,
    lane: Lane,
    frames: &mut Frames,
) -> Vec<Bytes> {
    /// The time for which a frame is awaited before the next mark is sent.
    const NEXT_MARK: Duration = Duration::from_millis(2);
    const MARK: &[u8] = b"the mark at the end";
    let mut seen = Vec::new();
    within("a mark arrives", async {
        loop {
            let _ = sender.send(to, lane, Bytes::from_static(MARK)).await;
            while let Ok(frame) = tokio::time::timeout(NEXT_MARK, frames.next()).await {
                let frame = frame.expect("the stream goes on").bytes;
                if frame == MARK {
                    return;
                }
                seen.push(frame);
            }
        }
    })
    .await;
    seen
}
