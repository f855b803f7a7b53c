//! Uploads: an archive in a multipart form becomes a version.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::BodyDataStream;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures::{StreamExt, stream};
use multer::{Constraints, Field, Multipart, SizeLimit};
use tinpot_bundle::{Inspection, PutOptions, Version};
use tinpot_core::{Action, Error, ErrorKind};
use tokio::time::timeout;

use crate::caller::Member;
use crate::tower::{Tower, UPLOADS};
use crate::wire::body::IDLE;
use crate::wire::error::ApiError;
use crate::wire::json;

/// The name of the part with the archive.
const ARTIFACT: &str = "artifact";
/// The parts of a form that are looked at.
const PARTS: usize = 100;

pub(crate) async fn create(
    tower: &Arc<Tower>,
    member: &Member,
    slug: &str,
    request: Request,
) -> Result<Response, ApiError> {
    let app = tower.app(member, slug).await?;
    member.scoped.may_deploy(slug)?;
    let max = tower.config.max_artifact_bytes;
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > max) {
        return Err(ApiError::too_large(max));
    }
    let Ok(_upload) = tower.uploads.try_acquire() else {
        let message = format!("too many uploads: the server takes {UPLOADS} at one time");
        return Err(ApiError::unavailable(message));
    };
    let version = receive(tower, member, slug, request).await?;
    let app_id = tower.app_id(&app.team, &app.name).await?;
    Ok(json::answer(StatusCode::CREATED, &tower.version_json(app_id, &version).await?))
}

async fn receive(
    tower: &Arc<Tower>,
    member: &Member,
    slug: &str,
    request: Request,
) -> Result<Version, ApiError> {
    let max = tower.config.max_artifact_bytes;
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|text| text.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(content_type)
        .map_err(|error| ApiError::invalid(format!("body must be multipart/form-data: {error}")))?;
    let refusal = Refusal::default();
    let pieces = pieces(request.into_body().into_data_stream(), max, refusal.clone());
    let limits = SizeLimit::new().whole_stream(max).per_field(max);
    let constraints = Constraints::new().size_limit(limits);
    let mut form = Multipart::with_constraints(pieces.boxed(), boundary, constraints);
    let field = match artifact(&mut form, &refusal).await? {
        Some(field) => field,
        None => return Err(ApiError::invalid("the form has no file in the part \"artifact\"")),
    };
    let failed = refusal.clone();
    let archive = field.map(move |piece| piece.map_err(|error| failed.set(refused(&error))));
    let options = PutOptions::default().max_bytes(max);
    let put = tower.apps.put_blob(&member.team.id, archive.boxed(), options).await;
    let digest = put.map_err(|error| refusal.take().unwrap_or_else(|| error.into()))?.digest;
    let inspection = tower.apps.inspect(&digest).await.map_err(no_bundle)?;
    check(&inspection)?;
    let may = |action: &Action| member.scoped.may_deploy_action(slug, action);
    let (by, team) = (member.by(), &*member.team.id);
    Ok(tower.apps.upload(&by, team, slug, inspection, &may).await?)
}

/// Returns the first file with the right name.
async fn artifact(
    form: &mut Multipart<'static>,
    refusal: &Refusal,
) -> Result<Option<Field<'static>>, ApiError> {
    for _ in 0..PARTS {
        let field = form.next_field().await;
        match field.map_err(|error| refusal.take().unwrap_or_else(|| refused(&error)))? {
            Some(field) if field.name() == Some(ARTIFACT) && field.file_name().is_some() => {
                return Ok(Some(field));
            }
            Some(_) => {}
            None => return Ok(None),
        }
    }
    Err(ApiError::invalid(format!("the form must have at most {PARTS} parts")))
}

/// Tells an archive that is none from one whose Towerfile breaks a rule.
fn check(inspection: &Inspection) -> Result<(), ApiError> {
    match inspection.manifest() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(missing(error)),
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            Err(ApiError::bad("TOWERFILE_INVALID", error.message()))
        }
        Err(error) => Err(error.into()),
    }
}

fn missing(error: Error) -> ApiError {
    ApiError::from(error).with_code(StatusCode::BAD_REQUEST, "TOWERFILE_MISSING")
}

/// Says why an archive cannot be read: then it has no Towerfile either.
fn no_bundle(error: Error) -> ApiError {
    if error.kind() == ErrorKind::InvalidInput { missing(error) } else { error.into() }
}

fn refused(error: &multer::Error) -> ApiError {
    match error {
        multer::Error::StreamSizeExceeded { limit }
        | multer::Error::FieldSizeExceeded { limit, .. } => ApiError::too_large(*limit),
        other => ApiError::invalid(format!("the form cannot be read: {other}")),
    }
}

/// The reason why a body was refused, apart from errors of the store.
#[derive(Clone, Default)]
struct Refusal(Arc<Mutex<Option<ApiError>>>);

impl Refusal {
    /// Keeps the first reason, and returns an error that ends the upload.
    fn set(&self, error: ApiError) -> Error {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(error);
        Error::new(ErrorKind::Closed, "the upload was refused")
    }

    fn take(&self) -> Option<ApiError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Returns the body in pieces, until it is too large, stands still or breaks.
fn pieces(
    body: BodyDataStream,
    max: u64,
    refusal: Refusal,
) -> impl futures::Stream<Item = Result<Bytes, Error>> + Send + 'static {
    stream::try_unfold((body, 0_u64, refusal), move |(mut body, taken, refusal)| async move {
        match timeout(IDLE, body.next()).await {
            Err(_) => {
                let message = format!("no byte of the body arrived for {} s", IDLE.as_secs());
                let status = StatusCode::REQUEST_TIMEOUT;
                Err(refusal.set(ApiError::new(status, "invalid_request", message)))
            }
            Ok(None) => Ok(None),
            Ok(Some(Err(_))) => {
                Err(refusal.set(ApiError::invalid("body could not be read to its end")))
            }
            Ok(Some(Ok(piece))) => {
                let taken = taken + piece.len() as u64;
                if taken > max {
                    return Err(refusal.set(ApiError::too_large(max)));
                }
                Ok(Some((piece, (body, taken, refusal))))
            }
        }
    })
}
