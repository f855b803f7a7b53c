//! `tinpot executions`.

mod record;
mod rerun;

use clap::ValueEnum;
use serde::Deserialize;
use serde_json::value::RawValue;

pub(crate) use self::rerun::rerun;
use crate::args::{Executions, Global, ListArgs, LogsArgs, StatusName};
use crate::client::{Client, Follow, query};
use crate::exit::{Code, Done};
use crate::follow::Watch;
use crate::ids::{path, resolve};
use crate::output::{self, Paint, clean};
use crate::times::Clock;
use crate::{ids, json, profile, table};

/// The page size.
const PAGE: u32 = 200;
const LAST_WORDS: &str = "tinpot: interrupted";

#[derive(Deserialize)]
struct Page {
    executions: Vec<Box<RawValue>>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Summary {
    execution_id: String,
    #[serde(default)]
    number: u64,
    action_name: String,
    queue: String,
    status: String,
    error: Option<String>,
    accepted_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
}

pub(crate) fn executions(command: &Executions, global: &Global) -> Done {
    let client = profile::client(global)?;
    let clock = global.clock();
    let whole = |id: &str| resolve(&client, id, &clock);
    match command {
        Executions::List(arguments) => {
            let parent = arguments.parent.as_deref().map(whole).transpose()?;
            list(&client, &ListArgs { parent, ..arguments.clone() }, global.json, &clock)
        }
        Executions::Show { id } => {
            let text = client.get(&path(&whole(id)?, ""))?;
            let shown = if global.json {
                json::line(&text)
            } else {
                record::about(&client, &text, &clock)?
            };
            output::println(&shown)?;
            Ok(Code::Success)
        }
        Executions::Logs(arguments) => {
            let arguments = LogsArgs { id: whole(&arguments.id)?, ..arguments.clone() };
            super::logs::logs(&client, &arguments, global)
        }
        Executions::Watch { id, follow } => {
            let signals = Follow::prepare(follow.timeout, LAST_WORDS)?;
            let id = whole(id)?;
            // A missing server or execution is an error at once, before the stream waits for the
            // server.
            client.get(&path(&id, "/status"))?;
            let watch = Watch { events: global.json, ..Watch::new(&client, &id, follow, global) };
            watch.run(&signals)
        }
        Executions::Cancel { id, force } => {
            let id = whole(id)?;
            let query = if *force { "?force=true" } else { "" };
            let text = client.post(&format!("{}{query}", path(&id, "/cancel")), None)?;
            if global.json {
                output::println(&json::line(&text))?;
                return Ok(Code::Success);
            }
            #[derive(Deserialize)]
            struct Answer {
                status: String,
            }
            let answer: Answer = client.parse(&text)?;
            output::println(&format!("{id} {}", answer.status))?;
            if answer.status == "cancelling" && !force {
                output::say("the action was asked to end; --force kills it");
            }
            Ok(Code::Success)
        }
        // With an id, the flags of the action belong to the command line as well.
        Executions::Rerun(arguments) => super::without_name("rerun", arguments.help),
    }
}

fn list(client: &Client, arguments: &ListArgs, as_json: bool, clock: &Clock) -> Done {
    let mut filters: Vec<(&str, String)> = Vec::new();
    for (name, value) in [
        ("action", &arguments.action),
        ("queue", &arguments.queue),
        ("parent", &arguments.parent),
        ("requested_by", &arguments.requested_by),
    ] {
        filters.extend(value.clone().map(|value| (name, value)));
    }
    for (name, moment) in [("since", &arguments.since), ("until", &arguments.until)] {
        filters.extend(moment.as_ref().map(|moment| (name, moment.to_string())));
    }
    let statuses: Vec<String> = arguments.status.iter().map(status_name).collect();
    if !statuses.is_empty() {
        filters.push(("status", statuses.join(",")));
    }
    let (mut left, mut found, mut before) = (arguments.limit, Vec::<Summary>::new(), None);
    while left > 0 {
        let mut all = filters.clone();
        all.push(("limit", left.min(PAGE).to_string()));
        all.extend(before.take().map(|before| ("before", before)));
        let page: Page = client.read(&format!("/api/executions{}", query(&all)))?;
        left = left.saturating_sub(u32::try_from(page.executions.len()).unwrap_or(u32::MAX));
        for execution in &page.executions {
            if as_json {
                output::println(&json::line(execution.get()))?;
            } else {
                found.push(client.parse(execution.get())?);
            }
        }
        match page.next {
            Some(next) => before = Some(next),
            None => break,
        }
    }
    if !as_json {
        if found.is_empty() {
            output::say("no matching executions");
        } else {
            output::println(&shown(&found, clock))?;
        }
    }
    Ok(Code::Success)
}

/// Returns a table of executions. If the terminal is too narrow, ids are cut where they still
/// differ, since the command takes the start of an id for the id, and times are brief.
fn shown(executions: &[Summary], clock: &Clock) -> String {
    let head = ["NO", "ID", "ACTION", "STATUS", "ACCEPTED", "DURATION", "QUEUE", "ERROR"];
    let paint = Paint::stdout();
    let rows = |id_length: usize, time: &dyn Fn(&str) -> String| -> Vec<Vec<String>> {
        executions.iter().map(|execution| row(execution, paint, id_length, time)).collect()
    };
    let whole = rows(usize::MAX, &|time| clock.short(time));
    if table::fits(&head, &whole) {
        return table::table(&head, &whole, paint);
    }
    let ids: Vec<&str> = executions.iter().map(|execution| &*execution.execution_id).collect();
    table::table(&head, &rows(ids::abbreviated(&ids), &|time| clock.brief(time)), paint)
}

fn status_name(status: &StatusName) -> String {
    status.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn row(
    execution: &Summary,
    paint: Paint,
    id_length: usize,
    time: &dyn Fn(&str) -> String,
) -> Vec<String> {
    // An execution that timed out has no other error than its status.
    let is_status = |error: &&str| error.replace(' ', "_") == execution.status;
    let error = execution.error.as_deref().filter(|error| !is_status(error)).unwrap_or_default();
    let took = duration(execution.started_at.as_deref(), execution.finished_at.as_deref());
    vec![
        execution.number.to_string(),
        execution.execution_id.chars().take(id_length).collect(),
        clean(&execution.action_name, false),
        paint.status(&execution.status),
        time(&execution.accepted_at),
        took.unwrap_or_default(),
        execution.queue.clone(),
        clean(error.lines().next().unwrap_or_default(), false),
    ]
}

/// Returns the time between two times.
fn duration(from: Option<&str>, to: Option<&str>) -> Option<String> {
    let (from, to) = (seconds_since_epoch(from?)?, seconds_since_epoch(to?)?);
    Some(output::seconds((to - from).max(0.0)))
}

/// Returns a time of the API in seconds since 1970.
fn seconds_since_epoch(text: &str) -> Option<f64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(time.as_duration().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::{duration, seconds_since_epoch};

    #[test]
    fn times_of_the_api_are_parsed() {
        assert_eq!(seconds_since_epoch("1970-01-01T00:00:00Z"), Some(0.0));
        assert_eq!(seconds_since_epoch("2026-12-24T18:00:00.5Z"), Some(1_798_135_200.5));
        assert_eq!(seconds_since_epoch("2024-02-29T23:59:59Z"), Some(1_709_251_199.0));
        assert_eq!(seconds_since_epoch("soon"), None);
        let took = duration(Some("2026-12-31T23:59:59.5Z"), Some("2027-01-01T00:00:01Z"));
        assert_eq!(took.as_deref(), Some("1.5 s"));
    }
}
