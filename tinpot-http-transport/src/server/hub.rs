//! The listeners and the clients of a link.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tinpot_core::transport::{
    Address, Channel, Lane, ListenerSender, ListenerStream, Received, listener_queue,
};
use tinpot_core::{Error, ErrorKind, Result, WorkerId};
use tokio::sync::watch;

use super::Settings;
use super::admission::{Admission, Login, Peer};
use super::outbox::Outbox;
use super::session::{ADDRESSES, Session};
use super::topic::{Topic, topic_of};
use crate::record::{self, ALIVE, Kind, Record};

/// Links of one worker on one lane: the present one, and some whose ends were not noticed yet.
const OF_WORKER: usize = 4;
/// Links of one account on one lane.
const OF_ACCOUNT: usize = 256;
/// The time that closing gives frames that wait.
const DRAIN: Duration = Duration::from_secs(1);
/// The interval of records that show that a link is alive. Proxies close a connection on which
/// nothing arrives for a minute.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The shared state of a link.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) admission: Arc<dyn Admission>,
    pub(super) settings: Settings,
    lanes: [LaneHub; 2],
    /// Ends of the coordinator that are open.
    ends: AtomicUsize,
    closed: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct LaneHub {
    state: Mutex<LaneState>,
    waiting_bytes: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct LaneState {
    sessions: HashMap<String, Arc<Session>>,
    listeners: HashMap<Address, Listeners>,
    last_id: u64,
}

/// The listeners at one address.
#[derive(Debug, Default)]
struct Listeners {
    sessions: Vec<Arc<Session>>,
    local: Vec<(u64, ListenerSender)>,
}

impl Hub {
    pub(super) fn new(admission: Arc<dyn Admission>, settings: Settings) -> Self {
        Self {
            admission,
            settings,
            lanes: Default::default(),
            ends: AtomicUsize::new(0),
            closed: watch::Sender::new(false),
        }
    }

    fn lane(&self, lane: Lane) -> &LaneHub {
        let [control, logs] = &self.lanes;
        match lane {
            Lane::Control => control,
            Lane::Logs => logs,
        }
    }

    fn state(&self, lane: Lane) -> MutexGuard<'_, LaneState> {
        self.lane(lane).state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    pub(super) fn opened_end(&self) {
        self.ends.fetch_add(1, Ordering::AcqRel);
    }

    /// Closes the link if this was the last end. Returns true if so.
    pub(super) fn closed_end(&self) -> bool {
        let is_last = self.ends.fetch_sub(1, Ordering::AcqRel) == 1;
        if is_last {
            self.closed.send_replace(true);
            for session in self.sessions() {
                session.outbox.close();
            }
        }
        is_last
    }

    /// Waits until clients have read what waits for them, for at most a second; then ends their
    /// links.
    pub(super) async fn drain(&self) {
        let sessions = self.sessions();
        let all = async {
            for session in &sessions {
                session.outbox.emptied().await;
            }
        };
        let _ = tokio::time::timeout(DRAIN, all).await;
        for session in sessions {
            self.end(&session);
        }
    }

    fn sessions(&self) -> Vec<Arc<Session>> {
        Lane::ALL
            .iter()
            .flat_map(|lane| self.state(*lane).sessions.values().cloned().collect::<Vec<_>>())
            .collect()
    }

    /// Returns the link with this id.
    pub(super) fn session(&self, lane: Lane, id: &str) -> Option<Arc<Session>> {
        self.state(lane).sessions.get(id).cloned()
    }

    /// Opens a link.
    ///
    /// # Errors
    /// `Unavailable` if the link is closed, `Overloaded` if there are too many clients.
    pub(super) fn open(
        &self,
        lane: Lane,
        id: &str,
        worker: WorkerId,
        login: Option<Login>,
        peer: Peer,
    ) -> Result<Arc<Session>> {
        let mut ended = Vec::new();
        let session = {
            let mut state = self.state(lane);
            if self.is_closed() {
                let message = "the coordinator is shutting down";
                return Err(Error::new(ErrorKind::Unavailable, message));
            }
            let of_worker: Vec<_> =
                state.sessions.values().filter(|one| one.worker == worker).cloned().collect();
            if of_worker.len() >= OF_WORKER
                && let Some(oldest) = of_worker.into_iter().max_by_key(|one| one.silence())
            {
                state.sessions.remove(&oldest.id);
                ended.push(oldest);
            }
            let max = self.settings.max_clients;
            let account = peer.account();
            let of_account = state.sessions.values().filter(|one| one.peer.account() == account);
            if state.sessions.len() >= max || of_account.count() >= OF_ACCOUNT {
                let message = format!("at most {max} clients, and {OF_ACCOUNT} of one account");
                return Err(Error::new(ErrorKind::Overloaded, message));
            }
            let outbox = Outbox::new(self.lane(lane).waiting_bytes.clone());
            let max_frame_bytes = self.settings.max_frame_bytes;
            let session = Session::new(id, lane, worker, login, peer, outbox, max_frame_bytes);
            let session = Arc::new(session);
            state.sessions.insert(id.to_owned(), session.clone());
            session
        };
        for session in ended {
            self.end(&session);
        }
        Ok(session)
    }

    /// Ends a link.
    pub(super) fn end(&self, session: &Arc<Session>) {
        session.outbox.close();
        let mut state = self.state(session.lane);
        if state.sessions.get(&session.id).is_some_and(|known| Arc::ptr_eq(known, session)) {
            state.sessions.remove(&session.id);
        }
        let addresses =
            std::mem::take(&mut *session.addresses.lock().unwrap_or_else(PoisonError::into_inner));
        for address in addresses {
            state.unlisten(&address, session);
        }
    }

    /// Does what a record of a client asks for.
    ///
    /// # Errors
    /// `Malformed` or `Forbidden`: the link is of no more use.
    pub(super) fn take(&self, session: &Arc<Session>, record: Record) -> Result<()> {
        let Record { kind, topic, frame } = record;
        let forbidden = |what| {
            let message = format!("this worker may not {what} {topic:?}");
            Err(Error::new(ErrorKind::Forbidden, message))
        };
        match (Topic::parse(&topic), kind) {
            (None, _) => {
                let message = format!("{topic:?} is no topic");
                Err(Error::new(ErrorKind::Malformed, message))
            }
            (Some(Topic::Echo), Kind::Frame) => {
                let mut bytes = BytesMut::new();
                record::encode(&mut bytes, Kind::Frame, &topic, &frame);
                session.outbox.push(session.worker.as_str(), &bytes.freeze());
                Ok(())
            }
            (Some(Topic::Echo), Kind::Subscribe | Kind::Unsubscribe) => Ok(()),
            (Some(Topic::At(to)), Kind::Frame) => {
                if !session.peer.may_send_to(&to) {
                    return forbidden("send to");
                }
                self.publish(session.lane, session.peer.channel(), &to, frame);
                Ok(())
            }
            (Some(Topic::At(at)), Kind::Subscribe) => {
                if !session.peer.may_listen_at(&at) {
                    return forbidden("listen at");
                }
                self.subscribe(session, at)
            }
            (Some(Topic::At(at)), Kind::Unsubscribe) => {
                let mut state = self.state(session.lane);
                let mut addresses =
                    session.addresses.lock().unwrap_or_else(PoisonError::into_inner);
                if addresses.remove(&at) {
                    state.unlisten(&at, session);
                }
                Ok(())
            }
        }
    }

    fn subscribe(&self, session: &Arc<Session>, at: Address) -> Result<()> {
        let mut state = self.state(session.lane);
        let is_known = state.sessions.get(&session.id).is_some_and(|one| Arc::ptr_eq(one, session));
        if !is_known {
            return Ok(());
        }
        let mut addresses = session.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if addresses.len() >= ADDRESSES {
            let message = format!("a client may listen at {ADDRESSES} addresses at most");
            return Err(Error::new(ErrorKind::Forbidden, message));
        }
        if addresses.insert(at.clone()) {
            state.listeners.entry(at).or_default().sessions.push(session.clone());
        }
        Ok(())
    }

    /// Passes a frame to the listeners at an address. Returns false if one of them has no room.
    pub(super) fn publish(&self, lane: Lane, by: &Channel, to: &Address, frame: Bytes) -> bool {
        let Some(topic) = topic_of(to) else { return true };
        let mut state = self.state(lane);
        let Some(listeners) = state.listeners.get_mut(to) else { return true };
        let mut found_room = true;
        if !listeners.sessions.is_empty() {
            let mut bytes = BytesMut::new();
            record::encode(&mut bytes, Kind::Frame, &topic, &frame);
            let bytes = bytes.freeze();
            for session in &listeners.sessions {
                found_room &= session.outbox.push(session.worker.as_str(), &bytes);
            }
        }
        for (_, listener) in &mut listeners.local {
            listener.push(&topic, Received::new(by.clone(), frame.clone()));
        }
        found_room
    }

    /// Adds a listener in this process.
    pub(super) fn listen(self: &Arc<Self>, at: &Address, lane: Lane) -> ListenerStream {
        let mut state = self.state(lane);
        state.last_id += 1;
        let id = state.last_id;
        let (hub, address) = (Arc::downgrade(self), at.clone());
        let (sender, stream) = listener_queue(move || {
            if let Some(hub) = hub.upgrade() {
                hub.state(lane).forget(&address, id);
            }
        });
        state.listeners.entry(at.clone()).or_default().local.push((id, sender));
        stream
    }
}

impl LaneState {
    fn unlisten(&mut self, at: &Address, session: &Arc<Session>) {
        if let Some(listeners) = self.listeners.get_mut(at) {
            listeners.sessions.retain(|one| !Arc::ptr_eq(one, session));
        }
        self.tidy(at);
    }

    fn forget(&mut self, at: &Address, id: u64) {
        if let Some(listeners) = self.listeners.get_mut(at) {
            listeners.local.retain(|(one, _)| *one != id);
        }
        self.tidy(at);
    }

    fn tidy(&mut self, at: &Address) {
        let is_empty = |one: &Listeners| one.sessions.is_empty() && one.local.is_empty();
        if self.listeners.get(at).is_some_and(is_empty) {
            self.listeners.remove(at);
        }
    }
}

/// Ends links whose clients are silent or were revoked, and shows the others that theirs are alive.
pub(super) async fn sweep(hub: Weak<Hub>) {
    let Some(settings) = hub.upgrade().map(|hub| hub.settings.clone()) else { return };
    let mut turns = tokio::time::interval(KEEP_ALIVE.min(settings.silence / 3));
    loop {
        turns.tick().await;
        let Some(hub) = hub.upgrade() else { return };
        for session in hub.sessions() {
            let admitted = hub.admission.admit(session.login.as_ref(), &session.worker);
            if session.silence() > settings.silence || admitted.is_err() {
                let (worker, lane) = (&session.worker, session.lane);
                tracing::debug!(%worker, ?lane, "a worker's link has ended");
                hub.end(&session);
            } else {
                session.outbox.push(session.worker.as_str(), &Bytes::from_static(ALIVE));
            }
        }
    }
}
