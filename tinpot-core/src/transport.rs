//! Transports: frames between the coordinator and its workers.
//!
//! An implementation over anything that publishes and subscribes takes [`Reconnecting`], which has
//! all of the contract but the connections: about sixty lines remain, as in
//! `examples/src/unix_socket.rs`. An implementation with other needs finds the parts here:
//! [`LaneLinks`], [`listener_queue`] and [`ReconnectBackoff`].

mod backoff;
mod forward;
mod joined;
mod lane_links;
mod listener_queue;
mod memory;
mod reconnecting;

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

pub use self::backoff::ReconnectBackoff;
pub use self::joined::JoinedTransport;
pub use self::lane_links::LaneLinks;
pub use self::listener_queue::{ListenerSender, ListenerStream, listener_queue};
pub use self::memory::{MemoryNetwork, MemoryTransport};
pub use self::reconnecting::{Command, Connect, Connection, Reconnecting, ReconnectingBuilder};
pub use crate::model::address::{Address, Channel, Lane};
use crate::model::error::Result;
use crate::watcher::Watcher;

/// The status of a transport's connection.
///
/// [`Watcher`] has an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Link {
    /// No connection now. The transport tries again by itself.
    Down {
        /// The last error, for people; empty until there is one.
        reason: String,
    },
    /// Connected, with every subscription in effect.
    Up,
    /// Closed by [`Transport::close`], for good.
    Closed,
}

impl Link {
    /// Returns true if frames can be moved now.
    pub fn is_up(&self) -> bool {
        matches!(self, Link::Up)
    }
}

/// A frame that has arrived, and the channel by which it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The participant that could write the frame.
    pub channel: Channel,
    /// The frame.
    pub bytes: Bytes,
}

impl Received {
    /// Creates a frame that came by this channel.
    pub fn new(channel: Channel, bytes: Bytes) -> Self {
        Self { channel, bytes }
    }
}

/// Moves frames between the coordinator and the workers of one namespace.
///
/// # Contract
/// - **Delivery**: best effort. A frame may be lost, repeated, delayed or reordered; the protocol
///   above repairs that. While the link is up and buffers have room, an implementation delivers
///   each frame once, and in order per sender, lane and address.
/// - **Content**: opaque bytes, from none to at least 4 MiB, delivered unchanged. Frames are never
///   split or merged.
/// - **Channel**: each frame comes with the participant that could write it where it was received.
///   An implementation that cannot tell says [`Channel::Unknown`]. It never reads the channel from
///   the frame, and drops a frame whose place it cannot assign to any participant. The receiver
///   drops a frame whose `from` disagrees with a known channel.
/// - **Bounds**: every buffer is bounded, that of a listener that does not read included. `send`
///   never waits for a peer: without room or link it returns a retryable error (`Overloaded` or
///   `Unavailable`) at once.
/// - **Lanes**: a flood on [`Lane::Logs`] neither delays nor drops a frame on [`Lane::Control`].
/// - **Link**: an implementation reconnects by itself, without end. `status` is `Up` only once
///   every subscription is in effect again.
/// - **Half-open links**: a link whose peer has vanished silently shows as `Down` within a time
///   that the implementation documents, at most 30 s. Until then, sent frames may be lost.
/// - **Closing**: [`Worker::shutdown`](crate::Worker::shutdown) and
///   [`Coordinator::shutdown`](crate::Coordinator::shutdown) close the transport that they were
///   given. A program that drops them instead closes the transport itself, or drops it. So two of
///   them never share a link.
/// - **Cancel safety**: a dropped `send` loses at most its own frame. Streams are cancel safe.
///
/// # Example
/// An implementation over anything that publishes and subscribes is short with [`Reconnecting`].
///
/// ```
/// use futures::StreamExt;
/// use tinpot_core::transport::{Address, Lane};
/// use tinpot_core::{MemoryNetwork, Transport};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// let network = MemoryNetwork::new();
/// let (coordinator, worker) = (network.transport(), network.transport());
/// let mut frames = coordinator.listen(&Address::Coordinator, Lane::Control).await?;
/// worker.send(&Address::Coordinator, Lane::Control, "hello".into()).await?;
/// assert_eq!(frames.next().await.unwrap().bytes, "hello");
///
/// coordinator.close().await;
/// assert!(frames.next().await.is_none());
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Hands over one frame for the listeners at `to`.
    ///
    /// `Ok` means handed over, not delivered. A frame for an address without a listener is dropped
    /// without an error.
    ///
    /// # Errors
    /// `Unavailable` while the link is down, `Overloaded` while a buffer is full, `InvalidInput`
    /// for a frame that is too large, `Closed` after [`close`](Transport::close).
    async fn send(&self, to: &Address, lane: Lane, frame: Bytes) -> Result<()>;

    /// Returns the frames for `at` on `lane`, from now on.
    ///
    /// Dropping the stream ends the subscription; closing the transport ends the stream. While the
    /// link is down, the future resolves at once, and the subscription takes effect when the link
    /// comes up. While it is up, the future resolves once a frame that is sent afterwards reaches
    /// the stream. Any number of streams may listen at one address; each receives every frame.
    ///
    /// # Errors
    /// `Closed` after [`close`](Transport::close), `InvalidInput` for an address that this
    /// transport cannot express.
    async fn listen(&self, at: &Address, lane: Lane) -> Result<BoxStream<'static, Received>>;

    /// Returns the participant that receivers see as the sender of this transport's frames, or
    /// [`Channel::Unknown`], the default, if they cannot tell.
    ///
    /// A worker that is not this participant would never be heard, so it does not start.
    fn speaks_for(&self) -> Channel {
        Channel::Unknown
    }

    /// Returns the status of the link, as it changes.
    fn status(&self) -> Watcher<Link>;

    /// Sends what was handed over, as far as that takes a short, bounded time; then ends every
    /// stream and the link. Idempotent.
    async fn close(&self);
}
