//! Join tokens.

use std::time::Duration;

use tinpot_core::access::records::Change;
use tinpot_core::access::{AuditTarget, AuditWho};
use tinpot_core::action::check_label;
use tinpot_core::seal::{Hex, JoinTerms, KeyId, PublicKey, Suite, WorkerLimits};
use tinpot_core::{Error, ErrorKind, Result};

use super::documents::{JoinTokenInfo, TOKEN};
use super::{Plan, WorkerKeys, not_found};
use crate::clock::after;
use crate::join_token::JoinToken;
use crate::secret::Secret;
use crate::stored::write;

/// The time for which a token is valid by default, and at most.
const LIFETIME: Duration = Duration::from_secs(3_600);
const LONGEST: Duration = Duration::from_secs(30 * 86_400);
/// The most uses of a token.
const USES: u32 = 10_000;
/// The most tokens.
const MOST: usize = 1_000;
/// The most tokens whose workers serve one team alone, of several: others need room, too.
const MOST_OF_TEAM: usize = MOST / 4;
/// The maximum number of teams of a worker. The catalogue has each of its actions once for every
/// team.
const TEAMS: usize = 16;
/// The longest pattern of names, in bytes.
const NAMES_BYTES: usize = 64;
/// The largest lists of limits in bytes: the answer to a join has at most 4 KiB.
const LISTS_BYTES: usize = 2_000;

/// A join token to create.
///
/// ```
/// # use std::sync::Arc;
/// # use tinpot_core::access::{AuditWho, MemoryRecords};
/// use tinpot_access::{IdentityKey, NewJoinToken, RingSuite, WorkerKeys};
/// use tinpot_core::seal::{Suite, WorkerLimits};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let by = AuditWho::new("operator", "", "root");
/// let namespace = RingSuite::new(&IdentityKey::generate()?);
/// let keys = WorkerKeys::builder(Arc::new(MemoryRecords::new())).open().await?;
///
/// let new = NewJoinToken::new(WorkerLimits::new("web-*")).uses(3);
/// let (secret, token) = keys.create_token(&by, namespace.public(), new).await?;
/// assert!(secret.expose().starts_with("tpj_"));
/// assert_eq!((token.terms.uses, keys.tokens().len()), (3, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewJoinToken {
    limits: WorkerLimits,
    uses: u32,
    lifetime: Duration,
    is_temporary: bool,
}

impl NewJoinToken {
    /// Describes a token for one worker within these limits, for an hour.
    pub fn new(limits: WorkerLimits) -> Self {
        Self { limits, uses: 1, lifetime: LIFETIME, is_temporary: false }
    }

    /// Sets the number of workers that may join with it.
    #[must_use]
    pub fn uses(mut self, uses: u32) -> Self {
        self.uses = uses;
        self
    }

    /// Sets the time for which it is valid.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Removes the keys of its workers a day after they were last heard: for workers that keep their
    /// keys in memory.
    #[must_use]
    pub fn temporary(mut self, yes: bool) -> Self {
        self.is_temporary = yes;
        self
    }

    fn check(&self) -> Result<()> {
        let invalid = |message: String| Err(Error::new(ErrorKind::InvalidInput, message));
        let WorkerLimits { names, queues, groups, actions, teams, .. } = &self.limits;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '*');
        if !(1..=NAMES_BYTES).contains(&names.len()) || !names.chars().all(allowed) {
            return invalid(format!(
                "names must be 1 to {NAMES_BYTES} of A-Z a-z 0-9 . _ - *, for example \"web-*\" (got {names:?})"
            ));
        }
        if !(1..=USES).contains(&self.uses) {
            return invalid(format!("uses must be from 1 to {USES} (got {})", self.uses));
        }
        if self.lifetime.is_zero() || self.lifetime > LONGEST {
            let (most, got) = (LONGEST.as_secs(), self.lifetime.as_secs());
            return invalid(format!("a join token must be valid for 1 to {most} s (got {got})"));
        }
        let mut bytes = 0;
        let lists = [("queue", queues), ("group", groups), ("action", actions), ("team", teams)];
        for (what, labels) in lists {
            for label in labels.iter().flatten() {
                check_label(what, label)?;
                bytes += label.len() + 3;
            }
        }
        let got = teams.as_ref().map_or(1, Vec::len);
        if !(1..=TEAMS).contains(&got) {
            return invalid(format!("a worker serves 1 to {TEAMS} teams (got {got})"));
        }
        if bytes > LISTS_BYTES {
            return invalid(format!(
                "the queues, groups, actions and teams of a join token must have at most {LISTS_BYTES} bytes (got {bytes})"
            ));
        }
        Ok(())
    }
}

impl WorkerKeys {
    /// Creates a join token for the coordinator of this key. Its secret is in no record.
    ///
    /// # Errors
    /// `InvalidInput` for limits, uses or a lifetime out of bounds, and if there are 1,000 tokens;
    /// those of [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn create_token(
        &self,
        by: &AuditWho,
        coordinator: PublicKey,
        new: NewJoinToken,
    ) -> Result<(Secret, JoinTokenInfo)> {
        new.check()?;
        let token = JoinToken::generate(coordinator)?;
        let suite = token.suite();
        let (id, public) = (KeyId::of(&suite, &suite.public()), suite.public());
        let info = self
            .change(by, "join_token.create", |state, now| {
                if state.tokens.len() >= MOST {
                    let message = format!("there are {MOST} join tokens: revoke some of them");
                    return Err(Error::new(ErrorKind::InvalidInput, message));
                }
                let teams = new.limits.teams.as_ref().filter(|teams| teams.len() == 1);
                let is_of_team = |limits: &WorkerLimits| limits.teams.as_ref() == teams;
                let of_team = state.tokens.values().map(|token| &token.value.terms.limits);
                if teams.is_some() && of_team.filter(|limits| is_of_team(limits)).count() >= MOST_OF_TEAM {
                    let message = format!(
                        "the team has {MOST_OF_TEAM} join tokens, a quarter of those of the server: \
                         revoke some of them"
                    );
                    return Err(Error::new(ErrorKind::InvalidInput, message));
                }
                let mut terms = JoinTerms::new(new.limits.clone(), after(now, new.lifetime));
                terms.uses = new.uses;
                let info = JoinTokenInfo {
                    id,
                    key: Hex(public.0),
                    terms,
                    created: now,
                    is_temporary: new.is_temporary,
                    by: by.name.clone(),
                };
                let changes = vec![write(TOKEN, &id.to_string(), 0, &info)?];
                let target = AuditTarget::new("join_token", id.to_string());
                let detail = format!("{} of {}", new.uses, new.limits.names);
                Ok(Plan::new(changes, target, info).detail(detail))
            })
            .await?;
        Ok((token.to_secret(), info))
    }

    /// Revokes a join token: no worker can join with it. Those that have joined stay enrolled.
    ///
    /// # Errors
    /// `NotFound`; those of [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn revoke_token(&self, by: &AuditWho, id: &KeyId) -> Result<()> {
        self.change(by, "join_token.revoke", |state, _| {
            let stored = state.tokens.get(id).ok_or_else(|| not_found("join token", id))?;
            let changes = vec![Change::remove(TOKEN, id.to_string(), stored.version)];
            let target = AuditTarget::new("join_token", id.to_string());
            Ok(Plan::new(changes, target, ()).detail(&*stored.value.terms.limits.names))
        })
        .await
    }
}
