//! The signed messages of handshakes, and their frames.

use std::fmt;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::header::{FrameKind, HEADER_BYTES, Header};
use super::suite::{Digest, PublicKey, Signature, Suite};
use crate::model::error::{Error, ErrorKind};
use crate::model::fence::Epoch;
use crate::model::id::WorkerId;

/// The version of the handshake.
pub(super) const VERSION: u32 = 1;
/// The name of the suite that this version speaks.
pub(super) const SUITE: &str = "TP1";
/// The largest payload of a signed frame.
pub(super) const PAYLOAD_BYTES: usize = 4096;
pub(super) const SIGNATURE_BYTES: usize = 64;

/// Bytes that are written as lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hex<const N: usize>(pub [u8; N]);

/// The id of a public key: the first 16 bytes of its SHA-256.
pub type KeyId = Hex<16>;

impl KeyId {
    /// Returns the id of a key.
    pub fn of(suite: &dyn Suite, key: &PublicKey) -> Self {
        let digest = suite.digest(&key.0);
        Hex(digest.first_chunk().copied().unwrap_or_default())
    }

    /// Returns the id of a participant that joins with this key.
    pub fn joiner(&self) -> WorkerId {
        match WorkerId::new(&self.to_string()) {
            Ok(id) => id,
            Err(_) => unreachable!("32 hexadecimal digits are an id"),
        }
    }
}

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<const N: usize> fmt::Debug for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<const N: usize> FromStr for Hex<N> {
    type Err = Error;

    /// Reads lower-case hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, Error> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let pair = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
        let bytes: Option<Vec<u8>> = match text.len() == 2 * N {
            true => text.as_bytes().chunks_exact(2).map(pair).collect(),
            false => None,
        };
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Hex).ok_or_else(|| {
            let message = format!("{} hexadecimal digits are expected", 2 * N);
            Error::new(ErrorKind::InvalidInput, message)
        })
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The first message of a handshake: a worker asks a coordinator for a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Init {
    /// The version of the handshake: 1.
    pub v: u32,
    /// The namespace of both.
    pub namespace: String,
    /// The coordinator's key that the worker knows.
    pub to: KeyId,
    /// The id of the worker.
    pub worker: WorkerId,
    /// The worker's key, which signs.
    pub key: KeyId,
    /// The shard that the session is for.
    pub shard: u32,
    /// The public half of the worker's key pair for this agreement, which is new in every init.
    pub e: Hex<32>,
    /// The suites that the worker speaks.
    pub suites: Vec<String>,
}

/// The second message of a handshake: the coordinator's answer, which opens the session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accept {
    /// The version of the handshake: 1.
    pub v: u32,
    /// The namespace of both.
    pub namespace: String,
    /// The id of the worker.
    pub worker: WorkerId,
    /// The worker's key.
    pub worker_key: KeyId,
    /// The coordinator's key, which signs.
    pub key: KeyId,
    /// The certificates of the coordinator's key; empty for a namespace key.
    pub chain: Vec<serde_json::Value>,
    /// The epoch of the coordinator.
    pub epoch: Epoch,
    /// The shard of the coordinator.
    pub shard: u32,
    /// The id of the session.
    pub session: Hex<8>,
    /// The public half of the coordinator's key pair for this agreement.
    pub e: Hex<32>,
    /// The suite of the session.
    pub suite: String,
    /// The SHA-256 of the init's payload.
    pub init: Hex<32>,
    /// The public keys of the namespace that count from now on: the one that signs and, before the
    /// namespace gets another one, that. If it is empty, the worker keeps those that it knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Hex<32>>,
    /// If true, the coordinator asks the worker to replace its key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rotate: bool,
}

/// The announcement of a coordinator. It only makes workers without a session for its epoch ask for
/// one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// The version of the handshake: 1.
    pub v: u32,
    /// The namespace of the coordinator.
    pub namespace: String,
    /// The coordinator's key, which signs.
    pub key: KeyId,
    /// The epoch of the coordinator.
    pub epoch: Epoch,
    /// The shard of the coordinator.
    pub shard: u32,
    /// The number of shards.
    pub shards: u32,
    /// If true, the coordinator takes plain frames, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plain: bool,
    /// The session of a frame that the coordinator could not open, because it does not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Hex<8>>,
}

/// A signed frame: header, signature, and a JSON payload.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    kind: FrameKind,
    signature: &'a Signature,
    payload: &'a [u8],
}

impl<'a> Signed<'a> {
    /// Returns the frame of a message, signed by the identity key of the suite.
    pub fn frame(suite: &dyn Suite, kind: FrameKind, message: &impl Serialize) -> Vec<u8> {
        // Every field has a JSON form. Without one, the empty payload is refused by every receiver.
        let payload = serde_json::to_vec(message).unwrap_or_default();
        let signature = suite.sign(&text(kind, &payload));
        let mut frame = Vec::with_capacity(HEADER_BYTES + SIGNATURE_BYTES + payload.len());
        frame.extend_from_slice(&Header::signed(kind).encode());
        frame.extend_from_slice(&signature);
        frame.extend_from_slice(&payload);
        frame
    }

    /// Takes a frame of this kind apart. Its signature is not verified yet. `None` if it is no such
    /// frame.
    pub fn parts(kind: FrameKind, frame: &'a [u8]) -> Option<Self> {
        if Header::decode(frame)? != Header::signed(kind) {
            return None;
        }
        let (signature, payload) = frame[HEADER_BYTES..].split_first_chunk()?;
        (payload.len() <= PAYLOAD_BYTES).then_some(Self { kind, signature, payload })
    }

    /// Returns true if the owner of the key has signed the payload as a message of this kind.
    pub fn is_by(&self, suite: &dyn Suite, key: &PublicKey) -> bool {
        suite.verify(key, &text(self.kind, self.payload), self.signature)
    }

    /// Reads the payload.
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(self.payload).ok()
    }

    /// Returns the signature.
    pub fn signature(&self) -> &'a Signature {
        self.signature
    }

    /// Returns the payload as it was signed.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// Returns the text that is signed.
pub(super) fn text(kind: FrameKind, payload: &[u8]) -> Vec<u8> {
    [b"tinpot/1 ", kind.name().as_bytes(), b"\0", payload].concat()
}

/// Returns the salt of a session's keys: both messages of its handshake are in it.
pub(super) fn salt(suite: &dyn Suite, init: &Digest, accept: &[u8]) -> Digest {
    suite.digest(&[*init, suite.digest(accept)].concat())
}
