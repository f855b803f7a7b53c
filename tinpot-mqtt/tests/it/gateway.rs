//! The gateway between mosquitto and a coordinator, with clients that know nothing of Tinpot.

mod client;
mod offers;
mod triggers;

use std::sync::Arc;

use tinpot_core::executor::{ActionSet, ScopedExecutor};
use tinpot_core::transport::JoinedTransport;
use tinpot_core::{
    Action, Caller, Coordinator, Executor, Json, Level, MemoryNetwork, Outcome, Transport, Worker,
};
use tinpot_mqtt::MqttTransport;
use tinpot_mqtt::gateway::{GatewayRule, MqttGateway, MqttGatewayBuilder};

use self::client::Client;
use crate::mosquitto::Mosquitto;
use crate::support::within;

/// A broker, a coordinator with a worker, and a gateway.
struct House {
    broker: Mosquitto,
    coordinator: Coordinator,
    worker: Worker,
    gateway: Option<MqttGateway>,
    network: MemoryNetwork,
}

const GREET: &str = r#"{"type": "object", "properties":
    {"name": {"type": "string", "default": "world"}}, "additionalProperties": false}"#;

/// Returns the parameters with the greeting `name`, after a log line.
fn actions() -> impl Executor {
    let greet = Action::new("greet").unwrap().description("Greet.");
    let greet = greet.schema(Json::parse(GREET).unwrap());
    let set = ActionSet::new([greet, Action::new("fail").unwrap(), Action::new("wait").unwrap()]);
    ScopedExecutor::new(set, |attempt, context| async move {
        context.log(Level::Info, format!("running {}", attempt.action)).await;
        match &*attempt.action {
            "fail" => Outcome::failed("the disk is full"),
            "wait" => {
                context.stopped().await;
                Outcome::Cancelled
            }
            _ => Outcome::Succeeded(attempt.parameters),
        }
    })
}

impl House {
    async fn start(set_up: impl FnOnce(MqttGatewayBuilder) -> MqttGatewayBuilder) -> Self {
        let network = MemoryNetwork::new();
        let transport: Arc<dyn Transport> = Arc::new(network.transport());
        let transport = JoinedTransport::new([transport]).unwrap();
        let coordinator = Coordinator::builder(transport).start().await.unwrap();
        let worker = Worker::builder(network.transport()).executor(actions()).name("own");
        let worker = worker.start().await.unwrap();
        within("an action", coordinator.action_available("greet")).await.unwrap();
        let broker = Mosquitto::start().await;
        let mut house = Self { broker, coordinator, worker, gateway: None, network };
        house.gateway = Some(house.gateway(set_up).await);
        house
    }

    async fn gateway(
        &self,
        set_up: impl FnOnce(MqttGatewayBuilder) -> MqttGatewayBuilder,
    ) -> MqttGateway {
        let builder = MqttGateway::builder(MqttTransport::builder(self.broker.url()));
        let builder = set_up(builder.network(self.network.clone()));
        builder.start(self.coordinator.clone()).await.unwrap()
    }

    async fn client(&self) -> Client {
        Client::connect(self.broker.port()).await
    }

    async fn end(mut self) {
        if let Some(gateway) = self.gateway.take() {
            within("the gateway ends", gateway.shutdown()).await;
        }
        self.worker.shutdown(std::time::Duration::ZERO).await;
        self.coordinator.shutdown().await;
    }
}

/// The rule of most tests.
fn home() -> GatewayRule {
    GatewayRule::new("home", Caller::new("program:home"))
}
