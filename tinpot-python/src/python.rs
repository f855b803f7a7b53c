//! Which Python interpreter, and whether it is one.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;

use crate::error::PythonError;

const OLDEST: (u32, u32) = (3, 9);
/// How long an interpreter may take to say its version.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);
/// Understood by every Python there ever was.
const PROBE: &str = "\
import sys, json, site
sys.stdout.write(json.dumps({
    'version': list(sys.version_info[:3]),
    'executable': sys.executable,
    'prefix': sys.prefix,
    'path': [entry for entry in sys.path if entry],
    'sites': getattr(site, 'getsitepackages', list)(),
}))";

/// What an interpreter says about itself.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Python {
    pub(crate) version: (u32, u32, u32),
    pub(crate) executable: PathBuf,
    /// The environment's directory.
    #[cfg_attr(
        not(feature = "embed"),
        allow(dead_code, reason = "only the embedded one needs it")
    )]
    pub(crate) prefix: PathBuf,
    /// Where it finds modules.
    #[cfg_attr(
        not(feature = "embed"),
        allow(dead_code, reason = "only the embedded one needs it")
    )]
    pub(crate) path: Vec<PathBuf>,
    /// Where it finds installed packages.
    #[cfg_attr(
        not(feature = "embed"),
        allow(dead_code, reason = "only the embedded one needs it")
    )]
    pub(crate) sites: Vec<PathBuf>,
}

/// The interpreter that is asked for: `chosen` (a program, or the directory of a virtual environment), else that of the active virtual
/// environment.
pub(crate) fn asked_for(chosen: Option<&Path>) -> Option<PathBuf> {
    match (chosen, env::var_os("VIRTUAL_ENV")) {
        (Some(path), _) if path.join("bin/python").exists() => Some(path.join("bin/python")),
        (Some(path), _) => Some(path.to_owned()),
        (None, Some(venv)) if !venv.is_empty() => Some(PathBuf::from(venv).join("bin/python")),
        (None, _) => None,
    }
}

/// Asks an interpreter what it is.
pub(crate) async fn probe(path: PathBuf) -> Result<Python, PythonError> {
    let mut command = Command::new(&path);
    command.args(["-c", PROBE]).stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(PROBE_TIMEOUT, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(source)) => return Err(PythonError::Missing { path, source }),
        Err(_) => {
            let said = format!("said nothing for {} s", PROBE_TIMEOUT.as_secs());
            return Err(PythonError::NotPython { path, said });
        }
    };
    let Ok(mut python) = serde_json::from_slice::<Python>(&output.stdout) else {
        let text = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
        let text = String::from_utf8_lossy(text);
        let first: String = text.trim().chars().take(300).collect();
        let said = format!("ended with {} and wrote {first:?}", output.status);
        return Err(PythonError::NotPython { path, said });
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
