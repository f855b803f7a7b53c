//! The part of a reconnecting transport that its implementer writes.

use std::fmt;
use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures::sink::Sink;
use futures::stream::{BoxStream, Stream, StreamExt};

use crate::model::address::Lane;
use crate::model::error::{Error, Result};

/// A request to the other side of a [`Connection`].
///
/// A connection must serve every command, so a new one is a breaking change on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Deliver a frame to every connection that has subscribed to the topic.
    Publish {
        /// The topic: up to 300 characters of `A-Z a-z 0-9 . _ - /`.
        topic: String,
        /// The frame: any bytes, from none to the transport's `max_frame_bytes`.
        frame: Bytes,
    },
    /// Deliver frames of the topic to this connection from now on. Subscribing again changes
    /// nothing.
    Subscribe {
        /// The topic.
        topic: String,
    },
    /// Deliver no more frames of the topic to this connection.
    Unsubscribe {
        /// The topic.
        topic: String,
    },
}

/// An open connection: a sink of commands and a stream of frames with their topics.
///
/// # Contract
/// - Commands take effect in their order. In particular, a connection that subscribes to a topic
///   and then publishes to it receives its own frame. By such frames the transport confirms
///   subscriptions, checks the connection and flushes.
/// - Frames of one topic arrive in the order in which one connection published them.
/// - The other side never waits for a slow reader while it serves others; it drops frames.
/// - The stream ends, or yields an error, when the connection breaks. So does the sink. Both are
///   dropped together.
pub struct Connection {
    pub(super) commands: Pin<Box<dyn Sink<Command, Error = Error> + Send>>,
    pub(super) frames: BoxStream<'static, Result<(String, Bytes)>>,
}

impl Connection {
    /// Returns a connection of these two ends.
    pub fn new(
        commands: impl Sink<Command, Error = Error> + Send + 'static,
        frames: impl Stream<Item = Result<(String, Bytes)>> + Send + 'static,
    ) -> Self {
        Self { commands: Box::pin(commands), frames: frames.boxed() }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// Opens the connections of a [`Reconnecting`](super::Reconnecting) transport.
///
/// # Contract
/// - Two connections share nothing that a flood on one of them can fill: the lanes rely on it.
/// - **Cancel safety**: the transport drops `connect` after 5 s.
#[async_trait]
pub trait Connect: fmt::Debug + Send + Sync + 'static {
    /// Opens a connection for one lane.
    ///
    /// # Errors
    /// Any kind; the transport shows the message in its status and tries again.
    async fn connect(&self, lane: Lane) -> Result<Connection>;
}
