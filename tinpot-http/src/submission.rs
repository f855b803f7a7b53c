//! The body of a submission: `{"parameters": {…}, "options": {…}}`, both optional, or nothing at all.

mod document;
mod options;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt;
use serde_json::value::RawValue;
use tinpot_core::{Json, SubmitOptions};

use self::document::Entries;
use self::options::options;
use crate::error::ApiError;
use crate::router::App;

/// How many times the limit of a body are read of one that is refused, and for how long.
const READ_ON_TIMES: usize = 16;
const READ_ON_TIME: Duration = Duration::from_secs(2);

/// What a caller wants to be run with.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) parameters: Json,
    pub(crate) options: SubmitOptions,
}

/// What a caller wants to be otherwise when something is run again: `{"options": {…}}`, or nothing at all.
#[derive(Debug)]
pub(crate) struct RerunOptions(pub(crate) SubmitOptions);

impl FromRequest<Arc<App>> for Submission {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let (headers, body) = read_request(request, app).await?;
        let mut submission = Self::read(&body)?;
        add_headers(&mut submission.options, &headers)?;
        Ok(submission)
    }
}

impl FromRequest<Arc<App>> for RerunOptions {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let (headers, body) = read_request(request, app).await?;
        let mut options = Submission::read_fields(&body, &["options"])?.options;
        add_headers(&mut options, &headers)?;
        Ok(Self(options))
    }
}

/// Reads a request to its end, within the bounds.
async fn read_request(request: Request, app: &Arc<App>) -> Result<(HeaderMap, Bytes), ApiError> {
    let limit = app.config.max_body_bytes;
    check_type(request.headers())?;
    if let Err(error) = check_length(request.headers(), limit) {
        read_on(request, limit).await;
        return Err(error);
    }
    let headers = request.headers().clone();
    // The router's `DefaultBodyLimit` ends the reading of a body that is longer than it said, or did not say.
    let body = Bytes::from_request(request, app).await.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            too_large(limit)
        } else {
            ApiError::bad_request("the body could not be read to its end")
        }
    })?;
    Ok((headers, body))
}

/// Takes over what the headers say of a submission.
fn add_headers(options: &mut SubmitOptions, headers: &HeaderMap) -> Result<(), ApiError> {
    let key = text_of(headers, "Idempotency-Key")?;
    // The draft has it as a quoted string; everybody sends it bare.
    let bare = |key: &str| {
        let inner = key.strip_prefix('"').and_then(|key| key.strip_suffix('"'));
        inner.unwrap_or(key).to_owned()
    };
    let key = key.as_deref().map(bare);
    add_header(&mut options.idempotency_key, key, "idempotency_key", "Idempotency-Key")?;
    // A proxy may send it empty when nobody has logged in.
    let who = text_of(headers, "X-Requested-By")?.filter(|who| !who.is_empty());
    add_header(&mut options.requested_by, who, "requested_by", "X-Requested-By")
}

fn add_header(
    option: &mut Option<String>,
    text: Option<String>,
    name: &str,
    header: &str,
) -> Result<(), ApiError> {
    match (&option, &text) {
        (Some(other), Some(text)) if other != text => {
            let detail = format!("options.{name}: is another one than that of the header {header}");
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
    pub(crate) fn read(body: &[u8]) -> Result<Self, ApiError> {
        Self::read_fields(body, &["options", "parameters"])
    }

    fn read_fields(body: &[u8], names: &[&str]) -> Result<Self, ApiError> {
        let mut submission =
            Self { parameters: Json::empty_object(), options: SubmitOptions::default() };
        if body.trim_ascii().is_empty() {
            return Ok(submission);
        }
        let text = std::str::from_utf8(body).map_err(|e| not_json(&e))?;
        let Entries(fields) = serde_json::from_str(text).map_err(|e| unreadable(text, &e))?;
        known("", &fields, names)?;
        for (name, value) in fields {
            match name.as_str() {
                // What of it does not fit the action is the coordinator's to say.
                "parameters" => submission.parameters = Json::from(value.to_owned()),
                _ => submission.options = options(value)?,
            }
        }
        Ok(submission)
    }
}

const NO_OBJECT: &str = "the body must be a JSON object";

fn not_json(why: &dyn std::fmt::Display) -> ApiError {
    ApiError::bad_request(format!("the body is not JSON: {why}"))
}

/// Why a body cannot be read. What is wrong with single values is said as it is of parameters that do not fit.
fn unreadable(text: &str, error: &serde_json::Error) -> ApiError {
    match Json::parse(text) {
        Ok(_) if error.is_data() => ApiError::unprocessable(NO_OBJECT),
        Ok(_) => not_json(error),
        Err(error) if error.violations().is_empty() => not_json(&error.message()),
        Err(error) => {
            let mut errors = error.violations().to_vec();
            for error in &mut errors {
                // Parameters are named without the word in front, as everywhere.
                if let Some(path) = error.path.strip_prefix("parameters.") {
                    error.path = path.to_owned();
                }
            }
            let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
            ApiError::invalid(all.join("; "), errors)
        }
    }
}

/// Refuses fields of unknown names, since a mistyped `parameters` must not run the action with its defaults, and those that are given twice,
/// which parsers disagree about.
fn known(path: &str, fields: &[(String, &RawValue)], known: &[&str]) -> Result<(), ApiError> {
    let unknown: Vec<String> = fields
        .iter()
        .filter(|(name, _)| !known.contains(&name.as_str()))
        .take(10)
        .map(|(name, _)| format!("{path}{name}: is unknown"))
        .collect();
    if unknown.is_empty() {
        let twice = fields
            .iter()
            .enumerate()
            .find(|(at, (name, _))| fields[..*at].iter().any(|(other, _)| other == name));
        return match twice {
            Some((_, (name, _))) => {
                Err(ApiError::unprocessable(format!("{path}{name}: is given twice")))
            }
            None => Ok(()),
        };
    }
    let detail = format!("{}; the fields are {}", unknown.join("; "), known.join(", "));
    Err(ApiError::unprocessable(detail))
}

/// A header as text; the one by which a submission is named is that of the IETF's draft of that name.
fn text_of(headers: &HeaderMap, name: &str) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| {
        ApiError::unprocessable(format!("the header {name}: must be text in UTF-8"))
    })?;
    Ok(Some(text.trim().to_owned()))
}

/// Refuses what says that it is not JSON. Saying nothing is fine, as is `application/octet-stream`, which says nothing either.
///
/// Text and forms are refused rather than looked into: those are what a foreign page can make old browsers send without a word about it; of
/// others [`crate::origin`] knows.
fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let given = String::from_utf8_lossy(value.as_bytes());
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let fits = matches!(
        essence.as_str(),
        "" | "application/json" | "text/json" | "application/octet-stream"
    ) || essence.ends_with("+json");
    if fits {
        return Ok(());
    }
    let detail =
        format!("the content type {essence:?} is not JSON: send `Content-Type: application/json`");
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
}

/// Refuses a body that says it is too large before any of it is kept.
fn check_length(headers: &HeaderMap, limit: usize) -> Result<(), ApiError> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match length.and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length > limit as u64 => Err(too_large(limit)),
        _ => Ok(()),
    }
}

/// Reads a body that is refused, within bounds: a client that writes to the end before it reads would else see a broken connection instead of
/// the answer.
async fn read_on(request: Request, limit: usize) {
    let mut left = limit.saturating_mul(READ_ON_TIMES);
    let mut body = request.into_body().into_data_stream();
    let reading = async {
        while let Some(Ok(bytes)) = body.next().await {
            left = left.saturating_sub(bytes.len());
            if left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(READ_ON_TIME, reading).await;
}

fn too_large(limit: usize) -> ApiError {
    let detail = format!("the body is too large: at most {limit} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}
