//! The environments in a cache, for people.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};

use crate::build::Record;

/// The first words of a log, before the file that asks.
pub(crate) const TITLE: &str = "Python environment of ";
/// The longest first line of a log that is read.
const TITLE_BYTES: u64 = 8 * 1024;

/// An environment that folders or files of actions have asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stored {
    /// The name in the cache.
    pub key: String,
    /// The file that asked first.
    pub place: String,
    /// The record; `None` if the environment is not built, or not yet.
    pub record: Option<Record>,
    /// The size in bytes.
    pub bytes: u64,
    /// If true, a process uses it or builds it.
    pub is_used: bool,
    /// The time of the last use, or of the failed build.
    pub used: Option<SystemTime>,
    /// The path of the log.
    pub log: PathBuf,
}

impl Stored {
    /// Returns the environments of a cache in the directory `cache`, the latest one first. Blocks the
    /// thread.
    pub fn all(cache: &Path) -> Vec<Self> {
        let entries = fs::read_dir(cache.join("venvs")).into_iter().flatten().flatten();
        let logs = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "log"));
        let mut found: Vec<Self> = logs.filter_map(Self::of).collect();
        found.sort_by_key(|stored| std::cmp::Reverse(stored.used));
        found
    }

    fn of(log: PathBuf) -> Option<Self> {
        let key = log.file_stem()?.to_str()?.to_owned();
        let place = place(&log)?;
        let marker = log.with_extension("ready");
        let text = fs::read_to_string(&marker).unwrap_or_default();
        let mut lines = text.lines();
        let bytes = lines.next().and_then(|line| line.parse().ok()).unwrap_or_default();
        let record = lines.next().and_then(|line| serde_json::from_str(line).ok());
        let time = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        let used = time(&marker).or_else(|| time(&log));
        let is_used = is_locked(&log.with_extension("lock"));
        Some(Self { key, place, record, bytes, is_used, used, log })
    }
}

/// Returns the file that asked, which the first line of a log names.
pub(crate) fn place(log: &Path) -> Option<String> {
    use std::io::Read;
    let mut title = String::new();
    BufReader::new(fs::File::open(log).ok()?.take(TITLE_BYTES)).read_line(&mut title).ok()?;
    Some(title.trim_end().strip_prefix(TITLE)?.to_owned())
}

fn is_locked(lock: &Path) -> bool {
    let lock = fs::File::options().write(true).open(lock);
    lock.is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err())
}
