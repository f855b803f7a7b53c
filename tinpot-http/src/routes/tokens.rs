//! `/api/tokens`: API tokens.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tinpot_access::{Directory, NewToken, Token};
use tinpot_core::Right;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::extract::accounts::{Asked, PathId};
use crate::model::{Time, json_response};
use crate::params::Params;
use crate::router::App;
use crate::submission::{json_body, optional_json_body};

/// The seconds of a day.
const DAY: u64 = 86_400;
/// The time for which both secrets of a rotated token are valid, by default.
const OVERLAP: u64 = DAY;

/// A token to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenNew {
    /// The name, for people.
    name: String,
    /// The scopes, such as `read` and `run:deploy-*`; by default the token has all rights of its
    /// principal.
    #[serde(default)]
    #[schema(required = false)]
    scopes: Vec<String>,
    /// The days for which it is valid, 90 by default.
    #[serde(default)]
    #[schema(required = false, minimum = 1, maximum = 366)]
    days: Option<u64>,
    /// If true, it is valid until it is revoked. Only an admin of the server may ask for that.
    #[serde(default)]
    #[schema(required = false)]
    never_expires: bool,
    /// The id of another user or program whose rights the token has. Only who manages the team may
    /// ask for that.
    #[serde(default)]
    #[schema(required = false)]
    principal: Option<String>,
}

/// A rotation.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotation {
    /// The seconds for which the former secret stays valid, a day by default.
    #[serde(default)]
    #[schema(required = false, maximum = 2_592_000)]
    overlap_s: Option<u64>,
}

/// An API token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
pub(crate) struct TokenJson {
    id: String,
    name: String,
    /// The id of the user or program whose rights it has.
    principal: String,
    principal_name: String,
    scopes: Vec<String>,
    created_at: Time,
    /// The time at which it ends; null for never.
    expires_at: Option<Time>,
    /// The time of a use, at most 5 minutes before the last one.
    last_used_at: Option<Time>,
    /// True if it was revoked. Revoked tokens are not listed.
    revoked: bool,
    /// The last characters of the secret.
    hint: String,
}

/// API tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tokens {
    tokens: Vec<TokenJson>,
}

/// A token with its secret, which is shown this time only.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenSecret<'a> {
    token: TokenJson,
    secret: &'a str,
}

impl TokenJson {
    fn of(directory: &Directory, token: Token) -> Self {
        let user = directory.user_by_id(&token.principal).map(|user| user.name);
        let mut programs = directory.programs().into_iter();
        let name = user.or_else(|| {
            programs.find(|program| program.id == token.principal).map(|program| program.name)
        });
        Self {
            hint: token.hint().to_owned(),
            id: token.id.to_string(),
            name: token.name.to_string(),
            principal_name: name.unwrap_or_default().to_string(),
            principal: token.principal.to_string(),
            scopes: token.scopes,
            created_at: Time(token.created),
            expires_at: token.expires.map(Time),
            last_used_at: token.last_used.map(Time),
            revoked: false,
        }
    }
}

/// Lists the tokens of the caller, or all.
#[utoipa::path(
    get,
    path = "/api/tokens",
    tag = "tokens",
    params(("all" = Option<bool>, Query, description = "true for those of all users and programs, for who manages the team")),
    responses((status = 200, description = "the tokens", body = Tokens)),
)]
pub(crate) async fn list(uri: Uri, asked: Asked) -> Result<Response, ApiError> {
    let all = Params::of(&uri, &["all"])?.flag("all")?;
    if all {
        asked.needs(Right::ManageTeam)?;
    }
    let directory = asked.accounts.directory();
    let tokens = directory.tokens().into_iter();
    let shown = tokens.filter(|token| all || *token.principal == *asked.id());
    let shown = shown.filter(|token| asked.is_here(&token.team));
    let tokens = Tokens { tokens: shown.map(|token| TokenJson::of(directory, token)).collect() };
    Ok(json_response(StatusCode::OK, &tokens))
}

/// Creates a token. The answer has its secret, which is shown this time only.
#[utoipa::path(
    post,
    path = "/api/tokens",
    tag = "tokens",
    request_body = TokenNew,
    responses((status = 201, description = "the token", body = TokenSecret), (status = 404, description = "User or program not found.")),
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    asked: Asked,
    request: Request,
) -> Result<Response, ApiError> {
    let TokenNew { name, scopes, days, never_expires, principal } =
        json_body(request, &app).await?;
    let forbidden = |detail: &str| Err(ApiError::new(StatusCode::FORBIDDEN, detail));
    let principal = principal.as_deref().unwrap_or(asked.id());
    if principal != asked.id() {
        asked.needs(Right::ManageTeam)?;
        asked.needs_power_over(principal)?;
    }
    let mut new = NewToken::new(name, principal).asked_by(asked.scoped().caller().clone());
    if !scopes.is_empty() {
        new = new.scopes(&scopes.iter().map(String::as_str).collect::<Vec<_>>());
    }
    match days {
        Some(_) if never_expires => {
            return Err(ApiError::unprocessable("days and never_expires exclude each other"));
        }
        Some(days) => new = new.lifetime(Duration::from_secs(days.saturating_mul(DAY))),
        None if never_expires && !asked.scoped().has(Right::ManageServer) => {
            return forbidden("a token without an end can only be made by an admin of the server");
        }
        None if never_expires => new = new.never_expires(),
        None => {}
    }
    let directory = asked.directory_over(principal);
    let (secret, token) = directory.create_token(&asked.by(), new).await?;
    let body = TokenSecret { token: TokenJson::of(&directory, token), secret: secret.expose() };
    Ok(json_response(StatusCode::CREATED, &body))
}

/// Gives a token another secret, and as long a life as it had. The former secret is valid for a
/// while.
#[utoipa::path(
    post,
    path = "/api/tokens/{id}/rotate",
    tag = "tokens",
    params(("id" = String, Path, description = "the id of a token")),
    request_body = Option<Rotation>,
    responses((status = 200, description = "the token", body = TokenSecret), (status = 404, description = "Token not found.")),
)]
pub(crate) async fn rotate(
    State(app): State<Arc<App>>,
    asked: Asked,
    PathId(id): PathId,
    request: Request,
) -> Result<Response, ApiError> {
    let token = asked.token(&id)?;
    asked.directory().check_rotation(asked.scoped().caller(), &token.id)?;
    let rotation: Option<Rotation> = optional_json_body(request, &app).await?;
    let overlap = rotation.unwrap_or_default().overlap_s.unwrap_or(OVERLAP);
    let directory = asked.directory_over(&token.principal);
    let overlap = Duration::from_secs(overlap);
    let (secret, token) = directory.rotate_token(&asked.by(), &token.id, overlap).await?;
    let body = TokenSecret { token: TokenJson::of(&directory, token), secret: secret.expose() };
    Ok(json_response(StatusCode::OK, &body))
}

/// Revokes a token.
#[utoipa::path(
    delete,
    path = "/api/tokens/{id}",
    tag = "tokens",
    params(("id" = String, Path, description = "the id of a token")),
    responses((status = 204, description = "the token was revoked"), (status = 404, description = "Token not found.")),
)]
pub(crate) async fn revoke(asked: Asked, PathId(id): PathId) -> Result<StatusCode, ApiError> {
    let token = asked.token(&id)?;
    // A token may always end itself.
    if asked.scoped().caller().via.strip_prefix("token:") != Some(&*token.id) {
        asked.needs_own_credentials()?;
    }
    asked.directory_over(&token.principal).revoke_token(&asked.by(), &token.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Asked {
    /// Returns a token that the caller may change.
    fn token(&self, id: &str) -> Result<Token, ApiError> {
        let detail = || format!("token {id:?} not found");
        let missing = || ApiError::new(StatusCode::NOT_FOUND, detail());
        let token = self.accounts.directory().token(id).ok_or_else(missing)?;
        if !self.is_here(&token.team) {
            return Err(missing());
        }
        if *token.principal == *self.id() {
            return Ok(token);
        }
        if !self.scoped().has(Right::ManageTeam) {
            return Err(missing());
        }
        self.needs_power_over(&token.principal)?;
        Ok(token)
    }
}
