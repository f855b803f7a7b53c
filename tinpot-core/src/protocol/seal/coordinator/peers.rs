//! The sessions of a coordinator by their ids, workers and keys.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::model::address::Lane;
use crate::model::id::WorkerId;
use crate::protocol::budget::Budget;
use crate::protocol::frame::Frame;
use crate::protocol::message::Message;
use crate::protocol::seal::grant::WorkerGrant;
use crate::protocol::seal::handshake::KeyId;
use crate::protocol::seal::header::Header;
use crate::protocol::seal::refused::Refused;
use crate::protocol::seal::session::{Session, SessionId};
use crate::protocol::seal::suite::Digest;
use crate::protocol::tick::Tick;

/// The time for which a session waits for the first frame of its worker.
const PENDING: Duration = Duration::from_secs(10);
/// The time for which frames of a session are read after another one has replaced it.
const FORMER: Duration = Duration::from_secs(10);
/// The maximum number of sessions of one worker that wait for their first frame. A further one
/// displaces the oldest: it may be a repeated init. Workers that share a key displace nothing of
/// each other. [`INITS_PER_KEY`] bounds what waits of one key.
const PENDING_PER_WORKER: usize = 2;
/// The maximum number of all sessions that wait for their first frame.
const PENDING_ALL: usize = 1024;
/// The maximum number of workers with a session, of one key and of all.
const WORKERS_PER_KEY: usize = 1_000;
const WORKERS: usize = 10_000;
/// The maximum number of workers with a session whose keys serve one team, of several, and no other.
const WORKERS_PER_TEAM: usize = WORKERS / 4;
/// The maximum number of handshakes of one key in a second.
const INITS_PER_KEY: u32 = 5;
/// The maximum number of requests to replace one key in a second.
const ROTATIONS_PER_KEY: u32 = 5;
/// The time between two looks whether the worker of a session is to replace its key.
const LOOK: Duration = Duration::from_secs(5);
/// The time after which a session is given up if nothing was heard in it. Its worker asks for
/// another one when it comes back.
const SILENCE: Duration = Duration::from_secs(600);
/// The time between two searches for silent sessions.
const SEARCH: Duration = Duration::from_secs(60);

/// A worker that has proven its key.
#[derive(Debug)]
pub struct Peer {
    /// The id of the worker.
    pub worker: WorkerId,
    /// Its key.
    pub key: KeyId,
    /// The grant of the key.
    pub grant: Arc<WorkerGrant>,
    /// If true, the worker has said hello in this session, or in one that it has replaced.
    pub(super) introduced: AtomicBool,
    /// The time of the last look whether it is to replace its key.
    pub(super) looked: AtomicU64,
}

impl Peer {
    /// Returns true if this is the key of the worker, or the one that it has replaced.
    pub(super) fn is_of(&self, key: &KeyId) -> bool {
        self.key == *key || self.grant.follows.as_ref() == Some(key)
    }

    /// Returns true if it is time to look whether the worker is to replace its key.
    pub(super) fn is_to_look(&self, now: Tick) -> bool {
        let is_due = now.since(Tick(self.looked.load(Ordering::Relaxed))) >= LOOK;
        if is_due {
            self.looked.store(now.0, Ordering::Relaxed);
        }
        is_due
    }

    /// Limits a frame that was opened on a lane in a session of the worker: hellos to the grant.
    /// One that the grant does not allow is left out. Returns false if the worker has not
    /// introduced itself before this frame: what it said under another grant counts no more.
    ///
    /// # Errors
    /// `Foreign` if the frame names another sender or addressee.
    pub fn limit(&self, lane: Lane, frame: &mut Frame) -> Result<bool, Refused> {
        if frame.from.as_ref() != Some(&self.worker) || frame.to.is_some() {
            return Err(Refused::Foreign);
        }
        frame.messages.retain_mut(|message| match message {
            Message::Hello(hello) => self.grant.cut(hello),
            _ => true,
        });
        let is_hello = |message: &Message| matches!(message, Message::Hello(_));
        // The coordinator ignores a hello on another lane.
        Ok(match lane == Lane::Control && frame.messages.iter().any(is_hello) {
            true => self.introduced.swap(true, Ordering::Relaxed),
            false => self.introduced.load(Ordering::Relaxed),
        })
    }
}

/// A handshake that was verified, with the session that it makes.
#[derive(Debug)]
pub struct Answered {
    pub(super) session: Session,
    pub(super) peer: Arc<Peer>,
    pub(super) init: Digest,
    pub(super) accept: Vec<u8>,
}

impl Answered {
    /// Returns the worker that the answer is for.
    pub fn worker(&self) -> &WorkerId {
        &self.peer.worker
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }
}

#[derive(Debug)]
struct Entry {
    session: Session,
    peer: Arc<Peer>,
    init: Digest,
    state: State,
    heard: Tick,
}

#[derive(Debug)]
enum State {
    /// No frame was opened yet. It has the accept, in case the init is repeated.
    Pending { until: Tick, accept: Vec<u8> },
    /// It is read and written.
    Current,
    /// It is only read.
    Former { until: Tick },
}

/// The sessions and handshakes of one key.
#[derive(Debug)]
struct KeyState {
    inits: Budget,
    rotations: Budget,
    pending: VecDeque<SessionId>,
    workers: usize,
    /// The teams of the key's grant.
    teams: Option<Vec<String>>,
}

#[derive(Debug, Default)]
pub(super) struct Peers {
    entries: HashMap<SessionId, Entry>,
    current: HashMap<WorkerId, SessionId>,
    keys: HashMap<KeyId, KeyState>,
    /// The pending sessions by the inits that they answer.
    answered: HashMap<Digest, SessionId>,
    /// The ends of pending and former sessions, in order.
    ends: VecDeque<(Tick, SessionId)>,
    searched: Tick,
    revision: u64,
}

impl Peers {
    /// Returns the accept that answers this init, if its session is pending.
    pub(super) fn accept_of(&self, init: &Digest) -> Option<Vec<u8>> {
        match &self.entries.get(self.answered.get(init)?)?.state {
            State::Pending { accept, .. } => Some(accept.clone()),
            State::Current | State::Former { .. } => None,
        }
    }

    /// Returns true if this init has made the session that the worker uses.
    pub(super) fn has_answered(&self, init: &Digest, worker: &WorkerId) -> bool {
        let session = self.current.get(worker).and_then(|id| self.entries.get(id));
        session.is_some_and(|entry| entry.init == *init)
    }

    /// Counts a handshake of a key. Returns false if there were too many.
    pub(super) fn may_ask(&mut self, now: Tick, key: &KeyId) -> bool {
        self.key(*key).inits.take(now)
    }

    /// Counts a request to replace a key. Returns false if there were too many.
    pub(super) fn may_rotate(&mut self, now: Tick, key: &KeyId) -> bool {
        self.key(*key).rotations.take(now)
    }

    fn key(&mut self, key: KeyId) -> &mut KeyState {
        self.keys.entry(key).or_insert_with(|| KeyState {
            inits: Budget::per_second(INITS_PER_KEY),
            rotations: Budget::per_second(ROTATIONS_PER_KEY),
            pending: VecDeque::new(),
            workers: 0,
            teams: None,
        })
    }

    pub(super) fn pend(&mut self, now: Tick, answered: Answered) -> Result<Vec<u8>, Refused> {
        let Answered { session, peer, init, accept } = answered;
        let (id, is_known) = (session.id(), self.current.contains_key(&peer.worker));
        // A worker with another key is one more of this key, although not of all.
        let is_counted = self.key_of(&peer.worker) == Some(peer.key);
        let key = self.key(peer.key);
        key.teams.clone_from(&peer.grant.teams);
        // Those that wait may be of further workers.
        if !is_counted && key.workers + key.pending.len() >= WORKERS_PER_KEY {
            return Err(Refused::Budget);
        }
        let team = peer.grant.teams.as_ref().filter(|teams| teams.len() == 1);
        if !is_known && team.is_some() {
            let of_team = self.keys.values().filter(|key| key.teams.as_ref() == team);
            let number: usize = of_team.map(|key| key.workers + key.pending.len()).sum();
            if number >= WORKERS_PER_TEAM {
                return Err(Refused::Budget);
            }
        }
        if let Some(displaced) = self.displaced(&peer) {
            self.remove(displaced);
        }
        if self.answered.len() >= PENDING_ALL
            || !is_known && self.current.len() + self.answered.len() >= WORKERS
            || self.entries.contains_key(&id)
        {
            return Err(Refused::Budget);
        }
        let until = now + PENDING;
        self.key(peer.key).pending.push_back(id);
        self.answered.insert(init, id);
        self.ends.push_back((until, id));
        let state = State::Pending { until, accept: accept.clone() };
        self.entries.insert(id, Entry { session, peer, init, state, heard: now });
        Ok(accept)
    }

    /// Returns the oldest pending session of a worker, if it has as many as it may have.
    fn displaced(&self, peer: &Peer) -> Option<SessionId> {
        let pending = &self.keys.get(&peer.key)?.pending;
        let worker = |id: &SessionId| self.entries.get(id).map(|entry| &entry.peer.worker);
        let mut own = pending.iter().filter(|id| worker(id) == Some(&peer.worker));
        let oldest = own.next().copied();
        oldest.filter(|_| 1 + own.count() >= PENDING_PER_WORKER)
    }

    pub(super) fn is_open(&self, worker: &WorkerId) -> bool {
        self.current.contains_key(worker)
    }

    /// Returns the key of a worker that has a session.
    pub(super) fn key_of(&self, worker: &WorkerId) -> Option<KeyId> {
        let entry = self.entries.get(self.current.get(worker)?)?;
        Some(entry.peer.key)
    }

    /// Returns the session to seal with.
    pub(super) fn current(&mut self, worker: &WorkerId) -> Option<&mut Session> {
        let id = self.current.get(worker)?;
        self.entries.get_mut(id).map(|entry| &mut entry.session)
    }

    /// Returns a session that may be read, and its worker.
    pub(super) fn find(&self, id: SessionId) -> Option<(&Session, &Peer)> {
        self.entries.get(&id).map(|entry| (&entry.session, &*entry.peer))
    }

    /// Notes a frame that was opened. Returns its worker, and true if the session begins with it.
    pub(super) fn opened(
        &mut self,
        now: Tick,
        header: &Header,
    ) -> Result<(Arc<Peer>, bool), Refused> {
        let entry = self.entries.get_mut(&header.session).ok_or(Refused::UnknownSession)?;
        if !entry.session.opened(header) {
            return Err(Refused::Repeated);
        }
        entry.heard = now;
        let peer = entry.peer.clone();
        let is_new = matches!(entry.state, State::Pending { .. });
        if is_new {
            self.promote(now, header.session)?;
        }
        Ok((peer, is_new))
    }

    /// Returns true if a worker has a session of another key than this one, or than the one that it
    /// has replaced. A worker id belongs to one start of one process, so another key has no reason
    /// to use it.
    pub(super) fn is_taken(&self, worker: &WorkerId, key: &KeyId, grant: &WorkerGrant) -> bool {
        let holder = self.key_of(worker);
        holder.is_some_and(|holder| holder != *key && grant.follows != Some(holder))
    }

    /// Makes a pending session the one to seal with. The one before it is read for a while.
    fn promote(&mut self, now: Tick, id: SessionId) -> Result<(), Refused> {
        self.not_pending(id);
        let entry = self.entries.get_mut(&id).ok_or(Refused::UnknownSession)?;
        entry.state = State::Current;
        let peer = entry.peer.clone();
        if self.is_taken(&peer.worker, &peer.key, &peer.grant) {
            self.remove(id);
            return Err(Refused::Taken);
        }
        match self.current.insert(peer.worker.clone(), id) {
            Some(before) => {
                let until = now + FORMER;
                let mut former = None;
                if let Some(before) = self.entries.get_mut(&before) {
                    before.state = State::Former { until };
                    former = Some(before.peer.key).filter(|key| *key != peer.key);
                    // It is of the same key and grant, or it would have ended before. A key that has
                    // replaced it has the same limits, unless they were changed meanwhile.
                    if before.peer.key == peer.key || before.peer.grant.is_like(&peer.grant) {
                        let introduced = before.peer.introduced.load(Ordering::Relaxed);
                        peer.introduced.store(introduced, Ordering::Relaxed);
                    }
                }
                self.ends.push_back((until, before));
                if let Some(former) = former {
                    self.leave(&former);
                    self.key(peer.key).workers += 1;
                }
            }
            None => self.key(peer.key).workers += 1,
        }
        Ok(())
    }

    /// Takes a session off the lists of pending ones.
    fn not_pending(&mut self, id: SessionId) {
        let Some(entry) = self.entries.get(&id) else { return };
        self.answered.remove(&entry.init);
        if let Some(key) = self.keys.get_mut(&entry.peer.key) {
            key.pending.retain(|pending| *pending != id);
        }
    }

    fn remove(&mut self, id: SessionId) {
        self.not_pending(id);
        let Some(entry) = self.entries.remove(&id) else { return };
        let peer = &entry.peer;
        if self.current.get(&peer.worker) == Some(&id) {
            self.current.remove(&peer.worker);
            let key = peer.key;
            self.leave(&key);
        }
    }

    /// Counts one worker less of a key.
    fn leave(&mut self, key: &KeyId) {
        if let Some(key) = self.keys.get_mut(key) {
            key.workers = key.workers.saturating_sub(1);
        }
    }

    /// Ends the sessions whose time is over. About once a minute, it returns the keys whose workers
    /// were heard since.
    pub(super) fn expire(&mut self, now: Tick) -> Vec<KeyId> {
        while let Some((_, id)) = self.ends.front().copied().filter(|(until, _)| *until <= now) {
            self.ends.pop_front();
            let over = self.entries.get(&id).is_some_and(|entry| match entry.state {
                State::Pending { until, .. } | State::Former { until } => until <= now,
                State::Current => false,
            });
            if over {
                self.remove(id);
            }
        }
        if now.since(self.searched) < SEARCH {
            return Vec::new();
        }
        let since = std::mem::replace(&mut self.searched, now);
        let heard = self.entries.values().filter(|entry| entry.heard >= since);
        let mut heard: Vec<KeyId> = heard.map(|entry| entry.peer.key).collect();
        heard.sort_unstable();
        heard.dedup();
        let silent = |entry: &Entry| now.since(entry.heard) >= SILENCE;
        self.remove_all(silent);
        let is_idle = |key: &KeyState| key.inits.is_idle(now) && key.rotations.is_idle(now);
        self.keys.retain(|_, key| key.workers > 0 || !key.pending.is_empty() || !is_idle(key));
        heard
    }

    /// Ends the sessions of keys that were revoked or changed since the last look.
    pub(super) fn revised(
        &mut self,
        revision: u64,
        find: impl Fn(&KeyId) -> Option<Arc<WorkerGrant>>,
    ) {
        if std::mem::replace(&mut self.revision, revision) != revision {
            self.remove_all(|entry| find(&entry.peer.key).as_ref() != Some(&entry.peer.grant));
        }
    }

    fn remove_all(&mut self, is_over: impl Fn(&Entry) -> bool) {
        let over = self.entries.iter().filter(|(_, entry)| is_over(entry)).map(|(id, _)| *id);
        for id in over.collect::<Vec<_>>() {
            self.remove(id);
        }
    }
}
