//! Listeners: their number, their beginning and their end.

use futures::FutureExt;
use futures::StreamExt;

use super::Network;
use super::support::{drain, join, listen, next, send, worker};
use crate::model::address::{Address, Lane};

/// Several streams at one address, of one participant and of two, each get every frame.
pub async fn every_listener_gets_every_frame(network: &impl Network) {
    let coordinator = join(network, &Address::Coordinator).await;
    let another = join(network, &Address::Coordinator).await;
    let sender = join(network, &worker("web-1")).await;
    for lane in Lane::ALL {
        let mut streams = vec![
            listen(&*coordinator, &Address::Coordinator, lane).await,
            listen(&*coordinator, &Address::Coordinator, lane).await,
            listen(&*another, &Address::Coordinator, lane).await,
        ];
        for n in 0..10 {
            send(&*sender, &Address::Coordinator, lane, n.to_string()).await;
        }
        for frames in &mut streams {
            for n in 0..10 {
                assert_eq!(next(frames, "the next number").await, n.to_string());
            }
        }
    }
}

/// Dropping one of two streams leaves the other. A stream that is opened after both were dropped
/// gets new frames only.
pub async fn dropped_stream_unsubscribes(network: &impl Network) {
    let web = worker("web-1");
    let coordinator = join(network, &Address::Coordinator).await;
    let receiver = join(network, &web).await;
    for lane in Lane::ALL {
        let first = listen(&*receiver, &web, lane).await;
        let mut second = listen(&*receiver, &web, lane).await;
        drop(first);
        send(&*coordinator, &web, lane, "for the second").await;
        assert_eq!(next(&mut second, "the frame").await, "for the second");
        drop(second);

        // Without a listener, a frame is dropped. A mark to another address on the same lane shows
        // that it has passed.
        let mut elsewhere = listen(&*receiver, &Address::AllWorkers, lane).await;
        send(&*coordinator, &web, lane, "for no listener").await;
        send(&*coordinator, &Address::AllWorkers, lane, "passed").await;
        assert_eq!(next(&mut elsewhere, "the mark").await, "passed");

        // Repeated, so that an old unsubscribe that overtakes a new subscribe shows.
        for n in 0..20 {
            let mut again = listen(&*receiver, &web, lane).await;
            send(&*coordinator, &web, lane, n.to_string()).await;
            assert_eq!(next(&mut again, "the frame for the new listener").await, n.to_string());
        }
    }
}

/// Sending to an address without a listener is no error, and harms nothing.
pub async fn frames_without_a_listener_are_dropped(network: &impl Network) {
    let coordinator = join(network, &Address::Coordinator).await;
    let receiver = join(network, &worker("web-1")).await;
    for lane in Lane::ALL {
        for to in [worker("absent"), Address::AllWorkers, Address::Coordinator] {
            let sent = coordinator.send(&to, lane, "hello?".into()).await;
            assert!(sent.is_ok(), "{to} has no listener: {sent:?}");
        }
        let mut frames = listen(&*receiver, &worker("web-1"), lane).await;
        send(&*coordinator, &worker("web-1"), lane, "you").await;
        assert_eq!(next(&mut frames, "a frame with a listener").await, "you");
    }
}

/// Once `listen` has resolved, the next frame that any participant sends arrives.
pub async fn frame_sent_after_listen_arrives(network: &impl Network) {
    let coordinator = join(network, &Address::Coordinator).await;
    let receiver = join(network, &worker("web-1")).await;
    for n in 0..50 {
        for lane in Lane::ALL {
            let address = worker(&format!("web-{n}"));
            let mut frames = listen(&*receiver, &address, lane).await;
            send(&*coordinator, &address, lane, "at once").await;
            assert_eq!(next(&mut frames, "the first frame").await, "at once");
        }
    }
}

/// Dropping a future of `next` or `listen` loses no frame, and dropping one of `send` at most its
/// own.
pub async fn dropped_futures_lose_nothing_else(network: &impl Network) {
    let web = worker("web-1");
    let coordinator = join(network, &Address::Coordinator).await;
    let receiver = join(network, &web).await;
    let mut frames = listen(&*receiver, &web, Lane::Control).await;
    for n in 0..100 {
        let _ = coordinator.send(&web, Lane::Control, "maybe".into()).now_or_never();
        let _ = receiver.listen(&worker("other"), Lane::Control).now_or_never();
        let _ = receiver.listen(&web, Lane::Control).now_or_never();
        send(&*coordinator, &web, Lane::Control, n.to_string()).await;
        let mut seen = None;
        while seen != Some(n) {
            // A future that is polled once and dropped must not take a frame with it.
            let frame = match frames.next().now_or_never() {
                Some(frame) => frame.expect("the stream goes on").bytes,
                None => next(&mut frames, "the number").await,
            };
            if frame != "maybe" {
                assert_eq!(frame, n.to_string());
                seen = Some(n);
            }
        }
    }
    let left = drain(&*coordinator, &web, Lane::Control, &mut frames).await;
    assert!(left.iter().all(|frame| frame == "maybe"), "a frame arrived twice: {left:?}");
}
