//! Replaces the interpreters of a pool when its files change.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tinpot_core::LoadError;
use tinpot_core::executor::ActionSet;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::action_set_publisher::ActionSetPublisher;
use super::discovery::{Discovery, Failed, LastGood, discover};
use super::file_watcher::{FileWatcher, PATIENCE, WatchHandle};
use super::fleet::Fleet;
use super::launch::Launch;
use super::look::Look;
use super::sources::{Asking, Scanner, Sources, origins};
use crate::child_text::{self, load_error};
use crate::error::PythonError;

/// The minimum time of a reload before a further change interrupts it. Otherwise files that change
/// all the time would keep every reload from finishing.
const UNINTERRUPTED: Duration = Duration::from_secs(2);
/// The time before a retry, if a reload failed for another reason than the content of the files.
const RETRY: Duration = Duration::from_secs(10);

/// The files of a directory, and the watcher of their changes.
#[derive(Debug)]
pub(super) struct Files {
    /// The path of the directory as it was given, of which any part may be a link.
    given: PathBuf,
    /// The directory that the path leads to.
    root: PathBuf,
    scanner: Arc<Mutex<Scanner>>,
    watcher: FileWatcher,
    handle: WatchHandle,
}

impl Files {
    /// Watches the files below `root`, to which the path `given` leads. Creates the directory
    /// `store` for copies of them. Without `asking`, no file may ask for an
    /// environment.
    pub(super) fn new(
        given: &Path,
        root: PathBuf,
        store: PathBuf,
        asking: Option<Asking>,
    ) -> std::io::Result<Self> {
        let watcher = FileWatcher::new();
        let handle = watcher.handle();
        let given = std::path::absolute(given)?;
        let scanner = Arc::new(Mutex::new(Scanner::new(root.clone(), store, asking)?));
        Ok(Self { given, root, scanner, watcher, handle })
    }

    /// Returns the present versions of the files: of another directory, if the path leads there by
    /// now.
    pub(super) async fn now(&mut self) -> std::io::Result<Arc<Sources>> {
        let (scanner, given) = (self.scanner.clone(), self.given.clone());
        let (root, handle) = (self.root.clone(), self.handle.clone());
        let scan = move || {
            let mut scanner = scanner.lock().unwrap_or_else(PoisonError::into_inner);
            let present = match given.canonicalize() {
                // The path led through a directory that is gone, and the files are still there.
                Err(e) if e.kind() == ErrorKind::NotFound && root.is_dir() => root.clone(),
                present => present?,
            };
            let moved = (present != root).then(FileWatcher::new);
            let handle = moved.as_ref().map_or(handle, FileWatcher::handle);
            scanner.move_to(present.clone());
            let found = scanner.scan(|directory| handle.add(directory))?;
            Ok::<_, std::io::Error>((found, present, moved))
        };
        let scanned = tokio::task::spawn_blocking(scan).await;
        let (found, present, moved) = scanned.map_err(std::io::Error::other)??;
        self.root = present;
        if let Some(watcher) = moved {
            // The directories of the former one are of no interest any more.
            self.handle = watcher.handle();
            self.watcher = watcher;
        }
        Ok(Arc::new(found))
    }
}

/// The task that replaces the interpreters of a pool when its files change.
#[derive(Debug)]
pub(super) struct Reloader {
    pub(super) fleet: Arc<Fleet>,
    pub(super) publisher: Arc<ActionSetPublisher>,
    pub(super) files: Files,
    /// The launch of the present generation.
    pub(super) launch: Arc<Launch>,
    /// If true, interpreters are copies where that is safe.
    pub(super) copies: bool,
    pub(super) action_set: ActionSet,
    pub(super) good: LastGood,
    /// The versions on disk at the last look, whether they can be imported or not.
    pub(super) disk: Arc<Sources>,
    /// The directory that was loaded last, whether its files could be imported or not.
    pub(super) root: PathBuf,
    /// Tells others what was found.
    pub(super) looks: watch::Sender<Look>,
}

impl Reloader {
    /// Runs until the pool is closed.
    pub(super) async fn run(mut self) {
        let mut closed = self.fleet.closed();
        tokio::select! {
            _ = closed.wait_for(|closed| *closed) => {}
            () = self.follow() => {}
        }
    }

    async fn follow(&mut self) {
        let mut retry: Option<Instant> = None;
        let mut noticed: Option<Instant> = None;
        loop {
            // Look before waiting: files may have changed after the last look, and the event been
            // counted for an earlier change.
            let due = retry.is_some_and(|at| at <= Instant::now());
            match self.files.now().await {
                Ok(found) if found != self.disk || self.files.root != self.root || due => {
                    let noticed_at = *noticed.get_or_insert_with(Instant::now);
                    if self.files.watcher.has_changed() && noticed_at.elapsed() < PATIENCE {
                        // The look may have found half of a change.
                        self.files.watcher.next().await;
                        continue;
                    }
                    noticed = None;
                    self.disk = found;
                    self.look();
                    retry = self.reload().await;
                }
                Ok(_) => {
                    self.look();
                    self.files.watcher.next().await;
                }
                Err(error) => {
                    if retry.is_none() {
                        self.keep(vec![self.unreadable(&error)]);
                    }
                    // Reload once the error is gone, even if no file has changed: the load error
                    // has to go.
                    retry = Some(Instant::now());
                    self.files.watcher.next().await;
                }
            }
        }
    }

    fn look(&self) {
        if self.looks.receiver_count() > 0 {
            let (root, origins) = (self.files.root.clone(), origins(&self.disk));
            self.looks.send_replace(Look { root, origins });
        }
    }

    /// Loads the files on disk; returns the time of a retry, if one is needed.
    async fn reload(&mut self) -> Option<Instant> {
        let begun = Instant::now();
        let result = loop {
            let mut launch = Launch::clone(&self.launch);
            launch.generation += 1;
            self.root = self.files.root.clone();
            launch.root = self.root.clone();
            launch.sources = Some(self.disk.clone());
            launch.skip = Vec::new();
            (launch.copies, launch.alone) = (self.copies, false);
            let uninterrupted = Instant::now() + UNINTERRUPTED;
            let newer = {
                let mut discovery = pin!(discover(&self.fleet, launch, &self.good));
                tokio::select! {
                    result = &mut discovery => break result,
                    newer = newer(&mut self.files, &self.disk, uninterrupted) => newer,
                }
            };
            // The newer files may fix those in which the discovery hangs.
            self.disk = newer;
        };
        match result {
            Ok(discovery) => {
                self.adopt(discovery);
                tracing::info!(
                    actions = self.action_set.actions.len(),
                    load_errors = self.action_set.load_errors.len(),
                    "reloaded in {:?}",
                    begun.elapsed()
                );
                None
            }
            Err(Failed::NotNow(load_errors)) => {
                self.keep(load_errors);
                Some(Instant::now() + RETRY)
            }
            Err(Failed::Error(error)) => {
                let message = format!("cannot load the changed files: {error}");
                self.keep(vec![load_error(&self.place(), &message)]);
                Some(Instant::now() + RETRY)
            }
        }
    }

    fn adopt(&mut self, Discovery { launch, first, action_set, good }: Discovery) {
        report(&action_set.load_errors, &self.action_set.load_errors);
        self.launch = Arc::new(launch);
        self.good = good;
        self.action_set = action_set.clone();
        // In this order: an attempt at a new action needs an interpreter that knows it.
        self.fleet.adopt(self.launch.clone(), first);
        self.publisher.replace(action_set);
    }

    /// Keeps everything as it was, and publishes the reasons as load errors.
    fn keep(&self, load_errors: Vec<LoadError>) {
        let mut action_set = self.action_set.clone();
        for load_error in load_errors {
            let message =
                format!("{}\nThe last good version of all files stays in use.", load_error.message);
            action_set.load_errors.push(LoadError::new(load_error.place, message));
        }
        report(&action_set.load_errors, &self.action_set.load_errors);
        self.publisher.replace(action_set);
    }

    fn unreadable(&self, error: &std::io::Error) -> LoadError {
        load_error(&self.place(), &format!("cannot read the changed files: {error}"))
    }

    fn place(&self) -> String {
        child_text::shown(&self.launch.root)
    }
}

/// Logs new load errors.
pub(super) fn report(load_errors: &[LoadError], known: &[LoadError]) {
    for load_error in load_errors.iter().filter(|load_error| !known.contains(load_error)) {
        if load_error.notice {
            tracing::info!(place = load_error.place, "{}", load_error.message);
        } else {
            tracing::warn!(place = load_error.place, "{}", load_error.message);
        }
    }
}

/// Waits for other versions than `disk`, not before `earliest`.
async fn newer(files: &mut Files, disk: &Arc<Sources>, earliest: Instant) -> Arc<Sources> {
    sleep_until(earliest).await;
    loop {
        match files.now().await {
            Ok(found) if found != *disk && !files.watcher.has_changed() => return found,
            _ => files.watcher.next().await,
        }
    }
}

impl From<Failed> for PythonError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Error(error) => error,
            // Cannot happen at the first discovery, which has no good versions.
            Failed::NotNow(_) => PythonError::Closed,
        }
    }
}
