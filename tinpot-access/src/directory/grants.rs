//! Groups and grants.

use std::sync::Arc;

use tinpot_core::access::records::Change;
use tinpot_core::access::{AuditTarget, AuditWho};
use tinpot_core::action::check_label;
use tinpot_core::{Error, ErrorKind, Result};

use super::powers::write_admins;
use super::state::{GRANT, GROUP, State, group_id};
use super::{Directory, Plan, check_name, invalid, not_found};
use crate::documents::{Grant, Grantee, Group, Role};
use crate::secret::new_id;
use crate::stored::write;

/// The most grants, and the most groups.
const MOST: usize = 10_000;
/// The most members of a group.
const MEMBERS: usize = 1_000;
/// The most names and patterns of each list of a grant.
const NAMES: usize = 100;
/// The longest name or pattern in bytes.
const NAME_BYTES: usize = 256;

impl Directory {
    /// Adds a grant, and returns it with its id.
    ///
    /// # Errors
    /// `NotFound` for an unknown principal or group; `InvalidInput` if a bound is exceeded; those
    /// of [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn add_grant(&self, by: &AuditWho, grant: Grant) -> Result<Grant> {
        if let Grantee::Action(name) = &grant.to {
            check_label("action", name)?;
            if !matches!(grant.role, Role::Operator | Role::Developer) {
                let message = "a grant to an action must have the role operator or developer: its \
                               executions only run other actions, and choose queues";
                return Err(invalid(message.to_owned()));
            }
        }
        for list in [&grant.actions, &grant.groups, &grant.queues, &grant.environments] {
            check_list(list.as_deref().unwrap_or_default())?;
        }
        let grant = Grant { id: new_id()?.into(), ..grant };
        self.change(by, "grant.add", |state, _| {
            let to = match &grant.to {
                Grantee::Principal(id) => {
                    if !self.is_member(state, &grant.team, id) {
                        return Err(not_found("user or program", id));
                    }
                    id
                }
                Grantee::Group(name) => {
                    if !state.groups.contains_key(&group_id(&grant.team, name)) {
                        return Err(not_found("group", name));
                    }
                    name
                }
                // An action may come later than its grant.
                Grantee::Action(name) => name,
            };
            let mut changes = vec![self.grant_change(state, &grant)?];
            changes.extend(self.keep_team(state, &grant.team)?);
            if let Grantee::Principal(id) = &grant.to {
                changes.extend(self.keep_member(state, id)?);
            }
            Ok(Plan::new(changes, target_of(&grant), grant.clone()).detail(detail_of(&grant, to)))
        })
        .await
    }

    /// Returns the change that adds a grant, if there is room for it.
    pub(super) fn grant_change(&self, state: &State, grant: &Grant) -> Result<Change> {
        if state.grants.len() >= MOST {
            return Err(invalid(format!("a server has at most {MOST} grants")));
        }
        let of_team = state.grants.values().filter(|known| known.value.team == grant.team);
        self.check_share(state, "grants", MOST, || of_team.count())?;
        write(GRANT, &grant.id, 0, grant)
    }

    /// Returns all grants, by id.
    pub fn grants(&self) -> Vec<Grant> {
        self.state().grants.values().map(|grant| grant.value.clone()).collect()
    }

    /// Removes a grant.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` if its team had no admin any more; those of [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn remove_grant(&self, by: &AuditWho, id: &str) -> Result<()> {
        self.change(by, "grant.remove", |state, _| {
            let found = state.grants.get(id).ok_or_else(|| not_found("grant", id))?;
            match &found.value.to {
                Grantee::Principal(principal) => self.check_power(state, [&**principal])?,
                Grantee::Group(name) => {
                    self.check_power(state, state.members_of(&found.value.team, name))?;
                }
                Grantee::Action(_) => {}
            }
            check_admins(state, &Without { grant: Some(id), ..Without::default() })?;
            let changes =
                vec![Change::remove(GRANT, id, found.version), write_admins(&state.admins)?];
            let target = AuditTarget::new("grant", id).team(found.value.team.clone());
            Ok(Plan::new(changes, target, ()))
        })
        .await
    }

    /// Creates a group, or replaces its members: the ids of users.
    ///
    /// # Errors
    /// `NotFound` for an unknown user; `Conflict` if a team would be left without an admin;
    /// `InvalidInput` for a wrong name or too many members; those
    /// of [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn set_group(&self, by: &AuditWho, name: &str, members: &[Arc<str>]) -> Result<()> {
        check_name("the name of a group", name)?;
        if members.len() > MEMBERS {
            let got = members.len();
            return Err(invalid(format!("a group has at most {MEMBERS} members (got {got})")));
        }
        self.change(by, "group.set", |state, _| {
            let is_user =
                |id: &str| state.users.contains_key(id) && self.is_member(state, &self.team, id);
            if let Some(id) = members.iter().find(|id| !is_user(id)) {
                return Err(not_found("user", id));
            }
            let key = group_id(&self.team, name);
            let listed = state.groups.get(&key).map(|group| &group.value.members);
            let before: Vec<&str> = listed.into_iter().flatten().map(|id| &**id).collect();
            let after: Vec<&str> = members.iter().map(|id| &**id).collect();
            let left = before.iter().filter(|id| !after.contains(id));
            let joined = after.iter().filter(|id| !before.contains(id));
            self.check_power(state, left.chain(joined).copied())?;
            let group = Some((&*key, members));
            check_admins(state, &Without { group, ..Without::default() })?;
            let version = state.groups.get(&key).map_or(0, |group| group.version);
            if version == 0 && state.groups.len() >= MOST {
                return Err(invalid(format!("a server has at most {MOST} groups")));
            }
            if version == 0 {
                let of_team = state.groups.values().filter(|group| group.value.team == self.team);
                self.check_share(state, "groups", MOST, || of_team.count())?;
            }
            let team = self.team.clone();
            let group = Group { name: name.into(), team: team.clone(), members: members.to_vec() };
            let mut changes =
                vec![write(GROUP, &key, version, &group)?, write_admins(&state.admins)?];
            changes.extend(self.keep_team(state, &team)?);
            let detail = format!("{} members", members.len());
            let target = AuditTarget::new("group", name).team(team);
            Ok(Plan::new(changes, target, ()).detail(detail))
        })
        .await
    }

    /// Returns all groups, by name.
    pub fn groups(&self) -> Vec<Group> {
        self.state().groups.values().map(|group| group.value.clone()).collect()
    }

    /// Removes a group. Its grants no longer have an effect.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` if a team would be left without an admin; those of
    /// [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn remove_group(&self, by: &AuditWho, name: &str) -> Result<()> {
        self.change(by, "group.remove", |state, _| {
            let key = group_id(&self.team, name);
            let found = state.groups.get(&key).ok_or_else(|| not_found("group", name))?;
            self.check_power(state, state.members_of(&self.team, name))?;
            check_admins(state, &Without { group: Some((&key, &[])), ..Without::default() })?;
            let changes =
                vec![Change::remove(GROUP, key, found.version), write_admins(&state.admins)?];
            let target = AuditTarget::new("group", name).team(self.team.clone());
            Ok(Plan::new(changes, target, ()))
        })
        .await
    }
}

pub(super) fn target_of(grant: &Grant) -> AuditTarget {
    AuditTarget::new("grant", grant.id.clone()).team(grant.team.clone())
}

pub(super) fn detail_of(grant: &Grant, to: &str) -> String {
    format!("{:?} to {to}", grant.role).to_lowercase()
}

/// The subject of a change that takes rights away: a grant, the members of a group that are not
/// among these, or a user.
#[derive(Debug, Default)]
pub(super) struct Without<'a> {
    pub(super) grant: Option<&'a str>,
    pub(super) group: Option<(&'a str, &'a [Arc<str>])>,
    pub(super) user: Option<&'a str>,
}

/// Checks that each team that has an admin has one afterwards.
pub(super) fn check_admins(state: &State, without: &Without<'_>) -> Result<()> {
    let grants = state.grants.values().map(|grant| &grant.value);
    let is_of_admins = |grant: &&Grant| grant.role == Role::Admin && grant.is_for_all();
    for grant in grants.filter(is_of_admins) {
        let team = &*grant.team;
        if has_admin(state, team, &Without::default()) && !has_admin(state, team, without) {
            let name = state.team_name(team);
            let message =
                format!("the team {name:?} needs an admin: make another user an admin first");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
    }
    Ok(())
}

/// Returns true if a user who is not disabled manages the whole team.
fn has_admin(state: &State, team: &str, without: &Without<'_>) -> bool {
    let is_enabled = |id: &str| {
        without.user != Some(id) && state.users.get(id).is_some_and(|user| !user.value.is_disabled)
    };
    let mut grants = state.grants.values().map(|grant| &grant.value).filter(|grant| {
        *grant.team == *team
            && grant.role == Role::Admin
            && grant.is_for_all()
            && without.grant != Some(&*grant.id)
    });
    grants.any(|grant| match (&grant.to, without.group) {
        (Grantee::Principal(id), _) => is_enabled(id),
        (Grantee::Group(name), Some((group, left))) if *group_id(team, name) == *group => {
            left.iter().any(|id| is_enabled(id))
        }
        (Grantee::Group(name), _) => state.members_of(team, name).any(is_enabled),
        (Grantee::Action(_), _) => false,
    })
}

fn check_list(names: &[String]) -> Result<()> {
    if names.len() > NAMES {
        let got = names.len();
        return Err(invalid(format!("a list of a grant has at most {NAMES} names (got {got})")));
    }
    match names.iter().find(|name| name.is_empty() || name.len() > NAME_BYTES) {
        Some(name) => {
            let got = name.len();
            let message =
                format!("a name in a grant must have 1 to {NAME_BYTES} bytes (got {got})");
            Err(invalid(message))
        }
        None => Ok(()),
    }
}
