//! The sealed end of a worker.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use super::{Incoming, no_session, open};
use crate::inbox::read_frame;
use crate::model::address::{Address, Channel, Lane};
use crate::model::error::Result;
use crate::model::id::WorkerId;
use crate::protocol::seal::{
    HEADER_BYTES, KeyState, PublicKey, Refused, Sealing, Suite, WorkerFrame, WorkerSessions,
};
use crate::protocol::{Message, Tick, encode};
use crate::refusals::Refusals;
use crate::transport::Received;

/// The sessions of a worker, shared by its control loop and its log pump. The lock is never held
/// while a frame is sealed or opened.
#[derive(Debug)]
pub(crate) struct WorkerEnd {
    suite: Arc<dyn Suite>,
    sessions: Mutex<WorkerSessions>,
    /// The keys of the coordinators that the worker believes.
    pinned: watch::Sender<Vec<PublicKey>>,
    /// The key of the worker.
    key: watch::Sender<KeyState>,
}

impl WorkerEnd {
    pub(crate) fn new(sessions: WorkerSessions) -> Self {
        let pinned = watch::Sender::new(sessions.pinned().collect());
        let key = watch::Sender::new(sessions.key_state());
        Self { suite: sessions.suite().clone(), sessions: Mutex::new(sessions), pinned, key }
    }

    /// Watches the keys of the coordinators that the worker believes.
    pub(crate) fn pinned(&self) -> watch::Receiver<Vec<PublicKey>> {
        self.pinned.subscribe()
    }

    /// Watches the key of the worker.
    pub(crate) fn key(&self) -> watch::Receiver<KeyState> {
        self.key.subscribe()
    }

    pub(super) fn replace_key(&self, now: Tick, suite: Arc<dyn Suite>) {
        let mut sessions = self.lock();
        sessions.replace_key(now, suite);
        self.show_key(&sessions);
    }

    /// Returns the request to replace the key, if it is due: a frame for each session.
    pub(super) fn rotate(&self, now: Tick, id: &WorkerId) -> Vec<Bytes> {
        let Some(rotate) = self.lock().rotate(now) else { return Vec::new() };
        let message = Message::Rotate(Box::new(rotate));
        let frame = encode(HEADER_BYTES, Some(id), None, &[message]);
        self.seal(Lane::Control, frame).unwrap_or_default()
    }

    fn show_key(&self, sessions: &WorkerSessions) {
        let state = sessions.key_state();
        self.key.send_if_modified(|shown| {
            let is_same = *shown == state;
            *shown = state;
            !is_same
        });
    }

    fn lock(&self) -> MutexGuard<'_, WorkerSessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake_at(&self) -> Option<Tick> {
        self.lock().wake_at()
    }

    pub(super) fn link_up(&self, now: Tick) {
        self.lock().link_up(now);
    }

    pub(super) fn tick(&self, now: Tick) -> Option<Vec<u8>> {
        let mut sessions = self.lock();
        let init = sessions.tick(now)?;
        // The first time after about 10 s, and then about once a minute.
        if !sessions.is_open() && sessions.unanswered() % 15 == 4 {
            let key = sessions.key();
            tracing::warn!(
                %key,
                "no coordinator answers this worker: none is running, its frames do not arrive \
                 (check the rights of its user at the broker), or the key is not enrolled (any \
                 more): ask for a join token, then run \"tinpot worker join\""
            );
        }
        Some(init)
    }

    /// Seals a frame for each coordinator that the worker has a session with. There is one, unless
    /// another one is taking over.
    pub(super) fn seal(&self, lane: Lane, frame: Vec<u8>) -> Result<Vec<Bytes>> {
        let mut sealings: Vec<Sealing> = self.lock().sealings(lane).collect();
        let last = sealings.pop().ok_or_else(|| no_session(&Address::Coordinator))?;
        let seal = |sealing: Sealing, mut frame: Vec<u8>| {
            sealing.seal(&*self.suite, &mut frame);
            Bytes::from(frame)
        };
        let mut sealed: Vec<Bytes> =
            sealings.into_iter().map(|sealing| seal(sealing, frame.clone())).collect();
        sealed.push(seal(last, frame));
        Ok(sealed)
    }

    pub(super) fn read(
        &self,
        refusals: &Refusals,
        now: Tick,
        lane: Lane,
        received: Received,
    ) -> Result<Option<Incoming>, Refused> {
        if !matches!(received.channel, Channel::Unknown | Channel::Coordinator) {
            return Err(Refused::Misplaced);
        }
        let bytes = received.bytes;
        let looked = self.lock().look(lane, &bytes)?;
        match looked {
            WorkerFrame::Sealed(opening) => {
                let document = open(&*self.suite, &opening, bytes).ok_or(Refused::Forged)?;
                self.lock().opened(now, &opening)?;
                let opened = Received::new(Channel::Coordinator, document);
                let Some(mut frame) = read_frame(refusals, &opened) else { return Ok(None) };
                frame.messages.retain(|message| match message {
                    Message::Rotated(answer) if lane == Lane::Control => {
                        let mut sessions = self.lock();
                        sessions.rotated(now, answer);
                        self.show_key(&sessions);
                        false
                    }
                    Message::ReplaceKey(asked) if lane == Lane::Control => {
                        let mut sessions = self.lock();
                        sessions.asked_to_replace(asked);
                        self.show_key(&sessions);
                        false
                    }
                    _ => true,
                });
                Ok(Some(Incoming::Frame(frame)))
            }
            // Signatures are verified under the lock: at most 40 in a second.
            WorkerFrame::Accept => {
                let mut sessions = self.lock();
                let epoch = sessions.accepted(now, &bytes)?;
                self.pinned.send_if_modified(|pinned| {
                    let is_same = sessions.pinned().eq(pinned.iter().copied());
                    if !is_same {
                        *pinned = sessions.pinned().collect();
                    }
                    !is_same
                });
                self.show_key(&sessions);
                drop(sessions);
                tracing::debug!(%epoch, "a session is open");
                Ok(Some(Incoming::Session))
            }
            WorkerFrame::Notice => self.lock().noticed(now, &bytes).map(|()| None),
        }
    }
}
