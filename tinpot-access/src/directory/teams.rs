//! Teams and their members.

use std::sync::Arc;

use tinpot_core::access::records::Change;
use tinpot_core::access::{AuditTarget, AuditWho};
use tinpot_core::{Caller, DEFAULT_TEAM, Error, ErrorKind, Result, Timestamp};

use super::grants::{Without, check_admins, detail_of, target_of};
use super::powers::write_admins;
use super::state::{GRANT, GROUP, State, TEAM, TEAM_NAME, TOKEN, USER};
use super::users::{find, tokens_of};
use super::{Directory, Plan, check_name, invalid, not_found};
use crate::documents::{Grant, Grantee, Group, Role, Team, User};
use crate::rules::VIA_TOKEN;
use crate::secret::new_id;
use crate::stored::{Stored, write};

/// The maximum number of teams.
const MOST: usize = 1_000;
/// The part of the server's room that one of several teams may take: one in this many.
const SHARE: usize = 4;
/// The maximum number of teams of one user.
const OF_USER: usize = 100;
/// The team of callers who are in none. Nothing belongs to it.
const NO_TEAM: &str = "-";
/// The maximum length of a description, in bytes.
const DESCRIPTION_BYTES: usize = 1_000;

/// A team to create.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewTeam {
    name: String,
    description: String,
}

impl NewTeam {
    /// Describes a team with this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), description: String::new() }
    }

    /// Sets the description, for people.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        check_team(&self.name, &self.description)
    }

    /// Returns the team with this id, and the changes that create it.
    pub(super) fn planned(
        &self,
        state: &State,
        id: &Arc<str>,
        now: Timestamp,
    ) -> Result<(Team, Vec<Change>)> {
        if state.teams.len() >= MOST {
            return Err(invalid(format!("a server has at most {MOST} teams")));
        }
        check_free(state, &self.name, id)?;
        let team = Team {
            id: id.clone(),
            name: self.name.as_str().into(),
            description: self.description.clone(),
            is_disabled: false,
            created: Some(now),
        };
        let key = self.name.to_lowercase();
        let changes = vec![write(TEAM, id, 0, &team)?, write(TEAM_NAME, &key, 0, id)?];
        Ok((team, changes))
    }
}

/// Changes to a team. Values that are not set stay the same.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TeamUpdate {
    name: Option<String>,
    description: Option<String>,
    is_disabled: Option<bool>,
}

impl TeamUpdate {
    /// Sets a new name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets a new description.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Disables the team, so that no principal has rights in it, or enables it again.
    #[must_use]
    pub fn disabled(mut self, is_disabled: bool) -> Self {
        self.is_disabled = Some(is_disabled);
        self
    }

    /// Returns the names of the changes in the audit.
    fn names(&self) -> Vec<&'static str> {
        let name = self.name.as_ref().map(|_| "team.rename");
        let description = self.description.as_ref().map(|_| "team.describe");
        let disabled = self.is_disabled.map(|on| if on { "team.disable" } else { "team.enable" });
        [name, description, disabled].into_iter().flatten().collect()
    }
}

impl State {
    /// Returns a team, by its id.
    pub(super) fn team(&self, id: &str) -> Option<Team> {
        match self.teams.get(id) {
            Some(team) => Some(team.value.clone()),
            None => (*id == *DEFAULT_TEAM).then(Team::default_team),
        }
    }

    /// Returns the name of a team for people.
    pub(super) fn team_name(&self, id: &str) -> Arc<str> {
        self.teams.get(id).map_or_else(|| id.into(), |team| team.value.name.clone())
    }

    /// Returns true if no principal has rights in the team.
    pub(crate) fn is_disabled(&self, team: &str) -> bool {
        self.teams.get(team).is_some_and(|team| team.value.is_disabled)
    }

    /// Returns a team, by its name, ignoring case, or by its id.
    pub(super) fn find_team(&self, name: &str) -> Option<Team> {
        let key = name.to_lowercase();
        let by_name = self.team_names.get(key.as_str()).and_then(|id| self.team(&id.value));
        by_name.or_else(|| self.team(name)).or_else(|| {
            // The first name of the default team is not among the names.
            self.team(&key).filter(|team| *team.id == *DEFAULT_TEAM)
        })
    }
}

impl Directory {
    /// Returns all teams, by name.
    pub fn teams(&self) -> Vec<Team> {
        let state = self.state();
        let mut teams: Vec<Team> = state.teams.values().map(|team| team.value.clone()).collect();
        if !state.teams.contains_key(DEFAULT_TEAM) {
            teams.push(Team::default_team());
        }
        teams.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        teams
    }

    /// Returns the team with this name, ignoring case, or with this id.
    pub fn team(&self, name: &str) -> Option<Team> {
        self.state().find_team(name)
    }

    /// Returns the teams in which a user or program can act, by name.
    pub fn teams_of(&self, principal: &str) -> Vec<Team> {
        let state = self.state();
        let ids = match (state.users.get(principal), state.programs.get(principal)) {
            (Some(user), _) => user.value.teams.clone(),
            (None, Some(program)) => vec![program.value.team.clone()],
            (None, None) => Vec::new(),
        };
        let mut teams: Vec<Team> = ids.iter().filter_map(|id| state.team(id)).collect();
        teams.retain(|team| !team.is_disabled);
        teams.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        teams
    }

    /// Returns an authenticated caller, acting in the team that it asks for by name or id. If it
    /// asks for none, it acts in the default team if it is a member, otherwise in the first of its
    /// teams by name. A token acts in its own team.
    ///
    /// # Errors
    /// `NotFound` if the caller is not in that team, with the same message whether or not the team
    /// exists.
    pub fn enter_team(&self, caller: Caller, wanted: Option<&str>) -> Result<Caller> {
        if !self.inner.has_teams {
            return Ok(caller);
        }
        let mut teams = self.teams_of(&caller.id);
        if caller.via.starts_with(VIA_TOKEN) {
            teams.retain(|team| team.id == caller.team);
        }
        let key = wanted.map(str::to_lowercase);
        let is_wanted = |team: &&Team| match (wanted, &key) {
            (Some(wanted), Some(key)) => team.name.to_lowercase() == *key || *team.id == *wanted,
            _ => *team.id == *DEFAULT_TEAM,
        };
        match (teams.iter().find(is_wanted), wanted) {
            (Some(team), _) => Ok(caller.team(team.id.clone())),
            (None, Some(wanted)) => {
                let message = format!("no team {wanted:?}, or you are not in it");
                Err(Error::new(ErrorKind::NotFound, message))
            }
            (None, None) => match teams.first() {
                Some(team) => Ok(caller.team(team.id.clone())),
                // The admins of a server need no team.
                None => Ok(caller.team(NO_TEAM)),
            },
        }
    }

    /// Creates a team.
    ///
    /// # Errors
    /// `Conflict` if the name is taken, ignoring case; `InvalidInput` for an invalid name or
    /// description; those of [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn create_team(&self, by: &AuditWho, new: NewTeam) -> Result<Team> {
        new.check()?;
        let id: Arc<str> = new_id()?.into();
        self.change(by, "team.create", |state, now| {
            let (team, changes) = new.planned(state, &id, now)?;
            let name = team.name.clone();
            Ok(Plan::new(changes, target(&id), team).detail(&*name))
        })
        .await
    }

    /// Changes a team, by its id. Applies all changes or none. Returns the changed team.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` if the name is taken, and for the default team, which cannot be
    /// disabled; `InvalidInput` for an invalid name or description; those of
    /// [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn update_team(&self, by: &AuditWho, id: &str, update: TeamUpdate) -> Result<Team> {
        let names = update.names();
        let Some((first, others)) = names.split_first() else {
            return self.state().team(id).ok_or_else(|| not_found("team", id));
        };
        self.change(by, first, |state, _| {
            let mut team = state.team(id).ok_or_else(|| not_found("team", id))?;
            let version = state.teams.get(id).map_or(0, |team| team.version);
            let mut changes = Vec::new();
            if let Some(name) = &update.name {
                check_team(name, "")?;
                check_free(state, name, id)?;
                let (old, new) = (team.name.to_lowercase(), name.to_lowercase());
                let stored = state.team_names.get(old.as_str());
                if let Some(stored) = stored.filter(|_| old != new) {
                    changes.push(Change::remove(TEAM_NAME, old.clone(), stored.version));
                }
                // No other team may take the id of the default team as its name.
                let is_known = state.team_names.contains_key(new.as_str());
                if !is_known && *new != *DEFAULT_TEAM {
                    changes.push(write(TEAM_NAME, &new, 0, &team.id)?);
                }
                team.name = name.as_str().into();
            }
            if let Some(description) = &update.description {
                check_team(&team.name, description)?;
                team.description.clone_from(description);
            }
            if let Some(is_disabled) = update.is_disabled {
                if is_disabled && *id == *DEFAULT_TEAM {
                    let message = "the default team cannot be disabled: it owns everything that names no team";
                    return Err(Error::new(ErrorKind::Conflict, message));
                }
                team.is_disabled = is_disabled;
            }
            changes.push(write(TEAM, id, version, &team)?);
            let name = team.name.clone();
            let plan = Plan::new(changes, target(id), team).detail(&*name);
            let also = |plan: Plan<Team>, what: &&'static str| plan.also(what, target(id), &*name);
            Ok(others.iter().fold(plan, also))
        })
        .await
    }

    /// Removes a team without members, programs, groups, grants and tokens, by its id. Its
    /// executions stay, and are hidden from all callers.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` if it is not empty, and for the default team; those of
    /// [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn remove_team(&self, by: &AuditWho, id: &str) -> Result<()> {
        self.change(by, "team.remove", |state, _| {
            if *id == *DEFAULT_TEAM {
                let message = "the default team cannot be removed: it owns everything that names no team";
                return Err(Error::new(ErrorKind::Conflict, message));
            }
            let found = state.teams.get(id).ok_or_else(|| not_found("team", id))?;
            let members = state.users.values().filter(|user| user.value.is_in(id)).count();
            let programs = state.programs.values().filter(|program| *program.value.team == *id);
            let groups = state.groups.values().filter(|group| *group.value.team == *id).count();
            let grants = state.grants.values().filter(|grant| *grant.value.team == *id).count();
            let tokens = state.tokens.values().filter(|token| *token.stored.value.team == *id);
            let (programs, tokens) = (programs.count(), tokens.count());
            let name = &found.value.name;
            if members + programs + groups + grants + tokens > 0 {
                let message = format!(
                    "the team {name:?} is not empty: it has {members} members, {programs} programs, {groups} groups, {grants} grants and {tokens} tokens"
                );
                return Err(Error::new(ErrorKind::Conflict, message));
            }
            let mut changes = vec![Change::remove(TEAM, id, found.version)];
            let key = name.to_lowercase();
            if let Some(stored) = state.team_names.get(key.as_str()) {
                changes.push(Change::remove(TEAM_NAME, key, stored.version));
            }
            Ok(Plan::new(changes, target(id), ()).detail(&**name))
        })
        .await
    }

    /// Makes a user a member of a team, by its id, with a role in the whole team. Without a role, the
    /// user sees nothing of it. The user has to sign in again, and has no tokens of before: an admin
    /// of another team may have them. Admins of the server keep theirs, over which no team has power.
    ///
    /// # Errors
    /// `NotFound` for an unknown team or user; `Conflict` if the user is a member, or has a password
    /// that was set by an admin of another team; those of
    /// [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn add_member(
        &self,
        by: &AuditWho,
        team: &str,
        user: &str,
        role: Option<Role>,
    ) -> Result<User> {
        let grant_id: Arc<str> = new_id()?.into();
        self.change(by, "team.join", |state, _| {
            let found = state.team(team).ok_or_else(|| not_found("team", team))?;
            let Stored { version, value } = find(state, user)?;
            if value.is_in(team) {
                let message = format!("{:?} is in the team {:?} already", value.name, found.name);
                return Err(Error::new(ErrorKind::Conflict, message));
            }
            if value.teams.len() >= OF_USER {
                return Err(invalid(format!("a user is in at most {OF_USER} teams")));
            }
            if value.is_password_of_team {
                let message = format!(
                    "the password of {:?} was set by an admin of another team, who may know it: the user has to change it first, or an admin of the server sets another one",
                    value.name
                );
                return Err(Error::new(ErrorKind::Conflict, message));
            }
            let mut member = value.clone();
            member.teams.push(found.id.clone());
            member.teams.sort_unstable();
            // The document that new tokens are checked against.
            let mut changes = vec![write_admins(&state.admins)?];
            if !state.is_server_admin(user) {
                // Others may have made the tokens and opened the sign-ins.
                member.generation += 1;
                changes.extend(tokens_of(state, user));
            }
            changes.push(write(USER, user, *version, &member)?);
            changes.extend(self.keep_team(state, team)?);
            let name = member.name.clone();
            let Some(role) = role else {
                return Ok(Plan::new(changes, of_user(user, team), member).detail(&*name));
            };
            let grant = Grant::new(Grantee::Principal(value.id.clone()), role).team(found.id);
            let grant = Grant { id: grant_id.clone(), ..grant };
            changes.push(self.grant_change(state, &grant)?);
            let (of_grant, detail) = (target_of(&grant), detail_of(&grant, user));
            let plan = Plan::new(changes, of_user(user, team), member).detail(&*name);
            Ok(plan.also("grant.add", of_grant, detail))
        })
        .await
    }

    /// Removes a user from a team, by its id, with the user's grants and tokens there. The user
    /// leaves its groups.
    ///
    /// # Errors
    /// `NotFound` for an unknown team or member; `Conflict` for the last admin of the team, unless
    /// an admin of the server asks; `Forbidden` for admins of the server if the directory is
    /// [for a team](Self::for_team); those of [`Records`](tinpot_core::access::Records) and of the
    /// audit.
    pub async fn remove_member(&self, by: &AuditWho, team: &str, user: &str) -> Result<()> {
        self.change(by, "team.leave", |state, _| {
            let Stored { version, value } = find(state, user)?;
            if !value.is_in(team) {
                return Err(not_found("user", user));
            }
            self.check_power(state, [user])?;
            let mut changes = vec![write_admins(&state.admins)?];
            let mut left = value.clone();
            left.teams.retain(|of| **of != *team);
            changes.push(write(USER, user, *version, &left)?);
            let mut grants = Vec::new();
            for grant in state.grants.values().filter(|grant| *grant.value.team == *team) {
                if matches!(&grant.value.to, Grantee::Principal(to) if **to == *user) {
                    changes.push(Change::remove(GRANT, grant.value.id.clone(), grant.version));
                    grants.push(grant);
                }
            }
            let is_in = |group: &Group| group.members.iter().any(|member| **member == *user);
            for (id, group) in &state.groups {
                if *group.value.team == *team && is_in(&group.value) {
                    let mut value = group.value.clone();
                    value.members.retain(|member| **member != *user);
                    changes.push(write(GROUP, id, group.version, &value)?);
                }
            }
            let tokens = state.tokens.values().map(|token| &token.stored);
            for token in tokens.filter(|token| *token.value.team == *team) {
                if *token.value.principal == *user {
                    changes.push(Change::remove(TOKEN, token.value.id.clone(), token.version));
                }
            }
            if self.is_for_team {
                check_admins(state, &Without { user: Some(user), ..Without::default() })?;
            }
            let plan = Plan::new(changes, of_user(user, team), ()).detail(&*value.name);
            let gone = |plan: Plan<()>, grant: &Stored<Grant>| {
                plan.also("grant.remove", target_of(&grant.value), detail_of(&grant.value, user))
            };
            Ok(grants.into_iter().fold(plan, gone))
        })
        .await
    }

    /// Returns true if a user or program is in a team. With only one team, all of them are.
    pub(super) fn is_member(&self, state: &State, team: &str, principal: &str) -> bool {
        match (state.users.get(principal), state.programs.get(principal)) {
            (None, None) => false,
            _ if !self.inner.has_teams => true,
            (Some(user), _) => user.value.is_in(team),
            (None, Some(program)) => *program.value.team == *team,
        }
    }

    /// Checks that a team has less than its share of what the server has room for, so that no team
    /// takes the room of the others. `number` counts what the team has.
    ///
    /// # Errors
    /// `InvalidInput`.
    pub(super) fn check_share(
        &self,
        state: &State,
        what: &str,
        most: usize,
        number: impl FnOnce() -> usize,
    ) -> Result<()> {
        let most = most / SHARE;
        // Commands open the store of a server with one team in the same way.
        let has_others = state.teams.keys().any(|id| **id != *DEFAULT_TEAM);
        match self.inner.has_teams && has_others && number() >= most {
            true => Err(invalid(format!(
                "a team has at most {most} {what}, a quarter of those of the server"
            ))),
            false => Ok(()),
        }
    }

    /// Returns the team of an audit entry about a user; an empty text with only one team.
    pub(super) fn team_of_target(&self) -> Arc<str> {
        if self.inner.has_teams { self.team.clone() } else { "".into() }
    }

    /// Returns a change that fails if the team has changed or was removed meanwhile.
    ///
    /// # Errors
    /// `NotFound` if it does not exist.
    pub(super) fn keep_team(&self, state: &State, team: &str) -> Result<Option<Change>> {
        if !self.inner.has_teams || *team == *DEFAULT_TEAM {
            return Ok(None);
        }
        let found = state.teams.get(team).ok_or_else(|| not_found("team", team))?;
        write(TEAM, team, found.version, &found.value).map(Some)
    }

    /// Returns a change that fails if the user, and so its teams, has changed meanwhile.
    pub(super) fn keep_member(&self, state: &State, principal: &str) -> Result<Option<Change>> {
        let user = state.users.get(principal).filter(|_| self.inner.has_teams);
        user.map(|user| write(USER, principal, user.version, &user.value)).transpose()
    }
}

pub(super) fn target(team: &str) -> AuditTarget {
    AuditTarget::new("team", team).team(team)
}

fn of_user(user: &str, team: &str) -> AuditTarget {
    AuditTarget::new("user", user).team(team)
}

fn check_team(name: &str, description: &str) -> Result<()> {
    check_name("the name of a team", name)?;
    let bytes = description.len();
    if bytes > DESCRIPTION_BYTES {
        return Err(invalid(format!(
            "the description of a team must have at most {DESCRIPTION_BYTES} bytes (got {bytes})"
        )));
    }
    Ok(())
}

/// Checks that no other team than `id` has the name.
fn check_free(state: &State, name: &str, id: &str) -> Result<()> {
    if state.find_team(name).is_none_or(|team| *team.id == *id) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Conflict, format!("there is a team {name:?} already")))
}
