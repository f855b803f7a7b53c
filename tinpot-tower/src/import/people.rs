//! Teams, their tokens, and runners.

use std::collections::HashSet;
use std::sync::Arc;

use tinpot_access::{Directory, ForeignToken, NewTeam, NewUser, Role};
use tinpot_core::{Digest, ErrorKind, Result};

use super::source::{Team, Token};
use super::{Import, beginning};
use crate::api::sign_in::{member_name, user_name};
use crate::gateway::{known_runner, runner_key};
use crate::ids::IdOf;

/// The name of tokens that have none.
const UNNAMED: &str = "imported";
/// The longest name of a token, and of a team.
const TOKEN_NAME_BYTES: usize = 100;
const TEAM_NAME_BYTES: usize = 1_000;
/// The first characters of hashes that a sign-in can compare.
const BCRYPT: &str = "$2";

/// A team that was taken.
pub(super) struct KnownTeam {
    pub(super) id: Arc<str>,
    pub(super) slug: String,
}

impl Import<'_> {
    pub(super) async fn teams(&mut self) -> Result<()> {
        let mut known = HashSet::new();
        for team in self.source.teams()? {
            let (slug, directory) = (&team.slug, &self.target.directory);
            let mut user = NewUser::new(user_name(slug));
            match &team.password_hash {
                Some(hash) if hash.starts_with(BCRYPT) => user = user.password_hash(hash),
                Some(hash) if !hash.is_empty() => self.done.note(format!(
                    "team {slug:?}: its password is not hashed by bcrypt: set another one with \
                     \"tinpot users password {}\"",
                    user_name(slug)
                )),
                _ => {}
            }
            let name = beginning(&team.name, TEAM_NAME_BYTES);
            let new = NewTeam::new(slug).description(name);
            let made = match directory.create_team_with(&self.by, new, user, false).await {
                Err(error)
                    if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Conflict) =>
                {
                    self.done.note(format!(
                        "team {slug:?} is not taken, and nothing of it: {}",
                        error.message()
                    ));
                    continue;
                }
                made => made?,
            };
            self.done.teams += 1;
            self.keep_id(IdOf::Team, made.0.id.to_string(), team.id);
            self.tokens(&team, &made.0.id, &made.1.id, &mut known).await?;
            let of = KnownTeam { id: made.0.id, slug: team.slug };
            self.teams.insert(team.id, of);
        }
        Ok(())
    }

    /// Notes that an object keeps its integer id.
    pub(super) fn keep_id(&mut self, kind: IdOf, object: String, id: i64) {
        if let Ok(id) = u64::try_from(id) {
            self.ids.push((kind, object, id));
        }
    }

    async fn tokens(
        &mut self,
        team: &Team,
        id: &Arc<str>,
        admin: &Arc<str>,
        known: &mut HashSet<Digest>,
    ) -> Result<()> {
        let directory = self.target.directory.of_team(id.clone());
        let (admins, members): (Vec<Token>, Vec<Token>) =
            self.source.tokens(team.id)?.into_iter().partition(|token| token.is_admin);
        self.tokens_of(&directory, team, admin, admins, known).await?;
        if !members.is_empty() {
            let new = NewUser::new(member_name(&team.slug)).role(Role::Developer);
            let member = directory.add_user(&self.by, new).await?;
            self.tokens_of(&directory, team, &member.id, members, known).await?;
        }
        Ok(())
    }

    /// Adds the tokens of one user.
    async fn tokens_of(
        &mut self,
        directory: &Directory,
        team: &Team,
        user: &Arc<str>,
        tokens: Vec<Token>,
        known: &mut HashSet<Digest>,
    ) -> Result<()> {
        let (mut ids, mut foreign) = (Vec::new(), Vec::new());
        for token in tokens {
            let Ok(digest) = token.hash.parse::<Digest>() else {
                let (slug, id) = (&team.slug, token.id);
                self.done.note(format!(
                    "token {id} of team {slug:?} is not taken: its hash is no SHA-256"
                ));
                continue;
            };
            if !known.insert(digest) {
                let (slug, id) = (&team.slug, token.id);
                self.done.note(format!(
                    "token {id} of team {slug:?} is not taken: another token has its hash"
                ));
                continue;
            }
            let name: String = token.name.unwrap_or_default();
            let name: String = name.chars().filter(|c| !c.is_control()).collect();
            let name = beginning(if name.is_empty() { UNNAMED } else { &name }, TOKEN_NAME_BYTES);
            ids.push(token.id);
            foreign.push(ForeignToken::new(name, digest, token.created));
        }
        let most = Directory::MAX_FOREIGN_TOKENS;
        for (ids, foreign) in ids.chunks(most).zip(foreign.chunks(most)) {
            let added = directory.add_foreign_tokens(&self.by, user, foreign).await?;
            for (id, token) in ids.iter().zip(added) {
                self.keep_id(IdOf::Token, token.id.to_string(), *id);
                self.done.tokens += 1;
            }
        }
        Ok(())
    }

    pub(super) async fn runners(&mut self) -> Result<()> {
        let mut changes = Vec::new();
        for runner in self.source.runners()? {
            let name = &runner.name;
            let made = match runner.token_hash.parse::<Digest>() {
                Ok(token) => {
                    let (seen, has_run) = (runner.last_seen, runner.has_run);
                    known_runner(name, &runner.environment, token, seen, has_run)
                }
                Err(_) => {
                    self.done.note(format!(
                        "runner {name:?} is not taken, and registers again: the hash of its token is \
                         no SHA-256"
                    ));
                    continue;
                }
            };
            match made {
                Err(error) => {
                    let why = error.message();
                    self.done.note(format!("runner {name:?} is not taken: {why}"));
                }
                Ok((change, worker)) => {
                    changes.push(change);
                    self.workers.insert(runner.id, worker);
                    self.keep_id(IdOf::Runner, runner_key(name), runner.id);
                    self.done.runners += 1;
                }
            }
        }
        for changes in changes.chunks(tinpot_core::access::records::MAX_CHANGES) {
            self.target.records.change(changes).await?;
        }
        Ok(())
    }
}
