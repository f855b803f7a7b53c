//! The half of a coordinator.

use std::sync::Arc;

use super::{
    Answer, BrokerLogin, COUNTER, EnrolledAnswer, Join, JoinParts, JoinRefusal, VERSION, salt,
};
use crate::model::id::WorkerId;
use crate::protocol::budget::Budget;
use crate::protocol::seal::grant::WorkerLimits;
use crate::protocol::seal::handshake::{Hex, KeyId, Signed};
use crate::protocol::seal::header::{FrameKind, Header};
use crate::protocol::seal::refused::Refused;
use crate::protocol::seal::suite::{Digest, PublicKey, Suite};
use crate::protocol::tick::Tick;

/// The maximum number of joins in a second.
const JOINS: u32 = 200;
/// The maximum number of joins in a second with tokens that are not known. They have no part in
/// [`JOINS`]: a stranger who makes up tokens does not stop the joins of others.
const UNKNOWN: u32 = 5;
/// The maximum length of a version in bytes.
const VERSION_BYTES: usize = 64;

/// The desk of a coordinator for those that join.
///
/// A join has three steps: [`admit`](Self::admit) looks at it, [`JoinAdmission::verify`] compares
/// its signatures with the token that it names, and [`enrolled`](Self::enrolled) or
/// [`refused`](Self::refused) answers it.
#[derive(Debug)]
pub struct Desk {
    suite: Arc<dyn Suite>,
    namespace: Arc<str>,
    server: Option<String>,
    /// The keys of the namespace that those learn that join.
    keys: Vec<PublicKey>,
    joins: Budget,
    unknown: Budget,
}

/// A join whose signatures are not verified yet.
#[derive(Debug)]
pub struct JoinAdmission {
    join: Join,
    frame: Vec<u8>,
    digest: Digest,
    key: KeyId,
}

/// A join that was verified: the owner of the token asks to enrol a key, and the owner of the key
/// agrees.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JoinClaim {
    /// The id of the token.
    pub token: KeyId,
    /// The key to enrol.
    pub key: PublicKey,
    /// The id of the key.
    pub key_id: KeyId,
    /// The name of the worker.
    pub name: String,
    /// The version of its program, for people.
    pub version: String,
}

impl JoinClaim {
    /// Creates a claim, for tests of those that enrol: a coordinator gets it from a join.
    pub fn new(
        token: KeyId,
        key: PublicKey,
        key_id: KeyId,
        name: impl Into<String>,
        version: impl Into<String>,
    ) -> Self {
        Self { token, key, key_id, name: name.into(), version: version.into() }
    }
}

impl JoinAdmission {
    /// Returns the id of the token that it names.
    pub fn token(&self) -> KeyId {
        self.join.token
    }

    /// Returns the id at which its answer is awaited.
    pub fn joiner(&self) -> WorkerId {
        self.key.joiner()
    }

    /// Verifies both signatures: that of the token, and that of the key.
    ///
    /// # Errors
    /// `Forged` if one is wrong.
    pub fn verify(&self, suite: &dyn Suite, token: &PublicKey) -> Result<JoinClaim, Refused> {
        let key = PublicKey(self.join.key.0);
        let parts = JoinParts::of(&self.frame).ok_or(Refused::Malformed)?;
        if !parts.is_by(suite, token, &key) {
            return Err(Refused::Forged);
        }
        let Join { token, name, version, .. } = self.join.clone();
        Ok(JoinClaim { token, key, key_id: self.key, name, version })
    }
}

impl Desk {
    /// Creates the desk of the coordinator whose key is that of the suite.
    pub fn new(suite: Arc<dyn Suite>, namespace: impl Into<Arc<str>>) -> Self {
        let (joins, unknown) = (Budget::per_second(JOINS), Budget::per_second(UNKNOWN));
        let keys = vec![suite.public()];
        Self { suite, namespace: namespace.into(), server: None, keys, joins, unknown }
    }

    /// Sets the URL of the HTTP server, which those that join learn.
    #[must_use]
    pub fn server(mut self, url: Option<String>) -> Self {
        self.server = url;
        self
    }

    /// Sets the keys of the namespace, if there are some.
    #[must_use]
    pub fn keys(mut self, keys: &[PublicKey]) -> Self {
        if !keys.is_empty() {
            self.keys = keys.to_vec();
        }
        self
    }

    /// Returns the suite.
    pub fn suite(&self) -> &Arc<dyn Suite> {
        &self.suite
    }

    /// Looks at a join, without verifying it. `is_known` returns true if there may be a token with
    /// this id: of the others, few in a second are admitted.
    ///
    /// # Errors
    /// The reason why it is not answered.
    pub fn admit(
        &mut self,
        now: Tick,
        frame: &[u8],
        is_known: impl FnOnce(&KeyId) -> bool,
    ) -> Result<JoinAdmission, Refused> {
        let parts = JoinParts::of(frame).ok_or(Refused::Malformed)?;
        let join = parts.read().ok_or(Refused::Malformed)?;
        if join.v != VERSION || *join.namespace != *self.namespace {
            return Err(Refused::Foreign);
        }
        if join.version.len() > VERSION_BYTES {
            return Err(Refused::Malformed);
        }
        let budget = match is_known(&join.token) {
            true => &mut self.joins,
            false => &mut self.unknown,
        };
        if !budget.take(now) {
            return Err(Refused::Budget);
        }
        let digest = self.suite.digest(parts.payload);
        let key = KeyId::of(&*self.suite, &PublicKey(join.key.0));
        Ok(JoinAdmission { join, frame: frame.to_vec(), digest, key })
    }

    /// Returns the answer that the key is enrolled.
    ///
    /// # Errors
    /// `NoRandomness`, and `Forged` for a key pair that gives no secret.
    pub fn enrolled(
        &self,
        admission: &JoinAdmission,
        limits: WorkerLimits,
        broker: Option<&BrokerLogin>,
    ) -> Result<Vec<u8>, Refused> {
        let suite = &*self.suite;
        let ephemeral = suite.ephemeral().map_err(|_| Refused::NoRandomness)?;
        let e = ephemeral.public();
        let broker = match broker {
            Some(login) => {
                let shared = ephemeral.agree(&admission.join.e.0).ok_or(Refused::Forged)?;
                let [key, _] = suite.derive(&shared, &salt(suite, &admission.digest, &e)).down;
                let mut body = serde_json::to_vec(login).map_err(|_| Refused::Malformed)?;
                let head = Header::signed(FrameKind::Joined).encode();
                let tag = suite.seal(&key, COUNTER, &head, &mut body);
                body.extend_from_slice(&tag);
                Some(body.iter().map(|byte| format!("{byte:02x}")).collect())
            }
            None => None,
        };
        let enrolled = EnrolledAnswer {
            name: admission.join.name.clone(),
            grant: limits,
            coordinator_keys: self.keys.iter().map(|key| Hex(key.0)).collect(),
            e: Hex(e),
            broker,
            server: self.server.clone(),
        };
        Ok(self.answer(admission, Some(enrolled), None))
    }

    /// Returns the answer that the key is not enrolled.
    pub fn refused(&self, admission: &JoinAdmission, why: JoinRefusal) -> Vec<u8> {
        self.answer(admission, None, Some(why))
    }

    fn answer(
        &self,
        admission: &JoinAdmission,
        enrolled: Option<EnrolledAnswer>,
        refused: Option<JoinRefusal>,
    ) -> Vec<u8> {
        let answer = Answer {
            v: VERSION,
            namespace: self.namespace.to_string(),
            key: admission.key,
            join: Hex(admission.digest),
            enrolled,
            refused,
        };
        Signed::frame(&*self.suite, FrameKind::Joined, &answer)
    }
}
