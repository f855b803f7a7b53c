//! Tokens of a team.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::caller::Member;
use crate::ids::IdOf;
use crate::tower::Tower;
use crate::wire::body;
use crate::wire::error::ApiError;
use crate::wire::json;

/// The name of a token that gets none.
const NAMELESS: &str = "token";

#[derive(Serialize)]
struct NewTokenJson<'a> {
    token_id: u64,
    token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    role: &'static str,
}

pub(crate) async fn create(
    tower: &Arc<Tower>,
    member: &Member,
    request: Request,
) -> Result<Response, ApiError> {
    let fields = body::optional_fields(request, tower.config.max_body_bytes).await?;
    let name = fields.text("name")?;
    let is_admin = match fields.text("role")?.as_deref() {
        None | Some("member") => false,
        // A member gets a token of a member.
        Some("admin") => member.is_admin(),
        Some(other) => {
            return Err(ApiError::invalid(format!("role must be admin or member (got {other:?})")));
        }
    };
    let by = member.by();
    let principal = match is_admin {
        true => member.caller().id.clone(),
        false => tower.members(&by, &member.team).await?,
    };
    let label = name.as_deref().filter(|name| !name.is_empty()).unwrap_or(NAMELESS);
    let made = tower.make_token(&by, &member.team, label, &principal).await?;
    let answer = NewTokenJson {
        token_id: tower.ids.of(IdOf::Token, &made.token).await?,
        token: made.secret.expose(),
        name: name.as_deref(),
        role: if is_admin { "admin" } else { "member" },
    };
    Ok(json::answer(StatusCode::CREATED, &answer))
}
