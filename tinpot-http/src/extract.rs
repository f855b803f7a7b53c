//! Extractors of names in the path of a request.

#[cfg(feature = "access")]
pub(crate) mod accounts;
#[cfg(feature = "apps")]
pub(crate) mod apps;

use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use tinpot_core::store::ListOptions;
use tinpot_core::{ExecutionId, SpanId, WorkerId};

use crate::error::ApiError;
use crate::gate::Entered;

// Structs, not bare strings: a host may nest the router under a path with captures of its own,
// which end up in the same map.

#[derive(Deserialize)]
struct Name {
    name: String,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

/// The execution and the artifact in the path, known or not.
#[derive(Debug)]
pub(crate) struct PathArtifact(pub(crate) ExecutionId, pub(crate) SpanId);

#[derive(Deserialize)]
struct IdAndArtifact {
    id: String,
    artifact: String,
}

impl<S: Send + Sync> FromRequestParts<S> for PathArtifact {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<IdAndArtifact>::from_request_parts(parts, state).await;
        let missing = || ApiError::new(StatusCode::NOT_FOUND, "artifact not found");
        let Ok(Path(IdAndArtifact { id, artifact })) = path else { return Err(missing()) };
        let artifact = artifact.parse().map_err(|_| missing())?;
        let execution = execution_named(&id, parts, state).await?;
        Ok(Self(execution.ok_or_else(missing)?, artifact))
    }
}

/// The action in the path, known or not.
#[derive(Debug)]
pub(crate) struct ActionName(pub(crate) String);

/// The queue in the path, known or not.
#[derive(Debug)]
pub(crate) struct QueueName(pub(crate) String);

/// The worker in the path, known or not.
#[derive(Debug)]
pub(crate) struct PathWorker(pub(crate) WorkerId);

impl<S: Send + Sync> FromRequestParts<S> for QueueName {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<Name>::from_request_parts(parts, state).await {
            Ok(Path(Name { name })) => Ok(Self(name)),
            Err(_) => {
                Err(ApiError::new(StatusCode::NOT_FOUND, "queue not found: its name must be UTF-8"))
            }
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathWorker {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<Id>::from_request_parts(parts, state).await;
        let id = path.ok().and_then(|Path(Id { id })| WorkerId::new(&id).ok());
        let missing = || ApiError::new(StatusCode::NOT_FOUND, "worker not found");
        id.map(Self).ok_or_else(missing)
    }
}

/// The execution in the path, by its id or its number. One that is named by its id may be unknown.
#[derive(Debug)]
pub(crate) struct PathExecution(pub(crate) ExecutionId);

impl<S: Send + Sync> FromRequestParts<S> for ActionName {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        // No action has a name that is not UTF-8.
        match Path::<Name>::from_request_parts(parts, state).await {
            Ok(Path(Name { name })) => Ok(Self(name)),
            Err(_) => Err(ApiError::new(
                StatusCode::NOT_FOUND,
                "action not found: its name must be UTF-8",
            )),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathExecution {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = match Path::<Id>::from_request_parts(parts, state).await {
            Ok(Path(Id { id })) => id,
            Err(_) => String::new(),
        };
        execution_named(&text, parts, state).await?.map(Self).ok_or_else(|| {
            ApiError::new(StatusCode::NOT_FOUND, format!("execution {text:?} not found"))
        })
    }
}

/// Returns the execution with an id, known or not, or the one with a number that the caller may
/// read.
async fn execution_named<S: Send + Sync>(
    text: &str,
    parts: &mut Parts,
    state: &S,
) -> Result<Option<ExecutionId>, ApiError> {
    if let Ok(id) = text.parse() {
        return Ok(Some(id));
    }
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(number) = text.parse().ok().filter(|_| is_number) else { return Ok(None) };
    let Entered { scoped, .. } = Entered::from_request_parts(parts, state).await?;
    let found = scoped.executions(&ListOptions::new().number(number)).await?;
    Ok(found.first().map(|execution| execution.id))
}
