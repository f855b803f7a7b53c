//! The import of a MiniTower's database and objects.

mod apps;
mod people;
mod runs;
mod source;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tinpot_access::Directory;
use tinpot_bundle::Apps;
use tinpot_core::access::{AuditWho, Records};
use tinpot_core::store::Session;
use tinpot_core::{Epoch, Result, WorkerId};

use self::apps::KnownApp;
use self::people::KnownTeam;
pub use self::source::{MiniTower, is_minitower};
use crate::ids::IdOf;

/// The notices that are kept. A database with more faults is damaged in one way.
const NOTICES: usize = 1_000;

/// The end of runs that a runner has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActiveRuns {
    /// They have ended as `dead`: it is not known how far they came.
    Dead,
    /// They wait again, and run once more.
    Requeue,
}

/// A new store that a MiniTower moves to. Nothing else may use it meanwhile.
#[derive(Debug)]
#[non_exhaustive]
pub struct ImportTarget {
    /// The users and tokens, with teams.
    pub directory: Directory,
    /// The records of the directory and the apps.
    pub records: Arc<dyn Records>,
    /// The apps.
    pub apps: Apps,
    /// The session of the store.
    pub session: Arc<dyn Session>,
    /// The epoch of the session.
    pub epoch: Epoch,
}

impl ImportTarget {
    /// Describes a new store.
    pub fn new(
        directory: Directory,
        records: Arc<dyn Records>,
        apps: Apps,
        session: Arc<dyn Session>,
        epoch: Epoch,
    ) -> Self {
        Self { directory, records, apps, session, epoch }
    }
}

/// The result of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// The number of teams.
    pub teams: u64,
    /// The number of tokens.
    pub tokens: u64,
    /// The number of runners.
    pub runners: u64,
    /// The number of apps.
    pub apps: u64,
    /// The number of versions, with those that cannot run.
    pub versions: u64,
    /// The number of runs.
    pub runs: u64,
    /// The number of log lines.
    pub log_lines: u64,
    /// The objects that were not taken, or not as they were, in words for people; the first 1,000.
    pub notices: Vec<String>,
    /// The number of notices beyond those.
    pub more_notices: u64,
}

impl Imported {
    fn note(&mut self, notice: String) {
        match self.notices.len() < NOTICES {
            true => self.notices.push(notice),
            false => self.more_notices += 1,
        }
    }
}

/// An import that is under way.
struct Import<'a> {
    source: &'a MiniTower,
    objects: PathBuf,
    target: &'a ImportTarget,
    active: Option<ActiveRuns>,
    by: AuditWho,
    teams: HashMap<i64, KnownTeam>,
    apps: HashMap<i64, KnownApp>,
    workers: HashMap<i64, WorkerId>,
    /// The integer ids that objects keep.
    ids: Vec<(IdOf, String, u64)>,
    done: Imported,
}

/// Copies everything that a MiniTower has to a new store: teams, tokens, runners, apps, versions, and
/// runs with their logs.
///
/// Ids, slugs, and the hashes of passwords and tokens stay, so that people, programs and runners go on
/// as before. The same database may be imported to another store again. After an error, the target is
/// incomplete: discard it.
///
/// Reads the database on the calling thread.
///
/// # Errors
/// `Conflict` if runners have runs, and `active` does not say what becomes of them; `Malformed` if the
/// database cannot be read; those of the target.
pub async fn import(
    source: &MiniTower,
    objects: &Path,
    target: &ImportTarget,
    active: Option<ActiveRuns>,
) -> Result<Imported> {
    source.check_active(active)?;
    let mut import = Import {
        source,
        objects: objects.to_owned(),
        target,
        active,
        by: AuditWho::new("import", "", "minitower"),
        teams: HashMap::new(),
        apps: HashMap::new(),
        workers: HashMap::new(),
        ids: Vec::new(),
        done: Imported::default(),
    };
    if source.later_migrations > 0 {
        let later = source.later_migrations;
        import.done.note(format!(
            "the database has {later} migrations that this version does not know: what they have added \
             is not taken"
        ));
    }
    import.teams().await?;
    import.runners().await?;
    import.apps().await?;
    crate::ids::keep(&*target.records, &import.ids).await?;
    import.runs().await?;
    Ok(import.done)
}

/// Returns the beginning of a text, of at most `bytes` bytes.
fn beginning(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
