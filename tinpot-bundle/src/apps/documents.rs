//! Records of apps.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tinpot_core::access::records::Record;
use tinpot_core::{Error, ErrorKind, Result, Timestamp};

use crate::digest::Digest;
use crate::manifest::Artifact;
use crate::towerfile::Runtime;

/// The kinds of the documents.
pub(super) const APP: &str = "app";
pub(super) const VERSION: &str = "app.version";
/// A blob that a team has uploaded.
pub(super) const BLOB: &str = "app.blob";

/// An app: a named line of versions in one team.
///
/// [`Apps`](super::Apps) has an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct App {
    /// The id of the team.
    pub team: Arc<str>,
    /// The name, unique in the team.
    pub name: Arc<str>,
    /// The description, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// If false, nothing can be submitted to it.
    pub enabled: bool,
    /// The number of the version that new submissions run; `None` before the first one is active.
    pub active: Option<u32>,
    /// The number of the latest version, which is also the count of all versions.
    pub versions: u32,
    /// The time at which it was created.
    pub created_at: Timestamp,
    /// The name of the principal who created it.
    pub created_by: Arc<str>,
    /// The time of the last change.
    pub updated_at: Timestamp,
    /// The names of the actions of all versions that were active, if one of them is a folder of Python
    /// actions. Otherwise it is the action of its name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<String>,
    /// Those of the active version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub active_actions: Vec<String>,
}

impl App {
    /// Returns the names of the actions of the active version.
    ///
    /// [`Apps`](super::Apps) has an example.
    pub fn action_names(&self) -> Vec<&str> {
        match self.active {
            None => Vec::new(),
            Some(_) if self.active_actions.is_empty() => vec![&self.name],
            Some(_) => self.active_actions.iter().map(String::as_str).collect(),
        }
    }

    /// Returns true if an action of this name belongs to the app.
    pub(super) fn has_action(&self, name: &str) -> bool {
        match self.actions.is_empty() {
            true => *self.name == *name,
            false => self.actions.iter().any(|action| action == name),
        }
    }
}

/// A version of an app. It never changes, until it is pruned.
///
/// [`Apps`](super::Apps) has an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Version {
    /// The id of the team.
    pub team: Arc<str>,
    /// The name of the app.
    pub app: Arc<str>,
    /// The number, from 1 on.
    pub number: u32,
    /// The digest of the manifest, which identifies the bundle.
    pub bundle: Digest,
    /// The archive.
    pub artifact: Artifact,
    /// The identity of the files.
    pub content: Digest,
    /// The digest of the text of the Towerfile.
    pub towerfile: Digest,
    /// The ability that a worker needs.
    pub runtime: Runtime,
    /// The time at which it was created.
    pub created_at: Timestamp,
    /// The name of the principal who created it.
    pub created_by: Arc<str>,
    /// The time at which it was pruned: its archive is gone, and it cannot run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruned_at: Option<Timestamp>,
}

pub(super) fn app_id(team: &str, name: &str) -> String {
    format!("{team}/{name}")
}

/// Returns the id of a version. The order of the ids is that of the numbers.
pub(super) fn version_id(team: &str, app: &str, number: u32) -> String {
    format!("{team}/{app}/{number:010}")
}

pub(super) fn blob_id(team: &str, digest: &Digest) -> String {
    format!("{team}/{digest}")
}

pub(crate) fn read<T: DeserializeOwned>(record: &Record) -> Result<T> {
    serde_json::from_slice(&record.document).map_err(|error| {
        let message = format!("the {} {:?} cannot be read: {error}", record.kind, record.id);
        Error::new(ErrorKind::Malformed, message)
    })
}

pub(crate) fn write<T: Serialize>(document: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(document).map_err(|error| Error::new(ErrorKind::Other, error.to_string()))
}
