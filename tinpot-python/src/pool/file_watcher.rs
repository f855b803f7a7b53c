//! Notices that something below a directory may have changed.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::sources::{is_folder_of_sources, is_source};

/// A change is complete when nothing has followed it for so long …
const QUIET: Duration = Duration::from_millis(50);
/// … and every file that was written has been closed; it is taken as it is after so long.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);
/// How often to look where the system tells of changes, for what it does not tell of: the targets of links, and what other hosts write.
const LOOK_SELDOM: Duration = Duration::from_secs(5);
/// How often to look where it does not.
const LOOK_OFTEN: Duration = Duration::from_secs(1);

/// Notices changes in directories.
#[derive(Debug)]
pub(super) struct FileWatcher {
    told: Option<inotify_events::Told>,
    /// When the first and the last change were that nobody has been told of.
    since: Option<(Instant, Instant)>,
    writing: Writing,
}

/// Files that somebody has begun to write and not closed: by the number of their directory, and their name.
type Writing = HashSet<(i32, String)>;

/// How to ask for news of further directories.
#[derive(Clone, Debug)]
pub(super) struct Interest(Option<inotify_events::Interest>);

impl FileWatcher {
    /// Where the system cannot tell of changes, [`next`](Self::next) returns now and then.
    pub(super) fn new() -> Self {
        let told = inotify_events::Told::new();
        if let Err(error) = &told {
            tracing::warn!(%error, "changed files cannot be told of, and are looked for every {LOOK_OFTEN:?}");
        }
        Self { told: told.ok(), since: None, writing: Writing::new() }
    }

    pub(super) fn interest(&self) -> Interest {
        Interest(self.told.as_ref().map(inotify_events::Told::interest))
    }

    /// Whether something has changed since [`next`](Self::next) returned: who has looked since may have seen half of it.
    pub(super) fn has_news(&mut self) -> bool {
        let relevant = self.told.as_ref().is_some_and(|told| told.take(&mut self.writing));
        self.note(relevant);
        self.since.is_some()
    }

    /// Returns when something may have changed, and no more is coming. What it has seen is not lost when the future is dropped.
    pub(super) async fn next(&mut self) {
        let complete = self.told.as_ref().is_some_and(inotify_events::Told::is_complete);
        let look = Instant::now() + if complete { LOOK_SELDOM } else { LOOK_OFTEN };
        loop {
            let until = match self.since {
                None => look,
                Some((first, last)) if self.writing.is_empty() => {
                    (last + QUIET).min(first + PATIENCE)
                }
                Some((first, _)) => first + PATIENCE,
            };
            let relevant = tokio::select! {
                relevant = read(&mut self.told, &mut self.writing) => relevant,
                () = sleep_until(until) => break,
            };
            self.note(relevant);
            // A flood must not keep the time from being seen.
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

impl Interest {
    /// Asks for news of a directory: before it is read, so that nothing is missed.
    pub(super) fn add(&self, directory: &Path) {
        if let Some(interest) = &self.0 {
            interest.add(directory);
        }
    }
}

async fn read(told: &mut Option<inotify_events::Told>, writing: &mut Writing) -> bool {
    match told {
        Some(told) => told.read(writing).await,
        None => std::future::pending().await,
    }
}

/// Whether news of an entry can be news of Python files.
fn is_relevant(name: Option<&str>, is_directory: bool) -> bool {
    match name {
        None => true,
        Some(name) if is_directory => is_folder_of_sources(name),
        Some(name) => is_source(name),
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

    /// Some events with their names.
    const READ_BYTES: usize = 4096;
    /// So many files are waited for until they are closed; more come with a copy of a whole tree.
    const WRITING_MAX: usize = 1000;

    /// An inotify instance.
    #[derive(Debug)]
    pub(super) struct Told {
        fd: AsyncFd<OwnedFd>,
        /// The same instance, for those who ask.
        other: Arc<OwnedFd>,
        complete: Arc<AtomicBool>,
    }

    #[derive(Clone, Debug)]
    pub(super) struct Interest {
        fd: Arc<OwnedFd>,
        complete: Arc<AtomicBool>,
    }

    impl Told {
        #[allow(unsafe_code, reason = "that is how a descriptor is registered")]
        pub(super) fn new() -> io::Result<Self> {
            let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
            let complete = Arc::new(AtomicBool::new(true));
            let other = Arc::new(fd.try_clone()?);
            // SAFETY: an `OwnedFd` is the same open descriptor for as long as it lives.
            let fd = unsafe { AsyncFd::register(fd)? };
            Ok(Self { fd, other, complete })
        }

        pub(super) fn interest(&self) -> Interest {
            Interest { fd: self.other.clone(), complete: self.complete.clone() }
        }

        /// Whether it is told of every directory that was asked for.
        pub(super) fn is_complete(&self) -> bool {
            self.complete.load(Ordering::Relaxed)
        }

        /// Waits for news, and says whether they matter.
        pub(super) async fn read(&self, writing: &mut Writing) -> bool {
            match self.fd.readable().await {
                Ok(mut ready) => {
                    ready.clear_ready();
                    self.take(writing)
                }
                // The runtime is gone.
                Err(_) => std::future::pending().await,
            }
        }

        /// Takes the news that are there; whether they matter.
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
                } else if writing.len() < WRITING_MAX {
                    writing.insert(place);
                }
            }
        }
    }

    impl Interest {
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
                        tracing::warn!(%error, "changes in {directory} cannot be told of, and are looked for");
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

    /// Nobody tells of changes here.
    #[derive(Debug)]
    pub(super) enum Told {}

    #[derive(Clone, Debug)]
    pub(super) enum Interest {}

    impl Told {
        pub(super) fn new() -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(super) fn interest(&self) -> Interest {
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

    impl Interest {
        pub(super) fn add(&self, _directory: &Path) {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_relevant;

    #[test]
    fn what_editors_and_python_leave_behind_does_not_matter() {
        for name in ["a.pyc", ".a.py", ".#a.py", "a.py~", "#a.py#", "a.py.swp", "4913", "a.txt"] {
            assert!(!is_relevant(Some(name), false), "{name}");
        }
        assert!(is_relevant(Some("a.py"), false) && is_relevant(None, false));
        for name in ["__pycache__", ".git", "node_modules"] {
            assert!(!is_relevant(Some(name), true), "{name}");
        }
        assert!(is_relevant(Some("folder"), true));
    }
}
