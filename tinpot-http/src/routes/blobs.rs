//! `/api/blobs/{digest}`: the blobs that the caller's team has uploaded.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt, stream};
use serde::Serialize;
use tinpot_bundle::{ByteRange, PutOptions};
use tinpot_core::{Error, ErrorKind};
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::extract::apps::{AppsRequest, BlobReader, PathDigest};
use crate::gate::Sender;
use crate::model::json_response;
use crate::router::App;

/// The uploads that are taken at one time. Each holds a few megabytes.
pub(crate) const UPLOADS: usize = 4;
/// The longest time in which no byte of an upload arrives.
const IDLE: Duration = Duration::from_secs(30);
/// The bytes that must arrive in each second, from [`SLACK`] on.
const RATE: u64 = 32 << 10;
/// The time in which an upload may be slower.
const SLACK: Duration = Duration::from_secs(60);

/// A blob, without its content.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Blob)]
pub(crate) struct BlobJson {
    digest: String,
    bytes: u64,
}

/// Uploads a blob: an archive or a manifest. The server keeps it only if it has the digest in the
/// path.
#[utoipa::path(
    put,
    path = "/api/blobs/{digest}",
    tag = "blobs",
    params(("digest" = String, Path, description = "the SHA-256 of the content, in hexadecimal")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 201, description = "the blob", body = BlobJson),
        (status = 400, description = "The body was cut off."),
        (status = 408, description = "No byte of the body arrived for 30 s, or fewer than 32 KiB in a second over a minute."),
        (status = 413, description = "The body is too large."),
    ),
)]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    asked: AppsRequest,
    PathDigest(digest): PathDigest,
    mut request: Request,
) -> Result<Response, ApiError> {
    asked.needs_deploy()?;
    let max = asked.apps.bundle_limits().packed_bytes;
    if length(request.headers()).is_some_and(|length| length > max) {
        return Err(too_large(max));
    }
    let Ok(_upload) = app.uploads.try_acquire() else {
        let detail = format!("too many uploads: the server takes {UPLOADS} at one time");
        return Err(ApiError::unavailable(detail));
    };
    let sender = Sender::take(&mut request);
    let refusal = Refusal::default();
    let confirmed = {
        let (app, refusal) = (app.clone(), refusal.clone());
        // The identity may have ended while the body arrived.
        async move { sender.confirm(&app.gate).await.err().map(|error| Err(refusal.set(error))) }
    };
    let body = pieces(request.into_body().into_data_stream(), max, too_large, refusal.clone())
        .chain(stream::once(confirmed).filter_map(std::future::ready))
        .boxed();
    let options = PutOptions::default().max_bytes(max).digest(digest);
    match asked.apps.put_blob(asked.team(), body, options).await {
        Ok(info) => {
            let blob = BlobJson { digest: info.digest.to_string(), bytes: info.bytes };
            Ok(json_response(StatusCode::CREATED, &blob))
        }
        Err(error) => Err(refusal.take().unwrap_or_else(|| match error.kind() {
            ErrorKind::Malformed => ApiError::unprocessable(error.message()),
            _ => error.into(),
        })),
    }
}

/// The reason why a body was refused, apart from errors of the store.
#[derive(Clone, Default)]
pub(super) struct Refusal(Arc<Mutex<Option<ApiError>>>);

impl Refusal {
    /// Keeps the reason, and returns an error that ends the upload.
    pub(super) fn set(&self, error: ApiError) -> Error {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        Error::new(ErrorKind::Closed, "the upload was refused")
    }

    pub(super) fn take(&self) -> Option<ApiError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Returns the body in pieces, until it is too large, too slow, stands still or breaks.
pub(super) fn pieces(
    body: BodyDataStream,
    max: u64,
    too_large: fn(u64) -> ApiError,
    refusal: Refusal,
) -> impl Stream<Item = tinpot_core::Result<bytes::Bytes>> + Send + 'static {
    let begin = Instant::now();
    let latest = move |taken: u64| begin + SLACK + Duration::from_secs(taken / RATE);
    let slow = || {
        let detail = format!("the body arrived more slowly than {} KiB in a second", RATE >> 10);
        ApiError::new(StatusCode::REQUEST_TIMEOUT, detail)
    };
    stream::try_unfold((body, 0_u64, refusal), move |(mut body, taken, refusal)| async move {
        let until = latest(taken).min(Instant::now() + IDLE);
        match tokio::time::timeout_at(until, body.next()).await {
            Err(_) if until == latest(taken) => Err(refusal.set(slow())),
            Err(_) => {
                let detail = format!("no byte of the body arrived for {} s", IDLE.as_secs());
                Err(refusal.set(ApiError::new(StatusCode::REQUEST_TIMEOUT, detail)))
            }
            Ok(None) => Ok(None),
            Ok(Some(Err(_))) => {
                Err(refusal.set(ApiError::bad_request("body could not be read to its end")))
            }
            Ok(Some(Ok(piece))) => {
                let taken = taken + piece.len() as u64;
                if taken > max {
                    return Err(refusal.set(too_large(max)));
                }
                if Instant::now() > latest(taken) {
                    return Err(refusal.set(slow()));
                }
                Ok(Some((piece, (body, taken, refusal))))
            }
        }
    })
}

pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(max: u64) -> ApiError {
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("body must have at most {max} bytes"))
}

/// Downloads a blob, or one range of it.
///
/// Workers need no caller: the header `Tinpot-Ticket`, which each attempt at an app gets, admits to
/// the manifest and the archive of its bundle, and to the uploads of its parameters, while the attempt
/// lives.
#[utoipa::path(
    get,
    path = "/api/blobs/{digest}",
    tag = "blobs",
    params(
        ("digest" = String, Path, description = "the SHA-256 of the content, in hexadecimal"),
        ("Range" = Option<String>, Header, description = "one range of bytes, as in bytes=100-199"),
        ("Tinpot-Ticket" = Option<String>, Header, description = "the ticket of an attempt, in place of a token"),
    ),
    responses(
        (status = 200, description = "its bytes", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "the bytes of the range", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 410, description = "The bundle of the ticket is gone, since its version was pruned; or the upload is gone."),
        (status = 416, description = "The range begins after the end."),
    ),
)]
pub(crate) async fn get(
    reader: BlobReader,
    PathDigest(digest): PathDigest,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let info = reader.info(&digest).await?;
    let range = range(&headers, info.bytes)?;
    let (start, end) = range.unwrap_or((0, info.bytes));
    let bytes = ByteRange::from(start..end);
    let blob = reader.content(&digest, bytes).await?;
    let mut response = Body::from_stream(blob.body).into_response();
    let headers = response.headers_mut();
    let octets = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, octets);
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, (end - start).into());
    if range.is_some() {
        let text = format!("bytes {start}-{}/{}", end - 1, info.bytes);
        if let Ok(text) = HeaderValue::try_from(text) {
            headers.insert(header::CONTENT_RANGE, text);
        }
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// Reads a range: its start, and the position after its end. A header that asks for anything else
/// than one range is ignored, as HTTP allows.
fn range(headers: &HeaderMap, bytes: u64) -> Result<Option<(u64, u64)>, ApiError> {
    let text = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let Some((first, last)) = text
        .and_then(|text| text.strip_prefix("bytes="))
        .filter(|text| !text.contains(','))
        .and_then(|text| text.trim().split_once('-'))
    else {
        return Ok(None);
    };
    let (start, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if last >= first => (first, bytes.min(last.saturating_add(1))),
        (Ok(first), Err(_)) if last.is_empty() => (first, bytes),
        // The last bytes.
        (Err(_), Ok(count)) if first.is_empty() => (bytes.saturating_sub(count), bytes),
        _ => return Ok(None),
    };
    if start >= bytes || start >= end {
        let detail = format!("range must begin below {bytes}, the size of the blob (got {start})");
        return Err(ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, detail));
    }
    Ok(Some((start, end)))
}
