//! `/api/executions/{id}/logs`: the log of an execution, in pages, as a download, or searched.

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
use serde::Deserialize;
use tinpot_core::{Error, Readable};
use utoipa::ToSchema;

use self::filter::Filter;
pub(crate) use self::filter::{MinimumLevel, StreamList};
use self::page::{LogPage, Pages, Part};
pub(crate) use self::search::SEARCHES;
use self::search::Search;
use self::search::{LogMatches, PATIENCE};
use crate::error::ApiError;
use crate::extract::PathExecution;
use crate::gate::Entered;
use crate::openapi::scalars;
use crate::params::{Params, word};
use crate::router::App;

/// The form of an answer.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    Json,
    Text,
}

const LINES_DEFAULT: usize = 1_000;
const LINES_MAX: usize = 10_000;
/// The bytes that a download reads from the store at once: enough to keep the connection busy, and
/// all that a slow client costs.
const DOWNLOAD_BYTES: usize = 256 * 1024;

/// Returns lines of an execution, in pages or as a download.
#[utoipa::path(
    get,
    path = "/api/executions/{id}/logs",
    tag = "logs",
    params(
        ("id" = scalars::ExecutionId, Path),
        ("after" = Option<u64>, Query, description = "the first lines above this number"),
        ("before" = Option<u64>, Query, description = "the last lines below this number"),
        ("tail" = Option<bool>, Query, description = "the last lines of the log"),
        ("level" = Option<MinimumLevel>, Query, description = "only lines of at least this level"),
        ("stream" = Option<StreamList>, Query, description = "only lines of these streams"),
        ("limit" = Option<u32>, Query, description = "the largest number of lines; 1000 by default", minimum = 1, maximum = 10000),
        ("format" = Option<Format>, Query, description = "a page, or the whole log as a download"),
    ),
    responses(
        (status = 200, description = "lines", content(
            (LogPage<'static> = "application/json"),
            (String = "text/plain"),
        )),
        (status = 404, description = "Execution not found."),
    ),
)]
pub(crate) async fn show(
    Entered { scoped, .. }: Entered,
    PathExecution(id): PathExecution,
    uri: Uri,
) -> Result<Response, ApiError> {
    let known = ["after", "before", "tail", "level", "stream", "limit", "format"];
    let params = Params::of(&uri, &known)?;
    let filter = Filter::of(&params)?;
    if params.read("format", "json or text", |text| word(text))? == Some(Format::Text) {
        let paged = ["limit", "before", "tail"];
        if let Some(name) = paged.iter().find(|name| params.text(name).is_some()) {
            return Err(ApiError::unprocessable(format!(
                "{name} must be omitted with format=text, which returns the whole log"
            )));
        }
        let after = params.line("after")?.unwrap_or(0);
        return Ok(download(scoped.execution(id).await?, after, filter));
    }
    let part = part(&params)?;
    let limit = params.limit(LINES_MAX)?.unwrap_or(LINES_DEFAULT);
    let readable = scoped.execution(id).await?;
    let last_seq = readable.execution.log_lines();
    Pages { readable, filter, limit, last_seq }.page(part).await
}

fn part(params: &Params) -> Result<Part, ApiError> {
    match (params.line("after")?, params.line("before")?, params.flag("tail")?) {
        (after, None, false) => Ok(Part::After(after.unwrap_or(0))),
        (None, Some(before), false) => Ok(Part::Before(before)),
        (None, None, true) => Ok(Part::Before(u64::MAX)),
        _ => Err(ApiError::unprocessable("after, before and tail exclude each other; give one")),
    }
}

/// Searches the lines of an execution.
///
/// ANSI escapes are not searched.
#[utoipa::path(
    get,
    path = "/api/executions/{id}/logs/search",
    tag = "logs",
    params(
        ("id" = scalars::ExecutionId, Path),
        ("q" = String, Query, description = "the text to search for", min_length = 1, max_length = 1000),
        ("regex" = Option<bool>, Query, description = "treat `q` as a regular expression of the Rust crate `regex`"),
        ("case" = Option<bool>, Query, description = "match the case of letters"),
        ("level" = Option<MinimumLevel>, Query, description = "only lines of at least this level"),
        ("stream" = Option<StreamList>, Query, description = "only lines of these streams"),
        ("after" = Option<u64>, Query, description = "only lines above this number"),
        ("limit" = Option<u32>, Query, description = "the largest number of matches; 100 by default", minimum = 1, maximum = 1000),
        ("context" = Option<u32>, Query, description = "the number of lines before and after each match", minimum = 0, maximum = 5),
    ),
    responses(
        (status = 200, description = "the matches", body = LogMatches),
        (status = 404, description = "Execution not found."),
    ),
)]
pub(crate) async fn search(
    State(app): State<Arc<App>>,
    Entered { scoped, .. }: Entered,
    PathExecution(id): PathExecution,
    uri: Uri,
) -> Result<Response, ApiError> {
    let search = Search::of(&Params::of(&uri, &Search::NAMES)?)?;
    let readable = scoped.execution(id).await?;
    let _permit = tokio::time::timeout(PATIENCE, app.searches.acquire()).await.map_err(|_| {
        ApiError::unavailable(format!("search must wait for {SEARCHES} others; retry in a moment"))
    })?;
    search.run(&readable).await
}

/// Streams the whole log as text.
fn download(readable: Readable, after: u64, filter: Filter) -> Response {
    let id = readable.id();
    let lines = stream::try_unfold(after, move |after| {
        let (readable, filter) = (readable.clone(), filter.clone());
        async move {
            let chunks = readable.logs(after, DOWNLOAD_BYTES).await?;
            let (mut last, mut text) = (after, Vec::new());
            for chunk in &chunks {
                if !filter.passes(chunk) {
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
            // An error ends the response without its last chunk, so that clients see that the
            // download is incomplete.
            Ok::<_, Error>((last > after).then(|| (Bytes::from(text), last)))
        }
    });
    let name = format!("attachment; filename=\"{id}.log\"");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (
            header::CONTENT_DISPOSITION,
            // An id consists of hexadecimal digits and hyphens, so this never fails.
            HeaderValue::try_from(name).unwrap_or(HeaderValue::from_static("attachment")),
        ),
    ];
    (headers, Body::from_stream(lines)).into_response()
}
