//! Removes the environments that nothing uses.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};

use crate::cache::{self, Kind};
use crate::stored;

/// The time for which the log of a failed build is kept: people may still read it.
const LOG_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// An environment that nothing uses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// The name in the cache.
    pub key: String,
    /// The file that asked for it; empty if unknown.
    pub place: String,
    /// The size in bytes.
    pub bytes: u64,
}

/// Removes the environments that no process uses from a cache in the directory `cache`, and the
/// rests of builds. The logs of failed builds stay for a day. With `is_dry`, it removes nothing.
/// Blocks the thread.
///
/// # Errors
/// Fails if a folder cannot be removed. The others are removed nevertheless.
pub fn prune(cache: &Path, is_dry: bool) -> io::Result<Vec<Pruned>> {
    let base = cache.join(Kind::Venv.folder());
    let (mut pruned, mut failed) = (Vec::new(), None);
    for key in keys(&base) {
        let path = base.join(&key);
        let (marker, log) = (path.with_extension("ready"), path.with_extension("log"));
        let lock = match is_dry {
            true => File::options().write(true).open(path.with_extension("lock")),
            false => cache::open_lock(&path.with_extension("lock")),
        };
        // It is held until everything is removed. Without one, nothing ever used the environment.
        if let Ok(lock) = &lock
            && flock(lock, FlockOperation::NonBlockingLockExclusive).is_err()
        {
            continue;
        }
        let is_built = path.exists() || marker.exists();
        if !is_built && !is_old(&log) {
            continue;
        }
        let text = fs::read_to_string(&marker).unwrap_or_default();
        let noted = text.lines().next().and_then(|line| line.parse().ok());
        let bytes = noted.unwrap_or_else(|| cache::size(&path));
        let place = stored::place(&log).unwrap_or_default();
        if !is_dry {
            cache::remove(&path, &marker);
            let _ = fs::remove_file(&log);
            if path.exists() {
                failed = Some(io::Error::other(format!("cannot remove {}", path.display())));
                continue;
            }
        }
        pruned.push(Pruned { key, place, bytes });
    }
    failed.map_or(Ok(pruned), Err)
}

/// Returns the names of all environments of which something is there.
fn keys(base: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(base).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let key = |name: String| name.split('.').next().unwrap_or_default().to_owned();
    let is_key = |key: &String| key.len() == 64 && key.chars().all(|c| c.is_ascii_hexdigit());
    names.map(key).filter(is_key).collect()
}

/// Returns true for a log that is no longer kept.
fn is_old(log: &Path) -> bool {
    let written = fs::metadata(log).and_then(|metadata| metadata.modified());
    written.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > LOG_AGE))
}
