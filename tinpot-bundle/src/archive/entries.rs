//! The entries of an archive, which must form a tree without contradictions.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use tinpot_core::Result;

use crate::limits::{Limits, refused};
use crate::manifest::{BundleEntries, BundleEntry};

pub(super) struct Entries<'a> {
    limits: &'a Limits,
    count: usize,
    files: BundleEntries,
    folders: BTreeSet<String>,
}

impl<'a> Entries<'a> {
    pub(super) fn new(limits: &'a Limits) -> Self {
        Self { limits, count: 0, files: BTreeMap::new(), folders: BTreeSet::new() }
    }

    /// Counts an entry or an extended header.
    pub(super) fn count(&mut self) -> Result<()> {
        self.count += 1;
        // Each entry may have an extended header of its own.
        if self.count > 2 * self.limits.entries {
            return Err(self.too_many());
        }
        Ok(())
    }

    fn too_many(&self) -> tinpot_core::Error {
        refused(format!("there must be at most {} entries", self.limits.entries))
    }

    /// Checks that a file or link may have this path.
    pub(super) fn check(&self, path: &str) -> Result<()> {
        if self.files.contains_key(path) || self.folders.contains(path) {
            return Err(refused(format!("the path {path:?} must be unique (it is repeated)")));
        }
        // No path below another one comes before those with this prefix.
        let below = format!("{path}/");
        let from = (Bound::Included(below.as_str()), Bound::Unbounded);
        let file = self.files.range::<str, _>(from).next().map(|(path, _)| path);
        let folder = self.folders.range::<str, _>(from).next();
        if file.into_iter().chain(folder).any(|other| other.starts_with(&below)) {
            return Err(refused(format!("{path:?} must not be both a file or link and a folder")));
        }
        self.check_parents(path)
    }

    fn check_parents(&self, path: &str) -> Result<()> {
        for (at, _) in path.match_indices('/') {
            let parent = &path[..at];
            match self.files.get(parent) {
                None => {}
                Some(BundleEntry::Link { .. }) => {
                    return Err(refused(format!("{path:?} must not be below the link {parent:?}")));
                }
                Some(BundleEntry::File { .. }) => {
                    return Err(refused(format!("{path:?} must not be below the file {parent:?}")));
                }
            }
        }
        Ok(())
    }

    pub(super) fn folder(&mut self, path: &str) -> Result<()> {
        if self.files.contains_key(path) || !self.folders.insert(path.to_owned()) {
            return Err(refused(format!("the path {path:?} must be unique (it is repeated)")));
        }
        self.check_parents(path)?;
        self.check_count()
    }

    pub(super) fn add(&mut self, path: String, entry: BundleEntry) -> Result<()> {
        if path.is_empty() {
            return Err(refused("the path of a link must not be empty"));
        }
        self.check(&path)?;
        self.files.insert(path, entry);
        self.check_count()
    }

    fn check_count(&self) -> Result<()> {
        if self.files.len() + self.folders.len() > self.limits.entries {
            return Err(self.too_many());
        }
        Ok(())
    }

    pub(super) fn into_files(self) -> BundleEntries {
        self.files
    }
}
