//! What a flood may do, and what it may not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;

use super::Network;
use super::support::{at_once, drain, eventually, join, listen, next, send, worker};
use crate::model::address::{Address, Lane};
use crate::model::error::{Error, ErrorKind};

/// More than any buffer holds, or it would not be a bound.
const FLOOD_FRAMES: usize = 50_000;

/// While one side floods `Logs` and the other does not read them, every frame on `Control` arrives, both ways, soon.
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
                // A sender that is refused has to let others run; this one does nothing else.
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
    flood.await.expect("the flood met nothing but refusals that can be retried");
}

/// With a listener that does not read, every `send` answers at once, refusals can be retried, memory is bounded, and when the listener
/// reads again everything works again.
pub async fn send_never_blocks(network: &impl Network) {
    let coordinator = join(network, &Address::Coordinator).await;
    let sender = join(network, &worker("web-1")).await;
    for lane in Lane::ALL {
        let mut frames = listen(&*coordinator, &Address::Coordinator, lane).await;
        for n in 0..FLOOD_FRAMES {
            let sending = sender.send(&Address::Coordinator, lane, format!("flood {n}").into());
            if let Err(error) = at_once("sending to one that does not read", sending).await {
                assert_eq!(error.kind(), ErrorKind::Overloaded, "{error:?}");
                assert!(error.is_retryable());
            }
        }
        let seen = drain(&*sender, &Address::Coordinator, lane, &mut frames).await;
        let waited = seen.iter().filter(|frame| frame.starts_with(b"flood")).count();
        assert!(
            waited < FLOOD_FRAMES,
            "{waited} frames waited in memory for one that did not read"
        );
        // Marks that were still on their way come first.
        send(&*sender, &Address::Coordinator, lane, "as before").await;
        while next(&mut frames, "a frame after the flood").await != "as before" {}
    }
}
