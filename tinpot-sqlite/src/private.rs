//! Files that only their user may read: parameters and results may be confidential.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use crate::error::{Problem, Result};
use crate::location::sibling;

/// The files of a store next to the database.
const COMPANIONS: [&str; 4] = ["-wal", "-shm", "-lock", "-access"];

/// Opens a file, or creates it for its user alone. Never follows a link, and never waits.
pub(crate) fn open(path: &Path, doing: &'static str) -> Result<File> {
    let failed = |source| Problem::Io { path: path.to_owned(), doing, source };
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true).mode(0o600);
    options.custom_flags(flags.bits().cast_signed());
    let file = options.open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        let why = "it is not a regular file".to_owned();
        return Err(Problem::Place { path: path.to_owned(), why });
    }
    Ok(file)
}

/// Creates an empty file for its user alone, unless there is one.
///
/// Never opens one that is there: closing it would release SQLite's locks on it.
pub(crate) fn create(path: &Path) -> Result<()> {
    let failed = |source| Problem::Io { path: path.to_owned(), doing: "creating", source };
    let mut options = OpenOptions::new();
    match options.create_new(true).write(true).mode(0o600).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        created => created.map(drop).map_err(failed),
    }
}

/// Takes the rights of others away from the files of the store, as far as they are this user's.
pub(crate) fn tighten(store: &Path) {
    let companions = COMPANIONS.map(|suffix| sibling(store, suffix));
    for path in companions.iter().map(|path| &**path).chain([store]) {
        match tighten_one(path) {
            Ok(true) => tracing::info!(
                path = %path.display(),
                "other users could read this file of the store; now only its own user can"
            ),
            Ok(false) => {}
            Err(error) => tracing::warn!(
                path = %path.display(), %error,
                "other users can read this file of the store, and its mode cannot be changed"
            ),
        }
    }
}

fn tighten_one(path: &Path) -> io::Result<bool> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        found => found?,
    };
    let is_own = metadata.uid() == rustix::process::geteuid().as_raw();
    if !is_own || !metadata.is_file() || metadata.mode() & 0o077 == 0 {
        return Ok(false);
    }
    fs::set_permissions(path, Permissions::from_mode(metadata.mode() & 0o700))?;
    Ok(true)
}
