//! The end of a worker.

mod connect;
mod upload;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use tinpot_core::transport::{Address, Channel, Lane, Received, Reconnecting};
use tinpot_core::{Link, Result, Transport, Watcher};

use self::connect::ZmqConnect;
use crate::address::ZmqAddress;

/// The namespace of [`Reconnecting`]: the beginning of its topics, which the wire leaves out.
const NAMESPACE: &str = "zmq";

/// A [`Transport`] of a worker that reaches its coordinator by ZeroMQ.
///
/// It has one DEALER socket per lane, reconnects by itself, and bounds what waits as
/// [`Reconnecting`] does. A link whose peer has vanished shows as `Down` within 20 s. Dropping it
/// ends the connections at once; [`close`](Transport::close) first sends what was handed over.
///
/// ```no_run
/// use tinpot_core::{Worker, WorkerId};
/// use tinpot_zmq::ZmqTransport;
///
/// # async fn example() -> tinpot_core::Result<()> {
/// let transport = ZmqTransport::builder("zmq+ipc:///run/tinpot/zmq".parse()?).connect().await?;
/// let worker = Worker::builder(transport).id(WorkerId::generate("web")).start().await?;
/// # worker.shutdown(std::time::Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ZmqTransport {
    link: Reconnecting<ZmqConnect>,
}

/// Sets up a [`ZmqTransport`]; made by [`ZmqTransport::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing before `connect`"]
pub struct ZmqTransportBuilder {
    address: ZmqAddress,
    heartbeat: Duration,
    max_frame_bytes: usize,
}

impl ZmqTransport {
    /// Returns a builder for a transport to the coordinator at this address.
    pub fn builder(address: ZmqAddress) -> ZmqTransportBuilder {
        ZmqTransportBuilder {
            address,
            heartbeat: Duration::from_secs(10),
            max_frame_bytes: 16 * 1024 * 1024,
        }
    }
}

impl ZmqTransportBuilder {
    /// Sets the interval at which a connection is checked; 10 s by default, which is also the
    /// longest that servers expect, and at least 100 ms.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval;
        self
    }

    /// Sets the size of the largest frame, in bytes; 16 MiB by default, from 4 MiB to 64 MiB.
    pub fn max_frame_bytes(mut self, bytes: usize) -> Self {
        self.max_frame_bytes = bytes;
        self
    }

    /// Starts to connect, and waits until the link is up or the first attempt has failed, for at
    /// most 6 s.
    ///
    /// A failed attempt is no error: the transport goes on trying, and its
    /// [`status`](Transport::status) says why it is down. Must be called within a Tokio runtime
    /// with time and I/O enabled.
    ///
    /// # Errors
    /// `InvalidInput` for a heartbeat or a size out of bounds.
    pub async fn connect(self) -> Result<ZmqTransport> {
        let connect = ZmqConnect::new(self.address, self.max_frame_bytes)?;
        let link = Reconnecting::builder(connect)
            .namespace(NAMESPACE)
            .heartbeat(self.heartbeat)
            .max_frame_bytes(self.max_frame_bytes);
        Ok(ZmqTransport { link: link.connect().await? })
    }
}

#[async_trait]
impl Transport for ZmqTransport {
    async fn send(&self, to: &Address, lane: Lane, frame: Bytes) -> Result<()> {
        self.link.send(to, lane, frame).await
    }

    async fn listen(&self, at: &Address, lane: Lane) -> Result<BoxStream<'static, Received>> {
        self.link.listen(at, lane).await
    }

    fn speaks_for(&self) -> Channel {
        Channel::Unknown
    }

    fn status(&self) -> Watcher<Link> {
        self.link.status()
    }

    async fn close(&self) {
        self.link.close().await;
    }
}
