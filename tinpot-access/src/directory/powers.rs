//! The rights that a caller may give to others, and the users that it has power over.

use tinpot_core::access::records::Change;
use tinpot_core::{Caller, Error, ErrorKind, Result, Right, VisiblePart};

use super::Directory;
use super::state::{ADMINS, ONE, State};
use crate::documents::{Grantee, Role, ServerAdmins, User};
use crate::rules::VIA_TOKEN;
use crate::scopes::{self, RightSet};
use crate::stored::{Stored, write};

impl Directory {
    /// Checks that a caller may give this role: with a token, only if its scopes give all rights of
    /// the role, for all actions.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn check_role(&self, caller: &Caller, role: Role) -> Result<()> {
        check_rights(&self.state(), caller, role.rights())
    }

    /// Checks that a caller may act as this user, such as with a password that the caller sets: with
    /// a token, only if its scopes give all rights that the user has somewhere.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn check_rights_of(&self, caller: &Caller, user: &str) -> Result<()> {
        let state = self.state();
        let mut rights = rights_to(&state, |team, to| match to {
            Grantee::Principal(id) => **id == *user,
            Grantee::Group(name) => state.members_of(team, name).any(|member| *member == *user),
            Grantee::Action(_) => false,
        });
        if state.is_server_admin(user) {
            rights = rights.or(RightSet::of(&[Right::ManageServer, Right::ReadMetrics]));
        }
        if state.users.get(user).is_some_and(|user| user.value.is_external_admin()) {
            rights = rights.or(Role::Admin.rights());
        }
        check_rights(&state, caller, rights)
    }

    /// Checks that a caller may choose the members of this group: with a token, only if its scopes
    /// give all rights that the members have somewhere.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn check_rights_of_group(&self, caller: &Caller, group: &str) -> Result<()> {
        let state = self.state();
        let is_group = |team: &str, to: &Grantee| {
            *team == *self.team && matches!(to, Grantee::Group(name) if **name == *group)
        };
        check_rights(&state, caller, rights_to(&state, is_group))
    }

    /// Checks that none of these users is an admin of the server, if the directory is for a team. The
    /// change must write the [document of the admins](write_admins), so that none becomes one
    /// meanwhile.
    pub(super) fn check_power<'a>(
        &self,
        state: &State,
        users: impl IntoIterator<Item = &'a str>,
    ) -> Result<()> {
        if self.is_for_team && users.into_iter().any(|user| state.is_server_admin(user)) {
            return Err(no_power());
        }
        Ok(())
    }

    /// Checks that the caller may change the account of a principal: its password and tokens. Only
    /// admins of the server may change accounts that are also in other teams.
    pub(super) fn check_account(&self, state: &State, principal: &str) -> Result<()> {
        self.check_power(state, [principal])?;
        let is_foreign = |user: &User| user.teams.iter().any(|team| *team != self.team);
        let user = state.users.get(principal).map(|user| &user.value);
        if self.is_for_team && user.is_some_and(is_foreign) {
            let message = "the account belongs to other teams, too: only an admin of the server can change it";
            return Err(Error::new(ErrorKind::Forbidden, message));
        }
        Ok(())
    }

    /// Checks the power over a principal, and returns the change that makes sure of it.
    pub(super) fn guard(&self, state: &State, principal: &str) -> Result<Option<Change>> {
        self.check_power(state, [principal])?;
        self.is_for_team.then(|| write_admins(&state.admins)).transpose()
    }
}

pub(super) fn no_power() -> Error {
    Error::new(ErrorKind::Forbidden, "an admin of the server can only be changed by another one")
}

/// Returns the change that writes the document of the server's admins.
pub(super) fn write_admins(admins: &Stored<ServerAdmins>) -> Result<Change> {
    write(ADMINS, ONE, admins.version, &admins.value)
}

/// Returns the rights of all grants to some principals.
fn rights_to(state: &State, is_to: impl Fn(&str, &Grantee) -> bool) -> RightSet {
    let grants = state.grants.values().map(|grant| &grant.value);
    let roles =
        grants.filter(|grant| is_to(&grant.team, &grant.to)).map(|grant| grant.role.rights());
    roles.fold(RightSet::default(), RightSet::or)
}

fn check_rights(state: &State, caller: &Caller, rights: RightSet) -> Result<()> {
    let Some(id) = caller.via.strip_prefix(VIA_TOKEN) else { return Ok(()) };
    let token = state.tokens.get(id).map(|token| &token.stored.value);
    let scopes = token.and_then(|token| scopes::parse(&token.scopes).ok()).unwrap_or_default();
    let gives = |right: Right| {
        scopes.iter().any(|scope| scope.rights.has(right) && scope.shown == VisiblePart::all())
    };
    match Right::ALL.iter().find(|right| rights.has(**right) && !gives(**right)) {
        Some(right) => {
            let message = format!(
                "a token gives others no more than its own scopes: token {id} has none for {right}"
            );
            Err(Error::new(ErrorKind::Forbidden, message))
        }
        None => Ok(()),
    }
}
