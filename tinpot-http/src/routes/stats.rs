//! `/api/stats`: the counts of the last minutes, and the latest executions of each action.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use tinpot_core::Scoped;
use tinpot_core::store::ListOptions;
use tokio::sync::Mutex;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::gate::Entered;
use crate::model::{ActionStats, ActionsStats, StatsJson, json_bytes, json_response};
use crate::params::{Params, word};
use crate::router::App;

/// The default: an hour. The maximum is a day.
const MINUTES: usize = 60;
const MINUTES_MAX: usize = 1_440;
/// The latest executions of an action.
const RECENT: usize = 20;
/// The share of its time that the store may be busy with these statistics, and the longest wait of
/// a client for that. With a hundred actions, a look takes some milliseconds.
const IDLE_TIMES: u32 = 10;
const WAIT_MAX: Duration = Duration::from_secs(2);

/// A period up to now.
#[derive(Clone, Copy, Debug, serde::Deserialize, ToSchema)]
pub(crate) enum Window {
    #[serde(rename = "1h")]
    Hour,
    #[serde(rename = "6h")]
    SixHours,
    #[serde(rename = "24h")]
    Day,
}

impl Window {
    fn minutes(self) -> usize {
        match self {
            Self::Hour => 60,
            Self::SixHours => 360,
            Self::Day => MINUTES_MAX,
        }
    }
}

/// Returns the counts of the last minutes, of the executions that the store has.
#[utoipa::path(
    get,
    path = "/api/stats",
    tag = "server",
    params(
        ("minutes" = Option<u32>, Query, description = "the number of minutes; 60 by default", minimum = 1, maximum = 1440),
        ("window" = Option<Window>, Query, description = "the same as a period, in place of `minutes`"),
    ),
    responses((status = 200, description = "each minute", body = StatsJson)),
)]
pub(crate) async fn stats(Entered { scoped, .. }: Entered, uri: Uri) -> Result<Response, ApiError> {
    let params = Params::of(&uri, &["minutes", "window"])?;
    let minutes = params.integer("minutes", MINUTES_MAX)?;
    let window = params.read("window", "1h, 6h or 24h", |text| word::<Window>(text))?;
    if minutes.is_some() && window.is_some() {
        return Err(ApiError::unprocessable("minutes and window exclude each other; give one"));
    }
    let minutes = minutes.or(window.map(Window::minutes)).unwrap_or(MINUTES);
    Ok(json_response(StatusCode::OK, &StatsJson::of(&scoped.stats(minutes).await)))
}

/// Returns the latest executions of each action.
#[utoipa::path(
    get,
    path = "/api/stats/actions",
    tag = "server",
    operation_id = "action_stats",
    responses((status = 200, description = "all actions", body = ActionsStats)),
)]
pub(crate) async fn actions(
    State(app): State<Arc<App>>,
    Entered { scoped, .. }: Entered,
) -> Result<Response, ApiError> {
    let body = app.action_stats.read(&scoped).await?;
    Ok(json_bytes(StatusCode::OK, body.to_vec()))
}

/// The statistics of actions, which requests that come at the same time share.
#[derive(Debug, Default)]
pub(crate) struct ActionStatsCache(Mutex<Option<Cached>>);

#[derive(Debug)]
struct Cached {
    /// The begin of the reading, if all callers who see everything may share the body.
    begun: Option<Instant>,
    /// The time before which the store is not read again.
    next: Instant,
    body: Bytes,
}

impl ActionStatsCache {
    /// Returns statistics that are not older than the call. That may take up to two seconds, if many
    /// ask and the store has much to read.
    async fn read(&self, scoped: &Scoped) -> Result<Bytes, ApiError> {
        let called = Instant::now();
        // Callers who do not see everything have statistics of their own, and wait for their turn.
        let is_shared = scoped.sight().is_everything();
        let mut cached = self.0.lock().await;
        if let Some(cached) = &*cached {
            if is_shared && cached.begun.is_some_and(|begun| begun >= called) {
                return Ok(cached.body.clone());
            }
            tokio::time::sleep_until(cached.next).await;
        }
        let begun = Instant::now();
        let catalogue = scoped.catalogue();
        let mut actions = Vec::with_capacity(catalogue.len());
        for name in catalogue.keys() {
            let latest = ListOptions::new().action(&**name).limit(RECENT);
            actions.push(ActionStats::of(name, &scoped.executions(&latest).await?));
        }
        let body = serde_json::to_vec(&ActionsStats { actions });
        let body = Bytes::from(body.map_err(|error| {
            tracing::error!(%error, "the statistics of actions have no JSON form");
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
        })?);
        let now = Instant::now();
        let next = now + ((now - begun) * IDLE_TIMES).min(WAIT_MAX);
        let begun = is_shared.then_some(begun);
        *cached = Some(Cached { begun, next, body: body.clone() });
        Ok(body)
    }
}
