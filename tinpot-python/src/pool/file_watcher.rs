//! Watches directories for changes of Python files.
//!
//! The crate `notify` does not fit. Its events arrive on a thread of its own, so that it cannot
//! answer whether a file has changed before now ([`FileWatcher::has_changed`]), and its debouncers
//! wait for time to pass, not for files that are being written to be closed.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::sources::{TOWERFILE, is_source, may_hold_sources};

/// A change is complete when no event has followed for this time …
const QUIET: Duration = Duration::from_millis(50);
/// … and all files that were written have been closed. It counts as complete after this time
/// anyway.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);
/// The interval of scans where the system reports changes. Scans find the changes that it does not
/// report: of the targets of links, and by other hosts.
const SCAN_SELDOM: Duration = Duration::from_secs(5);
/// The interval of scans where the system does not report changes.
const SCAN_OFTEN: Duration = Duration::from_secs(1);

/// A watcher of directories.
#[derive(Debug)]
pub(super) struct FileWatcher {
    events: Option<inotify_events::Events>,
    /// The times of the first and the last event since [`next`](Self::next) returned.
    since: Option<(Instant, Instant)>,
    writing: Writing,
}

/// Files that were written and not closed yet, by the watch of their directory and their name.
type Writing = HashSet<(i32, String)>;

/// A handle that adds directories to the watcher.
#[derive(Clone, Debug)]
pub(super) struct WatchHandle(Option<inotify_events::WatchHandle>);

impl FileWatcher {
    /// Returns a watcher. If the system does not report changes, [`next`](Self::next) returns after
    /// an interval.
    pub(super) fn new() -> Self {
        let events = inotify_events::Events::new();
        if let Err(error) = &events {
            tracing::warn!(%error, "cannot watch files; scanning every {SCAN_OFTEN:?}");
        }
        Self { events: events.ok(), since: None, writing: Writing::new() }
    }

    pub(super) fn handle(&self) -> WatchHandle {
        WatchHandle(self.events.as_ref().map(inotify_events::Events::handle))
    }

    /// Returns true if a file has changed since [`next`](Self::next) returned. Then a scan since
    /// may have seen half of a change.
    pub(super) fn has_changed(&mut self) -> bool {
        let relevant = self.events.as_ref().is_some_and(|events| events.take(&mut self.writing));
        self.note(relevant);
        self.since.is_some()
    }

    /// Waits until a change is complete, or the next scan is due. Cancel safe: events are not lost.
    pub(super) async fn next(&mut self) {
        let complete = self.events.as_ref().is_some_and(inotify_events::Events::is_complete);
        let scan_at = Instant::now() + if complete { SCAN_SELDOM } else { SCAN_OFTEN };
        loop {
            let until = match self.since {
                None => scan_at,
                Some((first, last)) if self.writing.is_empty() => {
                    (last + QUIET).min(first + PATIENCE)
                }
                Some((first, _)) => first + PATIENCE,
            };
            let relevant = tokio::select! {
                relevant = read(&mut self.events, &mut self.writing) => relevant,
                () = sleep_until(until) => break,
            };
            self.note(relevant);
            // A flood of events must not starve the timer.
            if self.since.is_some_and(|(first, _)| first.elapsed() >= PATIENCE) {
                break;
            }
        }
        self.since = None;
        self.writing.clear();
    }

    fn note(&mut self, relevant: bool) {
        if relevant {
            let now = Instant::now();
            self.since = Some((self.since.map_or(now, |(first, _)| first), now));
        }
    }
}

impl WatchHandle {
    /// Adds a directory. Call this before reading it, so that no change is missed.
    pub(super) fn add(&self, directory: &Path) {
        if let Some(handle) = &self.0 {
            handle.add(directory);
        }
    }
}

async fn read(events: &mut Option<inotify_events::Events>, writing: &mut Writing) -> bool {
    match events {
        Some(events) => events.read(writing).await,
        None => std::future::pending().await,
    }
}

/// Returns true if an event can concern Python files.
fn is_relevant(name: Option<&str>, is_directory: bool) -> bool {
    match name {
        None => true,
        Some(name) if is_directory => may_hold_sources(name),
        Some(name) => is_source(name) || name == TOWERFILE || tinpot_venv::may_ask(name),
    }
}

#[cfg(target_os = "linux")]
mod inotify_events {
    use std::io;
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
    use rustix::io::Errno;
    use tokio::io::unix::AsyncFd;

    use super::Writing;

    /// The size of one read, which holds some events with their names.
    const READ_BYTES: usize = 4096;
    /// The number of files to wait for until they are closed. More come with a copy of a whole
    /// tree.
    const MAX_WRITING: usize = 1000;

    /// An inotify instance.
    #[derive(Debug)]
    pub(super) struct Events {
        fd: AsyncFd<OwnedFd>,
        /// The same instance, for handles and for reads outside of the runtime.
        other: Arc<OwnedFd>,
        complete: Arc<AtomicBool>,
    }

    #[derive(Clone, Debug)]
    pub(super) struct WatchHandle {
        fd: Arc<OwnedFd>,
        complete: Arc<AtomicBool>,
    }

    impl Events {
        #[allow(unsafe_code, reason = "tokio registers descriptors by an unsafe function")]
        pub(super) fn new() -> io::Result<Self> {
            let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
            let complete = Arc::new(AtomicBool::new(true));
            let other = Arc::new(fd.try_clone()?);
            // SAFETY: an `OwnedFd` owns the same open descriptor for its whole life.
            let fd = unsafe { AsyncFd::register(fd)? };
            Ok(Self { fd, other, complete })
        }

        pub(super) fn handle(&self) -> WatchHandle {
            WatchHandle { fd: self.other.clone(), complete: self.complete.clone() }
        }

        /// Returns true if every requested directory is watched.
        pub(super) fn is_complete(&self) -> bool {
            self.complete.load(Ordering::Relaxed)
        }

        /// Waits for events; returns true if any is relevant.
        pub(super) async fn read(&self, writing: &mut Writing) -> bool {
            match self.fd.readable().await {
                Ok(mut ready) => {
                    ready.clear_ready();
                    self.take(writing)
                }
                // The runtime has ended.
                Err(_) => std::future::pending().await,
            }
        }

        /// Reads the available events; returns true if any is relevant.
        pub(super) fn take(&self, writing: &mut Writing) -> bool {
            let mut buffer = [MaybeUninit::uninit(); READ_BYTES];
            let mut reader = Reader::new(&*self.other, &mut buffer);
            let mut relevant = false;
            loop {
                let event = match reader.next() {
                    Ok(event) => event,
                    Err(Errno::INTR) => continue,
                    Err(_) => return relevant,
                };
                let name = event.file_name().map(|name| name.to_string_lossy());
                let is = |flags| event.events().intersects(flags);
                if !super::is_relevant(name.as_deref(), is(ReadFlags::ISDIR)) {
                    continue;
                }
                relevant = true;
                let place = (event.wd(), name.unwrap_or_default().into_owned());
                if !is(ReadFlags::MODIFY) {
                    writing.remove(&place);
                } else if writing.len() < MAX_WRITING {
                    writing.insert(place);
                }
            }
        }
    }

    impl WatchHandle {
        pub(super) fn add(&self, directory: &Path) {
            let changes = WatchFlags::CREATE
                | WatchFlags::DELETE
                | WatchFlags::MODIFY
                | WatchFlags::CLOSE_WRITE
                | WatchFlags::ATTRIB
                | WatchFlags::MOVED_FROM
                | WatchFlags::MOVED_TO
                | WatchFlags::DELETE_SELF
                | WatchFlags::MOVE_SELF
                | WatchFlags::ONLYDIR;
            match inotify::add_watch(&*self.fd, directory, changes) {
                Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(error) => {
                    if self.complete.swap(false, Ordering::Relaxed) {
                        let directory = directory.display();
                        tracing::warn!(%error, "cannot watch {directory}; scanning it instead");
                    }
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod inotify_events {
    use std::io;
    use std::path::Path;

    use super::Writing;

    /// This system reports no changes.
    #[derive(Debug)]
    pub(super) enum Events {}

    #[derive(Clone, Debug)]
    pub(super) enum WatchHandle {}

    impl Events {
        pub(super) fn new() -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(super) fn handle(&self) -> WatchHandle {
            match *self {}
        }

        pub(super) fn is_complete(&self) -> bool {
            match *self {}
        }

        pub(super) async fn read(&self, _writing: &mut Writing) -> bool {
            match *self {}
        }

        pub(super) fn take(&self, _writing: &mut Writing) -> bool {
            match *self {}
        }
    }

    impl WatchHandle {
        pub(super) fn add(&self, _directory: &Path) {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_relevant;

    #[test]
    fn temporary_files_of_editors_and_python_are_irrelevant() {
        for name in
            ["a.pyc", ".a.py", ".#a.py", "a.py~", "#a.py#", "a.py.swp", "4913", "a.txt", "uv.toml"]
        {
            assert!(!is_relevant(Some(name), false), "{name}");
        }
        assert!(is_relevant(Some("requirements.txt"), false));
        assert!(is_relevant(Some("a.py"), false) && is_relevant(None, false));
        for name in ["__pycache__", ".git", "node_modules"] {
            assert!(!is_relevant(Some(name), true), "{name}");
        }
        assert!(is_relevant(Some("folder"), true));
    }
}
