//! The manifest: the content of a bundle, and its identity.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tinpot_core::{Action, Error, ErrorKind, Result};

use crate::digest::{Digest, Hasher};
use crate::towerfile::{Runtime, Towerfile};

/// The first bytes of the hashed data, so that no other format has the same digests.
const CONTENT_FORMAT: &[u8] = b"tinpot bundle 1\n";
/// The largest manifest: 20,000 files with the longest paths stay below it.
pub const MAX_MANIFEST_BYTES: usize = 32 * 1024 * 1024;

/// A file or a symbolic link of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum BundleEntry {
    /// A file.
    File {
        /// The digest of its content.
        digest: Digest,
        /// The size of its content.
        bytes: u64,
        /// If true, its mode is 0755, otherwise 0644.
        executable: bool,
    },
    /// A symbolic link.
    Link {
        /// The target, relative to the folder of the link.
        link: String,
    },
}

/// The files and links of a bundle, by path.
pub type BundleEntries = BTreeMap<String, BundleEntry>;

/// Returns the identity of files and links: the same on every machine, whatever their times, their
/// owners and the compressor.
pub fn content_digest(entries: &BundleEntries) -> Digest {
    let mut hasher = Hasher::new();
    let mut text = |kind: u8, text: &[u8]| {
        hasher.update(&[kind]);
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text);
    };
    text(b'v', CONTENT_FORMAT);
    for (path, entry) in entries {
        text(b'p', path.as_bytes());
        match entry {
            BundleEntry::File { digest, bytes, executable } => {
                text(if *executable { b'x' } else { b'f' }, digest.as_bytes());
                text(b's', &bytes.to_le_bytes());
            }
            BundleEntry::Link { link } => text(b'l', link.as_bytes()),
        }
    }
    hasher.finish()
}

/// An archive of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// The digest of the archive. It may change with the version of the compressor.
    pub digest: Digest,
    /// The size of the archive.
    pub bytes: u64,
}

/// The description of a bundle. Its digest identifies the bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Manifest {
    /// The identity of the files: see [`content_digest`].
    pub content: Digest,
    /// The archive.
    pub artifact: Artifact,
    /// The files and links.
    pub files: BundleEntries,
    /// The normal form of the Towerfile.
    pub towerfile: Value,
    /// The JSON Schema of the inputs, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// The ability that a worker needs.
    pub runtime: Runtime,
    /// The actions of a folder of Python actions, as an import found them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actions: Option<Value>,
}

impl Manifest {
    /// Describes an archive.
    ///
    /// # Errors
    /// `Malformed` if a part is not JSON, which no Towerfile causes.
    pub fn new(towerfile: &Towerfile, files: BundleEntries, artifact: Artifact) -> Result<Self> {
        let broken = |error: serde_json::Error| malformed(&error.to_string());
        Ok(Self {
            content: content_digest(&files),
            artifact,
            files,
            towerfile: serde_json::to_value(towerfile).map_err(broken)?,
            schema: towerfile.schema().map(|schema| schema.deserialize()).transpose()?,
            runtime: towerfile.runtime(),
            actions: None,
        })
    }

    /// Adds the actions of a folder of Python actions, which an import of its files has found.
    ///
    /// # Errors
    /// `Malformed` if an action is not JSON, which none is.
    pub fn with_actions<'a>(
        mut self,
        actions: impl IntoIterator<Item = &'a Action>,
    ) -> Result<Self> {
        let actions: Vec<&Action> = actions.into_iter().collect();
        let value = serde_json::to_value(actions).map_err(|error| malformed(&error.to_string()))?;
        self.actions = Some(value);
        Ok(self)
    }

    /// Returns the canonical JSON: compact, with the keys of all objects in order.
    ///
    /// # Errors
    /// `Malformed` if a part is not JSON, which no Towerfile causes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let value = serde_json::to_value(self).map_err(|error| malformed(&error.to_string()))?;
        serde_json::to_vec(&sorted(value)).map_err(|error| malformed(&error.to_string()))
    }

    /// Returns the digest of the canonical JSON.
    ///
    /// # Errors
    /// As [`to_bytes`](Self::to_bytes).
    pub fn digest(&self) -> Result<Digest> {
        Ok(Hasher::of(&self.to_bytes()?))
    }

    /// Reads canonical JSON.
    ///
    /// # Errors
    /// `Malformed` for other bytes, and if the content is not that of the files.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            let (max, bytes) = (MAX_MANIFEST_BYTES, bytes.len());
            return Err(malformed(&format!("must have at most {max} bytes (got {bytes})")));
        }
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|error| malformed(&error.to_string()))?;
        if manifest.to_bytes()? != bytes {
            return Err(malformed("is not in canonical form"));
        }
        let content = content_digest(&manifest.files);
        if content != manifest.content {
            let stated = manifest.content;
            return Err(malformed(&format!(
                "states the content {stated}, but its files have {content}"
            )));
        }
        Ok(manifest)
    }
}

fn malformed(message: &str) -> Error {
    Error::new(ErrorKind::Malformed, format!("manifest: {message}"))
}

/// Sorts the keys of all objects, which a feature of `serde_json` can keep in another order.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let sorted: BTreeMap<String, Value> = object.into_iter().collect();
            Value::Object(Map::from_iter(
                sorted.into_iter().map(|(key, value)| (key, self::sorted(value))),
            ))
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        value => value,
    }
}
