//! Rotation: the key of a worker is replaced in a session of that key.

use std::sync::Arc;
use std::time::Duration;

use super::handshake::{Hex, KeyId};
use super::refused::Refused;
use super::suite::{PublicKey, Signature, Suite};
use crate::model::id::WorkerId;
use crate::protocol::rotation::{Rotate, Rotated};
use crate::protocol::tick::Tick;

/// The time after which a worker that got no answer asks again.
const RESEND: Duration = Duration::from_secs(5);

/// A verified request to replace a key: the owner of the enrolled key asks for it, and the owner of
/// the new key agrees.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RotationClaim {
    /// The id of the key that is enrolled.
    pub from: KeyId,
    /// The key that takes its place.
    pub key: PublicKey,
    /// The id of that key.
    pub key_id: KeyId,
    /// The worker that asks.
    pub worker: WorkerId,
}

impl RotationClaim {
    /// Creates a claim, for tests of those that enrol: a coordinator gets it from a session.
    pub fn new(from: KeyId, key: PublicKey, key_id: KeyId, worker: WorkerId) -> Self {
        Self { from, key, key_id, worker }
    }
}

/// The reason why a key is not replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RotationRefusal {
    /// The key is not enrolled any more.
    #[error("the present key is not enrolled any more: join again")]
    Ended,
    /// Another key has replaced it already.
    #[error("another key has replaced the present one already: join again")]
    Replaced,
    /// The other key is or was enrolled.
    #[error("the other key is or was enrolled for another worker: create one that is new")]
    Used,
    /// The key has itself replaced another one a short while ago.
    #[error(
        "the present key has replaced another one less than an hour ago: ask again later, or ask an \
         operator for \"tinpot workers rotate\""
    )]
    TooSoon,
    /// The coordinator keeps no keys that can be replaced.
    #[error("this coordinator does not replace keys: join again")]
    Unsupported,
}

/// A request to replace a key whose proof is not verified yet.
#[derive(Clone, Debug)]
pub struct Rotation {
    claim: RotationClaim,
    proof: Signature,
    text: Vec<u8>,
}

impl Rotation {
    pub(super) fn read(
        suite: &dyn Suite,
        namespace: &str,
        from: KeyId,
        worker: &WorkerId,
        rotate: &Rotate,
    ) -> Result<Self, Refused> {
        let key: PublicKey = rotate.key.parse().map_err(|_| Refused::Malformed)?;
        let Hex(proof) = rotate.proof.parse::<Hex<64>>().map_err(|_| Refused::Malformed)?;
        let key_id = KeyId::of(suite, &key);
        let text = text(namespace, &from, &key);
        let claim = RotationClaim { from, key, key_id, worker: worker.clone() };
        Ok(Self { claim, proof, text })
    }

    /// Verifies that the owner of the other key agrees.
    ///
    /// # Errors
    /// `Forged` if the proof is of another key, or for another one than the key of the session.
    pub fn verify(self, suite: &dyn Suite) -> Result<RotationClaim, Refused> {
        if !suite.verify(&self.claim.key, &self.text, &self.proof) {
            return Err(Refused::Forged);
        }
        Ok(self.claim)
    }
}

/// Returns the text that the key signs which takes the place of another one.
fn text(namespace: &str, from: &KeyId, key: &PublicKey) -> Vec<u8> {
    [b"tinpot/1 rotate\0", namespace.as_bytes(), b"\0", &from.0, &key.0].concat()
}

/// The key that is to replace that of a worker.
#[derive(Debug)]
pub(super) struct Successor {
    pub(super) suite: Arc<dyn Suite>,
    pub(super) key: KeyId,
    /// If true, the coordinator has said that it is enrolled.
    pub(super) is_enrolled: bool,
    /// If true, the coordinator was asked to enrol it, and may have done so.
    pub(super) was_asked_for: bool,
    message: Rotate,
    due: Tick,
}

impl Successor {
    pub(super) fn new(now: Tick, suite: Arc<dyn Suite>, namespace: &str, from: &KeyId) -> Self {
        let public = suite.public();
        let proof = Hex(suite.sign(&text(namespace, from, &public)));
        let message = Rotate { key: public.to_string(), proof: proof.to_string() };
        let key = KeyId::of(&*suite, &public);
        Self { suite, key, is_enrolled: false, was_asked_for: false, message, due: now }
    }

    /// Returns the time of the next request; `None` if it was answered.
    pub(super) fn due(&self) -> Option<Tick> {
        (!self.is_enrolled).then_some(self.due)
    }

    /// Returns the request, if it is due.
    pub(super) fn ask(&mut self, now: Tick) -> Option<Rotate> {
        self.due().filter(|due| *due <= now)?;
        self.due = now + RESEND;
        self.was_asked_for = true;
        Some(self.message.clone())
    }

    /// Returns true if this is the answer to its request.
    pub(super) fn is_answered_by(&self, answer: &Rotated) -> bool {
        answer.key == self.message.key
    }
}

/// The state of a worker's key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyState {
    /// The id of the key that the worker uses.
    pub key: KeyId,
    /// If true, the coordinator asks for another key.
    pub is_to_rotate: bool,
    /// The reason why the last key was not enrolled in place of this one.
    pub refused: Option<String>,
}
