//! `tinpot executions`.

use std::fmt::Write as _;

use clap::ValueEnum;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::submit_options;
use crate::args::{Executions, Global, ListArgs, StatusName, SubmitArgs, WaitArgs};
use crate::client::{Client, Follow, Submitted, encoded, query};
use crate::exit::{CliError, Code, Done};
use crate::follow::Watch;
use crate::output::{self, Paint, clean};
use crate::{json, profile};

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
    match command {
        Executions::List(arguments) => list(&client, arguments, global.json),
        Executions::Show { id } => {
            let text = client.get(&path(id, ""))?;
            let shown = if global.json { json::line(&text) } else { about(&client, &text)? };
            output::println(&shown)?;
            Ok(Code::Success)
        }
        Executions::Logs(arguments) => super::logs::logs(&client, arguments, global),
        Executions::Watch { id, follow } => {
            let signals = Follow::prepare(follow.timeout, LAST_WORDS)?;
            // A missing server or execution is an error at once, before the stream waits for the
            // server.
            client.get(&path(id, "/status"))?;
            let watch = Watch { events: global.json, ..Watch::new(&client, id, follow, global) };
            watch.run(&signals)
        }
        Executions::Cancel { id, force } => {
            let query = if *force { "?force=true" } else { "" };
            let text = client.post(&format!("{}{query}", path(id, "/cancel")), None)?;
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
        Executions::Rerun { id, submit, wait } => rerun(&client, id, submit, wait, global),
    }
}

fn path(id: &str, rest: &str) -> String {
    format!("/api/executions/{}{rest}", encoded(id))
}

fn list(client: &Client, arguments: &ListArgs, as_json: bool) -> Done {
    let mut filters: Vec<(&str, String)> = Vec::new();
    for (name, value) in [
        ("action", &arguments.action),
        ("queue", &arguments.queue),
        ("parent", &arguments.parent),
        ("requested_by", &arguments.requested_by),
        ("since", &arguments.since),
        ("until", &arguments.until),
    ] {
        filters.extend(value.clone().map(|value| (name, value)));
    }
    let statuses: Vec<String> = arguments.status.iter().map(status_name).collect();
    if !statuses.is_empty() {
        filters.push(("status", statuses.join(",")));
    }
    let (mut left, mut rows, mut before) = (arguments.limit, Vec::new(), None);
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
                rows.push(row(&client.parse(execution.get())?, Paint::stdout()));
            }
        }
        match page.next {
            Some(next) => before = Some(next),
            None => break,
        }
    }
    if !as_json {
        if rows.is_empty() {
            output::say("no matching executions");
        } else {
            let head = ["ID", "ACTION", "STATUS", "ACCEPTED", "DURATION", "QUEUE", "ERROR"];
            output::println(&output::table(&head, &rows, Paint::stdout()))?;
        }
    }
    Ok(Code::Success)
}

fn status_name(status: &StatusName) -> String {
    status.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn row(execution: &Summary, paint: Paint) -> Vec<String> {
    let error = execution.error.as_deref().unwrap_or_default();
    let took = duration(execution.started_at.as_deref(), execution.finished_at.as_deref());
    vec![
        execution.execution_id.clone(),
        clean(&execution.action_name, false),
        paint.status(&execution.status),
        short(&execution.accepted_at),
        took.unwrap_or_default(),
        execution.queue.clone(),
        clean(error.lines().next().unwrap_or_default(), false),
    ]
}

/// Returns a time without its fraction.
fn short(time: &str) -> String {
    let whole = time.split_once('.').map_or(time.trim_end_matches('Z'), |(whole, _)| whole);
    format!("{}Z", whole.replace('T', " "))
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

#[derive(Deserialize)]
struct View {
    execution_id: String,
    action_name: String,
    queue: String,
    status: String,
    accepted_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    #[serde(default)]
    requested_by: Option<String>,
    parameters: Box<RawValue>,
    outcome: Option<Outcome>,
    attempts: Vec<Attempt>,
}

#[derive(Deserialize)]
struct Outcome {
    status: String,
    #[serde(default)]
    result: Option<Box<RawValue>>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    traceback: Option<String>,
}

#[derive(Deserialize)]
struct Attempt {
    number: u32,
    worker: String,
    started_at: Option<String>,
    ended_at: Option<String>,
    outcome: Option<Outcome>,
}

fn about(client: &Client, text: &str) -> Result<String, CliError> {
    let view: View = client.parse(text)?;
    let paint = Paint::stdout();
    let mut out =
        format!("{}  {}", paint.bold(&clean(&view.action_name, false)), paint.status(&view.status));
    let mut line = |name: &str, value: String| {
        let _ = write!(out, "\n{name:<13} {value}");
    };
    line("id", view.execution_id);
    line("queue", view.queue);
    if let Some(by) = &view.requested_by {
        line("requested by", clean(by, false));
    }
    line("accepted", short(&view.accepted_at));
    if let Some(started) = &view.started_at {
        line("started", short(started));
    }
    if let Some(finished) = &view.finished_at {
        let took = duration(view.started_at.as_deref(), Some(finished));
        line(
            "finished",
            format!(
                "{}{}",
                short(finished),
                took.map_or(String::new(), |took| format!(" ({took})"))
            ),
        );
    }
    for attempt in &view.attempts {
        let status = attempt.outcome.as_ref().map_or("running", |outcome| outcome.status.as_str());
        let took = duration(attempt.started_at.as_deref(), attempt.ended_at.as_deref());
        let took = took.map_or(String::new(), |took| format!(", {took}"));
        line(
            &format!("attempt {}", attempt.number),
            format!("{} on {}{took}", paint.status(status), attempt.worker),
        );
    }
    let block = |out: &mut String, name: &str, text: &str| {
        let text: Vec<_> = text.lines().map(|line| clean(line, false)).collect();
        let _ = write!(out, "\n\n{}\n{}", paint.bold(name), text.join("\n"));
    };
    block(&mut out, "parameters", &json::pretty(view.parameters.get()));
    if let Some(outcome) = &view.outcome {
        if let Some(result) = &outcome.result {
            block(&mut out, "result", &json::pretty(result.get()));
        }
        if let Some(text) = outcome.traceback.as_ref().or(outcome.error.as_ref()) {
            block(&mut out, "error", text);
        }
    }
    Ok(out)
}

fn rerun(client: &Client, id: &str, submit: &SubmitArgs, wait: &WaitArgs, global: &Global) -> Done {
    let follow = Follow::prepare(wait.follow.timeout, LAST_WORDS)?;
    let body = serde_json::json!({ "options": submit_options(submit) }).to_string();
    let answer = client.post(&path(id, "/rerun"), Some(&body))?;
    let submitted: Submitted = client.parse(&answer)?;
    let id = submitted.execution_id;
    if wait.detach {
        output::println(&if global.json { json::line(&answer) } else { id })?;
        return Ok(Code::Success);
    }
    Watch::new(client, &id, &wait.follow, global).run(&follow)
}

#[cfg(test)]
mod tests {
    use super::{duration, seconds_since_epoch, short};

    #[test]
    fn times_of_the_api_are_parsed() {
        assert_eq!(seconds_since_epoch("1970-01-01T00:00:00Z"), Some(0.0));
        assert_eq!(seconds_since_epoch("2026-12-24T18:00:00.5Z"), Some(1_798_135_200.5));
        assert_eq!(seconds_since_epoch("2024-02-29T23:59:59Z"), Some(1_709_251_199.0));
        assert_eq!(seconds_since_epoch("soon"), None);
        assert_eq!(short("2026-12-24T18:00:00.123456Z"), "2026-12-24 18:00:00Z");
        assert_eq!(short("2026-12-24T18:00:00Z"), "2026-12-24 18:00:00Z");
        let took = duration(Some("2026-12-31T23:59:59.5Z"), Some("2027-01-01T00:00:01Z"));
        assert_eq!(took.as_deref(), Some("1.5 s"));
    }
}
