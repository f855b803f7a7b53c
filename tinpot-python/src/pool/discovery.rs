//! Imports the actions in a first interpreter; what broke since the last time keeps its last good version.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tinpot_core::{ActionSet, LoadError};

use super::fleet::Fleet;
use super::interpreter::{Interpreter, Launch};
use super::sources::{Source, Sources};
use crate::discovered::{Discovered, ImportFailure};
use crate::error::PythonError;

/// So many files that kill or hang an interpreter while they are imported are set aside before discovery gives up.
const SKIPPED_MAX: usize = 50;
/// So often it begins again with last good versions; one time settles all files that fail without harming the interpreter.
const ROUNDS_MAX: usize = 50;

/// What imports well, from an earlier discovery.
#[derive(Clone, Debug, Default)]
pub(super) struct Good {
    sources: Arc<Sources>,
    /// Except these.
    bad: BTreeSet<String>,
    /// What hangs when it is imported, and what was said of it. It is not tried again until it changes: that would hold up all other changes.
    stuck: BTreeMap<String, (Arc<Source>, String)>,
}

/// What a directory offers, and an interpreter that has imported it.
#[derive(Debug)]
pub(super) struct Discovery {
    pub(super) launch: Launch,
    pub(super) first: Interpreter,
    pub(super) offer: ActionSet,
    pub(super) good: Good,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum Failed {
    /// What went well before does not any more, and no changed file is the reason.
    NotNow(Vec<LoadError>),
    Error(PythonError),
}

/// Imports everything in one interpreter. A file that takes the interpreter with it is set aside, and reported; and where there is a `good`
/// version of what does not work any more, that is used instead.
pub(super) async fn discover(
    fleet: &Arc<Fleet>,
    launch: Launch,
    good: &Good,
) -> Result<Discovery, Failed> {
    let mut attempt = Try::new(launch, good);
    for _ in 0..ROUNDS_MAX + SKIPPED_MAX {
        match fleet.start(&attempt.launch).await {
            Ok((first, found)) => {
                let broken = attempt.keep_what_was_good(&found)?;
                if !broken {
                    return Ok(attempt.done(first, found));
                }
            }
            Err(e) => attempt.set_aside(e)?,
        }
    }
    let place = attempt.launch.root.display().to_string();
    Err(Failed::NotNow(vec![LoadError::new(
        place,
        "too many changed files kill or hang an interpreter",
    )]))
}

/// A discovery under way.
#[derive(Debug)]
struct Try<'a> {
    launch: Launch,
    good: &'a Good,
    /// What was said of files that are not imported.
    skipped: BTreeMap<String, String>,
    /// What was said of files that keep an earlier version.
    kept: BTreeMap<String, String>,
    stuck: BTreeMap<String, (Arc<Source>, String)>,
}

impl Good {
    fn get(&self, file: &str) -> Option<&Arc<Source>> {
        if self.bad.contains(file) { None } else { self.sources.get(file) }
    }
}

impl<'a> Try<'a> {
    fn new(launch: Launch, good: &'a Good) -> Self {
        let (skipped, kept, stuck) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut this = Self { launch, good, skipped, kept, stuck };
        for (file, (source, message)) in &good.stuck {
            if this.source(file) == Some(source) {
                this.set_stuck(file, message);
                if this.has_changed(file) {
                    this.keep(file, message);
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

    /// Whether another version of the file worked before.
    fn has_changed(&self, file: &str) -> bool {
        self.good.get(file).is_some_and(|good| self.source(file) != Some(good))
    }

    /// Goes back to the last good version of a file.
    fn keep(&mut self, file: &str, message: &str) {
        let Some(good) = self.good.get(file).cloned() else { return };
        let Some(sources) = &mut self.launch.sources else { return };
        Arc::make_mut(sources).insert(file.to_owned(), good);
        let message = format!("{message}\nThe last good version of {file} is still used.");
        self.kept.insert(file.to_owned(), message);
    }

    /// Goes back to the last good versions of all changed files, since it cannot be said which of them it is; `false` when there is none.
    fn keep_all(&mut self, place: &str, message: &str) -> bool {
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
            "{message}\nWhat was changed is not used yet: {back}. The last good version is still used."
        );
        self.kept.insert(place.to_owned(), message);
        true
    }

    /// Goes back to what was good where an import failed; whether it did, and another round is needed.
    fn keep_what_was_good(&mut self, found: &Discovered) -> Result<bool, Failed> {
        // All of them before the first goes back: what several files fail of is to blame for all.
        let mut culprits = BTreeMap::new();
        let mut unexplained = Vec::new();
        for (file, problem) in found.failures() {
            if let Some(culprit) = self.culprit(file, problem) {
                culprits.entry(culprit).or_insert(&*problem.message);
            } else if self.good.get(file).is_some() {
                unexplained.push((file, &*problem.message));
            }
        }
        for (culprit, message) in &culprits {
            self.keep(culprit, message);
        }
        match unexplained.first() {
            // With what is known to be broken out of the way the rest may be fine.
            _ if !culprits.is_empty() => Ok(true),
            None => Ok(false),
            Some((file, message)) if self.keep_all(file, message) => Ok(true),
            Some(_) => {
                let lost = unexplained.into_iter();
                Err(Failed::NotNow(
                    lost.map(|(file, message)| LoadError::new(file, message)).collect(),
                ))
            }
        }
    }

    /// The changed file that is to blame for a failed import, if it has a good version.
    fn culprit(&self, file: &str, problem: &ImportFailure) -> Option<String> {
        // A file that never worked is itself to blame, unless what it imports fails by itself.
        let others = self.good.get(file).map(|_| &problem.others).into_iter().flatten();
        let mut suspects = problem.importing.iter().chain(others);
        suspects.find(|suspect| self.has_changed(suspect)).cloned()
    }

    /// An interpreter did not survive the import of a file, or got stuck in it.
    fn set_aside(&mut self, error: PythonError) -> Result<(), Failed> {
        let importing = error.importing().to_owned();
        let Some(file) = importing.first() else { return Err(Failed::Error(error)) };
        let hangs = matches!(error, PythonError::Silent { .. });
        let advice = if hangs { "\nIt is not tried again until it changes." } else { "" };
        let message = format!("while it was imported, {error}{advice}");
        if let Some(culprit) = importing.iter().rev().find(|file| self.has_changed(file)) {
            if hangs {
                self.set_stuck(culprit, &message);
            }
            self.keep(culprit, &message);
        } else if self.good.get(file).is_some() {
            if !self.keep_all(file, &message) {
                return Err(Failed::NotNow(vec![LoadError::new(&**file, message)]));
            }
        } else if self.skipped.len() < SKIPPED_MAX {
            if hangs {
                self.set_stuck(file, &message);
            }
            self.skip(file, &message);
        } else {
            return Err(Failed::Error(error));
        }
        Ok(())
    }

    fn done(self, first: Interpreter, found: Discovered) -> Discovery {
        let mut bad: BTreeSet<String> = self.skipped.keys().cloned().collect();
        for (file, problem) in found.failures() {
            bad.insert(file.to_owned());
            bad.extend(problem.importing.first().cloned());
        }
        let problems = self.skipped.into_iter().chain(self.kept);
        let problems = problems.map(|(place, message)| LoadError::new(place, message)).collect();
        let sources = self.launch.sources.clone().unwrap_or_default();
        let offer = found.into_offer(problems);
        Discovery {
            launch: self.launch,
            first,
            offer,
            good: Good { sources, bad, stuck: self.stuck },
        }
    }
}
