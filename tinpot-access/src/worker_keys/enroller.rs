//! The keys as the coordinator asks for them, and joins.

use std::sync::Arc;

use async_trait::async_trait;
use tinpot_core::access::{AuditDecision, AuditEvent, AuditTarget, AuditWho};
use tinpot_core::seal::{
    Before, BrokerLogin, Enrolled, Enroller, Enrolment, Hex, JoinClaim, JoinRefusal, KeyId,
    PublicKey, RotationClaim, RotationRefusal, WorkerGrant,
};
use tinpot_core::{Names, Result, Timestamp};

use super::documents::{KEY, NAMES, TOKEN, WorkerKey};
use super::{OVERLAP, REST, WorkerKeys};
use crate::clock::between;
use crate::planned::{Plan, record};
use crate::stored::write;

/// The maximum number of names that stay reserved after their temporary keys: about 5 MB.
const NAMES_MOST: usize = 50_000;

#[async_trait]
impl Enrolled for WorkerKeys {
    fn find(&self, key: &KeyId) -> Option<Arc<WorkerGrant>> {
        let state = self.state();
        let ends = state.keys.get(key)?.stored.value.ends;
        state.grants.get(key).filter(|_| ends.is_none_or(|ends| self.now() < ends)).cloned()
    }

    fn is_to_rotate(&self, key: &KeyId) -> bool {
        let state = self.state();
        let key = state.keys.get(key).map(|key| &key.stored.value);
        // A worker may have several processes with one key: each has to take over the other one.
        key.is_some_and(|key| key.rotate || key.replaced_by.is_some())
    }

    fn is_reserved(&self, name: &str) -> bool {
        let state = self.state();
        state.names.contains(name) || Names::of(&state.patterns).has(name)
    }

    fn revision(&self) -> u64 {
        self.state().revision
    }

    fn is_current(&self) -> bool {
        self.inner.last_read.is_current(&*self.inner.records)
    }

    async fn refresh(&self) -> Result<()> {
        Self::refresh(self).await
    }

    fn heard(&self, keys: &[KeyId]) {
        let now = self.now();
        let state = self.state();
        keys.iter().filter_map(|key| state.keys.get(key)).for_each(|key| key.note(now));
    }
}

#[async_trait]
impl Enroller for WorkerKeys {
    fn knows(&self, token: &KeyId) -> bool {
        self.state().tokens.contains_key(token)
    }

    async fn token(&self, token: &KeyId) -> Result<Option<PublicKey>> {
        let find = || self.state().tokens.get(token).map(|token| PublicKey(token.value.key.0));
        if let Some(found) = find() {
            return Ok(Some(found));
        }
        // Another process may have made it a moment ago.
        self.refresh().await?;
        Ok(find())
    }

    async fn enrol(&self, claim: &JoinClaim) -> Result<Result<Enrolment, JoinRefusal>> {
        let id = claim.key_id;
        let by = AuditWho::new("join_token", claim.token.to_string(), &*claim.name);
        let target = || AuditTarget::new("worker_key", id.to_string());
        let decided = self.change(&by, "worker.join", |state, now| {
            let refused =
                |why| Plan::new(Vec::new(), target(), Err(why)).detail(claim.name.clone());
            let Some(token) = state.tokens.get(&claim.token) else {
                return Ok(refused(JoinRefusal::Unknown));
            };
            let stored = state.keys.get(&id).map(|key| &key.stored);
            let before = match stored.map(|stored| &stored.value) {
                Some(key) if key.revoked.is_some() => Before::Revoked,
                Some(key) if key.token == claim.token => {
                    Before::Enrolled { name: &key.limits.names }
                }
                _ => Before::Unknown,
            };
            let (limits, is_use) = match token.value.terms.admit(now, &claim.name, before) {
                Ok(admitted) => admitted,
                Err(why) => return Ok(refused(why)),
            };
            let mut changes = Vec::new();
            if is_use {
                let mut info = token.value.clone();
                info.terms.uses -= 1;
                changes.push(write(TOKEN, &claim.token.to_string(), token.version, &info)?);
                let key = WorkerKey {
                    id,
                    key: Hex(claim.key.0),
                    limits: limits.clone(),
                    token: claim.token,
                    created: now,
                    last_heard: None,
                    revoked: None,
                    is_temporary: info.is_temporary,
                    version: claim.version.clone(),
                    rotate: false,
                    follows: None,
                    replaced_by: None,
                    ends: None,
                    first: None,
                };
                let version = stored.map_or(0, |stored| stored.version);
                changes.push(write(KEY, &id.to_string(), version, &key)?);
                // Its name stays reserved after the key is removed. Not the pattern of the token:
                // one for all names would silence every worker with plain frames.
                if info.is_temporary && !state.names.contains(&*claim.name) {
                    if state.kept_names >= NAMES_MOST {
                        return Ok(refused(JoinRefusal::Full));
                    }
                    changes.push(write(NAMES, &claim.name, 0, &())?);
                }
            }
            Ok(Plan::new(changes, target(), Ok(limits)).detail(claim.name.clone()))
        });
        match decided.await? {
            Ok(limits) => {
                let mut enrolment = Enrolment::new(limits);
                if let Some(namespace) = &self.inner.logins {
                    let password = Self::broker_password(namespace, &id);
                    let password = password.expose().to_owned();
                    enrolment = enrolment.broker(BrokerLogin { user: id.to_string(), password });
                }
                Ok(Ok(enrolment))
            }
            Err(why) => {
                let event = AuditEvent::new(self.now(), by, "worker.join").target(target());
                let event = event.decided(AuditDecision::Refused, why.to_string());
                record(self.inner.audit.as_deref(), &[event]).await?;
                Ok(Err(why))
            }
        }
    }

    async fn rotate(&self, claim: &RotationClaim) -> Result<Result<(), RotationRefusal>> {
        let by = AuditWho::new("worker_key", claim.from.to_string(), claim.worker.as_str());
        let target = || AuditTarget::new("worker_key", claim.key_id.to_string());
        let decided = self.change(&by, "worker.rotate", |state, now| {
            let decided = |answer| Ok(Plan::new(Vec::new(), target(), answer));
            let stored = state.keys.get(&claim.from).map(|key| &key.stored);
            let Some(stored) = stored.filter(|stored| stored.value.is_valid(now)) else {
                return decided(Err(RotationRefusal::Ended));
            };
            match stored.value.replaced_by {
                // The answer was lost.
                Some(before) if before == claim.key_id => return decided(Ok(())),
                Some(_) => return decided(Err(RotationRefusal::Replaced)),
                None if state.keys.contains_key(&claim.key_id) => {
                    return decided(Err(RotationRefusal::Used));
                }
                None => {}
            }
            // A chain of keys would grow without end, each with records that are kept for a month.
            let key = &stored.value;
            if key.follows.is_some() && !key.rotate && between(key.created, now) < REST {
                return decided(Err(RotationRefusal::TooSoon));
            }
            let ends = Timestamp(now.0.saturating_add(OVERLAP.as_micros() as u64));
            let mut former = stored.value.clone();
            (former.replaced_by, former.ends) = (Some(claim.key_id), Some(ends));
            let key = WorkerKey {
                id: claim.key_id,
                key: Hex(claim.key.0),
                created: now,
                last_heard: None,
                rotate: false,
                follows: Some(claim.from),
                replaced_by: None,
                ends: None,
                first: Some(former.broker_user()),
                ..former.clone()
            };
            let changes = vec![
                write(KEY, &claim.from.to_string(), stored.version, &former)?,
                write(KEY, &claim.key_id.to_string(), 0, &key)?,
            ];
            Ok(Plan::new(changes, target(), Ok(())).detail(key.limits.names))
        });
        let decided = decided.await?;
        if let Err(why) = decided {
            let event = AuditEvent::new(self.now(), by, "worker.rotate").target(target());
            let event = event.decided(AuditDecision::Refused, why.to_string());
            record(self.inner.audit.as_deref(), &[event]).await?;
        }
        Ok(decided)
    }
}
