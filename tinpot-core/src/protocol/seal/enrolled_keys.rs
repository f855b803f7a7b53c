//! Enrolled keys in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use super::grant::{Enrolled, WorkerGrant, WorkerLimits, matches};
use super::handshake::KeyId;
use super::join::{Before, JoinClaim, JoinRefusal, JoinTerms};
use super::rotation::{RotationClaim, RotationRefusal};
use super::suite::{PublicKey, Suite};
use crate::model::time::Timestamp;

/// Enrolled keys in memory.
#[derive(Debug, Default)]
pub struct EnrolledKeys {
    keys: RwLock<Keys>,
}

#[derive(Debug, Default)]
struct Keys {
    grants: BTreeMap<KeyId, Arc<WorkerGrant>>,
    /// The tokens that enrolled keys by joins.
    joined: BTreeMap<KeyId, KeyId>,
    revoked: BTreeSet<KeyId>,
    tokens: BTreeMap<KeyId, (PublicKey, JoinTerms)>,
    /// The keys that have replaced others, by those.
    successors: BTreeMap<KeyId, KeyId>,
    /// The keys that are to be replaced.
    asked: BTreeSet<KeyId>,
    reserved: Vec<String>,
    revision: u64,
}

impl EnrolledKeys {
    /// Enrols a key, or changes its grant. Returns its id.
    pub fn enrol(&self, suite: &dyn Suite, grant: WorkerGrant) -> KeyId {
        let id = KeyId::of(suite, &grant.key);
        let mut keys = self.write();
        keys.enrol(id, grant);
        keys.joined.remove(&id);
        keys.revoked.remove(&id);
        id
    }

    /// Lets workers join with a token, whose public half this is. Returns the token's id.
    pub fn allow_joins(&self, suite: &dyn Suite, token: PublicKey, terms: JoinTerms) -> KeyId {
        let id = KeyId::of(suite, &token);
        self.write().tokens.insert(id, (token, terms));
        id
    }

    /// Returns the public half of a join token.
    pub fn token(&self, token: &KeyId) -> Option<PublicKey> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.tokens.get(token).map(|(public, _)| *public)
    }

    /// Enrols the key of a claim, which was verified. Returns its limits.
    ///
    /// # Errors
    /// The reason why the key is not enrolled.
    pub fn join(&self, now: Timestamp, claim: &JoinClaim) -> Result<WorkerLimits, JoinRefusal> {
        let mut keys = self.write();
        let (_, terms) = keys.tokens.get(&claim.token).ok_or(JoinRefusal::Unknown)?;
        let enrolled = keys.grants.get(&claim.key_id);
        let enrolled = enrolled.filter(|_| keys.joined.get(&claim.key_id) == Some(&claim.token));
        let before = match enrolled {
            _ if keys.revoked.contains(&claim.key_id) => Before::Revoked,
            Some(grant) => Before::Enrolled { name: &grant.names },
            None => Before::Unknown,
        };
        let (limits, is_use) = terms.admit(now, &claim.name, before)?;
        if is_use {
            if let Some((_, terms)) = keys.tokens.get_mut(&claim.token) {
                terms.uses -= 1;
            }
            keys.enrol(claim.key_id, WorkerGrant::limited(claim.key, limits.clone()));
            keys.joined.insert(claim.key_id, claim.token);
        }
        Ok(limits)
    }

    /// Enrols the key of a claim, which was verified, in place of another one. Both are valid until
    /// that one is [revoked](Self::revoke).
    ///
    /// # Errors
    /// The reason why the key is not enrolled.
    pub fn rotate(&self, claim: &RotationClaim) -> Result<(), RotationRefusal> {
        let mut keys = self.write();
        let grant = keys.grants.get(&claim.from).cloned().ok_or(RotationRefusal::Ended)?;
        match keys.successors.get(&claim.from) {
            Some(before) if *before == claim.key_id => return Ok(()),
            Some(_) => return Err(RotationRefusal::Replaced),
            None => {}
        }
        if keys.grants.contains_key(&claim.key_id) || keys.revoked.contains(&claim.key_id) {
            return Err(RotationRefusal::Used);
        }
        keys.enrol(claim.key_id, grant.of_successor(claim.key, claim.from));
        keys.successors.insert(claim.from, claim.key_id);
        Ok(())
    }

    /// Asks the workers with a key to replace it.
    pub fn ask_to_rotate(&self, key: KeyId) {
        self.write().asked.insert(key);
    }

    fn write(&self) -> RwLockWriteGuard<'_, Keys> {
        self.keys.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Revokes a key. Returns false if it was not enrolled.
    pub fn revoke(&self, key: &KeyId) -> bool {
        let mut keys = self.write();
        keys.revision += 1;
        keys.revoked.insert(*key);
        keys.grants.remove(key).is_some()
    }
}

impl Keys {
    fn enrol(&mut self, id: KeyId, grant: WorkerGrant) {
        if !self.reserved.contains(&grant.names) {
            self.reserved.push(grant.names.clone());
        }
        self.grants.insert(id, Arc::new(grant));
        self.revision += 1;
    }
}

impl Enrolled for EnrolledKeys {
    fn find(&self, key: &KeyId) -> Option<Arc<WorkerGrant>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).grants.get(key).cloned()
    }

    fn is_reserved(&self, name: &str) -> bool {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.reserved.iter().any(|names| matches(names, name))
    }

    fn revision(&self) -> u64 {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).revision
    }

    fn is_to_rotate(&self, key: &KeyId) -> bool {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.asked.contains(key) || keys.successors.contains_key(key)
    }

    fn heard(&self, _keys: &[KeyId]) {}
}
