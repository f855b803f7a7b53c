//! Users and programs.

use std::sync::Arc;

use tinpot_core::access::records::Change;
use tinpot_core::access::{AuditTarget, AuditWho};
use tinpot_core::{Error, ErrorKind, Result, Timestamp};

use super::external::key_of;
use super::grants::{Without, check_admins, detail_of, target_of};
use super::powers::{no_power, write_admins};
use super::state::{IDENTITY, PROGRAM, State, TOKEN, USER, USER_NAME};
use super::{Directory, Plan, check_name, invalid, not_found};
use crate::documents::{Grant, Grantee, PasswordHash, Program, Role, User};
use crate::secret::new_id;
use crate::stored::{Stored, write};

/// The most users, and the most programs.
const MOST: usize = 100_000;

/// A user to add.
///
/// ```
/// # use std::sync::Arc;
/// # use tinpot_core::access::{AuditWho, MemoryRecords};
/// use tinpot_access::{Directory, NewUser, Role};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let directory = Directory::builder(Arc::new(MemoryRecords::new())).open().await?;
/// # let by = AuditWho::new("operator", "", "root");
/// let ada = directory.add_user(&by, NewUser::new("Ada").role(Role::Developer)).await?;
/// assert_eq!(directory.user("ada"), Some(ada));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewUser {
    id: Option<Arc<str>>,
    name: String,
    password: Option<PasswordHash>,
    is_server_admin: bool,
    role: Option<Role>,
}

/// The changes of a user: what is not set stays.
///
/// ```
/// # use std::sync::Arc;
/// # use tinpot_core::access::{AuditWho, MemoryRecords};
/// use tinpot_access::{Directory, NewUser, UserUpdate};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// # let directory = Directory::builder(Arc::new(MemoryRecords::new())).open().await?;
/// # let by = AuditWho::new("operator", "", "root");
/// let ada = directory.add_user(&by, NewUser::new("ada")).await?;
/// let update = UserUpdate::default().disabled(true);
/// assert!(directory.update_user(&by, &ada.id, update).await?.is_disabled);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct UserUpdate {
    password: Option<PasswordHash>,
    generation: Option<u64>,
    is_server_admin: Option<bool>,
    is_disabled: Option<bool>,
}

impl UserUpdate {
    /// Sets the hash of another password, and ends all sign-ins of the user.
    #[must_use]
    pub fn password_hash(mut self, hash: impl Into<String>) -> Self {
        self.password = Some(PasswordHash(hash.into()));
        self
    }

    /// Makes the changes only in this generation of the user.
    #[must_use]
    pub fn of_generation(mut self, generation: u64) -> Self {
        self.generation = Some(generation);
        self
    }

    /// Makes the user an admin of the server, or no longer. A new admin has to sign in again, and
    /// has no tokens.
    #[must_use]
    pub fn server_admin(mut self, is_admin: bool) -> Self {
        self.is_server_admin = Some(is_admin);
        self
    }

    /// Disables the user, which ends all sign-ins and takes all rights away; or enables the user
    /// again.
    #[must_use]
    pub fn disabled(mut self, is_disabled: bool) -> Self {
        self.is_disabled = Some(is_disabled);
        self
    }

    /// Returns the names of the changes in the audit.
    fn names(&self) -> Vec<&'static str> {
        let password = self.password.as_ref().map(|_| "user.password");
        let admin = self.is_server_admin.map(|on| if on { "user.promote" } else { "user.demote" });
        let disabled = self.is_disabled.map(|on| if on { "user.disable" } else { "user.enable" });
        [password, admin, disabled].into_iter().flatten().collect()
    }
}

impl NewUser {
    /// Describes a user with this name, who cannot sign in with a password.
    pub fn new(name: impl Into<String>) -> Self {
        Self { id: None, name: name.into(), password: None, is_server_admin: false, role: None }
    }

    /// Sets the id, such as `user:local`, for a user who is the same in each store. It must not have
    /// been that of another user.
    #[must_use]
    pub fn id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the hash of the password, as a text of the PHC format.
    #[must_use]
    pub fn password_hash(mut self, hash: impl Into<String>) -> Self {
        self.password = Some(PasswordHash(hash.into()));
        self
    }

    /// Makes the user an admin of the server.
    #[must_use]
    pub fn server_admin(mut self) -> Self {
        self.is_server_admin = true;
        self
    }

    /// Gives the user a role in the whole team.
    #[must_use]
    pub fn role(mut self, role: Role) -> Self {
        self.role = Some(role);
        self
    }

    #[cfg(feature = "passwords")]
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_name("the name of a user", &self.name)
    }
}

impl Directory {
    /// Adds a user.
    ///
    /// # Errors
    /// `Conflict` if the name is taken, ignoring case; `InvalidInput` for a wrong name; those of
    /// [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn add_user(&self, by: &AuditWho, new: NewUser) -> Result<User> {
        self.add_user_if(by, new, |_| Ok(None)).await
    }

    /// Adds a user if the state allows it, together with one more change.
    pub(super) async fn add_user_if(
        &self,
        by: &AuditWho,
        new: NewUser,
        more: impl Fn(&State) -> Result<Option<Change>>,
    ) -> Result<User> {
        new.check()?;
        let (is_server_admin, role) = (new.is_server_admin, new.role);
        let made = format!("user:{}", new_id()?);
        let grant_id: Arc<str> = new_id()?.into();
        self.change(by, "user.add", |state, now| {
            let more = more(state)?;
            let (user, mut changes) = self.planned_user(state, &new, &made, now)?;
            let id = user.id.clone();
            let mut detail = user.name.to_string();
            if is_server_admin {
                let mut admins = state.admins.clone();
                admins.value.users.insert(id.clone());
                changes.push(write_admins(&admins)?);
                detail.push_str(", server admin");
            }
            changes.extend(more);
            changes.extend(self.keep_team(state, &self.team)?);
            let target = AuditTarget::new("user", id.clone()).team(self.team_of_target());
            let Some(role) = role else {
                return Ok(Plan::new(changes, target, user).detail(detail));
            };
            let grant = Grant::new(Grantee::Principal(id.clone()), role).team(self.team.clone());
            let grant = Grant { id: grant_id.clone(), ..grant };
            changes.push(self.grant_change(state, &grant)?);
            let (of_grant, to) = (target_of(&grant), detail_of(&grant, &id));
            let plan = Plan::new(changes, target, user).detail(detail);
            Ok(plan.also("grant.add", of_grant, to))
        })
        .await
    }

    /// Returns a new user of the team of this handle, and the changes that create it. The user gets
    /// this id, unless it has one.
    pub(super) fn planned_user(
        &self,
        state: &State,
        new: &NewUser,
        id: &str,
        now: Timestamp,
    ) -> Result<(User, Vec<Change>)> {
        let NewUser { id: own, name, password, is_server_admin, .. } = new;
        if *is_server_admin && self.is_for_team {
            return Err(no_power());
        }
        let key = name.to_lowercase();
        if state.names.contains_key(&*key) {
            let message = format!("there is a user {name:?} already");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        check_room("users", state.users.len())?;
        // Those that have left the team count, too: they are still users of the server.
        let of_team = state.users.values().filter(|user| {
            let User { teams, added_by, .. } = &user.value;
            teams.contains(&self.team) || added_by.as_ref() == Some(&self.team)
        });
        self.check_share(state, "users", MOST, || of_team.count())?;
        let user = User {
            id: own.clone().unwrap_or_else(|| id.into()),
            name: name.as_str().into(),
            password: password.clone(),
            is_password_of_team: password.is_some() && self.is_for_team,
            generation: 0,
            is_disabled: false,
            teams: vec![self.team.clone()],
            added_by: self.is_for_team.then(|| self.team.clone()),
            created: now,
            external: None,
        };
        let changes = vec![write(USER, &user.id, 0, &user)?, write(USER_NAME, &key, 0, &user.id)?];
        Ok((user, changes))
    }

    /// Returns all users, by name.
    pub fn users(&self) -> Vec<User> {
        let mut users: Vec<User> =
            self.state().users.values().map(|user| user.value.clone()).collect();
        users.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        users
    }

    /// Returns the user with this id.
    pub fn user_by_id(&self, id: &str) -> Option<User> {
        self.state().users.get(id).map(|user| user.value.clone())
    }

    /// Returns the user with this name, ignoring case.
    pub fn user(&self, name: &str) -> Option<User> {
        let state = self.state();
        let id = state.names.get(name.to_lowercase().as_str())?;
        state.users.get(&id.value).map(|user| user.value.clone())
    }

    /// Returns true if the user manages the server, by the directory or by what another system says.
    pub fn is_server_admin(&self, id: &str) -> bool {
        self.state().is_server_admin(id)
    }

    /// Sets the hash of a user's password, and ends all sign-ins of the user.
    ///
    /// # Errors
    /// `NotFound`; those of [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn set_password_hash(&self, by: &AuditWho, id: &str, hash: &str) -> Result<()> {
        self.update_user(by, id, UserUpdate::default().password_hash(hash)).await.map(drop)
    }

    /// Makes several changes of a user: all of them, or none. Returns the changed user.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` for the last admin of the server, in another generation, for a new
    /// admin of the server whose password was set by a caller who does not manage it, and for one by
    /// a group of another system who should no longer be one; `Forbidden`
    /// for admins of the server if the directory is [for a team](Self::for_team); those of
    /// [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn update_user(&self, by: &AuditWho, id: &str, update: UserUpdate) -> Result<User> {
        let names = update.names();
        let Some((first, others)) = names.split_first() else {
            return self.user_by_id(id).ok_or_else(|| not_found("user", id));
        };
        self.change(by, first, |state, _| {
            let Stored { version, value } = find(state, id)?;
            self.check_account(state, id)?;
            let (user, mut changes) = self.updated(state, value, &update)?;
            changes.push(write(USER, id, *version, &user)?);
            let target = AuditTarget::new("user", id).team(self.team_of_target());
            let name = user.name.clone();
            let plan = Plan::new(changes, target.clone(), user).detail(&*name);
            let also =
                |plan: Plan<User>, what: &&'static str| plan.also(what, target.clone(), &*name);
            Ok(others.iter().fold(plan, also))
        })
        .await
    }

    /// Returns a changed user, and the changes of other documents.
    fn updated(
        &self,
        state: &State,
        user: &User,
        update: &UserUpdate,
    ) -> Result<(User, Vec<Change>)> {
        let conflict = |message: String| Err(Error::new(ErrorKind::Conflict, message));
        let (mut user, mut changes) = (user.clone(), Vec::new());
        let mut admins = state.admins.clone();
        let was_admin = admins.value.users.contains(&user.id);
        if update.generation.is_some_and(|generation| generation != user.generation) {
            return conflict(format!("the user {:?} was changed meanwhile: try again", user.name));
        }
        if let Some(password) = &update.password {
            user.password = Some(password.clone());
            user.is_password_of_team = self.is_for_team;
            user.generation += 1;
        }
        match update.is_server_admin {
            Some(_) if self.is_for_team => return Err(no_power()),
            // Others may have made the tokens and opened the sign-ins of a lesser user.
            Some(true) if !was_admin => {
                if user.is_password_of_team {
                    let name = &user.name;
                    return conflict(format!(
                        "the password of {name:?} was set by an admin of the team, who may know it: the user has to change it first, or set another one together with this"
                    ));
                }
                user.generation += 1;
                changes.extend(tokens_of(state, &user.id));
                admins.value.users.insert(user.id.clone());
            }
            Some(false) if user.is_external_admin() => {
                return conflict(format!(
                    "{:?} is an admin of the server by a group of the identity provider or proxy: remove the person from that group there, or disable the user",
                    user.name
                ));
            }
            Some(false) => {
                check_others(state, &user.id)?;
                admins.value.users.remove(&user.id);
            }
            _ => {}
        }
        if let Some(is_disabled) = update.is_disabled {
            user.is_disabled = is_disabled;
            user.generation += 1;
            if is_disabled && was_admin {
                check_others(state, &user.id)?;
            }
            if is_disabled && self.is_for_team {
                check_admins(state, &Without { user: Some(&user.id), ..Without::default() })?;
            }
        }
        // The same document for all of them: two admins cannot disable each other.
        changes.push(write_admins(&admins)?);
        Ok((user, changes))
    }

    /// Ends all sign-ins of a user.
    ///
    /// # Errors
    /// `NotFound`; those of [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn sign_out_everywhere(&self, by: &AuditWho, id: &str) -> Result<()> {
        self.change_user(by, "user.sign_out", id, |user| user.generation += 1).await
    }

    /// Replaces the hash of the same password by one of another cost.
    #[cfg(feature = "passwords")]
    pub(crate) async fn renew_password_hash(
        &self,
        by: &AuditWho,
        id: &str,
        old: &str,
        new: &str,
    ) -> Result<()> {
        self.change_user(by, "user.password_cost", id, |user| {
            if user.password.as_ref().is_some_and(|stored| stored.0 == old) {
                user.password = Some(PasswordHash(new.to_owned()));
            }
        })
        .await
    }

    /// Disables a user, which ends all sign-ins and takes all rights away; or enables the user again.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` for the last admin of the server; those of
    /// [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn set_disabled(&self, by: &AuditWho, id: &str, is_disabled: bool) -> Result<()> {
        self.update_user(by, id, UserUpdate::default().disabled(is_disabled)).await.map(drop)
    }

    /// Makes a user an admin of the server, or no longer. A new admin has to sign in again, and has no
    /// tokens.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` for the last admin of the server; those of
    /// [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn set_server_admin(&self, by: &AuditWho, id: &str, is_admin: bool) -> Result<()> {
        self.update_user(by, id, UserUpdate::default().server_admin(is_admin)).await.map(drop)
    }

    /// Removes a user with all tokens. Grants for the user no longer have an effect.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` for the last admin of the server; those of
    /// [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn remove_user(&self, by: &AuditWho, id: &str) -> Result<()> {
        self.change(by, "user.remove", |state, _| {
            let Stored { version, value } = find(state, id)?;
            let mut changes = vec![Change::remove(USER, id, *version)];
            let key = value.name.to_lowercase();
            if let Some(name) = state.names.get(key.as_str()) {
                changes.push(Change::remove(USER_NAME, key, name.version));
            }
            if let Some(external) = &value.external {
                let key = key_of(external);
                let known = state.identities.get(&*key);
                changes.extend(known.map(|known| Change::remove(IDENTITY, key, known.version)));
            }
            self.check_account(state, id)?;
            if self.is_for_team {
                check_admins(state, &Without { user: Some(id), ..Without::default() })?;
            }
            let mut admins = state.admins.clone();
            if admins.value.users.remove(id) {
                check_others(state, id)?;
            }
            changes.push(write_admins(&admins)?);
            changes.extend(tokens_of(state, id));
            let target = AuditTarget::new("user", id).team(self.team_of_target());
            Ok(Plan::new(changes, target, ()).detail(&*value.name))
        })
        .await
    }

    /// Adds a program, which is a service account of one team.
    ///
    /// # Errors
    /// `InvalidInput` for a wrong name; `Conflict` if the team has one with this name; those of
    /// [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn add_program(&self, by: &AuditWho, team: &str, name: &str) -> Result<Program> {
        check_name("the name of a program", name)?;
        let id: Arc<str> = format!("program:{}", new_id()?).into();
        self.change(by, "program.add", |state, created| {
            let mut programs = state.programs.values().map(|program| &program.value);
            if programs.any(|known| *known.team == *team && *known.name == *name) {
                let message = format!("there is a program {name:?} already");
                return Err(Error::new(ErrorKind::Conflict, message));
            }
            check_room("programs", state.programs.len())?;
            let programs = state.programs.values();
            let of_team = programs.filter(|program| *program.value.team == *team);
            self.check_share(state, "programs", MOST, || of_team.count())?;
            let program = Program { id: id.clone(), name: name.into(), team: team.into(), created };
            let mut changes = vec![write(PROGRAM, &id, 0, &program)?];
            changes.extend(self.keep_team(state, team)?);
            let target = AuditTarget::new("program", id.clone()).team(team);
            Ok(Plan::new(changes, target, program).detail(name))
        })
        .await
    }

    /// Returns all programs, by id.
    pub fn programs(&self) -> Vec<Program> {
        self.state().programs.values().map(|program| program.value.clone()).collect()
    }

    /// Removes a program with its tokens.
    ///
    /// # Errors
    /// `NotFound`; those of [`Records`](tinpot_core::access::Records) and of the audit.
    pub async fn remove_program(&self, by: &AuditWho, id: &str) -> Result<()> {
        self.change(by, "program.remove", |state, _| {
            let found = state.programs.get(id).ok_or_else(|| not_found("program", id))?;
            let mut changes = vec![Change::remove(PROGRAM, id, found.version)];
            changes.extend(tokens_of(state, id));
            let target = AuditTarget::new("program", id).team(found.value.team.clone());
            Ok(Plan::new(changes, target, ()).detail(&*found.value.name))
        })
        .await
    }

    async fn change_user(
        &self,
        by: &AuditWho,
        what: &'static str,
        id: &str,
        change: impl Fn(&mut User),
    ) -> Result<()> {
        self.change(by, what, |state, _| {
            let Stored { version, value } = find(state, id)?;
            let mut user = value.clone();
            change(&mut user);
            let changes = vec![write(USER, id, *version, &user)?];
            Ok(Plan::new(changes, AuditTarget::new("user", id), ()).detail(&*user.name))
        })
        .await
    }
}

pub(super) fn find<'a>(state: &'a State, id: &str) -> Result<&'a Stored<User>> {
    state.users.get(id).ok_or_else(|| not_found("user", id))
}

pub(super) fn tokens_of<'a>(state: &'a State, id: &'a str) -> impl Iterator<Item = Change> + 'a {
    let tokens = state.tokens.values().map(|token| &token.stored);
    tokens
        .filter(move |token| *token.value.principal == *id)
        .map(|token| Change::remove(TOKEN, token.value.id.clone(), token.version))
}

/// Checks that the server has an admin without this one.
fn check_others(state: &State, id: &str) -> Result<()> {
    let is_enabled = |id: &str| state.users.get(id).is_some_and(|user| !user.value.is_disabled);
    if state.admins.value.users.iter().any(|other| **other != *id && is_enabled(other)) {
        return Ok(());
    }
    let message = "the server needs an admin: make another user an admin first";
    Err(Error::new(ErrorKind::Conflict, message))
}

pub(super) fn check_room(what: &str, number: usize) -> Result<()> {
    if number >= MOST {
        return Err(invalid(format!("a server has at most {MOST} {what}")));
    }
    Ok(())
}

impl User {
    /// Returns true if the user can sign in.
    pub(super) fn is_valid(&self, generation: u64) -> bool {
        !self.is_disabled && self.generation == generation
    }

    /// Returns the stored hash of the password.
    #[cfg(feature = "passwords")]
    pub(crate) fn stored_password(&self) -> Option<&str> {
        self.password.as_ref().map(|hash| &*hash.0)
    }
}
