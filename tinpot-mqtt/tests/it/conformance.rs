//! The conformance suite on every broker and every kind of connection.

use std::sync::Arc;

use async_trait::async_trait;
use tinpot_core::testing::transport::{Faults, Network};
use tinpot_core::{Address, Transport};
use tinpot_mqtt::MqttTransportBuilder;

use crate::mosquitto::Mosquitto;

/// With the identity that a participant of a real system has.
pub(crate) fn as_participant(builder: MqttTransportBuilder, who: &Address) -> MqttTransportBuilder {
    match who {
        Address::Worker(id) => builder.worker(id),
        Address::Coordinator | Address::AllWorkers => builder,
    }
}

#[derive(Debug)]
struct OnMosquitto {
    broker: Mosquitto,
    connect: MqttTransportBuilder,
}

#[async_trait]
impl Network for OnMosquitto {
    async fn join(&self, who: &Address) -> Arc<dyn Transport> {
        Arc::new(as_participant(self.connect.clone(), who).connect().await.unwrap())
    }

    async fn join_elsewhere(&self, who: &Address) -> Arc<dyn Transport> {
        let elsewhere = self.connect.clone().namespace("tinpot/worker");
        Arc::new(as_participant(elsewhere, who).connect().await.unwrap())
    }

    fn faults(&self) -> Option<&dyn Faults> {
        Some(self)
    }
}

#[async_trait]
impl Faults for OnMosquitto {
    async fn cut(&self) {
        self.broker.kill();
    }

    async fn restore(&self) {
        self.broker.restart().await;
    }
}

mod on_mosquitto {
    use tinpot_mqtt::MqttTransport;

    use super::{Mosquitto, OnMosquitto};

    async fn network() -> OnMosquitto {
        let broker = Mosquitto::start().await;
        let connect = MqttTransport::builder(broker.url());
        OnMosquitto { broker, connect }
    }

    tinpot_core::transport_conformance!(network);
}
