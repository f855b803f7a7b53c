//! The task of a server: it takes messages from the socket, and sends what waits for clients.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use omq_tokio::{ConnectionStatus, Identity, IdentitySocket, Message};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::hub::{Hub, Phase};
use super::session::Session;
use crate::record;

/// The time that closing gives frames that wait.
const DRAIN: Duration = Duration::from_secs(1);
/// The interval at which connections that have ended, or whose clients are silent, are found.
const CHECK: Duration = Duration::from_millis(250);
/// Messages that are taken before other tasks may run.
const MESSAGES: usize = 64;
/// Messages of a client that has been refused before its connection is closed.
const REFUSALS: u32 = 8;

/// A server's socket and its clients.
pub(super) struct Serving {
    router: IdentitySocket,
    hub: Arc<Hub>,
    clients: HashMap<Bytes, Client>,
    /// Tasks that send what waits for a client.
    writers: JoinSet<()>,
    /// Connections of clients that were refused, and how often they have sent something since.
    refused: HashMap<Bytes, u32>,
    /// Connections that are no clients': their numbers at the socket, and when they were found.
    strangers: HashMap<Bytes, (u64, Instant)>,
    /// The state of the socket's connections that was looked at last.
    generation: Option<u64>,
}

struct Client {
    session: Arc<Session>,
    writer: AbortHandle,
}

impl Serving {
    pub(super) fn new(router: IdentitySocket, hub: Arc<Hub>) -> Self {
        Self {
            router,
            hub,
            clients: HashMap::new(),
            writers: JoinSet::new(),
            refused: HashMap::new(),
            strangers: HashMap::new(),
            generation: None,
        }
    }

    /// Serves until the hub closes.
    pub(super) async fn run(mut self) {
        let mut phase = self.hub.phase.subscribe();
        let mut checks = interval(CHECK);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = closing(&mut phase) => break,
                _ = checks.tick() => self.check().await,
                Some(_) = self.writers.join_next() => {}
                received = self.router.recv_from() => {
                    let (sender, message) = match received {
                        Ok(received) => received,
                        Err(error) => {
                            tracing::error!(%error, "the ZeroMQ socket has ended");
                            break;
                        }
                    };
                    self.take(&sender, &message).await;
                    for _ in 1..MESSAGES {
                        let Ok((sender, message)) = self.router.try_recv_from() else { break };
                        self.take(&sender, &message).await;
                    }
                    tokio::task::yield_now().await;
                }
            }
        }
        self.close().await;
    }

    async fn take(&mut self, sender: &Identity, message: &Message) {
        let id: &[u8] = sender.as_ref();
        let done = match self.clients.get(id) {
            None => self.open(sender, message),
            Some(client) => {
                client.session.heard();
                records(&self.hub, &client.session, message)
            }
        };
        if let Err(why) = done {
            self.refuse(sender, &why).await;
        }
    }

    /// Takes the first message of a client.
    fn open(&mut self, sender: &Identity, message: &Message) -> Result<(), String> {
        if sender.peer_info().peer_identity.is_some() {
            // Another connection could declare the same one, and take this one's place.
            return Err("a worker must not declare an identity".to_owned());
        }
        let lane = record::lane_of(message).map_err(|why| why.to_string())?;
        let lane = lane.ok_or("this connection has ended: the worker has to connect again")?;
        let max = self.hub.settings.max_connections;
        if self.clients.len() >= max {
            return Err(format!("there are {max} connections already"));
        }
        let id = Bytes::copy_from_slice(sender.as_ref());
        self.strangers.remove(&id);
        let session = Arc::new(Session::new(id.clone(), lane, self.hub.outbox(lane)));
        let writer = self.writers.spawn(write(self.router.clone(), session.clone()));
        self.clients.insert(id, Client { session, writer });
        Ok(())
    }

    /// Tells a client why its connection is of no more use. One that goes on is disconnected.
    async fn refuse(&mut self, sender: &Identity, why: &str) {
        let id: &[u8] = sender.as_ref();
        self.end(id);
        let times = self.refused.entry(Bytes::copy_from_slice(id)).or_default();
        *times += 1;
        if *times == 1 {
            tracing::warn!(why, "a connection of a worker is refused");
        }
        let is_told = self.router.try_send_to(id, Message::single(why.to_owned())).is_ok();
        if *times > REFUSALS || !is_told {
            self.disconnect(sender).await;
        }
    }

    async fn disconnect(&mut self, sender: &Identity) {
        let connection = sender.peer_info().connection_id;
        let _ = self.router.disconnect_peer(connection).await;
    }

    fn end(&mut self, id: &[u8]) {
        if let Some(Client { session, writer }) = self.clients.remove(id) {
            self.hub.end(&session);
            writer.abort();
            // Its connection may still be there: it is a stranger's now.
            self.generation = None;
        }
    }

    /// Ends clients whose connections have ended, or who are silent.
    async fn check(&mut self) {
        let silence = self.hub.settings.silence;
        let silent = self.clients.iter().filter(|(_, one)| one.session.silence() > silence);
        let mut gone: Vec<Bytes> = silent.map(|(id, _)| id.clone()).collect();
        let now = self.router.connections_generation();
        if self.generation != Some(now)
            && let Ok(connections) = self.router.connections().await
        {
            self.generation = Some(now);
            gone.extend(self.compare(&connections));
        }
        for id in gone {
            self.end(&id);
        }
        // Strangers that say nothing, or that are too many.
        let max = self.hub.settings.max_connections.saturating_sub(self.clients.len());
        let strangers = self.strangers.values().enumerate();
        let unwanted = strangers
            .filter(|(at, (_, found))| *at >= max || found.elapsed() > silence)
            .map(|(_, (connection, _))| *connection);
        for connection in unwanted.collect::<Vec<_>>() {
            let _ = self.router.disconnect_peer(connection).await;
        }
    }

    /// Takes in the connections that there are. Returns the clients who have none any more.
    fn compare(&mut self, connections: &[ConnectionStatus]) -> Vec<Bytes> {
        let there: HashSet<&Bytes> = connections.iter().map(|one| &one.identity).collect();
        self.refused.retain(|id, _| there.contains(id));
        self.strangers.retain(|id, _| there.contains(id));
        for one in connections.iter().filter(|one| !self.clients.contains_key(&one.identity)) {
            let found = (one.connection_id, Instant::now());
            self.strangers.entry(one.identity.clone()).or_insert(found);
        }
        self.clients.keys().filter(|id| !there.contains(id)).cloned().collect()
    }

    /// Sends what waits, as far as a second allows, and leaves the address.
    async fn close(mut self) {
        for client in self.clients.values() {
            client.session.outbox.close();
        }
        let written = async { while self.writers.join_next().await.is_some() {} };
        let _ = timeout(DRAIN, written).await;
        self.writers.shutdown().await;
        for client in self.clients.values() {
            self.hub.end(&client.session);
        }
        let _ = self.router.into_inner().close_with_linger(Some(DRAIN)).await;
        self.hub.advance(Phase::Ended);
    }
}

/// Resolves when the server closes.
async fn closing(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase > Phase::Open).await;
}

/// Does what the records of a message ask for.
fn records(hub: &Hub, session: &Arc<Session>, message: &Message) -> Result<(), String> {
    for record in record::records(message) {
        hub.take(session, record.map_err(|why| why.to_string())?)?;
    }
    Ok(())
}

/// Sends what waits for a client.
async fn write(router: IdentitySocket, session: Arc<Session>) {
    while let Some(message) = session.outbox.next().await {
        if router.send_to(&session.id, message).await.is_err() {
            // It is gone, which the next check finds.
            return;
        }
    }
}
