//! The bundles of a worker: fetched, unpacked, and kept in a cache.

mod environments;
mod trees;

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::Path;

use tinpot_core::{Error, ErrorKind, Result};

pub use self::environments::{BundleEnvironment, BundleEnvironments};
pub use self::trees::{Fetch, FetchBlob, FetchOptions, StoredBlobs, Tree};
use crate::digest::{Digest, Hasher};
use crate::manifest::{BundleEntries, BundleEntry, content_digest};
use crate::pack::PackEntry;

/// The size of the pieces in which files are read.
const PIECE: usize = 64 * 1024;

/// Lists the files and links of a folder that was unpacked. Blocks the thread.
///
/// # Errors
/// `Unavailable` if it cannot be read.
pub fn entries(tree: &Path) -> Result<Vec<PackEntry>> {
    let mut found = Vec::new();
    walk(tree, "", &mut found).map_err(|error| failed("read", tree, &error))?;
    Ok(found)
}

/// Copies files and links of a folder into another one. Blocks the thread.
///
/// # Errors
/// `Unavailable` if a file cannot be read or written; `StorageFull` if there is no space.
pub fn copy(from: &Path, entries: &[PackEntry], to: &Path) -> Result<()> {
    let is_link = |entry: &&PackEntry| matches!(entry, PackEntry::Link { .. });
    // Links last: no file is written through one.
    let (links, files): (Vec<_>, Vec<_>) = entries.iter().partition(is_link);
    for entry in files.into_iter().chain(links) {
        let to = to.join(entry.path());
        copy_entry(entry, from, &to).map_err(|error| failed("copy", &to, &error))?;
    }
    Ok(())
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
fn content(tree: &Path) -> io::Result<Digest> {
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
        };
        entries.insert(path, entry);
    }
    Ok(content_digest(&entries))
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::StorageFull,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("cannot {what} {}: {error}", path.display()))
}
