//! API tokens.

use std::sync::Arc;
use std::time::Duration;

use tinpot_core::access::records::Change;
use tinpot_core::access::{AuditTarget, AuditWho};
use tinpot_core::{Caller, DEFAULT_TEAM, Error, ErrorKind, Result, Timestamp};

use super::state::{State, TOKEN};
use super::{Directory, Known, NOTED, Plan, Rejection, invalid, not_found};
use crate::clock::{after, between};
use crate::documents::{Token, TokenHash};
use crate::rules::VIA_TOKEN;
use crate::scopes;
use crate::secret::{Secret, new_id};
use crate::stored::{Stored, write};
use crate::tokens;

/// The lifetime by default.
const LIFETIME: Duration = Duration::from_secs(90 * 86_400);
/// The longest lifetime, of tokens that end.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);
/// The longest time for which both secrets of a rotated token are valid.
const LONGEST_OVERLAP: Duration = Duration::from_secs(30 * 86_400);
/// The most tokens of one principal.
const MOST: usize = 100;
/// The longest name in bytes.
const NAME_BYTES: usize = 100;
/// The last characters of a secret that are kept: digits of its checksum.
const HINT: usize = 4;

/// A token to create.
///
/// ```
/// # use std::sync::Arc;
/// # use tinpot_core::access::{AuditWho, MemoryRecords};
/// use std::time::Duration;
/// use tinpot_access::{Directory, NewToken};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let directory = Directory::builder(Arc::new(MemoryRecords::new())).open().await?;
/// # let by = AuditWho::new("operator", "", "root");
/// let ci = directory.add_program(&by, "default", "ci").await?;
/// let week = Duration::from_secs(7 * 86_400);
/// let new = NewToken::new("nightly", ci.id).scopes(&["run:deploy-*"]).lifetime(week);
/// let (secret, token) = directory.create_token(&by, new).await?;
/// // The secret is available only here: the directory stores its digest.
/// assert!(secret.expose().starts_with("tpt_"));
/// assert_eq!(token.scopes, ["run:deploy-*"]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct NewToken {
    name: String,
    principal: Arc<str>,
    scopes: Vec<String>,
    lifetime: Option<Duration>,
    asked_by: Option<Caller>,
    secret: Option<Secret>,
}

impl NewToken {
    /// Describes a token with all rights of a user or program, for 90 days.
    pub fn new(name: impl Into<String>, principal: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            principal: principal.into(),
            scopes: vec!["all".to_owned()],
            lifetime: Some(LIFETIME),
            asked_by: None,
            secret: None,
        }
    }

    /// Limits it to these scopes, such as `read` and `run:deploy-*`.
    #[must_use]
    pub fn scopes(mut self, scopes: &[&str]) -> Self {
        self.scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self
    }

    /// Sets the time for which it is valid.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Sets the caller who asks for it. A caller with a token can create only tokens that have no
    /// more scopes, and end no later, than that one.
    #[must_use]
    pub fn asked_by(mut self, caller: Caller) -> Self {
        self.asked_by = Some(caller);
        self
    }

    /// Returns a new secret for [`secret`](Self::secret).
    ///
    /// # Errors
    /// `Other` if the system has no random numbers.
    pub fn generate_secret() -> Result<Secret> {
        tokens::generate()
    }

    /// Returns a new secret for [`secret`](Self::secret) in the form of MiniTower's tokens: `mtk_` and
    /// 43 characters.
    ///
    /// # Errors
    /// `Other` if the system has no random numbers.
    pub fn generate_minitower_secret() -> Result<Secret> {
        tokens::generate_minitower()
    }

    /// Sets the secret, which [`generate_secret`](Self::generate_secret) or
    /// [`generate_minitower_secret`](Self::generate_minitower_secret) has returned, for a holder that
    /// needs it before the token is created, or in that form.
    #[must_use]
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Makes it valid until it is revoked. The caller of this method must have checked that the
    /// person who asks may manage the server.
    #[must_use]
    pub fn never_expires(mut self) -> Self {
        self.lifetime = None;
        self
    }
}

impl Directory {
    /// Creates a token, and returns its secret, which is not stored and cannot be read again.
    ///
    /// # Errors
    /// `NotFound` for an unknown principal; `InvalidInput` for unknown scopes, or if a bound is
    /// exceeded; `Forbidden` if the token would give more than that of the
    /// [caller](NewToken::asked_by); those of [`Records`](tinpot_core::access::Records) and of the
    /// audit.
    pub async fn create_token(&self, by: &AuditWho, new: NewToken) -> Result<(Secret, Token)> {
        let NewToken { name, principal, scopes, lifetime, asked_by, secret } = new;
        scopes::parse(&scopes)?;
        check_name(&name)?;
        if let Some(got) = lifetime.filter(|lifetime| lifetime.is_zero() || *lifetime > LONGEST) {
            let (days, got) = (LONGEST.as_secs() / 86_400, got.as_secs());
            let message = format!("a token must be valid for at most {days} days (got {got} s)");
            return Err(invalid(message));
        }
        let (secret, hash) = hash_of(secret.map_or_else(tokens::generate, Ok)?)?;
        let id: Arc<str> = new_id()?.into();
        let token = self
            .change(by, "token.create", |state, now| {
                let expires = lifetime.map(|lifetime| after(now, lifetime));
                if let Some(caller) = &asked_by {
                    check_maker(state, caller, &scopes, expires)?;
                }
                let team = self.team_of(state, &principal)?;
                self.check_account(state, &principal)?;
                let tokens = state.tokens.values().map(|token| &token.stored.value);
                let is_own = |token: &&Token| token.principal == principal && !token.is_foreign;
                if tokens.filter(is_own).count() >= MOST {
                    return Err(invalid(format!("a user or program has at most {MOST} tokens")));
                }
                let token = Token {
                    id: id.clone(),
                    name: name.as_str().into(),
                    principal: principal.clone(),
                    team: team.clone(),
                    scopes: scopes.clone(),
                    created: now,
                    expires,
                    last_used: None,
                    lifetime: lifetime.map(|lifetime| lifetime.as_micros() as u64),
                    is_foreign: false,
                    hashes: vec![hash.clone()],
                };
                let mut changes = vec![write(TOKEN, &id, 0, &token)?];
                changes.extend(self.guard(state, &principal)?);
                changes.extend(self.keep_team(state, &team)?);
                let target = AuditTarget::new("token", id.clone()).team(team);
                let detail = format!("{name}: {}", scopes.join(", "));
                Ok(Plan::new(changes, target, token).detail(detail))
            })
            .await?;
        Ok((secret, token))
    }

    /// Returns the token with this id.
    pub fn token(&self, id: &str) -> Option<Token> {
        self.state().tokens.get(id).map(|token| token.stored.value.clone())
    }

    /// Checks that a caller may rotate a token. A caller with a token may rotate only tokens that
    /// have no more scopes than that one: the new secret of another one would give more.
    ///
    /// # Errors
    /// `NotFound`; `Forbidden`.
    pub fn check_rotation(&self, caller: &Caller, id: &str) -> Result<()> {
        let (now, state) = (self.now(), self.state());
        let token = &find(&state, id)?.value;
        let expires = token.lifetime.map(|micros| after(now, Duration::from_micros(micros)));
        check_maker(&state, caller, &token.scopes, expires)
    }

    /// Returns all tokens, by id.
    pub fn tokens(&self) -> Vec<Token> {
        self.state().tokens.values().map(|token| token.stored.value.clone()).collect()
    }

    /// Gives a token another secret, and a new lifetime as long as its first. The former secret
    /// stays valid for `overlap`; the one before that ends at once.
    ///
    /// # Errors
    /// `NotFound`; `InvalidInput` for an overlap of more than 30 days; those of
    /// [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn rotate_token(
        &self,
        by: &AuditWho,
        id: &str,
        overlap: Duration,
    ) -> Result<(Secret, Token)> {
        if overlap > LONGEST_OVERLAP {
            let (days, got) = (LONGEST_OVERLAP.as_secs() / 86_400, overlap.as_secs());
            return Err(invalid(format!("an overlap must be at most {days} days (got {got} s)")));
        }
        let (secret, hash) = hash_of(tokens::generate()?)?;
        let token = self
            .change(by, "token.rotate", |state, now| {
                let Stored { version, value } = find(state, id)?;
                let mut token = value.clone();
                // The latest one, unless it has ended.
                let former = token.hashes.pop().map(|former| {
                    let ends = [former.until, token.expires, Some(after(now, overlap))];
                    TokenHash { until: ends.into_iter().flatten().min(), ..former }
                });
                let former = former.filter(|former| former.until.is_some_and(|until| until > now));
                token.hashes = former.into_iter().chain([hash.clone()]).collect();
                token.expires =
                    token.lifetime.map(|micros| after(now, Duration::from_micros(micros)));
                self.check_account(state, &token.principal)?;
                let mut changes = vec![write(TOKEN, id, *version, &token)?];
                changes.extend(self.guard(state, &token.principal)?);
                Ok(Plan::new(changes, target(&token), token))
            })
            .await?;
        Ok((secret, token))
    }

    /// Revokes a token. Once this returns, this process accepts no request with it.
    ///
    /// # Errors
    /// `NotFound`; those of [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn revoke_token(&self, by: &AuditWho, id: &str) -> Result<()> {
        self.change(by, "token.revoke", |state, _| {
            let Stored { version, value } = find(state, id)?;
            let mut changes = vec![Change::remove(TOKEN, id, *version)];
            changes.extend(self.guard(state, &value.principal)?);
            Ok(Plan::new(changes, target(value), ()).detail(&*value.name))
        })
        .await
    }

    /// Returns the caller of a token. Takes microseconds, and no I/O.
    ///
    /// # Errors
    /// The reason for which it is not accepted.
    pub fn authenticate_token(&self, text: &str) -> Result<Known, Rejection> {
        let digest =
            tokens::digest(text).map_err(|error| Rejection::Malformed(error.to_string()))?;
        let now = self.now();
        let state = self.state();
        let id = state.token_ids.get(&digest).ok_or(Rejection::Unknown)?;
        let token = state.tokens.get(id).ok_or(Rejection::Unknown)?;
        let value = &token.stored.value;
        let hash = value.hashes.iter().find(|hash| hash.hash == digest);
        let hash = hash.ok_or(Rejection::Unknown)?;
        let valid_until = [hash.until, value.expires].into_iter().flatten().min();
        if let Some(at) = valid_until.filter(|at| *at <= now) {
            return Err(Rejection::Expired { token: Some(id.clone()), at });
        }
        let caller = match (state.users.get(&value.principal), state.programs.get(&value.principal))
        {
            (Some(user), _) if user.value.is_disabled => return Err(Rejection::Disabled),
            (Some(user), _) if !self.inner.has_teams || user.value.is_in(&value.team) => {
                let caller = Caller::new(value.principal.clone()).name(user.value.name.clone());
                caller.team(value.team.clone())
            }
            (Some(_), _) => return Err(Rejection::NoTeam),
            (None, Some(program)) => Caller::new(value.principal.clone())
                .name(program.value.name.clone())
                .team(program.value.team.clone()),
            (None, None) => return Err(Rejection::Disabled),
        };
        // Without teams, another process may have made one in the same store.
        let is_open = match self.inner.has_teams {
            true => !state.is_disabled(&caller.team),
            false => *caller.team == *DEFAULT_TEAM,
        };
        if !is_open {
            return Err(Rejection::NoTeam);
        }
        token.note(now);
        Ok(Known { caller: caller.via(format!("{VIA_TOKEN}{id}")), valid_until })
    }

    /// Returns true if the caller may create tokens for itself. A caller with a token may only if
    /// that has the scope `tokens`.
    pub fn may_make_tokens(&self, caller: &Caller) -> bool {
        let Some(id) = caller.via.strip_prefix(VIA_TOKEN) else { return true };
        maker(&self.state(), id).is_some()
    }

    /// Returns the team in which a principal acts: that of a program, or that of this handle.
    pub(super) fn team_of(&self, state: &State, principal: &str) -> Result<Arc<str>> {
        let team = match state.programs.get(principal) {
            Some(program) => program.value.team.clone(),
            None => self.team.clone(),
        };
        let is_member = self.is_member(state, &team, principal);
        let is_here = !self.inner.has_teams || team == self.team;
        (is_member && is_here)
            .then_some(team)
            .ok_or_else(|| not_found("user or program", principal))
    }

    /// Returns the changes that write the last uses of tokens.
    pub(super) fn uses_of_tokens(&self) -> Result<Vec<Change>> {
        let state = self.state();
        let mut changes = Vec::new();
        for token in state.tokens.values() {
            let Stored { version, value } = &token.stored;
            let last = token.last();
            if last > Timestamp(0)
                && value.last_used.is_none_or(|noted| between(noted, last) >= NOTED)
            {
                let value = Token { last_used: Some(last), ..value.clone() };
                changes.push(write(TOKEN, &value.id, *version, &value)?);
            }
        }
        Ok(changes)
    }
}

pub(super) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_BYTES || name.chars().any(char::is_control) {
        let message = format!(
            "the name of a token must have 1 to {NAME_BYTES} bytes, without control characters (got {name:?})"
        );
        return Err(invalid(message));
    }
    Ok(())
}

/// Returns the token with this id, if it can make others.
fn maker<'a>(state: &'a State, id: &str) -> Option<&'a Token> {
    let token = state.tokens.get(id).map(|token| &token.stored.value);
    token.filter(|token| token.scopes.iter().any(|scope| scope == scopes::TOKENS))
}

/// Checks that a caller with a token makes none that gives more.
fn check_maker(
    state: &State,
    caller: &Caller,
    asked: &[String],
    expires: Option<Timestamp>,
) -> Result<()> {
    let Some(id) = caller.via.strip_prefix(VIA_TOKEN) else { return Ok(()) };
    let forbidden = |why: String| Err(Error::new(ErrorKind::Forbidden, why));
    let Some(maker) = maker(state, id) else {
        let scope = scopes::TOKENS;
        return forbidden(format!("token {id} makes no tokens: it needs the scope {scope:?}"));
    };
    if let Some(scope) = scopes::first_beyond(asked, &maker.scopes)? {
        let held = maker.scopes.join(", ");
        return forbidden(format!(
            "a token that is made with token {id} has its scopes, {held}, or parts of them (got {scope:?})"
        ));
    }
    match maker.expires {
        Some(end) if expires.is_none_or(|expires| expires > end) => {
            let got = expires.map_or_else(|| "no end".to_owned(), |at| at.to_string());
            forbidden(format!(
                "a token that is made with token {id} must end by {end}, as that does (got {got})"
            ))
        }
        _ => Ok(()),
    }
}

fn hash_of(secret: Secret) -> Result<(Secret, TokenHash)> {
    let hash = tokens::digest(secret.expose()).map_err(|error| invalid(error.to_string()))?;
    let text = secret.expose();
    let hint = text[text.len().saturating_sub(HINT)..].to_owned();
    Ok((secret, TokenHash { hash, until: None, hint }))
}

fn find<'a>(state: &'a State, id: &str) -> Result<&'a Stored<Token>> {
    let token = state.tokens.get(id).ok_or_else(|| not_found("token", id))?;
    Ok(&token.stored)
}

fn target(token: &Token) -> AuditTarget {
    AuditTarget::new("token", token.id.clone()).team(token.team.clone())
}
