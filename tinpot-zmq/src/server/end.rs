//! The coordinator's end of a server.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use tinpot_core::transport::{Address, Channel, Lane, Received};
use tinpot_core::{Error, ErrorKind, Link, Result, Transport, Watcher};
use tokio::sync::watch;

use super::hub::Hub;
use super::topic::Topic;
use crate::error::invalid;

/// The coordinator's end of a server; see [`ZmqServer::transport`](super::ZmqServer::transport).
///
/// It is in the process of the server, so its link is up until it is closed.
#[derive(Debug)]
pub struct ServerEnd {
    hub: Arc<Hub>,
    link: watch::Sender<Link>,
}

impl ServerEnd {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        hub.opened_end();
        Self { hub, link: watch::Sender::new(Link::Up) }
    }

    fn check(&self, address: &Address) -> Result<()> {
        if *self.link.borrow() == Link::Closed {
            return Err(Error::new(ErrorKind::Closed, "the link is closed"));
        }
        if Topic::of(address).is_none() {
            return Err(invalid(format!("there is no {address} on a link over ZeroMQ")));
        }
        Ok(())
    }

    /// Closes this end. Returns true if it was the last open one.
    fn end(&self) -> bool {
        let closes = self.link.send_if_modified(|link| {
            let closes = *link != Link::Closed;
            *link = Link::Closed;
            closes
        });
        closes && self.hub.closed_end()
    }
}

impl Drop for ServerEnd {
    fn drop(&mut self) {
        self.end();
    }
}

#[async_trait]
impl Transport for ServerEnd {
    async fn send(&self, to: &Address, lane: Lane, frame: Bytes) -> Result<()> {
        self.check(to)?;
        let (bytes, max) = (frame.len(), self.hub.settings.max_frame_bytes);
        if bytes > max {
            return Err(invalid(format!("frame must be at most {max} bytes (got {bytes})")));
        }
        let found_room = self.hub.publish(lane, &Channel::Coordinator, to, &frame);
        if !found_room && *to != Address::AllWorkers {
            let message = format!("{to} does not read its frames");
            return Err(Error::new(ErrorKind::Overloaded, message));
        }
        Ok(())
    }

    async fn listen(&self, at: &Address, lane: Lane) -> Result<BoxStream<'static, Received>> {
        self.check(at)?;
        let mut link = self.link.subscribe();
        let closed = async move {
            let _ = link.wait_for(|link| *link == Link::Closed).await;
        };
        Ok(self.hub.listen(at, lane).take_until(Box::pin(closed)).boxed())
    }

    fn speaks_for(&self) -> Channel {
        Channel::Coordinator
    }

    fn status(&self) -> Watcher<Link> {
        self.link.subscribe().into()
    }

    async fn close(&self) {
        if self.end() {
            self.hub.ended().await;
        }
    }
}
