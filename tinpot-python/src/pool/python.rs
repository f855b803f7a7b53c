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
const PROBE: &str = "import sys, json; sys.stdout.write(json.dumps({'version': list(sys.version_info[:3]), 'executable': sys.executable}))";

#[derive(Deserialize)]
struct Answer {
    version: (u32, u32, u32),
    executable: Option<PathBuf>,
}

/// The interpreter to use: `chosen` (a program, or the directory of a virtual environment), else the one of the active virtual
/// environment, else `python3`.
pub(super) async fn find(chosen: Option<&Path>) -> Result<PathBuf, PythonError> {
    let path = match (chosen, env::var_os("VIRTUAL_ENV")) {
        (Some(path), _) if path.join("bin/python").exists() => path.join("bin/python"),
        (Some(path), _) => path.to_owned(),
        (None, Some(venv)) if !venv.is_empty() => PathBuf::from(venv).join("bin/python"),
        (None, _) => PathBuf::from("python3"),
    };
    probe(path).await
}

/// Checks the interpreter and returns the path that it says it has: a shim is then not started over and over.
async fn probe(path: PathBuf) -> Result<PathBuf, PythonError> {
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
    let Ok(answer) = serde_json::from_slice::<Answer>(&output.stdout) else {
        let text = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
        let text = String::from_utf8_lossy(text);
        let first: String = text.trim().chars().take(300).collect();
        let said = format!("ended with {} and wrote {first:?}", output.status);
        return Err(PythonError::NotPython { path, said });
    };
    let (major, minor, patch) = answer.version;
    if (major, minor) < OLDEST {
        return Err(PythonError::TooOld { path, version: format!("{major}.{minor}.{patch}") });
    }
    Ok(answer.executable.filter(|executable| executable.is_absolute()).unwrap_or(path))
}
