//! The executor for programs.

mod environments;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tinpot_bundle::worker::{Fetch, FetchBlob, Tree};
use tinpot_bundle::{Digest, RunLimits, Runtime, Towerfile};
use tinpot_contain::{
    Containment, ContainmentMode, Environment, Launch, StopRequests, Supervision, Surroundings,
};
use tinpot_core::executor::{ActionSet, Attempt};
use tinpot_core::observer::Observer;
use tinpot_core::{Context, Error, ErrorKind, Executor, LoadError, Outcome, Result, Watcher};
use tinpot_venv::{Cache, LazyCache, is_of_tool};
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::app::{App, Program};
use crate::attempt;
use crate::folders::{Apps, Scanner};
use crate::output::Outputs;
use crate::python::{Environments, SetupError};
use crate::run::Runner;
use crate::workspace::Workspace;

/// The interval of scans for changed Towerfiles.
const SCAN_INTERVAL: Duration = Duration::from_secs(1);
/// The time limit of a set-up without another.
const SETUP_TIMEOUT: Duration = Duration::from_secs(600);
/// The largest result, as JSON.
const RESULT_BYTES: u64 = 15 * 1024 * 1024;
/// The longest time without a further byte of a bundle: a coordinator that restarts is back within it.
const FETCH_PATIENCE: Duration = Duration::from_secs(60);
/// The runtimes of bundles that the executor can run.
const RUNTIMES: [Runtime; 2] = [Runtime::Script, Runtime::Process];

/// Runs programs as actions: each folder with a Towerfile below a directory is one.
///
/// Scripts that end in `.sh` run in `/bin/sh`, those that end in `.py` in a Python environment of
/// their own, and `exec` of the table `[tinpot]` names any other program. Inputs are environment
/// variables, and are in a JSON file. Each attempt runs in a copy of the folder.
///
/// # Guarantees for an attempt
/// - **Stopping**: The process group of the program gets SIGTERM. After the grace period all its
///   processes are killed, also those outside of its process group or session.
/// - **Leftovers**: Processes that are alive when the program ends are killed.
/// - **Output**: Every line that was written to standard output or standard error is in the log,
///   also after a quick exit.
/// - **Death of the worker**: Each program has a supervisor, a small process that kills all its
///   processes when the worker is gone, however it ended. If a program kills its supervisor, the
///   worker kills what it finds.
///
/// The program of the host must call [`supervise_if_asked`](crate::supervise_if_asked) first in its
/// `main`, or [`supervisor`](ProcessExecutorBuilder::supervisor) names one that does.
///
/// # Examples
/// ```no_run
/// use tinpot_process::ProcessExecutor;
///
/// # async fn example() -> tinpot_core::Result<()> {
/// let executor = ProcessExecutor::builder("actions").start().await?;
/// // Add it to a worker with `WorkerBuilder::executor`.
/// # let _ = executor;
/// # Ok(())
/// # }
/// ```
pub struct ProcessExecutor {
    shared: Arc<Shared>,
    watcher: Option<JoinHandle<()>>,
}

/// The parts that attempts share.
struct Shared {
    config: ProcessExecutorBuilder,
    root: PathBuf,
    apps: Mutex<Apps>,
    offer: watch::Sender<Arc<ActionSet>>,
    supervision: OnceCell<Supervision>,
    cache: LazyCache,
    python: Environments,
    /// The variables of the worker that programs get.
    variables: Vec<(OsString, OsString)>,
    closed: watch::Sender<bool>,
    running: watch::Sender<usize>,
}

/// Configures a [`ProcessExecutor`].
#[derive(Clone, Debug)]
pub struct ProcessExecutorBuilder {
    dir: PathBuf,
    pythons: Vec<PathBuf>,
    pass_env: Vec<String>,
    surroundings: Surroundings,
    containment: ContainmentMode,
    reload: bool,
    limits: RunLimits,
    result_limit_bytes: u64,
    setup_timeout: Duration,
    cache: Option<PathBuf>,
    cache_bytes: u64,
    observer: Option<Arc<dyn Observer>>,
    supervisor: Option<PathBuf>,
    cgroup: Option<PathBuf>,
    bundles: Option<Arc<dyn FetchBlob>>,
    fetch_patience: Duration,
}

impl ProcessExecutor {
    /// Returns a builder for an executor with the apps below `dir`.
    pub fn builder(dir: impl Into<PathBuf>) -> ProcessExecutorBuilder {
        ProcessExecutorBuilder {
            dir: dir.into(),
            pythons: Vec::new(),
            pass_env: Vec::new(),
            surroundings: Surroundings::default(),
            containment: ContainmentMode::Auto,
            reload: true,
            limits: RunLimits::default(),
            result_limit_bytes: RESULT_BYTES,
            setup_timeout: SETUP_TIMEOUT,
            cache: None,
            cache_bytes: Cache::DEFAULT_BYTES,
            observer: None,
            supervisor: None,
            cgroup: None,
            bundles: None,
            fetch_patience: FETCH_PATIENCE,
        }
    }

    /// Returns the containment of programs; `None` until the first app was found.
    pub fn containment(&self) -> Option<&Containment> {
        self.shared.supervision.get().map(Supervision::containment)
    }
}

impl ProcessExecutorBuilder {
    /// Sets the Python interpreter, or the directory of a virtual environment, from which the
    /// environments of apps are made. The default is `python3`.
    #[must_use]
    pub fn python(mut self, path: impl Into<PathBuf>) -> Self {
        self.pythons = vec![path.into()];
        self
    }

    /// Sets several interpreters, as [`python`](Self::python) does. Apps that ask for another version
    /// than that of the first one use the others.
    #[must_use]
    pub fn pythons(mut self, paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.pythons = paths.into_iter().map(Into::into).collect();
        self
    }

    /// Passes on variables of this process: names, or their beginnings with a `*`. `*` alone selects
    /// all, except those that end with `_TOKEN` or `_PASSWORD`, which need their whole names.
    ///
    /// Without it, programs get `PATH`, `HOME`, `USER`, `LOGNAME`, `SHELL`, `TERM`, `TMPDIR`, `TZ`,
    /// the locale, proxies, `SSL_CERT_FILE`, `SSL_CERT_DIR`, `LD_LIBRARY_PATH` and `LD_PRELOAD`.
    /// Variables that begin with `TINPOT_` or `PYTHON` are never passed.
    #[must_use]
    pub fn pass_env(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.pass_env.extend(names.into_iter().map(Into::into));
        self
    }

    /// Gives programs back what this process has changed for itself.
    #[must_use]
    pub fn surroundings(mut self, surroundings: Surroundings) -> Self {
        self.surroundings = surroundings;
        self
    }

    /// Sets the containment of programs. The default is [`Auto`](ContainmentMode::Auto).
    #[must_use]
    pub fn containment(mut self, mode: ContainmentMode) -> Self {
        self.containment = mode;
        self
    }

    /// Sets whether the executor follows changes of the Towerfiles. The default is `true`.
    ///
    /// Changes of other files need no reload: each attempt copies them.
    #[must_use]
    pub fn reload(mut self, reload: bool) -> Self {
        self.reload = reload;
        self
    }

    /// Sets the limits of each attempt, which a Towerfile can override. The default is no limits.
    #[must_use]
    pub fn limits(mut self, limits: RunLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the maximum size of a result as JSON. The default is 15 MiB.
    #[must_use]
    pub fn result_limit_bytes(mut self, bytes: u64) -> Self {
        self.result_limit_bytes = bytes;
        self
    }

    /// Sets the time limit for making a Python environment, which a Towerfile can override. The
    /// default is 10 minutes.
    #[must_use]
    pub fn setup_timeout(mut self, timeout: Duration) -> Self {
        self.setup_timeout = timeout;
        self
    }

    /// Sets the directory for Python environments, which several workers can share. The default is
    /// `tinpot` in the cache directory of the user.
    #[must_use]
    pub fn cache(mut self, path: impl Into<PathBuf>) -> Self {
        self.cache = Some(path.into());
        self
    }

    /// Sets the size of the cache. The default is 10 GiB. What was not used for the longest time is
    /// removed first, and what is in use stays.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Sets the program that supervises programs. The default is the running program.
    #[must_use]
    pub fn supervisor(mut self, program: impl Into<PathBuf>) -> Self {
        self.supervisor = Some(program.into());
        self
    }

    /// Sets the cgroup of another pool of this worker, such as one of Python interpreters. Programs
    /// run below it, so that an empty cgroup proves that nothing of either is alive.
    #[must_use]
    pub fn cgroup_below(mut self, pool: impl Into<PathBuf>) -> Self {
        self.cgroup = Some(pool.into());
        self
    }

    /// Runs deployed apps, too, whose bundles come from this source. Without one, the executor offers
    /// no runtime. An attempt whose bundle cannot be fetched is
    /// [not started](Outcome::not_started). One whose bundle is gone fails with the kind
    /// `BundleGone`.
    #[must_use]
    pub fn bundles(mut self, source: Arc<dyn FetchBlob>) -> Self {
        self.bundles = Some(source);
        self
    }

    /// Sets how long a fetch may go without a further byte before the attempt is not started; 60 s
    /// by default. Until then, the executor asks again for what is missing.
    #[must_use]
    pub fn fetch_patience(mut self, patience: Duration) -> Self {
        self.fetch_patience = patience;
        self
    }

    /// Sets the observer of the cache.
    #[must_use]
    pub fn observer(mut self, observer: Option<Arc<dyn Observer>>) -> Self {
        self.observer = observer;
        self
    }

    /// Finds the apps, and follows their changes from now on.
    ///
    /// # Errors
    /// `InvalidInput` if the directory cannot be read.
    pub async fn start(self) -> Result<ProcessExecutor> {
        let root = match std::fs::canonicalize(&self.dir) {
            Ok(root) if root.is_dir() => root,
            Ok(_) => {
                let message = format!("the directory of actions {} is a file", self.dir.display());
                return Err(Error::new(ErrorKind::InvalidInput, message));
            }
            Err(error) => {
                let dir = self.dir.display();
                let message = format!("the directory of actions {dir} cannot be read: {error}");
                return Err(Error::new(ErrorKind::InvalidInput, message));
            }
        };
        let passed = Environment::of_this_process(&self.pass_env);
        let all: Vec<(OsString, OsString)> = passed.into_variables();
        let variables: Vec<_> =
            all.into_iter().filter(|(name, _)| attempt::is_for_programs(name)).collect();
        let of_tools = std::env::vars_os().filter(|(name, _)| is_of_tool(name));
        let for_setup = variables.iter().cloned().chain(of_tools).collect();
        let shared = Arc::new(Shared {
            python: Environments::new(self.pythons.clone(), for_setup),
            root: root.clone(),
            apps: Mutex::default(),
            offer: watch::Sender::default(),
            supervision: OnceCell::new(),
            cache: LazyCache::new(self.cache.clone(), self.cache_bytes)
                .observer(self.observer.clone()),
            variables,
            closed: watch::Sender::new(false),
            running: watch::Sender::new(0),
            config: self,
        });
        shared.offer.send_replace(shared.with_runtimes(Arc::default()));
        let mut scanner = Scanner::new(root);
        scanner = shared.clone().refresh(scanner).await;
        let watcher = shared.config.reload.then(|| {
            let shared = Arc::downgrade(&shared);
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(SCAN_INTERVAL).await;
                    let Some(shared) = shared.upgrade() else { return };
                    scanner = shared.refresh(scanner).await;
                }
            })
        });
        Ok(ProcessExecutor { shared, watcher })
    }
}

impl Shared {
    /// Publishes the apps if they have changed.
    async fn refresh(self: Arc<Self>, mut scanner: Scanner) -> Scanner {
        let scan = tokio::task::spawn_blocking(move || {
            let apps = scanner.scan();
            (scanner, apps)
        });
        let Ok((scanner, apps)) = scan.await else { return Scanner::new(self.root.clone()) };
        let Some(apps) = apps else { return scanner };
        let offer = match self.unable(&apps).await {
            None => self.with_runtimes(apps.offer.clone()),
            Some(problem) => {
                let mut offer = ActionSet::default();
                offer.load_errors.push(problem);
                offer.load_errors.extend_from_slice(&apps.offer.load_errors);
                Arc::new(offer)
            }
        };
        for error in &offer.load_errors {
            if !self.offer.borrow().load_errors.contains(error) {
                tracing::warn!("{}: {}", error.place, error.message);
            }
        }
        *self.apps.lock().unwrap_or_else(PoisonError::into_inner) = apps;
        self.offer.send_replace(offer);
        scanner
    }

    /// Returns what is offered with these actions.
    fn with_runtimes(&self, actions: Arc<ActionSet>) -> Arc<ActionSet> {
        if self.config.bundles.is_none() {
            return actions;
        }
        let mut offer = ActionSet::clone(&actions);
        offer.runtimes = RUNTIMES.iter().map(|runtime| runtime.as_str().into()).collect();
        Arc::new(offer)
    }

    /// Returns the reason why no program can be started, if there are any to start.
    async fn unable(&self, apps: &Apps) -> Option<LoadError> {
        if apps.by_name.is_empty() && self.config.bundles.is_none() {
            return None;
        }
        let error = self.supervision().await.err()?;
        let place = self.root.display().to_string();
        Some(LoadError::new(place, format!("programs cannot run: {}", error.message())).blocking())
    }

    async fn supervision(&self) -> Result<&Supervision> {
        let start = || async {
            let config = &self.config;
            let supervision = Supervision::start(
                config.supervisor.clone(),
                config.containment,
                config.cgroup.as_deref(),
                config.surroundings,
            )
            .await?;
            tracing::info!("programs are contained by {}", supervision.containment());
            Ok(supervision)
        };
        self.supervision.get_or_try_init(start).await
    }

    /// Returns the app of an action.
    fn app(&self, action: &str) -> Option<Arc<App>> {
        let apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        apps.by_name.get(action).cloned()
    }

    /// Runs an attempt in a workspace; returns its outcome.
    async fn run(
        &self,
        towerfile: &Towerfile,
        program: &Program,
        workspace: &Workspace,
        attempt: &Attempt,
        context: &Context,
    ) -> std::result::Result<Outcome, Outcome> {
        let failed = |error: Error| attempt::setup_failed(error.message());
        let supervision = self
            .supervision()
            .await
            .map_err(|error| Outcome::not_started(error.message().to_owned()))?;
        let mut runner = Runner {
            supervision,
            context,
            stops: StopRequests::of(context),
            closed: self.closed.subscribe(),
            stopped: false,
        };
        let inputs = attempt::write_inputs(attempt, towerfile, workspace)?;
        let venv = match program {
            Program::Python(_) => {
                let cache = self.cache.get().await.map_err(failed)?;
                let limit = towerfile.tinpot.setup_timeout.unwrap_or(self.config.setup_timeout);
                let until = Instant::now() + limit;
                let venv = self.python.prepare(cache, towerfile, workspace, &mut runner, until);
                match venv.await.map_err(SetupError::outcome) {
                    Ok(venv) => Some(venv),
                    Err(outcome) => {
                        if let Some(failure) = outcome.failure() {
                            say(context, &failure.message).await;
                        }
                        return Err(outcome);
                    }
                }
            }
            _ => None,
        };
        let environment =
            attempt::environment(&self.variables, towerfile, inputs, attempt, workspace, context)
                .await?;
        let cannot = |error: std::io::Error| {
            attempt::setup_failed(format!("cannot start the program: {error}"))
        };
        let (outputs, stdout, stderr) = Outputs::of_program().map_err(cannot)?;
        let work = workspace.work();
        let mut launch = Launch::new(attempt::command(program, &work), &work, stdout, stderr);
        let limits = self.limits(towerfile);
        launch.environment = environment;
        launch.scratch = Some(workspace.path().to_owned());
        launch.memory_bytes = limits.memory_bytes;
        launch.cpu_seconds = limits.cpu_seconds.map(Into::into);
        if context.stop_requested().is_some() {
            return Err(Outcome::Cancelled);
        }
        let end = runner.run(launch, outputs, limits, None).await.map_err(cannot)?;
        crate::artifacts::keep(&workspace.artifacts(), context).await;
        let max_bytes = self.config.result_limit_bytes;
        let outcome = attempt::outcome(end, runner.stopped, workspace, max_bytes, context);
        drop(venv);
        Ok(outcome)
    }

    /// Runs an attempt in a copy of an app; returns its outcome.
    async fn run_copy(
        &self,
        towerfile: &Towerfile,
        copy: impl FnOnce(&Path) -> Result<Workspace> + Send + 'static,
        attempt: &Attempt,
        context: &Context,
    ) -> Outcome {
        let program = match Program::of(towerfile) {
            Ok(program) => program,
            Err(error) => return attempt::setup_failed(error.message()),
        };
        let copied = tokio::task::spawn_blocking(move || copy(&std::env::temp_dir()));
        let workspace = match copied.await {
            Ok(Ok(workspace)) => workspace,
            Ok(Err(error)) => return attempt::setup_failed(error.message()),
            Err(_) => return Outcome::not_started("the runtime ends"),
        };
        let ran = self.run(towerfile, &program, &workspace, attempt, context).await;
        let outcome = ran.unwrap_or_else(|outcome| outcome);
        let _ = tokio::task::spawn_blocking(move || workspace.remove()).await;
        outcome
    }

    /// Runs an attempt at a deployed app: the bundle with this digest, which comes from the cache or
    /// from the source of bundles.
    async fn run_deployed(&self, bundle: &Digest, attempt: &Attempt, context: &Context) -> Outcome {
        let Some(source) = &self.config.bundles else {
            return Outcome::not_started("this executor has no source of bundles");
        };
        let fetch = Fetch {
            source: &**source,
            ticket: attempt.ticket.as_ref(),
            patience: self.config.fetch_patience,
        };
        let error = match self.run_bundle(bundle, &fetch, attempt, context).await {
            Ok(outcome) => return outcome,
            Err(error) => error,
        };
        match error.kind() {
            // The worker cannot reach the source, or has no space: another one may. A new attempt has
            // a new ticket.
            ErrorKind::Unavailable | ErrorKind::StorageFull | ErrorKind::Forbidden => {
                Outcome::not_started(error.message())
            }
            ErrorKind::NotFound => Outcome::bundle_gone(bundle),
            _ => attempt::setup_failed(error.message()),
        }
    }

    async fn run_bundle(
        &self,
        bundle: &Digest,
        fetch: &Fetch<'_>,
        attempt: &Attempt,
        context: &Context,
    ) -> Result<Outcome> {
        let cache = self.cache.get().await?;
        let mut closed = self.closed.subscribe();
        let tree = tokio::select! {
            biased;
            _ = context.stopped() => return Ok(Outcome::Cancelled),
            _ = closed.wait_for(|closed| *closed) => {
                return Ok(Outcome::failed("the executor was closed"));
            }
            tree = Tree::of(cache, bundle, fetch) => tree?,
        };
        let folder = tree.path().to_owned();
        let read =
            tokio::task::spawn_blocking(move || tinpot_bundle::read_towerfile(&folder)).await;
        let towerfile =
            read.unwrap_or_else(|_| Err(Error::new(ErrorKind::Closed, "the runtime ends")))?;
        // The tree is free again once it is copied.
        let copy = move |parent: &Path| Workspace::of_tree(parent, tree.path());
        Ok(self.run_copy(&towerfile, copy, attempt, context).await)
    }

    /// Returns the limits of an app, with those of the executor for the ones that it does not set.
    fn limits(&self, towerfile: &Towerfile) -> RunLimits {
        let default = self.config.limits;
        let mut limits = towerfile.tinpot.limits.unwrap_or_default();
        limits.memory_bytes = limits.memory_bytes.or(default.memory_bytes);
        limits.cpu_seconds = limits.cpu_seconds.or(default.cpu_seconds);
        limits.output_bytes = limits.output_bytes.or(default.output_bytes);
        limits.processes = limits.processes.or(default.processes);
        limits
    }
}

async fn say(context: &Context, message: &str) {
    use tinpot_core::{Level, Stream};
    let lines = message.lines().map(str::to_owned).collect();
    context.logs().write(Stream::System, Level::Error, lines).await;
}

/// Counts a running attempt.
struct Running<'a>(&'a watch::Sender<usize>);

impl<'a> Running<'a> {
    fn begin(running: &'a watch::Sender<usize>) -> Self {
        running.send_modify(|count| *count += 1);
        Self(running)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[async_trait]
impl Executor for ProcessExecutor {
    fn actions(&self) -> Watcher<Arc<ActionSet>> {
        self.shared.offer.subscribe().into()
    }

    async fn execute(&self, attempt: Attempt, context: Context) -> Outcome {
        let shared = &self.shared;
        let _running = Running::begin(&shared.running);
        if *shared.closed.borrow() {
            return Outcome::failed("the executor is closed");
        }
        if context.stop_requested().is_some() {
            return Outcome::Cancelled;
        }
        if let Some(bundle) = &attempt.bundle {
            return shared.run_deployed(&bundle.bundle, &attempt, &context).await;
        }
        let Some(app) = shared.app(&attempt.action) else {
            return Outcome::failed(format!("there is no action {:?}", attempt.action));
        };
        let copied = app.clone();
        let copy =
            move |parent: &Path| Workspace::of_folder(parent, &copied.folder, &copied.towerfile);
        shared.run_copy(&app.towerfile, copy, &attempt, &context).await
    }

    async fn close(&self) -> Result<()> {
        self.shared.closed.send_replace(true);
        let mut running = self.shared.running.subscribe();
        // Cannot fail: the sender is here.
        let _ = running.wait_for(|count| *count == 0).await;
        Ok(())
    }
}

impl Drop for ProcessExecutor {
    fn drop(&mut self) {
        if let Some(watcher) = &self.watcher {
            watcher.abort();
        }
    }
}

impl fmt::Debug for ProcessExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessExecutor").field("dir", &self.shared.root).finish_non_exhaustive()
    }
}
