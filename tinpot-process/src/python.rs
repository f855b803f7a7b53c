//! Python on this machine: interpreters, and the environments made from them.

mod requirement;
mod requirements;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tinpot_bundle::{Hasher, RunLimits, Towerfile};
use tinpot_contain::{Ended, Launch};
use tinpot_core::{Error, ErrorKind, Level, Result, Stream};
use tokio::process::Command;
use tokio::time::{Instant, timeout};

use self::requirement::Requirement;
use self::requirements::Requirements;
use crate::cache::{Cache, CacheEntry, Found, Kind};
use crate::output::Outputs;
use crate::run::{Cause, Runner};
use crate::workspace::Workspace;

/// The time for an interpreter to say what it is.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);
/// Prints what an interpreter is as JSON.
const PROBE: &str = "import json, sys, sysconfig; print(json.dumps({'executable': sys.executable, \
                     'version': list(sys.version_info[:3]), \
                     'abi': str(sysconfig.get_config_var('SOABI') or sys.implementation.cache_tag)}))";
/// The minor versions of Python 3 that are tried, latest first.
const MINORS: std::ops::RangeInclusive<u32> = 8..=19;

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

impl From<Error> for SetupError {
    fn from(error: Error) -> Self {
        Self::Failed(error.message().to_owned())
    }
}

/// An interpreter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Interpreter {
    executable: PathBuf,
    version: [u32; 3],
    abi: String,
}

/// The file of an interpreter as it was when it was probed.
type Stamp = (PathBuf, u64, i64, i64);

/// Makes environments.
#[derive(Debug)]
pub(crate) struct Environments {
    python: PathBuf,
    /// The variables that tools need: those of the worker that select indexes and proxies.
    variables: Vec<(OsString, OsString)>,
    probed: Mutex<Vec<(Stamp, Interpreter)>>,
}

/// The environment of an attempt.
#[derive(Debug)]
pub(crate) struct Venv {
    _entry: Option<CacheEntry>,
}

impl Environments {
    pub(crate) fn new(python: Option<PathBuf>, variables: Vec<(OsString, OsString)>) -> Self {
        let python = python.unwrap_or_else(|| PathBuf::from("python3"));
        // The directory of a virtual environment stands for its interpreter.
        let inside = python.join("bin/python");
        let python = if inside.exists() { inside } else { python };
        Self { python, variables, probed: Mutex::default() }
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
        let wanted = towerfile.tinpot.python.as_deref().map(Requirement::parse);
        let python = self.choose(wanted.as_ref()).await?;
        let requirements = Requirements::read(towerfile, workspace)?;
        let tool = Tool::find(&self.variables, requirements.as_ref())?;
        let link = workspace.work().join(".venv");
        if requirements.as_ref().is_some_and(Requirements::refer_to_workspace) {
            // Such an environment is of no use to another attempt.
            let path = workspace.path().join("venv");
            self.build(&path, &python, tool, requirements.as_ref(), workspace, runner, until)
                .await?;
            linked(&path, &link)?;
            return Ok(Venv { _entry: None });
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
        Ok(Venv { _entry: Some(entry) })
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
        let (create, install) = tool.commands(path, &python.executable, requirements);
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
        let mut hasher = Hasher::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(b"tinpot venv 1");
        // Cannot fail: it writes texts and numbers to memory.
        part(&serde_json::to_vec(python).unwrap_or_default());
        let real = fs::canonicalize(&python.executable).unwrap_or_default();
        part(real.as_os_str().as_encoded_bytes());
        part(tool.name().as_bytes());
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
        Ok(hasher.finish().to_string())
    }

    /// Returns an interpreter of a wanted version.
    async fn choose(&self, wanted: Option<&Requirement>) -> Result<Interpreter> {
        let first = self.probe(&self.python).await?;
        let Some(wanted) = wanted.filter(|wanted| !wanted.accepts(first.version)) else {
            return Ok(first);
        };
        for minor in MINORS.rev() {
            let name = format!("python3.{minor}");
            if let Some(path) = find(&name, &self.variables)
                && let Ok(other) = self.probe(&path).await
                && wanted.accepts(other.version)
            {
                return Ok(other);
            }
        }
        let [major, minor, patch] = first.version;
        let message = format!(
            "the app needs Python {wanted}, and this worker has {major}.{minor}.{patch} at {}: \
             install a python3.N of that version",
            first.executable.display()
        );
        Err(Error::new(ErrorKind::Unavailable, message))
    }

    /// Asks an interpreter what it is, once as long as its file stays the same.
    async fn probe(&self, program: &Path) -> Result<Interpreter> {
        let missing = |message: String| Error::new(ErrorKind::Unavailable, message);
        let shown = program.display();
        let path = match program.components().count() {
            1 => find(&program.to_string_lossy(), &self.variables)
                .ok_or_else(|| missing(format!("there is no {shown} on this worker")))?,
            _ => program.to_owned(),
        };
        let metadata = fs::metadata(&path).map_err(|e| missing(format!("{shown}: {e}")))?;
        let stamp = (path.clone(), metadata.ino(), metadata.mtime(), metadata.mtime_nsec());
        let known = || self.probed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = known().iter().find(|(of, _)| *of == stamp)
            && found.executable.exists()
        {
            return Ok(found.clone());
        }
        let mut command = Command::new(&path);
        command.args(["-I", "-c", PROBE]).env_clear().envs(self.variables.iter().cloned());
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(PROBE_TIMEOUT, command.output());
        let output = output.await.map_err(|_| missing(format!("{shown} does not answer")))?;
        let output = output.map_err(|error| missing(format!("cannot start {shown}: {error}")))?;
        let found: Interpreter = serde_json::from_slice(&output.stdout).map_err(|_| {
            let text = String::from_utf8_lossy(&output.stderr);
            missing(format!("{shown} is not a Python interpreter: {}", text.trim()))
        })?;
        let mut known = known();
        known.retain(|(of, _)| of.0 != stamp.0);
        known.push((stamp, found.clone()));
        Ok(found)
    }
}

/// A command of a set-up.
#[derive(Debug)]
struct Step {
    command: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
}

/// The program that makes environments.
#[derive(Debug)]
enum Tool {
    /// `venv` and `pip` of the interpreter.
    Pip,
    /// uv, which is much faster.
    Uv(PathBuf),
}

impl Tool {
    fn find(
        variables: &[(OsString, OsString)],
        requirements: Option<&Requirements>,
    ) -> Result<Self> {
        match find("uv", variables) {
            Some(uv) => Ok(Self::Uv(uv)),
            None if requirements.is_some_and(Requirements::is_lock) => {
                let message = "uv.lock needs uv, which this worker does not have: install uv, or \
                               name a requirements.txt";
                Err(Error::new(ErrorKind::Unavailable, message))
            }
            None => Ok(Self::Pip),
        }
    }

    /// Returns the part of the key of an environment. Another version makes it the same way.
    fn name(&self) -> String {
        match self {
            Self::Pip => "pip".to_owned(),
            Self::Uv(path) => {
                let metadata = fs::metadata(path).ok();
                let stamp = metadata.map(|metadata| (metadata.ino(), metadata.mtime()));
                format!("uv {stamp:?}")
            }
        }
    }

    /// Returns the commands that create an environment, and that install into it.
    fn commands(
        &self,
        path: &Path,
        python: &Path,
        requirements: Option<&Requirements>,
    ) -> (Step, Option<Step>) {
        let step = |words: &[&std::ffi::OsStr], variables: Vec<(OsString, OsString)>| Step {
            command: words.iter().map(|word| (*word).to_owned()).collect(),
            variables,
        };
        let (venv_python, file) = (path.join("bin/python"), requirements.map(Requirements::path));
        match self {
            Self::Pip => {
                let mut create: Vec<&std::ffi::OsStr> =
                    vec![python.as_ref(), "-m".as_ref(), "venv".as_ref()];
                if requirements.is_none() {
                    // It takes seconds, and nothing needs it.
                    create.push("--without-pip".as_ref());
                }
                create.push(path.as_ref());
                let install = file.map(|file| {
                    let words =
                        ["-m", "pip", "install", "--disable-pip-version-check", "--no-input"];
                    let mut install: Vec<&std::ffi::OsStr> = vec![venv_python.as_ref()];
                    install.extend(words.iter().map(|word| std::ffi::OsStr::new(*word)));
                    install.extend(["-r".as_ref(), std::ffi::OsStr::new(file)]);
                    step(&install, Vec::new())
                });
                (step(&create, Vec::new()), install)
            }
            Self::Uv(uv) => {
                let uv: &std::ffi::OsStr = uv.as_ref();
                let create = step(
                    &[uv, "venv".as_ref(), "--python".as_ref(), python.as_ref(), path.as_ref()],
                    Vec::new(),
                );
                let install = requirements.map(|requirements| {
                    if requirements.is_lock() {
                        let words = ["sync", "--frozen", "--no-install-project", "--no-dev"];
                        let mut sync = vec![uv];
                        sync.extend(words.iter().map(|word| std::ffi::OsStr::new(*word)));
                        if let Some(folder) = Path::new(requirements.path()).parent() {
                            sync.extend([
                                "--project".as_ref(),
                                match folder.as_os_str() {
                                    name if name.is_empty() => ".".as_ref(),
                                    name => name,
                                },
                            ]);
                        }
                        let environment = ("UV_PROJECT_ENVIRONMENT".into(), path.into());
                        return step(&sync, vec![environment]);
                    }
                    step(
                        &[
                            uv,
                            "pip".as_ref(),
                            "install".as_ref(),
                            "--python".as_ref(),
                            venv_python.as_ref(),
                            "-r".as_ref(),
                            requirements.path().as_ref(),
                        ],
                        Vec::new(),
                    )
                });
                (create, install)
            }
        }
    }
}

/// Returns true for variables that select indexes and the like.
pub(crate) fn is_of_tool(name: &std::ffi::OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("PIP_") || name.starts_with("UV_")
}

/// Finds a program on the path.
fn find(name: &str, variables: &[(OsString, OsString)]) -> Option<PathBuf> {
    let (_, path) = variables.iter().find(|(name, _)| name == "PATH")?;
    let mut found = std::env::split_paths(path).map(|folder| folder.join(name));
    found.find(|path| {
        fs::metadata(path).is_ok_and(|found| found.is_file() && found.mode() & 0o111 != 0)
    })
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
