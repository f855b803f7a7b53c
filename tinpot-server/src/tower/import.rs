//! `tinpot tower import`: a MiniTower's database and objects become a store.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use tinpot_access::{ChainAudit, Directory};
use tinpot_bundle::{Apps, FileBlobStore};
use tinpot_core::access::records::Change;
use tinpot_core::access::{Records, Restoration};
use tinpot_core::{Error, ErrorKind, Result, Store, Timestamp};
use tinpot_sqlite::{Retention, SqliteRecords, SqliteStore};
use tinpot_tower::{ActiveRuns, ImportTarget, Imported, MiniTower};

/// The document that names the database from which a store was imported.
const SOURCE: (&str, &str) = ("tower.import", "source");
/// The name of this process in the audit.
const NODE: &str = "import";

/// The settings of an import.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct TowerImport {
    /// The database of MiniTower, which is only read. Stop its server first.
    #[cfg_attr(feature = "clap", arg(long, value_name = "FILE", default_value = "./minitower.db"))]
    pub database: PathBuf,
    /// The objects of MiniTower, which are only read.
    #[cfg_attr(feature = "clap", arg(long, value_name = "DIR", default_value = "./objects"))]
    pub objects: PathBuf,
    /// The file of the new store.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "TINPOT_STORE", value_name = "FILE", default_value = "./tinpot.db")
    )]
    pub store: PathBuf,
    /// The directory that keeps the bundles of apps; by default next to the store, with its name and
    /// .blobs.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_BLOBS", value_name = "DIR"))]
    pub blobs: Option<PathBuf>,
    /// The end of runs that runners have: `dead` ends them as dead, and `requeue` runs them again.
    #[cfg_attr(feature = "clap", arg(long, value_name = "WHAT"))]
    pub active: Option<ActiveChoice>,
    /// Import to a temporary store that is discarded, and print what would be imported.
    #[cfg_attr(feature = "clap", arg(long))]
    pub dry_run: bool,
}

/// The end of runs that runners have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum ActiveChoice {
    /// They have ended, and it is not known how far they came.
    Dead,
    /// They run again.
    Requeue,
}

/// The outcome of an import.
#[derive(Debug)]
#[non_exhaustive]
pub enum TowerImported {
    /// The store was made, or would be made.
    Done {
        /// The numbers of objects that were taken, and the notices.
        taken: Imported,
        /// The directory with the bundles.
        blobs: PathBuf,
    },
    /// The store has this state of the database already.
    Already,
}

impl TowerImport {
    /// Describes the import of a database and its objects to a new store.
    pub fn new(
        database: impl Into<PathBuf>,
        objects: impl Into<PathBuf>,
        store: impl Into<PathBuf>,
    ) -> Self {
        Self {
            database: database.into(),
            objects: objects.into(),
            store: store.into(),
            blobs: None,
            active: None,
            dry_run: false,
        }
    }

    /// Makes the store. It appears at once, when it is complete: an import that was interrupted leaves
    /// no store, and the next one begins again.
    ///
    /// # Errors
    /// `NotFound` or `InvalidInput` if there is no database of a MiniTower; `Conflict` if the store is
    /// there with something else in it, if another import is making it, or if runners have runs and
    /// `active` is not set; `StorageFull`; those of the store.
    #[inline(never)]
    pub fn run(self) -> BoxFuture<'static, Result<TowerImported>> {
        Box::pin(self.run_once())
    }

    async fn run_once(self) -> Result<TowerImported> {
        let source = MiniTower::open(&self.database)?;
        let fingerprint = source.fingerprint()?;
        if self.store.exists() {
            return self.existing(&fingerprint).await;
        }
        if !self.objects.is_dir() {
            let shown = self.objects.display();
            let message =
                format!("no directory {shown}: name the objects of MiniTower with --objects");
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        let blobs = match self.blobs.clone().filter(|path| !path.as_os_str().is_empty()) {
            Some(blobs) => blobs,
            None => with_suffix(&self.store, ".blobs"),
        };
        if is_same(&self.objects, &blobs) {
            let message = "--blobs must be another directory than --objects: those of MiniTower stay \
                           as they are";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let active = self.active.map(|choice| match choice {
            ActiveChoice::Dead => ActiveRuns::Dead,
            ActiveChoice::Requeue => ActiveRuns::Requeue,
        });
        // Before anything is created.
        source.check_active(active)?;
        let draft = Draft::begin(&self.store)?;
        let draft_blobs = draft.folder.join("blobs");
        let to = if self.dry_run { &draft_blobs } else { &blobs };
        let file = draft.folder.join("tinpot.db");
        let store = SqliteStore::builder(&file).retention(Retention::unbounded()).build();
        let (opened, session) = store.open().await?;
        let records: Arc<dyn Records> = Arc::new(store.records());
        let audit = ChainAudit::start(records.clone(), NODE);
        let directory = Directory::builder(records.clone()).audit(Arc::new(audit.clone()));
        let directory = directory.teams(true).open().await?;
        let apps = Apps::new(Arc::new(FileBlobStore::open(to).await?), records.clone());
        let apps = apps.audit(Arc::new(audit));
        let target =
            ImportTarget::new(directory, records.clone(), apps, session.clone(), opened.epoch);
        let taken = tinpot_tower::import(&source, &self.objects, &target, active).await?;
        let (kind, id) = SOURCE;
        let note = format!("{{\"state\":\"{fingerprint}\",\"at\":\"{}\"}}", Timestamp::now());
        records.change(&[Change::create(kind, id, note)]).await?;
        if !self.dry_run {
            // One step, after everything is durable.
            store.backup(&self.store).await?;
            // The copy is no backup: nothing was revoked since.
            Restoration::settle(&SqliteRecords::open(&self.store)).await?;
        }
        session.close().await?;
        drop(draft);
        Ok(TowerImported::Done { taken, blobs })
    }

    /// Tells a store that was imported from this state from all others.
    async fn existing(&self, fingerprint: &str) -> Result<TowerImported> {
        let shown = self.store.display();
        let conflict = |what: String| Err(Error::new(ErrorKind::Conflict, what));
        if tinpot_tower::is_minitower(&self.store) {
            return conflict(format!(
                "{shown} is the database of a MiniTower: name the file of a new store with --store"
            ));
        }
        let records = SqliteRecords::open(&self.store);
        let found = records.get(SOURCE.0, SOURCE.1).await?;
        let found = found.map(|note| String::from_utf8_lossy(&note.document).into_owned());
        match found {
            Some(note) if note.contains(fingerprint) => Ok(TowerImported::Already),
            Some(_) => conflict(format!(
                "{shown} was imported from another state of the database: name the file of a new \
                 store with --store"
            )),
            None => conflict(format!(
                "{shown} is there already, and was not imported: name the file of a new store with \
                 --store"
            )),
        }
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// The folder next to the store in which it is made. It is emptied when the next import begins, and
/// locked while one runs.
struct Draft {
    folder: PathBuf,
    _lock: File,
}

impl Draft {
    fn begin(store: &Path) -> Result<Self> {
        let folder = with_suffix(store, "-import");
        let failed = |what: &str, error: std::io::Error| {
            let message = format!("cannot {what} {}: {error}", folder.display());
            Error::new(ErrorKind::Unavailable, message)
        };
        if let Err(error) = private_folder(&folder)
            && error.kind() != std::io::ErrorKind::AlreadyExists
        {
            return Err(failed("create", error));
        }
        // Not a link: what is in it will be removed.
        if !fs::symlink_metadata(&folder).is_ok_and(|found| found.is_dir()) {
            let message = format!("{} is no directory: move it away", folder.display());
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let lock = File::open(&folder).map_err(|error| failed("open", error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format!("another import makes {} now", store.display());
                return Err(Error::new(ErrorKind::Conflict, message));
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", error)),
        }
        // What an import has left that was interrupted.
        empty(&folder).map_err(|error| failed("empty", error))?;
        Ok(Self { folder, _lock: lock })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // The next import would empty it.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn private_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(folder)
}

/// Removes what an import has left, if there is nothing else.
fn empty(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if name != "blobs" && !name.starts_with("tinpot.db") && name != "store.key" {
            let message = format!("{name} in it is not of an import: move it away");
            return Err(std::io::Error::other(message));
        }
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}
