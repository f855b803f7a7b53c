//! `/health` and `/ready`.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use tinpot_core::{Link, Result};

use crate::tower::Tower;
use crate::wire::error::ApiError;
use crate::wire::json;

/// The time that coordinator and store have to answer.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// The server answers.
pub(crate) fn health() -> Response {
    json::answer(StatusCode::OK, &Health { status: "ok" })
}

/// The store can be read and written, and the transport has its link.
pub(crate) async fn ready(tower: &Arc<Tower>) -> std::result::Result<Response, ApiError> {
    let not_ready = |why: &str| ApiError::unavailable(format!("server is not ready: {why}"));
    match tokio::time::timeout(PATIENCE, check(tower)).await {
        Ok(Ok(None)) => Ok(health()),
        Ok(Ok(Some(problem))) => Err(not_ready(problem)),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the server is not ready");
            Err(not_ready("coordinator or store"))
        }
        Err(_) => Err(not_ready("coordinator or store does not answer")),
    }
}

async fn check(tower: &Tower) -> Result<Option<&'static str>> {
    let coordinator = &tower.coordinator;
    coordinator.workers().await?;
    tower.records.get("tower.last-id", "team").await?;
    if coordinator.store_problems().iter().any(|problem| problem.is_blocking) {
        return Ok(Some("store"));
    }
    Ok(match coordinator.link().current() {
        Link::Up => None,
        _ => Some("transport"),
    })
}
