//! The conformance suite on both brokers.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use tinpot_core::Transport;
use tinpot_core::testing::transport::{Faults, Network};
use tinpot_core::transport::Address;
use tinpot_mqtt::broker::Broker;
use tinpot_mqtt::{MqttTransport, MqttTransportBuilder};
use tokio::sync::Mutex;

use crate::mosquitto::Mosquitto;
use crate::support::participant;

/// A broker that can be taken away and brought back.
#[derive(Debug)]
struct WithBroker<B> {
    broker: B,
    connect: MqttTransportBuilder,
}

#[async_trait]
impl<B> Network for WithBroker<B>
where
    B: std::fmt::Debug + Send + Sync + 'static,
    Self: Faults,
{
    async fn join(&self, who: &Address) -> Arc<dyn Transport> {
        Arc::new(participant(&self.connect, who).connect().await.unwrap())
    }

    async fn join_elsewhere(&self, who: &Address) -> Arc<dyn Transport> {
        // One namespace within another: the closest that two can be.
        let elsewhere = participant(&self.connect, who).namespace("tinpot/worker");
        Arc::new(elsewhere.connect().await.unwrap())
    }

    fn faults(&self) -> Option<&dyn Faults> {
        Some(self)
    }
}

#[async_trait]
impl Faults for WithBroker<Mosquitto> {
    async fn cut(&self) {
        self.broker.kill();
    }

    async fn restore(&self) {
        self.broker.restart().await;
    }
}

/// The embedded broker at one address; `None` while it is away.
#[derive(Debug)]
struct Embedded {
    address: SocketAddr,
    broker: Mutex<Option<Broker>>,
}

#[async_trait]
impl Faults for WithBroker<Embedded> {
    async fn cut(&self) {
        if let Some(broker) = self.broker.broker.lock().await.take() {
            broker.shutdown().await;
        }
    }

    async fn restore(&self) {
        let again = Broker::builder().bind(self.broker.address).start().await.unwrap();
        *self.broker.broker.lock().await = Some(again);
    }
}

mod on_mosquitto {
    use super::{Mosquitto, MqttTransport, WithBroker};

    async fn network() -> WithBroker<Mosquitto> {
        let broker = Mosquitto::start().await;
        let connect = MqttTransport::builder(broker.url());
        WithBroker { broker, connect }
    }

    tinpot_core::transport_conformance!(network);
}

mod on_the_embedded_broker {
    use super::{Broker, Embedded, MqttTransport, Mutex, WithBroker};

    async fn network() -> WithBroker<Embedded> {
        let broker = Broker::builder().start().await.unwrap();
        let connect = MqttTransport::builder(broker.url());
        let address = broker.address();
        WithBroker { broker: Embedded { address, broker: Mutex::new(Some(broker)) }, connect }
    }

    tinpot_core::transport_conformance!(network);
}
