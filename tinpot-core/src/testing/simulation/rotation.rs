//! Workers that replace their keys, and keys that end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::adversary::is_adversary;
use super::events::{Event, Host};
use super::sealing::Sealing;
use super::world::{Checked, World, broken};
use crate::model::address::{Address, Lane};
use crate::protocol::seal::{Hex, KeyId, Peer, Suite};
use crate::protocol::{Frame, Message, Rotate, Rotated, Tick};
use crate::testing::{Random, ToySuite};

/// The mean time between two requests of the operator.
const INTERVAL: Duration = Duration::from_secs(15);
/// The shortest time for which a key is valid after another one has replaced it.
const OVERLAP: Duration = Duration::from_secs(5);
/// The identities of one worker are this far apart.
const GENERATION: u64 = 1_000;

/// The keys in the files of one worker.
#[derive(Clone, Copy, Debug, Default)]
struct Files {
    /// If true, the first one was enrolled.
    is_enrolled: bool,
    current: u64,
    /// The key that is to replace it. It stays until a session has it.
    next: Option<u64>,
}

/// The keys of all workers.
#[derive(Debug)]
pub(super) struct Rotations {
    is_on: bool,
    files: BTreeMap<usize, Files>,
}

impl Rotations {
    pub(super) fn new(random: &mut Random) -> Self {
        Self { is_on: random.chance(0.5), files: BTreeMap::new() }
    }

    fn files(&mut self, index: usize) -> &mut Files {
        self.files.entry(index).or_default()
    }

    /// Returns true if the first key of a worker is to be enrolled.
    pub(super) fn enrols(&mut self, index: usize) -> bool {
        !std::mem::replace(&mut self.files(index).is_enrolled, true)
    }

    /// Returns the generations of the keys of a worker.
    pub(super) fn keys(&mut self, index: usize) -> (u64, Option<u64>) {
        let Files { current, next, .. } = *self.files(index);
        (current, next)
    }
}

impl Sealing {
    /// Returns the suite of the owner of a key of a worker.
    pub(super) fn suite_of(&self, index: usize, generation: u64) -> ToySuite {
        self.suite.owned_by(2 + index as u64 + generation * GENERATION)
    }

    fn key_of(&self, index: usize, generation: u64) -> KeyId {
        let suite = self.suite_of(index, generation);
        KeyId::of(&suite, &suite.public())
    }

    /// Returns the request of the adversary to have the next key of a worker enrolled for its own
    /// one. It cannot make the proof.
    pub(super) fn forged_rotation(&self, index: usize, adversary: &ToySuite) -> Rotate {
        let current = self.rotations.files.get(&index).map_or(0, |files| files.current);
        let key = self.suite_of(index, current + 1).public();
        let proof = Hex(adversary.sign(&key.0)).to_string();
        Rotate { key: key.to_string(), proof }
    }
}

impl World {
    pub(super) fn plan_rotations(&mut self) {
        let is_on = self.sealing.as_ref().is_some_and(|sealing| sealing.rotations.is_on);
        if is_on && self.plan.profile != super::Profile::Calm {
            let after = self.random.interval(INTERVAL);
            self.after(after, Event::Rotate);
        }
    }

    /// Has a worker replace its key.
    pub(super) fn rotate_a_key(&mut self) -> Checked {
        if self.calm {
            return Ok(());
        }
        self.plan_rotations();
        let index = self.random.below(self.workers.len());
        let node = &mut self.workers[index];
        let Some(sealing) = self.sealing.as_mut().filter(|_| node.paused.is_none()) else {
            return Ok(());
        };
        let files = sealing.rotations.files(index);
        if files.next.is_some() {
            return Ok(());
        }
        let next = files.current + 1;
        files.next = Some(next);
        let suite = sealing.suite_of(index, next);
        self.count("key replaced");
        let node = &mut self.workers[index];
        if let Some(sessions) = node.sessions.as_mut().filter(|_| node.up) {
            sessions.replace_key(node.clock.tick(self.now), Arc::new(suite));
            return self.work(index, |_, _, _| {});
        }
        Ok(())
    }

    /// Takes in the request of a worker at a coordinator.
    pub(super) fn rotate_arrives(
        &mut self,
        index: usize,
        peer: &Peer,
        message: &Message,
    ) -> Checked {
        let process = &mut self.coordinators[index];
        let now = process.clock.tick(self.now);
        let is_paused = process.paused.is_some();
        let (Message::Rotate(rotate), Some(sessions)) = (message, &mut process.sessions) else {
            return Ok(());
        };
        let suite = sessions.suite().clone();
        let claim = sessions.rotation(now, peer, rotate);
        let Ok(claim) = claim.and_then(|rotation| rotation.verify(&*suite)) else { return Ok(()) };
        let worker = peer.worker.clone();
        if is_adversary(&worker) {
            let what = format!("{worker} has {} enrolled, which is not its own", claim.key_id);
            return broken("rotation", what);
        }
        let Some(sealing) = self.sealing.as_mut().filter(|_| !is_paused) else { return Ok(()) };
        if let Err(why) = sealing.enrolled.rotate(&claim) {
            return broken("rotation", format!("{worker} gets no other key: {why}"));
        }
        let after = OVERLAP + self.random.duration(Duration::from_secs(60));
        self.after(after, Event::KeyEnds(claim.from));
        let answer = Rotated { key: rotate.key.clone(), refused: None };
        let messages = vec![Message::Rotated(Box::new(answer))];
        let frame = Frame { from: None, to: Some(worker.clone()), messages };
        self.send(Host::Coordinator(index), &Address::Worker(worker), Lane::Control, frame)
    }

    /// Ends a key that another one has replaced.
    pub(super) fn key_ends(&mut self, key: &KeyId) {
        if let Some(sealing) = self.sealing.as_mut().filter(|_| !self.calm) {
            sealing.enrolled.revoke(key);
            self.count("key ended");
        }
    }

    /// Keeps the key of the session that a worker has opened, or lets the worker crash before it has.
    /// Returns false if it has crashed.
    pub(super) fn key_is_used(&mut self, index: usize) -> bool {
        let node = &self.workers[index];
        let (Some(sessions), Some(sealing)) = (&node.sessions, &mut self.sealing) else {
            return true;
        };
        let key = sessions.key();
        let (_, Some(next)) = sealing.rotations.keys(index) else { return true };
        if sealing.key_of(index, next) != key {
            return true;
        }
        if !self.calm && self.random.chance(0.3) {
            self.crash_worker(index);
            return false;
        }
        *sealing.rotations.files(index) = Files { is_enrolled: true, current: next, next: None };
        true
    }

    /// Returns the requests of a worker to replace its key that are due.
    pub(super) fn rotate_due(&mut self, index: usize, now: Tick) -> Option<Message> {
        let sessions = self.workers[index].sessions.as_mut()?;
        sessions.rotate(now).map(|rotate| Message::Rotate(Box::new(rotate)))
    }
}
