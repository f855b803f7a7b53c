//! Tokens that another system has issued.

use std::sync::Arc;

use tinpot_core::access::{AuditTarget, AuditWho};
use tinpot_core::{Digest, Result, Timestamp};

use super::state::TOKEN;
use super::tokens::check_name;
use super::{Directory, Plan, invalid};
use crate::documents::{Token, TokenHash};
use crate::scopes::ALL;
use crate::secret::new_id;
use crate::stored::write;

/// A token that another system has issued. Its holder goes on using it: that system has kept the
/// SHA-256 of its text, as a directory does.
///
/// Only texts in the form of MiniTower's tokens are accepted.
///
/// ```
/// # use std::sync::Arc;
/// # use tinpot_core::access::{AuditWho, MemoryRecords};
/// use tinpot_access::{Directory, ForeignToken, NewUser};
/// use tinpot_core::{Digest, Timestamp};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let directory = Directory::builder(Arc::new(MemoryRecords::new())).open().await?;
/// # let by = AuditWho::new("operator", "", "root");
/// let user = directory.add_user(&by, NewUser::new("team.demo")).await?;
/// let digest = Digest::from([7; 32]);
/// let token = ForeignToken::new("ci", digest, Timestamp::now());
/// let added = directory.add_foreign_tokens(&by, &user.id, &[token]).await?;
/// assert_eq!((&*added[0].name, added[0].expires), ("ci", None));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ForeignToken {
    /// The name, for people.
    pub name: String,
    /// The SHA-256 of its text.
    pub digest: Digest,
    /// The time at which it was created.
    pub created: Timestamp,
}

impl ForeignToken {
    /// Describes a token with all rights of its principal, which never expires.
    pub fn new(name: impl Into<String>, digest: Digest, created: Timestamp) -> Self {
        Self { name: name.into(), digest, created }
    }
}

impl Directory {
    /// The largest number of tokens in one call of
    /// [`add_foreign_tokens`](Self::add_foreign_tokens).
    pub const MAX_FOREIGN_TOKENS: usize = 200;

    /// Adds tokens of a user or program that another system has issued: all of them, or none. They
    /// do not count against the bound of tokens.
    ///
    /// # Errors
    /// `NotFound` for an unknown principal; `InvalidInput` for a wrong name, for a token that is
    /// known already, and for too many; those of [`Records`](tinpot_core::access::Records) and of the
    /// audit.
    pub async fn add_foreign_tokens(
        &self,
        by: &AuditWho,
        principal: &Arc<str>,
        tokens: &[ForeignToken],
    ) -> Result<Vec<Token>> {
        let max = Self::MAX_FOREIGN_TOKENS;
        if tokens.len() > max {
            let got = tokens.len();
            return Err(invalid(format!("at most {max} tokens can be added at once (got {got})")));
        }
        let mut ids = Vec::<Arc<str>>::new();
        for token in tokens {
            check_name(&token.name)?;
            ids.push(new_id()?.into());
        }
        self.change(by, "token.import", |state, _| {
            let team = self.team_of(state, principal)?;
            self.check_account(state, principal)?;
            let (mut changes, mut added) = (Vec::new(), Vec::new());
            for (id, foreign) in ids.iter().zip(tokens) {
                let hash = foreign.digest.into();
                if state.token_ids.contains_key(&hash) {
                    return Err(invalid(format!("the token {:?} is known already", foreign.name)));
                }
                let token = Token {
                    id: id.clone(),
                    name: foreign.name.as_str().into(),
                    principal: principal.clone(),
                    team: team.clone(),
                    scopes: vec![ALL.to_owned()],
                    created: foreign.created,
                    expires: None,
                    last_used: None,
                    lifetime: None,
                    is_foreign: true,
                    hashes: vec![TokenHash { hash, until: None, hint: String::new() }],
                };
                changes.push(write(TOKEN, id, 0, &token)?);
                added.push(token);
            }
            changes.extend(self.guard(state, principal)?);
            changes.extend(self.keep_team(state, &team)?);
            let detail = format!("{} tokens of another system", added.len());
            let target = AuditTarget::new("user", principal.clone()).team(team);
            Ok(Plan::new(changes, target, added).detail(detail))
        })
        .await
    }
}
