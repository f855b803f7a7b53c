//! Trouble of a store that is known, for monitoring and for logs.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, ErrorCode};
use tinpot_core::store::StoreProblem;

use crate::connection;
use crate::error::{Problem, Result};

/// Unreadable records that are remembered, so that each is logged once.
const REMEMBERED: usize = 1_000;

/// The known trouble of one store.
#[derive(Debug, Default)]
pub(crate) struct Damage(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The fault that a check of the database found.
    structure: Option<String>,
    unreadable: BTreeSet<String>,
    is_full: bool,
    /// If true, the file could not be written again after a rewrite of secrets.
    is_unclean: bool,
}

impl Damage {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what was known of an earlier session.
    pub(crate) fn begin(&self) {
        *self.known() = Known::default();
    }

    /// Notes a record that is left out of a list.
    pub(crate) fn skip(&self, record: &str, problem: &Problem) {
        let mut known = self.known();
        if known.unreadable.len() < REMEMBERED && known.unreadable.insert(record.to_owned()) {
            let error = tinpot_core::Error::new(problem.kind(), problem.to_string());
            tracing::error!(record, %error, "skipped a record of the store that cannot be read");
        }
    }

    pub(crate) fn structure(&self, found: String) {
        tracing::error!(found, "the database of the store is damaged; restore a backup");
        self.known().structure = Some(found);
    }

    pub(crate) fn full(&self, is_full: bool) {
        self.known().is_full = is_full;
    }

    /// Notes that what was written over by sealed secrets may still be in the file.
    pub(crate) fn unclean(&self, problem: Problem) {
        let error = tinpot_core::Error::from(problem);
        tracing::error!(
            %error,
            "former secrets may still be in the file of the store, since it cannot be written \
             again; the next start tries it again, and needs free space for a copy of the store"
        );
        self.known().is_unclean = true;
    }

    pub(crate) fn is_full(&self) -> bool {
        self.known().is_full
    }

    /// Returns what is known, without paths and content.
    pub(crate) fn problems(&self) -> Vec<StoreProblem> {
        let known = self.known();
        let full = known
            .is_full
            .then(|| StoreProblem::new("store is full: free space on its disk").blocking());
        let damaged = known
            .structure
            .is_some()
            .then(|| StoreProblem::new("store is damaged: restore a backup").blocking());
        let number = known.unreadable.len();
        let unreadable = (number > 0)
            .then(|| StoreProblem::new(format!("store has records that cannot be read: {number}")));
        let unclean = known.is_unclean.then(|| {
            StoreProblem::new(
                "store may have former secrets in its free space: free as much space on its disk, \
                 and in the folder for temporary files, as the store has, and restart",
            )
        });
        [full, damaged, unreadable, unclean].into_iter().flatten().collect()
    }
}

/// Returns what is wrong with the structure of a database; `None` if nothing is.
pub(crate) fn check(connection: &Connection) -> Result<Option<String>> {
    let found = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match found {
        Ok(text) if text == "ok" => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(error) => match Problem::from(error) {
            problem if problem.kind() == tinpot_core::ErrorKind::Malformed => {
                Ok(Some("its pages cannot be read".to_owned()))
            }
            problem => Err(problem),
        },
    }
}

/// Checks a large database while it is served.
pub(crate) fn check_in_background(path: &Path, damage: &Arc<Damage>) {
    // The store may be closed before it ends.
    let (path, damage) = (path.to_owned(), Arc::downgrade(damage));
    let run = move || match connection::reader(&path).and_then(|reader| check(&reader)) {
        Ok(None) => {}
        Ok(Some(found)) => {
            if let Some(damage) = damage.upgrade() {
                damage.structure(found);
            }
        }
        Err(problem) => {
            let error = tinpot_core::Error::from(problem);
            tracing::warn!(%error, "the database of the store cannot be checked");
        }
    };
    let started = std::thread::Builder::new().name("tinpot-check".to_owned()).spawn(run);
    if let Err(error) = started {
        tracing::warn!(%error, "the database of the store is not checked");
    }
}

/// Returns the problem of a database that cannot be opened, with a way out if it is damaged.
pub(crate) fn explained(problem: Problem, path: &Path) -> Problem {
    match problem {
        Problem::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
            Problem::Damaged { path: path.to_owned(), found: error.to_string() }
        }
        problem => problem,
    }
}

/// Refuses a database that is damaged, before anything is written to it.
pub(crate) fn refuse(connection: &Connection, path: &Path) -> Result<()> {
    match check(connection)? {
        None => Ok(()),
        Some(found) => Err(Problem::Damaged { path: path.to_owned(), found }),
    }
}
