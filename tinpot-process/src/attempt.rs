//! One attempt: its environment, its files, and its outcome.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tinpot_bundle::Towerfile;
use tinpot_contain::{Ended, secret_variable};
use tinpot_core::executor::Attempt;
use tinpot_core::{Context, Failure, FailureCode, Json, Level, Outcome, Stream};

use crate::app::Program;
use crate::inputs::Inputs;
use crate::run::{Cause, RunEnd};
use crate::workspace::Workspace;

/// The largest summary, which the core bounds, too.
const SUMMARY_BYTES: u64 = 256 * 1024;
/// Variables of the worker that are for its own programs and Python.
const WORKER_ONLY: [&str; 3] = ["TINPOT_", "PYTHON", "VIRTUAL_ENV"];

/// The file of the inputs.
#[derive(Serialize)]
struct InputFile<'a> {
    /// The inputs as they were submitted.
    input: &'a Json,
    /// The inputs, and the defaults of those that are missing.
    parameters: &'a BTreeMap<String, Box<RawValue>>,
}

/// Returns the failure of an attempt whose program did not start.
pub(crate) fn setup_failed(message: impl Into<String>) -> Outcome {
    Outcome::Failed(Failure::new(message).kind("SetupFailed"))
}

/// Returns true for a variable of the worker that programs get.
pub(crate) fn is_for_programs(name: &std::ffi::OsStr) -> bool {
    let name = name.to_string_lossy();
    !WORKER_ONLY.iter().any(|begin| name.starts_with(begin))
}

/// Writes the file of the inputs, and returns them.
///
/// # Errors
/// The outcome of an attempt whose inputs cannot be read or written.
pub(crate) fn write_inputs(
    attempt: &Attempt,
    towerfile: &Towerfile,
    workspace: &Workspace,
) -> Result<Inputs, Outcome> {
    let input: Map<String, Value> = serde_json::from_str(attempt.parameters.as_str())
        .map_err(|error| setup_failed(format!("cannot read the inputs: {error}")))?;
    // Numbers stay as they were written.
    let mut parameters: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(attempt.parameters.as_str()).unwrap_or_default();
    for parameter in &towerfile.parameters {
        if let Some(default) = &parameter.default
            && !parameters.contains_key(&parameter.name)
            && let Ok(default) = serde_json::value::to_raw_value(default)
        {
            parameters.insert(parameter.name.clone(), default);
        }
    }
    let inputs = Inputs::of(&input);
    let file = InputFile { input: &attempt.parameters, parameters: &parameters };
    // Cannot fail: it writes to memory.
    let text = serde_json::to_string(&file).unwrap_or_default();
    let written = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(workspace.input())
        .and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()));
    written.map_err(|error| setup_failed(format!("cannot write the inputs: {error}")))?;
    Ok(inputs)
}

/// Returns the whole environment of a program.
pub(crate) async fn environment(
    base: &[(OsString, OsString)],
    towerfile: &Towerfile,
    inputs: Inputs,
    attempt: &Attempt,
    workspace: &Workspace,
    context: &Context,
) -> Result<Vec<(OsString, OsString)>, Outcome> {
    let mut variables: Vec<(OsString, OsString)> = base.to_vec();
    let mut set = |name: &str, value: OsString| variables.push((name.into(), value));
    for (name, value) in &towerfile.tinpot.env {
        set(name, value.into());
    }
    if !inputs.warnings.is_empty() {
        context.logs().write(Stream::System, Level::Warning, inputs.warnings).await;
    }
    for (name, value) in inputs.variables {
        set(&name, value.into());
    }
    for name in &towerfile.tinpot.secrets {
        set(name, secret(name, context).await?.into());
    }
    if !towerfile.import_paths.is_empty() {
        let work = workspace.work();
        let folders = towerfile.import_paths.iter().map(|path| inside(&work, path));
        let paths = std::env::join_paths(folders).map_err(|_| {
            setup_failed("app.import_paths must not contain a colon, which separates the paths")
        })?;
        set("PYTHONPATH", paths);
    }
    if let Some(trace) = &attempt.traceparent {
        set("TRACEPARENT", (&**trace).into());
    }
    set("TINPOT_EXECUTION", attempt.execution.to_string().into());
    if attempt.execution_number > 0 {
        set("TINPOT_RUN", attempt.execution_number.to_string().into());
    }
    set("TINPOT_APP", (&*towerfile.name).into());
    if let Some(bundle) = &attempt.bundle {
        set("TINPOT_VERSION", bundle.version.to_string().into());
    }
    set("TINPOT_ATTEMPT", attempt.number.to_string().into());
    set("TINPOT_FENCE", attempt.fence.to_string().into());
    set("TINPOT_INPUT", workspace.input().into());
    set("TINPOT_RESULT", workspace.result().into());
    set("TINPOT_SUMMARY", workspace.summary().into());
    set("TINPOT_ARTIFACTS", workspace.artifacts().into());
    Ok(variables)
}

/// Returns a secret of the worker's own environment, or else one that the coordinator keeps.
async fn secret(name: &str, context: &Context) -> Result<String, Outcome> {
    if let Some(value) = local_secret(name) {
        context.mask(&value);
        return Ok(value);
    }
    let secret = context.secret(name).await.map_err(|error| {
        setup_failed(format!("cannot get the secret {name}: {}", error.message()))
    })?;
    if secret.contains('\0') {
        return Err(setup_failed(format!(
            "the secret {name} contains NUL: no variable can have it"
        )));
    }
    Ok(secret.to_string())
}

/// Returns a secret of the worker's own, as for Python actions.
fn local_secret(name: &str) -> Option<String> {
    let variable = secret_variable(&format!("TINPOT_SECRET_{name}"));
    variable.and_then(|text| text.into_string().ok()).or_else(|| {
        // The Towerfile allows letters, digits and underscores only.
        let folder = std::env::var_os("TINPOT_SECRETS_DIR").filter(|folder| !folder.is_empty())?;
        let text = fs::read_to_string(Path::new(&folder).join(name)).ok()?;
        Some(text.trim_end_matches(['\r', '\n']).to_owned())
    })
}

/// Returns the command of a program.
pub(crate) fn command(program: &Program, work: &Path) -> Vec<OsString> {
    match program {
        Program::Shell(script) => vec!["/bin/sh".into(), work.join(script).into()],
        Program::Python(script) => {
            vec![work.join(".venv/bin/python").into(), "-u".into(), work.join(script).into()]
        }
        Program::Exec(words) => words.iter().map(OsString::from).collect(),
    }
}

/// Returns a path of the Towerfile, for which a leading `/` means the root of the app.
fn inside(work: &Path, path: &str) -> std::path::PathBuf {
    work.join(path.trim_start_matches('/'))
}

/// Returns the outcome of a program that has ended.
pub(crate) fn outcome(
    end: RunEnd,
    stopped: bool,
    workspace: &Workspace,
    max_result_bytes: u64,
    context: &Context,
) -> Outcome {
    if let Some(summary) = read(&workspace.summary(), SUMMARY_BYTES) {
        let summary = String::from_utf8_lossy(&summary).into_owned();
        if !summary.trim().is_empty() {
            context.summary(summary);
        }
    }
    if let (Some(exceeded), false) = (end.exceeded, stopped) {
        return Outcome::Failed(exceeded);
    }
    if end.killed == Some(Cause::Closed) {
        return Outcome::failed("the executor was closed");
    }
    match end.ended {
        Ended::Exited { code: 0, .. } => {
            // Only a result shows that a program which was asked to end came to its end.
            let has_result = fs::metadata(workspace.result()).is_ok_and(|found| found.len() > 0);
            if stopped && !has_result {
                return Outcome::Cancelled;
            }
            result(workspace, max_result_bytes)
        }
        Ended::NotStarted(reason) => setup_failed(reason),
        _ if stopped => Outcome::Cancelled,
        Ended::Exited { code, .. } => {
            let last = Some(end.last_line).filter(|line| !line.is_empty());
            let last = last.map(|line| format!(": {line}")).unwrap_or_default();
            let failure = Failure::new(format!("exit code {code}{last}")).kind("Exit");
            Outcome::Failed(failure.exit_code(code))
        }
        Ended::Killed { signal, .. } => {
            let name = signal_name(signal);
            let message = format!("signal {signal}{name} killed the program");
            Outcome::Failed(Failure::new(message).code(FailureCode::Crashed).kind("Signal"))
        }
        _ => {
            let message = "the supervisor of the program was killed";
            Outcome::Failed(Failure::new(message).code(FailureCode::Crashed).kind("Crashed"))
        }
    }
}

/// Reads the result of a program that succeeded; `null` if it wrote none.
fn result(workspace: &Workspace, max_bytes: u64) -> Outcome {
    let Some(bytes) = read(&workspace.result(), max_bytes) else {
        return Outcome::Succeeded(Json::null());
    };
    if bytes.len() as u64 > max_bytes {
        let message = format!("the result must have at most {max_bytes} bytes");
        let failure = Failure::new(message).code(FailureCode::ResultTooLarge);
        return Outcome::Failed(failure.kind("ResultTooLarge"));
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Outcome::Succeeded(Json::null());
    }
    let invalid = |why: String| {
        let message = format!("the file TINPOT_RESULT must be JSON: {why}");
        Outcome::Failed(Failure::new(message).kind("InvalidResult"))
    };
    match String::from_utf8(bytes) {
        Ok(text) => Json::parse(text.trim())
            .map_or_else(|error| invalid(error.message().to_owned()), Outcome::Succeeded),
        Err(error) => invalid(error.to_string()),
    }
}

/// Reads a file that the program may have written, and a byte more than allowed of a larger one.
fn read(path: &Path, max_bytes: u64) -> Option<Vec<u8>> {
    // Not through a link, and without waiting for a writer of a named pipe.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    let file =
        File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path).ok()?;
    let mut bytes = Vec::new();
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    is_file.then(|| file.take(max_bytes + 1).read_to_end(&mut bytes).ok()).flatten()?;
    Some(bytes)
}

/// Returns the name of a common signal, in parentheses after a blank.
fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => " (SIGHUP)",
        2 => " (SIGINT)",
        3 => " (SIGQUIT)",
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        13 => " (SIGPIPE)",
        14 => " (SIGALRM)",
        15 => " (SIGTERM)",
        _ => "",
    }
}
