//! From a request to its answer.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tinpot_core::RequestTrace;
use tower::ServiceExt;

use crate::caller::Member;
use crate::cors::Cross;
use crate::observed::AnsweredRequest;
use crate::route::{CleanPath, Route};
use crate::tower::Tower;
use crate::wire::error::ApiError;
use crate::{api, gateway};

/// The address of the client of a request, which the host puts into the extensions of the request.
/// Attempts to sign in are limited by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

#[derive(Debug)]
struct Dispatch {
    tower: Arc<Tower>,
    /// The router of other paths.
    others: Option<Router>,
}

/// Returns the router of MiniTower's API. It answers all other paths with 404.
pub fn router(tower: impl Into<Arc<Tower>>) -> Router {
    routes(Dispatch { tower: tower.into(), others: None })
}

/// Returns the router of MiniTower's API, in front of another one that answers all other paths.
pub fn router_before(tower: impl Into<Arc<Tower>>, others: Router) -> Router {
    routes(Dispatch { tower: tower.into(), others: Some(others) })
}

fn routes(dispatch: Dispatch) -> Router {
    // The router of axum would answer other methods and other spellings of a path itself.
    Router::new().fallback(dispatched).with_state(Arc::new(dispatch))
}

async fn dispatched(State(dispatch): State<Arc<Dispatch>>, request: Request) -> Response {
    let path = CleanPath::of(request.uri());
    let route = match (path.route(request.method()), &dispatch.others) {
        (Some(route), _) => route,
        (None, Some(others)) => {
            return match others.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
        }
        (None, None) => Route::Unknown,
    };
    answered(&dispatch.tower, route, request).await
}

/// Answers a request, and measures it.
async fn answered(tower: &Arc<Tower>, route: Route<'_>, mut request: Request) -> Response {
    let begun = Instant::now();
    let cross = Cross::of(&tower.config.cors_origins, request.method(), request.headers());
    if cross.is_preflight {
        let mut response = StatusCode::NO_CONTENT.into_response();
        cross.write(response.headers_mut());
        return response;
    }
    let method = request.method().clone();
    let request_bytes = request.body().size_hint().exact().filter(|bytes| *bytes > 0);
    let trace = tower.traces.filter(|_| method == Method::POST).map(RequestTrace::new);
    if let Some(trace) = &trace {
        request.extensions_mut().insert(trace.clone());
    }
    // A bug in one request ends nothing else.
    let answer = AssertUnwindSafe(answer(tower, route, request)).catch_unwind().await;
    let mut response = match answer {
        Ok(Ok(response)) => response,
        Ok(Err(refusal)) => refusal.into_response(),
        Err(_) => {
            tracing::error!(path = route.label(), "a request panicked");
            let message = "internal error, which the server logged";
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            ApiError::new(status, "internal", message).into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    cross.write(headers);
    tower.on_request.call(&AnsweredRequest {
        method: &method,
        path: route.label(),
        status: response.status(),
        took: begun.elapsed(),
        request_bytes,
        response_bytes: response.body().size_hint().exact().filter(|bytes| *bytes > 0),
        span: trace.and_then(|trace| trace.span()),
    });
    response
}

fn unknown_path() -> Response {
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    let body = Body::from("404 page not found\n");
    (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, text)], body).into_response()
}

fn other_method() -> Response {
    StatusCode::METHOD_NOT_ALLOWED.into_response()
}

async fn answer(
    tower: &Arc<Tower>,
    route: Route<'_>,
    request: Request,
) -> Result<Response, ApiError> {
    let is_method = route.methods().has(request.method());
    match route {
        Route::Unknown => return Ok(unknown_path()),
        Route::Health if is_method => return Ok(api::health::health()),
        Route::Ready if is_method => return api::health::ready(tower).await,
        Route::AuthOptions if is_method => return Ok(api::sign_in::options(tower)),
        Route::SignUp if is_method => return api::sign_in::sign_up(tower, request).await,
        Route::Login if is_method => return api::sign_in::login(tower, request).await,
        Route::Bootstrap if tower.config.bootstrap_token.is_none() => return Ok(unknown_path()),
        Route::Bootstrap => return api::sign_in::bootstrap(tower, request).await,
        Route::Runner(_) if !is_method => return Ok(other_method()),
        Route::Runner(route) => return gateway::answer(tower, route, request).await,
        // Without a token, the method tells nothing of what there is. Runs are the exception.
        Route::Run(_) | Route::Cancel(_) | Route::Logs(_) if !is_method => {
            return Ok(other_method());
        }
        Route::Health | Route::Ready | Route::AuthOptions | Route::SignUp | Route::Login => {
            return Ok(other_method());
        }
        _ => {}
    }
    let client = request.extensions().get::<ClientAddress>().copied();
    let member = tower.member(request.headers(), client.as_ref()).await?;
    match route {
        Route::NoApp => return Err(ApiError::invalid("the path names no app")),
        Route::BelowApp => return Ok(unknown_path()),
        _ if !is_method => return Ok(other_method()),
        _ => {}
    }
    of_member(tower, member, route, request).await
}

async fn of_member(
    tower: &Arc<Tower>,
    member: Member,
    route: Route<'_>,
    request: Request,
) -> Result<Response, ApiError> {
    let is_post = *request.method() == axum::http::Method::POST;
    match route {
        Route::Me => api::sign_in::me(tower, &member).await,
        Route::Tokens => api::tokens::create(tower, &member, request).await,
        Route::Runners => api::runners::list(tower, &member).await,
        Route::Apps if is_post => api::apps::create(tower, &member, request).await,
        Route::Apps => api::apps::list(tower, &member).await,
        Route::App(app) => api::apps::show(tower, &member, app).await,
        Route::Versions(app) if is_post => api::upload::create(tower, &member, app, request).await,
        Route::Versions(app) => api::versions::list(tower, &member, app).await,
        Route::AppRuns(app) if is_post => api::runs::create(tower, &member, app, request).await,
        Route::AppRuns(app) => api::run_list::of_app(tower, &member, app, request.uri()).await,
        Route::Runs => api::run_list::of_team(tower, &member, request.uri()).await,
        Route::Summary => api::summary::show(tower, &member).await,
        Route::Run(id) => api::runs::show(tower, &member, id).await,
        Route::Cancel(id) => api::runs::cancel(tower, &member, id).await,
        Route::Logs(id) => api::logs::show(&member, id, request.uri()).await,
        _ => Ok(unknown_path()),
    }
}
