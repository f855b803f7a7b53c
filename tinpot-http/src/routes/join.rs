//! `/api/workers/join`: the request of a worker to join. Its signatures are its credentials.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::error::ApiError;
use crate::router::App;

/// The largest request. The payload has at most 4 KiB.
const BYTES: usize = 8 * 1024;

/// Answers a worker that joins, with the same bytes as through the broker.
#[utoipa::path(
    post,
    path = "/api/workers/join",
    tag = "workers",
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "a frame of kind join, as docs/protocol.md describes it"),
    responses(
        (status = 200, description = "a frame of kind joined, which says whether the key is enrolled", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 404, description = "Workers do not join this server: its frames are plain."),
    ),
)]
pub(crate) async fn join(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, ApiError> {
    let too_large = |_| {
        let detail = format!("body must be a join of at most {BYTES} bytes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    };
    let frame = to_bytes(request.into_body(), BYTES).await.map_err(too_large)?;
    if frame.is_empty() {
        return Err(ApiError::bad_request("body must be a join (got nothing)"));
    }
    let answer = app.gate.probe().answer_join(&frame).await?;
    let kind = HeaderValue::from_static("application/octet-stream");
    Ok(([(header::CONTENT_TYPE, kind)], answer).into_response())
}
