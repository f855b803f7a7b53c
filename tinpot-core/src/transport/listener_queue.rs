//! The bounded queue of one listener.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures::Stream;
use tokio::sync::mpsc;

use super::Received;

/// Frames that wait at one listener. A frame carries many messages and the protocol keeps few in
/// flight, so only a listener that does not read reaches this. Then its frames are dropped here,
/// where that harms no other listener.
const QUEUE_FRAMES: usize = 4096;
/// Bytes that wait at one listener; one frame always finds room.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// Returns the two ends of a listener's queue of at most 4,096 frames and 64 MiB.
///
/// `unsubscribe` runs when the stream is dropped.
pub fn listener_queue(
    unsubscribe: impl FnOnce() + Send + 'static,
) -> (ListenerSender, ListenerStream) {
    let (sender, receiver) = mpsc::channel(QUEUE_FRAMES);
    let bytes = Arc::new(AtomicUsize::new(0));
    let stream = ListenerStream {
        frames: receiver,
        bytes: bytes.clone(),
        unsubscribe: Some(Box::new(unsubscribe)),
    };
    (ListenerSender { frames: sender, bytes, dropped: 0 }, stream)
}

/// The end of a listener's queue that the transport fills.
#[derive(Debug)]
pub struct ListenerSender {
    frames: mpsc::Sender<Received>,
    bytes: Arc<AtomicUsize>,
    dropped: u64,
}

impl ListenerSender {
    /// Queues a frame, or drops it if there is no room. A warning counts dropped frames; `topic`
    /// names the listener in it.
    pub fn push(&mut self, topic: &str, frame: Received) {
        let size = frame.bytes.len();
        let before = self.bytes.fetch_add(size, Ordering::Relaxed);
        let fits = before == 0 || before + size <= QUEUE_BYTES;
        if fits && self.frames.try_send(frame).is_ok() {
            return;
        }
        self.bytes.fetch_sub(size, Ordering::Relaxed);
        self.dropped += 1;
        // At powers of two: a flood must not fill the log as well.
        if self.dropped.is_power_of_two() {
            tracing::warn!(topic, dropped = self.dropped, "a listener does not read its frames");
        }
    }
}

/// The frames of one listener. Dropping the stream ends the subscription.
pub struct ListenerStream {
    frames: mpsc::Receiver<Received>,
    bytes: Arc<AtomicUsize>,
    unsubscribe: Option<Box<dyn FnOnce() + Send>>,
}

impl Stream for ListenerStream {
    type Item = Received;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Received>> {
        let frame = self.frames.poll_recv(context);
        if let Poll::Ready(Some(frame)) = &frame {
            self.bytes.fetch_sub(frame.bytes.len(), Ordering::Relaxed);
        }
        frame
    }
}

impl Drop for ListenerStream {
    fn drop(&mut self) {
        if let Some(unsubscribe) = self.unsubscribe.take() {
            unsubscribe();
        }
    }
}

impl fmt::Debug for ListenerStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerStream").field("waiting", &self.frames.len()).finish()
    }
}
