//! The default executor for Python: a pool of warm child interpreters.

mod action_set_publisher;
mod attempt;
mod control;
mod discovery;
mod extra_slots;
mod file_watcher;
mod fleet;
mod guardian;
mod hazards;
mod interpreter;
mod launch;
mod lifeline;
mod limit_enforcer;
mod look;
mod output;
mod reload;
mod shared_interpreter;
mod sources;
mod spawn_context;
mod template;

use std::ffi::OsString;
use std::fmt;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use tinpot_contain::{Containment, ContainmentMode, Environment, PoolCgroup, Surroundings};
use tinpot_core::executor::{ActionSet, Attempt};
use tinpot_core::{Context, Executor, Outcome, Result, Watcher};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::action_set_publisher::ActionSetPublisher;
use self::attempt::End;
use self::discovery::{Discovery, LastGood, discover};
use self::fleet::Fleet;
use self::guardian::Guardian;
pub(crate) use self::hazards::Hazards;
use self::interpreter::Interpreter;
use self::launch::Launch;
use self::lifeline::Lifeline;
pub(crate) use self::look::Look;
use self::reload::{Files, Reloader};
use self::shared_interpreter::SharedInterpreter;
use self::sources::Sources;
pub(crate) use self::sources::{Asking, Origins, Share, origins_on_disk};
use self::spawn_context::SpawnContext;
use crate::base::Base;
use crate::error::PythonError;
use crate::isolation::Isolation;
use crate::limits::Limits;
use crate::package::Package;
use crate::python;
use crate::recycling::Recycling;

/// The number of interpreters that an attempt tries, if signals from outside end each of them
/// before it starts.
const MAX_REFUSALS: usize = 5;

/// Runs Python actions in a pool of child interpreters.
///
/// Each interpreter runs one attempt at a time, in a session and process group of its own, and has
/// imported every action in advance. The log has everything that is written to file descriptors 1
/// and 2, also by C code and by processes that the action starts.
///
/// # Guarantees for an attempt
/// - **Stopping**: Its process group gets SIGTERM, which raises `tinpot.Cancelled` in the action.
///   After the grace period all its processes are killed, also those outside of its process group
///   or session. A spare interpreter replaces it.
/// - **Crashes**: An interpreter that dies fails its own attempt only.
/// - **Leftovers**: Threads are joined as at the end of a script, except daemon threads. Processes
///   that are alive when the action returns are killed. In both cases the interpreter is replaced.
/// - **State**: What a process has once is as before the first attempt: streams, signal handlers,
///   timers, the event loop, the working directory, the environment, `logging` and more. An
///   interpreter in which something cannot be put back is replaced. Globals of modules stay as they
///   are, in an interpreter that may run the next attempt.
/// - **Death of the worker**: A small process, the guardian (about 10 MB of memory), kills all
///   processes of all interpreters, also those outside of their sessions. If the guardian is dead
///   too, the kernel kills the interpreters and their process groups, and the next pool kills what
///   is left in cgroups.
///
/// Where cgroup v2 can be used, "all processes" are those of the interpreter's cgroup. Otherwise
/// they are those that a search for descendants finds. [`containment`](Self::containment) says
/// which.
///
/// Dropping the pool kills idle interpreters. [`close`](Executor::close) kills all and waits for
/// their end.
///
/// # Examples
/// ```no_run
/// use std::time::Duration;
///
/// use tinpot_python::{Limits, PythonPool};
///
/// # async fn example() -> tinpot_core::Result<()> {
/// let pool = PythonPool::builder("actions")
///     .size(4)
///     .limits(Limits::default().memory_bytes(512 << 20).cpu(Duration::from_secs(600)))
///     .start()
///     .await?;
/// println!("contained by {}", pool.containment());
/// // Add it to a worker with `WorkerBuilder::executor`.
/// # let _ = pool;
/// # Ok(())
/// # }
/// ```
pub struct PythonPool {
    fleet: Arc<Fleet>,
    shared: SharedInterpreter,
    /// `None` for a pool that another one holds.
    guardian: Option<Guardian>,
    holder: Holder,
    looks: watch::Sender<Look>,
    publisher: Arc<ActionSetPublisher>,
    dir: PathBuf,
    /// Aborted when the pool is dropped.
    _tasks: JoinSet<()>,
}

/// The parts by which one pool holds the interpreters of several.
#[derive(Clone, Debug)]
struct Holder {
    spawn: Arc<SpawnContext>,
    cgroup: Option<Arc<PoolCgroup>>,
    containment: Containment,
    /// The number of pools that were held.
    pools: Arc<AtomicU64>,
}

/// Configures a [`PythonPool`].
///
/// ```no_run
/// use tinpot_core::Executor;
/// use tinpot_python::{Isolation, PythonPool};
///
/// # async fn example() -> tinpot_core::Result<()> {
/// let pool = PythonPool::builder("actions")
///     .python(".venv")
///     .size(4)
///     .pass_env(["PG*", "AWS_PROFILE"])
///     .isolation(Isolation::Fresh)
///     .start()
///     .await?;
/// for error in &pool.actions().current().load_errors {
///     eprintln!("{}: {}", error.place, error.message);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PythonPoolBuilder {
    root: PathBuf,
    python: Option<PathBuf>,
    other_pythons: Vec<PathBuf>,
    size: usize,
    spare: usize,
    copies: bool,
    recycling: Recycling,
    idle_timeout: Duration,
    pass_env: Vec<String>,
    environment: Vec<(OsString, Option<OsString>)>,
    surroundings: Surroundings,
    start_timeout: Duration,
    result_limit_bytes: usize,
    containment: ContainmentMode,
    reload: bool,
    only: Option<String>,
    limits: Limits,
    isolation: Isolation,
    share: Share,
    asking: Asking,
    holder: Option<Holder>,
    cgroup: Option<PathBuf>,
}

impl PythonPool {
    /// Returns a builder for a pool with the actions below `root`.
    pub fn builder(root: impl Into<PathBuf>) -> PythonPoolBuilder {
        PythonPoolBuilder {
            root: root.into(),
            python: None,
            other_pythons: Vec::new(),
            size: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            spare: 1,
            copies: true,
            recycling: Recycling::default(),
            idle_timeout: Duration::from_secs(60),
            pass_env: Vec::new(),
            environment: Vec::new(),
            surroundings: Surroundings::default(),
            start_timeout: Duration::from_secs(30),
            result_limit_bytes: 16 * 1024 * 1024,
            containment: ContainmentMode::Auto,
            reload: true,
            only: None,
            limits: Limits::default(),
            isolation: Isolation::Reuse,
            share: Share::All,
            asking: Asking::default(),
            holder: None,
            cgroup: None,
        }
    }

    /// Returns the containment of the processes of this pool's attempts.
    pub fn containment(&self) -> &Containment {
        &self.holder.containment
    }

    /// Returns a watch of the files that ask for environments.
    pub(crate) fn looks(&self) -> watch::Receiver<Look> {
        self.looks.subscribe()
    }
}

impl PythonPoolBuilder {
    /// Sets the interpreter: a program of Python 3.9 or newer, or the directory of a virtual
    /// environment.
    ///
    /// The default is that of `VIRTUAL_ENV`, else `python3`.
    #[must_use]
    pub fn python(mut self, path: impl Into<PathBuf>) -> Self {
        self.python = Some(path.into());
        self
    }

    /// Sets several interpreters: the first one as [`python`](Self::python) does, and others for
    /// Python environments that ask for another version. Without any, nothing is set.
    #[must_use]
    pub fn pythons(mut self, paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        let mut paths = paths.into_iter().map(Into::into);
        if let Some(first) = paths.next() {
            self.python = Some(first);
            self.other_pythons = paths.collect();
        }
        self
    }

    /// Sets the number of attempts that run at once, at least 1. The default is the number of
    /// processors.
    #[must_use]
    pub fn size(mut self, size: usize) -> Self {
        self.size = size.max(1);
        self
    }

    /// Sets the number of spare interpreters, each of which can replace a stopped one at once. The
    /// default is 1.
    #[must_use]
    pub fn spare(mut self, spare: usize) -> Self {
        self.spare = spare;
        self
    }

    /// Sets whether interpreters are copies of one that has imported the actions, made by `fork`. The
    /// default is true.
    ///
    /// Copies start in a millisecond or two and share the memory of what was imported. A file whose
    /// import leaves something that cannot be shared, such as a thread, a connection or a file that is
    /// written, is imported by each interpreter itself; a notice in the action set names it. Linux only.
    #[must_use]
    pub fn copies(mut self, copies: bool) -> Self {
        self.copies = copies;
        self
    }

    /// Replaces each interpreter after a number of attempts. The default is 0, for never.
    #[must_use]
    pub fn recycle_after(mut self, attempts: u64) -> Self {
        self.recycling.attempts = NonZeroU64::new(attempts);
        self
    }

    /// Replaces an interpreter that uses more memory after an attempt than this, without what it
    /// shares with others. The default is 0, for never. Linux only.
    #[must_use]
    pub fn recycle_above(mut self, memory_bytes: u64) -> Self {
        self.recycling.memory_bytes = NonZeroU64::new(memory_bytes);
        self
    }

    /// Sets the time after which interpreters that no attempt has used end, in pools that start them
    /// only when attempts need them: those of Python environments. One stays. The default is 60 s.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Passes on variables of this process: names, or their beginnings with a `*`. `*` alone selects
    /// all, except those that end with `_TOKEN` or `_PASSWORD` or begin with `PIP_` or `UV_`, which
    /// need their whole names.
    ///
    /// Without it, interpreters and everything that they start have only the variables that programs
    /// need: `PATH`, `HOME`, `USER`, `LOGNAME`, `SHELL`, `TERM`, `TMPDIR`, `TZ`, the locale, proxies,
    /// `SSL_CERT_FILE`, `SSL_CERT_DIR`, `LD_LIBRARY_PATH`, `LD_PRELOAD`, `VIRTUAL_ENV` and `PYTHON*`,
    /// and the secrets of actions (`TINPOT_SECRET_*`, `TINPOT_SECRETS_DIR`). Other variables that begin
    /// with `TINPOT_`, `MQTT_` or `BROKER_` are settings of the worker and never passed.
    #[must_use]
    pub fn pass_env(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.pass_env.extend(names.into_iter().map(Into::into));
        self
    }

    /// Gives interpreters back what the program has changed for itself.
    #[must_use]
    pub fn surroundings(mut self, surroundings: Surroundings) -> Self {
        self.surroundings = surroundings;
        self
    }

    /// Sets a variable in the environment of the interpreters.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), Some(value.into())));
        self
    }

    /// Removes a variable that would be passed from the environment of the interpreters.
    #[must_use]
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), None));
        self
    }

    /// Sets the time limit for the import of one file. The default is 30 s.
    #[must_use]
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = timeout;
        self
    }

    /// Sets the maximum size of a result as JSON. The default is 16 MiB.
    ///
    /// An attempt with a larger result fails. The worker has a limit of its own for all executors:
    /// `WorkerBuilder::max_result_bytes`.
    #[must_use]
    pub fn result_limit_bytes(mut self, limit: usize) -> Self {
        self.result_limit_bytes = limit;
        self
    }

    /// Sets the containment of the processes of attempts. The default is
    /// [`Auto`](ContainmentMode::Auto).
    #[must_use]
    pub fn containment(mut self, mode: ContainmentMode) -> Self {
        self.containment = mode;
        self
    }

    /// Sets the limits of each attempt, which an action can override. The default is no limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the isolation of attempts, which an action can override. The default is
    /// [`Reuse`](Isolation::Reuse).
    #[must_use]
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// Sets whether the pool follows changes of the Python files below the directory. The default
    /// is `true`.
    ///
    /// New attempts then run on new interpreters, and running ones end on the old ones. While a
    /// changed file cannot be imported, its last good version stays in use, and a load error says
    /// so. With more than 16 MB of Python files no changes are followed. If `false`, an interpreter
    /// that starts later imports the changed files, and the action set stays as it was.
    #[must_use]
    pub fn reload(mut self, reload: bool) -> Self {
        self.reload = reload;
        self
    }

    /// Sets the cgroup of another pool of this worker. The interpreters run below it, so that an empty
    /// cgroup proves that nothing of either is alive.
    #[must_use]
    pub fn cgroup_below(mut self, pool: impl Into<PathBuf>) -> Self {
        self.cgroup = Some(pool.into());
        self
    }

    /// Returns the same configuration for another directory, whose changes are not followed.
    #[cfg(feature = "bundles")]
    pub(crate) fn at(mut self, root: PathBuf) -> Self {
        (self.root, self.reload) = (root, false);
        self
    }

    #[cfg(feature = "bundles")]
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    #[cfg(feature = "bundles")]
    pub(crate) fn default_limits(&self) -> Limits {
        self.limits
    }

    /// Imports one file of the directory instead of all, and what that file imports. Changes are not
    /// followed.
    #[must_use]
    pub fn only(mut self, file: impl Into<String>) -> Self {
        self.only = Some(file.into());
        self.reload = false;
        self
    }

    /// Offers a part of the files only, and leaves the others to other pools.
    pub(crate) fn share(mut self, share: Share) -> Self {
        self.share = share;
        self
    }

    /// Sets the folders whose files other pools offer, besides those with a file that asks.
    pub(crate) fn asking(mut self, asking: Asking) -> Self {
        self.asking = asking;
        self
    }

    /// Makes another pool hold the processes of this one. It has to be closed later.
    pub(crate) fn held_by(mut self, pool: &PythonPool) -> Self {
        self.holder = Some(pool.holder.clone());
        self
    }

    /// Returns the value that a variable has in interpreters.
    pub(crate) fn variable(&self, name: &str) -> Option<OsString> {
        let changes = self.environment.iter().rev();
        match changes.into_iter().find(|(other, _)| other == name) {
            Some((_, value)) => value.clone(),
            None => std::env::var_os(name),
        }
    }

    /// Returns the directory, the interpreter, and the only file.
    pub(crate) fn place(&self) -> (&Path, Option<&Path>, Option<&str>) {
        (&self.root, self.python.as_deref(), self.only.as_deref())
    }

    /// Returns the interpreters for environments that ask for another version.
    pub(crate) fn other_pythons(&self) -> &[PathBuf] {
        &self.other_pythons
    }

    /// Starts the first interpreter and imports the actions. The other interpreters start in the
    /// background.
    ///
    /// # Errors
    /// - [`InvalidInput`](tinpot_core::ErrorKind::InvalidInput) if the directory cannot be read, if
    ///   the interpreter is missing, broken or too old, or if cgroups were required and cannot be
    ///   used.
    /// - [`TimedOut`](tinpot_core::ErrorKind::TimedOut) if an import exceeds
    ///   [`start_timeout`](Self::start_timeout).
    /// - [`Malformed`](tinpot_core::ErrorKind::Malformed) if the interpreter sends a message that
    ///   cannot be read.
    /// - [`Other`](tinpot_core::ErrorKind::Other) if the interpreter does not start. The message
    ///   has its output.
    // A future of a function that is not inlined is compiled here, and not again in each program.
    #[inline(never)]
    pub fn start(self) -> BoxFuture<'static, Result<PythonPool>> {
        Box::pin(self.start_pool())
    }

    async fn start_pool(self) -> Result<PythonPool> {
        let root = actions_dir(&self.root)?;
        let python = python::choose(self.python.as_deref());
        let python = match python {
            // The working directory may be deleted.
            Some(path) if path.components().count() > 1 => {
                std::path::absolute(path).map_err(PythonError::io("there is no directory"))?
            }
            Some(name) => name,
            None => PathBuf::from("python3"),
        };
        let environment = Environment::of_this_process(&self.pass_env);
        let base = Base::new(environment, self.environment, self.surroundings);
        let probed = python::probe(python.clone(), &base).await?.executable;
        let spawn = |package, mark, count, lifeline, store| SpawnContext {
            python: RwLock::new(probed),
            chosen: python,
            package,
            base,
            mark,
            count,
            lifeline,
            store,
        };
        let (holder, guardian) = match self.holder {
            Some(mut holder) => {
                let number = holder.pools.fetch_add(1, Ordering::Relaxed) + 1;
                let SpawnContext { package, mark, count, lifeline, .. } = &*holder.spawn;
                let (package, mark) = (package.clone(), mark.clone());
                let (count, lifeline) = (count.clone(), lifeline.clone());
                let store = format!("sources-{number}");
                holder.spawn = Arc::new(spawn(package, mark, count, lifeline, store));
                (holder, None)
            }
            None => {
                let package = unpack(self.only.is_some()).await;
                let package =
                    package.map_err(PythonError::io("cannot unpack the Python package"))?;
                let lifeline = Lifeline::open().map_err(PythonError::io("cannot open a pipe"))?;
                let mark = format!("{}-", uuid::Uuid::new_v4().simple());
                let (package, lifeline) = (Arc::new(package), Arc::new(lifeline));
                let spawn =
                    Arc::new(spawn(package, mark, Arc::default(), lifeline, "sources".to_owned()));
                let (guardian, cgroup, containment) =
                    guardian::contain(&spawn, self.containment, self.cgroup.as_deref())?;
                tracing::info!("attempts are contained by {containment}");
                let pools = Arc::default();
                (Holder { spawn, cgroup, containment, pools }, Some(guardian))
            }
        };
        let spawn = holder.spawn.clone();
        let asking = (self.share != Share::All).then(|| self.asking.clone());
        let files = match self.reload {
            true => files(&self.root, &root, &spawn, asking.clone()).await,
            false => None,
        };
        let (files, disk) = files.unzip();
        let unreadable = PythonError::io("cannot read the directory of actions");
        let (origins, others) = match (&disk, &asking) {
            (Some(disk), _) => (sources::origins(disk), Vec::new()),
            (None, None) => (Origins::new(), Vec::new()),
            (None, Some(asking)) => origins_on_disk(&root, asking)
                .and_then(|origins| Ok((origins, self.share.others_on_disk(&root, asking)?)))
                .map_err(unreadable)?,
        };
        let looks = watch::Sender::new(Look { root: root.clone(), origins });
        let copies = cfg!(target_os = "linux") && self.copies && self.size + self.spare > 1;
        let launch = Launch {
            spawn,
            cgroup: holder.cgroup.clone(),
            root,
            generation: 1,
            shared: false,
            copies,
            alone: false,
            late: Arc::default(),
            sources: disk.clone(),
            share: self.share,
            others,
            skip: Vec::new(),
            only: self.only,
            names: package_name(&self.root).into_iter().collect(),
            owners: Arc::default(),
            start_timeout: self.start_timeout,
            result_limit_bytes: self.result_limit_bytes,
            limits: self.limits,
            isolation: self.isolation,
            recycling: self.recycling,
        };
        // There may be many environments, and few of them in use.
        let on_demand = matches!(launch.share, Share::Of(_));
        let idle_timeout = on_demand.then_some(self.idle_timeout);
        let fleet = Fleet::new(self.size, self.spare, idle_timeout);
        let discovery = discover(&fleet, launch, &LastGood::default()).await;
        let Discovery { launch, first, action_set, good } = discovery.map_err(PythonError::from)?;
        reload::report(&action_set.load_errors, &[]);
        let launch = Arc::new(launch);
        fleet.adopt(launch.clone(), first);
        let publisher = ActionSetPublisher::new(action_set.clone());
        let mut tasks = JoinSet::new();
        let (weak, spawn) = (Arc::downgrade(&publisher), launch.spawn.clone());
        tasks.spawn(ActionSetPublisher::watch_disk_space(weak.clone(), spawn.clone()));
        tasks.spawn(ActionSetPublisher::watch_interpreters(weak, spawn, fleet.unable()));
        tasks.spawn(fleet.clone().maintain());
        if let (Some(files), Some(disk)) = (files, disk) {
            let (fleet, publisher) = (fleet.clone(), publisher.clone());
            let root = launch.root.clone();
            let looks = looks.clone();
            let reloader = Reloader {
                fleet,
                publisher,
                files,
                launch,
                copies,
                action_set,
                good,
                disk,
                root,
                looks,
            };
            tasks.spawn(reloader.run());
        }
        let shared = SharedInterpreter::default();
        let dir = self.root;
        Ok(PythonPool { fleet, shared, guardian, holder, looks, publisher, dir, _tasks: tasks })
    }
}

impl PythonPool {
    /// Makes the interpreter of an attempt import the files that its template left to it. Returns the
    /// outcome of the attempt if that cannot begin, and none if another interpreter has to run it.
    async fn import_late(
        &self,
        interpreter: &mut Interpreter,
        context: &Context,
    ) -> Result<(), Option<Outcome>> {
        let mut closed = self.fleet.closed();
        let imported = async {
            let launch = self.fleet.launch().ok_or(PythonError::Closed)?;
            launch.import_late(interpreter, false).await
        };
        let imported = tokio::select! {
            imported = imported => imported,
            _ = context.stopped() => return Err(Some(Outcome::Cancelled)),
            _ = closed.wait_for(|closed| *closed) => Err(PythonError::Closed),
        };
        match imported {
            Ok(_) => Ok(()),
            // A signal from outside has ended it before.
            Err(PythonError::Died { importing, .. }) if importing.is_empty() => Err(None),
            Err(error) => {
                self.fleet.hung(&error);
                Err(Some(Outcome::not_started(error.to_string())))
            }
        }
    }
}

/// Unpacks the package, after the directories of killed workers were removed.
async fn unpack(is_shared: bool) -> std::io::Result<Package> {
    tokio::task::spawn_blocking(move || Package::unpack(is_shared))
        .await
        .map_err(std::io::Error::other)?
}

/// Returns the watched files and their present versions; `None` if they cannot be watched.
async fn files(
    given: &Path,
    root: &Path,
    spawn: &SpawnContext,
    asking: Option<Asking>,
) -> Option<(Files, Arc<Sources>)> {
    let files = Files::new(given, root.to_owned(), spawn.store(), asking);
    let found = match files {
        Ok(mut files) => files.now().await.map(|now| (files, now)),
        Err(e) => Err(e),
    };
    let place = root.display();
    found.inspect_err(|error| tracing::warn!(%error, "changes of {place} are not followed")).ok()
}

/// Returns the name of the directory as it was given, which may be a link.
fn package_name(root: &Path) -> Option<String> {
    Some(root.file_name()?.to_str()?.to_owned())
}

/// Returns the absolute path of the directory of actions.
pub(crate) fn actions_dir(root: &Path) -> Result<PathBuf, PythonError> {
    let path = root.to_owned();
    match root.canonicalize() {
        Ok(found) if found.is_dir() => Ok(found),
        Ok(_) => Err(PythonError::ActionsDirIsFile { path }),
        Err(source) => Err(PythonError::ActionsDir { path, source }),
    }
}

/// Short, because a worker names the executors of two actions with one name.
impl fmt::Debug for PythonPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PythonPool").field("dir", &self.dir).finish_non_exhaustive()
    }
}

#[async_trait]
impl Executor for PythonPool {
    fn actions(&self) -> Watcher<Arc<ActionSet>> {
        self.publisher.subscribe()
    }

    async fn execute(&self, attempt: Attempt, context: Context) -> Outcome {
        if context.stop_requested().is_some() {
            return Outcome::Cancelled;
        }
        if self.publisher.runs_in_shared_interpreter(&attempt.action) {
            let outcome = self.shared.run(&self.fleet, &attempt, &context).await;
            let missing = self.publisher.if_missing(&attempt.action, &outcome);
            if missing.is_some() {
                self.shared.retire().await;
            }
            return missing.unwrap_or(outcome);
        }
        let isolation = self.fleet.isolation_of(&attempt.action);
        let is_late = self.fleet.is_late(&attempt.action);
        for _ in 0..MAX_REFUSALS {
            let mut busy = tokio::select! {
                biased;
                busy = self.fleet.take(isolation, is_late) => match busy {
                    Ok(busy) => busy,
                    Err(message) => return Outcome::not_started(message),
                },
                _ = context.stopped() => return Outcome::Cancelled,
            };
            let interpreter = busy.interpreter();
            if !interpreter.control.is_quiet() {
                continue;
            }
            // The files may have changed meanwhile.
            let is_late = self.fleet.is_late(&attempt.action);
            if is_late && !interpreter.has_late {
                match self.import_late(interpreter, &context).await {
                    Ok(()) => {}
                    Err(None) => continue,
                    Err(Some(outcome)) => return outcome,
                }
            }
            let alone = is_late || interpreter.alone || self.fleet.copies_hang();
            interpreter.control.prepare(&attempt, isolation, alone);
            interpreter.attempts += u64::from(isolation != Isolation::Fresh);
            let limits = interpreter.limits_of(&attempt.action);
            match interpreter.run(&context, limits, &self.fleet).await {
                End::Clean(outcome) => {
                    if let Some(missing) = self.publisher.if_missing(&attempt.action, &outcome) {
                        // Another one may import the file: a library was replaced meanwhile.
                        return missing;
                    }
                    busy.put_back();
                    return outcome;
                }
                End::Spent(outcome) => return outcome,
                End::NotRun => {}
            }
        }
        Outcome::not_started(format!(
            "gave up after {MAX_REFUSALS} interpreters were terminated externally \
             before the attempt started"
        ))
    }

    async fn close(&self) -> Result<()> {
        self.fleet.close().await;
        if let Some(guardian) = &self.guardian {
            guardian.close().await;
        }
        Ok(())
    }
}
