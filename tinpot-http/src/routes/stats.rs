//! `/api/stats`: what happened in the last minutes.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;

use crate::error::ApiError;
use crate::model::{StatsJson, json_response};
use crate::params::Params;
use crate::router::App;

/// An hour; a day is the most.
const MINUTES: usize = 60;
const MINUTES_MAX: usize = 1_440;

/// What happened in the last minutes.
#[utoipa::path(
    get,
    path = "/api/stats",
    tag = "server",
    params(("minutes" = Option<u32>, Query, description = "so many; 60 when left out", minimum = 1, maximum = 1440)),
    responses((status = 200, description = "each minute", body = StatsJson)),
)]
pub(crate) async fn stats(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, ApiError> {
    let params = Params::of(&uri, &["minutes"])?;
    let expected = format!("a whole number from 1 to {MINUTES_MAX}");
    let minutes = params.read("minutes", &expected, |text| {
        text.parse().ok().filter(|minutes| (1..=MINUTES_MAX).contains(minutes))
    })?;
    let stats = app.coordinator.stats(minutes.unwrap_or(MINUTES));
    Ok(json_response(StatusCode::OK, &StatsJson::of(&stats)))
}
