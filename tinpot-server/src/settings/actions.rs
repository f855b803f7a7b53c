//! The Python actions of a worker, their limits, and the selection of work.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tinpot_core::observer::Observer;
use tinpot_core::{Error, ErrorKind, Executor, Result};
use tinpot_process::{FetchBlob, ProcessExecutor, RunLimits};
use tinpot_python::{
    BundlePools, Containment, ContainmentMode, Directories, EnvironmentOptions, Isolation, Limits,
    PythonPool, PythonPoolBuilder,
};

use super::limits::RESULT_BYTES;
use super::trimmed;

/// The actions of a worker, Python functions and programs, and how they run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct ActionsSettings {
    /// The directory of the actions, Python files and folders with a Towerfile; ./actions by default.
    #[cfg_attr(
        feature = "clap",
        arg(long = "actions", env = "ACTIONS_DIR", value_name = "DIRECTORY")
    )]
    pub dir: Option<PathBuf>,
    /// The number of actions that run at once.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "CONCURRENCY",
            value_name = "NUMBER",
            default_value_t = 2,
            value_parser = clap::value_parser!(u32).range(1..=1000)
        )
    )]
    pub concurrency: u32,
    /// The Python interpreter or virtual environment; VIRTUAL_ENV or python3 by default. More of them,
    /// separated by commas, are for directories and files that ask for another version.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "TINPOT_PYTHON", value_name = "PATH", value_delimiter = ',')
    )]
    pub python: Vec<PathBuf>,
    /// The variables of the worker's environment that actions get, separated by commas: names, or
    /// their beginnings like `AWS_*`. `*` stands for all but those that end with _TOKEN or _PASSWORD
    /// or begin with PIP_ or UV_, which need their whole names. PATH, HOME, the locale and some more are always there, and
    /// settings of the worker never.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "TINPOT_ENV", value_name = "NAME", value_delimiter = ',')
    )]
    pub env: Vec<String>,
    /// The means to hold all processes that actions start: cgroup, process-group, or auto for the
    /// first that is available.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_CONTAINMENT",
            value_name = "KIND",
            default_value_t = ContainmentMode::Auto
        )
    )]
    pub containment: ContainmentMode,
    /// The process of an attempt, where its action declares none: reuse for one that has run others,
    /// fresh for one of its own.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_ISOLATION",
            value_name = "KIND",
            default_value_t = Isolation::Reuse
        )
    )]
    pub isolation: Isolation,
    /// Keep the programs that actions start from gaining privileges: sudo and other programs that run
    /// as another user do not work in them.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_NO_NEW_PRIVILEGES"))]
    pub no_new_privileges: bool,
    /// Ignore changes of the Python files; by default the worker reloads them.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_NO_RELOAD"))]
    pub no_reload: bool,
    /// Run all actions in one interpreter; by default the worker builds a Python environment for each
    /// directory and file that asks for packages.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_NO_ENVIRONMENTS"))]
    pub no_environments: bool,
    /// The settings of single directories of Python actions.
    #[cfg_attr(feature = "clap", arg(skip))]
    pub directories: Directories,
    /// When and how Python interpreters start.
    #[cfg_attr(feature = "clap", command(flatten))]
    pub interpreters: InterpreterSettings,
    /// The limits of each attempt.
    #[cfg_attr(feature = "clap", command(flatten))]
    pub limits: LimitSettings,
    /// Run Python in the worker's own process: faster, but an action that crashes takes the worker
    /// with it.
    #[cfg(feature = "embed")]
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_IN_PROCESS"))]
    pub in_process: bool,
}

impl Default for ActionsSettings {
    fn default() -> Self {
        Self {
            dir: None,
            concurrency: 2,
            python: Vec::new(),
            env: Vec::new(),
            containment: ContainmentMode::Auto,
            isolation: Isolation::Reuse,
            no_new_privileges: false,
            no_reload: false,
            no_environments: false,
            directories: Directories::default(),
            interpreters: InterpreterSettings::default(),
            limits: LimitSettings::default(),
            #[cfg(feature = "embed")]
            in_process: false,
        }
    }
}

impl ActionsSettings {
    /// Returns true if actions run in the process of the worker.
    pub fn run_here(&self) -> bool {
        #[cfg(feature = "embed")]
        return self.in_process;
        #[cfg(not(feature = "embed"))]
        false
    }

    /// Starts Python, imports the actions, and finds the programs, from `default_dir` unless the
    /// settings name a directory. Deployed apps do not run.
    ///
    /// Returns the executors, and how they hold the processes that actions start; `None` for Python
    /// in this process.
    ///
    /// # Errors
    /// Fails if the directory or the interpreter does not exist, or Python cannot be started.
    pub async fn executors(
        &self,
        default_dir: &Path,
    ) -> Result<(Vec<Box<dyn Executor>>, Option<Containment>)> {
        let (python, containment) = self.python_executor(default_dir, None).await?;
        let programs = self.programs(default_dir, containment.as_ref(), None, None).await?;
        Ok((vec![python, Box::new(programs)], containment))
    }

    fn directory<'a>(&'a self, default_dir: &'a Path) -> &'a Path {
        // An environment variable that is set to nothing counts as not set.
        let dir = self.dir.as_deref().filter(|dir| !dir.as_os_str().is_empty());
        dir.unwrap_or(default_dir)
    }

    /// Finds the programs, next to Python with this containment. With a source of bundles, deployed
    /// apps run, too.
    ///
    /// # Errors
    /// `InvalidInput` if the directory cannot be read.
    pub(crate) async fn programs(
        &self,
        default_dir: &Path,
        containment: Option<&Containment>,
        bundles: Option<Arc<dyn FetchBlob>>,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<ProcessExecutor> {
        let dir = self.directory(default_dir);
        let mut programs = crate::programs::builder(dir, self.containment, containment)
            .pythons(&self.python)
            .pass_env(trimmed(&self.env))
            .surroundings(crate::process::found().no_new_privileges(self.no_new_privileges))
            .reload(!self.no_reload)
            .limits(self.limits.run_limits())
            .observer(observer)
            .result_limit_bytes(self.limits.limit_result);
        if let Some(bundles) = bundles {
            programs = programs.bundles(bundles);
        }
        programs.start().await
    }

    /// Returns the executor for deployed Python actions, next to Python with this containment.
    /// `programs` makes their environments.
    pub(crate) fn bundle_pools(
        &self,
        containment: Option<&Containment>,
        bundles: Arc<dyn FetchBlob>,
        programs: &ProcessExecutor,
        observer: Option<Arc<dyn Observer>>,
    ) -> BundlePools {
        let mut template = self.pool(Path::new("."));
        if let Some(Containment::Cgroup { path }) = containment {
            template = template.cgroup_below(path);
        }
        BundlePools::builder(template, bundles)
            .environments(programs.environments())
            .observer(observer)
            .build()
    }

    fn pool(&self, dir: &Path) -> PythonPoolBuilder {
        PythonPool::builder(dir)
            .pythons(&self.python)
            .size(self.concurrency as usize)
            .pass_env(trimmed(&self.env))
            .surroundings(crate::process::found().no_new_privileges(self.no_new_privileges))
            .containment(self.containment)
            .isolation(self.isolation)
            .copies(!self.interpreters.no_copies)
            .recycle_after(self.interpreters.recycle_after.unwrap_or_default())
            .recycle_above(self.interpreters.recycle_above.unwrap_or_default())
            .reload(!self.no_reload)
            .limits(self.limits.limits())
    }

    /// Starts Python and imports the actions.
    ///
    /// # Errors
    /// Fails if the directory or the interpreter does not exist, or Python cannot be started.
    pub(crate) async fn python_executor(
        &self,
        default_dir: &Path,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<(Box<dyn Executor>, Option<Containment>)> {
        let dir = self.directory(default_dir);
        if !self.directories.is_empty() && (self.no_environments || self.run_here()) {
            let message = "settings of single directories, [python.\"DIRECTORY\"], need Python in \
                           processes of its own: leave out --no-environments and --in-process";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        #[cfg(feature = "embed")]
        if self.in_process && self.no_new_privileges {
            let message = "--no-new-privileges is for Python in processes of its own: leave out \
                           --in-process";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        #[cfg(feature = "embed")]
        if self.in_process {
            // What the worker itself writes is private by its own modes.
            crate::process::share_umask();
            let mut builder = tinpot_python::PythonExecutor::builder(dir);
            if let Some(python) = self.python.first() {
                builder = builder.python(python);
            }
            return Ok((Box::new(builder.start().await?), None));
        }
        let builder = self.pool(dir);
        if !self.no_environments {
            let mut options = EnvironmentOptions::default();
            options.observer = observer;
            options.directories = self.directories.clone();
            let pool = builder.start_with_environments(options).await?;
            let containment = pool.containment().clone();
            return Ok((Box::new(pool), Some(containment)));
        }
        let pool = builder.start().await?;
        let containment = pool.containment().clone();
        Ok((Box::new(pool), Some(containment)))
    }
}

/// When and how the Python interpreters of a worker start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct InterpreterSettings {
    /// Start each interpreter by itself, with all imports; by default they are copies of one that has
    /// imported the actions, where that is safe.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_NO_COPIES"))]
    pub no_copies: bool,
    /// Replace an interpreter after this number of attempts.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_RECYCLE_AFTER", value_name = "NUMBER"))]
    pub recycle_after: Option<u64>,
    /// Replace an interpreter that has more memory than this after an attempt, without what it shares
    /// with others, in bytes or like 512M.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_RECYCLE_ABOVE",
            value_name = "SIZE",
            value_parser = super::value::size
        )
    )]
    pub recycle_above: Option<u64>,
}

/// The limits of each attempt, where its action declares none.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct LimitSettings {
    /// The memory of one attempt, in bytes or like 256M.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_LIMIT_MEMORY",
            value_name = "SIZE",
            value_parser = super::value::size
        )
    )]
    pub limit_memory: Option<u64>,
    /// The processor time of one attempt.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_LIMIT_CPU",
            value_name = "SECONDS",
            value_parser = super::seconds
        )
    )]
    pub limit_cpu: Option<Duration>,
    /// The number of files and connections that one attempt may have open at once.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "TINPOT_LIMIT_OPEN_FILES", value_name = "NUMBER")
    )]
    pub limit_open_files: Option<u64>,
    /// The size of the log of one attempt, in bytes or like 10M.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_LIMIT_OUTPUT",
            value_name = "SIZE",
            value_parser = super::value::size
        )
    )]
    pub limit_output: Option<u64>,
    /// The size of the result of one attempt as JSON, in bytes or like 10M; at most 15M.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "TINPOT_LIMIT_RESULT",
            value_name = "SIZE",
            value_parser = super::value::result_size,
            default_value = "15M"
        )
    )]
    pub limit_result: u64,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            limit_memory: None,
            limit_cpu: None,
            limit_open_files: None,
            limit_output: None,
            limit_result: RESULT_BYTES as u64,
        }
    }
}

impl LimitSettings {
    /// Returns the limits of programs.
    pub fn run_limits(&self) -> RunLimits {
        let mut limits = RunLimits::default();
        limits.memory_bytes = self.limit_memory;
        // At least one second: the kernel takes whole ones.
        limits.cpu_seconds = self.limit_cpu.map(|time| time.as_secs_f64().ceil().max(1.0) as u32);
        limits.output_bytes = self.limit_output;
        limits
    }

    /// Returns the limits of a pool.
    pub fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        limits.memory_bytes = self.limit_memory;
        limits.cpu = self.limit_cpu;
        limits.open_files = self.limit_open_files;
        limits.output_bytes = self.limit_output;
        limits.result_bytes = Some(self.limit_result);
        limits
    }
}

/// The groups and queues that a worker serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct SelectionSettings {
    /// The groups of actions to offer, separated by commas; all by default.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "ACTION_GROUPS", value_name = "NAME", value_delimiter = ',')
    )]
    pub groups: Vec<String>,
    /// The queues to serve, separated by commas; all by default.
    #[cfg_attr(
        feature = "clap",
        arg(long, env = "QUEUES", value_name = "NAME", value_delimiter = ',')
    )]
    pub queues: Vec<String>,
}

impl SelectionSettings {
    /// Returns the groups, without the blanks and empty entries that environment variables tend to
    /// have.
    pub fn groups(&self) -> Vec<String> {
        trimmed(&self.groups)
    }

    /// Returns the queues, without the blanks and empty entries that environment variables tend to
    /// have.
    pub fn queues(&self) -> Vec<String> {
        trimmed(&self.queues)
    }
}
