//! `/api/apps/{app}/versions`: the versions of an app, and deploys.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tinpot_bundle::{Deploy, DeployOptions, Deployment, Digest, MAX_VERSIONS, Version};
use tinpot_core::ErrorKind;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::extract::apps::{AppsRequest, PathApp, PathFile, PathVersion};
use crate::model::app::{FileChangeJson, VersionDiffJson, VersionJson, VersionsJson};
use crate::model::json_response;
use crate::params::Params;
use crate::router::App;
use crate::submission::json_body;

/// The default page size of versions.
const PAGE: usize = 50;
/// The largest file that is shown: larger ones are in the archive.
const FILE_BYTES: u64 = 256 * 1024;

/// A bundle that is to become a version: with its manifest, or as an archive that the server
/// describes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Deploy)]
pub(crate) struct DeployBody {
    /// The identity of the files, as the manifest states it. Without a manifest it may be left out;
    /// with it, the server needs the archive only if no version has this content.
    #[serde(default)]
    #[schema(value_type = Option<String>, required = false)]
    content: Option<Digest>,
    /// The digest of the manifest. Without it, the server makes one of the archive.
    #[serde(default)]
    #[schema(value_type = Option<String>, required = false)]
    manifest: Option<Digest>,
    /// The digest of the archive. With it, the first answer names all blobs that are missing.
    #[serde(default)]
    #[schema(value_type = Option<String>, required = false)]
    archive: Option<Digest>,
    /// If false, the version does not become the active one. The default is true.
    #[serde(default)]
    #[schema(required = false)]
    activate: Option<bool>,
    /// If true, an app that does not exist is created with its first version. The default is false.
    #[serde(default)]
    #[schema(required = false)]
    create: Option<bool>,
}

/// The outcome of a deploy.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeployResult {
    /// There is a new version.
    Created,
    /// An earlier version with this content is active now.
    Activated,
    /// A version with this content is there already, and active unless the deploy asked otherwise.
    Unchanged,
    /// Nothing: upload the missing blobs and deploy again.
    Missing,
}

/// The answer to a deploy.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Deployment)]
pub(crate) struct DeployAnswer {
    result: DeployResult,
    /// The version; null if blobs are missing.
    version: Option<VersionJson>,
    /// The digests of the blobs that the team has not uploaded.
    missing: Vec<String>,
    /// If false, the app is disabled.
    enabled: bool,
    /// If true, the app was created with this version.
    app_created: bool,
}

/// Lists the versions of an app, the newest first.
#[utoipa::path(
    get,
    path = "/api/apps/{app}/versions",
    tag = "versions",
    params(
        ("app" = String, Path, description = "the name of an app"),
        ("before" = Option<u32>, Query, description = "the number that all versions are below; `next` of the page before"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "the page size, 50 by default"),
    ),
    responses((status = 200, description = "the versions", body = VersionsJson)),
)]
pub(crate) async fn list(
    uri: Uri,
    asked: AppsRequest,
    PathApp(name): PathApp,
) -> Result<Response, ApiError> {
    asked.scoped.may_see_app(&name)?;
    let params = Params::of(&uri, &["before", "limit"])?;
    let before = params.read("before", "the number of a version", |text| text.parse().ok())?;
    let limit = params.limit(MAX_VERSIONS)?.unwrap_or(PAGE);
    let active = asked.apps.app(asked.team(), &name).await?.active;
    let versions = asked.apps.versions(asked.team(), &name, before, limit).await?;
    let next = versions.last().map(|oldest| oldest.number).filter(|oldest| *oldest > 1);
    let versions = versions.iter().map(|version| VersionJson::of(version, active)).collect();
    Ok(json_response(StatusCode::OK, &VersionsJson { versions, next }))
}

/// Deploys a bundle: a new version, unless there is one with the same content.
///
/// Ask first and upload then: the answer names the blobs that the server needs.
#[utoipa::path(
    post,
    path = "/api/apps/{app}/versions",
    tag = "versions",
    params(("app" = String, Path, description = "the name of an app")),
    request_body = DeployBody,
    responses(
        (status = 200, description = "no new version", body = DeployAnswer),
        (status = 201, description = "a new version", body = DeployAnswer),
    ),
)]
pub(crate) async fn deploy(
    State(app): State<Arc<App>>,
    asked: AppsRequest,
    PathApp(name): PathApp,
    request: Request,
) -> Result<Response, ApiError> {
    asked.scoped.may_deploy(&name)?;
    let known = asked.apps.app(asked.team(), &name).await;
    let DeployBody { content, manifest, archive, activate, create } =
        json_body(request, &app).await?;
    let options = DeployOptions::default()
        .activate(activate.unwrap_or(true))
        .create(create.unwrap_or_default());
    let is_new = match known {
        Err(error) if error.kind() == ErrorKind::NotFound && options.create => true,
        known => known.map(|_| false)?,
    };
    let may = |action: &tinpot_core::Action| asked.scoped.may_deploy_action(&name, action);
    let (apps, by, team) = (&asked.apps, &asked.by(), asked.team());
    let deployed = match (content, manifest, archive) {
        (Some(content), Some(manifest), archive) => {
            let mut deploy = Deploy::of(content, manifest).options(options);
            deploy.artifact = archive;
            apps.deploy(by, team, &name, &deploy, &may).await?
        }
        (content, None, Some(archive)) => {
            let content = content.as_ref();
            apps.deploy_archive(by, team, &name, &archive, content, options, &may).await?
        }
        _ => {
            let detail = "body must have content and manifest, or archive";
            return Err(ApiError::unprocessable(detail));
        }
    };
    let (status, result, version, missing) = match deployed {
        Deployment::Created(version) => {
            (StatusCode::CREATED, DeployResult::Created, Some(version), Vec::new())
        }
        Deployment::Activated(version) => {
            (StatusCode::OK, DeployResult::Activated, Some(version), Vec::new())
        }
        Deployment::Unchanged(version) => {
            (StatusCode::OK, DeployResult::Unchanged, Some(version), Vec::new())
        }
        Deployment::Missing(missing) => (StatusCode::OK, DeployResult::Missing, None, missing),
        _ => return Err(ApiError::unavailable("deploy has an unknown outcome")),
    };
    // Until it has a version, there is no app.
    let (active, enabled) = match version.is_none() && is_new {
        true => (None, true),
        false => {
            let app = asked.apps.app(asked.team(), &name).await?;
            (app.active, app.enabled)
        }
    };
    let app_created = is_new && version.is_some();
    let version = version.as_ref().map(|version| VersionJson::of(version, active));
    let missing = missing.iter().map(ToString::to_string).collect();
    let answer = DeployAnswer { result, version, missing, enabled, app_created };
    Ok(json_response(status, &answer))
}

/// Returns a version, with its Towerfile and its list of files.
#[utoipa::path(
    get,
    path = "/api/apps/{app}/versions/{version}",
    tag = "versions",
    params(
        ("app" = String, Path, description = "the name of an app"),
        ("version" = u32, Path, description = "the number of a version"),
    ),
    responses((status = 200, description = "the version", body = VersionJson)),
)]
pub(crate) async fn show(
    asked: AppsRequest,
    PathVersion(name, number): PathVersion,
) -> Result<Response, ApiError> {
    asked.scoped.may_see_app(&name)?;
    let (version, active) = asked.version(&name, number).await?;
    let manifest = asked.apps.manifest(&version).await?;
    let towerfile = asked.apps.towerfile_text(&version).await?;
    let version = VersionJson::of(&version, active).with_content(towerfile, &manifest);
    Ok(json_response(StatusCode::OK, &version))
}

/// Compares a version with another one of the app.
///
/// Files of at most 256 KiB are compared line by line, for callers who may deploy the app.
#[utoipa::path(
    get,
    path = "/api/apps/{app}/versions/{version}/diff",
    tag = "versions",
    params(
        ("app" = String, Path, description = "the name of an app"),
        ("version" = u32, Path, description = "the number of the latter version"),
        ("from" = u32, Query, description = "the number of the former version"),
    ),
    responses((status = 200, description = "the differences", body = VersionDiffJson)),
)]
pub(crate) async fn diff(
    uri: Uri,
    asked: AppsRequest,
    PathVersion(name, number): PathVersion,
) -> Result<Response, ApiError> {
    asked.scoped.may_see_app(&name)?;
    let params = Params::of(&uri, &["from"])?;
    let from = params.read("from", "the number of a version", |text| text.parse().ok())?;
    let from = from
        .ok_or_else(|| ApiError::unprocessable("parameter from must be the number of a version"))?;
    let (new, _) = asked.version(&name, number).await?;
    let (old, _) = asked.version(&name, from).await?;
    let changes = asked.apps.diff(&old, &new, asked.scoped.deploys_app(&name)).await?;
    let files = changes.into_iter().map(FileChangeJson::of).collect();
    Ok(json_response(StatusCode::OK, &VersionDiffJson { from, to: number, files }))
}

/// Downloads one file of a version, of at most 256 KiB. Larger ones are in the archive, which is a
/// blob.
#[utoipa::path(
    get,
    path = "/api/apps/{app}/versions/{version}/files/{*path}",
    tag = "versions",
    params(
        ("app" = String, Path, description = "the name of an app"),
        ("version" = u32, Path, description = "the number of a version"),
        ("path" = String, Path, description = "the path of a file, with slashes"),
    ),
    responses((status = 200, description = "its bytes", body = Vec<u8>, content_type = "application/octet-stream")),
)]
pub(crate) async fn file(
    asked: AppsRequest,
    PathFile(name, number, path): PathFile,
) -> Result<Response, ApiError> {
    asked.scoped.may_deploy(&name)?;
    let (version, _) = asked.version(&name, number).await?;
    let bytes = asked.apps.file(&version, &path, FILE_BYTES).await?;
    // Never shown as a page of this server, whatever it is.
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment")),
    ];
    Ok((headers, bytes).into_response())
}

impl AppsRequest {
    /// Returns a version, and the number of the active one.
    async fn version(&self, name: &str, number: u32) -> Result<(Version, Option<u32>), ApiError> {
        let active = self.apps.app(self.team(), name).await?.active;
        Ok((self.apps.version(self.team(), name, number).await?, active))
    }
}
