//! The way out of a gateway: messages, over whatever connection there is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnAck, PublishProperties};
use tokio::sync::{Semaphore, watch};

use crate::lane::{Budgeted, SMALL_FRAME_BYTES};

/// The longest wait of a message for a connection.
const PATIENCE: Duration = Duration::from_secs(120);
/// The bytes of large messages that may wait for the socket at one time.
const WAITING_BYTES: usize = 32 * 1024 * 1024;
/// The overhead of MQTT besides topic, properties and payload.
const OVERHEAD_BYTES: usize = 64;

/// A message to publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    /// If true, the broker keeps it.
    pub(crate) retain: bool,
    /// If true, the broker acknowledges it.
    pub(crate) acknowledged: bool,
    /// The time for which the broker keeps it.
    pub(crate) expires_in: Option<Duration>,
    pub(crate) response_topic: Option<String>,
    pub(crate) correlation: Option<Bytes>,
}

impl Message {
    pub(crate) fn new(topic: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self { topic: topic.into(), payload: payload.into(), ..Self::default() }
    }

    /// Lets the broker keep it, and acknowledge it.
    pub(crate) fn retained(mut self) -> Self {
        (self.retain, self.acknowledged) = (true, true);
        self
    }

    /// Lets the broker acknowledge it.
    pub(crate) fn acknowledged(mut self) -> Self {
        self.acknowledged = true;
        self
    }

    fn bytes(&self) -> usize {
        let texts = [&self.response_topic].map(|text| text.as_ref().map_or(0, String::len));
        let correlation = self.correlation.as_ref().map_or(0, Bytes::len);
        OVERHEAD_BYTES + self.topic.len() + self.payload.len() + texts[0] + correlation
    }

    fn properties(&self) -> PublishProperties {
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        PublishProperties {
            message_expiry_interval: self.expires_in.map(seconds),
            response_topic: self.response_topic.clone(),
            correlation_data: self.correlation.clone(),
            ..PublishProperties::default()
        }
    }
}

/// A connection that is up.
#[derive(Clone, Debug)]
pub(crate) struct Exit {
    client: AsyncClient,
    /// The number of the connection, from 1.
    pub(crate) number: u64,
    max_packet_bytes: usize,
    retains: bool,
    acknowledges: bool,
}

impl Exit {
    fn qos(&self, message: &Message) -> QoS {
        match message.acknowledged && self.acknowledges {
            true => QoS::AtLeastOnce,
            false => QoS::AtMostOnce,
        }
    }

    fn check(&self, message: &Message) -> Result<(), Unsent> {
        let (bytes, limit) = (message.bytes(), self.max_packet_bytes);
        if bytes > limit { Err(Unsent::TooLarge { bytes, limit }) } else { Ok(()) }
    }
}

/// A reason why a message is not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsent {
    #[error("it has {bytes} bytes, and the broker takes {limit}")]
    TooLarge { bytes: usize, limit: usize },
    #[error("there was no link to the broker for {} s", PATIENCE.as_secs())]
    Down,
    #[error("too many messages wait to be sent")]
    Full,
}

/// Sends messages over whatever connection there is.
#[derive(Debug)]
pub(crate) struct Outbox {
    exit: watch::Sender<Option<Exit>>,
    connections: AtomicU64,
    large_messages: Arc<Semaphore>,
}

impl Default for Outbox {
    fn default() -> Self {
        let large_messages = Arc::new(Semaphore::new(WAITING_BYTES));
        Self { exit: watch::Sender::new(None), connections: 0.into(), large_messages }
    }
}

impl Outbox {
    /// Takes a connection whose subscriptions are confirmed.
    pub(crate) fn up(&self, client: &AsyncClient, connack: &ConnAck) {
        let said = connack.properties.as_ref();
        let max_packet_bytes = said.and_then(|all| all.max_packet_size);
        let retains = said.and_then(|all| all.retain_available) != Some(0);
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        if !retains {
            tracing::warn!(
                "the broker keeps no retained messages: clients that connect later do not learn of \
                 actions"
            );
        }
        self.exit.send_replace(Some(Exit {
            client: client.clone(),
            number,
            max_packet_bytes: max_packet_bytes.map_or(usize::MAX, |max| max as usize),
            retains,
            acknowledges: said.and_then(|all| all.max_qos) != Some(0),
        }));
    }

    /// Takes the end of the connection.
    pub(crate) fn down(&self) {
        self.exit.send_replace(None);
    }

    /// Watches the connection.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Exit>> {
        self.exit.subscribe()
    }

    /// Hands a message over at once, or not at all.
    pub(crate) fn try_publish(&self, message: Message) -> Result<(), Unsent> {
        let exit = self.exit.borrow().clone().ok_or(Unsent::Down)?;
        exit.check(&message)?;
        let (qos, properties) = (exit.qos(&message), message.properties());
        let retain = message.retain && exit.retains;
        exit.client
            .try_publish_with_properties(message.topic, qos, retain, message.payload, properties)
            .map_err(|_| Unsent::Full)
    }

    /// Hands a message over. Waits while there is no connection, and while many messages wait.
    pub(crate) async fn publish(&self, message: Message) -> Result<(), Unsent> {
        tokio::time::timeout(PATIENCE, self.hand_over(message)).await.unwrap_or(Err(Unsent::Down))
    }

    async fn hand_over(&self, mut message: Message) -> Result<(), Unsent> {
        if message.payload.len() > SMALL_FRAME_BYTES {
            let share = u32::try_from(message.payload.len().min(WAITING_BYTES)).unwrap_or(u32::MAX);
            let share = self.large_messages.clone().acquire_many_owned(share).await;
            let (frame, _share) = (message.payload, share.map_err(|_| Unsent::Down)?);
            message.payload = Bytes::from_owner(Budgeted { frame, _share });
        }
        let mut exits = self.exit.subscribe();
        loop {
            let exit = match exits.wait_for(Option::is_some).await {
                Ok(exit) => exit.clone(),
                Err(_) => return Err(Unsent::Down),
            };
            let Some(exit) = exit else { continue };
            exit.check(&message)?;
            let Message { topic, payload, .. } = message.clone();
            let (qos, retain) = (exit.qos(&message), message.retain && exit.retains);
            let sent = exit.client.publish_with_properties(
                topic,
                qos,
                retain,
                payload,
                message.properties(),
            );
            tokio::select! {
                sent = sent => match sent {
                    Ok(()) => return Ok(()),
                    // The connection has ended meanwhile.
                    Err(_) => {
                        let number = exit.number;
                        let other = |now: &Option<Exit>| {
                            now.as_ref().is_some_and(|now| now.number != number)
                        };
                        if exits.wait_for(other).await.is_err() {
                            return Err(Unsent::Down);
                        }
                    }
                },
                changed = exits.changed() => if changed.is_err() {
                    return Err(Unsent::Down);
                },
            }
        }
    }
}
