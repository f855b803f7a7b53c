//! `/api/teams`: teams, for admins of the server, and their members.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tinpot_access::{NewTeam, Team, TeamUpdate};
use tinpot_core::Right;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::extract::accounts::Asked;
use crate::model::{Time, json_response};
use crate::router::App;
use crate::routes::grants::RoleName;
use crate::routes::users::{UserJson, Users};
use crate::submission::json_body;

/// A team to create.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TeamNew {
    name: String,
    /// The description, for people.
    #[serde(default)]
    #[schema(required = false)]
    description: String,
}

/// Changes to a team. Absent values stay the same.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TeamChange {
    #[serde(default)]
    #[schema(required = false)]
    name: Option<String>,
    #[serde(default)]
    #[schema(required = false)]
    description: Option<String>,
    /// If true, no principal has rights in the team, and its tokens are refused.
    #[serde(default)]
    #[schema(required = false)]
    disabled: Option<bool>,
}

/// A user to add as a member.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberNew {
    /// The name or the id of a user.
    user: String,
    /// The role in the whole team; without one, the user sees nothing of it.
    #[serde(default)]
    #[schema(required = false)]
    role: Option<RoleName>,
}

/// A team.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Team)]
pub(crate) struct TeamJson {
    id: String,
    name: String,
    description: String,
    disabled: bool,
    /// The number of members.
    members: usize,
    /// The time at which it was created; null for the default team.
    created_at: Option<Time>,
}

/// All teams.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Teams {
    teams: Vec<TeamJson>,
}

/// The names in the path.
#[derive(Debug)]
pub(crate) struct PathNames(BTreeMap<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for PathNames {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(names)) => Ok(Self(names)),
            Err(_) => Err(ApiError::new(StatusCode::NOT_FOUND, "team not found: it must be UTF-8")),
        }
    }
}

impl PathNames {
    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

fn not_found(what: &str, name: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format!("{what} {name:?} not found"))
}

impl TeamJson {
    fn of(asked: &Asked, team: Team) -> Self {
        let users = asked.accounts.directory().users();
        Self {
            members: users.iter().filter(|user| user.is_in(&team.id)).count(),
            id: team.id.to_string(),
            name: team.name.to_string(),
            description: team.description,
            disabled: team.is_disabled,
            created_at: team.created.map(Time),
        }
    }
}

impl Asked {
    /// Checks that the caller manages the server, and that it has several teams.
    fn needs_teams(&self) -> Result<(), ApiError> {
        self.needs(Right::ManageServer)?;
        self.has_teams()
    }

    fn has_teams(&self) -> Result<(), ApiError> {
        if self.accounts.directory().has_teams() {
            return Ok(());
        }
        let detail = "this server has one team: start it with --teams (TINPOT_TEAMS) for several";
        Err(ApiError::new(StatusCode::NOT_FOUND, detail))
    }

    /// Returns the team that a path names.
    fn named_team(&self, names: &PathNames) -> Result<Team, ApiError> {
        let name = names.get("team");
        self.accounts.directory().team(name).ok_or_else(|| not_found("team", name))
    }

    /// Returns the team that a path names, if the caller manages the server, or this team and acts in
    /// it.
    fn managed_team(&self, names: &PathNames) -> Result<Team, ApiError> {
        self.has_teams()?;
        let team = self.named_team(names);
        let manages_own = self.scoped().has(Right::ManageTeam);
        match team {
            Ok(team) if manages_own && self.is_here(&team.id) => Ok(team),
            team if self.scoped().has(Right::ManageServer) => team,
            _ if manages_own => Err(not_found("team", names.get("team"))),
            _ => Err(self.no_path(Right::ManageTeam)),
        }
    }
}

/// Lists all teams, by name.
#[utoipa::path(
    get,
    path = "/api/teams",
    tag = "teams",
    responses((status = 200, description = "the teams", body = Teams)),
)]
pub(crate) async fn list(asked: Asked) -> Result<Response, ApiError> {
    asked.needs_teams()?;
    let teams = asked.accounts.directory().teams().into_iter();
    let teams = Teams { teams: teams.map(|team| TeamJson::of(&asked, team)).collect() };
    Ok(json_response(StatusCode::OK, &teams))
}

/// Creates a team.
#[utoipa::path(
    post,
    path = "/api/teams",
    tag = "teams",
    request_body = TeamNew,
    responses((status = 201, description = "the team", body = TeamJson), (status = 409, description = "The name is taken.")),
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    asked: Asked,
    request: Request,
) -> Result<Response, ApiError> {
    asked.needs_teams()?;
    let TeamNew { name, description } = json_body(request, &app).await?;
    let new = NewTeam::new(name).description(description);
    let team = asked.directory().create_team(&asked.by(), new).await?;
    Ok(json_response(StatusCode::CREATED, &TeamJson::of(&asked, team)))
}

/// Renames, describes, disables or enables a team.
#[utoipa::path(
    patch,
    path = "/api/teams/{team}",
    tag = "teams",
    params(("team" = String, Path, description = "the name or the id of a team")),
    request_body = TeamChange,
    responses(
        (status = 200, description = "the team", body = TeamJson),
        (status = 404, description = "Team not found."),
        (status = 409, description = "The name is taken, or it is the default team, which cannot be disabled."),
    ),
)]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    asked: Asked,
    names: PathNames,
    request: Request,
) -> Result<Response, ApiError> {
    asked.needs_teams()?;
    let TeamChange { name, description, disabled } = json_body(request, &app).await?;
    let team = asked.named_team(&names)?;
    let mut update = TeamUpdate::default();
    if let Some(name) = name {
        update = update.name(name);
    }
    if let Some(description) = description {
        update = update.description(description);
    }
    if let Some(disabled) = disabled.filter(|disabled| *disabled != team.is_disabled) {
        update = update.disabled(disabled);
    }
    let team = asked.directory().update_team(&asked.by(), &team.id, update).await?;
    Ok(json_response(StatusCode::OK, &TeamJson::of(&asked, team)))
}

/// Removes an empty team. Its executions stay, and are hidden from all callers.
#[utoipa::path(
    delete,
    path = "/api/teams/{team}",
    tag = "teams",
    params(("team" = String, Path, description = "the name or the id of a team")),
    responses(
        (status = 204, description = "the team was removed"),
        (status = 404, description = "Team not found."),
        (status = 409, description = "The team is not empty, or it is the default team."),
    ),
)]
pub(crate) async fn remove(asked: Asked, names: PathNames) -> Result<StatusCode, ApiError> {
    asked.needs_teams()?;
    let team = asked.named_team(&names)?;
    asked.directory().remove_team(&asked.by(), &team.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the members of a team, for its admins who act in it and for admins of the server.
#[utoipa::path(
    get,
    path = "/api/teams/{team}/members",
    tag = "teams",
    params(("team" = String, Path, description = "the name or the id of a team")),
    responses((status = 200, description = "the members", body = Users), (status = 404, description = "Team not found.")),
)]
pub(crate) async fn members(asked: Asked, names: PathNames) -> Result<Response, ApiError> {
    let team = asked.managed_team(&names)?;
    let directory = asked.accounts.directory();
    let grants = directory.grants();
    let users = directory.users().into_iter().filter(|user| user.is_in(&team.id));
    let users = users.map(|user| UserJson::of(directory, &team.id, &grants, user)).collect();
    Ok(json_response(StatusCode::OK, &Users { users }))
}

/// Makes a user a member of a team.
#[utoipa::path(
    post,
    path = "/api/teams/{team}/members",
    tag = "teams",
    operation_id = "add_team_member",
    params(("team" = String, Path, description = "the name or the id of a team")),
    request_body = MemberNew,
    responses(
        (status = 201, description = "the member", body = UserJson),
        (status = 404, description = "Team or user not found."),
        (status = 409, description = "The user is a member."),
    ),
)]
pub(crate) async fn add_member(
    State(app): State<Arc<App>>,
    asked: Asked,
    names: PathNames,
    request: Request,
) -> Result<Response, ApiError> {
    asked.needs_teams()?;
    let MemberNew { user, role } = json_body(request, &app).await?;
    if let Some(role) = role {
        asked.directory().check_role(asked.scoped().caller(), role.into())?;
    }
    let team = asked.named_team(&names)?;
    let directory = asked.directory();
    let found = directory.user_by_id(&user).or_else(|| directory.user(&user));
    let found = found.ok_or_else(|| not_found("user", &user))?;
    let role = role.map(Into::into);
    let user = directory.add_member(&asked.by(), &team.id, &found.id, role).await?;
    let member = UserJson::of(&directory, &team.id, &directory.grants(), user);
    Ok(json_response(StatusCode::CREATED, &member))
}

/// Removes a user from a team, with the user's grants and tokens there.
#[utoipa::path(
    delete,
    path = "/api/teams/{team}/members/{user}",
    tag = "teams",
    operation_id = "remove_team_member",
    params(
        ("team" = String, Path, description = "the name or the id of a team"),
        ("user" = String, Path, description = "the id of a user"),
    ),
    responses(
        (status = 204, description = "the user is no longer a member"),
        (status = 404, description = "Team or member not found."),
        (status = 409, description = "The team needs an admin."),
    ),
)]
pub(crate) async fn remove_member(asked: Asked, names: PathNames) -> Result<StatusCode, ApiError> {
    let team = asked.managed_team(&names)?;
    let user = names.get("user");
    asked.managed().remove_member(&asked.by(), &team.id, user).await?;
    Ok(StatusCode::NO_CONTENT)
}
