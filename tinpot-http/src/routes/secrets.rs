//! `/api/secrets`: the named secrets of the caller's team. No answer has a value.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tinpot_access::{Secret, SecretAllow, SecretStore, StoredSecret};
use tinpot_core::Right;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::extract::accounts::{Asked, PathName};
use crate::model::{Time, json_response};
use crate::router::App;
use crate::submission::json_body;

/// The value of a secret, and the actions that may have it. All three lists must match.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretValue {
    /// The value: 1 to 65,536 bytes.
    #[schema(max_length = 65536, min_length = 1)]
    value: String,
    /// Names and patterns of actions; null for all.
    #[serde(default)]
    #[schema(required = false)]
    actions: Option<Vec<String>>,
    /// Names and patterns of groups of actions; null for all.
    #[serde(default)]
    #[schema(required = false)]
    groups: Option<Vec<String>>,
    /// Names and patterns of queues; null for all.
    #[serde(default)]
    #[schema(required = false)]
    queues: Option<Vec<String>>,
}

/// A secret, without its value.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Secret)]
pub(crate) struct SecretJson {
    name: String,
    /// The number of times that it was set.
    version: u64,
    set_at: Time,
    /// The name of the user or program that set it last.
    set_by: String,
    /// Names and patterns of the actions that may have it; null for all.
    actions: Option<Vec<String>>,
    /// Names and patterns of groups of actions; null for all.
    groups: Option<Vec<String>>,
    /// Names and patterns of queues; null for all.
    queues: Option<Vec<String>>,
}

/// The secrets of a team.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Secrets {
    secrets: Vec<SecretJson>,
}

impl SecretJson {
    fn of(secret: StoredSecret) -> Self {
        let SecretAllow { actions, groups, queues, .. } = secret.allow;
        Self {
            name: secret.name.to_string(),
            version: secret.version,
            set_at: Time(secret.set_at),
            set_by: secret.set_by.to_string(),
            actions,
            groups,
            queues,
        }
    }
}

/// Lists the secrets of the team, by name.
#[utoipa::path(
    get,
    path = "/api/secrets",
    tag = "secrets",
    responses((status = 200, description = "the secrets", body = Secrets)),
)]
pub(crate) async fn list(asked: Asked) -> Result<Response, ApiError> {
    let secrets = asked.secrets()?.list(asked.team()).await?;
    let secrets = Secrets { secrets: secrets.into_iter().map(SecretJson::of).collect() };
    Ok(json_response(StatusCode::OK, &secrets))
}

/// Sets a secret that actions may ask for. No answer shows its value afterwards.
#[utoipa::path(
    put,
    path = "/api/secrets/{name}",
    tag = "secrets",
    params(("name" = String, Path, description = "the name of a secret")),
    request_body = SecretValue,
    responses((status = 200, description = "the secret", body = SecretJson)),
)]
pub(crate) async fn set(
    State(app): State<Arc<App>>,
    asked: Asked,
    PathName(name): PathName,
    request: Request,
) -> Result<Response, ApiError> {
    let secrets = asked.secrets()?;
    let SecretValue { value, actions, groups, queues } = json_body(request, &app).await?;
    let mut allow = SecretAllow::all();
    (allow.actions, allow.groups, allow.queues) = (actions, groups, queues);
    let value = Secret::new(value);
    let secret = secrets.set(&asked.by(), asked.team(), &name, &value, allow).await?;
    Ok(json_response(StatusCode::OK, &SecretJson::of(secret)))
}

/// Removes a secret.
#[utoipa::path(
    delete,
    path = "/api/secrets/{name}",
    tag = "secrets",
    params(("name" = String, Path, description = "the name of a secret")),
    responses((status = 204, description = "the secret was removed"), (status = 404, description = "Secret not found.")),
)]
pub(crate) async fn remove(asked: Asked, PathName(name): PathName) -> Result<StatusCode, ApiError> {
    asked.secrets()?.remove(&asked.by(), asked.team(), &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Asked {
    /// Returns the secrets, for a caller who may use them.
    fn secrets(&self) -> Result<&SecretStore, ApiError> {
        self.needs(Right::UseSecretStore)?;
        self.accounts.secret_store().ok_or_else(|| {
            ApiError::new(StatusCode::NOT_FOUND, "this server keeps no secrets for actions")
        })
    }
}
