//! Python on this machine: interpreters, and the environments made from them.

mod requirements;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tinpot_bundle::{RunLimits, Towerfile};
use tinpot_contain::{Ended, Launch};
use tinpot_core::{Error, ErrorKind, Level, Outcome, Result, Stream};
use tinpot_venv::{
    Cache, CacheEntry, Found, Interpreter, Interpreters, Key, Kind, Packages, Step, Tool, Versions,
    is_of_tool,
};
use tokio::time::Instant;

use self::requirements::Requirements;
use crate::attempt::setup_failed;
use crate::output::Outputs;
use crate::run::{Cause, Runner};
use crate::workspace::Workspace;

/// The end of a set-up that made no environment.
#[derive(Debug)]
pub(crate) enum SetupError {
    /// It failed, for this reason.
    Failed(String),
    /// The attempt was asked to end.
    Stopped,
    /// The executor was closed.
    Closed,
}

impl SetupError {
    /// Returns the outcome of the attempt.
    pub(crate) fn outcome(self) -> Outcome {
        match self {
            Self::Failed(message) => setup_failed(message),
            Self::Stopped => Outcome::Cancelled,
            Self::Closed => Outcome::failed("the executor was closed"),
        }
    }
}

impl From<Error> for SetupError {
    fn from(error: Error) -> Self {
        Self::Failed(error.message().to_owned())
    }
}

/// Makes environments.
#[derive(Debug)]
pub(crate) struct Environments {
    interpreters: Interpreters,
    /// The variables that tools need: those of the worker that select indexes and proxies.
    variables: Vec<(OsString, OsString)>,
}

/// The environment of an attempt.
#[derive(Debug)]
pub(crate) struct Venv {
    entry: Option<CacheEntry>,
}

impl Venv {
    /// Returns the folder in the cache; `None` for an environment of the attempt alone.
    pub(crate) fn into_entry(self) -> Option<CacheEntry> {
        self.entry
    }
}

impl Environments {
    pub(crate) fn new(pythons: Vec<PathBuf>, variables: Vec<(OsString, OsString)>) -> Self {
        Self { interpreters: Interpreters::new(pythons, variables.clone()), variables }
    }

    /// Makes the environment of an attempt, or finds it in the cache, and links it into the
    /// workspace as `.venv`. Says in the log what it does.
    pub(crate) async fn prepare(
        &self,
        cache: &Arc<Cache>,
        towerfile: &Towerfile,
        workspace: &Workspace,
        runner: &mut Runner<'_>,
        until: Instant,
    ) -> std::result::Result<Venv, SetupError> {
        let wanted = towerfile.tinpot.python.as_deref().map(Versions::parse);
        let python = self.interpreters.choose(wanted.as_ref()).await?;
        let requirements = Requirements::read(towerfile, workspace)?;
        let is_lock = requirements.as_ref().is_some_and(Requirements::is_lock);
        let tool = Tool::find(&self.variables, is_lock.then_some("uv.lock"))?;
        let link = workspace.work().join(".venv");
        if requirements.as_ref().is_some_and(Requirements::refer_to_workspace) {
            // Such an environment is of no use to another attempt.
            let path = workspace.path().join("venv");
            self.build(&path, &python, tool, requirements.as_ref(), workspace, runner, until)
                .await?;
            linked(&path, &link)?;
            return Ok(Venv { entry: None });
        }
        let key = self.key(&python, &tool, requirements.as_ref(), workspace)?;
        let context = runner.context;
        let waiting = async || {
            let line = "waiting for the same environment, which another attempt builds";
            context.logs().write(Stream::System, Level::Info, vec![line.to_owned()]).await;
        };
        let mut stops = runner.context.stop_requests();
        let mut closed = runner.closed.clone();
        let found = tokio::select! {
            biased;
            found = cache.find(Kind::Venv, &key, waiting) => found?,
            _ = stopped(&mut stops) => return Err(SetupError::Stopped),
            _ = closed.wait_for(|closed| *closed) => return Err(SetupError::Closed),
            () = tokio::time::sleep_until(until) => return Err(too_slow(towerfile)),
        };
        let entry = match found {
            Found::Entry(entry) => entry,
            Found::Missing(build) => {
                let path = build.path.clone();
                self.build(&path, &python, tool, requirements.as_ref(), workspace, runner, until)
                    .await?;
                build.finish().await?
            }
        };
        linked(&entry.path, &link)?;
        Ok(Venv { entry: Some(entry) })
    }

    /// Returns true if a folder of Python actions needs an environment of its own.
    ///
    /// # Errors
    /// `InvalidInput` for requirements that need the folder itself, which interpreters do not share.
    pub(crate) fn is_needed(&self, towerfile: &Towerfile, workspace: &Workspace) -> Result<bool> {
        let requirements = Requirements::read(towerfile, workspace)?;
        if let Some(file) = requirements.as_ref().filter(|file| file.refer_to_workspace()) {
            let message = format!(
                "{} of a folder of Python actions must not have -e: name packages, or import the \
                 files of the folder with app.import_paths",
                file.path()
            );
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(requirements.is_some() || towerfile.tinpot.python.is_some())
    }

    /// Builds an environment in a new folder.
    #[allow(clippy::too_many_arguments, reason = "each of them is used once")]
    async fn build(
        &self,
        path: &Path,
        python: &Interpreter,
        tool: Tool,
        requirements: Option<&Requirements>,
        workspace: &Workspace,
        runner: &mut Runner<'_>,
        until: Instant,
    ) -> std::result::Result<(), SetupError> {
        say(runner, format!("using Python interpreter at: {}", python.executable.display())).await;
        say(runner, "creating virtual environment at: .venv".to_owned()).await;
        let packages = match requirements.map(|file| (file, Path::new(file.path()))) {
            None => Packages::Nothing,
            Some((file, path)) if file.is_lock() => {
                Packages::Frozen(path.parent().unwrap_or(Path::new("")))
            }
            Some((_, path)) => Packages::File(path),
        };
        let (create, install) = tool.steps(path, python, packages);
        self.step("create the virtual environment", create, workspace, runner, until).await?;
        if let (Some(install), Some(requirements)) = (install, requirements) {
            let file = requirements.path();
            say(runner, format!("installing dependencies from {file}")).await;
            let what = format!("install dependencies from {file}");
            self.step(&what, install, workspace, runner, until).await?;
        }
        Ok(())
    }

    /// Runs one command of a set-up, with its output in the log.
    async fn step(
        &self,
        what: &str,
        step: Step,
        workspace: &Workspace,
        runner: &mut Runner<'_>,
        until: Instant,
    ) -> std::result::Result<(), SetupError> {
        let cannot = |reason: String| SetupError::Failed(format!("cannot {what}: {reason}"));
        let (outputs, stdout, stderr) =
            Outputs::of_setup().map_err(|error| cannot(error.to_string()))?;
        let mut launch = Launch::new(step.command, workspace.work(), stdout, stderr);
        launch.environment = self.variables.iter().cloned().chain(step.variables).collect();
        launch.scratch = Some(workspace.path().to_owned());
        let end = runner.run(launch, outputs, RunLimits::default(), Some(until)).await;
        let end = end.map_err(|error| cannot(error.to_string()))?;
        match (end.killed, end.ended) {
            (Some(Cause::Closed), _) => Err(SetupError::Closed),
            _ if runner.stopped => Err(SetupError::Stopped),
            (Some(Cause::TooSlow), _) => Err(cannot("the time limit of the set-up passed".into())),
            (_, Ended::Exited { code: 0, .. }) => Ok(()),
            (_, Ended::NotStarted(reason)) => Err(cannot(reason)),
            (_, Ended::Exited { code, .. }) => {
                let last = Some(end.last_line).filter(|line| !line.is_empty());
                let last = last.map(|line| format!(": {line}")).unwrap_or_default();
                Err(cannot(format!("exit code {code}{last}")))
            }
            (_, other) => Err(cannot(format!("{other:?}"))),
        }
    }

    /// Returns the name of an environment in the cache: equal ones have the same.
    fn key(
        &self,
        python: &Interpreter,
        tool: &Tool,
        requirements: Option<&Requirements>,
        workspace: &Workspace,
    ) -> Result<String> {
        let mut key = Key::default();
        let mut part = |bytes: &[u8]| key.part(bytes);
        part(b"tinpot app venv 2");
        part(python.identity().as_bytes());
        part(tool.identity().as_bytes());
        if let Some(requirements) = requirements {
            part(requirements.path().as_bytes());
            part(requirements.text());
            for (name, value) in self.variables.iter().filter(|(name, _)| is_of_tool(name)) {
                part(name.as_encoded_bytes());
                part(value.as_encoded_bytes());
            }
            if requirements.refer_to_files() {
                let work = workspace.work();
                for file in &workspace.files {
                    part(file.as_bytes());
                    let path = work.join(file);
                    let content = match fs::read_link(&path) {
                        Ok(target) => target.into_os_string().into_encoded_bytes(),
                        Err(_) => fs::read(&path)
                            .map_err(|error| crate::workspace::failed("read", &path, &error))?,
                    };
                    part(&content);
                }
            }
        }
        Ok(key.finish())
    }
}

fn linked(path: &Path, link: &Path) -> std::result::Result<(), SetupError> {
    // The app may have packed something of that name.
    let _ = fs::remove_file(link);
    symlink(path, link).map_err(|error| {
        SetupError::Failed(format!("cannot create .venv in the workspace: {error}"))
    })
}

fn too_slow(_: &Towerfile) -> SetupError {
    SetupError::Failed(
        "the time limit of the set-up passed while another attempt built the same \
                        environment"
            .to_owned(),
    )
}

async fn stopped(stops: &mut tinpot_core::Watcher<Option<tinpot_core::Stop>>) {
    loop {
        match stops.next().await {
            Some(Some(_)) => return,
            Some(None) => {}
            None => std::future::pending().await,
        }
    }
}

async fn say(runner: &Runner<'_>, line: String) {
    runner.context.logs().write(Stream::System, Level::Info, vec![line]).await;
}
