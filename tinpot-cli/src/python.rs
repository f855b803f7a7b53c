//! `tinpot python`: the Python environments in the cache of this machine.

use std::time::SystemTime;

use serde_json::json;
use tinpot_venv::{Cache, Stored};

use crate::args::{Global, Python};
use crate::exit::{CliError, Code, Done};
use crate::output::{self, Paint};
use crate::table;

/// The characters of a key that are shown.
const SHORT: usize = 12;

pub(crate) fn python(command: &Python, global: &Global) -> Done {
    let found = Stored::all(&Cache::default_path());
    match command {
        Python::List => list(&found, global),
        Python::Log { key } => log(&found, key),
    }
}

fn list(found: &[Stored], global: &Global) -> Done {
    if global.json {
        let all: Vec<_> = found
            .iter()
            .map(|stored| {
                json!({
                    "key": stored.key,
                    "place": stored.place,
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
        let state = if stored.record.is_some() { "ready" } else { "not built" };
        let key = stored.key.get(..SHORT).unwrap_or(&stored.key);
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
