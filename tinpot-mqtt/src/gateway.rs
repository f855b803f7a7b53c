//! A gateway: any MQTT client runs actions, and offers its own, without a protocol of Tinpot.
//!
//! Below each prefix, with the prefix `home`:
//!
//! | topic | written by | payload |
//! | --- | --- | --- |
//! | `home/actions/{name}`, retained | the gateway, and clients that offer actions | `{description, group, parameters, trigger_topic}`; empty: removed |
//! | `home/actions/{name}/trigger` | clients | `{parameters, execution_id, result_topic, log_topic}`, all optional, or nothing |
//! | `home/exec/{id}/cancel` | clients, and the gateway for executions that clients run | nothing, or `{force}`; of the gateway, `{reason, grace}` |
//! | `home/exec/{id}/log` | the gateway, a line each | `{timestamp, level, message}` |
//! | `home/exec/{id}/result`, retained for an hour | the gateway | `{status, result, error, action, execution_id}` |
//! | `home/errors` | the gateway | refusals of triggers that name no place for an answer |
//! | `home/status`, retained | the gateway | `online` or `offline` |
//!
//! A trigger with the response topic of MQTT 5 is answered there, with its correlation data. Results
//! that are on the way while a connection breaks may be lost; the coordinator has them.

mod announcement;
mod board;
mod budget;
mod cancel;
mod devices;
mod discovery;
mod gate;
mod machine;
mod object;
mod offer;
mod outbox;
mod rule;
mod runs;
mod trigger;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tinpot_core::{Coordinator, MemoryNetwork, Result, Worker, WorkerId};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::gate::{Gate, Parts};
use self::machine::{Limits, Machine, OFFERS};
use self::rule::Topics;
pub use self::rule::{GatewayRule, Principal};
use crate::config::MqttTransportBuilder;
use crate::connection::keep_connected;
use crate::error::MqttError;

/// The rules of one gateway: each has a connection.
const RULES: usize = 64;
/// The longest time limit of an offered action.
const ACTION_TIMEOUT_MAX: Duration = Duration::from_secs(86_400);

/// Sets up an [`MqttGateway`]; made by [`MqttGateway::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before `start`"]
pub struct MqttGatewayBuilder {
    broker: MqttTransportBuilder,
    rules: Vec<GatewayRule>,
    answers: Vec<String>,
    limits: Limits,
    network: Option<MemoryNetwork>,
    home_assistant: Option<String>,
}

impl MqttGatewayBuilder {
    /// Adds a rule. Without one, no message counts.
    pub fn rule(mut self, rule: GatewayRule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Adds a prefix below which clients may ask for answers, besides the prefix of their rule.
    pub fn answers(mut self, prefix: impl Into<String>) -> Self {
        self.answers.push(prefix.into());
        self
    }

    /// Sets the number of triggers per second below each prefix; 50 by default. The burst is that of
    /// two seconds.
    pub fn triggers_per_second(mut self, number: u32) -> Self {
        self.limits.rate = number;
        self
    }

    /// Sets the size of a trigger; 1 MiB by default.
    pub fn max_trigger_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_bytes = bytes;
        self
    }

    /// Sets the time limit of actions that clients offer and that announce none; a minute by default,
    /// at most a day.
    pub fn action_timeout(mut self, time: Duration) -> Self {
        self.limits.timeout = time;
        self
    }

    /// Sets the network by which workers reach the coordinator that run the actions that clients
    /// offer: the coordinator listens there.
    pub fn network(mut self, network: MemoryNetwork) -> Self {
        self.network = Some(network);
        self
    }

    /// Announces each action as a button to Home Assistant, below its discovery prefix, which is
    /// `homeassistant` unless it is set otherwise there.
    pub fn home_assistant(mut self, discovery_prefix: impl Into<String>) -> Self {
        self.home_assistant = Some(discovery_prefix.into());
        self
    }

    /// Starts the gateway of a coordinator. Must be called within a Tokio runtime with I/O and time
    /// enabled. A broker that cannot be reached is tried again, as by a transport.
    ///
    /// # Errors
    /// `InvalidInput` for a URL, certificate, prefix or limit that can never work.
    // A future of a function that is not inlined is compiled here, and not again in each program.
    #[inline(never)]
    pub fn start(self, coordinator: Coordinator) -> BoxFuture<'static, Result<MqttGateway>> {
        Box::pin(self.serve(coordinator))
    }

    async fn serve(self, coordinator: Coordinator) -> Result<MqttGateway> {
        let Self { broker, rules, answers, limits, network, home_assistant } = self;
        let (connection, namespace, _) = broker.check()?;
        let option = |message: String| MqttError::Option(message);
        if rules.len() > RULES {
            return Err(option(format!("at most {RULES} prefixes can have rules")).into());
        }
        if limits.timeout.is_zero() || limits.timeout > ACTION_TIMEOUT_MAX {
            let message = "the time limit of actions that clients offer must be from 1 to 86400 s";
            return Err(option(message.to_owned()).into());
        }
        let prefixes = rules.iter().map(|rule| rule.prefix.clone()).collect();
        let topics = Arc::new(Topics::new(&namespace, prefixes, answers)?);
        if let Some(prefix) = &home_assistant {
            topics.check_prefix(prefix)?;
        }
        let closing = watch::Sender::new(false);
        let offering = |rule: &GatewayRule| rule.offers != tinpot_core::Names::none();
        let id = |rule: &GatewayRule| {
            let name = format!("mqtt-{}", rule.prefix.replace('/', "-"));
            offering(rule).then(|| WorkerId::generate(&name))
        };
        let ids: Arc<[_]> = rules.iter().map(id).collect();
        let (mut gates, mut workers, mut tasks) = (Vec::new(), Vec::new(), JoinSet::new());
        let disconnect = watch::Sender::new(false);
        for (index, GatewayRule { prefix, principal, offers }) in rules.into_iter().enumerate() {
            let topics = topics.clone();
            let now = Instant::now();
            let machine = Machine::new(&namespace, &prefix, topics, offers.clone(), limits, now);
            let gate = Gate::new(Parts {
                prefix,
                namespace: namespace.clone(),
                discovery: home_assistant.clone(),
                index,
                principal,
                offers,
                coordinator: coordinator.clone(),
                machine,
                workers: ids.clone(),
                closing: closing.clone(),
            });
            if let Some(id) = &ids[index] {
                let Some(network) = &network else {
                    let message = "actions that clients offer need a network to the coordinator";
                    return Err(option(message.to_owned()).into());
                };
                let worker = Worker::builder(network.transport_of_local(id))
                    .id(id.clone())
                    .name(id.name())
                    .slots(OFFERS as u32)
                    .executor(gate.devices.clone());
                workers.push(worker.start().await?);
            }
            tasks.spawn(keep_connected(gate.clone(), connection.clone(), disconnect.subscribe()));
            gates.push(tokio::spawn(gate.keep_announced()));
        }
        Ok(MqttGateway { gates, workers, tasks, closing, disconnect })
    }
}

/// A running gateway. [`shutdown`](Self::shutdown) removes its announcements; dropping it ends it at
/// once.
///
/// ```no_run
/// use tinpot_core::{Caller, Coordinator};
/// use tinpot_mqtt::MqttTransport;
/// use tinpot_mqtt::gateway::{GatewayRule, MqttGateway};
///
/// # async fn example() -> tinpot_core::Result<()> {
/// let broker = MqttTransport::builder("mqtts://broker.example").user("coordinator");
/// let coordinator = Coordinator::builder(broker.clone().connect().await?).start().await?;
/// let rule = GatewayRule::new("home", Caller::new("program:home"));
/// let gateway = MqttGateway::builder(broker).rule(rule).start(coordinator.clone()).await?;
/// # gateway.shutdown().await;
/// # coordinator.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MqttGateway {
    gates: Vec<tokio::task::JoinHandle<()>>,
    workers: Vec<Worker>,
    /// The tasks that keep the connections; they end with it.
    tasks: JoinSet<()>,
    closing: watch::Sender<bool>,
    disconnect: watch::Sender<bool>,
}

impl MqttGateway {
    /// Returns a builder for a gateway that reaches its broker as a transport does, with the same
    /// namespace.
    pub fn builder(broker: MqttTransportBuilder) -> MqttGatewayBuilder {
        let limits = Limits { rate: 50, max_bytes: 1024 * 1024, timeout: Duration::from_secs(60) };
        let (rules, answers, network, home_assistant) = Default::default();
        MqttGatewayBuilder { broker, rules, answers, limits, network, home_assistant }
    }

    /// Removes the announcements, and ends everything within a few seconds.
    pub async fn shutdown(mut self) {
        self.closing.send_replace(true);
        for worker in std::mem::take(&mut self.workers) {
            worker.shutdown(Duration::ZERO).await;
        }
        for gate in std::mem::take(&mut self.gates) {
            let _ = gate.await;
        }
        self.disconnect.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Drop for MqttGateway {
    fn drop(&mut self) {
        self.closing.send_replace(true);
        self.gates.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
