//! Extractors of requests about users: who asks, from where.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde::Deserialize;
use tinpot_access::{Directory, Login, User};
use tinpot_core::access::AuditWho;
use tinpot_core::{DEFAULT_TEAM, Right, Scoped};

use crate::accounts::Accounts;
use crate::error::ApiError;
use crate::front::RequestId;
use crate::gate::Entered;
use crate::proxies::ClientAddress;
use crate::router::App;

/// A request without a caller, about users.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) accounts: Accounts,
    pub(crate) address: IpAddr,
    pub(crate) headers: HeaderMap,
}

/// A request of a caller, about users.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) accounts: Accounts,
    pub(crate) entered: Entered,
    pub(crate) address: IpAddr,
    pub(crate) headers: HeaderMap,
    request_id: Option<RequestId>,
    uri: Uri,
}

impl FromRequestParts<Arc<App>> for Visit {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let accounts = app.config.accounts.clone().ok_or_else(no_users)?;
        Ok(Self { accounts, address: address(parts), headers: parts.headers.clone() })
    }
}

impl FromRequestParts<Arc<App>> for Asked {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let entered = Entered::from_request_parts(parts, app).await?;
        let Visit { accounts, address, headers } = Visit::from_request_parts(parts, app).await?;
        let request_id = parts.extensions.get().cloned();
        Ok(Self { accounts, entered, address, headers, request_id, uri: parts.uri.clone() })
    }
}

impl Visit {
    /// Counts an attempt of the client's network, and refuses one too many.
    pub(crate) fn admit(&self) -> Result<(), ApiError> {
        admit(&self.accounts, self.address)
    }

    /// Counts a sign-in that begins at the identity provider, and refuses one too many.
    #[cfg(feature = "oidc")]
    pub(crate) fn admit_beginning(&self) -> Result<(), ApiError> {
        self.accounts.login().begin_from(self.address).map_err(too_many)
    }
}

fn admit(accounts: &Accounts, address: IpAddr) -> Result<(), ApiError> {
    accounts.login().attempt_from(address).map_err(too_many)
}

fn too_many(wait: Duration) -> ApiError {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let detail = format!("too many attempts to sign in: try again in {seconds} s");
    ApiError::too_many(detail, wait)
}

fn no_users() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "this server has no users of its own")
}

/// Returns the address of the client. If the embedding program does not state it, all clients share
/// one limit.
fn address(parts: &Parts) -> IpAddr {
    let known = parts.extensions.get().map(|ClientAddress(address)| *address);
    known.unwrap_or(Ipv4Addr::UNSPECIFIED.into())
}

impl Asked {
    pub(crate) fn scoped(&self) -> &Scoped {
        &self.entered.scoped
    }

    /// Counts an attempt of the client's network, and refuses one too many.
    pub(crate) fn admit(&self) -> Result<(), ApiError> {
        admit(&self.accounts, self.address)
    }

    /// Returns true if the caller is known by a token.
    pub(crate) fn has_token(&self) -> bool {
        self.scoped().caller().via.starts_with("token:")
    }

    /// Returns the id of the caller.
    pub(crate) fn id(&self) -> &str {
        &self.scoped().caller().id
    }

    /// Returns the directory, for changes that the caller asks for.
    pub(crate) fn directory(&self) -> Directory {
        let directory = self.accounts.directory().asked_from(self.address.to_string());
        let request_id = self.request_id.as_ref().map_or("", RequestId::as_str);
        directory.request_id(request_id).of_team(self.team())
    }

    /// Returns the id of the team in which the caller acts.
    pub(crate) fn team(&self) -> &str {
        match self.accounts.directory().has_teams() {
            true => &self.scoped().caller().team,
            false => DEFAULT_TEAM,
        }
    }

    /// Returns true if this is the caller's team, or if there is only one team.
    pub(crate) fn is_here(&self, team: &str) -> bool {
        !self.accounts.directory().has_teams() || *team == *self.team()
    }

    /// Returns true if the user is a member of the caller's team.
    pub(crate) fn has_member(&self, user: &User) -> bool {
        user.teams.iter().any(|team| self.is_here(team))
    }

    /// Returns the users of the caller's team.
    pub(crate) fn users(&self) -> Vec<User> {
        let mut users = self.accounts.directory().users();
        users.retain(|user| self.has_member(user));
        users
    }

    /// Returns the answer for a path that does not exist or needs this right.
    pub(crate) fn no_path(&self, right: Right) -> ApiError {
        let path = self.uri.path();
        let detail = format!("path {path:?} not found, or the right {right} is missing");
        ApiError::new(StatusCode::NOT_FOUND, detail)
    }

    /// Returns the directory, for changes of others that the caller asks for: without the right, it
    /// has no power over admins of the server.
    pub(crate) fn managed(&self) -> Directory {
        let directory = self.directory();
        if self.scoped().has(Right::ManageServer) { directory } else { directory.for_team() }
    }

    /// Returns the directory, for changes of what this user or program has.
    pub(crate) fn directory_over(&self, principal: &str) -> Directory {
        if principal == self.id() { self.directory() } else { self.managed() }
    }

    pub(crate) fn login(&self) -> &Login {
        self.accounts.login()
    }

    /// Returns the caller as the audit names it.
    pub(crate) fn by(&self) -> AuditWho {
        let caller = self.scoped().caller();
        let kind = match self.accounts.directory().user_by_id(&caller.id) {
            Some(_) => "user",
            None => "program",
        };
        AuditWho::new(kind, caller.id.clone(), caller.name.clone())
            .team(caller.team.clone())
            .via(caller.via.clone())
    }

    /// Checks that the caller has a right over the whole team. Without it, there is no such path.
    pub(crate) fn needs(&self, right: Right) -> Result<(), ApiError> {
        if self.scoped().has(right) {
            return Ok(());
        }
        Err(self.no_path(right))
    }

    /// Checks that the caller has power over a user: an admin of the team has none over admins of
    /// the server.
    pub(crate) fn needs_power_over(&self, user: &str) -> Result<(), ApiError> {
        let is_server_admin = self.accounts.directory().is_server_admin(user);
        if !is_server_admin || self.scoped().has(Right::ManageServer) {
            return Ok(());
        }
        let detail = "an admin of the server can only be changed by another one";
        Err(ApiError::new(StatusCode::FORBIDDEN, detail))
    }

    /// Checks that the caller has signed in, or has a token that makes tokens: one that only reads
    /// must end nothing.
    pub(crate) fn needs_own_credentials(&self) -> Result<(), ApiError> {
        if self.accounts.directory().may_make_tokens(self.scoped().caller()) {
            return Ok(());
        }
        let detail = "token cannot manage credentials: it needs the scope \"tokens\"";
        Err(ApiError::new(StatusCode::FORBIDDEN, detail))
    }
}

/// The name in the path, of whatever kind.
#[derive(Debug)]
pub(crate) struct PathName(pub(crate) String);

#[derive(Deserialize)]
struct Name {
    name: String,
}

impl<S: Send + Sync> FromRequestParts<S> for PathName {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<Name>::from_request_parts(parts, state).await {
            Ok(Path(Name { name })) => Ok(Self(name)),
            Err(_) => Err(ApiError::new(StatusCode::NOT_FOUND, "name not found: it must be UTF-8")),
        }
    }
}

/// The id in the path, of whatever kind.
#[derive(Debug)]
pub(crate) struct PathId(pub(crate) String);

#[derive(Deserialize)]
struct Id {
    id: String,
}

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<Id>::from_request_parts(parts, state).await {
            Ok(Path(Id { id })) => Ok(Self(id)),
            Err(_) => Err(ApiError::new(StatusCode::NOT_FOUND, "id not found: it must be UTF-8")),
        }
    }
}
