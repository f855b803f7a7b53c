//! Sign-ins of users, which cookies prove.

use std::sync::Arc;
use std::time::Duration;

use tinpot_core::access::records::Change;
use tinpot_core::access::{AuditTarget, AuditWho};
use tinpot_core::{Caller, Error, ErrorKind, Result, Timestamp};

use super::state::{SIGN_IN, State, Used};
use super::{Directory, Known, NOTED, Plan, Rejection, not_found};
use crate::clock::{after, between};
use crate::documents::SignIn;
use crate::secret::{Digest, Secret, new_id, new_secret};
use crate::stored::{Stored, write};

/// The time without a request after which a sign-in ends.
const IDLE: Duration = Duration::from_secs(12 * 3_600);
/// The time after which it ends in any case.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);
/// The most sign-ins of one user; the oldest ends first.
const MOST: usize = 50;
/// The beginning of [`Caller::via`] for sign-ins, before their id.
pub(super) const VIA_SIGN_IN: &str = "sign-in:";

impl Directory {
    /// Signs in a user who has been authenticated, and returns the secret for a cookie.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` if the user is disabled; those of
    /// [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn sign_in(&self, by: &AuditWho, user: &str) -> Result<(Secret, SignIn)> {
        self.sign_in_at(by, user, None).await
    }

    /// Signs a user in, who was authenticated with what was valid in this generation.
    ///
    /// # Errors
    /// `Conflict` also if the user is in another generation now.
    pub(crate) async fn sign_in_at(
        &self,
        by: &AuditWho,
        user: &str,
        authenticated: Option<u64>,
    ) -> Result<(Secret, SignIn)> {
        let secret = new_secret()?;
        let hash = Digest::of(secret.expose().as_bytes());
        let id: Arc<str> = new_id()?.into();
        let sign_in = self
            .change(by, "sign_in", |state, now| {
                let found = state.users.get(user).ok_or_else(|| not_found("user", user))?;
                if found.value.is_disabled {
                    let message = format!("the user {:?} is disabled", found.value.name);
                    return Err(Error::new(ErrorKind::Conflict, message));
                }
                let generation = found.value.generation;
                if authenticated.is_some_and(|authenticated| authenticated != generation) {
                    let name = &found.value.name;
                    let message = format!("the user {name:?} was changed during the sign-in");
                    return Err(Error::new(ErrorKind::Conflict, message));
                }
                let user = found.value.id.clone();
                let sign_in =
                    SignIn { id: id.clone(), user, generation, created: now, seen: now, hash };
                let mut changes = vec![write(SIGN_IN, &hash.to_hex(), 0, &sign_in)?];
                changes.extend(oldest(state, &sign_in.user));
                let target = AuditTarget::new("sign_in", id.clone());
                Ok(Plan::new(changes, target, sign_in).detail(&*found.value.name))
            })
            .await?;
        Ok((secret, sign_in))
    }

    /// Returns the sign-ins of a user that have not ended, latest first.
    pub fn sign_ins(&self, user: &str) -> Vec<SignIn> {
        let (now, state) = (self.now(), self.state());
        let of_user = state.sign_ins.values().filter(|found| *found.stored.value.user == *user);
        let open = of_user.filter(|found| end(found) > now && is_valid(&state, found));
        let mut open: Vec<SignIn> = open.map(|found| found.stored.value.clone()).collect();
        open.sort_unstable_by_key(|sign_in| std::cmp::Reverse(sign_in.created));
        open
    }

    /// Ends a sign-in, by its id. Once this returns, this process accepts no request with it.
    ///
    /// # Errors
    /// `NotFound`; those of [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn sign_out(&self, by: &AuditWho, id: &str) -> Result<()> {
        self.change(by, "sign_out", |state, _| {
            let mut all = state.sign_ins.values().map(|found| &found.stored);
            let found = all.find(|found| *found.value.id == *id);
            let found = found.ok_or_else(|| not_found("sign-in", id))?;
            let changes = vec![Change::remove(SIGN_IN, found.value.hash.to_hex(), found.version)];
            Ok(Plan::new(changes, AuditTarget::new("sign_in", id), ()))
        })
        .await
    }

    /// Returns the caller of a sign-in, by the secret in its cookie. Takes microseconds, and no
    /// I/O.
    ///
    /// # Errors
    /// The reason for which it is not accepted.
    pub fn authenticate_sign_in(&self, secret: &str) -> Result<Known, Rejection> {
        let digest = Digest::of(secret.as_bytes());
        let now = self.now();
        let state = self.state();
        let found = state.sign_ins.get(&digest).ok_or(Rejection::Unknown)?;
        let valid_until = end(found);
        if valid_until <= now {
            return Err(Rejection::Expired { token: None, at: valid_until });
        }
        let sign_in = &found.stored.value;
        let user = state.users.get(&sign_in.user).ok_or(Rejection::Disabled)?;
        if user.value.is_disabled {
            return Err(Rejection::Disabled);
        }
        if !is_valid(&state, found) {
            return Err(Rejection::Unknown);
        }
        found.note(now);
        let caller = Caller::new(sign_in.user.clone())
            .name(user.value.name.clone())
            .via(format!("{VIA_SIGN_IN}{}", sign_in.id));
        Ok(Known { caller, valid_until: Some(end(found)) })
    }

    /// Writes the last uses of tokens and sign-ins.
    pub(super) async fn write_uses(&self) -> Result<()> {
        let mut changes = self.uses_of_tokens()?;
        for found in self.state().sign_ins.values() {
            let (last, noted) = (found.last(), &found.stored);
            if between(noted.value.seen, last) >= NOTED {
                let value = SignIn { seen: last, ..noted.value.clone() };
                changes.push(write(SIGN_IN, &value.hash.to_hex(), noted.version, &value)?);
            }
        }
        self.change_each(changes).await
    }

    /// Removes sign-ins and tickets that have ended.
    pub(super) async fn remove_ended(&self) -> Result<()> {
        let now = self.now();
        let ended = {
            let state = self.state();
            let ended = state
                .sign_ins
                .values()
                .filter(|found| end(found) <= now || !is_valid(&state, found))
                .map(|found| &found.stored);
            let remove = |found: &Stored<SignIn>| {
                Change::remove(SIGN_IN, found.value.hash.to_hex(), found.version)
            };
            ended.map(remove).collect()
        };
        self.change_each(ended).await?;
        self.remove_ended_tickets(now).await
    }
}

impl State {
    /// Returns the end of a valid sign-in of a user, by its id.
    pub(super) fn end_of_sign_in(&self, id: &str, user: &str) -> Option<Timestamp> {
        let mut of_user = self.sign_ins.values().filter(|found| {
            let sign_in = &found.stored.value;
            *sign_in.id == *id && *sign_in.user == *user
        });
        of_user.find(|found| is_valid(self, found)).map(end)
    }
}

/// Returns the time at which a sign-in ends if it is not used again.
fn end(found: &Used<SignIn>) -> Timestamp {
    let longest = after(found.stored.value.created, LONGEST);
    longest.min(after(found.last(), IDLE))
}

fn is_valid(state: &State, found: &Used<SignIn>) -> bool {
    let SignIn { user, generation, .. } = &found.stored.value;
    state.users.get(user).is_some_and(|user| user.value.is_valid(*generation))
}

/// Returns the changes that end the oldest sign-ins of a user, so that another one has room.
fn oldest(state: &State, user: &str) -> Vec<Change> {
    let all = state.sign_ins.values().map(|found| &found.stored);
    let mut own: Vec<_> = all.filter(|found| *found.value.user == *user).collect();
    own.sort_unstable_by_key(|found| found.value.created);
    let too_many = (own.len() + 1).saturating_sub(MOST);
    // More than a few are left over only by another bound of an earlier version.
    let remove = own[..too_many.min(100)].iter();
    remove.map(|found| Change::remove(SIGN_IN, found.value.hash.to_hex(), found.version)).collect()
}
