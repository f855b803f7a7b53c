//! `tinpot executions show`.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::duration;
use crate::client::Client;
use crate::ending::Ending;
use crate::exit::CliError;
use crate::json;
use crate::output::{Paint, clean};
use crate::times::Clock;

#[derive(Deserialize)]
struct View {
    execution_id: String,
    #[serde(default)]
    number: u64,
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

/// Returns a record for people.
pub(super) fn about(client: &Client, text: &str, clock: &Clock) -> Result<String, CliError> {
    let view: View = client.parse(text)?;
    let end = client.parse::<Ending>(text)?.words(&view.status);
    let paint = Paint::stdout();
    let mut out =
        format!("{}  {}", paint.bold(&clean(&view.action_name, false)), paint.status(&view.status));
    let mut line = |name: &str, value: String| {
        let _ = write!(out, "\n{name:<13} {value}");
    };
    line("id", view.execution_id);
    if view.number > 0 {
        line("number", view.number.to_string());
    }
    line("queue", view.queue);
    if let Some(by) = &view.requested_by {
        line("requested by", clean(by, false));
    }
    line("accepted", clock.full(&view.accepted_at));
    if let Some(started) = &view.started_at {
        line("started", clock.full(started));
    }
    if let Some(finished) = &view.finished_at {
        let took = duration(view.started_at.as_deref(), Some(finished));
        line(
            "finished",
            format!(
                "{}{}",
                clock.full(finished),
                took.map_or(String::new(), |took| format!(" ({took})"))
            ),
        );
    }
    if let Some(words) = &end {
        line("end", words.clone());
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
        let error = outcome.error.as_ref().filter(|_| end.is_none());
        if let Some(text) = outcome.traceback.as_ref().or(error) {
            block(&mut out, "error", text);
        }
    }
    Ok(out)
}
