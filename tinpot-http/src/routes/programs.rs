//! `/api/programs`: the service accounts of a team, for its admins.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tinpot_access::Program;
use tinpot_core::Right;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::extract::accounts::{Asked, PathId};
use crate::model::{Time, json_response};
use crate::router::App;
use crate::submission::json_body;

/// A program: it has rights by grants, and acts by tokens and certificates.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Program)]
pub(crate) struct ProgramJson {
    id: String,
    name: String,
    created_at: Time,
}

/// All programs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Programs {
    programs: Vec<ProgramJson>,
}

/// A program to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProgramNew {
    /// The name, which no other program of the team has.
    name: String,
}

impl ProgramJson {
    fn of(program: Program) -> Self {
        Self {
            id: program.id.to_string(),
            name: program.name.to_string(),
            created_at: Time(program.created),
        }
    }
}

/// Lists all programs.
#[utoipa::path(
    get,
    path = "/api/programs",
    tag = "programs",
    responses((status = 200, description = "the programs", body = Programs)),
)]
pub(crate) async fn list(asked: Asked) -> Result<Response, ApiError> {
    asked.needs(Right::ManageTeam)?;
    let programs = asked.accounts.directory().programs().into_iter();
    let programs = programs.filter(|one| asked.is_here(&one.team)).map(ProgramJson::of).collect();
    Ok(json_response(StatusCode::OK, &Programs { programs }))
}

/// Adds a program. It has no rights until it is given a role.
#[utoipa::path(
    post,
    path = "/api/programs",
    tag = "programs",
    request_body = ProgramNew,
    responses((status = 201, description = "the program", body = ProgramJson), (status = 409, description = "The team has a program with this name.")),
)]
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    asked: Asked,
    request: Request,
) -> Result<Response, ApiError> {
    asked.needs(Right::ManageTeam)?;
    let ProgramNew { name } = json_body(request, &app).await?;
    let program = asked.managed().add_program(&asked.by(), asked.team(), &name).await?;
    Ok(json_response(StatusCode::CREATED, &ProgramJson::of(program)))
}

/// Removes a program with its tokens.
#[utoipa::path(
    delete,
    path = "/api/programs/{id}",
    tag = "programs",
    params(("id" = String, Path, description = "the id of a program")),
    responses((status = 204, description = "the program was removed"), (status = 404, description = "Program not found.")),
)]
pub(crate) async fn remove(asked: Asked, PathId(id): PathId) -> Result<StatusCode, ApiError> {
    asked.needs(Right::ManageTeam)?;
    let programs = asked.accounts.directory().programs().into_iter();
    if !programs.filter(|one| *one.id == *id).any(|one| asked.is_here(&one.team)) {
        return Err(ApiError::new(StatusCode::NOT_FOUND, format!("no program {id:?}")));
    }
    asked.managed().remove_program(&asked.by(), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
