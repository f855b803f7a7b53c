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

/// The file of an interpreter as it was when it was probed.
type Stamp = (PathBuf, u64, i64, i64);

/// Finds interpreters, and remembers what they said.
#[derive(Debug)]
pub struct Interpreters {
    python: PathBuf,
    variables: Vec<(OsString, OsString)>,
    probed: Mutex<Vec<(Stamp, Interpreter)>>,
}

impl Interpreters {
    /// Creates a finder that prefers `python`: a program, or the directory of a virtual environment.
    /// The variables are those of the programs that it starts.
    pub fn new(python: Option<PathBuf>, variables: Vec<(OsString, OsString)>) -> Self {
        let python = python.unwrap_or_else(|| PathBuf::from("python3"));
        // The directory of a virtual environment stands for its interpreter.
        let inside = python.join("bin/python");
        let python = if inside.exists() { inside } else { python };
        Self { python, variables, probed: Mutex::default() }
    }

    /// Returns an interpreter of a wanted version: the preferred one, else the latest on the path.
    ///
    /// # Errors
    /// `Unavailable` if there is none.
    pub async fn choose(&self, wanted: Option<&Versions>) -> Result<Interpreter> {
        let first = self.probe(&self.python).await?;
        let Some(wanted) = wanted.filter(|wanted| !wanted.accepts(first.version)) else {
            return Ok(first);
        };
        for minor in MINORS.rev() {
            let name = format!("python3.{minor}");
            for path in all(&name, &self.variables) {
                if let Ok(other) = self.probe(&path).await
                    && wanted.accepts(other.version)
                {
                    return Ok(other);
                }
            }
        }
        let message = format!(
            "it needs Python {wanted}, and this worker has {} at {}: install a python3.N of that \
             version",
            first.version(),
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
