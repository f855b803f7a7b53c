//! `/api/users/{id}/may`: the rights of a user, as the policy decides now, for admins of the team.

use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;
use tinpot_core::{Caller, Decision, Policy, Right, Target};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::extract::accounts::{Asked, PathId};
use crate::model::json_response;
use crate::params::Params;

/// The rights of a user.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserRights {
    /// The names of the rights, as `x-rights` names them.
    rights: Vec<String>,
    /// The additional rights that the user has on executions that the user submitted.
    own: Vec<String>,
}

/// Returns the rights of a user: anywhere in the team, or with an action in a queue.
#[utoipa::path(
    get,
    path = "/api/users/{id}/may",
    tag = "users",
    params(
        ("id" = String, Path, description = "the id of a user"),
        ("action" = Option<String>, Query, description = "the name of an action"),
        ("queue" = Option<String>, Query, description = "the name of a queue; that of the action by default"),
    ),
    responses((status = 200, description = "the rights", body = UserRights), (status = 404, description = "User or action not found.")),
)]
pub(crate) async fn may(uri: Uri, asked: Asked, PathId(id): PathId) -> Result<Response, ApiError> {
    asked.needs(Right::ManageTeam)?;
    let params = Params::of(&uri, &["action", "queue"])?;
    let directory = asked.accounts.directory();
    let missing = || ApiError::new(StatusCode::NOT_FOUND, format!("user {id:?} not found"));
    let user = directory.user_by_id(&id).filter(|user| asked.has_member(user));
    let user = user.ok_or_else(missing)?;
    let entry = params.text("action").map(|name| asked.scoped().action(name)).transpose()?;
    let action = entry.as_ref().map(|entry| &*entry.action);
    let mut target = Target::team(asked.team());
    target.action = action.map(|action| action.name.as_str());
    target.group = action.map(|action| action.group.as_str());
    target.queue = params.text("queue").or(action.map(|action| action.queue.as_str()));
    let (rules, caller) = (directory.rules(), Caller::new(user.id.clone()).team(asked.team()));
    let allowed = |target: &Target<'_>| -> Vec<String> {
        let allowed = |right: &&Right| rules.decide(&caller, **right, target) == Decision::Allow;
        Right::ALL.iter().filter(allowed).map(|right| right.to_string()).collect()
    };
    let rights = allowed(&target);
    target.owner = Some(&user.id);
    let mut own = allowed(&target);
    own.retain(|right| !rights.contains(right));
    Ok(json_response(StatusCode::OK, &UserRights { rights, own }))
}
