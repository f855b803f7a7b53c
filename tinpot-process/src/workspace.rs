//! The folders of one attempt: a copy of the app's files, and the files by which it talks to the
//! executor.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tinpot_bundle::{
    BundleEntries, BundleEntry, Digest, Hasher, PackEntry, PackOptions, Towerfile, content_digest,
    list,
};
use tinpot_core::{Error, ErrorKind, Result};

/// The size of the pieces in which files are read.
const PIECE: usize = 64 * 1024;

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
        let mut entries = Vec::new();
        walk(tree, "", &mut entries).map_err(|error| failed("read", tree, &error))?;
        Self::copy(parent, tree, &entries)
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
        let work = this.work();
        let is_link = |entry: &&PackEntry| matches!(entry, PackEntry::Link { .. });
        // Links last: no file is written through one.
        let (links, files): (Vec<_>, Vec<_>) = entries.iter().partition(is_link);
        for entry in files.into_iter().chain(links) {
            let to = work.join(entry.path());
            copy_entry(entry, folder, &to).map_err(|error| failed("copy", &to, &error))?;
        }
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

fn copy_entry(entry: &PackEntry, folder: &Path, to: &Path) -> io::Result<()> {
    if let Some(parent) = to.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
    }
    match entry {
        PackEntry::File { path, executable, .. } => {
            fs::copy(folder.join(path), to)?;
            let mode = if *executable { 0o755 } else { 0o644 };
            fs::set_permissions(to, Permissions::from_mode(mode))
        }
        PackEntry::Link { target, .. } => symlink(target, to),
        _ => Ok(()),
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

/// Lists the files and links below a folder.
fn walk(root: &Path, inside: &str, found: &mut Vec<PackEntry>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(inside))? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| io::Error::other("a name is not UTF-8"))?;
        let path = if inside.is_empty() { name.to_owned() } else { format!("{inside}/{name}") };
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            walk(root, &path, found)?;
        } else if metadata.is_symlink() {
            let target = fs::read_link(entry.path())?;
            let target = target.to_string_lossy().into_owned();
            found.push(PackEntry::Link { path, target });
        } else {
            let executable = metadata.permissions().mode() & 0o100 != 0;
            found.push(PackEntry::File { path, bytes: metadata.len(), executable });
        }
    }
    Ok(())
}

/// Returns the identity of the files below a folder. Blocks the thread.
pub(crate) fn content(tree: &Path) -> io::Result<Digest> {
    let (mut found, mut entries) = (Vec::new(), BundleEntries::new());
    walk(tree, "", &mut found)?;
    let mut buffer = vec![0; PIECE];
    for entry in found {
        let (path, entry) = match entry {
            PackEntry::File { path, bytes, executable } => {
                let (mut file, mut hasher) = (fs::File::open(tree.join(&path))?, Hasher::new());
                loop {
                    match file.read(&mut buffer)? {
                        0 => break,
                        read => hasher.update(&buffer[..read]),
                    }
                }
                (path, BundleEntry::File { digest: hasher.finish(), bytes, executable })
            }
            PackEntry::Link { path, target } => (path, BundleEntry::Link { link: target }),
            _ => continue,
        };
        entries.insert(path, entry);
    }
    Ok(content_digest(&entries))
}

pub(crate) fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::StorageFull,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("cannot {what} {}: {error}", path.display()))
}
