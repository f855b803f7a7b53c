//! Deployed folders of Python actions: a pool for each bundle in use.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tinpot_bundle::worker::{self, BundleEnvironment, BundleEnvironments, Fetch, FetchBlob, Tree};
use tinpot_bundle::{Digest, IMPORT_ACTION, IMPORT_FAILED, Runtime, Towerfile, read_towerfile};
use tinpot_core::executor::{ActionSet, Attempt};
use tinpot_core::observer::Observer;
use tinpot_core::{
    BundleRef, Context, Error, ErrorKind, Executor, Failure, Json, LoadError, Outcome, Result,
    Watcher,
};
use tinpot_venv::{Cache, LazyCache};
use tokio::sync::{OnceCell, watch};

use crate::package::OwnDirectory;
use crate::pool::{PythonPool, PythonPoolBuilder};

/// The pools without an attempt that stay warm.
const POOLS: usize = 4;
/// The bundles that could not be loaded, which the offer names.
const BROKEN: usize = 16;
/// The load errors that a failure names.
const LOAD_ERRORS: usize = 5;
/// The longest time without a further byte of a bundle.
const FETCH_PATIENCE: Duration = Duration::from_secs(60);

/// Runs deployed Python actions, which come as bundles: one [`PythonPool`] for each bundle in use.
///
/// It offers the runtime `python`. The first attempt of a bundle fetches the bundle, unless it is in
/// the cache, and imports a copy of its files. The pool then stays warm until other bundles were
/// used more recently.
///
/// With [`environments`](BundlePoolsBuilder::environments), a bundle with a `requirements.txt` gets a
/// Python environment of its own. Otherwise packages come from that of the pools.
///
/// A bundle that cannot be imported fails its attempts, and is among the load errors of the offer
/// until an attempt finds it in order.
///
/// # Examples
/// ```no_run
/// use std::sync::Arc;
///
/// use tinpot_bundle::worker::FetchBlob;
/// use tinpot_python::{BundlePools, PythonPool};
///
/// # fn example(bundles: Arc<dyn FetchBlob>) {
/// // The directory of the template is not used.
/// let executor = BundlePools::builder(PythonPool::builder(".").size(4), bundles).build();
/// // Add it to a worker with `WorkerBuilder::executor`.
/// # let _ = executor;
/// # }
/// ```
pub struct BundlePools {
    config: BundlePoolsBuilder,
    cache: LazyCache,
    /// The pools, the one that was used last at the end.
    pools: Mutex<Vec<(Digest, Slot)>>,
    offer: watch::Sender<Arc<ActionSet>>,
    /// The bundles that could not be loaded, the latest at the end.
    broken: Mutex<Vec<(Digest, LoadError)>>,
    closed: watch::Sender<bool>,
}

/// The pool of a bundle, once it has started. Attempts hold it while they use it.
type Slot = Arc<OnceCell<Running>>;

/// Configures [`BundlePools`].
#[derive(Clone, Debug)]
pub struct BundlePoolsBuilder {
    template: PythonPoolBuilder,
    source: Arc<dyn FetchBlob>,
    environments: Option<Arc<dyn BundleEnvironments>>,
    cache: Option<PathBuf>,
    observer: Option<Arc<dyn Observer>>,
    fetch_patience: Duration,
    pools: usize,
}

#[derive(Debug)]
struct Running {
    /// The name of the app.
    app: String,
    pool: PythonPool,
    _environment: Option<BundleEnvironment>,
    _folder: OwnDirectory,
}

/// The reason why the pool of a bundle did not start.
enum NotReady {
    /// The worker cannot do it now: another may, or this one later.
    NotNow(Error),
    /// The bundle of this app is at fault.
    Broken(Option<String>, Failure),
    /// Something else ends the attempt.
    Ended(Outcome),
}

impl BundlePools {
    /// The name of the folder from which bundles are imported, on every machine.
    pub const FOLDER: &str = "actions";

    /// Returns a builder for pools that are configured like `template`, apart from its directory, and
    /// whose bundles come from `source`.
    pub fn builder(template: PythonPoolBuilder, source: Arc<dyn FetchBlob>) -> BundlePoolsBuilder {
        BundlePoolsBuilder {
            template,
            source,
            environments: None,
            cache: None,
            observer: None,
            fetch_patience: FETCH_PATIENCE,
            pools: POOLS,
        }
    }
}

impl BundlePoolsBuilder {
    /// Sets the directory of the cache, which several workers can share. The default is `tinpot` in
    /// the cache directory of the user.
    #[must_use]
    pub fn cache(mut self, path: impl Into<PathBuf>) -> Self {
        self.cache = Some(path.into());
        self
    }

    /// Sets what makes the Python environments of bundles with requirements.
    #[must_use]
    pub fn environments(mut self, environments: Arc<dyn BundleEnvironments>) -> Self {
        self.environments = Some(environments);
        self
    }

    /// Sets how long a fetch may go without a further byte before the attempt is not started; 60 s
    /// by default.
    #[must_use]
    pub fn fetch_patience(mut self, patience: Duration) -> Self {
        self.fetch_patience = patience;
        self
    }

    /// Sets the number of pools that stay warm without an attempt; 4 by default.
    #[must_use]
    pub fn pools(mut self, number: usize) -> Self {
        self.pools = number;
        self
    }

    /// Sets the observer of the cache.
    #[must_use]
    pub fn observer(mut self, observer: Option<Arc<dyn Observer>>) -> Self {
        self.observer = observer;
        self
    }

    /// Returns the executor. It starts nothing before the first attempt.
    pub fn build(self) -> BundlePools {
        BundlePools {
            cache: LazyCache::new(self.cache.clone(), Cache::DEFAULT_BYTES)
                .observer(self.observer.clone()),
            config: self,
            pools: Mutex::default(),
            offer: watch::Sender::new(Arc::new(offer(&[]))),
            broken: Mutex::default(),
            closed: watch::Sender::new(false),
        }
    }
}

impl BundlePools {
    fn lock(&self) -> MutexGuard<'_, Vec<(Digest, Slot)>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the slot of a bundle, which is then the one that was used last.
    fn slot(&self, bundle: &Digest) -> Slot {
        let mut pools = self.lock();
        let known = pools.iter().position(|(of, _)| of == bundle);
        let (of, slot) = known.map_or_else(|| (*bundle, Slot::default()), |at| pools.remove(at));
        pools.push((of, slot.clone()));
        slot
    }

    /// Closes the pools that no attempt uses, the one that was used first, until few are left.
    fn shrink(&self) {
        let mut pools = self.lock();
        // What did not start is not kept.
        pools.retain(|(_, slot)| slot.initialized() || Arc::strong_count(slot) > 1);
        while pools.len() > self.config.pools {
            // Slots are handed out under this lock.
            let idle = pools.iter().position(|(_, slot)| Arc::strong_count(slot) == 1);
            let Some(at) = idle else { return };
            let (_, slot) = pools.remove(at);
            if let Some(running) = Arc::into_inner(slot).and_then(OnceCell::into_inner) {
                tokio::spawn(async move {
                    if let Err(error) = running.pool.close().await {
                        tracing::warn!(%error, "a pool was not closed cleanly");
                    }
                });
            }
        }
    }

    async fn start(
        &self,
        bundle: &Digest,
        attempt: &Attempt,
        context: &Context,
    ) -> std::result::Result<Running, NotReady> {
        let fetch = Fetch {
            source: &*self.config.source,
            ticket: attempt.ticket.as_ref(),
            patience: self.config.fetch_patience,
        };
        let tree = Tree::of(self.cache.get().await?, bundle, &fetch).await?;
        let (folder, root, towerfile) = blocking(move || copy(&tree)).await?;
        let started = self.start_pool(root, &towerfile, context).await;
        let (pool, environment) = started.map_err(|error| error.of(&towerfile.name))?;
        Ok(Running { app: towerfile.name, pool, _environment: environment, _folder: folder })
    }

    async fn start_pool(
        &self,
        root: PathBuf,
        towerfile: &Towerfile,
        context: &Context,
    ) -> std::result::Result<(PythonPool, Option<BundleEnvironment>), NotReady> {
        let environment = match &self.config.environments {
            Some(environments) => environments.prepare(&root, towerfile, context).await?,
            None => None,
        };
        let mut builder = self.config.template.clone().at(root).of_bundle(towerfile);
        if let Some(environment) = &environment {
            builder = builder.python(environment.python());
        }
        Ok((builder.start().await?, environment))
    }

    async fn run(&self, bundle: &BundleRef, mut attempt: Attempt, context: Context) -> Outcome {
        let slot = self.slot(&bundle.bundle);
        let mut closed = self.closed.subscribe();
        let running = tokio::select! {
            biased;
            _ = context.stopped() => return Outcome::Cancelled,
            _ = closed.wait_for(|closed| *closed) => {
                return Outcome::failed("the executor was closed");
            }
            running = slot.get_or_try_init(|| self.start(&bundle.bundle, &attempt, &context)) => {
                running
            }
        };
        let (app, pool) = match running {
            Ok(Running { app, pool, .. }) => (app, pool),
            Err(NotReady::NotNow(error)) if error.kind() == ErrorKind::NotFound => {
                return Outcome::bundle_gone(&bundle.bundle);
            }
            Err(NotReady::NotNow(error)) => return Outcome::not_started(error.message()),
            Err(NotReady::Ended(outcome)) => return outcome,
            Err(NotReady::Broken(app, failure)) => {
                // The deploy says why, and no version has the bundle.
                if *attempt.action != *IMPORT_ACTION {
                    self.note_broken(bundle, app.as_deref(), &failure.message);
                }
                return Outcome::Failed(failure);
            }
        };
        let offered = pool.actions().current();
        let is_there = offered.actions.iter().any(|action| action.name == *attempt.action);
        if !is_there && *attempt.action == *IMPORT_ACTION {
            // The version that the deploy makes is another bundle: it states the actions.
            self.forget(&slot);
            return imported(&offered);
        }
        if !is_there {
            let failure = mismatch(&attempt.action, &offered);
            self.note_broken(bundle, Some(app), &failure.message);
            self.forget(&slot);
            return Outcome::Failed(failure);
        }
        self.note_sound(bundle);
        attempt.bundle = None;
        pool.execute(attempt, context).await
    }

    /// Lets the next attempt import a bundle again: what is missing may be there by then.
    fn forget(&self, slot: &Slot) {
        self.lock().retain(|(_, other)| !Arc::ptr_eq(other, slot));
    }

    /// Adds a bundle to those that could not be loaded.
    fn note_broken(&self, bundle: &BundleRef, app: Option<&str>, message: &str) {
        let app = app.map_or_else(|| "an app".to_owned(), |app| format!("app {app}"));
        let place = format!("version {} of {app}", bundle.version);
        self.change_broken(bundle, Some(LoadError::new(place, message).of_bundle(bundle.bundle)));
    }

    /// Removes a bundle from those that could not be loaded.
    fn note_sound(&self, bundle: &BundleRef) {
        self.change_broken(bundle, None);
    }

    fn change_broken(&self, bundle: &BundleRef, error: Option<LoadError>) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        let known = broken.iter().position(|(of, _)| *of == bundle.bundle);
        let is_same = known.map(|at| &broken[at].1) == error.as_ref();
        // The worker says what it offers with each change.
        if is_same {
            return;
        }
        if let Some(known) = known {
            broken.remove(known);
        }
        if let Some(error) = error {
            if broken.len() >= BROKEN {
                broken.remove(0);
            }
            broken.push((bundle.bundle, error));
        }
        // Under the lock, so that the latest offer is that of the latest change.
        self.offer.send_replace(Arc::new(offer(&broken)));
    }
}

impl PythonPoolBuilder {
    /// Takes the settings of a bundle, as a worker does: its variables, its import paths and its
    /// limits.
    #[must_use]
    pub fn of_bundle(mut self, towerfile: &Towerfile) -> Self {
        let extras = &towerfile.tinpot;
        for (name, value) in &extras.env {
            self = self.env(name, value);
        }
        if !towerfile.import_paths.is_empty() {
            let paths = towerfile.import_paths.iter();
            let paths = paths.map(|path| self.root().join(path.trim_start_matches('/')));
            let joined = std::env::join_paths(paths).unwrap_or_else(|_| OsString::new());
            self = self.env("PYTHONPATH", joined);
        }
        let Some(own) = extras.limits else { return self };
        let mut limits = self.default_limits();
        limits.memory_bytes = own.memory_bytes.or(limits.memory_bytes);
        limits.output_bytes = own.output_bytes.or(limits.output_bytes);
        limits.cpu = own.cpu_seconds.map(|s| Duration::from_secs(s.into())).or(limits.cpu);
        self.limits(limits)
    }
}

/// Returns the offer with these bundles that could not be loaded.
fn offer(broken: &[(Digest, LoadError)]) -> ActionSet {
    let offer = ActionSet::default().runtime(Runtime::Python.as_str());
    broken.iter().fold(offer, |offer, (_, error)| offer.load_error(error.clone()))
}

impl NotReady {
    /// Names the app.
    fn of(self, app: &str) -> Self {
        match self {
            Self::Broken(_, failure) => Self::Broken(Some(app.to_owned()), failure),
            other => other,
        }
    }
}

impl From<Error> for NotReady {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Unavailable
            | ErrorKind::StorageFull
            | ErrorKind::Forbidden
            | ErrorKind::NotFound => Self::NotNow(error),
            _ => Self::Broken(None, Failure::new(error.message()).kind("SetupFailed")),
        }
    }
}

impl From<Outcome> for NotReady {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Failed(failure) if failure.kind == "SetupFailed" => {
                Self::Broken(None, failure)
            }
            other => Self::Ended(other),
        }
    }
}

/// Copies a bundle to a folder of its own: what actions write next to their files must not change the
/// cache. Blocks the thread.
fn copy(tree: &Tree) -> Result<(OwnDirectory, PathBuf, Towerfile)> {
    let towerfile = read_towerfile(tree.path())?;
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::Unavailable, format!("cannot create a temporary folder: {error}"))
    };
    let folder = OwnDirectory::create().map_err(failed)?;
    let root = folder.path().join(BundlePools::FOLDER);
    std::fs::create_dir(&root).map_err(failed)?;
    worker::copy(tree.path(), &worker::entries(tree.path())?, &root)?;
    Ok((folder, root, towerfile))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Error::new(ErrorKind::Closed, "the runtime ends")))
}

/// Returns what could not be loaded.
fn errors_of(offered: &ActionSet) -> impl Iterator<Item = &LoadError> {
    offered.load_errors.iter().filter(|error| !error.notice)
}

/// Returns the outcome of an attempt that asks for the actions of its bundle.
fn imported(offered: &ActionSet) -> Outcome {
    let errors: Vec<&LoadError> = errors_of(offered).collect();
    // The disk is full, or no interpreter starts.
    if let Some(error) = errors.iter().find(|error| error.blocking) {
        return Outcome::not_started(format!("{}: {}", error.place, error.message));
    }
    if errors.is_empty() {
        let actions: Vec<_> = offered.actions.iter().map(|action| &**action).collect();
        return Json::serialize(&actions)
            .map_or_else(|error| Outcome::failed(error.to_string()), Outcome::Succeeded);
    }
    let errors = errors.iter().take(LOAD_ERRORS);
    let lines: Vec<String> =
        errors.map(|error| format!("{}: {}", error.place, error.message)).collect();
    Outcome::Failed(Failure::new(lines.join("\n")).kind(IMPORT_FAILED))
}

/// Returns the failure of an attempt whose action is not in its bundle, as this worker imports it.
fn mismatch(action: &str, offered: &ActionSet) -> Failure {
    let mut message = format!(
        "action {action:?} is not in its bundle as this worker imports it: does its Python have the \
         packages that the bundle needs?"
    );
    for error in errors_of(offered).take(LOAD_ERRORS) {
        message.push_str(&format!("\n{}: {}", error.place, error.message));
    }
    Failure::new(message).kind("BundleMismatch")
}

#[async_trait]
impl Executor for BundlePools {
    fn actions(&self) -> Watcher<Arc<ActionSet>> {
        self.offer.subscribe().into()
    }

    async fn execute(&self, attempt: Attempt, context: Context) -> Outcome {
        if *self.closed.borrow() {
            return Outcome::failed("the executor is closed");
        }
        if context.stop_requested().is_some() {
            return Outcome::Cancelled;
        }
        let Some(bundle) = attempt.bundle.clone() else {
            return Outcome::failed(format!("there is no action {:?}", attempt.action));
        };
        let outcome = self.run(&bundle, attempt, context).await;
        self.shrink();
        outcome
    }

    async fn close(&self) -> Result<()> {
        self.closed.send_replace(true);
        let slots: Vec<Slot> = self.lock().drain(..).map(|(_, slot)| slot).collect();
        for slot in slots {
            if let Some(running) = slot.get() {
                running.pool.close().await?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for BundlePools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BundlePools").finish_non_exhaustive()
    }
}
