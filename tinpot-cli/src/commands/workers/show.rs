//! `tinpot workers show`: one worker and its Python environments.

use serde::Deserialize;

use super::Problem;
use crate::client::Client;
use crate::exit::CliError;
use crate::output::{self, Paint, clean};
use crate::table;
use crate::times::Clock;

#[derive(Deserialize)]
struct Worker {
    id: String,
    name: String,
    queues: Vec<String>,
    groups: Vec<String>,
    slots: u32,
    actions: Vec<String>,
    executions: Vec<String>,
    problems: Vec<Problem>,
    #[serde(default)]
    python_environments: Vec<Environment>,
    silent_for: f64,
    draining: bool,
    version: Option<String>,
    started_at: Option<String>,
}

#[derive(Deserialize)]
struct Environment {
    place: String,
    state: String,
    since: String,
    #[serde(default)]
    asked: Vec<String>,
    key: Option<String>,
    python: Option<String>,
    installer: Option<String>,
    packages: u64,
    bytes: u64,
    reason: Option<String>,
    log: Option<String>,
}

/// Prints a worker.
pub(super) fn show(client: &Client, path: &str, clock: &Clock) -> Result<(), CliError> {
    let worker: Worker = client.read(path)?;
    let paint = Paint::stdout();
    let all = |names: &[String]| match names {
        [] => "all".to_owned(),
        names => clean(&names.join(", "), false),
    };
    let mut lines = vec![paint.bold(&clean(&worker.name, false)), String::new()];
    let mut fact = |name: &str, value: &str| lines.push(format!("{name:15} {value}"));
    fact("id", &worker.id);
    if worker.draining {
        fact("state", &paint.yellow("draining"));
    }
    fact("running", &format!("{}/{}", worker.executions.len(), worker.slots));
    fact("queues", &all(&worker.queues));
    fact("groups", &all(&worker.groups));
    fact("actions", &clean(&worker.actions.join(", "), false));
    fact("version", &clean(worker.version.as_deref().unwrap_or("unknown"), false));
    if let Some(started) = &worker.started_at {
        fact("started", &clock.full(started));
    }
    fact("last heartbeat", &format!("{} ago", output::seconds(worker.silent_for)));
    for problem in &worker.problems {
        let label = if problem.notice { paint.yellow("notice") } else { paint.red("problem") };
        lines.push(format!("\n{label} {}", clean(&problem.place, false)));
        let message = problem.message.lines();
        lines.extend(message.map(|line| format!("  {}", clean(line, false))));
    }
    output::println(&lines.join("\n"))?;
    environments(&worker.python_environments, paint, clock)
}

fn environments(all: &[Environment], paint: Paint, clock: &Clock) -> Result<(), CliError> {
    if all.is_empty() {
        return Ok(());
    }
    let text = |text: &Option<String>| clean(text.as_deref().unwrap_or_default(), false);
    let row = |environment: &Environment| {
        let state = match &*environment.state {
            "ready" => paint.green("ready"),
            "failed" => paint.red("failed"),
            "kept" => paint.red("kept last good"),
            other => paint.yellow(&clean(other, false)),
        };
        let is_built = environment.bytes > 0;
        vec![
            clean(&environment.place, false),
            state,
            clock.brief(&environment.since),
            text(&environment.python),
            text(&environment.installer),
            if is_built { environment.packages.to_string() } else { String::new() },
            if is_built { output::size(environment.bytes) } else { String::new() },
            text(&environment.key),
        ]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    let head =
        ["PYTHON ENVIRONMENT", "STATE", "SINCE", "PYTHON", "INSTALLER", "PACKAGES", "SIZE", "KEY"];
    output::println("")?;
    output::print(&table::table(&head, &rows, paint))?;
    for environment in all {
        let Some(reason) = &environment.reason else { continue };
        let place = clean(&environment.place, false);
        output::println(&format!("\n{} {}", paint.red(&place), clean(reason, false)))?;
        if environment.asked.len() > 1 {
            output::println(&format!(
                "  asked by {}",
                clean(&environment.asked.join(", "), false)
            ))?;
        }
        for line in environment.log.as_deref().unwrap_or_default().lines() {
            output::println(&format!("  {}", clean(line, false)))?;
        }
    }
    Ok(())
}
