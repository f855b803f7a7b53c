//! Users from another system: an identity provider, or a proxy that signs people in.
//!
//! Such a user is identified only by the name of that system and the subject there. Another person
//! with the same name or e-mail address becomes a separate user.

use std::collections::BTreeSet;
use std::sync::Arc;

use tinpot_core::access::records::Change;
use tinpot_core::access::{AuditTarget, AuditWho};
use tinpot_core::{Error, ErrorKind, Result};

use super::names::clean_name;
use super::powers::write_admins;
use super::state::{IDENTITY, State, USER, USER_NAME, group_id};
use super::users::{check_room, tokens_of};
use super::{Directory, Plan, Rejection, not_found};
use crate::documents::{External, User};
use crate::secret::{Digest, new_id};
use crate::stored::{Stored, write};

/// The maximum number of groups of a user in another system. Further groups are ignored.
const GROUPS: usize = 200;
/// The maximum length of the name of a group, an issuer or a subject, in bytes.
const BYTES: usize = 256;
/// The number of names to try for a new user before a random one is used.
const NAMES: usize = 100;
/// The number of tries of one sign-in while other requests change the same user.
const TRIES: usize = 4;
/// The maximum number of groups that an audit entry names.
const NAMED: usize = 10;

/// A person, as described by another system.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExternalIdentity {
    kind: &'static str,
    name: String,
    external: External,
}

impl ExternalIdentity {
    /// Describes the person whom the system with this kind (`oidc` or `proxy`) and name identifies
    /// as `subject`. The system must never give that subject to another person.
    ///
    /// # Errors
    /// `InvalidInput` if the subject is empty, or one of them is longer than 256 bytes.
    pub fn new(kind: &'static str, issuer: &str, subject: &str) -> Result<Self> {
        for (what, text) in [("issuer", issuer), ("subject", subject)] {
            if text.is_empty() || text.len() > BYTES {
                let got = text.len();
                let message =
                    format!("the {what} of a person must have 1 to {BYTES} bytes (got {got})");
                return Err(Error::new(ErrorKind::InvalidInput, message));
            }
        }
        let external = External {
            issuer: issuer.into(),
            subject: subject.into(),
            email: None,
            groups: BTreeSet::new(),
            is_admin: false,
        };
        Ok(Self { kind, name: subject.to_owned(), external })
    }

    /// Sets the name that a new user gets, if it is free; the subject by default. Characters that
    /// names cannot have are replaced.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the e-mail address, which that system has verified.
    #[must_use]
    pub fn email(mut self, email: Option<&str>) -> Self {
        self.external.email = email.filter(|email| email.len() <= BYTES).map(Into::into);
        self
    }

    /// Sets the groups. The user has the grants of the directory's groups with these names.
    #[must_use]
    pub fn groups<'a>(mut self, groups: impl IntoIterator<Item = &'a str>) -> Self {
        let groups = groups.into_iter().map(str::trim);
        let fits = |group: &&str| !group.is_empty() && group.len() <= BYTES;
        self.external.groups = groups.filter(fits).take(GROUPS).map(Into::into).collect();
        self
    }

    /// Makes the members of a group admins of the server and of the default team. They remain
    /// admins for as long as the other system names them as members.
    #[must_use]
    pub fn admin_group(mut self, group: Option<&str>) -> Self {
        self.external.is_admin = group.is_some_and(|group| self.external.groups.contains(group));
        self
    }

    fn key(&self) -> String {
        key_of(&self.external)
    }

    fn who(&self) -> AuditWho {
        AuditWho::new(self.kind, "", self.external.issuer.clone())
    }

    fn detail(&self, name: &str) -> String {
        let External { groups, is_admin, .. } = &self.external;
        let mut detail = name.to_owned();
        if *is_admin {
            detail.push_str(", server admin");
        }
        let named: Vec<&str> = groups.iter().take(NAMED).map(|group| &**group).collect();
        if !named.is_empty() {
            detail.push_str(&format!(", groups {}", named.join(", ")));
        }
        if groups.len() > NAMED {
            detail.push_str(&format!(" and {} more", groups.len() - NAMED));
        }
        detail
    }
}

/// Returns the id of the document that maps a person to a user.
pub(super) fn key_of(external: &External) -> String {
    // An issuer has no zero bytes.
    let text = format!("{}\0{}", external.issuer, external.subject);
    Digest::of(text.as_bytes()).to_hex()
}

impl Directory {
    /// Returns the user of a person whom another system has authenticated. Creates a user without
    /// rights of its own for a new person, and updates the groups of a known one.
    ///
    /// Performs no I/O if nothing has changed.
    ///
    /// # Errors
    /// Those of [`Records`](tinpot_core::access::Records) and of the audit. The inner error is
    /// [`Rejection::Disabled`].
    pub async fn external_user(
        &self,
        identity: &ExternalIdentity,
    ) -> Result<Result<User, Rejection>> {
        let key = identity.key();
        for _ in 0..TRIES {
            let found = self.state().external(&key).cloned();
            let done = match found {
                Some(user) if user.is_disabled => return Ok(Err(Rejection::Disabled)),
                Some(user) if user.external.as_ref() == Some(&identity.external) => {
                    return Ok(Ok(user));
                }
                Some(user) => self.update_external(identity, &user.id).await,
                None => self.add_external(identity, &key).await,
            };
            match done {
                // Another request was faster: see what it did.
                Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => {
                }
                Err(error) => return Err(error),
                Ok(user) => return Ok(Ok(user)),
            }
        }
        let message = "other requests are changing the user: try again";
        Err(Error::new(ErrorKind::Unavailable, message))
    }

    /// Returns the user of a person, if the user is not disabled and has the groups and the e-mail
    /// address of this description. Changes nothing.
    pub fn current_external_user(&self, identity: &ExternalIdentity) -> Option<User> {
        let state = self.state();
        let user = state.external(&identity.key())?;
        let is_current = user.external.as_ref() == Some(&identity.external);
        (is_current && !user.is_disabled).then(|| user.clone())
    }

    async fn add_external(&self, identity: &ExternalIdentity, key: &str) -> Result<User> {
        let id: Arc<str> = format!("user:{}", new_id()?).into();
        let other_name = clean_name(&new_id()?);
        self.change(&identity.who(), "user.add", |state, now| {
            if state.external(key).is_some() {
                return Err(Error::new(ErrorKind::Conflict, "the person already has a user"));
            }
            check_room("users", state.users.len())?;
            let name = free_name(state, &identity.name).unwrap_or_else(|| other_name.clone());
            let user = User {
                id: id.clone(),
                name: name.as_str().into(),
                password: None,
                is_password_of_team: false,
                added_by: None,
                generation: 0,
                is_disabled: false,
                teams: vec![self.team.clone()],
                created: now,
                external: Some(identity.external.clone()),
            };
            // It may remain from a user who was removed.
            let version = state.identities.get(key).map_or(0, |known| known.version);
            let mut changes = vec![
                write(USER, &id, 0, &user)?,
                write(USER_NAME, &name.to_lowercase(), 0, &user.id)?,
                write(IDENTITY, key, version, &user.id)?,
            ];
            if identity.external.is_admin {
                changes.push(write_admins(&state.admins)?);
            }
            let plan = Plan::new(changes, AuditTarget::new("user", id.clone()), user);
            Ok(plan.detail(identity.detail(&name)))
        })
        .await
    }

    /// Takes the power over the server from those who have it by a group of another system that is not
    /// this one. A host calls it at its start, since the group of the admins may be another than before.
    /// Members of the new one become admins when they sign in.
    ///
    /// # Errors
    /// Those of [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn keep_external_admins(&self, by: &AuditWho, group: Option<&str>) -> Result<()> {
        let is_former = |user: &User| {
            user.is_external_admin() && group.is_none_or(|group| !user.has_external_group(group))
        };
        let former: Vec<Arc<str>> = {
            let state = self.state();
            let users = state.users.values().map(|user| &user.value);
            users.filter(|user| is_former(user)).map(|user| user.id.clone()).collect()
        };
        for id in &former {
            let demoted = self.change(by, "user.demote", |state, _| {
                let Stored { version, value } =
                    state.users.get(id).ok_or_else(|| not_found("user", id))?;
                let mut user = value.clone();
                if let Some(external) = user.external.as_mut().filter(|_| is_former(value)) {
                    external.is_admin = false;
                }
                let changes = vec![write(USER, id, *version, &user)?, write_admins(&state.admins)?];
                let detail = format!("{}, no member of the group of the admins", user.name);
                Ok(Plan::new(changes, AuditTarget::new("user", id.clone()), ()).detail(detail))
            });
            match demoted.await {
                // Another process has removed the user.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                done => done?,
            }
        }
        Ok(())
    }

    async fn update_external(&self, identity: &ExternalIdentity, id: &str) -> Result<User> {
        self.change(&identity.who(), "user.groups", |state, _| {
            let Stored { version, value } =
                state.users.get(id).ok_or_else(|| not_found("user", id))?;
            let mut user = value.clone();
            let was_admin = state.is_server_admin(id);
            user.external = Some(identity.external.clone());
            let mut changes: Vec<Change> = Vec::new();
            if identity.external.is_admin && !was_admin {
                // Others may have made the tokens, set the password and opened the sign-ins of a
                // lesser user.
                user.generation += 1;
                if user.is_password_of_team {
                    (user.password, user.is_password_of_team) = (None, false);
                }
                changes.extend(tokens_of(state, id));
            }
            changes.push(write(USER, id, *version, &user)?);
            // The document against which changes by an admin of the team are checked.
            changes.push(write_admins(&state.admins)?);
            let detail = identity.detail(&user.name);
            Ok(Plan::new(changes, AuditTarget::new("user", id), user).detail(detail))
        })
        .await
    }
}

/// Returns a similar name that no user has.
fn free_name(state: &State, wanted: &str) -> Option<String> {
    let base = clean_name(wanted);
    let names = (1..=NAMES).map(|number| match number {
        1 => base.clone(),
        number => format!("{base}-{number}"),
    });
    names.into_iter().find(|name| !state.names.contains_key(name.to_lowercase().as_str()))
}

impl State {
    /// Returns the user of a person, by the id of the document that maps the person to it.
    fn external(&self, key: &str) -> Option<&User> {
        let id = self.identities.get(key)?;
        self.users.get(&id.value).map(|user| &user.value)
    }

    /// Returns true if the user manages the server.
    pub(crate) fn is_server_admin(&self, id: &str) -> bool {
        let is_told = |user: &Stored<User>| user.value.is_external_admin();
        self.admins.value.users.contains(id) || self.users.get(id).is_some_and(is_told)
    }

    /// Returns true if the user is a member of the team. Without several teams, all are.
    pub(crate) fn is_in(&self, user: &User, team: &str) -> bool {
        !self.has_teams || user.is_in(team)
    }

    /// Returns the members of a group: those that it lists, and those members of the team that
    /// another system names.
    pub(super) fn members_of(&self, team: &str, group: &str) -> impl Iterator<Item = &str> {
        let known = self.groups.get(&group_id(team, group)).map(|group| &group.value);
        let told = known.into_iter().flat_map(|group| {
            let users = self.users.values().map(|user| &user.value);
            let is_told =
                |user: &&User| self.is_in(user, team) && user.has_external_group(&group.name);
            users.filter(is_told).map(|user| &*user.id)
        });
        known.into_iter().flat_map(|group| group.members.iter().map(|id| &**id)).chain(told)
    }
}

impl User {
    /// Returns true if another system names the user as a member of this group.
    pub(crate) fn has_external_group(&self, group: &str) -> bool {
        self.external.as_ref().is_some_and(|external| external.groups.contains(group))
    }

    /// Returns true if another system makes the user an admin.
    pub(crate) fn is_external_admin(&self) -> bool {
        self.external.as_ref().is_some_and(|external| external.is_admin)
    }

    /// Returns true if the user can sign in with a password.
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// Returns the system that the user comes from, and the groups that it names; `None` for users
    /// who exist only in the directory.
    pub fn external(&self) -> Option<(&str, Vec<&str>)> {
        let external = self.external.as_ref()?;
        Some((&external.issuer, external.groups.iter().map(|group| &**group).collect()))
    }
}
