//! `/api/bundles/files`: which files of a folder a bundle has, for clients that pack it themselves.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tinpot_bundle::{TOWERFILE, Towerfile, actions_towerfile, may_have_actions, select};
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use super::blobs::UPLOADS;
use crate::error::ApiError;
use crate::extract::apps::AppsRequest;
use crate::model::json_response;
use crate::router::App;
use crate::submission::json_body_within;

/// The largest body: the paths of the largest bundle, and of what it leaves out.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
/// The most files that a folder may have.
const MAX_PATHS: usize = 100_000;

/// The files of a folder with a Towerfile, or of one with Python actions.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BundleFolder)]
pub(crate) struct Folder {
    /// The text of the Towerfile. Without one, the folder is one of Python actions.
    #[serde(default)]
    #[schema(required = false)]
    towerfile: Option<String>,
    /// The name of the app, for a folder without a Towerfile.
    #[serde(default)]
    #[schema(required = false)]
    app: Option<String>,
    /// The text of `.tinpotignore`, if there is one.
    #[serde(default)]
    #[schema(required = false)]
    ignore: String,
    /// The paths of all files, from the folder.
    paths: Vec<String>,
}

/// The files that are packed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PackedFiles {
    /// The name of the app.
    app: String,
    /// The files, in the order of the archive.
    files: Vec<PackedFile>,
    /// The text of the Towerfile to pack, for a folder that has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    towerfile: Option<String>,
    /// Warnings about the Towerfile, which is valid.
    warnings: Vec<String>,
    /// The most bytes that the archive may have.
    max_archive_bytes: u64,
    /// The most bytes that the files may have together.
    max_bytes: u64,
}

/// A file that is packed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PackedFile {
    path: String,
    /// If true, the app executes it, so that it must be executable.
    executable: bool,
}

/// Selects the files of a folder that its bundle has.
#[utoipa::path(
    post,
    path = "/api/bundles/files",
    tag = "versions",
    request_body = Folder,
    responses((status = 200, description = "the files", body = PackedFiles)),
)]
pub(crate) async fn files(
    State(app): State<Arc<App>>,
    asked: AppsRequest,
    request: Request,
) -> Result<Response, ApiError> {
    asked.needs_deploy()?;
    let Ok(_upload) = app.uploads.try_acquire() else {
        let detail = format!("too many uploads: the server takes {UPLOADS} at one time");
        return Err(ApiError::unavailable(detail));
    };
    let folder: Folder = json_body_within(request, &app, MAX_BODY_BYTES).await?;
    let limits = asked.apps.bundle_limits().clone();
    let selected = spawn_blocking(move || {
        let Folder { towerfile, app, ignore, mut paths } = folder;
        if paths.len() > MAX_PATHS {
            let got = paths.len();
            return Err(ApiError::unprocessable(format!(
                "paths must be at most {MAX_PATHS} (got {got}): pack the folder with `tinpot deploy`"
            )));
        }
        let written = match &towerfile {
            Some(_) if app.is_some() => {
                let detail = "app does not go with a Towerfile: its app.name counts";
                return Err(ApiError::unprocessable(detail));
            }
            Some(_) => None,
            None => Some(of_actions(app.as_deref(), &mut paths)?),
        };
        let text = towerfile.as_ref().or(written.as_ref()).map_or("", String::as_str);
        let towerfile = Towerfile::parse(text)?;
        let program = towerfile.program_path();
        let files = select(&towerfile, &ignore, &paths, &limits)?
            .into_iter()
            .map(|path| PackedFile { executable: program.as_ref() == Some(&path), path });
        Ok(PackedFiles {
            files: files.collect(),
            app: towerfile.name,
            towerfile: written,
            warnings: towerfile.warnings,
            max_archive_bytes: limits.packed_bytes,
            max_bytes: limits.unpacked_bytes,
        })
    });
    let selected = selected.await.map_err(|_| ApiError::unavailable("the server is stopping"))?;
    Ok(json_response(StatusCode::OK, &selected?))
}

/// Returns the Towerfile of a folder of Python actions that has none, and adds it to its files.
fn of_actions(app: Option<&str>, paths: &mut Vec<String>) -> Result<String, ApiError> {
    if paths.iter().any(|path| path == TOWERFILE) {
        let detail = "towerfile must be the text of the Towerfile in the folder";
        return Err(ApiError::unprocessable(detail));
    }
    if !paths.iter().any(|path| may_have_actions(path)) {
        let detail =
            "there is no Towerfile and no Python file in the folder: it must have one of them";
        return Err(ApiError::unprocessable(detail));
    }
    let app = app.ok_or_else(|| {
        ApiError::unprocessable("app must be the name of the app, for a folder without a Towerfile")
    })?;
    let towerfile = actions_towerfile(app)?;
    paths.push(TOWERFILE.to_owned());
    Ok(towerfile)
}
