//! The broker of a scene, and the coordinator's end of it.

use std::fmt;

use futures::stream::BoxStream;
use tempfile::TempDir;
use tinpot_core::Transport;
use tinpot_core::transport::{Address, Lane, Received};
use tinpot_mqtt::MqttTransport;
use tinpot_mqtt::broker::Broker;

use crate::gate::Gate;
use crate::miss::{Miss, Play};

/// A broker on this machine, for one worker.
pub(crate) struct Place {
    /// Ends with the place.
    _broker: Broker,
    pub(crate) gate: Gate,
    pub(crate) transport: MqttTransport,
    pub(crate) control: BoxStream<'static, Received>,
    pub(crate) logs: BoxStream<'static, Received>,
    pub(crate) joins: BoxStream<'static, Received>,
    /// The working directory of the worker.
    pub(crate) folder: TempDir,
}

impl Place {
    pub(crate) async fn open() -> Play<Self> {
        let broker = Broker::builder().start().await;
        let broker = broker.map_err(|error| Miss::broken("the broker of the suite", error))?;
        let failed = |error: std::io::Error| Miss::broken("a port of this machine", error);
        let gate = Gate::open(broker.address()).await.map_err(failed)?;
        let link = |error| Miss::broken("the connection of the suite to its broker", error);
        let transport = MqttTransport::builder(broker.url()).connect().await.map_err(link)?;
        let mut status = transport.status();
        status.wait_for(tinpot_core::Link::is_up).await.map_err(link)?;
        let control = transport.listen(&Address::Coordinator, Lane::Control).await.map_err(link)?;
        let logs = transport.listen(&Address::Coordinator, Lane::Logs).await.map_err(link)?;
        let joins = transport.listen(&Address::Joins, Lane::Control).await.map_err(link)?;
        let folder = tempfile::Builder::new().prefix("tinpot-conformance-").tempdir();
        let folder = folder.map_err(|error| Miss::broken("a temporary directory", error))?;
        Ok(Self { _broker: broker, gate, transport, control, logs, joins, folder })
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("gate", &self.gate).finish_non_exhaustive()
    }
}
