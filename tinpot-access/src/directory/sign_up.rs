//! Sign-up: a team together with its first user.

use std::sync::Arc;

use tinpot_core::access::{AuditTarget, AuditWho};
use tinpot_core::{DEFAULT_TEAM, Error, ErrorKind, Result};

use super::grants::{detail_of, target_of};
use super::teams::target;
use super::{Directory, NewTeam, NewUser, Plan};
use crate::documents::{Grant, Grantee, Role, Team, User};
use crate::secret::new_id;

impl Directory {
    /// Creates a team together with its first user, who is an admin of it: both or none. With
    /// `is_only`, it must be the first team besides the default one.
    ///
    /// # Errors
    /// `Conflict` if a name is taken, ignoring case, or if there is a team and `is_only` is true;
    /// `InvalidInput` for a wrong name; those of [`Records`](tinpot_core::access::Records) and of the
    /// audit.
    pub async fn create_team_with(
        &self,
        by: &AuditWho,
        team: NewTeam,
        first: NewUser,
        is_only: bool,
    ) -> Result<(Team, User)> {
        team.check()?;
        first.check()?;
        let id: Arc<str> = new_id()?.into();
        let (user_id, grant_id) = (format!("user:{}", new_id()?), Arc::<str>::from(new_id()?));
        let of_team = self.of_team(id.clone());
        self.change(by, "team.create", |state, now| {
            if is_only && state.teams.keys().any(|id| **id != *DEFAULT_TEAM) {
                return Err(Error::new(ErrorKind::Conflict, "there is a team already"));
            }
            let (team, mut changes) = team.planned(state, &id, now)?;
            let (user, more) = of_team.planned_user(state, &first, &user_id, now)?;
            changes.extend(more);
            let grant = Grant::new(Grantee::Principal(user.id.clone()), Role::Admin);
            let grant = Grant { id: grant_id.clone(), ..grant.team(id.clone()) };
            changes.push(self.grant_change(state, &grant)?);
            let name = team.name.clone();
            let (of_user, of_grant) = (AuditTarget::new("user", &*user_id), target_of(&grant));
            let (of_user, to) = (of_user.team(id.clone()), detail_of(&grant, &user_id));
            let user_name = user.name.clone();
            let plan = Plan::new(changes, target(&id), (team, user)).detail(&*name);
            Ok(plan.also("user.add", of_user, &*user_name).also("grant.add", of_grant, to))
        })
        .await
    }
}
