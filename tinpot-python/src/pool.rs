//! The default executor for Python: a pool of warm child interpreters.

mod action_set_publisher;
mod attempt;
mod control;
mod discovery;
mod extra_slots;
mod file_watcher;
mod fleet;
mod guardian;
mod interpreter;
mod lifeline;
mod limit_enforcer;
mod output;
mod pipe;
mod process_tree;
mod reload;
mod shared_interpreter;
mod sources;
mod spawn_context;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_trait::async_trait;
use tinpot_core::{ActionSet, Attempt, Context, Executor, Outcome, Result};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::action_set_publisher::ActionSetPublisher;
use self::attempt::End;
use self::discovery::{Discovery, Good, discover};
use self::fleet::Fleet;
use self::guardian::Guardian;
use self::interpreter::Launch;
use self::lifeline::Lifeline;
use self::reload::{Files, Reloader};
use self::shared_interpreter::SharedInterpreter;
use self::sources::Sources;
use self::spawn_context::SpawnContext;
use crate::containment::{Containment, ContainmentMode};
use crate::error::PythonError;
use crate::limits::Limits;
use crate::package::Package;
use crate::python;

/// An attempt that meets an interpreter which somebody else has ended, or asked to end, tries so many others.
const REFUSALS_MAX: usize = 5;

/// Runs Python actions in a pool of child interpreters.
///
/// Each interpreter runs one attempt at a time, in a session and process group of its own, and has imported every action before it is
/// needed. What reaches file descriptors 1 and 2 is the log: also that of C code and of processes the action starts.
///
/// # What an attempt may rely on
/// - **Stopping**: its process group gets SIGTERM, which raises `tinpot.Cancelled` in the action; when the grace period is over, everything
///   it started is killed, also what has left its process group or session. Then a spare interpreter takes the place.
/// - **Crashes**: an interpreter that dies fails the one attempt that it ran.
/// - **Leftovers**: threads are waited for as at the end of a script, daemon threads excepted; processes that are still alive when the
///   action has returned are killed. Either way the interpreter is replaced.
/// - **State**: the working directory and the environment are restored after each attempt; module globals stay as they are, in an
///   interpreter that may or may not run the next attempt.
/// - **Death of the worker**: however it died, a small process that watches over it (the guardian, about 10 MB of memory) kills the
///   interpreters and everything they started, also what has left their sessions. Should that be gone as well, the kernel kills the
///   interpreters and their process groups, and the next pool what was left in cgroups.
///
/// "Everything" is what is in the interpreter's cgroup where cgroup v2 can be used, and else what is found when its descendants are looked
/// for; [`containment`](Self::containment) says which.
///
/// Dropping the pool kills what is idle; [`close`](Executor::close) kills all and waits for it.
#[derive(Debug)]
pub struct PythonPool {
    fleet: Arc<Fleet>,
    shared: SharedInterpreter,
    guardian: Guardian,
    containment: Containment,
    publisher: Arc<ActionSetPublisher>,
    /// Aborted when the pool is dropped.
    _tasks: JoinSet<()>,
}

/// Configures a [`PythonPool`].
#[derive(Clone, Debug)]
pub struct PythonPoolBuilder {
    root: PathBuf,
    python: Option<PathBuf>,
    size: usize,
    spare: usize,
    environment: Vec<(OsString, Option<OsString>)>,
    start_timeout: Duration,
    result_limit_bytes: usize,
    containment: ContainmentMode,
    reload: bool,
    limits: Limits,
}

impl PythonPool {
    /// A builder for the actions below `root`.
    pub fn builder(root: impl Into<PathBuf>) -> PythonPoolBuilder {
        PythonPoolBuilder {
            root: root.into(),
            python: None,
            size: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            spare: 1,
            environment: Vec::new(),
            start_timeout: Duration::from_secs(30),
            result_limit_bytes: 16 * 1024 * 1024,
            containment: ContainmentMode::Auto,
            reload: true,
            limits: Limits::default(),
        }
    }

    /// How this pool keeps hold of what its attempts start.
    pub fn containment(&self) -> &Containment {
        &self.containment
    }
}

impl PythonPoolBuilder {
    /// The interpreter, or the directory of a virtual environment. By default that of `VIRTUAL_ENV`, else `python3`; 3.9 or newer.
    #[must_use]
    pub fn python(mut self, path: impl Into<PathBuf>) -> Self {
        self.python = Some(path.into());
        self
    }

    /// How many attempts run at once; by default as many as there are processors, and at least 1.
    #[must_use]
    pub fn size(mut self, size: usize) -> Self {
        self.size = size.max(1);
        self
    }

    /// How many further interpreters are kept warm, to take the place of one that was stopped; 1 by default.
    #[must_use]
    pub fn spare(mut self, spare: usize) -> Self {
        self.spare = spare;
        self
    }

    /// Sets a variable in the environment of the interpreters, which otherwise is the worker's.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), Some(value.into())));
        self
    }

    /// Keeps a variable of the worker from the interpreters.
    #[must_use]
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), None));
        self
    }

    /// How long the import of one file may take; 30 s by default.
    #[must_use]
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = timeout;
        self
    }

    /// The largest result, as JSON; 16 MiB by default. An attempt with a larger one fails. The worker has a limit of its own, for whatever executor:
    /// `WorkerBuilder::max_result_bytes`.
    #[must_use]
    pub fn result_limit_bytes(mut self, limit: usize) -> Self {
        self.result_limit_bytes = limit;
        self
    }

    /// How the pool keeps hold of what its attempts start; [`Auto`](ContainmentMode::Auto) by default.
    #[must_use]
    pub fn containment(mut self, mode: ContainmentMode) -> Self {
        self.containment = mode;
        self
    }

    /// What one attempt may use, unless its action says otherwise; nothing is limited by default.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Whether changes of the Python files below the directory are picked up; they are by default.
    ///
    /// New attempts then run on new interpreters, and those that run end on the old ones. Where a changed file cannot be imported, its last
    /// good version stays in use, and a problem of the offer says so. Where there is more than 16 MB of Python, nothing is picked up. Without
    /// this, what was changed is imported by whichever interpreter starts next, and the offer stays as it was.
    #[must_use]
    pub fn reload(mut self, reload: bool) -> Self {
        self.reload = reload;
        self
    }

    /// Starts the first interpreter and imports the actions; the others follow in the background.
    ///
    /// # Errors
    /// [`InvalidInput`](tinpot_core::ErrorKind::InvalidInput) when the directory or the interpreter will not do, or cgroups are asked for and
    /// cannot be used; [`Other`](tinpot_core::ErrorKind::Other) or [`TimedOut`](tinpot_core::ErrorKind::TimedOut), with what it wrote, when the
    /// interpreter does not start.
    pub async fn start(self) -> Result<PythonPool> {
        let root = actions_dir(&self.root)?;
        let python = python::asked_for(self.python.as_deref());
        let python = python.unwrap_or_else(|| PathBuf::from("python3"));
        let spawn = SpawnContext {
            // As it names itself: a shim is then not started over and over.
            python: python::probe(python).await?.executable,
            package: unpack()
                .await
                .map_err(PythonError::io("the tinpot package cannot be unpacked"))?,
            environment: self.environment,
            mark: format!("{}-", uuid::Uuid::new_v4().simple()),
            count: AtomicU64::new(0),
            lifeline: Lifeline::open().map_err(PythonError::io("a pipe cannot be opened"))?,
        };
        let spawn = Arc::new(spawn);
        let (guardian, cgroup, containment) = guardian::contain(&spawn, self.containment)?;
        tracing::info!("what attempts start is contained by {containment}");
        let files = if self.reload { files(&root, &spawn).await } else { None };
        let (files, disk) = files.unzip();
        let launch = Launch {
            spawn,
            cgroup,
            root,
            generation: 1,
            shared: false,
            sources: disk.clone(),
            skip: Vec::new(),
            start_timeout: self.start_timeout,
            result_limit_bytes: self.result_limit_bytes,
            limits: self.limits,
        };
        let fleet = Fleet::new(self.size, self.spare);
        let discovery = discover(&fleet, launch, &Good::default()).await;
        let Discovery { launch, first, offer, good } = discovery.map_err(PythonError::from)?;
        reload::report(&offer.load_errors, &[]);
        let launch = Arc::new(launch);
        fleet.adopt(launch.clone(), first);
        let publisher = ActionSetPublisher::new(offer.clone());
        let mut tasks = JoinSet::new();
        let temporary = launch.spawn.package.path().to_owned();
        tasks.spawn(ActionSetPublisher::watch_disk_space(Arc::downgrade(&publisher), temporary));
        tasks.spawn(fleet.clone().keep());
        if let (Some(files), Some(disk)) = (files, disk) {
            let (fleet, publisher) = (fleet.clone(), publisher.clone());
            let reloader = Reloader { fleet, publisher, files, launch, offer, good, disk };
            tasks.spawn(reloader.keep_up());
        }
        let shared = SharedInterpreter::default();
        Ok(PythonPool { fleet, shared, guardian, containment, publisher, _tasks: tasks })
    }
}

/// Unpacks the package, which may first have to clear up after killed workers.
async fn unpack() -> std::io::Result<Package> {
    tokio::task::spawn_blocking(Package::unpack).await.map_err(std::io::Error::other)?
}

/// What is to be followed, and how it is now; nothing where that cannot be.
async fn files(root: &Path, spawn: &SpawnContext) -> Option<(Files, Arc<Sources>)> {
    let files = Files::new(root.to_owned(), spawn.store());
    let found = match files {
        Ok(files) => files.now().await.map(|now| (files, now)),
        Err(e) => Err(e),
    };
    let place = root.display();
    found.inspect_err(|error| tracing::warn!(%error, "changes of {place} are not picked up")).ok()
}

/// The directory, absolute.
pub(crate) fn actions_dir(root: &Path) -> Result<PathBuf, PythonError> {
    let path = root.to_owned();
    match root.canonicalize() {
        Ok(found) if found.is_dir() => Ok(found),
        Ok(_) => Err(PythonError::ActionsDirIsFile { path }),
        Err(source) => Err(PythonError::ActionsDir { path, source }),
    }
}

#[async_trait]
impl Executor for PythonPool {
    fn actions(&self) -> watch::Receiver<Arc<ActionSet>> {
        self.publisher.subscribe()
    }

    async fn execute(&self, attempt: Attempt, context: Context) -> Outcome {
        if context.stop_requested().is_some() {
            return Outcome::Cancelled;
        }
        if self.publisher.runs_in_shared_interpreter(&attempt.action) {
            return self.shared.run(&self.fleet, &attempt, &context).await;
        }
        for _ in 0..REFUSALS_MAX {
            let mut busy = tokio::select! {
                biased;
                busy = self.fleet.take() => match busy {
                    Ok(busy) => busy,
                    Err(message) => return Outcome::failed(message),
                },
                _ = context.stopped() => return Outcome::Cancelled,
            };
            let interpreter = busy.interpreter();
            if !interpreter.control.is_quiet() {
                continue;
            }
            interpreter.control.prepare(&attempt);
            let limits = interpreter.limits_of(&attempt.action);
            match interpreter.run(&context, limits, &self.fleet).await {
                End::Clean(outcome) => {
                    busy.put_back();
                    return outcome;
                }
                End::Spent(outcome) => return outcome,
                End::NotRun => {}
            }
        }
        Outcome::failed("no interpreter stayed long enough to begin: somebody else ends them")
    }

    async fn close(&self) -> Result<()> {
        self.fleet.close().await;
        self.guardian.close().await;
        Ok(())
    }
}
