//! The Python interpreters of this machine.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tinpot_core::{Error, ErrorKind, Result};
use tokio::process::Command;
use tokio::time::timeout;

use crate::versions::Versions;

/// The time for an interpreter to say what it is.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);
/// Prints what an interpreter is as JSON.
const PROBE: &str = "\
import json, sys, sysconfig
try:
    import pip
    version = [int(part) for part in pip.__version__.split('.')[:2]]
except Exception:
    version = None
print(json.dumps({'executable': sys.executable, 'version': list(sys.version_info[:3]), 'pip': version,
    'abi': str(sysconfig.get_config_var('SOABI') or sys.implementation.cache_tag)}))
";
/// The minor versions of Python 3 that are tried, latest first.
const MINORS: std::ops::RangeInclusive<u32> = 8..=19;

/// An interpreter, as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Interpreter {
    /// The path of the program.
    pub executable: PathBuf,
    /// The version.
    pub version: [u32; 3],
    /// The name of the interface for compiled modules.
    pub abi: String,
    /// The version of its pip, if it has one.
    #[serde(default)]
    pub pip: Option<Vec<u32>>,
}

impl Interpreter {
    /// Returns what distinguishes the build of this interpreter from others.
    pub fn identity(&self) -> String {
        let real = fs::canonicalize(&self.executable).unwrap_or_default();
        let [major, minor, patch] = self.version;
        let shown = self.executable.display();
        format!("{major}.{minor}.{patch} {} {shown} {}", self.abi, real.display())
    }

    /// Returns the version as text.
    pub fn version(&self) -> String {
        self.version.map(|part| part.to_string()).join(".")
    }

    /// Returns true if its pip can install into another environment: pip 22.3 or newer.
    pub(crate) fn has_pip(&self) -> bool {
        self.pip.as_ref().is_some_and(|version| version.as_slice() >= [22, 3].as_slice())
    }
}

/// An interpreter, as uv lists it.
#[derive(Debug, Deserialize)]
struct Installed {
    path: Option<PathBuf>,
}

/// The file of an interpreter as it was when it was probed.
type Stamp = (PathBuf, u64, i64, i64);

/// Finds interpreters, and remembers what they said.
#[derive(Debug)]
pub struct Interpreters {
    /// The preferred ones, at least one.
    pythons: Vec<PathBuf>,
    variables: Vec<(OsString, OsString)>,
    probed: Mutex<Vec<(Stamp, Interpreter)>>,
}

impl Interpreters {
    /// Creates a finder that prefers `pythons`, in this order: programs, or directories of virtual
    /// environments; `python3` if there are none. The variables are those of the programs that it
    /// starts.
    pub fn new(mut pythons: Vec<PathBuf>, variables: Vec<(OsString, OsString)>) -> Self {
        if pythons.is_empty() {
            pythons.push(PathBuf::from("python3"));
        }
        // The directory of a virtual environment stands for its interpreter.
        let inside = |python: PathBuf| {
            let inside = python.join("bin/python");
            if inside.exists() { inside } else { python }
        };
        let pythons = pythons.into_iter().map(inside).collect();
        Self { pythons, variables, probed: Mutex::default() }
    }

    /// Returns an interpreter of a wanted version: the first preferred one that has it, else the
    /// latest on the path, else one that uv has installed. If every version is fine, the first
    /// preferred one is returned.
    ///
    /// # Errors
    /// `Unavailable` if there is none. The message names the preferred ones.
    pub async fn choose(&self, wanted: Option<&Versions>) -> Result<Interpreter> {
        let Some(wanted) = wanted else {
            return self.probe(self.pythons.first().map_or(Path::new("python3"), |p| p)).await;
        };
        let mut others = Vec::new();
        for python in &self.pythons {
            match self.probe(python).await {
                Ok(found) if wanted.accepts(found.version) => return Ok(found),
                Ok(found) => {
                    others.push(format!("{} at {}", found.version(), found.executable.display()));
                }
                Err(error) => {
                    tracing::warn!("skipping an interpreter: {}", error.message());
                    others.push(format!("none at {} ({})", python.display(), error.message()));
                }
            }
        }
        for minor in MINORS.rev() {
            let name = format!("python3.{minor}");
            for path in all(&name, &self.variables) {
                if let Some(found) = self.fitting(&path, wanted).await {
                    return Ok(found);
                }
            }
        }
        for path in self.installed_by_uv().await {
            if let Some(found) = self.fitting(&path, wanted).await {
                return Ok(found);
            }
        }
        let message = format!(
            "it needs Python {wanted}, and this worker has {}: install a python3.N of that version",
            others.join(", ")
        );
        Err(Error::new(ErrorKind::Unavailable, message))
    }

    /// Returns the interpreter of a path, which must have a wanted version.
    ///
    /// # Errors
    /// `Unavailable` if it cannot be started, or has another version.
    pub async fn named(&self, path: &Path, wanted: Option<&Versions>) -> Result<Interpreter> {
        let inside = path.join("bin/python");
        let found = self.probe(if inside.exists() { &inside } else { path }).await?;
        match wanted {
            Some(wanted) if !wanted.accepts(found.version) => {
                let message = format!(
                    "it needs Python {wanted}, and {}, which is set for it, is {}",
                    path.display(),
                    found.version()
                );
                Err(Error::new(ErrorKind::Unavailable, message))
            }
            _ => Ok(found),
        }
    }

    /// Returns an interpreter if it can be started and has a wanted version.
    async fn fitting(&self, path: &Path, wanted: &Versions) -> Option<Interpreter> {
        // Links of version managers that lead nowhere are no news.
        let found = self.probe(path).await.ok()?;
        wanted.accepts(found.version).then_some(found)
    }

    /// Returns the interpreters that uv has installed on this machine, if there is uv. Nothing is
    /// downloaded.
    async fn installed_by_uv(&self) -> Vec<PathBuf> {
        let Some(uv) = find("uv", &self.variables) else { return Vec::new() };
        let words = ["python", "list", "--only-installed", "--offline", "--output-format", "json"];
        let mut command = Command::new(uv);
        command.args(words).env_clear().envs(self.variables.iter().cloned());
        command.current_dir("/").stdin(Stdio::null()).kill_on_drop(true);
        let Ok(Ok(output)) = timeout(PROBE_TIMEOUT, command.output()).await else {
            return Vec::new();
        };
        // A version of uv without that list is as good as none.
        let found: Vec<Installed> = serde_json::from_slice(&output.stdout).unwrap_or_default();
        found.into_iter().filter_map(|one| one.path).collect()
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
        // A file of the working directory must not be imported, and the directory may be gone.
        command.current_dir("/").stdin(Stdio::null()).kill_on_drop(true);
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

/// Finds a program on the path.
pub(crate) fn find(name: &str, variables: &[(OsString, OsString)]) -> Option<PathBuf> {
    all(name, variables).into_iter().next()
}

/// Returns all programs of that name on the path.
fn all(name: &str, variables: &[(OsString, OsString)]) -> Vec<PathBuf> {
    let path = variables.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path);
    let folders = path.into_iter().flat_map(std::env::split_paths);
    let is_program = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|found| found.is_file() && found.mode() & 0o111 != 0)
    };
    folders.map(|folder| folder.join(name)).filter(is_program).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    use super::Interpreters;
    use crate::versions::Versions;

    /// Writes a program.
    fn program(path: PathBuf, text: &str) -> PathBuf {
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a file");
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("permissions");
        path
    }

    /// Writes a program that says that it is a Python.
    fn fake(folder: &Path, name: &str, minor: u32) -> PathBuf {
        let path = folder.join(name);
        let says = format!(
            r#"{{"executable": "{}", "version": [3, {minor}, 1], "abi": "x", "pip": [24, 0]}}"#,
            path.display()
        );
        program(path, &format!("echo '{says}'"))
    }

    fn found(pythons: &[&Path], path: &Path, wanted: Option<&str>) -> Result<PathBuf, String> {
        let pythons = pythons.iter().map(|path| path.to_path_buf()).collect();
        let interpreters = Interpreters::new(pythons, vec![("PATH".into(), path.into())]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let wanted = wanted.map(Versions::parse);
        let chosen = runtime.expect("a runtime").block_on(interpreters.choose(wanted.as_ref()));
        chosen.map(|chosen| chosen.executable).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn preferred_interpreters_come_first_and_in_their_order() {
        let place = tempfile::tempdir().expect("a directory");
        let at = |name: &str| place.path().join(name);
        let (on_path, empty) = (at("path"), at("empty"));
        fs::create_dir(&on_path).expect("a directory");
        fs::create_dir(&empty).expect("a directory");
        let (ten, nine, newer) = (
            fake(place.path(), "ten", 10),
            fake(place.path(), "nine", 9),
            fake(place.path(), "newer", 10),
        );
        let broken = program(at("broken"), "echo no such version >&2; exit 127");
        let thirteen = fake(&on_path, "python3.13", 13);
        // A version manager has links for versions that are not installed.
        program(on_path.join("python3.14"), "exit 127");
        let all = [&*ten, &*broken, &*nine, &*newer];
        for (wanted, expected) in [
            (None, &ten),
            (Some(">=3.9"), &ten),
            (Some("<3.10"), &nine),
            (Some("3.10"), &ten),
            (Some(">3.11"), &thirteen),
        ] {
            assert_eq!(found(&all, &on_path, wanted).as_ref(), Ok(expected), "{wanted:?}");
        }
        // The first one may be missing while another is asked for.
        assert_eq!(found(&[&broken, &nine], &empty, Some(">=3.9")).as_ref(), Ok(&nine));
        let error = found(&all, &empty, Some(">=3.14")).expect_err("none");
        for part in ["needs Python >=3.14", "3.10.1 at ", "3.9.1 at ", "no such version"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn interpreters_that_uv_has_installed_come_last() {
        let place = tempfile::tempdir().expect("a directory");
        let (ten, twelve) = (fake(place.path(), "ten", 10), fake(place.path(), "twelve", 12));
        let on_path = place.path().join("path");
        fs::create_dir(&on_path).expect("a directory");
        let list = format!(
            r#"[{{"path": null, "version": "3.12.9"}}, {{"path": "{}"}}]"#,
            twelve.display()
        );
        let only = "python list --only-installed --offline --output-format json";
        program(on_path.join("uv"), &format!("[ \"$*\" = '{only}' ] && echo '{list}'"));
        assert_eq!(found(&[&ten], &on_path, Some("3.12")).as_ref(), Ok(&twelve));
        program(on_path.join("uv"), "echo 'unexpected argument' >&2; exit 2");
        let error = found(&[&ten], &on_path, Some("3.12")).expect_err("none");
        assert!(error.contains("has 3.10.1 at "), "{error}");
    }
}
