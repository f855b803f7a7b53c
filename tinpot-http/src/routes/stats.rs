//! `/api/stats`: the counts of the last minutes.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;

use crate::error::ApiError;
use crate::model::{StatsJson, json_response};
use crate::params::Params;
use crate::router::App;

/// The default: an hour. The maximum is a day.
const MINUTES: usize = 60;
const MINUTES_MAX: usize = 1_440;

/// Returns the counts of the last minutes.
#[utoipa::path(
    get,
    path = "/api/stats",
    tag = "server",
    params(("minutes" = Option<u32>, Query, description = "the number of minutes; 60 by default", minimum = 1, maximum = 1440)),
    responses((status = 200, description = "each minute", body = StatsJson)),
)]
pub(crate) async fn stats(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, ApiError> {
    let params = Params::of(&uri, &["minutes"])?;
    let minutes = params.integer("minutes", MINUTES_MAX)?;
    let stats = app.coordinator.stats(minutes.unwrap_or(MINUTES));
    Ok(json_response(StatusCode::OK, &StatsJson::of(&stats)))
}
