//! `/api/worker-keys` and `/api/join-tokens`: the enrolled keys of workers, and the tokens with which
//! workers join.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tinpot_access::{JoinTokenInfo, NewJoinToken, WorkerKey};
use tinpot_core::seal::{KeyId, WorkerLimits};
use tinpot_core::{DEFAULT_TEAM, Right};
use utoipa::ToSchema;

use crate::accounts::WorkerEnrolment;
use crate::error::ApiError;
use crate::extract::accounts::{Asked, PathId};
use crate::model::{Time, json_response};
use crate::router::App;
use crate::submission::json_body;

/// The default time for which a join token is valid, in seconds.
const LIFETIME: u64 = 3_600;

/// The limits of workers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkerLimits)]
pub(crate) struct Limits {
    /// The names, as a pattern with `*`.
    names: String,
    /// The queues that they may serve; null for all.
    queues: Option<Vec<String>>,
    /// The groups of actions that they may offer; null for all.
    groups: Option<Vec<String>>,
    /// The actions that they may offer, as patterns with `*`; null for all.
    actions: Option<Vec<String>>,
    /// The maximum number of slots; null for any.
    slots: Option<u32>,
}

/// The key of a worker.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkerKey)]
pub(crate) struct KeyJson {
    id: String,
    limits: Limits,
    /// The id of the join token that enrolled it.
    join_token: String,
    created_at: Time,
    /// The time at which its worker was last heard, at most 5 minutes too early.
    last_heard_at: Option<Time>,
    revoked_at: Option<Time>,
    /// If true, it is removed a day after it was last heard.
    temporary: bool,
    /// The version of the worker's program when it joined.
    version: String,
    /// If true, an operator has asked the worker to replace it.
    rotate: bool,
    /// The id of the key that has replaced it.
    replaced_by: Option<String>,
    /// The time at which it ends, since another one has replaced it.
    ends_at: Option<Time>,
}

/// The keys of workers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkerKeys {
    keys: Vec<KeyJson>,
}

/// A join token to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JoinTokenNew {
    /// The names of its workers, as a pattern with `*`.
    names: String,
    /// The queues that they may serve; null for all.
    #[serde(default)]
    #[schema(required = false)]
    queues: Option<Vec<String>>,
    /// The groups of actions that they may offer; null for all.
    #[serde(default)]
    #[schema(required = false)]
    groups: Option<Vec<String>>,
    /// The actions that they may offer, as patterns with `*`; null for all.
    #[serde(default)]
    #[schema(required = false)]
    actions: Option<Vec<String>>,
    /// The maximum number of slots of a worker; null for any.
    #[serde(default)]
    #[schema(required = false)]
    slots: Option<u32>,
    /// The number of workers that may join with it, 1 by default.
    #[serde(default)]
    #[schema(required = false, minimum = 1, maximum = 10_000)]
    uses: Option<u32>,
    /// The seconds for which it is valid, an hour by default.
    #[serde(default)]
    #[schema(required = false, minimum = 1, maximum = 2_592_000)]
    valid_for_s: Option<u64>,
    /// If true, the keys of its workers are removed a day after they were last heard.
    #[serde(default)]
    #[schema(required = false)]
    temporary: bool,
}

/// A join token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JoinToken)]
pub(crate) struct JoinTokenJson {
    id: String,
    limits: Limits,
    /// The number of workers that may still join with it.
    uses: u32,
    created_at: Time,
    expires_at: Time,
    temporary: bool,
    /// The name of the principal that created it.
    created_by: String,
}

/// The join tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JoinTokens {
    tokens: Vec<JoinTokenJson>,
}

/// A join token with its secret, which is shown only once.
#[derive(Serialize, ToSchema)]
pub(crate) struct JoinTokenSecret<'a> {
    token: JoinTokenJson,
    secret: &'a str,
}

impl From<WorkerLimits> for Limits {
    fn from(limits: WorkerLimits) -> Self {
        let WorkerLimits { names, queues, groups, actions, slots, .. } = limits;
        Self { names, queues, groups, actions, slots }
    }
}

impl KeyJson {
    fn of(key: WorkerKey) -> Self {
        Self {
            id: key.id.to_string(),
            limits: key.limits.into(),
            join_token: key.token.to_string(),
            created_at: Time(key.created),
            last_heard_at: key.last_heard.map(Time),
            revoked_at: key.revoked.map(Time),
            temporary: key.is_temporary,
            version: key.version,
            rotate: key.rotate,
            replaced_by: key.replaced_by.map(|key| key.to_string()),
            ends_at: key.ends.map(Time),
        }
    }
}

impl JoinTokenJson {
    fn of(token: JoinTokenInfo) -> Self {
        Self {
            id: token.id.to_string(),
            uses: token.terms.uses,
            expires_at: Time(token.terms.expires),
            limits: token.terms.limits.into(),
            created_at: Time(token.created),
            temporary: token.is_temporary,
            created_by: token.by.to_string(),
        }
    }
}

/// Lists the keys of workers, including revoked ones.
#[utoipa::path(
    get,
    path = "/api/worker-keys",
    tag = "worker_keys",
    responses((status = 200, description = "the keys", body = WorkerKeys)),
)]
pub(crate) async fn keys(asked: Asked) -> Result<Response, ApiError> {
    let keys = asked.enrolment()?.keys.keys().into_iter();
    let keys = keys.filter(|key| asked.enrols(&key.limits)).map(KeyJson::of).collect();
    Ok(json_response(StatusCode::OK, &WorkerKeys { keys }))
}

/// Revokes the key of a worker, which the coordinator ignores from then on.
#[utoipa::path(
    delete,
    path = "/api/worker-keys/{id}",
    tag = "worker_keys",
    params(("id" = String, Path, description = "the id of a key")),
    responses((status = 204, description = "the key was revoked"), (status = 404, description = "Key not found.")),
)]
pub(crate) async fn revoke(asked: Asked, PathId(id): PathId) -> Result<StatusCode, ApiError> {
    let (enrolment, id) = asked.own_key(&id)?;
    enrolment.keys.revoke_key(&asked.by(), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Asks the workers with a key to replace it while they run. After that, the former key is valid
/// for 48 hours more.
#[utoipa::path(
    post,
    path = "/api/worker-keys/{id}/rotate",
    tag = "worker_keys",
    params(("id" = String, Path, description = "the id of a key")),
    responses(
        (status = 204, description = "the workers are asked"),
        (status = 404, description = "Key not found."),
        (status = 409, description = "The key was revoked, or replaced already."),
    ),
)]
pub(crate) async fn rotate(asked: Asked, PathId(id): PathId) -> Result<StatusCode, ApiError> {
    let (enrolment, id) = asked.own_key(&id)?;
    enrolment.keys.ask_to_rotate(&asked.by(), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the join tokens, without their secrets.
#[utoipa::path(
    get,
    path = "/api/join-tokens",
    tag = "join_tokens",
    responses((status = 200, description = "the tokens", body = JoinTokens)),
)]
pub(crate) async fn tokens(asked: Asked) -> Result<Response, ApiError> {
    let tokens = asked.enrolment()?.keys.tokens().into_iter();
    let tokens = tokens.filter(|token| asked.enrols(&token.terms.limits));
    let tokens = tokens.map(JoinTokenJson::of).collect();
    Ok(json_response(StatusCode::OK, &JoinTokens { tokens }))
}

/// Creates a join token. The answer has its secret, which is shown only once.
#[utoipa::path(
    post,
    path = "/api/join-tokens",
    tag = "join_tokens",
    request_body = JoinTokenNew,
    responses((status = 201, description = "the token", body = JoinTokenSecret)),
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    asked: Asked,
    request: Request,
) -> Result<Response, ApiError> {
    let enrolment = asked.enrolment()?;
    let new: JoinTokenNew = json_body(request, &app).await?;
    let mut limits = WorkerLimits::new(new.names);
    (limits.queues, limits.groups, limits.actions) = (new.queues, new.groups, new.actions);
    limits.slots = new.slots;
    if asked.accounts.directory().has_teams() {
        limits.teams = Some(vec![asked.team().to_owned()]);
    }
    let lifetime = Duration::from_secs(new.valid_for_s.unwrap_or(LIFETIME));
    let token = NewJoinToken::new(limits)
        .uses(new.uses.unwrap_or(1))
        .lifetime(lifetime)
        .temporary(new.temporary);
    let created = enrolment.keys.create_token(&asked.by(), enrolment.coordinator, token).await;
    let (secret, token) = created?;
    let body = JoinTokenSecret { token: JoinTokenJson::of(token), secret: secret.expose() };
    Ok(json_response(StatusCode::CREATED, &body))
}

/// Revokes a join token. Workers that have joined with it stay enrolled.
#[utoipa::path(
    delete,
    path = "/api/join-tokens/{id}",
    tag = "join_tokens",
    params(("id" = String, Path, description = "the id of a join token")),
    responses((status = 204, description = "the token was revoked"), (status = 404, description = "Join token not found.")),
)]
pub(crate) async fn revoke_token(asked: Asked, PathId(id): PathId) -> Result<StatusCode, ApiError> {
    let enrolment = asked.enrolment()?;
    let id = key_id(&id, "join token")?;
    let mut tokens = enrolment.keys.tokens().into_iter().filter(|token| token.id == id);
    if tokens.any(|token| !asked.enrols(&token.terms.limits)) {
        let detail = format!("no join token {id}");
        return Err(ApiError::new(StatusCode::NOT_FOUND, detail));
    }
    enrolment.keys.revoke_token(&asked.by(), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn key_id(id: &str, what: &str) -> Result<KeyId, ApiError> {
    let missing = |_| ApiError::new(StatusCode::NOT_FOUND, format!("no {what} {id:?}"));
    id.parse().map_err(missing)
}

impl Asked {
    /// Returns true if workers with these limits serve the caller's team, and no other one.
    fn enrols(&self, limits: &WorkerLimits) -> bool {
        match &limits.teams {
            None => self.is_here(DEFAULT_TEAM),
            Some(teams) => teams.iter().all(|team| self.is_here(team)),
        }
    }

    /// Returns the id of a key of the caller's team.
    fn own_key(&self, id: &str) -> Result<(&WorkerEnrolment, KeyId), ApiError> {
        let enrolment = self.enrolment()?;
        let id = key_id(id, "key of a worker")?;
        let mut keys = enrolment.keys.keys().into_iter().filter(|key| key.id == id);
        if keys.any(|key| !self.enrols(&key.limits)) {
            let detail = format!("no key of a worker {id}");
            return Err(ApiError::new(StatusCode::NOT_FOUND, detail));
        }
        Ok((enrolment, id))
    }

    /// Returns the keys of workers, for a caller who may enrol them.
    fn enrolment(&self) -> Result<&WorkerEnrolment, ApiError> {
        self.needs(Right::Enrol)?;
        self.accounts.enrolment().ok_or_else(|| {
            let detail = "workers do not join this server: its frames are plain";
            ApiError::new(StatusCode::NOT_FOUND, detail)
        })
    }
}
