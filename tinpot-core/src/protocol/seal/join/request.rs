//! The half of a worker.

use std::sync::Arc;

use super::{
    Answer, BrokerLogin, COORDINATOR_KEYS, COUNTER, EnrolledAnswer, Join, JoinParts, JoinRefusal,
    VERSION, from_hex, salt,
};
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::id::WorkerId;
use crate::protocol::seal::grant::WorkerLimits;
use crate::protocol::seal::handshake::{Hex, KeyId, Signed};
use crate::protocol::seal::header::{FrameKind, Header, TAG_BYTES};
use crate::protocol::seal::refused::Refused;
use crate::protocol::seal::suite::{Digest, Ephemeral, PublicKey, Suite};

/// A request to enrol a key, and what is needed to read its answer.
#[derive(Debug)]
pub struct JoinRequest {
    suite: Arc<dyn Suite>,
    key: KeyId,
    coordinator: PublicKey,
    namespace: String,
    name: String,
    ephemeral: Option<Box<dyn Ephemeral>>,
    digest: Digest,
    frame: Vec<u8>,
}

/// The answer to a join: the key is enrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Joined {
    /// The id of the key.
    pub key: KeyId,
    /// The name of the worker.
    pub name: String,
    /// The limits of the worker.
    pub limits: WorkerLimits,
    /// The keys of the namespace, to be pinned.
    pub coordinator_keys: Vec<PublicKey>,
    /// The worker's login at the broker, if the coordinator has a broker of its own.
    pub broker: Option<BrokerLogin>,
    /// The URL of the HTTP server of the coordinator, if the coordinator knows it.
    pub server: Option<String>,
}

impl JoinRequest {
    /// Asks the coordinator of this key to enrol the key of a suite for a worker of this name.
    /// `token` is the suite of the join token.
    ///
    /// # Errors
    /// `Unavailable` if the system has no randomness, `InvalidInput` for a name or a version of
    /// thousands of bytes.
    pub fn new(
        token: &dyn Suite,
        suite: Arc<dyn Suite>,
        coordinator: PublicKey,
        namespace: impl Into<String>,
        name: impl Into<String>,
        version: impl Into<String>,
    ) -> Result<Self> {
        let (namespace, name) = (namespace.into(), name.into());
        let ephemeral = suite.ephemeral()?;
        let public = suite.public();
        let join = Join {
            v: VERSION,
            namespace: namespace.clone(),
            token: KeyId::of(token, &token.public()),
            key: Hex(public.0),
            e: Hex(ephemeral.public()),
            name: name.clone(),
            version: version.into(),
        };
        let frame = JoinParts::frame(token, &*suite, &join);
        let payload = JoinParts::of(&frame).map(|parts| parts.payload).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, "the name or the version of the worker is too long")
        })?;
        let (digest, key) = (suite.digest(payload), KeyId::of(&*suite, &public));
        let ephemeral = Some(ephemeral);
        Ok(Self { suite, key, coordinator, namespace, name, ephemeral, digest, frame })
    }

    /// Returns the frame to send, and to repeat until it is answered.
    pub fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// Returns the id of the key that is to be enrolled.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// Returns the id at which the answer arrives.
    pub fn joiner(&self) -> WorkerId {
        self.key.joiner()
    }

    /// Reads an answer. The inner error is that of the coordinator.
    ///
    /// # Errors
    /// The reason why the frame counts for nothing.
    pub fn answer(&mut self, frame: &[u8]) -> Result<Result<Joined, JoinRefusal>, Refused> {
        let signed = Signed::parts(FrameKind::Joined, frame).ok_or(Refused::Malformed)?;
        if !signed.is_by(&*self.suite, &self.coordinator) {
            return Err(Refused::Forged);
        }
        let answer: Answer = signed.read().ok_or(Refused::Malformed)?;
        if answer.v != VERSION || answer.namespace != self.namespace || answer.key != self.key {
            return Err(Refused::Foreign);
        }
        if answer.join.0 != self.digest {
            return Err(Refused::Unasked);
        }
        if let Some(refused) = answer.refused {
            return Ok(Err(refused));
        }
        let enrolled = answer.enrolled.ok_or(Refused::Malformed)?;
        let keys: Vec<_> =
            enrolled.coordinator_keys.iter().map(|Hex(key)| PublicKey(*key)).collect();
        if keys.len() > COORDINATOR_KEYS || !keys.contains(&self.coordinator) {
            return Err(Refused::Foreign);
        }
        if enrolled.name != self.name {
            return Err(Refused::Name);
        }
        let broker = self.open(&enrolled)?;
        let EnrolledAnswer { name, grant: limits, server, .. } = enrolled;
        Ok(Ok(Joined { key: self.key, name, limits, coordinator_keys: keys, broker, server }))
    }

    fn open(&mut self, enrolled: &EnrolledAnswer) -> Result<Option<BrokerLogin>, Refused> {
        let Some(sealed) = &enrolled.broker else { return Ok(None) };
        let mut body = from_hex(sealed).ok_or(Refused::Malformed)?;
        let ephemeral = self.ephemeral.take().ok_or(Refused::Repeated)?;
        let shared = ephemeral.agree(&enrolled.e.0).ok_or(Refused::Forged)?;
        let salt = salt(&*self.suite, &self.digest, &enrolled.e.0);
        let [key, _] = self.suite.derive(&shared, &salt).down;
        let head = Header::signed(FrameKind::Joined).encode();
        if !self.suite.open(&key, COUNTER, &head, &mut body) {
            return Err(Refused::Forged);
        }
        let end = body.len().checked_sub(TAG_BYTES).ok_or(Refused::Malformed)?;
        serde_json::from_slice(&body[..end]).map(Some).map_err(|_| Refused::Malformed)
    }
}
