//! `/metrics`: the host's metrics, in the text format of Prometheus.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tinpot_core::Right;

use crate::error::ApiError;
use crate::gate::Entered;
use crate::router::App;

/// The text format of Prometheus.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Returns metrics in the text format of Prometheus.
///
/// A server may be set up to need no caller here.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "server",
    responses(
        (status = 200, description = "the metrics", body = String, content_type = "text/plain"),
        (status = 404, description = "This server has no metrics, or the right is missing."),
    ),
)]
pub(crate) async fn metrics(
    State(app): State<Arc<App>>,
    entered: Option<Extension<Entered>>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let may = |Extension(entered): Extension<Entered>| entered.scoped.has(Right::ReadMetrics);
    if !app.config.metrics_open && !entered.is_some_and(may) {
        let (path, right) = (uri.path(), Right::ReadMetrics);
        let detail = format!("path {path:?} not found, or the right {right} is missing");
        return Err(ApiError::new(StatusCode::NOT_FOUND, detail));
    }
    let Some(render) = &app.config.metrics else {
        return Err(ApiError::new(StatusCode::NOT_FOUND, "this server has no metrics"));
    };
    app.gate.probe().measure().await?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], render()).into_response())
}
