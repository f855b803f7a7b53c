//! The files that are packed.

use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tinpot_core::Result;

use super::selection::{IGNORE, MAX_IGNORE_BYTES, Rules, check, ignored, sort, too_long};
use super::{PackOptions, failed};
use crate::limits::refused;
use crate::towerfile::{TOWERFILE, Towerfile};

/// A file or link that is packed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PackEntry {
    /// A file.
    File {
        /// The path from the folder.
        path: String,
        /// The size.
        bytes: u64,
        /// If true, its owner may execute it.
        executable: bool,
    },
    /// A symbolic link.
    Link {
        /// The path from the folder.
        path: String,
        /// The target.
        target: String,
    },
}

impl PackEntry {
    /// Returns the path from the folder.
    pub fn path(&self) -> &str {
        match self {
            Self::File { path, .. } | Self::Link { path, .. } => path,
        }
    }
}

/// Returns what [`pack`](super::pack) packs, in the order of the archive. Blocks the thread.
///
/// Links are packed as links. Files below a link to a folder are packed at their real path only.
///
/// # Errors
/// As [`pack`](super::pack).
pub fn list(folder: &Path, towerfile: &Towerfile, options: &PackOptions) -> Result<Vec<PackEntry>> {
    let mut walk = Walk {
        folder,
        root: fs::canonicalize(folder).map_err(|error| failed("read", folder, &error))?,
        rules: Rules::new(towerfile, &exclusions(folder, options)?, &options.limits)?,
        found: Vec::new(),
        bytes: 0,
    };
    walk.enter("")?;
    let mut found = walk.found;
    if let Some(text) = options.written(folder) {
        let (path, bytes) = (TOWERFILE.to_owned(), text.len() as u64);
        found.push(PackEntry::File { path, bytes, executable: false });
    }
    sort(&mut found, PackEntry::path);
    check(towerfile, found.iter().map(PackEntry::path))?;
    Ok(found)
}

/// Returns the globs of exclusions, each with its origin.
fn exclusions(folder: &Path, options: &PackOptions) -> Result<Vec<(String, String)>> {
    let mut globs: Vec<(String, String)> =
        options.exclude.iter().map(|glob| ("--exclude".to_owned(), glob.clone())).collect();
    let path = folder.join(IGNORE);
    let text = match fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(globs),
        Ok(metadata) if metadata.len() > MAX_IGNORE_BYTES => {
            return Err(too_long());
        }
        _ => fs::read_to_string(&path).map_err(|error| failed("read", &path, &error))?,
    };
    globs.extend(ignored(&text));
    Ok(globs)
}

struct Walk<'a> {
    folder: &'a Path,
    root: std::path::PathBuf,
    rules: Rules<'a>,
    found: Vec<PackEntry>,
    bytes: u64,
}

impl Walk<'_> {
    fn enter(&mut self, inside: &str) -> Result<()> {
        let folder = self.folder.join(inside);
        for entry in fs::read_dir(&folder).map_err(|error| failed("read", &folder, &error))? {
            let entry = entry.map_err(|error| failed("read", &folder, &error))?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                let path = entry.path();
                // Its lossy form is enough to find out if it is left out.
                let name = String::from_utf8_lossy(name.as_bytes()).into_owned();
                let lossy = join(inside, &name);
                if self.rules.leaves_out(&lossy, path.is_dir()) {
                    continue;
                }
                return Err(refused(format!(
                    "the name of {path:?} must be UTF-8: rename or exclude it"
                )));
            };
            let path = join(inside, name);
            let full = entry.path();
            let metadata =
                fs::symlink_metadata(&full).map_err(|error| failed("read", &full, &error))?;
            if metadata.is_dir() {
                if self.rules.enters(&path)? {
                    self.enter(&path)?;
                }
            } else if self.rules.takes(&path) {
                self.add(path, &full, &metadata)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, path: String, full: &Path, metadata: &Metadata) -> Result<()> {
        // The limits of names: a path of the disk can break them, too.
        let path = self.rules.limits.path(path.as_bytes())?;
        let entry = if metadata.is_symlink() {
            let target = fs::read_link(full).map_err(|error| failed("read", full, &error))?;
            let target = self.rules.limits.link(&path, target.as_os_str().as_bytes())?;
            let end = fs::canonicalize(full).map_err(|error| {
                refused(format!("the link {path:?} must have a target (got {target:?}: {error})"))
            })?;
            if !end.starts_with(&self.root) {
                return Err(refused(format!(
                    "the link {path:?} must stay in the folder (got {target:?})"
                )));
            }
            PackEntry::Link { path, target }
        } else if metadata.is_file() {
            self.bytes += metadata.len();
            if self.bytes > self.rules.limits.unpacked_bytes {
                let max = self.rules.limits.unpacked_bytes;
                return Err(refused(format!(
                    "the files must have at most {max} bytes: exclude some"
                )));
            }
            let executable = metadata.permissions().mode() & 0o100 != 0;
            PackEntry::File { path, bytes: metadata.len(), executable }
        } else {
            // Sockets, FIFOs and devices are not content.
            return Ok(());
        };
        self.rules.count(self.found.len())?;
        self.found.push(entry);
        Ok(())
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
