//! Apps.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use tinpot_bundle::App;
use tinpot_core::{ErrorKind, Result};

use crate::caller::Member;
use crate::ids::IdOf;
use crate::tower::Tower;
use crate::wire::body;
use crate::wire::error::ApiError;
use crate::wire::json;
use crate::wire::times::Time;

#[derive(Serialize)]
struct AppJson {
    app_id: u64,
    slug: Arc<str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    disabled: bool,
    created_at: Time,
    updated_at: Time,
}

#[derive(Serialize)]
struct AppsJson {
    apps: Vec<AppJson>,
}

impl Tower {
    /// Returns the id of an app.
    pub(crate) async fn app_id(&self, team: &str, name: &str) -> Result<u64> {
        self.ids.of(IdOf::App, &format!("{team}/{name}")).await
    }

    async fn app_json(&self, app: App) -> Result<AppJson> {
        Ok(AppJson {
            app_id: self.app_id(&app.team, &app.name).await?,
            slug: app.name,
            description: app.description,
            disabled: !app.enabled,
            created_at: Time(app.created_at),
            updated_at: Time(app.updated_at),
        })
    }

    /// Returns an app that the caller may see.
    pub(crate) async fn app(
        &self,
        member: &Member,
        slug: &str,
    ) -> std::result::Result<App, ApiError> {
        // What no app is called may not be the name of a document either.
        if tinpot_bundle::check_app_name(slug).is_err() {
            return Err(ApiError::not_found(format!("app {slug:?} not found")));
        }
        member.scoped.may_see_app(slug)?;
        Ok(self.apps.app(&member.team.id, slug).await?)
    }
}

pub(crate) async fn create(
    tower: &Tower,
    member: &Member,
    request: Request,
) -> std::result::Result<Response, ApiError> {
    let fields = body::fields(request, tower.config.max_body_bytes).await?;
    let slug = fields.text("slug")?.unwrap_or_default();
    tinpot_bundle::check_app_name(&slug)
        .map_err(|rule| ApiError::bad("invalid_slug", format!("slug {rule}")))?;
    let description = fields.text("description")?.unwrap_or_default();
    member.scoped.may_deploy(&slug)?;
    let created = tower.apps.create(&member.by(), &member.team.id, &slug, &description).await;
    let app = created.map_err(|error| match error.kind() {
        ErrorKind::Conflict => ApiError::conflict("slug_taken", error.message()),
        _ => error.into(),
    })?;
    Ok(json::answer(StatusCode::CREATED, &tower.app_json(app).await?))
}

pub(crate) async fn list(
    tower: &Tower,
    member: &Member,
) -> std::result::Result<Response, ApiError> {
    let mut apps = Vec::new();
    for app in tower.apps.list(&member.team.id).await? {
        if member.scoped.sees_app(&app.name) {
            apps.push(tower.app_json(app).await?);
        }
    }
    Ok(json::answer(StatusCode::OK, &AppsJson { apps }))
}

pub(crate) async fn show(
    tower: &Tower,
    member: &Member,
    slug: &str,
) -> std::result::Result<Response, ApiError> {
    let app = tower.app(member, slug).await?;
    Ok(json::answer(StatusCode::OK, &tower.app_json(app).await?))
}
