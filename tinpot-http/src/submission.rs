//! The body of a submission: `{"parameters": {…}, "options": {…}}`. Both fields are optional, and so
//! is the body.

mod document;
mod options;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tinpot_core::{Json, RequestTrace, SubmitOptions};
use utoipa::{PartialSchema, ToSchema};

use self::options::{OptionsBody, options};
use crate::error::ApiError;
use crate::gate::Sender;
use crate::measured;
use crate::openapi::scalars;
use crate::router::App;

/// The body of a submission: what to run an action with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Submission)]
pub(crate) struct SubmissionBody<'a> {
    /// The parameters that the `schema` of the action describes.
    #[serde(borrow, default, deserialize_with = "given")]
    #[schema(value_type = BTreeMap<String, scalars::Json>, required = false)]
    parameters: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    #[schema(value_type = OptionsBody, required = false)]
    options: Option<&'a RawValue>,
}

/// The body of a rerun: the options that differ from the recorded ones.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Rerun)]
pub(crate) struct RerunBody<'a> {
    #[serde(borrow, default, deserialize_with = "given")]
    #[schema(value_type = OptionsBody, required = false)]
    options: Option<&'a RawValue>,
}

/// The parameters and options of a submission.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) parameters: Json,
    pub(crate) options: SubmitOptions,
}

/// The options that a client changes when it runs an execution again.
#[derive(Debug)]
pub(crate) struct RerunOptions(pub(crate) SubmitOptions);

impl FromRequest<Arc<App>> for Submission {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let trace = request.extensions().get::<RequestTrace>().cloned();
        let (headers, body) = read_request(request, app).await?;
        let mut submission = Self::read(&body)?;
        add_headers(&mut submission.options, &headers, trace)?;
        Ok(submission)
    }
}

impl FromRequest<Arc<App>> for RerunOptions {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let trace = request.extensions().get::<RequestTrace>().cloned();
        let (headers, body) = read_request(request, app).await?;
        let mut rerun = Self::read(&body)?;
        add_headers(&mut rerun.0, &headers, trace)?;
        Ok(rerun)
    }
}

/// Reads the body of a request as an object with known fields.
pub(crate) async fn json_body<T>(request: Request, app: &Arc<App>) -> Result<T, ApiError>
where
    T: serde::de::DeserializeOwned + PartialSchema,
{
    json_body_within(request, app, app.config.max_body_bytes).await
}

/// Reads the body of a request as [`json_body`] does, of at most `limit` bytes.
pub(crate) async fn json_body_within<T>(
    request: Request,
    app: &Arc<App>,
    limit: usize,
) -> Result<T, ApiError>
where
    T: serde::de::DeserializeOwned + PartialSchema,
{
    let (_, body) = read_request_within(request, app, limit).await?;
    read_object(&body)
}

fn read_object<T>(body: &[u8]) -> Result<T, ApiError>
where
    T: serde::de::DeserializeOwned + PartialSchema,
{
    let text = std::str::from_utf8(body).map_err(|e| not_json(&e))?;
    let invalid = |error: &serde_json::Error| match error.is_data() {
        true => ApiError::unprocessable(format!("body is invalid: {error}")),
        false => unreadable(text, error),
    };
    document::read(text, "", |error| unreadable(text, error), invalid)
}

/// Reads the body of a request as [`json_body`] does; `None` if it is empty.
pub(crate) async fn optional_json_body<T>(
    request: Request,
    app: &Arc<App>,
) -> Result<Option<T>, ApiError>
where
    T: serde::de::DeserializeOwned + PartialSchema,
{
    let (_, body) = read_request(request, app).await?;
    if body.trim_ascii().is_empty() { Ok(None) } else { read_object(&body).map(Some) }
}

/// Returns the requester that the headers name. A proxy may send an empty header for users without a
/// login.
pub(crate) fn requester(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    Ok(text_of(headers, "X-Requested-By")?.filter(|who| !who.is_empty()))
}

/// Reads a request to its end, within the limits.
///
/// A body that does not arrive with its head may take its time, in which the identity of the caller
/// may end: it is checked again then.
async fn read_request(request: Request, app: &Arc<App>) -> Result<(HeaderMap, Bytes), ApiError> {
    read_request_within(request, app, app.config.max_body_bytes).await
}

async fn read_request_within(
    mut request: Request,
    app: &Arc<App>,
    limit: usize,
) -> Result<(HeaderMap, Bytes), ApiError> {
    check_type(request.headers())?;
    check_length(request.headers(), limit)?;
    let sender = Sender::take(&mut request);
    // For a body that is longer than its `Content-Length`, or that has none.
    DefaultBodyLimit::max(limit).apply(&mut request);
    let mut reading = pin!(Bytes::from_request(request, app));
    let first = poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await;
    let read = match first {
        Poll::Ready(read) => read,
        Poll::Pending => {
            let read = reading.await;
            sender.confirm(&app.gate).await?;
            read
        }
    };
    let body = read.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            too_large(limit)
        } else {
            ApiError::bad_request("body could not be read to its end")
        }
    })?;
    Ok((sender.headers, body))
}

/// Adds the options that the headers of a submission give.
fn add_headers(
    options: &mut SubmitOptions,
    headers: &HeaderMap,
    trace: Option<RequestTrace>,
) -> Result<(), ApiError> {
    let key = text_of(headers, "Idempotency-Key")?;
    // The IETF draft has a quoted string; clients send it without quotes.
    let bare = |key: &str| {
        let inner = key.strip_prefix('"').and_then(|key| key.strip_suffix('"'));
        inner.unwrap_or(key).to_owned()
    };
    let key = key.as_deref().map(bare);
    add_header(&mut options.idempotency_key, key, "idempotency_key", "Idempotency-Key")?;
    let who = requester(headers)?;
    add_header(&mut options.requested_by, who, "requested_by", "X-Requested-By")?;
    if options.traceparent.is_none() {
        // By the standard, a trace context that cannot be read is as good as none.
        let given = headers.get("traceparent").and_then(|trace| trace.to_str().ok());
        let given = given.filter(|trace| tinpot_core::check_traceparent(trace).is_ok());
        options.traceparent = given.map(str::to_owned);
    }
    if let Some(trace) = trace {
        measured::enter(&trace, options);
    }
    Ok(())
}

fn add_header(
    option: &mut Option<String>,
    text: Option<String>,
    name: &str,
    header: &str,
) -> Result<(), ApiError> {
    match (&option, &text) {
        (Some(other), Some(text)) if other != text => {
            let detail =
                format!("options.{name} must be equal to the header {header}; give only one");
            Err(ApiError::unprocessable(detail))
        }
        (None, Some(_)) => {
            *option = text;
            Ok(())
        }
        _ => Ok(()),
    }
}

impl Submission {
    /// Reads a body, which may be empty.
    pub(crate) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let mut submission =
            Self { parameters: Json::empty_object(), options: SubmitOptions::default() };
        if let Some(body) = object::<SubmissionBody<'_>>(body)? {
            if let Some(parameters) = body.parameters {
                // The coordinator checks them against the schema of the action.
                submission.parameters = Json::from(parameters.to_owned());
            }
            submission.options = body.options.map(options).transpose()?.unwrap_or_default();
        }
        Ok(submission)
    }
}

impl RerunOptions {
    fn read(body: &[u8]) -> Result<Self, ApiError> {
        let body = object::<RerunBody<'_>>(body)?;
        let given = body.and_then(|body| body.options).map(options).transpose()?;
        Ok(Self(given.unwrap_or_default()))
    }
}

/// Reads a body as an object; `None` if the body is empty.
fn object<'a, T>(body: &'a [u8]) -> Result<Option<T>, ApiError>
where
    T: Deserialize<'a> + PartialSchema,
{
    if body.trim_ascii().is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(body).map_err(|e| not_json(&e))?;
    let unreadable = |error: &serde_json::Error| unreadable(text, error);
    document::read(text, "", unreadable, unreadable).map(Some)
}

/// Reads a value, keeping null.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

const NO_OBJECT: &str = "body must be a JSON object";

fn not_json(why: &dyn std::fmt::Display) -> ApiError {
    ApiError::bad_request(format!("body must be JSON: {why}"))
}

/// Returns the reason why a body cannot be read. Invalid values are reported like invalid parameters.
fn unreadable(text: &str, error: &serde_json::Error) -> ApiError {
    match Json::parse(text) {
        Ok(_) if error.is_data() => ApiError::unprocessable(NO_OBJECT),
        Ok(_) => not_json(error),
        Err(e) if e.violations().is_empty() => not_json(error),
        Err(error) => {
            let mut errors = error.violations().to_vec();
            for error in &mut errors {
                // Paths of parameters start below `parameters`, as in all violations.
                if let Some(path) = error.path.strip_prefix("parameters.") {
                    error.path = path.to_owned();
                }
            }
            let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
            ApiError::invalid(all.join("; "), errors)
        }
    }
}

/// Returns a header as text.
fn text_of(headers: &HeaderMap, name: &str) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes())
        .map_err(|_| ApiError::unprocessable(format!("header {name} must be UTF-8")))?;
    Ok(Some(text.trim().to_owned()))
}

/// Refuses content types other than JSON from browsers. A request may have none, or
/// `application/octet-stream`, which clients send for unknown content.
///
/// Pages of other sites can make browsers send text and forms without a preflight, and old browsers
/// without the headers that [`crate::csrf`] checks. Other programs, such as curl, may send JSON under
/// any name.
fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let given = String::from_utf8_lossy(value.as_bytes());
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let fits = matches!(
        essence.as_str(),
        "" | "application/json" | "text/json" | "application/octet-stream"
    ) || essence.ends_with("+json");
    if fits || !is_browser(headers) {
        return Ok(());
    }
    let detail = format!("content type must be application/json (got {essence:?})");
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
}

/// Returns true unless the request can only come from another program. All browsers call themselves
/// Mozilla, and no page can change that.
fn is_browser(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes);
    agent.is_some_and(|agent| agent.starts_with(b"Mozilla/"))
        || [header::ORIGIN, header::REFERER].iter().any(|name| headers.contains_key(name))
        || headers.keys().any(|name| name.as_str().starts_with("sec-"))
}

/// Refuses a body whose `Content-Length` is too large, before it is read.
fn check_length(headers: &HeaderMap, limit: usize) -> Result<(), ApiError> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match length.and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length > limit as u64 => Err(too_large(limit)),
        _ => Ok(()),
    }
}

fn too_large(limit: usize) -> ApiError {
    let detail = format!(
        "body must be at most {limit} bytes, by the setting limit_request of the server; larger bytes \
         are uploaded before they are submitted"
    );
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}
