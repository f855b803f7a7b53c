//! The caller of a request.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::http::{HeaderMap, header};
use tinpot_access::Team;
use tinpot_core::access::AuditWho;
use tinpot_core::{Caller, Right, Scoped};

use crate::dispatch::ClientAddress;
use crate::tower::Tower;
use crate::wire::error::ApiError;

/// The prefix of `via` of callers with a token.
const VIA_TOKEN: &str = "token:";

/// A caller whose token is known.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) scoped: Scoped,
    pub(crate) team: Team,
    /// The id of the token.
    pub(crate) token: Arc<str>,
}

/// Returns the token of a request.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.trim().split_once(' ')?;
    Some(token.trim()).filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}

/// Returns the address of the client, as the host knows it.
pub(crate) fn address(client: Option<&ClientAddress>) -> IpAddr {
    client.map_or(Ipv4Addr::UNSPECIFIED.into(), |client| client.0)
}

impl Tower {
    /// Finds out who asks.
    ///
    /// # Errors
    /// 401.
    pub(crate) async fn member(
        &self,
        headers: &HeaderMap,
        client: Option<&ClientAddress>,
    ) -> Result<Member, ApiError> {
        let Some(text) = bearer(headers) else {
            return Err(ApiError::unauthorized("authorization must be a bearer token"));
        };
        // Another process may have revoked it.
        self.directory().keep_current().await?;
        let known = self.directory().authenticate_token(text);
        let caller = known.map_err(|why| ApiError::unauthorized(why.to_string()))?.caller;
        let Some(team) = self.directory().team(&caller.team) else {
            return Err(ApiError::unauthorized("the team of the token is gone"));
        };
        let token = caller.via.strip_prefix(VIA_TOKEN).unwrap_or_default().into();
        let scoped = self.coordinator.scoped(caller).asked_from(client.map(|client| client.0), "");
        Ok(Member { scoped, team, token })
    }
}

impl Member {
    pub(crate) fn is_admin(&self) -> bool {
        self.scoped.has(Right::ManageTeam)
    }

    pub(crate) fn role(&self) -> &'static str {
        if self.is_admin() { "admin" } else { "member" }
    }

    pub(crate) fn caller(&self) -> &Caller {
        self.scoped.caller()
    }

    /// Returns the caller as the audit names it.
    pub(crate) fn by(&self) -> AuditWho {
        let caller = self.caller();
        let kind = caller.id.split_once(':').map_or("", |(kind, _)| kind);
        AuditWho::new(kind, caller.id.clone(), caller.name.clone())
            .team(caller.team.clone())
            .via(caller.via.clone())
    }
}
