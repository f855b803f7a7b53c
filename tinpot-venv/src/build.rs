//! Builds the environments that folders and files ask for.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tinpot_core::{Error, ErrorKind, Result};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::cache::{CacheEntry, Found, Kind};
use crate::interpreter::{Interpreter, Interpreters};
use crate::key::Key;
use crate::lazy_cache::LazyCache;
use crate::mask::mask;
use crate::request::{DirectoryRequest, Origin, Request, Wanted, folder_asks};
use crate::retry::asked_for_retries;
use crate::run::{Echo, Log, run};
use crate::stored::TITLE;
use crate::tool::{Packages, Step, Tool, is_of_tool};

/// The free space that a build needs to begin.
const MIN_FREE_BYTES: u64 = 512 << 20;
/// The number of builds for files that change meanwhile.
const MAX_CHANGES: usize = 5;
/// The longest reason in the first line of a message.
const REASON_CHARS: usize = 300;
/// Words of pip and uv about an index that does not answer as it should, whatever else they say.
const TROUBLE: [&str; 3] = [FETCH, "Retrying (", "error sending request"];
/// The beginning of such a line in pip's own log. pip prints nothing of it.
const FETCH: &str = "Could not fetch URL";
/// The part of pip's own log that is read, and the number of its lines that are shown.
const PIP_LOG_BYTES: u64 = 16 << 20;
const MAX_TROUBLES: usize = 3;
/// The first digits of a key, which are enough for people.
const SHORT: usize = 12;
/// The files with settings of pip and uv, besides those below the user's directory.
const SETTINGS: [&str; 3] = ["/etc/pip.conf", "/etc/xdg/pip/pip.conf", "/etc/uv/uv.toml"];
const SETTINGS_OF_USER: [&str; 3] = [".config/pip/pip.conf", ".pip/pip.conf", ".config/uv/uv.toml"];
/// Words of pip and uv if another try gives the same result.
const CONFLICTS: [&str; 5] = [
    "No matching distribution",
    "ResolutionImpossible",
    "No solution found",
    "Invalid requirement",
    "needs to be updated",
];

/// Builds environments, or finds them in the cache. One at a time.
#[derive(Debug)]
pub struct Builder {
    cache: LazyCache,
    interpreters: Interpreters,
    /// The settings of directories, by their names.
    directories: BTreeMap<String, DirectoryRequest>,
    /// The variables of installers.
    variables: Vec<(OsString, OsString)>,
    timeout: Duration,
    echo: Option<Echo>,
    turn: Mutex<()>,
}

/// An environment. It stays in the cache while this exists.
#[derive(Debug)]
#[non_exhaustive]
pub struct Environment {
    /// The directory.
    pub path: PathBuf,
    /// The name in the cache.
    pub key: String,
    /// The size in bytes.
    pub bytes: u64,
    /// The digest of the request.
    pub digest: String,
    /// The record of the build.
    pub record: Record,
    /// True if this call has built it.
    pub is_new: bool,
    entry: CacheEntry,
}

/// The record of a build, which is written after everything else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// The version of Python.
    pub python: String,
    /// The installer: `uv` or `pip`.
    pub installer: String,
    /// The installed packages, such as `numpy 2.5.5`.
    pub packages: Vec<String>,
    /// The duration of the build in milliseconds.
    pub milliseconds: u64,
}

/// The reason why there is no environment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuildError {
    /// The reason, with the end of the log.
    pub message: String,
    /// The reason alone, on one line.
    pub reason: String,
    /// The end of the log; empty if nothing was run.
    pub log: String,
    /// The name of the environment in the cache, which has the whole log; empty if nothing was run.
    pub key: String,
    /// True if only a change of the request can help.
    pub is_final: bool,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BuildError {}

impl From<Error> for BuildError {
    fn from(error: Error) -> Self {
        let is_final = error.kind() == ErrorKind::InvalidInput;
        Self::new(mask(error.message()).into_owned(), is_final)
    }
}

impl BuildError {
    fn new(message: String, is_final: bool) -> Self {
        let reason = message.lines().next().unwrap_or_default().to_owned();
        Self { message, reason, log: String::new(), key: String::new(), is_final }
    }

    /// Returns the first digits of the name in the cache, which are enough for people.
    pub fn short_key(&self) -> &str {
        short(&self.key)
    }
}

impl Environment {
    /// Returns the first digits of its name in the cache, which are enough for people.
    pub fn short_key(&self) -> &str {
        short(&self.key)
    }

    /// Returns the interpreter.
    pub fn python(&self) -> PathBuf {
        self.path.join("bin/python")
    }

    /// Returns false if it was removed, or its interpreter was.
    pub fn is_there(&self) -> bool {
        self.entry.is_there() && self.python().exists() && self.path.join("pyvenv.cfg").exists()
    }
}

impl Builder {
    /// Creates a builder with a cache that prefers the interpreters `pythons`, in this order.
    /// Installers get `variables`, and those of this process that select indexes and the like and
    /// are not among them. A build that takes longer than `timeout` fails.
    pub fn new(
        cache: LazyCache,
        pythons: Vec<PathBuf>,
        mut variables: Vec<(OsString, OsString)>,
        timeout: Duration,
    ) -> Self {
        let is_wrong = |name: &OsString| {
            // They belong to the worker's interpreter.
            ["PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"].iter().any(|wrong| name == wrong)
        };
        variables.retain(|(name, _)| !is_wrong(name));
        let given: Vec<_> = variables.iter().map(|(name, _)| name.clone()).collect();
        let own = std::env::vars_os().filter(|(name, _)| is_of_tool(name) && !given.contains(name));
        variables.extend(own);
        let interpreters = Interpreters::new(pythons, variables.clone());
        let (directories, echo, turn) = (BTreeMap::new(), None, Mutex::default());
        Self { cache, interpreters, directories, variables, timeout, echo, turn }
    }

    /// Sets what directories ask for, in place of the files in them. The names are relative to the
    /// directory of actions, which is `""`.
    #[must_use]
    pub fn directories(mut self, directories: BTreeMap<String, DirectoryRequest>) -> Self {
        self.directories = directories;
        self
    }

    /// Sets what gets the lines of the logs as they are written.
    #[must_use]
    pub fn echo(mut self, echo: Option<Echo>) -> Self {
        self.echo = echo;
        self
    }

    /// Returns true if the user has asked since then to try failed builds again.
    pub fn is_asked_again(&self, since: SystemTime) -> bool {
        asked_for_retries(&self.cache.path()).is_some_and(|asked| asked > since)
    }

    /// Returns what is set for an origin.
    fn set_for(&self, origin: &Origin) -> DirectoryRequest {
        match origin {
            Origin::Folder(name) => self.directories.get(name).cloned().unwrap_or_default(),
            Origin::Script(_) => DirectoryRequest::default(),
        }
    }

    /// Returns the file below `root` that asks, or the directory for which packages are set.
    pub fn place(&self, root: &Path, origin: &Origin) -> String {
        origin.place_with(root, &self.set_for(origin))
    }

    /// Returns true if nothing asks for an environment at an origin: only other settings are about
    /// it.
    pub fn asks_nothing(&self, root: &Path, origin: &Origin) -> bool {
        match origin {
            Origin::Folder(name) => {
                let set = self.set_for(origin);
                set.is_nothing()
                    && self.directories.contains_key(name)
                    && !folder_asks(&root.join(name))
            }
            Origin::Script(_) => false,
        }
    }

    /// Reads what an origin below `root` asks for.
    ///
    /// # Errors
    /// `InvalidInput` if a file cannot be read or understood.
    pub async fn request(&self, root: &Path, origin: &Origin) -> Result<Request> {
        let (root, origin, set) = (root.to_owned(), origin.clone(), self.set_for(origin));
        let read = move || Request::read(&root, &origin, &set);
        let read = tokio::task::spawn_blocking(read).await;
        read.unwrap_or_else(|_| Err(Error::new(ErrorKind::Closed, "the runtime ends")))
    }

    /// Reads a request, and returns its environment.
    ///
    /// # Errors
    /// Fails if the request cannot be understood, or the environment cannot be built.
    pub async fn environment(
        &self,
        root: &Path,
        origin: &Origin,
    ) -> std::result::Result<Environment, BuildError> {
        for _ in 0..MAX_CHANGES {
            let request = self.request(root, origin).await?;
            let environment = self.build(&request).await?;
            // What was installed belongs to files that may have changed meanwhile.
            if !environment.is_new || self.request(root, origin).await?.digest == request.digest {
                return Ok(environment);
            }
            environment.entry.spoil();
        }
        Err(BuildError::new("the files change all the time".to_owned(), false))
    }

    async fn build(&self, request: &Request) -> std::result::Result<Environment, BuildError> {
        let wanted = request.python.as_ref();
        let python = match &request.interpreter {
            Some(path) => self.interpreters.named(path, wanted).await?,
            None => self.interpreters.choose(wanted).await?,
        };
        let tool = Tool::find(&self.variables, request.only_uv())?;
        let key = self.key(request, &python, &tool);
        let digest = request.digest.clone();
        let waiting = async || {
            tracing::info!("waiting for the Python environment of {}", request.place);
        };
        let build = match self.cache.get().await?.find(Kind::Venv, &key, waiting).await? {
            Found::Entry(entry) => {
                let record = serde_json::from_str(&entry.note()).unwrap_or_default();
                let (path, bytes) = (entry.path.clone(), entry.bytes());
                let is_new = false;
                return Ok(Environment { path, key, bytes, digest, record, is_new, entry });
            }
            Found::Missing(build) => build,
        };
        let _turn = self.turn.lock().await;
        let begun = Instant::now();
        free_space(&build.path)?;
        let mut log = Log::create(&build.log, self.echo.clone())?;
        let versions = (python.version(), python.executable.display().to_string());
        tracing::info!(
            "building the Python environment of {} with {} and Python {}",
            request.place,
            tool.name(),
            versions.0
        );
        let asking = request.root.join(&request.place);
        log.line(&format!("{TITLE}{}", asking.display()));
        log.line(&format!("Python {} at {}", versions.0, versions.1));
        let result = self.install(request, &python, &tool, &build.path, &mut log);
        let result = tokio::time::timeout(self.timeout, result).await;
        let is_late = result.is_err();
        let too_late = || Err(format!("not done within {} s", self.timeout.as_secs()));
        if let Err(reason) = result.unwrap_or_else(|_| too_late()) {
            let tail = log.finish();
            let has = |texts: &[&str]| texts.iter().any(|text| tail.contains(text));
            let is_final = !is_late && has(&CONFLICTS) && !has(&TROUBLE);
            // What was said before the time limit is not the reason.
            let reason = said(&tail).filter(|_| !is_late).unwrap_or(reason);
            let message = format!(
                "cannot build the Python environment of {}: {reason}\n{tail}\n\
                 The whole log: tinpot python log {}",
                request.place,
                short(&key)
            );
            return Err(BuildError { message, reason, log: tail, key, is_final });
        }
        log.finish();
        let record = Record {
            python: versions.0,
            installer: tool.name().to_owned(),
            packages: installed(&build.path),
            milliseconds: begun.elapsed().as_millis() as u64,
        };
        tracing::info!(
            "built the Python environment of {} in {:.1} s: {}",
            request.place,
            begun.elapsed().as_secs_f64(),
            build.path.display()
        );
        // Cannot fail: it writes texts to memory.
        let note = serde_json::to_string(&record).unwrap_or_default();
        let entry = build.note(note).finish().await?;
        let (path, bytes) = (entry.path.clone(), entry.bytes());
        Ok(Environment { path, key, bytes, digest, record, is_new: true, entry })
    }

    async fn install(
        &self,
        request: &Request,
        python: &Interpreter,
        tool: &Tool,
        path: &Path,
        log: &mut Log,
    ) -> std::result::Result<(), String> {
        let failed = |error: std::io::Error| format!("cannot write a file: {error}");
        let scratch = tempfile::tempdir().map_err(failed)?;
        let list = scratch.path().join("requirements.txt");
        let (packages, first) = match &request.packages {
            Wanted::List(text) => {
                fs::write(&list, text).map_err(failed)?;
                (Packages::File(&list), None)
            }
            Wanted::File(file) => (Packages::File(file), None),
            Wanted::Pylock => {
                fs::copy(request.folder.join("pylock.toml"), scratch.path().join("pylock.toml"))
                    .map_err(failed)?;
                (Packages::File(Path::new("pylock.toml")), None)
            }
            Wanted::UvLock(groups) => (Packages::Locked(&request.folder, groups), None),
            Wanted::Script { text, lock } => {
                let script = scratch.path().join("script.py");
                fs::write(&script, text).map_err(failed)?;
                if let Some(lock) = lock {
                    fs::write(scratch.path().join("script.py.lock"), lock).map_err(failed)?;
                }
                (Packages::File(&list), tool.export(&script, &list, python, lock.is_some()))
            }
        };
        let (create, install) = tool.steps(path, python, packages);
        let steps = [Some(("create it", create)), first.map(|step| ("resolve", step))];
        let steps = steps.into_iter().flatten().chain(install.map(|step| ("install", step)));
        let pip_log = scratch.path().join("pip.log");
        for (what, mut step) in steps {
            if *tool == Tool::Pip {
                step.variables.push(("PIP_LOG".into(), pip_log.clone().into()));
            }
            let done = self.step(what, &step, &request.folder, log).await;
            done.inspect_err(|_| troubles(&pip_log).iter().for_each(|line| log.line(line)))?;
        }
        Ok(())
    }

    async fn step(
        &self,
        what: &str,
        step: &Step,
        folder: &Path,
        log: &mut Log,
    ) -> std::result::Result<(), String> {
        let words: Vec<_> = step.command.iter().map(|word| word.to_string_lossy()).collect();
        log.line(&format!("$ {}", words.join(" ")));
        let variables = self.variables.iter().chain(&step.variables);
        match run(&step.command, variables, folder, log).await {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => match status.code() {
                Some(code) => Err(format!("cannot {what}: exit code {code}")),
                None => Err(format!("cannot {what}: {status}")),
            },
            Err(error) => Err(format!("cannot {what}: {error}")),
        }
    }

    fn key(&self, request: &Request, python: &Interpreter, tool: &Tool) -> String {
        let mut key = Key::default();
        key.part("tinpot venv 1");
        key.part(&request.digest);
        key.part(python.identity());
        key.part(tool.identity());
        for (name, value) in self.variables.iter().filter(|(name, _)| is_of_tool(name)) {
            key.part(name.as_encoded_bytes());
            key.part(mask(&value.to_string_lossy()).as_bytes());
        }
        let home = self.variables.iter().find(|(name, _)| name == "HOME");
        let own = home.into_iter().flat_map(|(_, home)| {
            SETTINGS_OF_USER.iter().map(move |name| Path::new(home).join(name))
        });
        let named = self
            .variables
            .iter()
            .filter(|(name, _)| name == "PIP_CONFIG_FILE" || name == "UV_CONFIG_FILE");
        let all = SETTINGS.iter().map(PathBuf::from).chain(own);
        for path in all.chain(named.map(|(_, path)| PathBuf::from(path))) {
            if let Ok(text) = fs::read_to_string(&path) {
                key.part(path.as_os_str().as_encoded_bytes());
                key.part(mask(&text).as_bytes());
            }
        }
        key.finish()
    }
}

fn short(key: &str) -> &str {
    key.get(..SHORT).unwrap_or(key)
}

fn free_space(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    let Ok(found) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    if free >= MIN_FREE_BYTES {
        return Ok(());
    }
    let message = format!(
        "{} has {} MiB free, and a build needs {}: free disk space",
        folder.display(),
        free >> 20,
        MIN_FREE_BYTES >> 20
    );
    Err(Error::new(ErrorKind::StorageFull, message))
}

/// Returns what pip's own log says about indexes that do not answer. An index that does not know a
/// package is no trouble, because another one may know it.
fn troubles(pip_log: &Path) -> Vec<String> {
    let mut text = Vec::new();
    if let Ok(file) = fs::File::open(pip_log) {
        // What was read before an error is as good as all.
        let _ = file.take(PIP_LOG_BYTES).read_to_end(&mut text);
    }
    let mut found: Vec<String> = Vec::new();
    for line in String::from_utf8_lossy(&text).lines() {
        let Some(at) = line.find(FETCH).filter(|_| !line.contains(": 404 ")) else { continue };
        let line = line[at..].trim_end_matches(" - skipping").to_owned();
        if found.len() < MAX_TROUBLES && !found.contains(&line) {
            found.push(line);
        }
    }
    found
}

/// Returns the reason that an installer has printed last, and the trouble with an index.
fn said(tail: &str) -> Option<String> {
    let reason = |line: &str| {
        let line = line.trim_start();
        // uv draws a line to its reason.
        let reason =
            ["ERROR: ", "error: ", "╰─▶ "].iter().find_map(|mark| line.strip_prefix(mark))?;
        // The line before says what conflicts.
        (!reason.starts_with("ResolutionImpossible")).then(|| reason.to_owned())
    };
    let reason = tail.lines().rev().find_map(reason)?;
    let trouble = tail.lines().rev().find(|line| line.starts_with(FETCH));
    let both = trouble.map_or(reason.clone(), |trouble| format!("{reason}: {trouble}"));
    Some(both.chars().take(REASON_CHARS).collect())
}

/// Returns the names and versions of the installed packages.
fn installed(path: &Path) -> Vec<String> {
    let list = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    let libraries = list(&path.join("lib")).map(|entry| entry.path().join("site-packages"));
    let mut found: Vec<String> = libraries
        .flat_map(|packages| list(&packages).collect::<Vec<_>>())
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let (name, version) = name.strip_suffix(".dist-info")?.rsplit_once('-')?;
            Some(format!("{name} {version}"))
        })
        .collect();
    found.sort();
    found
}
