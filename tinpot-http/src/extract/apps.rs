//! Extractors of requests about apps.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use tinpot_bundle::{Apps, Blob, BlobInfo, ByteRange, Digest};
use tinpot_core::access::AuditWho;
use tinpot_core::{BundleReader, ErrorKind, Right, Scoped};

use crate::error::ApiError;
use crate::gate::Entered;
use crate::router::App;

/// A request of a caller, about apps.
#[derive(Debug)]
pub(crate) struct AppsRequest {
    pub(crate) apps: Apps,
    pub(crate) scoped: Scoped,
}

impl FromRequestParts<Arc<App>> for AppsRequest {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let Entered { scoped, .. } = Entered::from_request_parts(parts, app).await?;
        Ok(Self { apps: kept(app)?, scoped })
    }
}

/// A request that reads blobs: of a caller who may deploy, or of an attempt that fetches its bundle and
/// its uploads.
#[derive(Debug)]
pub(crate) enum BlobReader {
    Caller(AppsRequest),
    Attempt { apps: Apps, reader: BundleReader },
}

impl FromRequestParts<Arc<App>> for BlobReader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let Some(reader) = parts.extensions.get::<BundleReader>().cloned() else {
            let asked = AppsRequest::from_request_parts(parts, app).await?;
            asked.needs_deploy()?;
            return Ok(Self::Caller(asked));
        };
        Ok(Self::Attempt { apps: kept(app)?, reader })
    }
}

impl BlobReader {
    /// Returns the description of a blob.
    ///
    /// # Errors
    /// 404 if there is none that the reader may see; 410 if it is gone from the reader's bundle.
    pub(crate) async fn info(&self, digest: &Digest) -> Result<BlobInfo, ApiError> {
        let missing = || ApiError::new(StatusCode::NOT_FOUND, format!("blob {digest} not found"));
        match self {
            Self::Caller(AppsRequest { apps, scoped }) => {
                apps.blob_info(&scoped.caller().team, digest).await?.ok_or_else(missing)
            }
            Self::Attempt { apps, reader } => {
                if reader.uploads.contains(digest) {
                    return apps.blobs().info(digest).await?.ok_or_else(|| gone(reader, digest));
                }
                let Some(bundle) = &reader.bundle else { return Err(missing()) };
                match apps.is_of_bundle(bundle, digest).await {
                    Ok(true) => {
                        apps.blobs().info(digest).await?.ok_or_else(|| gone(reader, digest))
                    }
                    Ok(false) => Err(missing()),
                    // The manifest is gone, which names the archive.
                    Err(error) if error.kind() == ErrorKind::NotFound => Err(gone(reader, digest)),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// Returns the content of a blob that [`info`](Self::info) described just now.
    ///
    /// # Errors
    /// As `info`.
    pub(crate) async fn content(
        &self,
        digest: &Digest,
        range: ByteRange,
    ) -> Result<Blob, ApiError> {
        let (Self::Caller(AppsRequest { apps, .. }) | Self::Attempt { apps, .. }) = self;
        let missing = || match self {
            Self::Caller(_) => {
                ApiError::new(StatusCode::NOT_FOUND, format!("blob {digest} not found"))
            }
            Self::Attempt { reader, .. } => gone(reader, digest),
        };
        apps.blobs().get(digest, range).await?.ok_or_else(missing)
    }
}

fn gone(reader: &BundleReader, digest: &Digest) -> ApiError {
    let detail = match &reader.bundle {
        Some(bundle) if !reader.uploads.contains(digest) => {
            format!("bundle {bundle} is gone: its version was pruned")
        }
        _ => format!("upload {digest} is gone"),
    };
    ApiError::new(StatusCode::GONE, detail)
}

/// Returns the apps that the server keeps.
fn kept(app: &App) -> Result<Apps, ApiError> {
    let none = || ApiError::new(StatusCode::NOT_FOUND, "this server keeps no apps");
    app.config.apps.clone().ok_or_else(none)
}

impl AppsRequest {
    /// Returns the id of the team in which the caller acts.
    pub(crate) fn team(&self) -> &str {
        &self.scoped.caller().team
    }

    /// Returns the caller as the audit names it.
    pub(crate) fn by(&self) -> AuditWho {
        let caller = self.scoped.caller();
        let kind = caller.id.split_once(':').map_or("", |(kind, _)| kind);
        AuditWho::new(kind, caller.id.clone(), caller.name.clone())
            .team(caller.team.clone())
            .via(caller.via.clone())
    }

    /// Checks that the caller may deploy at least one app.
    pub(crate) fn needs_deploy(&self) -> Result<(), ApiError> {
        if self.scoped.has(Right::Deploy) {
            return Ok(());
        }
        let right = Right::Deploy;
        if self.scoped.has(Right::SeeAction) {
            let detail = format!("caller needs the right {right}");
            return Err(ApiError::new(StatusCode::FORBIDDEN, detail));
        }
        let detail = format!("path not found, or the right {right} is missing");
        Err(ApiError::new(StatusCode::NOT_FOUND, detail))
    }
}

/// The app in the path, known or not.
#[derive(Debug)]
pub(crate) struct PathApp(pub(crate) String);

/// The app and the number of a version in the path, known or not.
#[derive(Debug)]
pub(crate) struct PathVersion(pub(crate) String, pub(crate) u32);

/// The app, the number of a version and a file in the path, known or not.
#[derive(Debug)]
pub(crate) struct PathFile(pub(crate) String, pub(crate) u32, pub(crate) String);

/// The digest in the path.
#[derive(Debug)]
pub(crate) struct PathDigest(pub(crate) Digest);

#[derive(Deserialize)]
struct Segments {
    app: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    path: String,
}

#[derive(Deserialize)]
struct DigestSegment {
    digest: String,
}

async fn segments<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<Segments, ApiError> {
    let path = Path::<Segments>::from_request_parts(parts, state).await;
    let missing = |_| ApiError::new(StatusCode::NOT_FOUND, "app not found: its name must be UTF-8");
    path.map(|Path(segments)| segments).map_err(missing)
}

/// Reads the number of a version. No version has another name.
fn number(app: &str, text: &str) -> Result<u32, ApiError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| {
        let detail = format!("version {text:?} of app {app:?} not found: versions have numbers");
        ApiError::new(StatusCode::NOT_FOUND, detail)
    })
}

impl<S: Send + Sync> FromRequestParts<S> for PathApp {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Ok(Self(segments(parts, state).await?.app))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathVersion {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Segments { app, version, .. } = segments(parts, state).await?;
        let number = number(&app, &version)?;
        Ok(Self(app, number))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathFile {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Segments { app, version, path } = segments(parts, state).await?;
        let number = number(&app, &version)?;
        Ok(Self(app, number, path))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathDigest {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<DigestSegment>::from_request_parts(parts, state).await;
        let text = path.map(|Path(DigestSegment { digest })| digest).unwrap_or_default();
        text.parse().map(Self).map_err(|error: tinpot_core::Error| {
            ApiError::new(StatusCode::NOT_FOUND, format!("blob not found: {}", error.message()))
        })
    }
}
