//! The listeners and the clients of a server.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tinpot_core::transport::{
    Address, Channel, Lane, ListenerSender, ListenerStream, Received, listener_queue,
};
use tokio::sync::watch;

use super::Settings;
use super::outbox::Outbox;
use super::session::{ADDRESSES, Session};
use super::topic::{Topic, may_listen_at, may_send_to};
use crate::record::{Kind, Record, head};

/// The size of an echo: clients send eight bytes.
const ECHO_BYTES: usize = 64;
/// The longest wait for the end of a server: longer than it gives frames that wait.
const PATIENCE: Duration = Duration::from_secs(3);

/// The state of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Open,
    /// Frames that wait are sent.
    Closing,
    /// Nothing is at the address any more.
    Ended,
}

/// The shared state of a server.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) settings: Settings,
    lanes: [LaneHub; 2],
    /// Ends of the coordinator that are open.
    ends: AtomicUsize,
    pub(super) phase: watch::Sender<Phase>,
}

#[derive(Debug, Default)]
struct LaneHub {
    listeners: Mutex<LaneListeners>,
    waiting_bytes: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct LaneListeners {
    at: HashMap<Address, Listeners>,
    last_id: u64,
}

/// The listeners at one address.
#[derive(Debug, Default)]
struct Listeners {
    sessions: Vec<Arc<Session>>,
    local: Vec<(u64, ListenerSender)>,
}

impl Hub {
    pub(super) fn new(settings: Settings) -> Self {
        let phase = watch::Sender::new(Phase::Open);
        Self { settings, lanes: Default::default(), ends: AtomicUsize::new(0), phase }
    }

    fn lane(&self, lane: Lane) -> &LaneHub {
        let [control, logs] = &self.lanes;
        match lane {
            Lane::Control => control,
            Lane::Logs => logs,
        }
    }

    fn listeners(&self, lane: Lane) -> MutexGuard<'_, LaneListeners> {
        self.lane(lane).listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn opened_end(&self) {
        self.ends.fetch_add(1, Ordering::AcqRel);
    }

    /// Closes the server if this was the last end. Returns true if so.
    pub(super) fn closed_end(&self) -> bool {
        let is_last = self.ends.fetch_sub(1, Ordering::AcqRel) == 1;
        if is_last {
            self.advance(Phase::Closing);
        }
        is_last
    }

    /// Closes the server if it has no open end.
    pub(super) fn close_without_ends(&self) {
        if self.ends.load(Ordering::Acquire) == 0 {
            self.advance(Phase::Closing);
        }
    }

    pub(super) fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let later = to > *phase;
            *phase = to.max(*phase);
            later
        });
    }

    /// Waits until a server that closes has left its address, for some seconds at most.
    pub(super) async fn ended(&self) {
        let mut phase = self.phase.subscribe();
        let ended = phase.wait_for(|phase| *phase == Phase::Ended);
        let _ = tokio::time::timeout(PATIENCE, ended).await;
    }

    /// Returns the outbox of a new client.
    pub(super) fn outbox(&self, lane: Lane) -> Outbox {
        Outbox::new(self.lane(lane).waiting_bytes.clone())
    }

    /// Ends what a client listens to.
    pub(super) fn end(&self, session: &Arc<Session>) {
        session.outbox.close();
        let mut listeners = self.listeners(session.lane);
        for address in std::mem::take(&mut *session.addresses()) {
            listeners.unlisten(&address, session);
        }
    }

    /// Does what a record of a client asks for.
    ///
    /// # Errors
    /// The reason why the client may not ask for it: its connection is of no more use.
    pub(super) fn take(&self, session: &Arc<Session>, record: Record) -> Result<(), String> {
        let Record { kind, topic, frame } = record;
        let is_trusting = self.settings.is_trusting;
        match (Topic::parse(&topic), kind) {
            (None, _) => Err(format!("{topic:?} is no topic")),
            // What waits for a client that does not read is bounded by bytes, and any client may ask.
            (Some(Topic::Echo), Kind::Frame) if frame.len() > ECHO_BYTES => {
                let bytes = frame.len();
                Err(format!("an echo must have at most {ECHO_BYTES} bytes (got {bytes})"))
            }
            (Some(Topic::Echo), Kind::Frame) => {
                session.outbox.push(&head(Kind::Frame, &topic), &frame);
                Ok(())
            }
            (Some(Topic::Echo), Kind::Subscribe | Kind::Unsubscribe) => Ok(()),
            (Some(Topic::At(to)), Kind::Frame) if is_trusting || may_send_to(&to) => {
                self.publish(session.lane, &Channel::Unknown, &to, &frame);
                Ok(())
            }
            (Some(Topic::At(_)), Kind::Frame) => Err(format!("a worker may not send to {topic:?}")),
            (Some(Topic::At(at)), Kind::Subscribe) if is_trusting || may_listen_at(&at) => {
                self.subscribe(session, at)
            }
            (Some(Topic::At(_)), Kind::Subscribe) => {
                Err(format!("a worker may not listen at {topic:?}"))
            }
            (Some(Topic::At(at)), Kind::Unsubscribe) => {
                let mut listeners = self.listeners(session.lane);
                if session.addresses().remove(&at) {
                    listeners.unlisten(&at, session);
                }
                Ok(())
            }
        }
    }

    fn subscribe(&self, session: &Arc<Session>, at: Address) -> Result<(), String> {
        let mut listeners = self.listeners(session.lane);
        let mut addresses = session.addresses();
        if addresses.len() >= ADDRESSES {
            return Err(format!("a worker may listen at {ADDRESSES} addresses at most"));
        }
        if addresses.insert(at.clone()) {
            listeners.at.entry(at).or_default().sessions.push(session.clone());
        }
        Ok(())
    }

    /// Passes a frame to the listeners at an address. Returns false if one of them has no room.
    pub(super) fn publish(&self, lane: Lane, by: &Channel, to: &Address, frame: &Bytes) -> bool {
        let mut listeners = self.listeners(lane);
        let Some(listeners) = listeners.at.get_mut(to) else { return true };
        let Some(topic) = Topic::of(to) else { return true };
        // One that does not read must not stop the sender, as any client may listen.
        let mut found_room = listeners.sessions.is_empty();
        if !listeners.sessions.is_empty() {
            let head = head(Kind::Frame, &topic);
            for session in &listeners.sessions {
                found_room |= session.outbox.push(&head, frame);
            }
        }
        for (_, listener) in &mut listeners.local {
            listener.push(&topic, Received::new(by.clone(), frame.clone()));
        }
        found_room
    }

    /// Adds a listener in this process.
    pub(super) fn listen(self: &Arc<Self>, at: &Address, lane: Lane) -> ListenerStream {
        let mut listeners = self.listeners(lane);
        listeners.last_id += 1;
        let id = listeners.last_id;
        let (hub, address) = (Arc::downgrade(self), at.clone());
        let (sender, stream) = listener_queue(move || {
            if let Some(hub) = hub.upgrade() {
                hub.listeners(lane).forget(&address, id);
            }
        });
        listeners.at.entry(at.clone()).or_default().local.push((id, sender));
        stream
    }
}

impl LaneListeners {
    fn unlisten(&mut self, at: &Address, session: &Arc<Session>) {
        if let Some(listeners) = self.at.get_mut(at) {
            listeners.sessions.retain(|one| !Arc::ptr_eq(one, session));
        }
        self.tidy(at);
    }

    fn forget(&mut self, at: &Address, id: u64) {
        if let Some(listeners) = self.at.get_mut(at) {
            listeners.local.retain(|(one, _)| *one != id);
        }
        self.tidy(at);
    }

    fn tidy(&mut self, at: &Address) {
        let is_empty = |one: &Listeners| one.sessions.is_empty() && one.local.is_empty();
        if self.at.get(at).is_some_and(is_empty) {
            self.at.remove(at);
        }
    }
}
