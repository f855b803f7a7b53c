//! Python actions in the environments that their folders and files ask for.

mod build;
mod group;
mod members;
mod status;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tinpot_contain::{Containment, Environment as Variables};
use tinpot_core::executor::{ActionSet, Attempt};
use tinpot_core::observer::Observer;
use tinpot_core::{Context, Error, ErrorKind, Executor, FailureCode, Outcome, Result, Watcher};
use tinpot_venv::{Builder, Cache, Echo, LazyCache, Origin};
use tokio::task::JoinSet;

pub use self::build::BuiltEnvironment;
use self::members::Members;
use crate::child_text::load_error;
use crate::directories::Directories;
use crate::pool::{Asking, Origins, PythonPoolBuilder, Share, actions_dir, origins_on_disk};
use crate::python;

/// The time limit of a build without another.
const BUILD_TIMEOUT: Duration = Duration::from_secs(600);

/// Runs Python actions in the environments that their folders and files ask for.
///
/// A folder asks by a `pylock.toml`, a `pyproject.toml` with or without a `uv.lock`, or a
/// `requirements.txt`, for all files below it that no nearer folder has; a file asks by inline
/// metadata (PEP 723). The others run in the interpreter of the pool. Environments are built with uv
/// if it is on the path, else with `venv` and pip, and kept in a cache.
///
/// There is one [`PythonPool`](crate::PythonPool) for each place that asks. While its environment is built, or if that
/// fails, its actions are not offered, and a load error says why. If the request of a place changes,
/// its actions run in the former environment until the new one is ready.
pub struct PythonEnvironments {
    members: Arc<Members>,
    dir: PathBuf,
    /// Aborted when this is dropped.
    _tasks: JoinSet<()>,
}

/// The options of [`PythonEnvironments`].
#[derive(Clone)]
#[non_exhaustive]
pub struct EnvironmentOptions {
    /// The directory of the cache; `tinpot` in the user's cache by default. It must belong to this
    /// user alone.
    pub cache: Option<PathBuf>,
    /// The size of the cache, 10 GiB by default.
    pub cache_bytes: u64,
    /// The time limit of one build, 10 minutes by default.
    pub build_timeout: Duration,
    /// The settings of single directories.
    pub directories: Directories,
    /// Variables of installers, besides those of this process that begin with `PIP_` or `UV_`.
    /// Actions do not get them.
    pub variables: Vec<(OsString, OsString)>,
    /// Gets the lines of the logs as they are written.
    pub echo: Option<Echo>,
    /// The observer of the cache.
    pub observer: Option<Arc<dyn Observer>>,
}

/// Without the values of variables, which may have passwords in them.
impl fmt::Debug for EnvironmentOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.variables.iter().map(|(name, _)| name).collect();
        f.debug_struct("EnvironmentOptions")
            .field("cache", &self.cache)
            .field("cache_bytes", &self.cache_bytes)
            .field("build_timeout", &self.build_timeout)
            .field("directories", &self.directories)
            .field("variables", &names)
            .finish()
    }
}

impl Default for EnvironmentOptions {
    fn default() -> Self {
        Self {
            cache: None,
            cache_bytes: Cache::DEFAULT_BYTES,
            build_timeout: BUILD_TIMEOUT,
            directories: Directories::default(),
            variables: Vec::new(),
            echo: None,
            observer: None,
        }
    }
}

impl PythonPoolBuilder {
    /// Starts the actions in the environments that their folders and files ask for. Those that ask
    /// for none can run afterwards; the other environments are built in the background. With
    /// [`only`](Self::only), this waits for the environment of the file.
    ///
    /// # Errors
    /// Those of [`start`](Self::start).
    pub async fn start_with_environments(
        self,
        options: EnvironmentOptions,
    ) -> Result<PythonEnvironments> {
        let (dir, _, only) = self.place();
        let (dir, only) = (dir.to_owned(), only.map(str::to_owned));
        let root = actions_dir(&dir)?;
        let this = self.asking(asking(&options.directories));
        let directories = options.directories.clone();
        let builder = this.environment_builder(options);
        let members = match only {
            Some(file) => only_file(this, builder, directories, &root, &file).await?,
            None => {
                let main = this.clone().share(Share::Rest).start().await?;
                Members::new(builder, this, directories, main)
            }
        };
        let mut tasks = JoinSet::new();
        // The groups are known before this returns.
        let driver = group::Driver::new(members.clone());
        tasks.spawn(driver.run());
        Ok(PythonEnvironments { members, dir, _tasks: tasks })
    }

    fn environment_builder(&self, options: EnvironmentOptions) -> Builder {
        let (_, python, _) = self.place();
        let mut pythons: Vec<_> = python::choose(python).into_iter().collect();
        if pythons.is_empty() {
            pythons.push(PathBuf::from("python3"));
        }
        pythons.extend_from_slice(self.other_pythons());
        let absolute = |path: PathBuf| match path.components().count() {
            1 => path,
            // The working directory may be deleted.
            _ => std::path::absolute(&path).unwrap_or(path),
        };
        let pythons = pythons.into_iter().map(absolute).collect();
        let cache = LazyCache::new(options.cache, options.cache_bytes).observer(options.observer);
        let mut variables = Variables::of_this_process(&[]).into_variables();
        variables.extend(options.variables);
        let builder = Builder::new(cache, pythons, variables, options.build_timeout);
        builder.directories(options.directories.requests()).echo(options.echo)
    }

    /// Makes the actions run in an environment.
    fn inside(self, environment: &Path) -> Self {
        let mut path = environment.join("bin").into_os_string();
        if let Some(rest) = self.variable("PATH").filter(|rest| !rest.is_empty()) {
            path.push(":");
            path.push(rest);
        }
        self.python(environment.join("bin/python"))
            .env("PATH", path)
            .env("VIRTUAL_ENV", environment)
            .env("PYTHONNOUSERSITE", "1")
            .env_remove("PYTHONPATH")
            .env_remove("PYTHONHOME")
    }
}

/// Starts the pool of one file, in its environment if it asks for one.
async fn only_file(
    pool: PythonPoolBuilder,
    builder: Builder,
    directories: Directories,
    root: &Path,
    file: &str,
) -> Result<Arc<Members>> {
    let origin = origin_of(root, &asking(&directories), file).await?;
    let configured = || match &origin {
        Some(origin) => directories.configure(origin, pool.clone()),
        None => pool.clone(),
    };
    let asks = |origin: &&Origin| !builder.asks_nothing(root, origin);
    let Some(origin) = origin.as_ref().filter(asks) else {
        let main = configured().start().await?;
        return Ok(Members::new(builder, pool, directories, main));
    };
    match builder.environment(root, origin).await {
        Ok(environment) => {
            let main = configured().inside(&environment.path).start().await?;
            let members = Members::new(builder, pool, directories, main);
            members.keep(environment);
            Ok(members)
        }
        Err(error) => {
            // Without its packages the import would fail for a reason that explains less.
            let main = pool.clone().share(Share::Rest).start().await?;
            let members = Members::new(builder, pool, directories, main);
            members.add_load_error(load_error(file, &error.message));
            Ok(members)
        }
    }
}

/// Returns the folders that ask because of settings.
fn asking(directories: &Directories) -> Asking {
    Arc::new(directories.names().map(str::to_owned).collect())
}

async fn origin_of(root: &Path, asking: &Asking, file: &str) -> Result<Option<Origin>> {
    let has = |files: &Vec<String>| files.iter().any(|other| other == file);
    let origins = read_origins(root, asking).await?;
    Ok(origins.into_iter().find(|(_, files)| has(files)).map(|(origin, _)| origin))
}

/// Returns the places on disk that ask for environments, with their files.
async fn read_origins(root: &Path, asking: &Asking) -> Result<Origins> {
    let (root, asking) = (root.to_owned(), asking.clone());
    let origins = tokio::task::spawn_blocking(move || origins_on_disk(&root, &asking)).await;
    let origins = origins.map_err(std::io::Error::other).and_then(|origins| origins);
    origins.map_err(|error| {
        let message = format!("cannot read the directory of actions: {error}");
        Error::new(ErrorKind::InvalidInput, message)
    })
}

impl PythonEnvironments {
    /// Returns the containment of the processes of attempts.
    pub fn containment(&self) -> &Containment {
        self.members.main().containment()
    }

    /// Waits until every environment that is asked for is built, or has failed.
    pub async fn settled(&self) {
        self.members.settled().await;
    }
}

/// Short, because a worker names the executors of two actions with one name.
impl fmt::Debug for PythonEnvironments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PythonEnvironments").field("dir", &self.dir).finish_non_exhaustive()
    }
}

#[async_trait]
impl Executor for PythonEnvironments {
    fn actions(&self) -> Watcher<Arc<ActionSet>> {
        self.members.offer()
    }

    async fn execute(&self, attempt: Attempt, context: Context) -> Outcome {
        let action = attempt.action.clone();
        let outcome = match self.members.route(&action) {
            Some(member) => member.pool().execute(attempt, context).await,
            None if self.members.is_building() => return moved(&action),
            None => self.members.main().execute(attempt, context).await,
        };
        let is_gone = |failure: &tinpot_core::Failure| {
            failure.code == FailureCode::ActionUnavailable && self.members.is_building()
        };
        if outcome.failure().is_some_and(is_gone) { moved(&action) } else { outcome }
    }

    async fn close(&self) -> Result<()> {
        self.members.close().await
    }
}

/// The outcome of an attempt whose file has just asked for an environment.
fn moved(action: &str) -> Outcome {
    Outcome::not_started(format!("the Python environment of {action:?} is being built"))
}
