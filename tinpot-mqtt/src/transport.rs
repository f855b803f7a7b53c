//! The transport.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use tinpot_core::transport::{Address, Channel, Lane, LaneLinks, Received};
use tinpot_core::{Link, Result, Transport, Watcher, WorkerId};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

use crate::config::MqttTransportBuilder;
use crate::connection::{ConnectionConfig, keep_connected};
use crate::lane::LaneState;
use crate::topics::Topics;

/// The time that `connect` waits; a little longer than one attempt may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(6);

/// A [`Transport`] over an MQTT 5 broker.
///
/// It has two connections, one per lane, and keeps both by itself: after an outage it is back
/// within about 5 s of the broker, with every listener in place. Dropping it ends the connections
/// at once; [`close`](Transport::close) first sends what was handed over.
///
/// ```no_run
/// use tinpot_core::{Worker, WorkerId};
/// use tinpot_mqtt::MqttTransport;
///
/// # async fn example() -> tinpot_core::Result<()> {
/// let id = WorkerId::generate("web");
/// let transport = MqttTransport::builder("mqtts://broker.example").worker(&id).connect().await?;
/// let worker = Worker::builder(transport).id(id).start().await?;
/// # worker.shutdown(std::time::Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MqttTransport {
    sender: WorkerId,
    lanes: [Arc<LaneState>; 2],
    links: Arc<LaneLinks>,
    closing: watch::Sender<bool>,
    /// The tasks that keep the lanes connected; they end with it.
    tasks: Mutex<JoinSet<()>>,
}

impl MqttTransport {
    /// Returns a builder for a transport over the broker at `url`: `mqtt://` or `tcp://`,
    /// `mqtts://` (TLS), `ws://` or `wss://` (WebSocket), with `user:password@` before the host if
    /// needed.
    pub fn builder(url: impl Into<String>) -> MqttTransportBuilder {
        MqttTransportBuilder::new(url.into())
    }

    pub(crate) async fn start(
        connection: ConnectionConfig,
        namespace: &str,
        sender: &WorkerId,
    ) -> Self {
        let links = Arc::new(LaneLinks::new());
        let lanes = Lane::ALL.map(|lane| {
            let topics = Topics::new(namespace, lane, sender);
            Arc::new(LaneState::new(lane, topics, connection.max_frame_bytes, links.clone()))
        });
        let closing = watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        for lane in &lanes {
            tasks.spawn(keep_connected(lane.clone(), connection.clone(), closing.subscribe()));
        }
        let transport =
            Self { sender: sender.clone(), lanes, links, closing, tasks: Mutex::new(tasks) };
        let mut status = transport.status();
        // Only a convenience: the first `send` of most programs then finds the link up.
        let known =
            status.wait_for(|link| !matches!(link, Link::Down { reason } if reason.is_empty()));
        let _ = tokio::time::timeout(CONNECT_PATIENCE, known).await;
        transport
    }

    fn lane(&self, lane: Lane) -> &Arc<LaneState> {
        let [control, logs] = &self.lanes;
        match lane {
            Lane::Control => control,
            Lane::Logs => logs,
        }
    }

    fn end(&self) {
        self.links.close();
        for lane in &self.lanes {
            lane.close();
        }
    }
}

impl Drop for MqttTransport {
    fn drop(&mut self) {
        self.end();
    }
}

#[async_trait]
impl Transport for MqttTransport {
    async fn send(&self, to: &Address, lane: Lane, frame: Bytes) -> Result<()> {
        Ok(self.lane(lane).send(to, frame)?)
    }

    async fn listen(&self, at: &Address, lane: Lane) -> Result<BoxStream<'static, Received>> {
        Ok(self.lane(lane).listen(at).await?.boxed())
    }

    fn speaks_for(&self) -> Channel {
        Channel::of(&Address::Worker(self.sender.clone()))
    }

    fn status(&self) -> Watcher<Link> {
        self.links.subscribe()
    }

    async fn close(&self) {
        self.end();
        self.closing.send_replace(true);
        let mut tasks = self.tasks.lock().await;
        while tasks.join_next().await.is_some() {}
    }
}
