//! Users and programs that another system has authenticated.

use std::sync::Arc;

use tinpot_core::{Caller, DEFAULT_TEAM};

use super::{Directory, Rejection};

impl Directory {
    /// Returns the caller of a program or user of a team, each by name or id, that was authenticated
    /// in another way: `via` says how, for the audit. Takes microseconds, and no I/O. A program takes
    /// precedence over a user with its name.
    ///
    /// # Errors
    /// `Disabled` if there is none any more, or the user is disabled; `NoTeam` if the team is.
    pub fn principal_caller(
        &self,
        team: &str,
        name: &str,
        via: impl Into<Arc<str>>,
    ) -> Result<Caller, Rejection> {
        let state = self.state();
        let team = state.find_team(team).ok_or(Rejection::NoTeam)?;
        let is_open = match self.inner.has_teams {
            true => !team.is_disabled,
            false => *team.id == *DEFAULT_TEAM,
        };
        if !is_open {
            return Err(Rejection::NoTeam);
        }
        let mut programs = state.programs.values().map(|program| &program.value);
        let program =
            programs.find(|one| one.team == team.id && (*one.name == *name || *one.id == *name));
        let caller = match program {
            Some(program) => Caller::new(program.id.clone()).name(program.name.clone()),
            None => {
                let mut users = state.users.values().map(|user| &user.value);
                let user = users.find(|user| *user.name == *name || *user.id == *name);
                let user = user.filter(|user| !user.is_disabled).ok_or(Rejection::Disabled)?;
                if self.inner.has_teams && !user.is_in(&team.id) {
                    return Err(Rejection::NoTeam);
                }
                Caller::new(user.id.clone()).name(user.name.clone())
            }
        };
        Ok(caller.team(team.id).via(via))
    }
}
