//! A transport within one process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::{mpsc, watch};

use super::{Address, Channel, Lane, Link, Received, Transport};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::id::WorkerId;
use crate::watcher::Watcher;

/// Frames that wait at one listener. A frame carries many messages and the protocol keeps few in
/// flight, so this is never reached by a peer that reads.
const LISTENER_FRAMES: usize = 4096;

type Listeners = HashMap<(Address, Lane), Vec<mpsc::Sender<Received>>>;

#[derive(Debug, Default)]
struct Hub {
    listeners: Mutex<Listeners>,
}

/// The shared part of the memory transports of one namespace. Each participant takes a
/// [`transport`](MemoryNetwork::transport).
///
/// ```
/// use tinpot_core::{Coordinator, MemoryNetwork, Worker};
/// # use tinpot_core::{Failure, FunctionExecutor};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let executor = FunctionExecutor::builder()
/// #     .action("tick", |_, ()| async { Ok::<_, Failure>("tock") })
/// #     .build()?;
/// let network = MemoryNetwork::new();
/// let coordinator = Coordinator::builder(network.transport()).start().await?;
/// let worker = Worker::builder(network.transport()).executor(executor).start().await?;
/// coordinator.action_available("tick").await?;
/// assert_eq!(coordinator.call::<String>("tick", ()).await?, "tock");
/// # worker.shutdown(std::time::Duration::ZERO).await;
/// # coordinator.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryNetwork {
    hub: Arc<Hub>,
}

impl MemoryNetwork {
    /// Creates a network without participants.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the end of a new participant that the others cannot tell from another: its frames
    /// come by [`Channel::Unknown`].
    pub fn transport(&self) -> MemoryTransport {
        self.end(Channel::Unknown)
    }

    /// Returns the end of this participant: its frames come by its channel.
    pub fn transport_of(&self, participant: &Address) -> MemoryTransport {
        self.end(Channel::of(participant))
    }

    /// Returns the end of a [local](Channel::Local) worker, which the coordinator trusts. It is for
    /// hosts that speak for workers, such as a gateway of another protocol.
    pub fn transport_of_local(&self, worker: &WorkerId) -> MemoryTransport {
        self.end(Channel::Local { id: worker.clone() })
    }

    fn end(&self, channel: Channel) -> MemoryTransport {
        let link = Arc::new(watch::channel(Link::Up).0);
        MemoryTransport { hub: self.hub.clone(), link, channel }
    }
}

/// One participant's end of a [`MemoryNetwork`].
///
/// A clone is another end with a link of its own: closing one leaves the other open.
///
/// [`Transport`] has an example.
#[derive(Debug)]
pub struct MemoryTransport {
    hub: Arc<Hub>,
    link: Arc<watch::Sender<Link>>,
    channel: Channel,
}

impl Clone for MemoryTransport {
    fn clone(&self) -> Self {
        MemoryNetwork { hub: self.hub.clone() }.end(self.channel.clone())
    }
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryTransport {
    fn check_open(&self) -> Result<()> {
        if *self.link.borrow() == Link::Closed {
            return Err(Error::new(ErrorKind::Closed, "the memory transport is closed"));
        }
        Ok(())
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    async fn send(&self, to: &Address, lane: Lane, frame: Bytes) -> Result<()> {
        self.check_open()?;
        let mut full = false;
        let mut listeners = self.hub.lock();
        if let Some(at) = listeners.get_mut(&(to.clone(), lane)) {
            let received = Received::new(self.channel.clone(), frame);
            at.retain(|listener| match listener.try_send(received.clone()) {
                Ok(()) => true,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    full = true;
                    true
                }
                Err(mpsc::error::TrySendError::Closed(_)) => false,
            });
            if at.is_empty() {
                listeners.remove(&(to.clone(), lane));
            }
        }
        if full {
            return Err(Error::new(
                ErrorKind::Overloaded,
                format!("{to} does not read its frames"),
            ));
        }
        Ok(())
    }

    async fn listen(&self, at: &Address, lane: Lane) -> Result<BoxStream<'static, Received>> {
        self.check_open()?;
        let (sender, receiver) = mpsc::channel(LISTENER_FRAMES);
        self.hub.lock().entry((at.clone(), lane)).or_default().push(sender);
        let frames = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|frame| (frame, receiver))
        });
        let mut link = self.link.subscribe();
        let closed = async move {
            let _ = link.wait_for(|link| *link == Link::Closed).await;
        };
        Ok(frames.take_until(Box::pin(closed)).boxed())
    }

    fn speaks_for(&self) -> Channel {
        self.channel.clone()
    }

    fn status(&self) -> Watcher<Link> {
        self.link.subscribe().into()
    }

    async fn close(&self) {
        self.link.send_replace(Link::Closed);
    }
}
