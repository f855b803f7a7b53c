//! `/api/users`: users, for admins of the team.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tinpot_access::{Directory, Grant, Grantee, NewUser, Role, Secret, User, UserUpdate};
use tinpot_core::Right;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::extract::accounts::{Asked, PathId};
use crate::model::{Time, json_response};
use crate::router::App;
use crate::routes::grants::RoleName;
use crate::submission::json_body;

/// A user to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserNew {
    /// The name to sign in with.
    name: String,
    /// 12 bytes or more.
    #[schema(format = Password)]
    password: String,
    /// The role in the team; without one, the user sees nothing.
    #[serde(default)]
    #[schema(required = false)]
    role: Option<RoleName>,
    /// If true, the user is an admin of the server. Only another one may ask for that.
    #[serde(default)]
    #[schema(required = false)]
    server_admin: bool,
}

/// The changes of a user. What is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserChange {
    /// If true, the user cannot sign in, and has no rights.
    #[serde(default)]
    #[schema(required = false)]
    disabled: Option<bool>,
    /// Another password. All sign-ins of the user end.
    #[serde(default)]
    #[schema(required = false, format = Password)]
    password: Option<String>,
    /// If true, the user is an admin of the server. Only another one may ask for that.
    #[serde(default)]
    #[schema(required = false)]
    server_admin: Option<bool>,
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct UserJson {
    id: String,
    name: String,
    disabled: bool,
    server_admin: bool,
    /// The roles that the user has in the whole team, without those of groups.
    roles: Vec<RoleName>,
    created_at: Time,
}

/// All users.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Users {
    pub(super) users: Vec<UserJson>,
}

impl UserJson {
    pub(crate) fn of(directory: &Directory, team: &str, grants: &[Grant], user: User) -> Self {
        let to = Grantee::Principal(user.id.clone());
        let is_here = |grant: &&Grant| !directory.has_teams() || *grant.team == *team;
        let own = grants.iter().filter(|grant| grant.to == to && grant.is_for_all());
        let own = own.filter(is_here);
        Self {
            disabled: user.is_disabled,
            server_admin: directory.is_server_admin(&user.id),
            roles: own.map(|grant| grant.role.into()).collect(),
            created_at: Time(user.created),
            id: user.id.to_string(),
            name: user.name.to_string(),
        }
    }
}

/// Lists all users, by name.
#[utoipa::path(
    get,
    path = "/api/users",
    tag = "users",
    responses((status = 200, description = "the users", body = Users)),
)]
pub(crate) async fn list(asked: Asked) -> Result<Response, ApiError> {
    asked.needs(Right::ManageTeam)?;
    let directory = asked.accounts.directory();
    let grants = directory.grants();
    let of = |user| UserJson::of(directory, asked.team(), &grants, user);
    let users = Users { users: asked.users().into_iter().map(of).collect() };
    Ok(json_response(StatusCode::OK, &users))
}

/// Adds a user.
#[utoipa::path(
    post,
    path = "/api/users",
    tag = "users",
    request_body = UserNew,
    responses((status = 201, description = "the user", body = UserJson), (status = 409, description = "The name is taken.")),
)]
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    asked: Asked,
    request: Request,
) -> Result<Response, ApiError> {
    asked.needs(Right::ManageTeam)?;
    let UserNew { name, password, role, server_admin } = json_body(request, &app).await?;
    // Who knows the password can sign in, and then has no scopes.
    asked.needs_own_credentials()?;
    if let Some(role) = role {
        asked.directory().check_role(asked.scoped().caller(), role.into())?;
    }
    let mut new = NewUser::new(name.as_str());
    if server_admin {
        asked.needs_server_admin()?;
        new = new.server_admin();
    }
    let by = asked.by();
    if let Some(role) = role {
        new = new.role(Role::from(role));
    }
    let hash = asked.login().hash(&name, Secret::new(password)).await?;
    let user = asked.managed().add_user(&by, new.password_hash(hash)).await?;
    Ok(asked.user_json(StatusCode::CREATED, user))
}

/// Disables a user or enables the user again, sets a password, or makes the user an admin of the
/// server.
#[utoipa::path(
    patch,
    path = "/api/users/{id}",
    tag = "users",
    params(("id" = String, Path, description = "the id of a user")),
    request_body = UserChange,
    responses(
        (status = 200, description = "the user", body = UserJson),
        (status = 404, description = "User not found."),
        (status = 409, description = "The server needs an admin."),
    ),
)]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    asked: Asked,
    PathId(id): PathId,
    request: Request,
) -> Result<Response, ApiError> {
    asked.needs(Right::ManageTeam)?;
    let UserChange { disabled, password, server_admin } = json_body(request, &app).await?;
    let user = asked.user(&id)?;
    asked.needs_power_over(&user.id)?;
    if password.is_some() || server_admin.is_some() {
        asked.needs_own_credentials()?;
        // Who sets the password can sign in as the user.
        asked.directory().check_rights_of(asked.scoped().caller(), &user.id)?;
    }
    if password.is_some() && *user.id == *asked.id() {
        let detail = "your own password is changed with the current one: use /api/auth/password";
        return Err(ApiError::new(StatusCode::FORBIDDEN, detail));
    }
    let mut update = UserUpdate::default();
    if let Some(server_admin) = server_admin {
        asked.needs_server_admin()?;
        update = update.server_admin(server_admin);
    }
    if let Some(password) = password {
        let hash = asked.login().hash(&user.name, Secret::new(password)).await?;
        update = update.password_hash(hash);
    }
    if let Some(disabled) = disabled.filter(|disabled| *disabled != user.is_disabled) {
        update = update.disabled(disabled);
    }
    let user = asked.managed().update_user(&asked.by(), &id, update).await?;
    Ok(asked.user_json(StatusCode::OK, user))
}

/// Removes a user with all tokens.
#[utoipa::path(
    delete,
    path = "/api/users/{id}",
    tag = "users",
    params(("id" = String, Path, description = "the id of a user")),
    responses(
        (status = 204, description = "the user was removed"),
        (status = 404, description = "User not found."),
        (status = 409, description = "The server needs an admin."),
    ),
)]
pub(crate) async fn remove(asked: Asked, PathId(id): PathId) -> Result<StatusCode, ApiError> {
    asked.needs(Right::ManageTeam)?;
    let user = asked.user(&id)?;
    asked.needs_power_over(&user.id)?;
    asked.managed().remove_user(&asked.by(), &user.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Asked {
    fn user(&self, id: &str) -> Result<User, ApiError> {
        let missing = || ApiError::new(StatusCode::NOT_FOUND, format!("user {id:?} not found"));
        let user = self.accounts.directory().user_by_id(id).ok_or_else(missing)?;
        let is_member = user.teams.iter().any(|team| self.is_here(team));
        is_member.then_some(user).ok_or_else(missing)
    }

    fn user_json(&self, status: StatusCode, user: User) -> Response {
        let directory = self.accounts.directory();
        let grants = directory.grants();
        json_response(status, &UserJson::of(directory, self.team(), &grants, user))
    }

    fn needs_server_admin(&self) -> Result<(), ApiError> {
        if self.scoped().has(Right::ManageServer) {
            return Ok(());
        }
        let detail = "admins of the server can only be changed by another one";
        Err(ApiError::new(StatusCode::FORBIDDEN, detail))
    }
}
