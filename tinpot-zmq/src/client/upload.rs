//! The way up: commands gather until they are flushed, and leave as one message.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Sink;
use futures::future::BoxFuture;
use omq_tokio::{Socket, TrySendError};
use tinpot_core::transport::Command;
use tinpot_core::{Error, Result};

use crate::error::{reason, unavailable};
use crate::record::{Batch, Kind, head};

/// The sink of the commands of one lane.
pub(super) struct Upload {
    socket: Socket,
    /// The beginning of the topics of the commands.
    prefix: String,
    batch: Batch,
    /// A record for which the batch had no room.
    next: Option<(Bytes, Bytes)>,
    /// A message for which the socket has no room yet.
    sending: Option<BoxFuture<'static, omq_tokio::Result<()>>>,
}

impl Upload {
    pub(super) fn new(socket: Socket, prefix: String) -> Self {
        Self { socket, prefix, batch: Batch::default(), next: None, sending: None }
    }

    /// Sends what has gathered, up to a record that waits for room if `all` is false.
    fn poll_send(&mut self, cx: &mut Context<'_>, all: bool) -> Poll<Result<()>> {
        loop {
            if let Some(sending) = &mut self.sending {
                let sent = ready!(sending.as_mut().poll(cx));
                self.sending = None;
                sent.map_err(|error| unavailable(reason(&error)))?;
            }
            let is_full = self.next.is_some();
            if self.batch.is_empty() || (!is_full && !all) {
                return Poll::Ready(Ok(()));
            }
            match self.socket.try_send(self.batch.take()) {
                Ok(()) => {}
                Err(TrySendError::Full(message)) => {
                    let socket = self.socket.clone();
                    self.sending = Some(Box::pin(async move { socket.send(message).await }));
                }
                Err(TrySendError::Closed) => {
                    return Poll::Ready(Err(unavailable("the socket is closed")));
                }
                Err(TrySendError::Error(error)) => {
                    return Poll::Ready(Err(unavailable(reason(&error))));
                }
            }
            if let Some((head, frame)) = self.next.take() {
                self.batch.push(head, frame);
            }
        }
    }
}

impl Sink<Command> for Upload {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_send(cx, false)
    }

    fn start_send(mut self: Pin<&mut Self>, command: Command) -> Result<()> {
        let (kind, topic, frame) = match command {
            Command::Publish { topic, frame } => (Kind::Frame, topic, frame),
            Command::Subscribe { topic } => (Kind::Subscribe, topic, Bytes::new()),
            Command::Unsubscribe { topic } => (Kind::Unsubscribe, topic, Bytes::new()),
        };
        let head = head(kind, topic.strip_prefix(&self.prefix).unwrap_or(&topic));
        if self.batch.has_room(head.len() + frame.len()) {
            self.batch.push(head, frame);
        } else {
            self.next = Some((head, frame));
        }
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        // What is flushed is on its way. The transport knows that it has arrived by its echo.
        self.poll_send(cx, true)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_flush(cx)
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
