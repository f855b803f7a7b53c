//! The MQTT gateway of a coordinator.

use std::sync::Arc;

use tinpot_access::Directory;
use tinpot_core::{Caller, Coordinator, Error, ErrorKind, MemoryNetwork, Names, Result};
use tinpot_mqtt::gateway::{GatewayRule, MqttGateway, Principal};

use crate::settings::{BrokerSettings, GatewayClient, GatewaySettings};

/// A user or program of the directory, as it is known now.
#[derive(Debug)]
struct Member {
    directory: Directory,
    team: String,
    name: String,
    via: Arc<str>,
}

impl Principal for Member {
    fn caller(&self) -> Result<Caller> {
        let Self { directory, team, name, via } = self;
        directory.principal_caller(team, name, via.clone()).map_err(|rejection| {
            let message =
                format!("{name:?} in --mqtt-clients is no user or program now: {rejection}");
            Error::new(ErrorKind::Forbidden, message)
        })
    }
}

/// Returns the network by which the gateway runs the actions that clients offer; `None` if they may
/// offer none.
pub(crate) fn network(clients: &[GatewayClient]) -> Option<MemoryNetwork> {
    let offers = clients.iter().any(|client| client.offers != Names::none());
    offers.then(MemoryNetwork::new)
}

/// Starts the gateway; `None` if it is off. The broker has a user and a password if it is embedded.
///
/// # Errors
/// `InvalidInput` for settings that can never work.
pub(crate) async fn start(
    settings: &GatewaySettings,
    clients: Vec<GatewayClient>,
    broker: (&BrokerSettings, Option<(String, String)>),
    max_trigger_bytes: usize,
    directory: Option<&Directory>,
    network: Option<MemoryNetwork>,
    coordinator: &Coordinator,
) -> Result<Option<MqttGateway>> {
    if clients.is_empty() {
        return Ok(None);
    }
    let mut builder = MqttGateway::builder(broker.0.transport(None, broker.1)?)
        .triggers_per_second(settings.mqtt_rate)
        .max_trigger_bytes(max_trigger_bytes)
        .action_timeout(settings.mqtt_action_timeout);
    for GatewayClient { prefix, team, user, offers } in clients {
        let via = format!("mqtt:{prefix}");
        let rule = match (user, directory) {
            (Some(name), Some(directory)) => {
                let directory = directory.clone();
                GatewayRule::new(prefix, Member { directory, team, name, via: via.into() })
            }
            _ => GatewayRule::new(prefix, Caller::anonymous().via(via)),
        };
        builder = builder.rule(rule.offers(offers));
    }
    for prefix in settings.answers() {
        builder = builder.answers(prefix);
    }
    if let Some(prefix) = settings.home_assistant() {
        builder = builder.home_assistant(prefix);
    }
    if let Some(network) = network {
        builder = builder.network(network);
    }
    let gateway = builder.start(coordinator.clone()).await;
    gateway.map(Some).map_err(|error| error.with_context("the MQTT gateway does not start"))
}
