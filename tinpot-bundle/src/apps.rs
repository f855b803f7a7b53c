//! Apps: named lines of immutable versions.

mod active;
mod collect;
mod content;
mod deploy;
mod diff;
mod documents;
mod import;
mod imported;
mod remove;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use tinpot_core::access::records::{Change, Record, Records};
use tinpot_core::access::{AuditDecision, AuditEvent, AuditSink, AuditTarget, AuditWho};
use tinpot_core::observer::Observer;
use tinpot_core::{Coordinator, Error, ErrorKind, Result, Timestamp};
use tokio::sync::{Mutex, Semaphore};

pub use self::collect::{Collected, Collection, Uses};
pub use self::deploy::{Deploy, DeployOptions, Deployment};
pub use self::diff::{FileChange, TextChange};
use self::documents::{APP, VERSION, app_id, version_id};
pub use self::documents::{App, Version};
pub(crate) use self::documents::{read, write};
pub use self::import::{ImportedApp, PastApp, PastVersion};
pub use self::imported::{IMPORT_ACTION, IMPORT_FAILED};
use crate::blob::BlobStore;
use crate::digest::Digest;
use crate::failpoint::failpoint;
use crate::limits::Limits;
use crate::towerfile::check_app_name;
use crate::uploads::{Arriving, Uploads};

/// The documents of one page.
const PAGE: usize = 1_000;
/// The tries of one change while other processes change the same app.
const TRIES: usize = 32;
/// The archives that are inflated at one time. Each takes a core.
const CHECKS: usize = 2;

/// The apps of all teams: their records, and the blobs of their versions.
///
/// - Versions are numbered from 1 on, without gap or repeat, also with several writers.
/// - A version never changes, until it is pruned. One of them is active: new submissions run it.
/// - A deploy stores the blobs first, then the record of the version, and then activates it. After a
///   crash there may be a blob without a version, or a version that is not active.
/// - With [`attach`](Self::attach), each app is an action of a coordinator, which holds the active
///   version.
/// - A team sees only the blobs that it has uploaded itself.
///
/// Clones are the same apps.
///
/// ```
/// # use std::sync::Arc;
/// # use tinpot_core::access::{AuditWho, MemoryRecords};
/// use tinpot_bundle::{Apps, Deploy, Deployment, MemoryBlobStore, PackOptions, PutOptions, body, pack};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # std::fs::write(folder.path().join("Towerfile"), "[app]\nname = \"hello\"\nscript = \"main.sh\"\n")?;
/// # std::fs::write(folder.path().join("main.sh"), "echo hello\n")?;
/// # let by = AuditWho::new("operator", "", "root");
/// let apps = Apps::new(Arc::new(MemoryBlobStore::new()), Arc::new(MemoryRecords::new()));
/// apps.create(&by, "default", "hello", "").await?;
///
/// let mut packed = pack(folder.path(), &PackOptions::default())?;
/// let (mut archive, manifest) = (Vec::new(), packed.manifest.to_bytes()?);
/// std::io::Read::read_to_end(&mut packed.archive, &mut archive)?;
/// apps.put_blob("default", body(archive), PutOptions::default()).await?;
/// apps.put_blob("default", body(manifest), PutOptions::default()).await?;
///
/// let deploy = Deploy::new(&packed.manifest)?;
/// let deployed = apps.deploy(&by, "default", "hello", &deploy, &|_| Ok(())).await?;
/// assert!(matches!(deployed, Deployment::Created(version) if version.number == 1));
/// let app = apps.app("default", "hello").await?;
/// assert_eq!((app.active, app.action_names()), (Some(1), vec!["hello"]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Apps {
    blobs: Arc<dyn BlobStore>,
    records: Arc<dyn Records>,
    audit: Option<Arc<dyn AuditSink>>,
    coordinator: Option<Coordinator>,
    observer: Option<Arc<dyn Observer>>,
    limits: Limits,
    rules: Collection,
    uses: Uses,
    /// Held while an app changes, so that writers of one process do not repeat each other's work.
    changing: Arc<Mutex<()>>,
    checks: Arc<Semaphore>,
    /// The archives of bundles, which never change.
    archives: Arc<std::sync::Mutex<VecDeque<(Digest, Digest)>>>,
    /// The uploads that arrive.
    arriving: Arc<Arriving>,
}

impl fmt::Debug for Apps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Apps").field("blobs", &self.blobs).finish_non_exhaustive()
    }
}

/// A change of an app, with what the audit says about it.
struct Step {
    what: &'static str,
    detail: String,
    /// The change of other documents.
    more: Option<Change>,
    /// If true, the coordinator gets the active version before it is recorded.
    announced: bool,
}

impl Apps {
    /// Creates the apps of these stores.
    pub fn new(blobs: Arc<dyn BlobStore>, records: Arc<dyn Records>) -> Self {
        Self {
            blobs,
            records,
            audit: None,
            coordinator: None,
            observer: None,
            limits: Limits::default(),
            rules: Collection::default(),
            uses: Uses::default(),
            changing: Arc::default(),
            checks: Arc::new(Semaphore::new(CHECKS)),
            archives: Arc::default(),
            arriving: Arc::default(),
        }
    }

    /// Sets the sink for changes. A change fails if it cannot be recorded.
    #[must_use]
    pub fn audit(mut self, audit: Arc<dyn AuditSink>) -> Self {
        self.audit = Some(audit);
        self
    }

    /// Sets the observer of deploys.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Sets the limits of bundles.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Returns the store of the blobs.
    pub fn blobs(&self) -> &Arc<dyn BlobStore> {
        &self.blobs
    }

    /// Returns the bytes that callers upload, which are in the same stores.
    pub fn uploads(&self) -> Uploads {
        let (blobs, records) = (self.blobs.clone(), self.records.clone());
        Uploads::new(blobs, records, &self.rules, self.arriving.clone())
    }

    /// Returns the limits of bundles.
    pub fn bundle_limits(&self) -> &Limits {
        &self.limits
    }

    /// Creates an app without versions.
    ///
    /// # Errors
    /// `InvalidInput` for a name that no Towerfile can have, or a long description; `Conflict` if
    /// there is such an app; those of the records and the audit.
    pub async fn create(
        &self,
        by: &AuditWho,
        team: &str,
        name: &str,
        description: &str,
    ) -> Result<App> {
        let _changing = self.changing.lock().await;
        let app = new_app(by, team, name, description)?;
        let taken = || Error::new(ErrorKind::Conflict, format!("there is an app {name:?} already"));
        if self.records.get(APP, &app_id(team, name)).await?.is_some() {
            return Err(taken());
        }
        self.record(by, "app.create", &app, String::new()).await?;
        let change = Change::create(APP, app_id(team, name), write(&app)?);
        match self.records.change(&[change]).await {
            Err(error) if error.kind() == ErrorKind::Conflict => Err(taken()),
            changed => changed.map(|_| app),
        }
    }

    /// Returns an app.
    ///
    /// # Errors
    /// `NotFound` if there is none; those of the records.
    pub async fn app(&self, team: &str, name: &str) -> Result<App> {
        self.find(team, name).await.map(|(_, app)| app)
    }

    async fn find(&self, team: &str, name: &str) -> Result<(Record, App)> {
        let Some(record) = self.records.get(APP, &app_id(team, name)).await? else {
            return Err(unknown_app(name));
        };
        let app = read(&record)?;
        Ok((record, app))
    }

    /// Returns the apps of a team, by name.
    ///
    /// # Errors
    /// Those of the records.
    pub async fn list(&self, team: &str) -> Result<Vec<App>> {
        let prefix = app_id(team, "");
        let (mut apps, mut after) = (Vec::new(), prefix.clone());
        loop {
            let page = self.records.list(APP, &after, PAGE).await?;
            let of_team = page.iter().take_while(|record| record.id.starts_with(&prefix));
            let before = apps.len();
            for record in of_team {
                apps.push(read(record)?);
            }
            match page.last() {
                Some(last) if apps.len() - before == page.len() => after = last.id.to_string(),
                _ => return Ok(apps),
            }
        }
    }

    /// Returns a version.
    ///
    /// # Errors
    /// `NotFound` if there is no such app or version; those of the records.
    pub async fn version(&self, team: &str, app: &str, number: u32) -> Result<Version> {
        match self.records.get(VERSION, &version_id(team, app, number)).await? {
            Some(record) => read(&record),
            None => {
                let App { versions, .. } = self.app(team, app).await?;
                let hint = match versions {
                    0 => "it has none yet".to_owned(),
                    latest => format!("the latest is {latest}"),
                };
                let message = format!("app {app:?} has no version {number}; {hint}");
                Err(Error::new(ErrorKind::NotFound, message))
            }
        }
    }

    /// Returns versions with numbers below `before`, the newest first: at most `limit` of them, and
    /// at most [`MAX_VERSIONS`].
    ///
    /// # Errors
    /// `NotFound` if there is no such app; those of the records.
    pub async fn versions(
        &self,
        team: &str,
        app: &str,
        before: Option<u32>,
        limit: usize,
    ) -> Result<Vec<Version>> {
        let app = self.app(team, app).await?;
        let end = before.map_or(app.versions, |before| app.versions.min(before.saturating_sub(1)));
        let limit = u32::try_from(limit.min(MAX_VERSIONS)).unwrap_or_default().min(end);
        let page = self.version_records(&app, end - limit, end).await?;
        page.iter().rev().map(read).collect()
    }

    /// Returns the records of the versions after one number and up to another, the oldest first.
    async fn version_records(&self, app: &App, after: u32, end: u32) -> Result<Vec<Record>> {
        // There is no gap, so the page is known by its numbers.
        let id = version_id(&app.team, &app.name, after);
        self.records.list(VERSION, &id, (end - after) as usize).await
    }

    /// Makes a version the active one: also an earlier one, which is a rollback.
    ///
    /// # Errors
    /// `NotFound` if there is no such app or version; `Conflict` if the version was pruned; those of
    /// the records and the audit.
    pub async fn activate(
        &self,
        by: &AuditWho,
        team: &str,
        name: &str,
        number: u32,
    ) -> Result<App> {
        self.make_active(by, team, name, number, |_| true).await
    }

    /// Makes a version the active one if `is_due` says so of the one that is active.
    async fn make_active(
        &self,
        by: &AuditWho,
        team: &str,
        name: &str,
        number: u32,
        is_due: impl Fn(Option<u32>) -> bool + Send + Sync,
    ) -> Result<App> {
        let _changing = self.changing.lock().await;
        let version = self.version(team, name, number).await?;
        if version.pruned_at.is_some() {
            let message = format!(
                "version {number} of app {name:?} was pruned, and cannot run: deploy its files again"
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        // Two apps may have been deployed at one time.
        self.check_names(team, name, &self.actions(&version).await?).await?;
        self.update_alone(by, team, name, |app| {
            if !is_due(app.active) {
                return Ok(None);
            }
            let former = app.active.replace(number);
            let detail = match former {
                Some(former) if former == number => return Ok(None),
                Some(former) => format!("version {number} instead of {former}"),
                None => format!("version {number}"),
            };
            Ok(Some(Step { what: "app.activate", detail, more: None, announced: true }))
        })
        .await
    }

    /// Enables or disables an app.
    ///
    /// # Errors
    /// `NotFound` if there is none; those of the records and the audit.
    pub async fn set_enabled(
        &self,
        by: &AuditWho,
        team: &str,
        name: &str,
        enabled: bool,
    ) -> Result<App> {
        self.update(by, team, name, |app| {
            if app.enabled == enabled {
                return Ok(None);
            }
            app.enabled = enabled;
            let what = if enabled { "app.enable" } else { "app.disable" };
            Ok(Some(Step { what, detail: String::new(), more: None, announced: true }))
        })
        .await
    }

    /// Changes an app until no other process comes between.
    async fn update(
        &self,
        by: &AuditWho,
        team: &str,
        name: &str,
        change: impl FnMut(&mut App) -> Result<Option<Step>> + Send,
    ) -> Result<App> {
        let _changing = self.changing.lock().await;
        self.update_alone(by, team, name, change).await
    }

    /// Changes an app, as [`update`](Self::update) does, for a caller that holds the lock.
    async fn update_alone(
        &self,
        by: &AuditWho,
        team: &str,
        name: &str,
        mut change: impl FnMut(&mut App) -> Result<Option<Step>> + Send,
    ) -> Result<App> {
        for _ in 0..TRIES {
            let (record, mut app) = self.find(team, name).await?;
            let former = app.active;
            let Some(Step { what, detail, more, announced }) = change(&mut app)? else {
                self.announce(&app).await?;
                return Ok(app);
            };
            app.updated_at = Timestamp::now();
            if app.active != former {
                self.learn_actions(&mut app, former).await?;
            }
            self.record(by, what, &app, detail).await?;
            failpoint("apps.audited");
            if announced && let Err(error) = self.announce(&app).await {
                self.record_failure(by, what, &app, &error).await;
                return Err(error);
            }
            failpoint("apps.announced");
            let mut changes = vec![Change::replace(APP, record.id, record.version, write(&app)?)];
            changes.extend(more);
            match self.records.change(&changes).await {
                Ok(_) => {
                    failpoint("apps.recorded");
                    return Ok(app);
                }
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        let message = format!("the app {name:?} is being changed by others: try again");
        Err(Error::new(ErrorKind::Unavailable, message))
    }

    async fn record(
        &self,
        by: &AuditWho,
        what: &'static str,
        app: &App,
        detail: String,
    ) -> Result<()> {
        let Some(audit) = &self.audit else { return Ok(()) };
        let event = AuditEvent::new(Timestamp::now(), by.clone(), what)
            .target(AuditTarget::new(APP, app.name.clone()).team(app.team.clone()))
            .detail(detail);
        let recorded = audit.record(&[event]).await;
        recorded.map_err(|error| error.with_context("nothing was changed, since the audit failed"))
    }

    /// Records that a change failed, which was recorded before it was made.
    async fn record_failure(&self, by: &AuditWho, what: &'static str, app: &App, error: &Error) {
        let Some(audit) = &self.audit else { return };
        let event = AuditEvent::new(Timestamp::now(), by.clone(), what)
            .target(AuditTarget::new(APP, app.name.clone()).team(app.team.clone()))
            .decided(AuditDecision::Failed, error.to_string());
        if let Err(error) = audit.record(&[event]).await {
            tracing::warn!("the failure of a change is not in the audit: {error}");
        }
    }
}

/// The largest number of versions that one call of [`Apps::versions`] returns.
pub const MAX_VERSIONS: usize = 1_000;
/// The longest description of an app.
const MAX_DESCRIPTION_BYTES: usize = 4 * 1024;

/// Returns an app without versions, which is not recorded yet.
fn new_app(by: &AuditWho, team: &str, name: &str, description: &str) -> Result<App> {
    check_app_name(name).map_err(|rule| invalid(format!("the name of an app {rule}")))?;
    if description.len() > MAX_DESCRIPTION_BYTES {
        let (max, got) = (MAX_DESCRIPTION_BYTES, description.len());
        return Err(invalid(format!("description must have at most {max} bytes (got {got})")));
    }
    let now = Timestamp::now();
    Ok(App {
        team: team.into(),
        name: name.into(),
        description: description.to_owned(),
        enabled: true,
        active: None,
        versions: 0,
        created_at: now,
        created_by: by.name.clone(),
        updated_at: now,
        actions: Vec::new(),
        active_actions: Vec::new(),
    })
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

fn unknown_app(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("app {name:?} not found"))
}
