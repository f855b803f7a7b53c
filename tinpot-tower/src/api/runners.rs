//! The runners, for admins.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::caller::Member;
use crate::tower::Tower;
use crate::wire::error::ApiError;
use crate::wire::json;
use crate::wire::times::Time;

#[derive(Serialize)]
pub(crate) struct RunnerJson {
    pub(crate) runner_id: u64,
    pub(crate) name: String,
    pub(crate) environment: String,
    pub(crate) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_seen_at: Option<Time>,
}

#[derive(Serialize)]
struct RunnersJson {
    runners: Vec<RunnerJson>,
}

pub(crate) async fn list(tower: &Arc<Tower>, member: &Member) -> Result<Response, ApiError> {
    if !member.is_admin() {
        return Err(ApiError::forbidden("only admins see runners"));
    }
    let runners = crate::gateway::runners(tower).await?;
    Ok(json::answer(StatusCode::OK, &RunnersJson { runners }))
}
