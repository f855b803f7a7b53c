//! `/api/executions/{id}/logs`: what an execution has written, in pages, as a download, or searched.

mod filter;
mod page;
mod search;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use tinpot_core::{Coordinator, Error, ExecutionId};

use self::filter::Filter;
use self::page::{Pages, Part};
use self::search::Search;
pub(crate) use self::search::{PATIENCE, SEARCHES};
use crate::error::ApiError;
use crate::extract::PathExecution;
use crate::openapi::shapes;
use crate::params::Params;
use crate::router::App;

const LINES_DEFAULT: usize = 1_000;
const LINES_MAX: usize = 10_000;
/// What a download reads from the store at once: it keeps the connection busy, and is all that a slow reader costs.
const DOWNLOAD_BYTES: usize = 256 * 1024;

/// Lines of an execution, in pages or as a download.
#[utoipa::path(
    get,
    path = "/api/executions/{id}/logs",
    tag = "logs",
    params(
        ("id" = shapes::ExecutionId, Path),
        ("after" = Option<u64>, Query, description = "the first lines above this number"),
        ("before" = Option<u64>, Query, description = "the last lines below this number"),
        ("tail" = Option<bool>, Query, description = "the last lines of all"),
        ("level" = Option<shapes::MinimumLevel>, Query, description = "only lines of this level or above"),
        ("stream" = Option<String>, Query, description = "only these of stdout, stderr, log and system, with commas between them", pattern = r"^(stdout|stderr|log|system)(,(stdout|stderr|log|system))*$"),
        ("limit" = Option<u32>, Query, description = "the most of one page; 1000 when left out", minimum = 1, maximum = 10000),
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
    let known = ["after", "before", "tail", "level", "stream", "limit", "format"];
    let params = Params::of(&uri, &known)?;
    let filter = Filter::of(&params)?;
    let text = params.read("format", "json or text", |format| match format {
        "json" => Some(false),
        "text" => Some(true),
        _ => None,
    })?;
    if text == Some(true) {
        if let Some(name) =
            ["limit", "before", "tail"].iter().find(|name| params.text(name).is_some())
        {
            return Err(ApiError::unprocessable(format!("{name}: a download has none")));
        }
        let after = params.after()?.unwrap_or(0);
        app.execution(id).await?;
        return Ok(download(app.coordinator.clone(), id, after, filter));
    }
    let part = part(&params)?;
    let limit = params.limit(LINES_MAX)?.unwrap_or(LINES_DEFAULT);
    let last_seq = app.execution(id).await?.log_lines();
    Pages { coordinator: &app.coordinator, id, filter, limit, last_seq }.page(part).await
}

fn part(params: &Params) -> Result<Part, ApiError> {
    let tail = params.read("tail", "true or false", |text| text.parse::<bool>().ok())?;
    let before = params.read("before", "the number of a log line", |text| text.parse().ok())?;
    match (params.after()?, before, tail.unwrap_or(false)) {
        (after, None, false) => Ok(Part::After(after.unwrap_or(0))),
        (None, Some(before), false) => Ok(Part::Before(before)),
        (None, None, true) => Ok(Part::Before(u64::MAX)),
        _ => Err(ApiError::unprocessable(
            "after, before and tail: only one of them can be asked for",
        )),
    }
}

/// Searches the lines of an execution.
///
/// ANSI escapes are not part of what is searched.
#[utoipa::path(
    get,
    path = "/api/executions/{id}/logs/search",
    tag = "logs",
    params(
        ("id" = shapes::ExecutionId, Path),
        ("q" = String, Query, description = "what to search for", min_length = 1, max_length = 1000),
        ("regex" = Option<bool>, Query, description = "it is a regular expression, as of the Rust crate `regex`"),
        ("case" = Option<bool>, Query, description = "capital letters are others than small ones"),
        ("level" = Option<shapes::MinimumLevel>, Query, description = "only lines of this level or above"),
        ("stream" = Option<String>, Query, description = "only these of stdout, stderr, log and system, with commas between them", pattern = r"^(stdout|stderr|log|system)(,(stdout|stderr|log|system))*$"),
        ("after" = Option<u64>, Query, description = "only lines above this number"),
        ("limit" = Option<u32>, Query, description = "the most of one answer; 100 when left out", minimum = 1, maximum = 1000),
        ("context" = Option<u32>, Query, description = "so many lines before and after each", minimum = 0, maximum = 5),
    ),
    responses(
        (status = 200, description = "what was found", body = shapes::LogMatches),
        (status = 404, description = "There is no such execution."),
    ),
)]
pub(crate) async fn search(
    State(app): State<Arc<App>>,
    PathExecution(id): PathExecution,
    uri: Uri,
) -> Result<Response, ApiError> {
    let search = Search::of(&Params::of(&uri, &Search::NAMES)?)?;
    app.execution(id).await?;
    let _permit = tokio::time::timeout(PATIENCE, app.searches.acquire()).await.map_err(|_| {
        ApiError::unavailable("too many searches are under way; try again in a moment")
    })?;
    search.run(&app.coordinator, id).await
}

fn download(coordinator: Coordinator, id: ExecutionId, after: u64, filter: Filter) -> Response {
    let lines = stream::try_unfold(after, move |after| {
        let (coordinator, filter) = (coordinator.clone(), filter.clone());
        async move {
            let chunks = coordinator.logs(id, after, DOWNLOAD_BYTES).await?;
            let (mut last, mut text) = (after, Vec::new());
            for chunk in &chunks {
                if !filter.wants(chunk) {
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
