//! The differences between two versions of an app.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, Write};
use std::time::{Duration, Instant};

use similar::TextDiff;
use tinpot_core::{Error, ErrorKind, Result};

use super::{Apps, Version};
use crate::archive::{self, Receiver};
use crate::manifest::{BundleEntries, BundleEntry};

/// The largest file whose text is compared.
const FILE_BYTES: u64 = 256 * 1024;
/// The size of the files of each version that are compared as text. They are held in memory.
const FILES_BYTES: u64 = 4 * 1024 * 1024;
/// The size of all differences of texts.
const TEXT_BYTES: usize = 1024 * 1024;
/// The time for the comparison of all texts; a coarser answer is quick.
const PATIENCE: Duration = Duration::from_millis(500);
/// The lines around a change.
const CONTEXT: usize = 3;

/// A file that two versions do not have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileChange {
    /// The path.
    pub path: String,
    /// The file in the former version.
    pub old: Option<BundleEntry>,
    /// The file in the latter version.
    pub new: Option<BundleEntry>,
    /// The difference of the texts.
    pub text: TextChange,
}

/// The difference of two texts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextChange {
    /// In the unified format, from the first hunk on. Empty if the contents are equal.
    Unified(String),
    /// Not compared: one side is not text.
    Binary,
    /// Not compared: there is too much of it.
    TooLarge,
    /// Not compared: the caller wants no texts, or one version was pruned.
    LeftOut,
}

impl Apps {
    /// Compares two versions of one app. Returns the files that they do not have in common, by path;
    /// with `texts`, also the differences of those that are text and have at most 256 KiB.
    ///
    /// # Errors
    /// Those of [`manifest`](Self::manifest) and of the blobs.
    pub async fn diff(&self, old: &Version, new: &Version, texts: bool) -> Result<Vec<FileChange>> {
        let (before, after) = (self.manifest(old).await?, self.manifest(new).await?);
        let mut changes = changes(&before.files, &after.files);
        if !texts || old.pruned_at.is_some() || new.pruned_at.is_some() {
            return Ok(changes);
        }
        let before = self.texts(old, wanted(&changes, |change| change.old.as_ref())).await?;
        let after = self.texts(new, wanted(&changes, |change| change.new.as_ref())).await?;
        let compared = tokio::task::spawn_blocking(move || {
            compare(&mut changes, &before, &after);
            changes
        });
        compared.await.map_err(|_| Error::new(ErrorKind::Closed, "the comparison was interrupted"))
    }

    /// Reads files of a version, all at once.
    async fn texts(
        &self,
        version: &Version,
        wanted: HashSet<String>,
    ) -> Result<BTreeMap<String, Vec<u8>>> {
        if wanted.is_empty() {
            return Ok(BTreeMap::new());
        }
        let limits = self.limits.clone();
        self.read_archive(&version.artifact.digest, move |reader| {
            let mut kept = Kept { wanted, found: BTreeMap::new() };
            archive::read(reader, &limits, &mut kept)?;
            Ok(kept.found)
        })
        .await
    }
}

/// Returns the files that differ, with texts left out.
fn changes(before: &BundleEntries, after: &BundleEntries) -> Vec<FileChange> {
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let change = |path: &String| {
        let (old, new) = (before.get(path).cloned(), after.get(path).cloned());
        (old != new).then(|| FileChange { path: path.clone(), old, new, text: TextChange::LeftOut })
    };
    paths.into_iter().filter_map(change).collect()
}

/// Returns true if the content of a file can be compared: it is small enough, or there is none.
fn is_small(entry: Option<&BundleEntry>) -> bool {
    match entry {
        Some(BundleEntry::File { bytes, .. }) => *bytes <= FILE_BYTES,
        _ => true,
    }
}

/// Returns the paths of the files of one side whose contents are compared, as far as they are not
/// too large together.
fn wanted(
    changes: &[FileChange],
    side: impl Fn(&FileChange) -> Option<&BundleEntry>,
) -> HashSet<String> {
    let mut left = FILES_BYTES;
    let mut wanted = HashSet::new();
    for change in changes {
        if !is_small(change.old.as_ref()) || !is_small(change.new.as_ref()) {
            continue;
        }
        if let Some(BundleEntry::File { bytes, .. }) = side(change)
            && *bytes <= left
        {
            left -= bytes;
            wanted.insert(change.path.clone());
        }
    }
    wanted
}

fn compare(
    changes: &mut [FileChange],
    before: &BTreeMap<String, Vec<u8>>,
    after: &BTreeMap<String, Vec<u8>>,
) {
    let deadline = Instant::now() + PATIENCE;
    let mut left = TEXT_BYTES;
    for change in changes {
        let old = text(&change.path, change.old.as_ref(), before);
        let new = text(&change.path, change.new.as_ref(), after);
        change.text = match (old, new) {
            (Err(why), _) | (_, Err(why)) => why,
            (Ok(old), Ok(new)) => {
                let unified = unified(old, new, deadline);
                match left.checked_sub(unified.len()) {
                    Some(rest) => {
                        left = rest;
                        TextChange::Unified(unified)
                    }
                    None => TextChange::TooLarge,
                }
            }
        };
    }
}

/// Returns the text of one side; that of a file that is not there, and of a link, is empty.
fn text<'a>(
    path: &str,
    entry: Option<&BundleEntry>,
    contents: &'a BTreeMap<String, Vec<u8>>,
) -> std::result::Result<&'a str, TextChange> {
    let Some(BundleEntry::File { .. }) = entry else { return Ok("") };
    let Some(content) = contents.get(path) else { return Err(TextChange::TooLarge) };
    match std::str::from_utf8(content) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(TextChange::Binary),
    }
}

fn unified(old: &str, new: &str, deadline: Instant) -> String {
    let diff = TextDiff::configure().deadline(deadline).diff_lines(old, new);
    diff.unified_diff().context_radius(CONTEXT).to_string()
}

/// Keeps some files.
struct Kept {
    wanted: HashSet<String>,
    found: BTreeMap<String, Vec<u8>>,
}

impl Receiver for Kept {
    fn folder(&mut self, _path: &str) -> io::Result<()> {
        Ok(())
    }

    fn file(&mut self, path: &str, _executable: bool) -> io::Result<Box<dyn Write + '_>> {
        if !self.wanted.contains(path) {
            return Ok(Box::new(io::sink()));
        }
        Ok(Box::new(self.found.entry(path.to_owned()).or_default()))
    }

    fn link(&mut self, _path: &str, _target: &str) -> io::Result<()> {
        Ok(())
    }
}
