//! A hub in memory, for transports over connections that break.

use std::collections::HashMap;
use std::future::ready;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{SinkExt, StreamExt, sink, stream};
use tinpot_core::testing::transport::{Faults, Network};
use tinpot_core::transport::{Address, Command, Connect, Connection, Lane, Reconnecting};
use tinpot_core::{Error, ErrorKind, Result, Transport};
use tokio::sync::{mpsc, watch};

/// Frames that wait for a connection that does not read.
const CONNECTION_FRAMES: usize = 4096;

type Subscriber = (u64, mpsc::Sender<(String, Bytes)>);

/// Delivers what its connections publish.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    topics: Mutex<HashMap<String, Vec<Subscriber>>>,
    pub(crate) connections: AtomicU64,
    /// True while the hub is down, and the number of cuts so far. A connection ends with the first
    /// cut after its start, even if the hub is up again before the connection is polled.
    cut: watch::Sender<(bool, u64)>,
    /// The number of cuts that only connections of the control lane saw.
    control_cuts: watch::Sender<u64>,
    /// The time after a cut when connections of the log lane end.
    pub(crate) logs_notice_late: Mutex<Duration>,
    /// Accepts everything and delivers nothing, as a half-open connection does.
    pub(crate) silent: AtomicBool,
}

impl Hub {
    /// Ends the connections of the control lane.
    pub(crate) fn cut_control(&self) {
        self.control_cuts.send_modify(|cuts| *cuts += 1);
    }

    fn apply(&self, command: Command, connection: &Subscriber) {
        if self.silent.load(Ordering::SeqCst) {
            return;
        }
        let mut topics = self.topics.lock().expect("a lock");
        match command {
            Command::Subscribe { topic } => {
                let subscribers = topics.entry(topic).or_default();
                if !subscribers.iter().any(|(id, _)| *id == connection.0) {
                    subscribers.push(connection.clone());
                }
            }
            Command::Unsubscribe { topic } => {
                if let Some(subscribers) = topics.get_mut(&topic) {
                    subscribers.retain(|(id, _)| *id != connection.0);
                }
            }
            Command::Publish { topic, frame } => {
                for (_, subscriber) in topics.get(&topic).into_iter().flatten() {
                    let _ = subscriber.try_send((topic.clone(), frame.clone()));
                }
            }
        }
    }
}

/// Connects to a hub.
#[derive(Clone, Debug, Default)]
pub(crate) struct HubConnect(pub(crate) Arc<Hub>);

#[async_trait]
impl Connect for HubConnect {
    async fn connect(&self, lane: Lane) -> Result<Connection> {
        let hub = self.0.clone();
        let mut cut = hub.cut.subscribe();
        let (down, cuts) = *cut.borrow_and_update();
        if down {
            return Err(Error::new(ErrorKind::Unavailable, "the hub is down"));
        }
        let mut control_cut = hub.control_cuts.subscribe();
        let notices_late = *hub.logs_notice_late.lock().expect("a lock");
        let (sender, mut receiver) = mpsc::channel(CONNECTION_FRAMES);
        let connection = (hub.connections.fetch_add(1, Ordering::Relaxed), sender);
        let commands = sink::unfold((), move |(), command: Command| {
            hub.apply(command, &connection);
            ready(Ok::<_, Error>(()))
        });
        let frames = stream::poll_fn(move |context| receiver.poll_recv(context)).map(Ok);
        let ended = async move {
            match lane {
                Lane::Control => tokio::select! {
                    _ = cut.wait_for(|(_, later)| *later != cuts) => {}
                    _ = control_cut.changed() => {}
                },
                Lane::Logs => {
                    let _ = cut.wait_for(|(_, later)| *later != cuts).await;
                    tokio::time::sleep(notices_late).await;
                }
            }
        };
        Ok(Connection::new(commands.sink_map_err(|e| e), frames.take_until(Box::pin(ended))))
    }
}

/// Reconnecting transports on one hub.
#[derive(Debug, Default)]
pub(crate) struct HubNetwork {
    pub(crate) connect: HubConnect,
}

impl HubNetwork {
    pub(crate) async fn transport(&self, namespace: &str) -> Reconnecting<HubConnect> {
        let builder = Reconnecting::builder(self.connect.clone()).namespace(namespace);
        builder.connect().await.expect("a transport")
    }
}

#[async_trait]
impl Network for HubNetwork {
    async fn join(&self, _participant: &Address) -> Arc<dyn Transport> {
        Arc::new(self.transport("tinpot").await)
    }

    async fn join_elsewhere(&self, _participant: &Address) -> Arc<dyn Transport> {
        // One namespace within another: the closest that two can be.
        Arc::new(self.transport("tinpot/control").await)
    }

    fn faults(&self) -> Option<&dyn Faults> {
        Some(&*self.connect.0)
    }
}

#[async_trait]
impl Faults for Hub {
    async fn cut(&self) {
        self.cut.send_modify(|(down, cuts)| {
            *down = true;
            *cuts += 1;
        });
        self.topics.lock().expect("a lock").clear();
    }

    async fn restore(&self) {
        self.cut.send_modify(|(down, _)| *down = false);
    }
}
