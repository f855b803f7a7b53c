//! Finds and probes the Python interpreter.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;

use crate::error::PythonError;

const OLDEST: (u32, u32) = (3, 9);
/// The time for an interpreter to print its version.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);
/// A program that every version of Python understands.
const PROBE: &str = "\
import sys, json, site
sys.stdout.write(json.dumps({
    'version': list(sys.version_info[:3]),
    'executable': sys.executable,
    'prefix': sys.prefix,
    'path': [entry for entry in sys.path if entry],
    'sites': getattr(site, 'getsitepackages', list)(),
}))";

/// The description of an interpreter by itself.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Python {
    pub(crate) version: (u32, u32, u32),
    pub(crate) executable: PathBuf,
    /// The directory of the environment.
    #[cfg_attr(
        not(feature = "embed"),
        allow(dead_code, reason = "needed by the feature `embed` alone")
    )]
    pub(crate) prefix: PathBuf,
    /// The search path of modules.
    #[cfg_attr(
        not(feature = "embed"),
        allow(dead_code, reason = "needed by the feature `embed` alone")
    )]
    pub(crate) path: Vec<PathBuf>,
    /// The directories of installed packages.
    #[cfg_attr(
        not(feature = "embed"),
        allow(dead_code, reason = "needed by the feature `embed` alone")
    )]
    pub(crate) sites: Vec<PathBuf>,
}

/// Returns the chosen interpreter: `chosen` (a program, or the directory of a virtual environment),
/// else that of the active virtual environment, else none.
pub(crate) fn choose(chosen: Option<&Path>) -> Option<PathBuf> {
    match (chosen, env::var_os("VIRTUAL_ENV")) {
        (Some(path), _) if path.join("bin/python").exists() => Some(path.join("bin/python")),
        (Some(path), _) => Some(path.to_owned()),
        (None, Some(venv)) if !venv.is_empty() => Some(PathBuf::from(venv).join("bin/python")),
        (None, _) => None,
    }
}

/// Runs an interpreter to learn its version and paths.
pub(crate) async fn probe(path: PathBuf) -> Result<Python, PythonError> {
    let mut command = Command::new(&path);
    command.args(["-c", PROBE]).stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(PROBE_TIMEOUT, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(source)) => return Err(PythonError::Missing { path, source }),
        Err(_) => {
            let output = format!("printed no version within {} s", PROBE_TIMEOUT.as_secs());
            return Err(PythonError::NotPython { path, output });
        }
    };
    let Ok(mut python) = serde_json::from_slice::<Python>(&output.stdout) else {
        let text = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
        let text = String::from_utf8_lossy(text);
        let first: String = text.trim().chars().take(300).collect();
        let output = format!("ended with {} and printed {first:?}", output.status);
        return Err(PythonError::NotPython { path, output });
    };
    let (major, minor, patch) = python.version;
    if (major, minor) < OLDEST {
        return Err(PythonError::TooOld { path, version: format!("{major}.{minor}.{patch}") });
    }
    if !python.executable.is_absolute() {
        python.executable = path;
    }
    Ok(python)
}
