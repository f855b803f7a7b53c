//! `/auth/oidc`: sign-in with an identity provider.
//!
//! These are pages: the browser of a person goes there, and no script reads the answers.

#[cfg(feature = "oidc")]
mod flow;

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;

use crate::base_path::BasePath;
use crate::error::ApiError;
use crate::extract::accounts::Visit;
use crate::router::App;

/// Sends the browser to the identity provider, and keeps the state of the sign-in in a cookie.
#[utoipa::path(
    get,
    path = "/auth/oidc",
    tag = "auth",
    operation_id = "oidc",
    params(("to" = Option<String>, Query, description = "the path of the page to come back to")),
    responses(
        (status = 303, description = "The identity provider signs the person in."),
        (status = 404, description = "This server has no identity provider."),
        (status = 429, description = "Too many attempts: wait for the seconds in `Retry-After`."),
        (status = 503, description = "The identity provider does not answer."),
    ),
)]
pub(crate) async fn begin(
    State(app): State<Arc<App>>,
    visit: Visit,
    base: BasePath,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    flow::begin(&app, &visit, &base, query.as_deref().unwrap_or_default()).await
}

/// Signs in a person whom the identity provider has sent back, and sets a cookie.
#[utoipa::path(
    get,
    path = "/auth/oidc/callback",
    tag = "auth",
    operation_id = "oidc_callback",
    params(
        ("state" = String, Query, description = "the state of the sign-in"),
        ("code" = Option<String>, Query, description = "the authorization code"),
        ("iss" = Option<String>, Query, description = "the identity provider"),
        ("error" = Option<String>, Query, description = "the error code of a refusal"),
    ),
    responses(
        (status = 303, description = "The person is signed in."),
        (status = 403, description = "The sign-in is refused; the page says why."),
        (status = 404, description = "This server has no identity provider."),
        (status = 429, description = "Too many attempts: wait for the seconds in `Retry-After`."),
        (status = 503, description = "The identity provider does not answer."),
    ),
)]
pub(crate) async fn callback(
    State(app): State<Arc<App>>,
    visit: Visit,
    base: BasePath,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    flow::callback(&app, &visit, &base, query.as_deref().unwrap_or_default()).await
}

#[cfg(not(feature = "oidc"))]
mod flow {
    use axum::http::StatusCode;
    use axum::response::Response;

    use super::{ApiError, App, BasePath, Visit};

    #[expect(clippy::unused_async, reason = "as with an identity provider")]
    pub(super) async fn begin(
        _: &App,
        _: &Visit,
        _: &BasePath,
        _: &str,
    ) -> Result<Response, ApiError> {
        let detail = "path not found: this server has no identity provider";
        Err(ApiError::new(StatusCode::NOT_FOUND, detail))
    }

    pub(super) use begin as callback;
}
