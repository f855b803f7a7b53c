//! Requests to try failed builds again, which reach all workers that share a cache.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::cache::Kind;

/// Asks the workers that use the cache in the directory `cache` to try failed builds again. They
/// look every few seconds.
///
/// # Errors
/// Fails if the request cannot be written.
pub fn ask_for_retries(cache: &Path) -> io::Result<()> {
    let file = File::options().write(true).create(true).truncate(true).open(file(cache))?;
    file.set_modified(SystemTime::now())
}

/// Returns the time of the last request.
pub(crate) fn asked_for_retries(cache: &Path) -> Option<SystemTime> {
    fs::metadata(file(cache)).and_then(|metadata| metadata.modified()).ok()
}

fn file(cache: &Path) -> PathBuf {
    cache.join(Kind::Venv.folder()).join("retry")
}
