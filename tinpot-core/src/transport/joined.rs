//! Several transports as one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use futures::stream::{BoxStream, StreamExt, select_all};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Address, Channel, Lane, Link, Received, Transport};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::id::WorkerId;
use crate::watcher::Watcher;

/// Workers whose transport is known. Beyond, all are forgotten: their frames then take every
/// transport until they are heard again.
const HOMES: usize = 16_384;

/// Several transports as one, for a coordinator whose workers reach it in different ways.
///
/// - It listens on each transport. A frame to all workers takes each of them.
/// - A worker lives on the transport by which its last frame came, as far as the frame's
///   [channel](Received::channel) names it. A frame to a worker that is not known takes each
///   transport; all but one of them have no listener for it.
/// - A frame to the coordinator itself takes the first transport.
/// - The link is `Up` while each one is. It is reported again when one has come back.
///
/// ```
/// use std::sync::Arc;
/// use futures::StreamExt;
/// use tinpot_core::transport::{Address, JoinedTransport, Lane};
/// use tinpot_core::{MemoryNetwork, Transport};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// let (here, there) = (MemoryNetwork::new(), MemoryNetwork::new());
/// let both: [Arc<dyn Transport>; 2] = [Arc::new(here.transport()), Arc::new(there.transport())];
/// let coordinator = JoinedTransport::new(both)?;
/// let mut frames = coordinator.listen(&Address::Coordinator, Lane::Control).await?;
/// there.transport().send(&Address::Coordinator, Lane::Control, "hello".into()).await?;
/// assert_eq!(frames.next().await.unwrap().bytes, "hello");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct JoinedTransport {
    transports: Vec<Arc<dyn Transport>>,
    homes: Arc<Homes>,
    links: Arc<Links>,
    /// The tasks that watch the links; they end with this.
    _watching: JoinSet<()>,
}

impl JoinedTransport {
    /// Joins transports. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// `InvalidInput` without any transport.
    pub fn new(transports: impl IntoIterator<Item = Arc<dyn Transport>>) -> Result<Self> {
        let transports: Vec<_> = transports.into_iter().collect();
        if transports.is_empty() {
            let message = "a joined transport needs one transport at least";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let current = transports.iter().map(|one| one.status().current()).collect();
        let links = Arc::new(Links::new(current));
        let mut watching = JoinSet::new();
        for (at, transport) in transports.iter().enumerate() {
            let (mut status, links) = (transport.status(), links.clone());
            watching.spawn(async move {
                while let Some(link) = status.next().await {
                    links.set(at, link);
                }
            });
        }
        Ok(Self { transports, homes: Arc::default(), links, _watching: watching })
    }
}

/// The transports by which workers are reached.
#[derive(Debug, Default)]
struct Homes(Mutex<HashMap<WorkerId, usize>>);

impl Homes {
    fn lock(&self) -> MutexGuard<'_, HashMap<WorkerId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, worker: &WorkerId) -> Option<usize> {
        self.lock().get(worker).copied()
    }

    /// Records that a frame came by the transport at this place.
    fn heard(&self, channel: &Channel, at: usize) {
        let (Channel::Worker { id, .. } | Channel::Local { id }) = channel else { return };
        let mut homes = self.lock();
        if homes.get(id) == Some(&at) {
            return;
        }
        if homes.len() >= HOMES {
            homes.clear();
        }
        homes.insert(id.clone(), at);
    }
}

/// The status of all links.
#[derive(Debug)]
struct Links {
    each: Mutex<Vec<Link>>,
    all: watch::Sender<Link>,
}

impl Links {
    fn new(each: Vec<Link>) -> Self {
        let all = watch::Sender::new(joined(&each));
        Self { each: Mutex::new(each), all }
    }

    fn set(&self, at: usize, link: Link) {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = each[at] != link;
        each[at] = link;
        let now = joined(&each);
        // Under the lock, so that two changes are not published in the wrong order.
        self.all.send_if_modified(|all| {
            let publish = changes && *all != Link::Closed && (*all != now || now.is_up());
            if publish {
                *all = now;
            }
            publish
        });
    }

    /// Returns false if it was closed before.
    fn close(&self) -> bool {
        self.all.send_replace(Link::Closed) != Link::Closed
    }

    fn is_closed(&self) -> bool {
        *self.all.borrow() == Link::Closed
    }
}

/// Returns the status of all: that of the first one that is not up.
fn joined(each: &[Link]) -> Link {
    match each.iter().find(|link| !link.is_up()) {
        None => Link::Up,
        // One that was closed by itself: this transport is not.
        Some(Link::Closed) => Link::Down { reason: "a transport was closed".to_owned() },
        Some(link) => link.clone(),
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the transport is closed")
}

#[async_trait]
impl Transport for JoinedTransport {
    async fn send(&self, to: &Address, lane: Lane, frame: Bytes) -> Result<()> {
        if self.links.is_closed() {
            return Err(closed());
        }
        let only = match to {
            Address::Worker(id) => self.homes.of(id),
            Address::Coordinator | Address::Joins => Some(0),
            _ => None,
        };
        if let Some(transport) = only.and_then(|at| self.transports.get(at)) {
            return transport.send(to, lane, frame).await;
        }
        let mut sent = None;
        for transport in &self.transports {
            match (transport.send(to, lane, frame.clone()).await, &sent) {
                (Ok(()), _) => sent = Some(Ok(())),
                // One of them has taken it, or the first reason counts.
                (Err(_), Some(_)) => {}
                (Err(error), None) => sent = Some(Err(error)),
            }
        }
        sent.unwrap_or(Ok(()))
    }

    async fn listen(&self, at: &Address, lane: Lane) -> Result<BoxStream<'static, Received>> {
        if self.links.is_closed() {
            return Err(closed());
        }
        let (mut streams, mut refused) = (Vec::new(), None);
        for (place, transport) in self.transports.iter().enumerate() {
            match transport.listen(at, lane).await {
                Ok(frames) => {
                    let homes = self.homes.clone();
                    let noted = move |received: &Received| homes.heard(&received.channel, place);
                    streams.push(frames.inspect(noted).boxed());
                }
                // Not every transport has every address.
                Err(error) if error.kind() == ErrorKind::InvalidInput => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
        match refused {
            Some(error) if streams.is_empty() => Err(error),
            _ => Ok(select_all(streams).boxed()),
        }
    }

    fn speaks_for(&self) -> Channel {
        let mut all = self.transports.iter().map(|transport| transport.speaks_for());
        let first = all.next().unwrap_or(Channel::Unknown);
        if all.all(|other| other == first) { first } else { Channel::Unknown }
    }

    fn status(&self) -> Watcher<Link> {
        self.links.all.subscribe().into()
    }

    async fn close(&self) {
        self.links.close();
        join_all(self.transports.iter().map(|transport| transport.close())).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::{FutureExt, StreamExt};

    use super::{JoinedTransport, Links, joined};
    use crate::model::address::{Address, Lane};
    use crate::model::id::WorkerId;
    use crate::transport::{Link, MemoryNetwork, Transport};

    #[tokio::test]
    async fn a_worker_gets_frames_where_it_was_heard_last() {
        let networks = [MemoryNetwork::new(), MemoryNetwork::new()];
        let ends = networks.each_ref().map(|one| one.transport_of(&Address::Coordinator));
        let coordinator =
            JoinedTransport::new(ends.map(|end| Arc::new(end) as Arc<dyn Transport>)).unwrap();
        let mut heard = coordinator.listen(&Address::Coordinator, Lane::Control).await.unwrap();
        let web = Address::Worker(WorkerId::new("web-1").unwrap());
        let workers = networks.each_ref().map(|one| one.transport_of(&web));
        let mut frames = Vec::new();
        for worker in &workers {
            frames.push(worker.listen(&web, Lane::Control).await.unwrap());
        }
        let send = async |text: &'static str| {
            coordinator.send(&web, Lane::Control, text.into()).await.unwrap();
        };
        send("to each").await;
        for frames in &mut frames {
            assert_eq!(frames.next().await.unwrap().bytes, "to each");
        }
        for (at, worker) in workers.iter().enumerate() {
            worker.send(&Address::Coordinator, Lane::Control, "here".into()).await.unwrap();
            assert_eq!(heard.next().await.unwrap().bytes, "here");
            send("to one").await;
            assert_eq!(frames[at].next().await.unwrap().bytes, "to one");
            assert!(frames[1 - at].next().now_or_never().is_none(), "after {at}");
        }
        coordinator.close().await;
        assert!(heard.next().await.is_none());
    }

    #[test]
    fn the_link_is_up_while_each_is_and_says_so_again() {
        let down = || Link::Down { reason: "cut".to_owned() };
        assert_eq!(joined(&[Link::Up, down()]), down());
        let links = Links::new(vec![Link::Up, down()]);
        let mut status = links.all.subscribe();
        assert_eq!(*status.borrow_and_update(), down());
        links.set(1, Link::Up);
        assert!(status.has_changed().unwrap() && status.borrow_and_update().is_up());
        links.set(0, Link::Up);
        assert!(!status.has_changed().unwrap(), "nothing new");
        assert!(links.close() && !links.close());
        links.set(0, down());
        assert_eq!(*status.borrow_and_update(), Link::Closed);
    }
}
