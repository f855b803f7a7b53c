//! The messages below one prefix, between the broker and the coordinator.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Filter, LastWill, Publish, RetainForwardRule, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, MqttOptions};
use tinpot_core::{Caller, Coordinator, ExecutionId, Names, Scoped, Sight, WorkerId};
use tokio::sync::{Notify, Semaphore, watch};

use super::announcement::{announcement, is_level};
use super::board::{Board, Payloads};
use super::devices::Devices;
use super::discovery;
use super::machine::{Effect, Machine};
use super::outbox::{Message, Outbox};
use super::rule::{ONLINE, Principal, action_topic, cancel_topic, status_topic};
use super::trigger::Incoming;
use crate::connection::Endpoint;
use crate::listeners::Refusal;

/// Executions whose logs and results are passed on at one time.
const FOLLOWED: usize = 1000;
/// Requests to cancel that are under way at one time.
const CANCELLED: usize = 100;
/// Messages that the broker may send before they are acknowledged.
const RECEIVE_MAXIMUM: u16 = 64;
/// The actions that are announced below one prefix.
const ANNOUNCED: usize = 2000;
/// The interval at which the principal is looked up again.
const TURN: Duration = Duration::from_secs(1);
/// The shortest time between two looks at announcements, so that many changes cost one.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest wait for the last messages at the end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The workers of all gates, in the order of the rules.
pub(crate) type Workers = Arc<[Option<WorkerId>]>;

/// An execution whose result is passed on.
pub(super) struct Followed {
    pub(super) action: String,
    /// The execution, once it is submitted.
    pub(super) execution: watch::Receiver<Option<ExecutionId>>,
}

/// One prefix.
pub(crate) struct Gate {
    pub(super) prefix: String,
    namespace: String,
    /// The topic below which Home Assistant discovers buttons.
    discovery: Option<String>,
    name: String,
    /// The index of the rule.
    pub(super) index: usize,
    principal: Arc<dyn Principal>,
    pub(super) offers: Names,
    pub(super) coordinator: Coordinator,
    pub(super) machine: Mutex<Machine>,
    board: tokio::sync::Mutex<Board>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) devices: Arc<Devices>,
    workers: Workers,
    connack: Mutex<Option<ConnAck>>,
    refresh: Notify,
    pub(super) followed: Arc<Semaphore>,
    /// The executions whose results are passed on, by the ids in their topics.
    pub(super) following: Mutex<HashMap<String, Followed>>,
    pub(super) cancelled: Arc<Semaphore>,
    pub(super) closing: watch::Sender<bool>,
    this: std::sync::Weak<Gate>,
}

/// The parts of a gate.
pub(crate) struct Parts {
    pub(crate) prefix: String,
    pub(crate) namespace: String,
    pub(crate) discovery: Option<String>,
    pub(crate) index: usize,
    pub(crate) principal: Arc<dyn Principal>,
    pub(crate) offers: Names,
    pub(crate) coordinator: Coordinator,
    pub(crate) machine: Machine,
    pub(crate) workers: Workers,
    pub(crate) closing: watch::Sender<bool>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gate {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let Parts { prefix, namespace, discovery, index, principal, offers, .. } = parts;
        let Parts { coordinator, machine, workers, closing, .. } = parts;
        let node = discovery.as_deref().map(|discovery| discovery::node(discovery, &prefix));
        let outbox = Arc::new(Outbox::default());
        Arc::new_cyclic(|this| Self {
            name: format!("gateway-{}", prefix.replace('/', "-")),
            index,
            principal,
            offers,
            coordinator,
            machine: Mutex::new(machine.buttons(node)),
            board: Board::default().into(),
            devices: Arc::new(Devices::new(&prefix, outbox.clone())),
            outbox,
            workers,
            connack: Mutex::default(),
            refresh: Notify::new(),
            followed: Arc::new(Semaphore::new(FOLLOWED)),
            following: Mutex::default(),
            cancelled: Arc::new(Semaphore::new(CANCELLED)),
            closing,
            this: this.clone(),
            namespace,
            discovery,
            prefix,
        })
    }

    /// Returns the coordinator as the principal may use it now.
    pub(super) fn scoped(&self) -> tinpot_core::Result<Scoped> {
        Ok(self.coordinator.scoped(self.principal.caller()?))
    }

    /// Returns true if clients may offer actions.
    pub(crate) fn takes_offers(&self) -> bool {
        self.offers != Names::none()
    }

    pub(super) fn perform(&self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Run(trigger) => self.run(*trigger),
                Effect::Cancel(cancel) => {
                    if let Some(gate) = self.this.upgrade() {
                        gate.start_cancel(*cancel);
                    }
                }
                Effect::Publish(message) => {
                    if let Err(why) = self.outbox.try_publish(message) {
                        tracing::debug!(prefix = self.prefix, %why, "an answer is not sent");
                    }
                }
                Effect::Refresh => self.refresh.notify_one(),
                Effect::Result { id, payload } => self.devices.result(&id, payload),
                Effect::Line { id, payload } => self.devices.line(&id, payload),
                Effect::Warn(text) => tracing::warn!("{text}"),
            }
        }
    }

    fn run(&self, trigger: super::trigger::Trigger) {
        let Some(gate) = self.this.upgrade() else { return };
        gate.start(trigger);
    }

    /// Keeps the announcements, and the offers of clients, up to date until the gateway closes.
    pub(crate) async fn keep_announced(self: Arc<Self>) {
        let mut closing = self.closing.subscribe();
        let mut exits = self.outbox.watch();
        let mut catalogue = self.coordinator.watch_catalogue();
        let mut turns = tokio::time::interval(TURN);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut known: (u64, Option<Caller>) = (0, None);
        let mut sight: Option<Sight> = None;
        let mut said: Option<String> = None;
        let mut is_stale = true;
        loop {
            let caller = self.principal.caller();
            let number = exits.borrow_and_update().as_ref().map(|exit| exit.number);
            if let Err(error) = &caller
                && said.as_deref() != Some(&error.to_string())
            {
                tracing::warn!("no client may run actions below {}/ now: {error}", self.prefix);
            }
            said = caller.as_ref().err().map(ToString::to_string);
            let caller = caller.ok();
            if known.1 != caller {
                is_stale = true;
                sight = caller.clone().map(|caller| self.coordinator.scoped(caller).sight());
                if let Some(sight) = &mut sight {
                    // The first call returns at once.
                    sight.changed().await;
                }
                known.1 = caller.clone();
            }
            if let Some(number) = number {
                let mut board = self.board.lock().await;
                if known.0 != number {
                    board.connected();
                    is_stale = true;
                }
                if is_stale {
                    tokio::select! {
                        () = self.announce(&mut board, caller.as_ref()) => {}
                        _ = closing.wait_for(|closing| *closing) => break,
                    }
                    known.0 = number;
                    is_stale = false;
                }
            }
            if self.takes_offers() {
                self.offer().await;
            }
            let changed = async {
                match &mut sight {
                    Some(sight) => sight.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = closing.wait_for(|closing| *closing) => break,
                changed = exits.changed() => if changed.is_err() { break },
                entry = catalogue.next() => match entry {
                    Some(_) => is_stale = true,
                    None => break,
                },
                () = changed => is_stale = true,
                () = self.refresh.notified() => is_stale = true,
                _ = turns.tick() => {}
            }
            tokio::time::sleep(PAUSE).await;
        }
        let status = status_topic(&self.prefix);
        let mut last = self.board.lock().await.clear();
        last.retain(|message| message.topic != status);
        last.push(Message::new(status, "offline").retained());
        let _ = tokio::time::timeout(LAST_WORDS, self.publish_all(last)).await;
    }

    async fn announce(&self, board: &mut Board, caller: Option<&Caller>) {
        let (found, mut offered) = {
            let mut machine = lock(&self.machine);
            let theirs = machine.offers().keys().filter(|name| !machine.is_taken(name));
            let offered: BTreeSet<String> = theirs.cloned().collect();
            (machine.take_found(), offered)
        };
        // After a new connection, the broker may not have sent the offers again yet.
        if let Some(own) = self.workers.get(self.index).and_then(Option::as_ref)
            && let Ok(workers) = self.coordinator.workers().await
        {
            let own = workers.into_iter().filter(|worker| worker.id == *own);
            offered.extend(own.flat_map(|worker| worker.actions).map(|name| name.to_string()));
        }
        let mut wanted = match caller {
            Some(caller) => self.wanted(caller, &offered),
            None => Payloads::new(),
        };
        wanted.insert(status_topic(&self.prefix), ONLINE.into());
        self.publish_all(board.update(&wanted, found, Instant::now())).await;
    }

    /// Returns the retained messages for the actions that the caller may see.
    fn wanted(&self, caller: &Caller, offered: &BTreeSet<String>) -> Payloads {
        let mut wanted = Payloads::new();
        let catalogue = self.coordinator.scoped(caller.clone()).catalogue();
        // What clients offer here, they announce themselves.
        let theirs = |name: &str| offered.contains(name);
        let actions = catalogue
            .iter()
            .filter(|(name, entry)| entry.available && is_level(name) && !theirs(name))
            .take(ANNOUNCED);
        for (name, entry) in actions {
            let payload = announcement(&self.namespace, &self.prefix, &entry.action);
            wanted.insert(action_topic(&self.prefix, name), payload.into());
            let discovery = self.discovery.as_deref();
            let button =
                discovery.and_then(|at| discovery::button(at, &self.prefix, &entry.action));
            wanted.extend(button.map(|(topic, payload)| (topic, payload.into())));
        }
        wanted
    }

    async fn publish_all(&self, messages: Vec<Message>) {
        for message in messages {
            let topic = message.topic.clone();
            if let Err(why) = self.outbox.publish(message).await {
                tracing::warn!(topic, %why, "an announcement is not sent");
            }
        }
    }

    /// Offers the actions that clients have announced, besides those that others have.
    async fn offer(&self) {
        let offers = lock(&self.machine).offers().clone();
        let (mut taken, mut refused) = (BTreeSet::new(), BTreeMap::new());
        if !offers.is_empty() {
            let Ok(workers) = self.coordinator.workers().await else { return };
            for worker in workers {
                let gate = self.workers.iter().position(|id| id.as_ref() == Some(&worker.id));
                // Of two gates, that of the first rule has the name.
                if gate.is_none_or(|gate| gate < self.index) {
                    taken.extend(worker.actions);
                }
            }
        }
        let (offers, rest): (BTreeMap<_, _>, BTreeMap<_, _>) =
            offers.into_iter().partition(|(name, _)| !taken.contains(&**name));
        if lock(&self.machine).set_taken(rest.keys().cloned().collect()) {
            self.refresh.notify_one();
        }
        for name in rest.into_keys() {
            let why = "another worker offers an action with this name: rename one of them";
            refused.insert(name, why.to_owned());
        }
        self.devices.offer(offers, refused);
    }
}

impl Endpoint for Gate {
    fn name(&self) -> &str {
        &self.name
    }

    fn set_up(&self, options: &mut MqttOptions) {
        let topic = status_topic(&self.prefix);
        options
            // Some brokers take no other quality of service, and the next connection replaces it.
            .set_last_will(LastWill::new(topic, "offline", QoS::AtMostOnce, true, None))
            .set_receive_maximum(Some(RECEIVE_MAXIMUM));
    }

    fn connected(&self, client: &AsyncClient, connack: &ConnAck) {
        *lock(&self.connack) = Some(connack.clone());
        lock(&self.machine).connected();
        let filter = |topic: String, retained: RetainForwardRule| Filter {
            nolocal: true,
            retain_forward_rule: retained,
            ..Filter::new(topic, QoS::AtLeastOnce)
        };
        let prefix = &self.prefix;
        let mut filters = vec![
            filter(format!("{prefix}/actions/+"), RetainForwardRule::OnEverySubscribe),
            filter(format!("{prefix}/actions/+/trigger"), RetainForwardRule::OnEverySubscribe),
            filter(status_topic(prefix), RetainForwardRule::Never),
            filter(cancel_topic(prefix, "+"), RetainForwardRule::OnEverySubscribe),
        ];
        if self.takes_offers() {
            filters.push(filter(format!("{prefix}/exec/+/result"), RetainForwardRule::Never));
            filters.push(filter(format!("{prefix}/exec/+/log"), RetainForwardRule::Never));
        }
        if let Some(discovery) = &self.discovery {
            let buttons = format!("{}/+/config", discovery::node(discovery, prefix));
            filters.push(filter(buttons, RetainForwardRule::OnEverySubscribe));
        }
        if let Err(error) = client.try_subscribe_many(filters) {
            // The queue of a new connection is empty.
            tracing::error!(%error, "the gateway cannot subscribe");
        }
    }

    fn subscribed(
        &self,
        client: &AsyncClient,
        _max_packet_bytes: Option<u32>,
        codes: &[SubscribeReasonCode],
    ) -> Option<Refusal> {
        let is_refused =
            |code: &&SubscribeReasonCode| !matches!(code, SubscribeReasonCode::Success(_));
        if let Some(code) = codes.iter().find(is_refused) {
            let filter = format!("{}/actions/+", self.prefix);
            return Some(Refusal { filter, why: format!("{code:?}") });
        }
        if let Some(connack) = lock(&self.connack).take() {
            self.outbox.up(client, &connack);
            self.devices.connected(true);
        }
        None
    }

    fn receive(&self, publish: Publish) {
        let Ok(topic) = std::str::from_utf8(&publish.topic) else { return };
        let properties = publish.properties.as_ref();
        let message = Incoming {
            topic,
            payload: &publish.payload,
            retained: publish.retain,
            duplicate: publish.dup,
            response_topic: properties.and_then(|all| all.response_topic.as_deref()),
            correlation: properties.and_then(|all| all.correlation_data.as_deref()),
        };
        let effects = lock(&self.machine).receive(Instant::now(), &message);
        self.perform(effects);
    }

    fn has_room(&self) {}

    fn disconnected(&self, _reason: String) {
        self.outbox.down();
        self.devices.connected(false);
    }
}
