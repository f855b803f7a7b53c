//! `/api/grants` and `/api/groups`: the grants of roles, and groups of users, for admins of the
//! team.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tinpot_access::{Grant, Grantee, Role};
use tinpot_core::Right;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::extract::ActionName;
use crate::extract::accounts::{Asked, PathId};
use crate::model::json_response;
use crate::router::App;
use crate::submission::json_body;

/// A role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Role)]
pub(crate) enum RoleName {
    Viewer,
    Operator,
    Developer,
    Admin,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Viewer => Role::Viewer,
            RoleName::Operator => Role::Operator,
            RoleName::Developer => Role::Developer,
            RoleName::Admin => Role::Admin,
        }
    }
}

impl From<Role> for RoleName {
    fn from(role: Role) -> Self {
        match role {
            Role::Operator => Self::Operator,
            Role::Developer => Self::Developer,
            Role::Admin => Self::Admin,
            // The least of all.
            _ => Self::Viewer,
        }
    }
}

/// The principals of a grant: one of these.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum To {
    /// A user, by id.
    User(String),
    /// A program, by id.
    Program(String),
    /// The members of a group, by its name.
    Group(String),
    /// The executions of an action, by its name, when they call other actions.
    Action(String),
}

/// A role, and where it holds. All conditions must hold.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Grant)]
pub(crate) struct GrantJson {
    /// The id, which the server chooses.
    #[serde(default)]
    #[schema(required = false)]
    id: String,
    to: To,
    role: RoleName,
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
    /// Names of environments; null for all.
    #[serde(default)]
    #[schema(required = false)]
    environments: Option<Vec<String>>,
    /// If true, it holds only for executions that the principal has submitted.
    #[serde(default)]
    #[schema(required = false)]
    own_only: bool,
}

/// All grants.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Grants {
    grants: Vec<GrantJson>,
}

/// A group of users.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Group)]
pub(crate) struct GroupJson {
    name: String,
    /// The ids of the users.
    members: Vec<String>,
}

/// All groups.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Groups {
    groups: Vec<GroupJson>,
}

/// The members of a group.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Members {
    /// The ids of the users.
    members: Vec<String>,
}

impl GrantJson {
    fn of(grant: Grant) -> Self {
        let to = match &grant.to {
            Grantee::Group(name) => To::Group(name.to_string()),
            Grantee::Principal(id) if id.starts_with("program:") => To::Program(id.to_string()),
            Grantee::Principal(id) => To::User(id.to_string()),
            Grantee::Action(name) => To::Action(name.to_string()),
            _ => To::Group(String::new()),
        };
        Self {
            id: grant.id.to_string(),
            to,
            role: grant.role.into(),
            actions: grant.actions,
            groups: grant.groups,
            queues: grant.queues,
            environments: grant.environments,
            own_only: grant.own_only,
        }
    }

    fn into_grant(self, team: &str) -> Grant {
        let to = match self.to {
            To::User(id) | To::Program(id) => Grantee::Principal(id.into()),
            To::Group(name) => Grantee::Group(name.into()),
            To::Action(name) => Grantee::Action(name.into()),
        };
        let mut grant = Grant::new(to, self.role.into()).team(team);
        grant.actions = self.actions;
        grant.groups = self.groups;
        grant.queues = self.queues;
        grant.environments = self.environments;
        grant.own_only = self.own_only;
        grant
    }
}

/// Lists all grants.
#[utoipa::path(
    get,
    path = "/api/grants",
    tag = "grants",
    responses((status = 200, description = "the grants", body = Grants)),
)]
pub(crate) async fn list(asked: Asked) -> Result<Response, ApiError> {
    asked.needs(Right::ManageTeam)?;
    let grants = asked.accounts.directory().grants().into_iter();
    let grants = grants.filter(|grant| asked.is_here(&grant.team)).map(GrantJson::of).collect();
    Ok(json_response(StatusCode::OK, &Grants { grants }))
}

/// Adds a grant.
#[utoipa::path(
    post,
    path = "/api/grants",
    tag = "grants",
    request_body = GrantJson,
    responses((status = 201, description = "the grant", body = GrantJson), (status = 404, description = "User, program or group not found.")),
)]
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    asked: Asked,
    request: Request,
) -> Result<Response, ApiError> {
    asked.needs(Right::ManageTeam)?;
    let grant: GrantJson = json_body(request, &app).await?;
    let grant = grant.into_grant(asked.team());
    asked.directory().check_role(asked.scoped().caller(), grant.role)?;
    let grant = asked.directory().add_grant(&asked.by(), grant).await?;
    Ok(json_response(StatusCode::CREATED, &GrantJson::of(grant)))
}

/// Removes a grant.
#[utoipa::path(
    delete,
    path = "/api/grants/{id}",
    tag = "grants",
    params(("id" = String, Path, description = "the id of a grant")),
    responses((status = 204, description = "the grant was removed"), (status = 404, description = "Grant not found.")),
)]
pub(crate) async fn remove(asked: Asked, PathId(id): PathId) -> Result<StatusCode, ApiError> {
    asked.needs(Right::ManageTeam)?;
    let grants = asked.accounts.directory().grants().into_iter();
    if grants.filter(|grant| *grant.id == *id).any(|grant| !asked.is_here(&grant.team)) {
        return Err(ApiError::new(StatusCode::NOT_FOUND, format!("no grant {id:?}")));
    }
    asked.managed().remove_grant(&asked.by(), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists all groups.
#[utoipa::path(
    get,
    path = "/api/groups",
    tag = "groups",
    responses((status = 200, description = "the groups", body = Groups)),
)]
pub(crate) async fn groups(asked: Asked) -> Result<Response, ApiError> {
    asked.needs(Right::ManageTeam)?;
    let of = |group: tinpot_access::Group| GroupJson {
        name: group.name.to_string(),
        members: group.members.iter().map(ToString::to_string).collect(),
    };
    let groups = asked.accounts.directory().groups().into_iter();
    let groups = groups.filter(|group| asked.is_here(&group.team)).map(of).collect();
    Ok(json_response(StatusCode::OK, &Groups { groups }))
}

/// Creates a group, or replaces its members.
#[utoipa::path(
    put,
    path = "/api/groups/{name}",
    tag = "groups",
    params(("name" = String, Path, description = "the name of a group")),
    request_body = Members,
    responses((status = 200, description = "the group", body = GroupJson), (status = 404, description = "User not found.")),
)]
pub(crate) async fn set_group(
    State(app): State<Arc<App>>,
    asked: Asked,
    ActionName(name): ActionName,
    request: Request,
) -> Result<Response, ApiError> {
    asked.needs(Right::ManageTeam)?;
    let Members { members } = json_body(request, &app).await?;
    asked.directory().check_rights_of_group(asked.scoped().caller(), &name)?;
    let ids: Vec<Arc<str>> = members.iter().map(|id| id.as_str().into()).collect();
    asked.managed().set_group(&asked.by(), &name, &ids).await?;
    Ok(json_response(StatusCode::OK, &GroupJson { name, members }))
}

/// Removes a group. Grants for it have no effect any more.
#[utoipa::path(
    delete,
    path = "/api/groups/{name}",
    tag = "groups",
    params(("name" = String, Path, description = "the name of a group")),
    responses((status = 204, description = "the group was removed"), (status = 404, description = "Group not found.")),
)]
pub(crate) async fn remove_group(
    asked: Asked,
    ActionName(name): ActionName,
) -> Result<StatusCode, ApiError> {
    asked.needs(Right::ManageTeam)?;
    asked.managed().remove_group(&asked.by(), &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
