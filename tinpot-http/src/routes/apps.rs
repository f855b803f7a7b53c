//! `/api/apps`: the apps of the caller's team.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::extract::apps::{AppsRequest, PathApp};
use crate::model::app::{AppJson, AppsJson};
use crate::model::json_response;
use crate::params::Params;
use crate::router::App;
use crate::submission::json_body;

/// A new app.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewApp {
    /// The name: 3 to 32 lower-case letters, digits and hyphens, beginning with a letter. The
    /// Towerfile of each version has the same.
    name: String,
    /// The description, for people.
    #[serde(default)]
    #[schema(required = false)]
    description: String,
}

/// A change of an app. What is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppChange {
    /// If false, nothing can be submitted to the app.
    #[serde(default)]
    #[schema(required = false)]
    enabled: Option<bool>,
    /// The number of the version that new submissions run.
    #[serde(default)]
    #[schema(required = false)]
    active_version: Option<u32>,
}

/// Lists the apps of the team, by name.
#[utoipa::path(
    get,
    path = "/api/apps",
    tag = "apps",
    responses((status = 200, description = "the apps", body = AppsJson)),
)]
pub(crate) async fn list(uri: Uri, asked: AppsRequest) -> Result<Response, ApiError> {
    Params::of(&uri, &[])?;
    let apps = asked.apps.list(asked.team()).await?;
    let seen = apps.iter().filter(|app| asked.scoped.sees_app(&app.name));
    let apps = AppsJson { apps: seen.map(AppJson::of).collect() };
    Ok(json_response(StatusCode::OK, &apps))
}

/// Creates an app, without versions.
#[utoipa::path(
    post,
    path = "/api/apps",
    tag = "apps",
    request_body = NewApp,
    responses(
        (status = 201, description = "the app", body = AppJson),
        (status = 409, description = "There is such an app already."),
    ),
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    asked: AppsRequest,
    request: Request,
) -> Result<Response, ApiError> {
    asked.needs_deploy()?;
    let NewApp { name, description } = json_body(request, &app).await?;
    asked.scoped.may_deploy(&name)?;
    let created = asked.apps.create(&asked.by(), asked.team(), &name, &description).await?;
    Ok(json_response(StatusCode::CREATED, &AppJson::of(&created)))
}

/// Returns an app.
#[utoipa::path(
    get,
    path = "/api/apps/{app}",
    tag = "apps",
    params(("app" = String, Path, description = "the name of an app")),
    responses((status = 200, description = "the app", body = AppJson)),
)]
pub(crate) async fn show(asked: AppsRequest, PathApp(name): PathApp) -> Result<Response, ApiError> {
    asked.scoped.may_see_app(&name)?;
    let app = asked.apps.app(asked.team(), &name).await?;
    Ok(json_response(StatusCode::OK, &AppJson::of(&app)))
}

/// Enables or disables an app, or activates one of its versions.
#[utoipa::path(
    patch,
    path = "/api/apps/{app}",
    tag = "apps",
    params(("app" = String, Path, description = "the name of an app")),
    request_body = AppChange,
    responses((status = 200, description = "the app", body = AppJson)),
)]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    asked: AppsRequest,
    PathApp(name): PathApp,
    request: Request,
) -> Result<Response, ApiError> {
    asked.scoped.may_deploy(&name)?;
    let (team, by) = (asked.team(), asked.by());
    let mut changed = asked.apps.app(team, &name).await?;
    let AppChange { enabled, active_version } = json_body(request, &app).await?;
    if enabled.is_none() && active_version.is_none() {
        return Err(ApiError::unprocessable("body must have enabled or active_version"));
    }
    if let Some(number) = active_version {
        let version = asked.apps.version(team, &name, number).await?;
        for action in asked.apps.actions(&version).await? {
            asked.scoped.may_deploy_action(&name, &action)?;
        }
        changed = asked.apps.activate(&by, team, &name, number).await?;
    }
    if let Some(enabled) = enabled {
        changed = asked.apps.set_enabled(&by, team, &name, enabled).await?;
    }
    Ok(json_response(StatusCode::OK, &AppJson::of(&changed)))
}

/// Removes an app with its versions. It must be disabled, unless no version is active.
#[utoipa::path(
    delete,
    path = "/api/apps/{app}",
    tag = "apps",
    params(("app" = String, Path, description = "the name of an app")),
    responses(
        (status = 204, description = "The app is removed."),
        (status = 409, description = "The app is enabled."),
    ),
)]
pub(crate) async fn remove(
    asked: AppsRequest,
    PathApp(name): PathApp,
) -> Result<StatusCode, ApiError> {
    asked.scoped.may_deploy(&name)?;
    asked.apps.remove(&asked.by(), asked.team(), &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
