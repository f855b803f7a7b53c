//! `tinpot actions`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::Command;

use crate::args::{Actions, Global};
use crate::client::{ActionView, Client, encoded};
use crate::exit::{CliError, Code, Done};
use crate::flags::Flags;
use crate::output::{self, Paint, clean};
use crate::{json, profile, suggest, table};

/// Returns all actions by name.
pub(crate) fn catalogue(client: &Client) -> Result<BTreeMap<String, ActionView>, CliError> {
    Ok(client.read("/api/actions")?)
}

/// Returns an action.
///
/// # Errors
/// Fails if the server does not know the action; the message suggests a near name.
pub(crate) fn find(client: &Client, name: &str) -> Result<ActionView, CliError> {
    match client.read(&format!("/api/actions/{}", encoded(name))) {
        Ok(action) => Ok(action),
        Err(refused) if refused.is_not_found() => {
            let near = suggest::or_list(name, catalogue(client)?.keys().map(String::as_str));
            let message = format!("no action {name:?} on {}{near}", client.base());
            Err(CliError::new(Code::NotFound, message))
        }
        Err(refused) => Err(refused.into()),
    }
}

pub(crate) fn actions(command: &Actions, global: &Global) -> Done {
    let client = profile::client(global)?;
    match command {
        Actions::List { search } => list(&client, search.as_deref(), global.json)?,
        Actions::Show { name } => {
            let action = find(&client, name)?;
            if global.json {
                let text = client.get(&format!("/api/actions/{}", encoded(name)))?;
                output::println(&json::line(&text))?;
            } else {
                output::println(&about(&action, Paint::stdout()))?;
            }
        }
    }
    Ok(Code::Success)
}

fn list(client: &Client, search: Option<&str>, as_json: bool) -> Result<(), CliError> {
    let needle = search.unwrap_or_default().to_lowercase();
    let fits = |action: &ActionView| {
        [&action.name, &action.group, &action.description]
            .iter()
            .any(|text| text.to_lowercase().contains(&needle))
    };
    if as_json && search.is_none() {
        return output::println(&json::line(&client.get("/api/actions")?));
    }
    let all = catalogue(client)?;
    let mut chosen: Vec<&ActionView> = all.values().filter(|action| fits(action)).collect();
    if as_json {
        let mut texts: BTreeMap<String, Box<serde_json::value::RawValue>> =
            client.read("/api/actions")?;
        texts.retain(|name, _| chosen.iter().any(|action| action.name == *name));
        let text = serde_json::to_string(&texts).unwrap_or_default();
        return output::println(&json::line(&text));
    }
    if chosen.is_empty() {
        output::say(match search {
            Some(_) => "no matching actions",
            None => "no actions; `tinpot workers list` shows live workers and their load errors",
        });
        return Ok(());
    }
    chosen.sort_by(|a, b| (&a.group, &a.name).cmp(&(&b.group, &b.name)));
    let paint = Paint::stdout();
    let row = |action: &&ActionView| {
        let first = action.description.lines().next().unwrap_or_default();
        let mut about = clean(first, false);
        if !action.available {
            about = format!("{} {about}", paint.yellow("(unavailable)"));
        }
        vec![
            clean(&action.name, false),
            clean(&action.group, false),
            action.queue.clone(),
            about.trim().to_owned(),
        ]
    };
    let rows: Vec<_> = chosen.iter().map(row).collect();
    output::println(&table::table(&["NAME", "GROUP", "QUEUE", "DESCRIPTION"], &rows, paint))
}

fn about(action: &ActionView, paint: Paint) -> String {
    let mut text = paint.bold(&clean(&action.name, false));
    if !action.description.is_empty() {
        let lines: Vec<_> = action.description.lines().map(|line| clean(line, false)).collect();
        let _ = write!(text, "\n{}", lines.join("\n"));
    }
    let _ = write!(text, "\n\ngroup        {}\nqueue        {}", action.group, action.queue);
    let mut known = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = write!(text, "\n{name:<12} {value}");
        }
    };
    known("priority", action.priority.map(|priority| priority.to_string()));
    known("timeout", action.timeout.map(output::seconds));
    known("retries", action.retries.map(|retries| retries.to_string()));
    known("concurrency", action.concurrency.map(|concurrency| concurrency.to_string()));
    known("returns", action.result_schema.as_ref().map(|schema| json::line(schema.as_str())));
    let why = action.unavailable.as_deref().unwrap_or("no live worker offers it");
    known("unavailable", (!action.available).then(|| paint.yellow(why)));
    let command = Command::new("run").disable_help_flag(true).help_template("{all-args}");
    let flags = Flags::of(&action.schema, &super::run::options(Command::new("run")));
    let help = flags.add_to(command).term_width(100).render_help().to_string();
    let _ = write!(text, "\n\n{}", help.trim_end());
    text.trim_end().to_owned()
}
