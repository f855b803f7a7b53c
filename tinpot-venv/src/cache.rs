//! A cache of folders on this machine: unpacked bundles and Python environments.
//!
//! Several workers may share it. A folder counts only once its marker is there, which is written
//! last. The lock of a folder is held by all who use it, and alone by the one who builds or removes
//! it.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tinpot_core::observer::{Cached, Measure, Observer};
use tinpot_core::{Error, ErrorKind, Result};

use crate::failpoint::failpoint;

/// The interval of the attempts to lock a folder that another worker builds.
const LOCK_INTERVAL: Duration = Duration::from_millis(50);

/// The time after which a folder that is not used is removed.
const MAX_AGE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// The keys of checked trees that are remembered: 1 MiB. Beyond that, trees are checked again.
const CHECKED: usize = 10_000;

/// The kinds of folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The files of a bundle.
    Tree,
    /// A Python environment.
    Venv,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Tree, Self::Venv];

    fn measured(self) -> Cached {
        match self {
            Self::Tree => Cached::Bundle,
            Self::Venv => Cached::Environment,
        }
    }

    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Tree => "trees",
            Self::Venv => "venvs",
        }
    }
}

/// The cache.
#[derive(Debug)]
pub struct Cache {
    root: PathBuf,
    max_bytes: u64,
    observer: Option<Arc<dyn Observer>>,
    /// The keys of trees that this process has built, or has compared with their digests.
    checked: Mutex<HashSet<String>>,
}

/// A folder in the cache. It is not removed while this exists.
#[derive(Debug)]
pub struct CacheEntry {
    /// The path of the folder.
    pub path: PathBuf,
    marker: PathBuf,
    _lock: File,
}

/// The right to build a folder. Without [`finish`](Self::finish), the folder is removed with this.
#[derive(Debug)]
pub struct Build {
    cache: Arc<Cache>,
    /// The path of the folder, which does not exist yet.
    pub path: PathBuf,
    /// The path of a log, which stays if the folder is not finished.
    pub log: PathBuf,
    marker: PathBuf,
    note: String,
    kind: Kind,
    begun: Instant,
    lock: Option<File>,
}

/// A folder, or the right to build it.
#[derive(Debug)]
pub enum Found {
    /// The folder is there.
    Entry(CacheEntry),
    /// The folder has to be built.
    Missing(Build),
}

impl Cache {
    /// The size where none is set: 10 GiB.
    pub const DEFAULT_BYTES: u64 = 10 << 30;

    /// Returns the directory of the cache where none is set: of the service, else of the user.
    pub fn default_path() -> PathBuf {
        let of = |name: &str| {
            let path = PathBuf::from(std::env::var_os(name)?);
            path.is_absolute().then_some(path)
        };
        if let Some(service) = of("CACHE_DIRECTORY") {
            return service;
        }
        match of("XDG_CACHE_HOME").or_else(|| of("HOME").map(|home| home.join(".cache"))) {
            Some(cache) => cache.join("tinpot"),
            None => {
                let user = rustix::process::geteuid().as_raw();
                std::env::temp_dir().join(format!("tinpot-cache-{user}"))
            }
        }
    }

    /// Opens the cache in a directory, which is created for this user alone.
    ///
    /// # Errors
    /// - `Unavailable` if the directory cannot be created or read.
    /// - `InvalidInput` if it belongs to another user, or others may write to it.
    pub fn open(root: PathBuf, max_bytes: u64) -> Result<Self> {
        let create = |path: &Path| {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
                let message = format!("cannot create the cache {}: {error}", path.display());
                Error::new(ErrorKind::Unavailable, message)
            })
        };
        create(&root)?;
        let metadata = fs::metadata(&root).map_err(|error| io_error(&root, &error))?;
        let is_private = metadata.mode() & 0o022 == 0;
        if metadata.uid() != rustix::process::geteuid().as_raw() || !is_private {
            let message = format!(
                "the cache {} must belong to the user of the worker, and no other user may write to \
                 it: choose another directory",
                root.display()
            );
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        for kind in Kind::ALL {
            create(&root.join(kind.folder()))?;
        }
        Ok(Self { root, max_bytes, observer: None, checked: Mutex::default() })
    }

    /// Sets the observer, and tells it the size of the cache. Blocks the thread.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self.measure_bytes(&self.entries());
        self
    }

    fn measure(&self, measure: &Measure<'_>) {
        if let Some(observer) = &self.observer {
            observer.observe(measure);
        }
    }

    fn measure_bytes(&self, entries: &[Stored]) {
        for kind in Kind::ALL {
            let of_kind = entries.iter().filter(|entry| entry.kind == kind);
            let bytes = of_kind.map(|entry| entry.bytes).sum();
            self.measure(&Measure::CacheBytes { kind: kind.measured(), bytes });
        }
    }

    /// Returns the folder with this key, or the right to build it. Waits while another one builds
    /// it, and then calls `waiting` once. Cancel safe.
    ///
    /// # Errors
    /// `Unavailable` if the lock cannot be used.
    pub async fn find(
        self: &Arc<Self>,
        kind: Kind,
        key: &str,
        waiting: impl AsyncFnOnce(),
    ) -> Result<Found> {
        let base = self.root.join(kind.folder());
        let path = base.join(key);
        let marker = base.join(format!("{key}.ready"));
        let lock_path = base.join(format!("{key}.lock"));
        let failed = |error: Errno| io_error(&lock_path, &error.into());
        let mut waiting = Some(waiting);
        loop {
            let lock = open_lock(&lock_path).map_err(|error| io_error(&lock_path, &error))?;
            match flock(&lock, FlockOperation::NonBlockingLockShared) {
                Ok(()) if is_whole(kind, &path, &marker) => {
                    touch(&marker);
                    self.measure(&Measure::CacheRequest { kind: kind.measured(), is_hit: true });
                    return Ok(Found::Entry(CacheEntry { path, marker, _lock: lock }));
                }
                Ok(()) | Err(Errno::WOULDBLOCK) => {}
                Err(error) => return Err(failed(error)),
            }
            // A conversion is not atomic: another one may have built the folder in between.
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if is_whole(kind, &path, &marker) => continue,
                Ok(()) => {
                    remove(&path, &marker);
                    self.measure(&Measure::CacheRequest { kind: kind.measured(), is_hit: false });
                    return Ok(Found::Missing(Build {
                        cache: self.clone(),
                        path,
                        log: marker.with_extension("log"),
                        marker,
                        note: String::new(),
                        kind,
                        begun: Instant::now(),
                        lock: Some(lock),
                    }));
                }
                Err(Errno::WOULDBLOCK) => {}
                Err(error) => return Err(failed(error)),
            }
            drop(lock);
            if let Some(waiting) = waiting.take() {
                waiting().await;
            }
            tokio::time::sleep(LOCK_INTERVAL).await;
        }
    }

    /// Returns true if [`checked`](Self::checked) was called for a tree.
    pub fn is_checked(&self, key: &str) -> bool {
        self.lock_checked().contains(key)
    }

    /// Notes that a tree is what it should be.
    pub fn checked(&self, key: &str) {
        let mut checked = self.lock_checked();
        if checked.len() >= CHECKED {
            checked.clear();
        }
        checked.insert(key.to_owned());
    }

    fn lock_checked(&self) -> MutexGuard<'_, HashSet<String>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the folders that were not used for long, and further ones until the others fit.
    /// Blocks the thread.
    fn shrink(&self) {
        let mut entries = self.entries();
        entries.sort();
        let mut total: u64 = entries.iter().map(|entry| entry.bytes).sum();
        let mut kept = Vec::new();
        for entry in entries {
            let is_old = entry.used.elapsed().is_ok_and(|unused| unused > MAX_AGE);
            if (total <= self.max_bytes && !is_old) || !is_removed(&entry.marker) {
                kept.push(entry);
                continue;
            }
            total = total.saturating_sub(entry.bytes);
        }
        self.measure_bytes(&kept);
    }

    /// Returns the folders of which the markers are there.
    fn entries(&self) -> Vec<Stored> {
        let mut entries = Vec::new();
        for kind in Kind::ALL {
            let base = self.root.join(kind.folder());
            for entry in fs::read_dir(&base).into_iter().flatten().flatten() {
                let marker = entry.path();
                let Some("ready") = marker.extension().and_then(|end| end.to_str()) else {
                    continue;
                };
                let used = entry.metadata().and_then(|metadata| metadata.modified());
                let text = fs::read_to_string(&marker).unwrap_or_default();
                let bytes: u64 =
                    text.lines().next().and_then(|line| line.parse().ok()).unwrap_or_default();
                let used = used.unwrap_or(SystemTime::UNIX_EPOCH);
                entries.push(Stored { used, bytes, kind, marker });
            }
        }
        entries
    }
}

/// A folder in the cache, for the order in which folders are removed.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Stored {
    used: SystemTime,
    bytes: u64,
    kind: Kind,
    marker: PathBuf,
}

/// Removes a folder, unless it is in use. Returns false if it stays.
fn is_removed(marker: &Path) -> bool {
    let lock = File::options().write(true).open(marker.with_extension("lock"));
    let Ok(lock) = lock else { return false };
    // What is in use stays.
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return false;
    }
    remove(&marker.with_extension(""), marker);
    let _ = fs::remove_file(marker.with_extension("log"));
    true
}

impl CacheEntry {
    /// Returns what was noted when the folder was built.
    pub fn note(&self) -> String {
        let text = fs::read_to_string(&self.marker).unwrap_or_default();
        text.lines().nth(1).unwrap_or_default().to_owned()
    }

    /// Returns the size of the folder when it was built, in bytes.
    pub fn bytes(&self) -> u64 {
        let text = fs::read_to_string(&self.marker).unwrap_or_default();
        text.lines().next().and_then(|line| line.parse().ok()).unwrap_or_default()
    }

    /// Returns false if the folder counts no more.
    pub fn is_there(&self) -> bool {
        self.marker.exists() && self.path.exists()
    }

    /// Makes the folder count no more: it is built again once its users are done with it.
    pub fn spoil(self) {
        let _ = fs::remove_file(&self.marker);
    }
}

impl Build {
    /// Sets a line to keep with the folder.
    pub fn note(mut self, note: String) -> Self {
        self.note = note;
        self
    }

    /// Makes the folder count.
    ///
    /// # Errors
    /// `Unavailable` or `StorageFull` if its marker cannot be written.
    pub async fn finish(self) -> Result<CacheEntry> {
        // It looks at each file.
        let finished = tokio::task::spawn_blocking(move || self.finish_blocking()).await;
        finished.unwrap_or_else(|_| Err(Error::new(ErrorKind::Closed, "the runtime ends")))
    }

    fn finish_blocking(mut self) -> Result<CacheEntry> {
        let bytes = size(&self.path);
        failpoint("cache.before-marker");
        write_whole(&self.marker, &format!("{bytes}\n{}\n", self.note))
            .map_err(|e| io_error(&self.marker, &e))?;
        failpoint("cache.after-marker");
        let lock = self.lock.take().ok_or_else(|| Error::new(ErrorKind::Other, "no lock"))?;
        // No other process removes the folder in between: only those that would build it wait.
        flock(&lock, FlockOperation::LockShared).map_err(|e| io_error(&self.marker, &e.into()))?;
        let (path, marker) = (self.path.clone(), self.marker.clone());
        let entry = CacheEntry { path, marker, _lock: lock };
        let took = self.begun.elapsed();
        self.cache.measure(&Measure::SetUp { kind: self.kind.measured(), took });
        self.cache.shrink();
        Ok(entry)
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        if self.lock.is_some() {
            remove(&self.path, &self.marker);
        }
    }
}

/// Returns true if a folder counts. An environment whose interpreter is gone does not.
fn is_whole(kind: Kind, path: &Path, marker: &Path) -> bool {
    let last = if kind == Kind::Venv { path.join("bin/python") } else { path.to_owned() };
    marker.exists() && last.exists()
}

/// Opens the file whose lock guards a folder.
pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).write(true).mode(0o600).open(path)
}

/// Removes the marker first: a folder that is removed in part must not count.
pub(crate) fn remove(path: &Path, marker: &Path) {
    let _ = fs::remove_file(marker);
    let _ = fs::remove_dir_all(path);
}

/// Writes a file so that a crash leaves either nothing or all of it.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(new, path)
}

fn touch(marker: &Path) {
    if let Ok(file) = File::options().write(true).open(marker) {
        let _ = file.set_modified(SystemTime::now());
    }
}

/// Returns the space that the files below a folder take.
pub(crate) fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    };
    entries.map(size).sum()
}

fn io_error(path: &Path, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::StorageFull,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("cannot use {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tinpot_core::observer::{Measure, Observer};

    use super::{Cache, Found, Kind};

    #[derive(Debug, Default)]
    struct Seen(Mutex<Vec<String>>);

    impl Observer for Seen {
        fn observe(&self, measure: &Measure<'_>) {
            let text = match measure {
                Measure::CacheRequest { kind, is_hit } => format!("{} {is_hit}", kind.as_str()),
                Measure::SetUp { kind, .. } => format!("{} made", kind.as_str()),
                Measure::CacheBytes { kind, bytes } => format!("{} {}", kind.as_str(), *bytes > 0),
                _ => return,
            };
            self.0.lock().expect("no test has failed").push(text);
        }
    }

    #[tokio::test]
    async fn requests_builds_and_sizes_are_measured() {
        let folder = tempfile::tempdir().expect("a folder");
        let seen = Arc::new(Seen::default());
        let cache = Cache::open(folder.path().join("cache"), 1 << 30).expect("a cache");
        let cache = Arc::new(cache.observer(seen.clone()));
        let taken = || std::mem::take(&mut *seen.0.lock().expect("no test has failed"));
        assert_eq!(taken(), ["bundle false", "environment false"], "the sizes at the opening");

        let Found::Missing(build) = cache.find(Kind::Tree, "k", async || {}).await.expect("found")
        else {
            panic!("nothing was built");
        };
        std::fs::create_dir(&build.path).expect("a folder");
        std::fs::write(build.path.join("file"), vec![1; 10_000]).expect("a file");
        drop(build.finish().await.expect("an entry"));
        let made = ["bundle false", "bundle made", "bundle true", "environment false"];
        assert_eq!(taken(), made);
        let found = cache.find(Kind::Tree, "k", async || {}).await.expect("found");
        assert!(matches!(found, Found::Entry(_)));
        assert_eq!(taken(), ["bundle true"]);
    }
}
