//! Joining: a worker has its key enrolled with a join token.

mod desk;
mod request;
mod terms;

use serde::{Deserialize, Serialize};

pub use self::desk::{Desk, JoinAdmission, JoinClaim};
pub use self::request::{JoinRequest, Joined};
pub use self::terms::{Before, JoinRefusal, JoinTerms};
use super::grant::WorkerLimits;
use super::handshake::{Hex, KeyId, PAYLOAD_BYTES, SIGNATURE_BYTES, text};
use super::header::{FrameKind, HEADER_BYTES, Header};
use super::suite::{Digest, PublicKey, Signature, Suite};

/// The most keys of a namespace that a worker pins: two while it changes.
pub(super) const COORDINATOR_KEYS: usize = 2;
/// The version of both messages.
const VERSION: u32 = 1;
/// The text before the digest of a join in the salt of the keys that seal its answer.
const SALT: &[u8] = b"tinpot/1 join\0";
/// The counter of the one text that is sealed with these keys.
const COUNTER: u64 = 1;

/// The request to enrol a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Join {
    v: u32,
    namespace: String,
    /// The id of the token's public key.
    token: KeyId,
    /// The key to enrol.
    key: Hex<32>,
    /// The public half of the key pair for the sealed part of the answer, which is new in every
    /// join.
    e: Hex<32>,
    /// The name of the worker.
    name: String,
    /// The version of the program, for people.
    version: String,
}

/// The answer to a join. It has either `enrolled` or `refused`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Answer {
    v: u32,
    namespace: String,
    /// The id of the key that asked.
    key: KeyId,
    /// The SHA-256 of the payload of the join.
    join: Hex<32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enrolled: Option<EnrolledAnswer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<JoinRefusal>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct EnrolledAnswer {
    name: String,
    grant: WorkerLimits,
    /// The public keys of the namespace: at most two.
    coordinator_keys: Vec<Hex<32>>,
    /// The public half of the coordinator's key pair for the sealed part.
    e: Hex<32>,
    /// A [`BrokerLogin`], sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    broker: Option<String>,
    /// The URL of the HTTP server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server: Option<String>,
}

/// The user and password of a worker at the broker.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerLogin {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for BrokerLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrokerLogin").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The parts of a join: two signatures and a payload.
#[derive(Clone, Copy, Debug)]
struct JoinParts<'a> {
    by_token: &'a Signature,
    by_key: &'a Signature,
    payload: &'a [u8],
}

impl<'a> JoinParts<'a> {
    /// Returns the frame of a join.
    fn frame(token: &dyn Suite, key: &dyn Suite, join: &Join) -> Vec<u8> {
        // Every field has a JSON form. Without one, the empty payload is refused by every receiver.
        let payload = serde_json::to_vec(join).unwrap_or_default();
        let signed = text(FrameKind::Join, &payload);
        let mut frame = Vec::with_capacity(HEADER_BYTES + 2 * SIGNATURE_BYTES + payload.len());
        frame.extend_from_slice(&Header::signed(FrameKind::Join).encode());
        frame.extend_from_slice(&token.sign(&signed));
        frame.extend_from_slice(&key.sign(&signed));
        frame.extend_from_slice(&payload);
        frame
    }

    fn of(frame: &'a [u8]) -> Option<Self> {
        if Header::decode(frame)? != Header::signed(FrameKind::Join) {
            return None;
        }
        let (by_token, rest) = frame[HEADER_BYTES..].split_first_chunk()?;
        let (by_key, payload) = rest.split_first_chunk()?;
        (payload.len() <= PAYLOAD_BYTES).then_some(Self { by_token, by_key, payload })
    }

    fn read(&self) -> Option<Join> {
        serde_json::from_slice(self.payload).ok()
    }

    /// Returns true if both have signed the payload.
    fn is_by(&self, suite: &dyn Suite, token: &PublicKey, key: &PublicKey) -> bool {
        let signed = text(FrameKind::Join, self.payload);
        suite.verify(token, &signed, self.by_token) && suite.verify(key, &signed, self.by_key)
    }
}

/// Returns the salt of the keys that seal a part of an answer. No session has the same.
fn salt(suite: &dyn Suite, join: &Digest, e: &[u8; 32]) -> Digest {
    suite.digest(&[SALT, join, e].concat())
}

/// Returns a text from its hexadecimal digits.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pair = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    text.len().is_multiple_of(2).then(|| text.as_bytes().chunks_exact(2).map(pair).collect())?
}
