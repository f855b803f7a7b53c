//! Puts the routes together.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use futures::FutureExt;
use tinpot_core::{Coordinator, ExecutionId};
use tokio::sync::Semaphore;

use crate::config::HttpConfig;
use crate::error::ApiError;
use crate::feed::{self, ChangeFeed, LogFanout};
use crate::routes::{
    actions, details, executions, health, logs, queues, rerun, stats, version, workers,
};
use crate::stream;
use crate::{csrf, openapi};

/// What every request may use.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) coordinator: Coordinator,
    pub(crate) config: HttpConfig,
    /// The right to search a log.
    pub(crate) searches: Semaphore,
    /// Tells this life of the server from any other.
    pub(crate) instance: String,
    pub(crate) log_fanout: LogFanout,
    pub(crate) change_feed: ChangeFeed,
}

/// The API of `coordinator`. Serve it, or nest it under any path; it never binds.
///
/// Whoever serves it with axum hands over its `into_make_service()`: axum sets a bare router up again for each connection, which costs many
/// open streams 20 KB each.
///
/// It answers unknown paths itself, so nest it (or merge it) into a router that has no fallback of its own at the same level.
pub fn router(coordinator: Coordinator, config: HttpConfig) -> Router {
    let limit = DefaultBodyLimit::max(config.max_body_bytes);
    let origins: Arc<[String]> = config.allow_origins.clone().into();
    api()
        .merge(pages(&config))
        .fallback(unknown_route)
        .method_not_allowed_fallback(unknown_method)
        .layer(limit)
        .layer(middleware::from_fn_with_state(origins, csrf::guard))
        .layer(middleware::from_fn(catch_panic))
        .with_state(Arc::new(App {
            coordinator,
            config,
            searches: Semaphore::new(logs::SEARCHES),
            instance: ExecutionId::generate().to_string(),
            log_fanout: LogFanout::default(),
            change_feed: ChangeFeed::default(),
        }))
}

fn api() -> Router<Arc<App>> {
    Router::new()
        .route("/api/actions", get(actions::list))
        .route("/api/actions/{name}", get(actions::show))
        .route("/api/actions/{name}/execute", post(actions::execute))
        .route("/api/actions/{name}/sync_execute", post(actions::sync_execute))
        .route("/api/executions", get(executions::list))
        .route("/api/executions/{id}", get(executions::show))
        .route("/api/executions/{id}/status", get(executions::status))
        .route("/api/executions/{id}/cancel", post(executions::cancel))
        .route("/api/executions/{id}/rerun", post(rerun::rerun))
        .route("/api/executions/{id}/logs", get(logs::show))
        .route("/api/executions/{id}/logs/search", get(logs::search))
        .route("/api/executions/{id}/spans", get(details::spans))
        .route("/api/executions/{id}/summary", get(details::summary))
        .route("/api/executions/{id}/artifacts", get(details::artifacts))
        .route("/api/executions/{id}/artifacts/{artifact}", get(details::artifact))
        .route("/api/executions/{id}/stream", get(stream::open))
        .route("/api/workers", get(workers::workers))
        .route("/api/workers/{id}/drain", post(workers::drain))
        .route("/api/queues", get(queues::list))
        .route("/api/queues/{name}/pause", post(queues::pause))
        .route("/api/queues/{name}/resume", post(queues::resume))
        .route("/api/stats", get(stats::stats))
        .route("/api/stream", get(feed::open))
        .route("/api/version", get(version::version))
        .route("/openapi.json", get(openapi::show))
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        // A fallback is lost when the router that this one is nested in is nested itself; a route is not.
        .route("/api/{*rest}", any(unknown_route))
}

/// The web UI, when it is there and wanted.
fn pages(config: &HttpConfig) -> Router<Arc<App>> {
    #[cfg(feature = "ui")]
    if config.ui {
        return crate::routes::ui::routes(config);
    }
    let _ = config;
    Router::new()
}

pub(crate) async fn unknown_route(uri: Uri) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format!("there is nothing at {:?}", uri.path()))
}

async fn unknown_method(method: Method) -> ApiError {
    let detail = format!("{method} is not allowed here: the header Allow names what is");
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

/// A bug in one request, or in a store of the host's, is answered in the API's own form and ends nothing else.
async fn catch_panic(request: Request, next: Next) -> Response {
    let uri = request.uri().clone();
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let message = panic
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            tracing::error!(path = uri.path(), message, "a request panicked");
            let detail = "an internal error, which the server has logged; nothing is known of what the request did";
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, detail).into_response()
        }
    }
}
