//! `tinpot python`: the Python environments in the cache of this machine.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json};
use tinpot_python::{BuiltEnvironment, EnvironmentOptions, PythonPool};
use tinpot_venv::{Cache, Echo, Stored, ask_for_retries};

use crate::args::{Global, Python};
use crate::exit::{CliError, Code, Done};
use crate::output::{self, Paint};
use crate::programs::runtime;
use crate::table;

/// The characters of a key that are shown.
const SHORT: usize = 12;

pub(crate) fn python(command: &Python, global: &Global) -> Done {
    let found = || Stored::all(&Cache::default_path());
    match command {
        Python::List => list(&found(), global),
        Python::Log { key } => log(&found(), key),
        Python::Build { path, python } => build(path, python, global),
        Python::Retry => retry(&found(), global),
        Python::Prune { dry_run } => prune(*dry_run, global),
    }
}

/// Returns the state of an environment.
fn state(stored: &Stored) -> &'static str {
    match (stored.record.is_some(), stored.is_used) {
        (true, _) => "ready",
        (false, true) => "building",
        (false, false) => "failed",
    }
}

fn short(key: &str) -> &str {
    key.get(..SHORT).unwrap_or(key)
}

/// Builds what a directory or a file asks for, with the log on the terminal.
fn build(path: &Path, pythons: &[PathBuf], global: &Global) -> Done {
    let missing = |what: &str| {
        let message =
            format!("no {what} {}: name a directory or a file of actions", path.display());
        CliError::new(Code::NotFound, message)
    };
    // Links stay as they are: the file that asks is in the folder of the link.
    let path = std::path::absolute(path).map_err(|_| missing("file"))?;
    let builder = match (path.is_dir(), path.parent(), path.file_name()) {
        (true, ..) => PythonPool::builder(&path),
        (false, Some(folder), Some(name)) if path.is_file() => {
            PythonPool::builder(folder).only(name.to_string_lossy())
        }
        _ => return Err(missing("file or directory")),
    };
    let builder = builder.pythons(pythons);
    let mut options = EnvironmentOptions::default();
    let line = |line: &str| output::say(&output::clean(line, false));
    options.echo = Some(Echo::new(line));
    let built = runtime()?.block_on(builder.build_environments(options))?;
    let failed = built.iter().filter(|built| built.result.is_err()).count();
    let code = if failed == 0 { Code::Success } else { Code::Failed };
    if global.json {
        let all: Vec<_> = built.iter().map(as_json).collect();
        output::println(&json!({"python_environments": all}).to_string())?;
        return Ok(code);
    }
    let paint = Paint::stdout();
    for BuiltEnvironment { place, result, .. } in &built {
        let place = output::clean(place, false);
        let line = match result {
            Ok(environment) => {
                let key = environment.short_key();
                let how = if environment.is_new { "built" } else { "ready" };
                format!("{} {key} {place}", paint.green(how))
            }
            Err(error) => {
                let reason = output::clean(&error.reason, false);
                let without = reason.strip_prefix(&*place).and_then(|rest| rest.strip_prefix(": "));
                format!("{} {place}: {}", paint.red("failed"), without.unwrap_or(&reason))
            }
        };
        output::println(&line)?;
    }
    if built.is_empty() {
        output::say(&format!("{} asks for no Python environment", path.display()));
    }
    Ok(code)
}

fn as_json(built: &BuiltEnvironment) -> Value {
    match &built.result {
        Ok(environment) => json!({
            "place": built.place,
            "key": environment.key,
            "ready": true,
            "new": environment.is_new,
            "path": environment.path,
            "bytes": environment.bytes,
            "record": environment.record,
        }),
        Err(error) => {
            json!({"place": built.place, "key": error.key, "ready": false, "reason": error.reason})
        }
    }
}

fn retry(found: &[Stored], global: &Global) -> Done {
    let failed: Vec<_> = found.iter().filter(|stored| state(stored) == "failed").collect();
    let cache = Cache::default_path();
    // Without a cache, nothing was ever built here.
    if cache.is_dir() {
        ask_for_retries(&cache).map_err(|error| {
            CliError::new(Code::Failed, format!("cannot write to {}: {error}", cache.display()))
        })?;
    }
    if global.json {
        let all: Vec<_> =
            failed.iter().map(|stored| json!({"key": stored.key, "place": stored.place})).collect();
        output::println(&json!({"python_environments": all}).to_string())?;
        return Ok(Code::Success);
    }
    for stored in failed {
        let place = output::clean(&stored.place, false);
        output::println(&format!("{} {place}", short(&stored.key)))?;
    }
    output::say("running workers of this user try failed builds again within seconds");
    Ok(Code::Success)
}

fn prune(is_dry: bool, global: &Global) -> Done {
    let pruned = tinpot_venv::prune(&Cache::default_path(), is_dry)
        .map_err(|error| CliError::new(Code::Failed, error.to_string()))?;
    let bytes: u64 = pruned.iter().map(|one| one.bytes).sum();
    if global.json {
        let all: Vec<_> = pruned
            .iter()
            .map(|one| json!({"key": one.key, "place": one.place, "bytes": one.bytes}))
            .collect();
        let whole = json!({"python_environments": all, "bytes": bytes, "dry_run": is_dry});
        output::println(&whole.to_string())?;
        return Ok(Code::Success);
    }
    for one in &pruned {
        let place = output::clean(&one.place, false);
        output::println(&format!("{} {} {place}", short(&one.key), output::size(one.bytes)))?;
    }
    let what = if pruned.len() == 1 { "Python environment" } else { "Python environments" };
    let how = if is_dry { "would remove" } else { "removed" };
    output::say(&format!("{how} {} {what} with {}", pruned.len(), output::size(bytes)));
    Ok(Code::Success)
}

fn list(found: &[Stored], global: &Global) -> Done {
    if global.json {
        let all: Vec<_> = found
            .iter()
            .map(|stored| {
                json!({
                    "key": stored.key,
                    "place": stored.place,
                    "state": state(stored),
                    "ready": stored.record.is_some(),
                    "bytes": stored.bytes,
                    "log": stored.log,
                    "record": stored.record,
                })
            })
            .collect();
        output::println(&json!({"python_environments": all}).to_string())?;
        return Ok(Code::Success);
    }
    if found.is_empty() {
        output::say("no Python environments");
        return Ok(Code::Success);
    }
    let row = |stored: &Stored| {
        let (python, installer, size) = match &stored.record {
            Some(record) => (&*record.python, &*record.installer, output::size(stored.bytes)),
            None => ("", "", String::new()),
        };
        let (key, state) = (short(&stored.key), state(stored));
        let cells = [key, state, python, installer, &*size, &*age(stored), &*stored.place];
        cells.map(str::to_owned).to_vec()
    };
    let rows: Vec<_> = found.iter().map(row).collect();
    let head = ["KEY", "STATE", "PYTHON", "INSTALLER", "SIZE", "USED", "ASKED BY"];
    output::print(&table::table(&head, &rows, Paint::stdout()))?;
    Ok(Code::Success)
}

/// Returns the age of the last use in its largest unit.
fn age(stored: &Stored) -> String {
    let age = stored.used.and_then(|used| SystemTime::now().duration_since(used).ok());
    match age.unwrap_or_default().as_secs() {
        seconds @ ..60 => format!("{seconds} s ago"),
        seconds @ ..3_600 => format!("{} min ago", seconds / 60),
        seconds @ ..86_400 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} d ago", seconds / 86_400),
    }
}

fn log(found: &[Stored], key: &str) -> Done {
    let mut matching = found.iter().filter(|stored| stored.key.starts_with(key));
    let Some(stored) = matching.next() else {
        let message = format!("no Python environment {key}: see `tinpot python list`");
        return Err(CliError::new(Code::NotFound, message));
    };
    if matching.next().is_some() {
        let message = format!("several Python environments begin with {key}: give more of the key");
        return Err(CliError::usage(message));
    }
    let text = std::fs::read(&stored.log).map_err(|error| {
        CliError::new(Code::Failed, format!("cannot read {}: {error}", stored.log.display()))
    })?;
    for line in String::from_utf8_lossy(&text).lines() {
        output::println(&output::clean(line, false))?;
    }
    Ok(Code::Success)
}
