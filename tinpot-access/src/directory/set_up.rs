//! Tickets of the operator: the first admin, and sign-in without a password.

use std::sync::Arc;
use std::time::Duration;

use tinpot_core::access::AuditWho;
use tinpot_core::{Caller, DEFAULT_TEAM, Error, ErrorKind, Result};

use super::{Directory, NewUser, Rejection, State};
use crate::clock::after;
use crate::documents::{Role, SignIn, Ticket, User};
use crate::secret::Secret;

/// The paths of tickets, which no other ticket may have.
const SET_UP: &str = "set-up";
pub(super) const SIGN_IN: &str = "sign-in";
/// The life of a ticket for the first admin.
const LIFE: Duration = Duration::from_secs(3_600);

impl Directory {
    /// Returns true if there is a user, not counting people without power whom another system has
    /// signed in. If there is none, a ticket can create the first user.
    pub fn has_users(&self) -> bool {
        has_users(&self.state())
    }

    /// Creates a ticket with which the first user can be created, within an hour.
    ///
    /// # Errors
    /// Those of [`Records`](tinpot_core::access::Records).
    pub async fn create_set_up_ticket(&self) -> Result<Secret> {
        let expires = after(self.now(), LIFE);
        let (principal, via): (Arc<str>, Arc<str>) = ("".into(), "".into());
        let (team, path) = (DEFAULT_TEAM.into(), SET_UP.to_owned());
        self.write_ticket(Ticket { principal, via, team, path, expires }).await
    }

    /// Uses a ticket up to create the first user: an admin of the server and of its team, who is
    /// signed in.
    ///
    /// # Errors
    /// `Conflict` if there is a user, and `InvalidInput` for a wrong name: neither uses the ticket
    /// up. Those of [`Records`](tinpot_core::access::Records) and of the audit. The inner error is
    /// the reason for which the ticket is not accepted.
    pub async fn set_up(
        &self,
        ticket: &str,
        first: NewUser,
    ) -> Result<Result<(Secret, SignIn), Rejection>> {
        first.check()?;
        self.refresh().await?;
        check_first(&self.state())?;
        let Some((found, use_up)) = self.find_ticket(ticket).await? else {
            return Ok(Err(Rejection::Unknown));
        };
        if let Err(rejection) = self.check_ticket(&found, SET_UP) {
            // It is good for nothing any more.
            self.take_ticket(ticket, SET_UP).await?.ok();
            return Ok(Err(rejection));
        }
        let by = AuditWho::new("ticket", "", "set-up");
        let first = first.server_admin().role(Role::Admin);
        // All in one: no user is left without a ticket or rights, and of two tickets, one is good.
        let check = |state: &State| check_first(state).map(|()| Some(use_up.clone()));
        let User { id, name, .. } = self.add_user_if(&by, first, check).await?;
        self.sign_in(&AuditWho::new("user", id.clone(), name), &id).await.map(Ok)
    }

    /// Creates a ticket with which a user signs in once, within this time.
    ///
    /// # Errors
    /// `InvalidInput` for a longer life than an hour; those of
    /// [`Records`](tinpot_core::access::Records).
    pub async fn create_sign_in_ticket(&self, user: &str, life: Duration) -> Result<Secret> {
        self.create_ticket(&Caller::new(user), SIGN_IN, life).await
    }

    /// Uses a ticket up to sign its user in.
    ///
    /// # Errors
    /// Those of [`sign_in`](Self::sign_in). The inner error is the reason for which the ticket is
    /// not accepted.
    pub async fn sign_in_by_ticket(
        &self,
        ticket: &str,
    ) -> Result<Result<(Secret, SignIn), Rejection>> {
        match self.use_ticket(ticket, SIGN_IN).await? {
            Ok(known) => {
                let Caller { id, name, .. } = known.caller;
                let by = AuditWho::new("user", id.clone(), name).via("ticket");
                self.sign_in(&by, &id).await.map(Ok)
            }
            Err(rejection) => Ok(Err(rejection)),
        }
    }
}

fn has_users(state: &State) -> bool {
    let mut users = state.users.values().map(|user| &user.value);
    users.any(|user| user.external.is_none() || state.is_server_admin(&user.id))
}

/// Checks that there is no user.
fn check_first(state: &State) -> Result<()> {
    if !has_users(state) {
        return Ok(());
    }
    let message = "the server has users already: sign in as one of them";
    Err(Error::new(ErrorKind::Conflict, message))
}
