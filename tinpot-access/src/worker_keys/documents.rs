//! The documents of worker keys, as they are stored.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tinpot_core::Timestamp;
use tinpot_core::seal::{Hex, JoinTerms, KeyId, WorkerLimits};

pub(crate) const KEY: &str = "worker_key";
pub(crate) const TOKEN: &str = "join_token";
/// Names of keys that are removed by themselves.
pub(super) const NAMES: &str = "worker_names";
/// The kinds of documents.
pub(super) const KINDS: [&str; 3] = [KEY, TOKEN, NAMES];

/// The enrolled key of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WorkerKey {
    /// The id of the key.
    pub id: KeyId,
    /// The public key.
    pub key: Hex<32>,
    /// The name and the limits of its worker.
    pub limits: WorkerLimits,
    /// The id of the join token that enrolled it.
    pub token: KeyId,
    /// The time at which it was enrolled.
    pub created: Timestamp,
    /// The time at which its worker was heard, at most 5 minutes before the last frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heard: Option<Timestamp>,
    /// The time at which it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    /// If true, the key is removed a day after it was last heard: its worker keeps it in memory.
    #[serde(default)]
    pub is_temporary: bool,
    /// The version of the worker's program when it joined.
    #[serde(default)]
    pub version: String,
    /// If true, an operator has asked the worker to replace it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rotate: bool,
    /// The key that it has replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<KeyId>,
    /// The key that has replaced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<KeyId>,
    /// The time at which it ends, since another one has replaced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Timestamp>,
    /// The first key of the worker, if this one has replaced others: its user at the broker, which
    /// stays the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<KeyId>,
}

impl WorkerKey {
    /// Returns true if workers with the key are heard at this time.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && self.ends.is_none_or(|ends| now < ends)
    }

    /// Returns the key whose id is the user of the worker at the broker.
    pub fn broker_user(&self) -> KeyId {
        self.first.unwrap_or(self.id)
    }
}

/// A join token, without its secret.
///
/// [`NewJoinToken`](crate::NewJoinToken) has an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JoinTokenInfo {
    /// The id of the token.
    pub id: KeyId,
    /// The public half, which verifies what workers sign with the token.
    pub key: Hex<32>,
    /// The limits of its workers, the uses that are left, and the time at which it ends.
    pub terms: JoinTerms,
    /// The time at which it was created.
    pub created: Timestamp,
    /// If true, the keys of its workers are removed a day after they were last heard.
    #[serde(default)]
    pub is_temporary: bool,
    /// The operator who created it.
    #[serde(default)]
    pub by: Arc<str>,
}
