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

use crate::config::HttpConfig;
use crate::error::ApiError;
use crate::feed::{ChangeFeed, LogFanout};
use crate::front::{self, Front};
use crate::gate::Gate;
use crate::openapi;
use crate::routes::logs;
use crate::routes::stats::ActionStatsCache;

mod table;

pub(crate) use self::table::{Need, Route, is_about_apps, is_about_users, need_of, routes};

/// The state that all requests share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) gate: Arc<Gate>,
    pub(crate) config: HttpConfig,
    /// The permits for log searches.
    pub(crate) searches: Semaphore,
    /// The id of this start of the server.
    pub(crate) instance: String,
    pub(crate) log_fanout: LogFanout,
    pub(crate) change_feed: ChangeFeed,
    pub(crate) action_stats: ActionStatsCache,
    /// The permits for uploads of blobs.
    #[cfg(feature = "apps")]
    pub(crate) uploads: Semaphore,
    /// The permits for uploads of parameters.
    #[cfg(feature = "apps")]
    pub(crate) parameter_uploads: crate::routes::uploads::Turns,
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
    let (change_feed, log_fanout) =
        (ChangeFeed::new(coordinator.clone()), LogFanout::new(coordinator.clone()));
    let gate = Gate::new(coordinator, config.authenticator.clone(), config.limits());
    let gate = Arc::new(gate.observed(config.observer.clone(), config.metrics_open));
    let front = Arc::new(Front::new(&config, gate.clone()));
    let router = Router::from(api())
        .merge(pages(&config))
        .fallback(unknown_route)
        .method_not_allowed_fallback(unknown_method)
        // One layer for everything that all requests share: each allocates, and moves the request.
        .layer(middleware::from_fn_with_state(front, front::layer))
        .with_state(Arc::new(App {
            gate,
            config,
            searches: Semaphore::new(logs::SEARCHES),
            instance: ExecutionId::generate().to_string(),
            log_fanout,
            change_feed,
            action_stats: ActionStatsCache::default(),
            #[cfg(feature = "apps")]
            uploads: Semaphore::new(crate::routes::blobs::UPLOADS),
            #[cfg(feature = "apps")]
            parameter_uploads: crate::routes::uploads::Turns::default(),
        }));
    root_path.serve(router)
}

/// The routes of the API, and the document that describes them.
pub(crate) fn api() -> OpenApiRouter<Arc<App>> {
    let described = OpenApiRouter::with_openapi(openapi::Document::openapi());
    let routes = self::routes().fold(described, |router, route| router.routes((route.handler)()));
    routes
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
