//! The gateway: MiniTower's runners as workers.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;

use crate::api::runners::RunnerJson;
use crate::route::RunnerRoute;
use crate::tower::Tower;
use crate::wire::error::ApiError;

/// The runners of this server.
#[derive(Debug)]
pub(crate) struct Gateway {}

/// Answers a request of a runner.
pub(crate) async fn answer(
    _tower: &Arc<Tower>,
    _route: RunnerRoute<'_>,
    _request: Request,
) -> Result<Response, ApiError> {
    Err(ApiError::not_found("this server takes no runners"))
}

/// Returns the runners, by name.
#[expect(clippy::unused_async, reason = "runners are read from a store")]
pub(crate) async fn runners(_tower: &Arc<Tower>) -> Result<Vec<RunnerJson>, ApiError> {
    Ok(Vec::new())
}
