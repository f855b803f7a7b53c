//! Groups and grants.

use std::sync::Arc;

use tinpot_core::Result;
use tinpot_core::access::records::Change;
use tinpot_core::access::{AuditTarget, AuditWho};

use super::state::{GRANT, GROUP, write};
use super::{Directory, Plan, check_name, invalid, not_found};
use crate::documents::{Grant, Grantee, Group};
use crate::secret::new_id;

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
        for list in [&grant.actions, &grant.groups, &grant.queues, &grant.environments] {
            check_list(list.as_deref().unwrap_or_default())?;
        }
        let grant = Grant { id: new_id()?.into(), ..grant };
        self.change(by, "grant.add", |state, _| {
            let to = match &grant.to {
                Grantee::Principal(id) => {
                    if !state.users.contains_key(id) && !state.programs.contains_key(id) {
                        return Err(not_found("user or program", id));
                    }
                    id
                }
                Grantee::Group(name) => {
                    if !state.groups.contains_key(name) {
                        return Err(not_found("group", name));
                    }
                    name
                }
            };
            if state.grants.len() >= MOST {
                return Err(invalid(format!("a server has at most {MOST} grants")));
            }
            let changes = vec![write(GRANT, &grant.id, 0, &grant)?];
            let target = AuditTarget::new("grant", grant.id.clone()).team(grant.team.clone());
            let detail = format!("{:?} to {to}", grant.role).to_lowercase();
            Ok(Plan::new(changes, target, grant.clone()).detail(detail))
        })
        .await
    }

    /// Returns all grants, by id.
    pub fn grants(&self) -> Vec<Grant> {
        self.state().grants.values().map(|grant| grant.value.clone()).collect()
    }

    /// Removes a grant.
    ///
    /// # Errors
    /// `NotFound`; those of [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn remove_grant(&self, by: &AuditWho, id: &str) -> Result<()> {
        self.change(by, "grant.remove", |state, _| {
            let found = state.grants.get(id).ok_or_else(|| not_found("grant", id))?;
            let changes = vec![Change::remove(GRANT, id, found.version)];
            let target = AuditTarget::new("grant", id).team(found.value.team.clone());
            Ok(Plan::new(changes, target, ()))
        })
        .await
    }

    /// Creates a group, or replaces its members: the ids of users.
    ///
    /// # Errors
    /// `NotFound` for an unknown user; `InvalidInput` for a wrong name or too many members; those
    /// of [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn set_group(&self, by: &AuditWho, name: &str, members: &[Arc<str>]) -> Result<()> {
        check_name("the name of a group", name)?;
        if members.len() > MEMBERS {
            let got = members.len();
            return Err(invalid(format!("a group has at most {MEMBERS} members (got {got})")));
        }
        self.change(by, "group.set", |state, _| {
            if let Some(id) = members.iter().find(|id| !state.users.contains_key(&***id)) {
                return Err(not_found("user", id));
            }
            let version = state.groups.get(name).map_or(0, |group| group.version);
            if version == 0 && state.groups.len() >= MOST {
                return Err(invalid(format!("a server has at most {MOST} groups")));
            }
            let group = Group { name: name.into(), members: members.to_vec() };
            let changes = vec![write(GROUP, name, version, &group)?];
            let detail = format!("{} members", members.len());
            Ok(Plan::new(changes, AuditTarget::new("group", name), ()).detail(detail))
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
    /// `NotFound`; those of [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn remove_group(&self, by: &AuditWho, name: &str) -> Result<()> {
        self.change(by, "group.remove", |state, _| {
            let found = state.groups.get(name).ok_or_else(|| not_found("group", name))?;
            let changes = vec![Change::remove(GROUP, name, found.version)];
            Ok(Plan::new(changes, AuditTarget::new("group", name), ()))
        })
        .await
    }
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
