//! Apps and versions as JSON.

use serde::Serialize;
use serde_json::value::RawValue;
use tinpot_bundle::{App, BundleEntries, BundleEntry, Manifest, Version};
use utoipa::ToSchema;

use super::Time;
use crate::openapi::scalars;

/// An app: a named line of versions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = App)]
pub(crate) struct AppJson {
    name: String,
    description: String,
    /// If false, nothing can be submitted to it.
    enabled: bool,
    /// The version that new submissions run; null before the first deploy.
    active_version: Option<u32>,
    /// The number of the latest version; 0 without any.
    latest_version: u32,
    created_at: Time,
    /// The name of the user or program that created it.
    created_by: String,
    /// The time of the last change.
    updated_at: Time,
}

/// The apps that the caller may see, by name.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Apps)]
pub(crate) struct AppsJson {
    pub(crate) apps: Vec<AppJson>,
}

/// An archive.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BundleArchive)]
pub(crate) struct ArchiveJson {
    digest: String,
    bytes: u64,
}

/// A version of an app.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AppVersion)]
pub(crate) struct VersionJson {
    app: String,
    /// The number, from 1 on.
    version: u32,
    /// If true, new submissions run it.
    active: bool,
    /// The digest of the manifest, which identifies the bundle.
    bundle: String,
    /// The identity of the files.
    content: String,
    archive: ArchiveJson,
    /// The ability that a worker needs: `script`, `process` or `python`.
    runtime: &'static str,
    created_at: Time,
    /// The name of the user or program that created it.
    created_by: String,
    /// The time at which it was pruned: it cannot run, and its archive is gone. Null until then.
    pruned_at: Option<Time>,
    /// The text of the Towerfile; in the answer about one version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    towerfile: Option<String>,
    /// The JSON Schema of the inputs, if it declares some; in the answer about one version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<scalars::Json>, nullable = false)]
    schema: Option<Box<RawValue>>,
    /// The files; in the answer about one version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    files: Option<Vec<FileJson>>,
}

/// Versions, the newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AppVersions)]
pub(crate) struct VersionsJson {
    pub(crate) versions: Vec<VersionJson>,
    /// The value of `before` for the next page; null after the last one.
    pub(crate) next: Option<u32>,
}

/// A file or a link of a version.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BundleFile)]
pub(crate) struct FileJson {
    path: String,
    /// The digest of the content of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    digest: Option<String>,
    /// The size of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    bytes: Option<u64>,
    /// If true, the file can be executed.
    executable: bool,
    /// The target of a link.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    link: Option<String>,
}

impl AppJson {
    pub(crate) fn of(app: &App) -> Self {
        Self {
            name: app.name.to_string(),
            description: app.description.clone(),
            enabled: app.enabled,
            active_version: app.active,
            latest_version: app.versions,
            created_at: Time(app.created_at),
            created_by: app.created_by.to_string(),
            updated_at: Time(app.updated_at),
        }
    }
}

impl VersionJson {
    pub(crate) fn of(version: &Version, active: Option<u32>) -> Self {
        Self {
            app: version.app.to_string(),
            version: version.number,
            active: active == Some(version.number),
            bundle: version.bundle.to_string(),
            content: version.content.to_string(),
            archive: ArchiveJson {
                digest: version.artifact.digest.to_string(),
                bytes: version.artifact.bytes,
            },
            runtime: version.runtime.as_str(),
            created_at: Time(version.created_at),
            created_by: version.created_by.to_string(),
            pruned_at: version.pruned_at.map(Time),
            towerfile: None,
            schema: None,
            files: None,
        }
    }

    /// Adds what only the answer about one version has.
    pub(crate) fn with_content(self, towerfile: String, manifest: &Manifest) -> Self {
        let schema = manifest.schema.as_ref();
        let schema = schema.and_then(|schema| serde_json::value::to_raw_value(schema).ok());
        Self { towerfile: Some(towerfile), schema, files: Some(files(&manifest.files)), ..self }
    }
}

fn files(entries: &BundleEntries) -> Vec<FileJson> {
    let file = |(path, entry): (&String, &BundleEntry)| {
        let path = path.clone();
        match entry {
            BundleEntry::File { digest, bytes, executable } => FileJson {
                path,
                digest: Some(digest.to_string()),
                bytes: Some(*bytes),
                executable: *executable,
                link: None,
            },
            BundleEntry::Link { link } => FileJson {
                path,
                digest: None,
                bytes: None,
                executable: false,
                link: Some(link.clone()),
            },
        }
    };
    entries.iter().map(file).collect()
}
