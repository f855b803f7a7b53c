//! Finds and probes the Python interpreter.

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::base::Base;
use crate::error::PythonError;

const OLDEST: (u32, u32) = (3, 9);
/// The time for an interpreter to print its version.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);
/// A program that every version of Python understands. It imports built-in modules only: a file of
/// the working directory, such as `json.py`, must not run because of this question.
const PROBE: &str = "\
import sys
sys.path[:] = [entry for entry in sys.path if entry]
def text(value):
    if not isinstance(value, bytes):
        value = value.encode('utf-8', 'surrogateescape')
    return '\"' + ''.join(['%02x' % byte for byte in bytearray(value)]) + '\"'
def texts(values):
    return '[' + ','.join([text(value) for value in values]) + ']'
site = sys.modules.get('site')
sites = site.getsitepackages() if hasattr(site, 'getsitepackages') else []
build = getattr(sys, 'implementation', None)
abi = '%s%s-%s' % (getattr(build, 'cache_tag', ''), getattr(sys, 'abiflags', ''), getattr(build, '_multiarch', ''))
import posix
posix.write(1, ('\\n' + sys.argv[1] + '{\"version\":[%d,%d,%d]' % tuple(sys.version_info[:3])
    + ',\"executable\":' + text(sys.executable or '') + ',\"abi\":' + text(abi) + ',\"prefix\":' + text(sys.prefix)
    + ',\"path\":' + texts(sys.path) + ',\"sites\":' + texts(sites) + '}\\n').encode('ascii'))
";

/// The description of an interpreter by itself.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Python {
    pub(crate) version: (u32, u32, u32),
    #[serde(deserialize_with = "path")]
    pub(crate) executable: PathBuf,
    /// The name of the interface of compiled modules, as `SOABI` has it; empty if it is unknown.
    #[cfg_attr(
        not(feature = "embed"),
        allow(dead_code, reason = "needed by the feature `embed` alone")
    )]
    #[serde(default, deserialize_with = "name")]
    pub(crate) abi: String,
    /// The directory of the environment.
    #[cfg_attr(
        not(feature = "embed"),
        allow(dead_code, reason = "needed by the feature `embed` alone")
    )]
    #[serde(deserialize_with = "path")]
    pub(crate) prefix: PathBuf,
    /// The search path of modules.
    #[cfg_attr(
        not(feature = "embed"),
        allow(dead_code, reason = "needed by the feature `embed` alone")
    )]
    #[serde(deserialize_with = "paths")]
    pub(crate) path: Vec<PathBuf>,
    /// The directories of installed packages.
    #[cfg_attr(
        not(feature = "embed"),
        allow(dead_code, reason = "needed by the feature `embed` alone")
    )]
    #[serde(deserialize_with = "paths")]
    pub(crate) sites: Vec<PathBuf>,
}

/// A path as hexadecimal digits, in which every path can be told.
#[derive(Deserialize)]
struct Hex(String);

impl Hex {
    fn path<E: serde::de::Error>(&self) -> Result<PathBuf, E> {
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = self.0.as_bytes().chunks(2).map(byte).collect();
        let bytes = bytes.ok_or_else(|| E::custom("a path must be hexadecimal digits"))?;
        Ok(OsString::from_vec(bytes).into())
    }
}

fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    Hex::deserialize(deserializer)?.path()
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Hex::deserialize(deserializer)?.path::<D::Error>()?.to_string_lossy().into_owned())
}

fn paths<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    Vec::<Hex>::deserialize(deserializer)?.iter().map(Hex::path).collect()
}

/// Finds the answer of an interpreter, whose start may print as well.
fn answer(output: &[u8], mark: &str) -> Option<Python> {
    let text = String::from_utf8_lossy(output);
    let line = text.lines().find_map(|line| line.strip_prefix(mark))?;
    serde_json::from_str(line).ok()
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
pub(crate) async fn probe(path: PathBuf, base: &Base) -> Result<Python, PythonError> {
    let mut command = base.command(&path);
    let mark = format!("tinpot-{} ", uuid::Uuid::new_v4().simple());
    command.args(["-c", PROBE, &mark]).stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(PROBE_TIMEOUT, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(source)) => return Err(PythonError::Missing { path, source }),
        Err(_) => {
            let output = format!("printed no version within {} s", PROBE_TIMEOUT.as_secs());
            return Err(PythonError::NotPython { path, output });
        }
    };
    let Some(mut python) = answer(&output.stdout, &mark) else {
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
