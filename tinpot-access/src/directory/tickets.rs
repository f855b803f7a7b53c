//! Tickets: one use of one path, for clients that can send no header.

use std::time::Duration;

use tinpot_core::access::records::Change;
use tinpot_core::{Caller, Error, ErrorKind, Result, Timestamp};

use super::set_up::SIGN_IN;
use super::sign_ins::VIA_SIGN_IN;
use super::state::{State, TICKET};
use super::{Directory, Known, Rejection, invalid};
use crate::clock::after;
use crate::documents::Ticket;
use crate::rules::VIA_TOKEN;
use crate::secret::{Digest, Secret, new_secret};
use crate::stored::write;

/// The longest life of a ticket.
const LONGEST: Duration = Duration::from_secs(3_600);
/// The longest path in bytes.
const PATH_BYTES: usize = 2_048;
/// Tickets of one page while ended ones are looked for.
const PAGE: usize = 1_000;
/// The most tickets that have not ended, as of the last time that they were counted.
const MOST: usize = 100_000;

impl Directory {
    /// Creates a ticket with which the caller may use this path once, within this time. It ends with
    /// the token or sign-in by which the caller is known.
    ///
    /// # Errors
    /// `InvalidInput` for a life of more than an hour or a path of more than 2,048 bytes; those of
    /// [`Records`](tinpot_core::access::Records).
    pub async fn create_ticket(
        &self,
        caller: &Caller,
        path: &str,
        life: Duration,
    ) -> Result<Secret> {
        if life > LONGEST || path.len() > PATH_BYTES {
            let (most, got) = (LONGEST.as_secs(), life.as_secs());
            let message = format!(
                "a ticket must be for at most {most} s (got {got}) and a path of at most {PATH_BYTES} bytes (got {})",
                path.len()
            );
            return Err(invalid(message));
        }
        self.write_ticket(Ticket {
            principal: caller.id.clone(),
            via: caller.via.clone(),
            team: caller.team.clone(),
            path: path.to_owned(),
            expires: after(self.now(), life),
        })
        .await
    }

    pub(super) async fn write_ticket(&self, ticket: Ticket) -> Result<Secret> {
        let secret = new_secret()?;
        let id = Digest::of(secret.expose().as_bytes()).to_hex();
        self.inner.records.change(&[write(TICKET, &id, 0, &ticket)?]).await?;
        Ok(secret)
    }

    /// Uses a ticket up, even if it is not accepted. Of several uses at the same time, one
    /// succeeds.
    ///
    /// # Errors
    /// Those of [`Records`](tinpot_core::access::Records). The inner error is the reason for which it
    /// is not accepted.
    pub async fn use_ticket(&self, secret: &str, path: &str) -> Result<Result<Known, Rejection>> {
        let ticket = match self.take_ticket(secret, path).await? {
            Ok(ticket) => ticket,
            Err(rejection) => return Ok(Err(rejection)),
        };
        // Its holder may have been disabled by another process since.
        self.refresh().await?;
        Ok(self.holder(&ticket))
    }

    /// Removes a ticket, and returns it if it is for this path and has not ended.
    pub(super) async fn take_ticket(
        &self,
        secret: &str,
        path: &str,
    ) -> Result<Result<Ticket, Rejection>> {
        let Some((ticket, use_up)) = self.find_ticket(secret).await? else {
            return Ok(Err(Rejection::Unknown));
        };
        match self.inner.records.change(&[use_up]).await {
            Ok(_) => Ok(self.check_ticket(&ticket, path).map(|()| ticket)),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(Err(Rejection::Unknown)),
            Err(error) => Err(error),
        }
    }

    /// Returns a ticket, and the change that uses it up.
    pub(super) async fn find_ticket(&self, secret: &str) -> Result<Option<(Ticket, Change)>> {
        let id = Digest::of(secret.as_bytes()).to_hex();
        let Some(found) = self.inner.records.get(TICKET, &id).await? else { return Ok(None) };
        let ticket = serde_json::from_slice(&found.document).map_err(|error| {
            Error::new(ErrorKind::Malformed, "a ticket cannot be read").with_source(error)
        })?;
        Ok(Some((ticket, Change::remove(TICKET, &*id, found.version))))
    }

    /// Checks that a ticket is for this path and has not ended.
    pub(super) fn check_ticket(&self, ticket: &Ticket, path: &str) -> Result<(), Rejection> {
        if ticket.path != path {
            return Err(Rejection::Unknown);
        }
        if ticket.expires <= self.now() {
            return Err(Rejection::Expired { token: None, at: ticket.expires });
        }
        Ok(())
    }

    /// Returns the caller of a ticket, if its principal still is one.
    fn holder(&self, ticket: &Ticket) -> Result<Known, Rejection> {
        let state = self.state();
        let valid_until = end_of_maker(&state, ticket, self.now())?;
        let caller = Caller::new(ticket.principal.clone()).via(ticket.via.clone());
        let caller = if let Some(user) = state.users.get(&ticket.principal) {
            if user.value.is_disabled {
                return Err(Rejection::Disabled);
            }
            // A person who is signing in chooses the team afterwards.
            let is_in = user.value.is_in(&ticket.team) && !state.is_disabled(&ticket.team);
            if self.inner.has_teams && ticket.path != SIGN_IN && !is_in {
                return Err(Rejection::NoTeam);
            }
            caller.name(user.value.name.clone()).team(ticket.team.clone())
        } else if let Some(program) = state.programs.get(&ticket.principal) {
            caller.name(program.value.name.clone()).team(program.value.team.clone())
        } else {
            return Err(Rejection::Disabled);
        };
        Ok(Known { caller, valid_until })
    }

    /// Removes tickets that have ended, and the first of too many.
    pub(super) async fn remove_ended_tickets(&self, now: Timestamp) -> Result<()> {
        let (mut after, mut kept) = (String::new(), 0);
        loop {
            let page = self.inner.records.list(TICKET, &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id.to_string();
            let mut ended = Vec::new();
            for record in &page {
                let ticket = serde_json::from_slice::<Ticket>(&record.document);
                if ticket.is_ok_and(|ticket| ticket.expires > now) && kept < MOST {
                    kept += 1;
                } else {
                    ended.push(Change::remove(TICKET, record.id.clone(), record.version));
                }
            }
            self.change_each(ended).await?;
        }
    }
}

/// Returns the end of the token or sign-in that a ticket was made with, if it is still valid.
fn end_of_maker(
    state: &State,
    ticket: &Ticket,
    now: Timestamp,
) -> Result<Option<Timestamp>, Rejection> {
    let end = if let Some(id) = ticket.via.strip_prefix(VIA_TOKEN) {
        let token = state.tokens.get(id).map(|token| &token.stored.value);
        let token = token.filter(|token| token.principal == ticket.principal);
        token.ok_or(Rejection::Unknown)?.expires
    } else if let Some(id) = ticket.via.strip_prefix(VIA_SIGN_IN) {
        let end = state.end_of_sign_in(id, &ticket.principal);
        Some(end.ok_or(Rejection::Unknown)?)
    } else {
        None
    };
    match end.filter(|end| *end <= now) {
        Some(at) => Err(Rejection::Expired { token: None, at }),
        None => Ok(end),
    }
}
