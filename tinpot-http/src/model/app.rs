//! Apps and versions as JSON.

use serde::Serialize;
use serde_json::value::RawValue;
use tinpot_bundle::{App, BundleEntries, BundleEntry, FileChange, Manifest, TextChange, Version};
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
    /// The names of the actions of the active version: several for a folder of Python actions.
    actions: Vec<String>,
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
            actions: app.action_names().into_iter().map(str::to_owned).collect(),
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

/// The differences between two versions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VersionDiff)]
pub(crate) struct VersionDiffJson {
    /// The number of the former version.
    pub(crate) from: u32,
    /// The number of the latter version.
    pub(crate) to: u32,
    /// The files that they do not have in common, by path.
    pub(crate) files: Vec<FileChangeJson>,
}

/// A file that two versions do not have in common.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FileChange)]
pub(crate) struct FileChangeJson {
    path: String,
    change: ChangeKind,
    /// The file in the former version; null if it was added.
    old: Option<FileJson>,
    /// The file in the latter version; null if it was removed.
    new: Option<FileJson>,
    /// The difference of the texts in the unified format, from the first hunk on; null if they are not
    /// compared.
    text: Option<String>,
    /// The reason why the texts are not compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    no_text: Option<NoText>,
}

/// The kind of a change of a file.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChangeKind {
    Added,
    Removed,
    Changed,
}

/// The reason why texts are not compared.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NoText {
    /// One of them is not text.
    Binary,
    /// The file, or all files together, have too much of it.
    TooLarge,
    /// The caller may not deploy the app, and so not see its files; or one version was pruned.
    Hidden,
}

impl FileChangeJson {
    pub(crate) fn of(change: FileChange) -> Self {
        let FileChange { path, old, new, text, .. } = change;
        let kind = match (&old, &new) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Removed,
            _ => ChangeKind::Changed,
        };
        let (text, no_text) = match text {
            TextChange::Unified(text) => (Some(text), None),
            TextChange::Binary => (None, Some(NoText::Binary)),
            TextChange::TooLarge => (None, Some(NoText::TooLarge)),
            _ => (None, Some(NoText::Hidden)),
        };
        let side = |entry: Option<BundleEntry>| Some(file(&path, &entry?));
        let (old, new) = (side(old), side(new));
        Self { change: kind, old, new, text, no_text, path }
    }
}

fn files(entries: &BundleEntries) -> Vec<FileJson> {
    entries.iter().map(|(path, entry)| file(path, entry)).collect()
}

fn file(path: &str, entry: &BundleEntry) -> FileJson {
    let path = path.to_owned();
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
}
