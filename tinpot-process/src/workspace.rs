//! The folders of one attempt: a copy of the app's files, and the files by which it talks to the
//! executor.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tinpot_bundle::{PackEntry, PackOptions, Towerfile, list, worker};
use tinpot_core::{Error, ErrorKind, Result};

/// The folders of one attempt. They are removed with this value.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: TempDir,
    /// The paths of the copied files.
    pub(crate) files: Vec<String>,
}

impl Workspace {
    /// Copies the files of an app that its Towerfile selects. Blocks the thread.
    pub(crate) fn of_folder(parent: &Path, folder: &Path, towerfile: &Towerfile) -> Result<Self> {
        let entries = list(folder, towerfile, &PackOptions::default())?;
        Self::copy(parent, folder, &entries)
    }

    /// Copies all files of a folder that was unpacked. Blocks the thread.
    pub(crate) fn of_tree(parent: &Path, tree: &Path) -> Result<Self> {
        Self::copy(parent, tree, &worker::entries(tree)?)
    }

    fn copy(parent: &Path, folder: &Path, entries: &[PackEntry]) -> Result<Self> {
        let create = || {
            let root = tempfile::Builder::new().prefix("tinpot-run-").tempdir_in(parent)?;
            for name in ["work", "artifacts"] {
                DirBuilder::new().mode(0o700).create(root.path().join(name))?;
            }
            Ok(root)
        };
        let root: TempDir =
            create().map_err(|error| failed("create a folder in", parent, &error))?;
        let files = entries.iter().map(|entry| entry.path().to_owned()).collect();
        let this = Self { root, files };
        worker::copy(folder, entries, &this.work())?;
        Ok(this)
    }

    /// Returns the folder of everything, to remove it.
    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    /// Returns the folder with the copy, in which the program runs.
    pub(crate) fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// Returns the file with the inputs.
    pub(crate) fn input(&self) -> PathBuf {
        self.root.path().join("input.json")
    }

    /// Returns the file to which the program may write its result.
    pub(crate) fn result(&self) -> PathBuf {
        self.root.path().join("result.json")
    }

    /// Returns the file to which the program may write its summary.
    pub(crate) fn summary(&self) -> PathBuf {
        self.root.path().join("summary.md")
    }

    /// Returns the folder of files to keep.
    pub(crate) fn artifacts(&self) -> PathBuf {
        self.root.path().join("artifacts")
    }

    /// Removes the folders. Blocks the thread.
    pub(crate) fn remove(self) {
        let path = self.root.keep();
        if fs::remove_dir_all(&path).is_ok() {
            return;
        }
        // The program may have taken away the right to write to a folder.
        open_folders(&path);
        if let Err(error) = fs::remove_dir_all(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "cannot remove {}", path.display());
        }
    }
}

fn open_folders(folder: &Path) {
    let _ = fs::set_permissions(folder, Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_folders(&entry.path());
        }
    }
}

pub(crate) fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::StorageFull,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("cannot {what} {}: {error}", path.display()))
}
