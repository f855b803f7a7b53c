//! `/api/actions/{name}/uploads`: bytes that are too large for the body of a submission.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt, stream};
use serde::Serialize;
use tinpot_bundle::Digest;
use tinpot_core::{ErrorKind, upload_reference};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::blobs::{Refusal, length, pieces};
use crate::error::ApiError;
use crate::extract::ActionName;
use crate::extract::apps::AppsRequest;
use crate::gate::Sender;
use crate::model::json_response;
use crate::router::App;

/// The uploads for parameters that are taken at one time. Each holds less than a megabyte.
const PARAMETERS: usize = 16;
/// Those of one caller.
const OF_CALLER: usize = 4;
/// The longest wait of an upload for those before it.
const TURN: Duration = Duration::from_secs(20);
/// The header with the digest that the content must have, as in RFC 9530.
const CONTENT_DIGEST: &str = "content-digest";

/// The permits for uploads of parameters.
#[derive(Debug)]
pub(crate) struct Turns {
    all: Semaphore,
    /// Those of each caller who uploads.
    callers: Mutex<HashMap<String, Weak<Semaphore>>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { all: Semaphore::new(PARAMETERS), callers: Mutex::default() }
    }
}

impl Turns {
    /// Returns the permits of a caller. They are forgotten with their last holder.
    fn of(&self, caller: &str) -> Arc<Semaphore> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = callers.get(caller).and_then(Weak::upgrade) {
            return known;
        }
        callers.retain(|_, permits| permits.strong_count() > 0);
        let permits = Arc::new(Semaphore::new(OF_CALLER));
        callers.insert(caller.to_owned(), Arc::downgrade(&permits));
        permits
    }
}

/// An upload.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Upload)]
pub(crate) struct UploadJson {
    /// The text to submit in the place of the base64.
    upload: String,
    /// The SHA-256 of the content, in hexadecimal.
    digest: String,
    bytes: u64,
    /// The time until which a submission must refer to it.
    expires_at: String,
}

/// Uploads bytes for a parameter.
///
/// A submission by the same caller can then have the `upload` of the answer in place of the base64,
/// for any parameter of the type bytes. The upload stays for as long as an execution that refers to
/// it is recorded; without one, for 24 hours.
#[utoipa::path(
    post,
    path = "/api/actions/{name}/uploads",
    tag = "actions",
    params(
        ("name" = String, Path, description = "the name of an action"),
        ("Content-Digest" = Option<String>, Header, description = "the digest that the content must have, as in sha-256=:BASE64:"),
    ),
    request_body(content = Option<Vec<u8>>, description = "the bytes; no body is no byte", content_type = "application/octet-stream"),
    responses(
        (status = 201, description = "the upload", body = UploadJson),
        (status = 400, description = "The body was cut off."),
        (status = 404, description = "Action not found."),
        (status = 408, description = "No byte of the body arrived for 30 s, or fewer than 32 KiB in a second over a minute."),
        (status = 413, description = "The body is larger than the setting limit_upload."),
        (status = 429, description = "The caller has too many uploads that no execution refers to, or more than 4 at one time."),
        (status = 507, description = "The disk of the server is full."),
    ),
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    asked: AppsRequest,
    ActionName(action): ActionName,
    mut request: Request,
) -> Result<Response, ApiError> {
    asked.scoped.may_run(&action)?;
    let max = app.config.max_upload_bytes;
    let length = length(request.headers());
    if let Some(got) = length.filter(|got| *got > max) {
        return Err(too_large(max, Some(got)));
    }
    let digest = content_digest(request.headers())?;
    let caller = asked.scoped.caller();
    let own = app.parameter_uploads.of(&caller.id);
    let Ok(Ok(_own)) = timeout(TURN, own.acquire()).await else {
        let detail =
            format!("too many uploads: the server takes {OF_CALLER} of one caller at one time");
        return Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, detail));
    };
    let Ok(Ok(_turn)) = timeout(TURN, app.parameter_uploads.all.acquire()).await else {
        let detail = format!("too many uploads: the server takes {PARAMETERS} at one time");
        return Err(ApiError::unavailable(detail));
    };
    let sender = Sender::take(&mut request);
    let refusal = Refusal::default();
    let confirmed = {
        let (app, refusal) = (app.clone(), refusal.clone());
        // The identity may have ended while the body arrived.
        async move { sender.confirm(&app.gate).await.err().map(|error| Err(refusal.set(error))) }
    };
    let body = request.into_body().into_data_stream();
    let body = pieces(body, max, |max| too_large(max, None), refusal.clone())
        .chain(stream::once(confirmed).filter_map(std::future::ready))
        .boxed();
    // Room is taken for what is stated, or else for the most.
    let room = length.unwrap_or(max);
    let put = asked.apps.uploads().put(&caller.team, &caller.id, body, room, digest).await;
    let upload = put.map_err(|error| {
        refusal.take().unwrap_or_else(|| match error.kind() {
            ErrorKind::Malformed => ApiError::unprocessable(error.message()),
            ErrorKind::Overloaded => ApiError::new(StatusCode::TOO_MANY_REQUESTS, error.message()),
            _ => error.into(),
        })
    })?;
    let answer = UploadJson {
        upload: upload_reference(&upload.digest),
        digest: upload.digest.to_string(),
        bytes: upload.bytes,
        expires_at: upload.expires_at.to_string(),
    };
    Ok(json_response(StatusCode::CREATED, &answer))
}

fn too_large(max: u64, got: Option<u64>) -> ApiError {
    let got = got.map(|got| format!(" (got {got})")).unwrap_or_default();
    let detail = format!(
        "upload must have at most {max} bytes{got}: the setting limit_upload of the server allows more"
    );
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

/// Returns the digest that the headers ask for; digests of other algorithms are ignored.
fn content_digest(headers: &HeaderMap) -> Result<Option<Digest>, ApiError> {
    let Some(value) = headers.get(CONTENT_DIGEST) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let Some(given) = text.split(',').find_map(|part| part.trim().strip_prefix("sha-256=")) else {
        return Ok(None);
    };
    let encoded = given.strip_prefix(':').and_then(|given| given.strip_suffix(':'));
    let bytes = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
    let digest = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).map(Digest::from);
    digest.map(Some).ok_or_else(|| {
        let detail = format!(
            "header Content-Digest must be like sha-256=:BASE64:, with 32 bytes (got {text:?})"
        );
        ApiError::bad_request(detail)
    })
}
