//! `/api/executions/{id}/logs`: what an execution has written, in pages or as a download.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use tinpot_core::{Coordinator, Error, ExecutionId};

use crate::error::ApiError;
use crate::extract::PathExecution;
use crate::model::json_bytes;
use crate::openapi::shapes;
use crate::params::Params;
use crate::router::App;
use crate::stream::LineWriter;

const LINES_DEFAULT: usize = 1_000;
const LINES_MAX: usize = 10_000;
/// The most text of one page, and what is read from the store at once. A page that is full before its limit of lines says where to go on.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// What a download reads from the store at once: it keeps the connection busy, and is all that a slow reader costs.
const DOWNLOAD_BYTES: usize = 256 * 1024;

/// Lines of an execution, in pages or as a download.
#[utoipa::path(
    get,
    path = "/api/executions/{id}/logs",
    tag = "logs",
    params(
        ("id" = shapes::ExecutionId, Path),
        ("after" = Option<u64>, Query, description = "only lines above this number"),
        ("limit" = Option<u32>, Query, description = "the most of one page", minimum = 1, maximum = 10000),
        ("format" = Option<shapes::Format>, Query, description = "a page, or all of it as a download"),
    ),
    responses(
        (status = 200, description = "lines", content(
            (shapes::LogPage = "application/json"),
            (String = "text/plain"),
        )),
        (status = 404, description = "There is no such execution."),
    ),
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    PathExecution(id): PathExecution,
    uri: Uri,
) -> Result<Response, ApiError> {
    let params = Params::of(&uri, &["after", "limit", "format"])?;
    let after = params.after()?.unwrap_or(0);
    let text = params.read("format", "json or text", |format| match format {
        "json" => Some(false),
        "text" => Some(true),
        _ => None,
    })?;
    if text == Some(true) {
        if params.text("limit").is_some() {
            return Err(ApiError::unprocessable("limit: a download has no limit"));
        }
        app.execution(id).await?;
        return Ok(download(app.coordinator.clone(), id, after));
    }
    let limit = params.limit(LINES_MAX)?.unwrap_or(LINES_DEFAULT);
    app.execution(id).await?;
    page(&app.coordinator, id, after, limit).await
}

async fn page(
    coordinator: &Coordinator,
    id: ExecutionId,
    after: u64,
    limit: usize,
) -> Result<Response, ApiError> {
    let mut body = br#"{"lines":["#.to_vec();
    let (mut last, mut left, mut any) = (after, limit, false);
    let room = |body: &Vec<u8>, left| left > 0 && body.len() < PAGE_BYTES;
    while room(&body, left) {
        let chunks = coordinator.logs(id, last, PAGE_BYTES).await?;
        let before = last;
        for chunk in &chunks {
            if !chunk.stream.is_text() {
                if room(&body, left) {
                    last = last.max(chunk.last_seq());
                }
                continue;
            }
            let writer = LineWriter::of(chunk);
            for (seq, line) in (chunk.first_seq..).zip(&chunk.lines) {
                if seq <= last || !room(&body, left) {
                    continue;
                }
                if std::mem::replace(&mut any, true) {
                    body.push(b',');
                }
                writer.line(&mut body, seq, line);
                (last, left) = (seq, left - 1);
            }
        }
        if last == before {
            break;
        }
    }
    let more = !room(&body, left) && !coordinator.logs(id, last, 1).await?.is_empty();
    body.extend_from_slice(br#"],"next":"#);
    if more {
        body.extend_from_slice(itoa::Buffer::new().format(last).as_bytes());
    } else {
        body.extend_from_slice(b"null");
    }
    body.push(b'}');
    Ok(json_bytes(StatusCode::OK, body))
}

fn download(coordinator: Coordinator, id: ExecutionId, after: u64) -> Response {
    let lines = stream::try_unfold(after, move |after| {
        let coordinator = coordinator.clone();
        async move {
            let chunks = coordinator.logs(id, after, DOWNLOAD_BYTES).await?;
            let (mut last, mut text) = (after, Vec::new());
            for chunk in &chunks {
                if !chunk.stream.is_text() {
                    last = last.max(chunk.last_seq());
                    continue;
                }
                for (seq, line) in (chunk.first_seq..).zip(&chunk.lines) {
                    if seq > last {
                        text.extend_from_slice(line.as_bytes());
                        text.push(b'\n');
                        last = seq;
                    }
                }
            }
            // An error ends the response without its proper end, so that a cut download is not taken for a whole one.
            Ok::<_, Error>((last > after).then(|| (Bytes::from(text), last)))
        }
    });
    let name = format!("attachment; filename=\"{id}.log\"");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (
            header::CONTENT_DISPOSITION,
            // An id is hexadecimal digits and hyphens.
            HeaderValue::try_from(name).unwrap_or(HeaderValue::from_static("attachment")),
        ),
    ];
    (headers, Body::from_stream(lines)).into_response()
}
