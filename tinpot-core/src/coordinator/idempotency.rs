//! Submissions with a key: the same key means the same execution.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Shared;
use crate::access::SecretSealer;
use crate::model::digest::Digest;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::execution::{Execution, Owner};
use crate::model::id::ExecutionId;
use crate::model::json::{Json, mask};
use crate::model::page::ListOptions;
use crate::store::Store;

/// The maximum length of a key or requester, in characters.
const NAME_MAX_CHARS: usize = 255;
/// The number of keys in the control loop's memory: those that a caller may have looked up in the
/// store just before they were committed.
const RECENT_KEYS: usize = 65_536;

/// Checks a name that a submitter has chosen.
pub(super) fn check_name(what: &str, text: &str) -> Result<()> {
    let chars = text.chars().count();
    let message = if !(1..=NAME_MAX_CHARS).contains(&chars) {
        format!("{what} must have 1 to {NAME_MAX_CHARS} characters (got {chars})")
    } else if text.chars().any(char::is_control) {
        format!("{what} must not have control characters (got {text:?})")
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::InvalidInput, message))
}

/// The number of successful commits of the control loop.
#[derive(Debug, Default)]
pub(super) struct Commits(AtomicU64);

impl Commits {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn are(&self, count: u64) {
        self.0.store(count, Ordering::Release);
    }
}

/// The keys that were accepted recently. A submission with a key looks it up in the store first; a
/// key that was committed after that lookup is here.
#[derive(Debug, Default)]
pub(super) struct RecentKeys {
    ids: HashMap<Arc<str>, ExecutionId>,
    /// The keys, each with the number of the commit that makes it visible in the store.
    order: VecDeque<(u64, Arc<str>)>,
    /// The number of the commit of the last key that was forgotten.
    forgotten: u64,
}

impl RecentKeys {
    pub(super) fn find(&self, key: &str) -> Option<ExecutionId> {
        self.ids.get(key).copied()
    }

    /// Returns true if a lookup in the store that began after this number of commits may have
    /// missed a key that is not here any more.
    pub(super) fn may_have_missed(&self, commits: u64) -> bool {
        self.forgotten > commits
    }

    pub(super) fn insert(&mut self, commit: u64, key: Arc<str>, id: ExecutionId) {
        self.ids.insert(key.clone(), id);
        self.order.push_back((commit, key));
        if self.order.len() > RECENT_KEYS
            && let Some((commit, key)) = self.order.pop_front()
        {
            self.ids.remove(&key);
            self.forgotten = self.forgotten.max(commit);
        }
    }

    /// Forgets a key if its execution is not in the store: it was not committed, or was removed.
    pub(super) fn remove(&mut self, key: &Arc<str>, id: ExecutionId) {
        if self.find(key) == Some(id) {
            self.ids.remove(key);
            self.order.retain(|(_, other)| other != key);
        }
    }
}

/// Returns the execution that was submitted with an idempotency key, in its stored form.
pub(super) async fn with_key(store: &dyn Store, key: &str) -> Result<Option<Arc<Execution>>> {
    let find = async |key: &str| -> Result<Option<Arc<Execution>>> {
        Ok(store.executions(&ListOptions::new().idempotency_key(key)).await?.pop())
    };
    let found = find(key).await?;
    if found.is_some() {
        return Ok(found);
    }
    match Owner::earlier_key(key) {
        // Earlier versions did not know callers.
        Some(earlier) => Ok(find(&earlier).await?.filter(|found| found.caller.is_empty())),
        None => Ok(None),
    }
}

/// The purpose of the digests of secrets.
const DIGEST: &str = "secrets of a submission";
/// The digits by which a digest names its key.
const KEY_DIGITS: usize = 8;

/// Decides whether the secrets of a new execution are erased at its end, and keeps the digest to
/// compare a repetition with.
pub(super) fn forget_secrets(shared: &Shared, execution: &mut Execution) {
    execution.forgets_secrets = shared.forget_secrets && !execution.secrets.is_empty();
    if let Some(key) = shared.secret_digests.as_ref().filter(|_| execution.forgets_secrets) {
        execution.secrets_digest = digest(&**key, execution).map(Into::into);
    }
}

/// Returns the digest of the secrets of an execution with an idempotency key. It is also of that key,
/// so that it does not show which executions have the same secrets.
fn digest(key: &dyn SecretSealer, execution: &Execution) -> Option<String> {
    let mut text = execution.idempotency_key.as_deref()?.as_bytes().to_vec();
    mask::each_place(&execution.parameters, &execution.secrets, |place, value| {
        // However it is written, it is the same value.
        let value: serde_json::Value = serde_json::from_str(value).unwrap_or_default();
        for part in [place.as_bytes(), value.to_string().as_bytes()] {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part);
        }
        None
    });
    // After a rotation, the digests of the former key can be compared with none.
    let mut id = Digest::from(key.digest(DIGEST, b"")).to_string();
    id.truncate(KEY_DIGITS);
    let digest = Digest::from(key.digest(DIGEST, &text));
    text.fill(0);
    Some(format!("{id}.{digest}"))
}

/// Returns true if the erased secrets of an earlier execution are known to be others.
fn has_other_secrets(new: &Execution, earlier: &Execution) -> bool {
    fn parts(execution: &Execution) -> Option<(&str, &str)> {
        execution.secrets_digest.as_deref()?.split_once('.')
    }
    match (parts(new), parts(earlier)) {
        (Some((key, mine)), Some((its_key, its))) if new.secrets == earlier.secrets => {
            key == its_key && mine != its
        }
        _ => false,
    }
}

/// Returns the id of the execution that was submitted earlier with the same key, if the new
/// submission asks for the same. Secrets that were erased are compared by their digests.
pub(super) fn same(new: &Execution, earlier: &Execution) -> Result<ExecutionId> {
    let parameters = |execution: &Execution| match earlier.has_forgotten_secrets() {
        true => mask::at_places(&execution.parameters, &earlier.secrets),
        false => execution.parameters.clone(),
    };
    let values =
        |json: &Json| serde_json::from_str::<serde_json::Value>(json.as_str()).unwrap_or_default();
    let (mine, theirs) = (parameters(new), parameters(earlier));
    let what = if new.action != earlier.action {
        format!("action {:?}", earlier.action)
    } else if (mine != theirs && values(&mine) != values(&theirs))
        || (earlier.has_forgotten_secrets() && has_other_secrets(new, earlier))
    {
        "other parameters".to_owned()
    } else {
        return Ok(earlier.id);
    };
    let message = format!("idempotency_key: it was used for execution {} with {what}", earlier.id);
    Err(Error::new(ErrorKind::Conflict, message))
}
