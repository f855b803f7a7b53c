//! Puts the routes together.

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware;
use axum::routing::any;
use tinpot_core::{Coordinator, ExecutionId};
use tokio::sync::Semaphore;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::HttpConfig;
use crate::error::ApiError;
use crate::feed::{self, ChangeFeed, LogFanout};
use crate::front::{self, Front};
use crate::openapi;
use crate::routes::stats::ActionStatsCache;
use crate::routes::{
    actions, bulk, details, executions, health, logs, queues, rerun, stats, stream, version,
    workers,
};

/// The state that all requests share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) coordinator: Coordinator,
    pub(crate) config: HttpConfig,
    /// The permits for log searches.
    pub(crate) searches: Semaphore,
    /// The id of this start of the server.
    pub(crate) instance: String,
    pub(crate) log_fanout: LogFanout,
    pub(crate) change_feed: ChangeFeed,
    pub(crate) action_stats: ActionStatsCache,
}

/// Returns the API of `coordinator`. Serve it, or nest it under any path; it never binds.
///
/// To serve it with axum, pass its `into_make_service()` to `axum::serve`: axum sets a bare router
/// up again for each connection, which costs 20 KB per open stream.
///
/// The router answers unknown paths itself. Nest it, or merge it, into a router that has no fallback
/// of its own at the same level.
pub fn router(coordinator: Coordinator, config: HttpConfig) -> Router {
    let root_path = config.root_path.clone();
    let front = Arc::new(Front::new(&config));
    let router = Router::from(api())
        .merge(pages(&config))
        .fallback(unknown_route)
        .method_not_allowed_fallback(unknown_method)
        // One layer for everything that all requests share: each allocates, and moves the request.
        .layer(middleware::from_fn_with_state(front, front::layer))
        .with_state(Arc::new(App {
            coordinator,
            config,
            searches: Semaphore::new(logs::SEARCHES),
            instance: ExecutionId::generate().to_string(),
            log_fanout: LogFanout::default(),
            change_feed: ChangeFeed::default(),
            action_stats: ActionStatsCache::default(),
        }));
    root_path.serve(router)
}

/// The routes of the API, and the document that describes them.
pub(crate) fn api() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(openapi::Document::openapi())
        .routes(routes!(actions::list))
        .routes(routes!(actions::show))
        .routes(routes!(actions::execute))
        .routes(routes!(actions::sync_execute))
        .routes(routes!(executions::list))
        .routes(routes!(executions::show))
        .routes(routes!(executions::status))
        .routes(routes!(executions::cancel))
        .routes(routes!(rerun::rerun))
        .routes(routes!(bulk::cancel))
        .routes(routes!(bulk::rerun))
        .routes(routes!(logs::show))
        .routes(routes!(logs::search))
        .routes(routes!(details::spans))
        .routes(routes!(details::summary))
        .routes(routes!(details::artifacts))
        .routes(routes!(details::artifact))
        .routes(routes!(stream::open))
        .routes(routes!(workers::workers))
        .routes(routes!(workers::drain))
        .routes(routes!(queues::list))
        .routes(routes!(queues::pause))
        .routes(routes!(queues::resume))
        .routes(routes!(stats::stats))
        .routes(routes!(stats::actions))
        .routes(routes!(feed::open))
        .routes(routes!(version::version))
        .routes(routes!(openapi::show))
        .routes(routes!(health::health))
        .routes(routes!(health::ready))
        // A fallback is lost when the router that this one is nested in is nested itself; a route
        // is not.
        .route("/api/{*rest}", any(unknown_route))
}

/// Returns the routes of the web UI, if it is built in and turned on.
fn pages(config: &HttpConfig) -> Router<Arc<App>> {
    #[cfg(feature = "ui")]
    if config.ui {
        return crate::routes::ui::routes(config);
    }
    let _ = config;
    Router::new()
}

pub(crate) async fn unknown_route(uri: Uri) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format!("path {:?} not found", uri.path()))
}

async fn unknown_method(method: Method) -> ApiError {
    let detail =
        format!("method {method} is not allowed here; the header Allow names those that are");
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}
