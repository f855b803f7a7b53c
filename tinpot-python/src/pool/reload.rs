//! Lets a pool follow the changes of its files.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tinpot_core::{ActionSet, LoadError};
use tokio::time::{Instant, sleep_until};

use super::action_set_publisher::ActionSetPublisher;
use super::discovery::{Discovery, Failed, Good, discover};
use super::file_watcher::{FileWatcher, Interest, PATIENCE};
use super::fleet::Fleet;
use super::interpreter::Launch;
use super::sources::{Scanner, Sources};
use crate::error::PythonError;

/// A further change does not interrupt a reload before it has taken so long: else one that never ends would keep all others from ending.
const UNINTERRUPTED: Duration = Duration::from_secs(2);
/// When to try again what failed for another reason than what is in the files.
const RETRY: Duration = Duration::from_secs(10);

/// Knows which files there are, and notices when they change.
#[derive(Debug)]
pub(super) struct Files {
    scanner: Arc<Mutex<Scanner>>,
    watcher: FileWatcher,
    interest: Interest,
}

impl Files {
    /// The files below `root`; copies of them are kept in `store`, which is made.
    pub(super) fn new(root: PathBuf, store: PathBuf) -> std::io::Result<Self> {
        let watcher = FileWatcher::new();
        let interest = watcher.interest();
        let scanner = Arc::new(Mutex::new(Scanner::new(root, store)?));
        Ok(Self { scanner, watcher, interest })
    }

    /// The files as they are now.
    pub(super) async fn now(&self) -> std::io::Result<Arc<Sources>> {
        let (scanner, interest) = (self.scanner.clone(), self.interest.clone());
        let scan = move || {
            let mut scanner = scanner.lock().unwrap_or_else(PoisonError::into_inner);
            scanner.scan(|directory| interest.add(directory))
        };
        let scanned = tokio::task::spawn_blocking(scan).await;
        scanned.map_err(std::io::Error::other)?.map(Arc::new)
    }
}

/// Replaces the interpreters of a pool whenever its files have changed.
#[derive(Debug)]
pub(super) struct Reloader {
    pub(super) fleet: Arc<Fleet>,
    pub(super) publisher: Arc<ActionSetPublisher>,
    pub(super) files: Files,
    /// Of the generation in force.
    pub(super) launch: Arc<Launch>,
    pub(super) offer: ActionSet,
    pub(super) good: Good,
    /// What was on the disk when it was last looked at, whether it works or not.
    pub(super) disk: Arc<Sources>,
}

impl Reloader {
    /// Goes on until the pool is closed.
    pub(super) async fn keep_up(mut self) {
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
            // Before waiting: it may have changed since the last look, and the news been taken for something else.
            let due = retry.is_some_and(|at| at <= Instant::now());
            match self.files.now().await {
                Ok(found) if found != self.disk || due => {
                    let noticed_at = *noticed.get_or_insert_with(Instant::now);
                    if self.files.watcher.has_news() && noticed_at.elapsed() < PATIENCE {
                        // Half of a change may be what was found.
                        self.files.watcher.next().await;
                        continue;
                    }
                    noticed = None;
                    self.disk = found;
                    retry = self.reload().await;
                }
                Ok(_) => self.files.watcher.next().await,
                Err(error) => {
                    if retry.is_none() {
                        self.stay(vec![self.unreadable(&error)]);
                    }
                    // When that is over, even if the files are what they were: the problem has to go.
                    retry = Some(Instant::now());
                    self.files.watcher.next().await;
                }
            }
        }
    }

    /// Loads what is on the disk; returns when to try again.
    async fn reload(&mut self) -> Option<Instant> {
        let begun = Instant::now();
        let result = loop {
            let mut launch = Launch::clone(&self.launch);
            launch.generation += 1;
            launch.sources = Some(self.disk.clone());
            launch.skip = Vec::new();
            let uninterrupted = Instant::now() + UNINTERRUPTED;
            let newer = {
                let mut discovery = pin!(discover(&self.fleet, launch, &self.good));
                tokio::select! {
                    result = &mut discovery => break result,
                    newer = newer(&mut self.files, &self.disk, uninterrupted) => newer,
                }
            };
            // The files that it hangs in may be better now.
            self.disk = newer;
        };
        match result {
            Ok(discovery) => {
                self.adopt(discovery);
                tracing::info!(
                    actions = self.offer.actions.len(),
                    problems = self.offer.load_errors.len(),
                    "reloaded within {:?}",
                    begun.elapsed()
                );
                None
            }
            Err(Failed::NotNow(problems)) => {
                self.stay(problems);
                Some(Instant::now() + RETRY)
            }
            Err(Failed::Error(error)) => {
                let message = format!("what was changed cannot be loaded: {error}");
                self.stay(vec![LoadError::new(self.place(), message)]);
                Some(Instant::now() + RETRY)
            }
        }
    }

    fn adopt(&mut self, Discovery { launch, first, offer, good }: Discovery) {
        report(&offer.load_errors, &self.offer.load_errors);
        self.launch = Arc::new(launch);
        self.good = good;
        self.offer = offer.clone();
        // In this order: who sees the new offer gets an interpreter that knows it.
        self.fleet.adopt(self.launch.clone(), first);
        self.publisher.replace(offer);
    }

    /// Everything stays as it was, and these problems say why.
    fn stay(&self, problems: Vec<LoadError>) {
        let mut offer = self.offer.clone();
        for problem in problems {
            let message =
                format!("{}\nThe last good version of all files is still used.", problem.message);
            offer.load_errors.push(LoadError::new(problem.place, message));
        }
        report(&offer.load_errors, &self.offer.load_errors);
        self.publisher.replace(offer);
    }

    fn unreadable(&self, error: &std::io::Error) -> LoadError {
        LoadError::new(self.place(), format!("changed files cannot be read: {error}"))
    }

    fn place(&self) -> String {
        self.launch.root.display().to_string()
    }
}

/// Tells the log of new problems.
pub(super) fn report(problems: &[LoadError], known: &[LoadError]) {
    for problem in problems.iter().filter(|problem| !known.contains(problem)) {
        tracing::warn!(place = problem.place, "{}", problem.message);
    }
}

/// Other files than `disk`, not before `earliest`.
async fn newer(files: &mut Files, disk: &Arc<Sources>, earliest: Instant) -> Arc<Sources> {
    sleep_until(earliest).await;
    loop {
        match files.now().await {
            Ok(found) if found != *disk && !files.watcher.has_news() => return found,
            _ => files.watcher.next().await,
        }
    }
}

impl From<Failed> for PythonError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Error(error) => error,
            // Nothing was good before the first time.
            Failed::NotNow(_) => PythonError::Closed,
        }
    }
}
