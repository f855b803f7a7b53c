//! Imports the actions in a first interpreter. A file that breaks keeps its last good version.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tinpot_core::LoadError;
use tinpot_core::executor::ActionSet;

use super::fleet::{First, Fleet};
use super::hazards::{self, Hazards, LateFiles};
use super::launch::Launch;
use super::sources::{Source, Sources};
use crate::child_text::{self, load_error};
use crate::discovered::{Discovered, ImportFailure};
use crate::error::PythonError;

/// The number of files that discovery skips because they kill or hang an interpreter, before it
/// gives up.
const MAX_SKIPPED: usize = 50;
/// The number of rounds with last good versions. One round is enough for files that fail without
/// harm to the interpreter.
const MAX_ROUNDS: usize = 50;

/// The number of templates that are started again without some of the files, before each interpreter
/// imports all.
const MAX_RESTARTS: usize = 3;

/// The last good versions of all files, from earlier discoveries.
#[derive(Clone, Debug, Default)]
pub(super) struct LastGood {
    sources: Arc<Sources>,
    /// The file of each action.
    owners: Arc<BTreeMap<String, String>>,
    /// The files that were not good.
    bad: BTreeSet<String>,
    /// The files that hang while they are imported, with the error. They are not tried again until
    /// they change, because that would delay all other changes.
    stuck: BTreeMap<String, (Arc<Source>, String)>,
    /// The files that are imported late, with the reasons.
    late: BTreeMap<String, String>,
}

/// The action set of a directory, and an interpreter that has imported it.
#[derive(Debug)]
pub(super) struct Discovery {
    pub(super) launch: Launch,
    pub(super) first: First,
    pub(super) action_set: ActionSet,
    pub(super) good: LastGood,
}

/// The reason why discovery failed.
#[derive(Debug)]
pub(super) enum Failed {
    /// Files that were good before fail now, and no changed file is the cause.
    NotNow(Vec<LoadError>),
    Error(PythonError),
}

/// Imports all files in one interpreter.
///
/// A file that kills the interpreter is skipped and reported. If a file that fails has a good
/// version, that is used instead.
pub(super) async fn discover(
    fleet: &Arc<Fleet>,
    launch: Launch,
    good: &LastGood,
) -> Result<Discovery, Failed> {
    let mut attempt = Round::new(launch, good);
    for _ in 0..MAX_ROUNDS + MAX_SKIPPED + MAX_RESTARTS {
        let (first, found) = match fleet.start(&attempt.launch).await {
            Ok(started) => started,
            Err(e) => {
                attempt.handle_death(e)?;
                continue;
            }
        };
        if attempt.use_last_good(&found)? || attempt.import_late(&found.hazards) {
            continue;
        }
        if attempt.launch.late.is_empty() {
            return Ok(attempt.done(First::of(first), found));
        }
        match fleet.copy_first(&attempt.launch, first).await {
            Ok((first, found)) if !attempt.use_last_good(&found)? => {
                return Ok(attempt.done(first, found));
            }
            Ok(_) => {}
            Err(e) if e.importing().is_empty() => attempt.copy_nothing(Hazards {
                reason: format!("no copy works: {}", e.with_cause()),
                files: BTreeMap::new(),
            }),
            Err(e) => attempt.handle_death(e)?,
        }
    }
    let place = child_text::shown(&attempt.launch.root);
    Err(Failed::NotNow(vec![load_error(
        &place,
        "too many changed files kill or hang an interpreter: fix those in the log",
    )]))
}

/// A discovery in progress.
#[derive(Debug)]
struct Round<'a> {
    launch: Launch,
    good: &'a LastGood,
    /// The files that other pools offer, with the actions in them.
    others: Vec<String>,
    /// The errors of skipped files.
    skipped: BTreeMap<String, String>,
    /// The errors of files that keep an earlier version.
    reverted: BTreeMap<String, String>,
    stuck: BTreeMap<String, (Arc<Source>, String)>,
    /// The number of templates that were started again without some of the files.
    restarts: usize,
    /// The reasons why no file is copied.
    hazards: Hazards,
}

impl LastGood {
    fn get(&self, file: &str) -> Option<&Arc<Source>> {
        if self.bad.contains(file) { None } else { self.sources.get(file) }
    }
}

impl<'a> Round<'a> {
    fn new(mut launch: Launch, good: &'a LastGood) -> Self {
        launch.owners = good.owners.clone();
        let others = match &launch.sources {
            Some(sources) => launch.share.others(sources),
            None => launch.others.clone(),
        };
        launch.skip.clone_from(&others);
        let (skipped, reverted, stuck) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (restarts, hazards) = (0, Hazards::default());
        let mut this = Self { launch, good, others, skipped, reverted, stuck, restarts, hazards };
        // A file that has changed may be like the others now.
        let is_as_before = good.late.keys().all(|file| this.source(file) == good.sources.get(file));
        let files = if is_as_before { good.late.clone() } else { BTreeMap::new() };
        this.launch.late = Arc::new(LateFiles { files, ..LateFiles::default() });
        for (file, (source, message)) in &good.stuck {
            if this.source(file) == Some(source) && !this.others.contains(file) {
                this.set_stuck(file, message);
                if this.has_changed(file) {
                    this.revert(file, message);
                } else {
                    this.skip(file, message);
                }
            }
        }
        this
    }

    fn source(&self, file: &str) -> Option<&Arc<Source>> {
        self.launch.sources.as_ref()?.get(file)
    }

    fn set_stuck(&mut self, file: &str, message: &str) {
        if let Some(source) = self.source(file).cloned() {
            self.stuck.insert(file.to_owned(), (source, message.to_owned()));
        }
    }

    fn skip(&mut self, file: &str, message: &str) {
        self.launch.skip.push(file.to_owned());
        self.skipped.insert(file.to_owned(), message.to_owned());
    }

    /// Returns true if another version of the file was good before.
    fn has_changed(&self, file: &str) -> bool {
        self.good.get(file).is_some_and(|good| self.source(file) != Some(good))
    }

    /// Uses the last good version of a file.
    fn revert(&mut self, file: &str, message: &str) {
        let Some(good) = self.good.get(file).cloned() else { return };
        let Some(sources) = &mut self.launch.sources else { return };
        Arc::make_mut(sources).insert(file.to_owned(), good);
        let message = format!("{message}\nThe last good version of {file} stays in use.");
        self.reverted.insert(file.to_owned(), message);
    }

    /// Uses the last good versions of all changed files, because the cause is unknown. Returns
    /// false if no file has changed.
    fn revert_all(&mut self, place: &str, message: &str) -> bool {
        let Some(sources) = &mut self.launch.sources else { return false };
        let changed = |file: &String| self.good.get(file) != sources.get(file);
        let files: Vec<String> =
            self.good.sources.keys().filter(|file| changed(file)).cloned().collect();
        let new: Vec<String> =
            sources.keys().filter(|file| !self.good.sources.contains_key(*file)).cloned().collect();
        let mut back = Vec::new();
        let sources = Arc::make_mut(sources);
        for file in new {
            sources.remove(&file);
            back.push(file);
        }
        for file in files {
            if let Some(good) = self.good.get(&file) {
                sources.insert(file.clone(), good.clone());
                back.push(file);
            }
        }
        if back.is_empty() {
            return false;
        }
        let back = back.join(", ");
        let message = format!(
            "{message}\nThe changes of {back} are not used yet. The last good versions stay in use."
        );
        self.reverted.insert(place.to_owned(), message);
        true
    }

    /// Uses the last good versions where an import failed. Returns true if another round is needed.
    fn use_last_good(&mut self, found: &Discovered) -> Result<bool, Failed> {
        // Finds all culprits before any goes back: a file that several imports fail on is the
        // culprit of all.
        let mut culprits = BTreeMap::new();
        let mut unexplained = Vec::new();
        for (file, load_error) in found.failures() {
            if let Some(culprit) = self.culprit(file, load_error) {
                culprits.entry(culprit).or_insert(&*load_error.message);
            } else if self.good.get(file).is_some() {
                unexplained.push((file, &*load_error.message));
            }
        }
        for (culprit, message) in &culprits {
            self.revert(culprit, message);
        }
        match unexplained.first() {
            // Without the culprits the other imports may succeed.
            _ if !culprits.is_empty() => Ok(true),
            None => Ok(false),
            Some((file, message)) if self.revert_all(file, message) => Ok(true),
            Some(_) => {
                let lost = unexplained.into_iter();
                Err(Failed::NotNow(lost.map(|(file, message)| load_error(file, message)).collect()))
            }
        }
    }

    /// Leaves the files that copies cannot share to the copies. Returns true if another round is needed.
    fn import_late(&mut self, hazards: &Hazards) -> bool {
        if hazards.is_empty() || !self.launch.copies {
            return false;
        }
        if !hazards.reason.is_empty() || self.restarts == MAX_RESTARTS {
            let has_all = self.launch.late.is_empty();
            self.copy_nothing(hazards.clone());
            return !has_all;
        }
        self.restarts += 1;
        Arc::make_mut(&mut self.launch.late).files.extend(hazards.files.clone());
        true
    }

    /// Makes each interpreter import the files itself.
    fn copy_nothing(&mut self, mut hazards: Hazards) {
        hazards.files.extend(self.launch.late.files.clone());
        let place = self.launch.root.display();
        let reasons = std::iter::once(&hazards.reason).chain(hazards.files.values());
        if let Some(reason) = reasons.into_iter().find(|reason| !reason.is_empty()) {
            tracing::info!("each interpreter of {place} imports the files itself: {reason}");
        }
        self.hazards = hazards;
        (self.launch.copies, self.launch.alone) = (false, true);
        self.launch.late = Arc::default();
    }

    /// Returns the changed file that caused a failed import, if it has a good version.
    fn culprit(&self, file: &str, load_error: &ImportFailure) -> Option<String> {
        // A file that was never good is its own culprit, unless one of its imports fails by itself.
        let others = self.good.get(file).map(|_| &load_error.others).into_iter().flatten();
        let mut suspects = load_error.importing.iter().chain(others);
        suspects.find(|suspect| self.has_changed(suspect)).cloned()
    }

    /// Handles the death of an interpreter, or a hang, during the import of a file.
    fn handle_death(&mut self, error: PythonError) -> Result<(), Failed> {
        let importing = error.importing().to_owned();
        let Some(file) = importing.first() else { return Err(Failed::Error(error)) };
        let hangs = matches!(error, PythonError::Silent { .. });
        let advice = if hangs { "\nThe file is not imported again until it changes." } else { "" };
        let message = format!("during the import {error}{advice}");
        if let Some(culprit) = importing.iter().rev().find(|file| self.has_changed(file)) {
            if hangs {
                self.set_stuck(culprit, &message);
            }
            self.revert(culprit, &message);
        } else if self.good.get(file).is_some() {
            if !self.revert_all(file, &message) {
                return Err(Failed::NotNow(vec![load_error(file, &message)]));
            }
        } else if self.skipped.len() < MAX_SKIPPED {
            if hangs {
                self.set_stuck(file, &message);
            }
            self.skip(file, &message);
        } else {
            return Err(Failed::Error(error));
        }
        Ok(())
    }

    fn done(mut self, mut first: First, mut found: Discovered) -> Discovery {
        let files = self.launch.late.files.clone();
        first.isolation = Arc::new(found.isolation());
        self.launch.late = Arc::new(LateFiles::of(files.clone(), &found));
        let mut notices: Vec<LoadError> = self.launch.late.notices().collect();
        if !self.hazards.is_empty() {
            let place = child_text::shown(&self.launch.root);
            notices = hazards::of_directory(&place, &self.hazards);
        }
        found.leave_out(&self.others);
        let mut bad: BTreeSet<String> = self.skipped.keys().cloned().collect();
        for (file, load_error) in found.failures() {
            bad.insert(file.to_owned());
            bad.extend(load_error.importing.first().cloned());
        }
        let load_errors = self.skipped.into_iter().chain(self.reverted);
        let load_errors = load_errors.map(|(place, message)| load_error(&place, &message));
        let load_errors = load_errors.chain(notices).collect();
        let sources = self.launch.sources.clone().unwrap_or_default();
        let owners = Arc::new(found.owners());
        let action_set = found.into_action_set(load_errors);
        Discovery {
            launch: self.launch,
            first,
            action_set,
            good: LastGood { sources, owners, bad, stuck: self.stuck, late: files },
        }
    }
}
