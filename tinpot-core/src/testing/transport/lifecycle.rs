//! Status and close.

use bytes::Bytes;
use futures::StreamExt;

use super::Network;
use super::support::{at_once, join, link_is, listen, next, send, within, worker};
use crate::model::address::{Address, Lane};
use crate::model::error::ErrorKind;
use crate::transport::Link;

/// The link of a participant comes up, and a later receiver of its status sees that.
pub async fn status_is_up(network: &impl Network) {
    let transport = join(network, &worker("web-1")).await;
    assert_eq!(transport.status().current(), Link::Up);
    let _frames = listen(&*transport, &worker("web-1"), Lane::Control).await;
    assert_eq!(transport.status().current(), Link::Up, "listening leaves the link up");
}

/// `close` ends every stream, and the status is `Closed`.
pub async fn close_ends_streams(network: &impl Network) {
    let transport = join(network, &worker("web-1")).await;
    let mut streams = Vec::new();
    for lane in Lane::ALL {
        for at in [worker("web-1"), Address::AllWorkers, worker("web-1")] {
            streams.push(listen(&*transport, &at, lane).await);
        }
    }
    let mut status = transport.status();
    within("closing", transport.close()).await;
    for frames in &mut streams {
        assert_eq!(within("the stream ends", frames.next()).await, None);
    }
    assert_eq!(transport.status().current(), Link::Closed);
    let seen = within(
        "the status is closed for an earlier receiver",
        status.wait_for(|link| *link == Link::Closed),
    );
    seen.await.expect("the last status can still be read");
}

/// Closing one participant harms no other.
pub async fn close_leaves_others_alone(network: &impl Network) {
    let web = worker("web-1");
    let coordinator = join(network, &Address::Coordinator).await;
    let receiver = join(network, &web).await;
    let leaving = join(network, &worker("goes")).await;
    let _frames_that_end = listen(&*leaving, &Address::AllWorkers, Lane::Control).await;
    let mut frames = listen(&*receiver, &web, Lane::Control).await;
    let mut last_words = listen(&*coordinator, &Address::Coordinator, Lane::Control).await;
    send(&*leaving, &Address::Coordinator, Lane::Control, "goodbye").await;
    within("closing", leaving.close()).await;
    assert_eq!(next(&mut last_words, "the last words").await, "goodbye");
    send(&*coordinator, &web, Lane::Control, "still here").await;
    assert_eq!(next(&mut frames, "a frame for another").await, "still here");
    assert_eq!(receiver.status().current(), Link::Up);
}

/// Frames that were handed over before `close` arrive.
pub async fn close_sends_what_was_handed_over(network: &impl Network) {
    // More than a socket takes at once, and less than any queue.
    const FRAMES: u32 = 400;
    let coordinator = join(network, &Address::Coordinator).await;
    let leaving = join(network, &worker("web-1")).await;
    let mut streams = Vec::new();
    for lane in Lane::ALL {
        streams.push(listen(&*coordinator, &Address::Coordinator, lane).await);
    }
    for n in 0..FRAMES {
        let frame: Bytes = n.to_be_bytes().repeat(512).into();
        for lane in Lane::ALL {
            send(&*leaving, &Address::Coordinator, lane, frame.clone()).await;
        }
    }
    within("closing", leaving.close()).await;
    for frames in &mut streams {
        for n in 0..FRAMES {
            let frame = next(frames, "a frame that was handed over before the close").await;
            assert_eq!(frame[..4], n.to_be_bytes(), "frame {n} of {FRAMES}");
        }
    }
}

/// After `close`, `send` and `listen` return `Closed`.
pub async fn closed_answers_closed(network: &impl Network) {
    let transport = join(network, &worker("web-1")).await;
    within("closing", transport.close()).await;
    for lane in Lane::ALL {
        for address in [Address::Coordinator, worker("web-1"), Address::AllWorkers] {
            let sending = transport.send(&address, lane, "late".into());
            let error = at_once("sending", sending).await.expect_err("it is closed");
            assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}");
            assert!(!error.is_retryable());
            let listening = at_once("listening", transport.listen(&address, lane)).await;
            let error = listening.err().expect("it is closed");
            assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}");
        }
    }
}

/// `close` may be called again, and by several callers at once.
pub async fn close_is_idempotent(network: &impl Network) {
    let transport = join(network, &worker("web-1")).await;
    let closers: Vec<_> = (0..4)
        .map(|_| {
            let transport = transport.clone();
            tokio::spawn(async move { transport.close().await })
        })
        .collect();
    for closer in closers {
        within("closing", closer).await.expect("close does not panic");
    }
    within("closing again", transport.close()).await;
    link_is(&*transport, "closed", |link| *link == Link::Closed).await;
}
