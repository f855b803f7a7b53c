//! Versions of apps.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;
use tinpot_bundle::{MAX_VERSIONS, Towerfile, Version};
use tinpot_core::{Error, ErrorKind, Result};

use crate::caller::Member;
use crate::tower::Tower;
use crate::wire::error::ApiError;
use crate::wire::json;
use crate::wire::times::Time;

/// The versions of an app that have ids of their own.
const VERSIONS: u64 = 1 << 20;

#[derive(Serialize)]
pub(crate) struct VersionJson {
    version_id: u64,
    version_no: u32,
    entrypoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    params_schema: Option<Box<RawValue>>,
    artifact_sha256: String,
    towerfile_toml: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    import_paths: Vec<String>,
    created_at: Time,
}

#[derive(Serialize)]
struct VersionsJson {
    versions: Vec<VersionJson>,
}

/// Returns the program that a version runs, as it is written.
pub(crate) fn entrypoint(towerfile: &Towerfile) -> String {
    let script = towerfile.script.clone();
    script.or_else(|| towerfile.tinpot.exec.first().cloned()).unwrap_or_default()
}

impl Tower {
    pub(crate) async fn version_json(&self, app_id: u64, version: &Version) -> Result<VersionJson> {
        let text = self.apps.towerfile_text(version).await?;
        let towerfile = Towerfile::parse(&text)?;
        let sorted = |schema: &tinpot_core::Json| json::sorted(schema.as_str());
        let schema = towerfile.schema().map(sorted).transpose().map_err(|error| {
            Error::new(ErrorKind::Malformed, format!("the schema of a version: {error}"))
        })?;
        Ok(VersionJson {
            version_id: app_id * VERSIONS + u64::from(version.number),
            version_no: version.number,
            entrypoint: entrypoint(&towerfile),
            timeout_seconds: towerfile.timeout.map(|timeout| timeout.as_secs()),
            params_schema: schema,
            artifact_sha256: version.artifact.digest.to_string(),
            towerfile_toml: text,
            import_paths: towerfile.import_paths,
            created_at: Time(version.created_at),
        })
    }
}

pub(crate) async fn list(
    tower: &Arc<Tower>,
    member: &Member,
    slug: &str,
) -> std::result::Result<Response, ApiError> {
    let app = tower.app(member, slug).await?;
    let app_id = tower.app_id(&app.team, &app.name).await?;
    let (mut versions, mut before) = (Vec::new(), None);
    loop {
        let page = tower.apps.versions(&app.team, &app.name, before, MAX_VERSIONS).await?;
        let Some(oldest) = page.last() else { break };
        before = Some(oldest.number);
        for version in &page {
            versions.push(tower.version_json(app_id, version).await?);
        }
    }
    Ok(json::answer(StatusCode::OK, &VersionsJson { versions }))
}
