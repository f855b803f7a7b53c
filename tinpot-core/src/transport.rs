//! How frames get from coordinator to workers and back.

mod forward;
mod memory;

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use tokio::sync::watch;

pub use self::memory::{MemoryNetwork, MemoryTransport};
pub use crate::model::address::{Address, Lane};
use crate::model::error::Result;

/// Whether a transport can move frames now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Link {
    /// Not connected yet, or again; it tries by itself. Says why, when it knows.
    Down {
        /// What went wrong last; empty when nothing has yet.
        reason: String,
    },
    /// Connected, and listening at every address that was asked for.
    Up,
    /// Closed by [`Transport::close`]; it stays so.
    Closed,
}

impl Link {
    /// Whether frames can be moved now.
    pub fn is_up(&self) -> bool {
        matches!(self, Link::Up)
    }
}

/// Moves frames between the coordinator and the workers of one namespace.
///
/// # Contract
/// - **Delivery**: at best; a frame may be lost, duplicated, delayed or reordered. The protocol above repairs all of that.
///   While the link is up and buffers have room, an implementation does its best to deliver each frame once and in order per lane and address.
/// - **Content**: opaque bytes up to at least 4 MiB, delivered unchanged; frames are never split or merged.
/// - **Bounds**: every buffer is bounded. `send` waits a bounded, short time at most: with no room, or no link, it answers with a retryable
///   error (`Unavailable` or `Overloaded`) at once, so that no loop that sends can be blocked by a peer.
/// - **Lanes**: whatever happens on [`Lane::Logs`] neither delays nor drops a frame on [`Lane::Control`].
/// - **Cancel safety**: dropping a `send` future before it resolves loses at most its own frame. Streams are cancel safe.
/// - **Link**: it reconnects for ever, by itself. `status` becomes `Up` only when every listener that was asked for is in place again.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Hands over one frame for the listeners at `to`.
    ///
    /// `Ok` means handed over, not delivered. A frame for an address where nobody listens is dropped silently.
    ///
    /// # Errors
    /// `Unavailable` while the link is down, `Overloaded` when a buffer is full, `InvalidInput` for a frame that is too large, `Closed`.
    async fn send(&self, to: &Address, lane: Lane, frame: Bytes) -> Result<()>;

    /// Frames for `at` on `lane`, from now on. Dropping the stream ends the subscription; the stream ends when the transport is closed.
    ///
    /// Listening while the link is down is allowed: it takes effect when the link comes up. Once the future resolves while the link is up,
    /// a frame that is sent afterwards reaches the stream. Any number of streams may listen at one address; each gets every frame.
    ///
    /// # Errors
    /// `Closed` after [`close`](Transport::close), `InvalidInput` for an address that this transport cannot express.
    async fn listen(&self, at: &Address, lane: Lane) -> Result<BoxStream<'static, Bytes>>;

    /// Whether frames can be moved now, and every change of that.
    fn status(&self) -> watch::Receiver<Link>;

    /// Ends every stream and the link; what was handed over before is still sent where that takes a short, bounded time.
    ///
    /// Idempotent.
    async fn close(&self);
}
