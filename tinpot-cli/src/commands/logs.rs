//! `tinpot executions logs`.

use serde_json::value::RawValue;

use crate::args::{Global, LevelName, LogsArgs};
use crate::client::{Client, Follow, Input, Line, LogPage, Matches, encoded, query};
use crate::exit::{CliError, Code, Done};
use crate::output::{self, Paint};
use crate::times::Clock;
use crate::{follow, json};

const LAST_WORDS: &str = "tinpot: interrupted";
/// The page size, in lines.
const PAGE: u32 = 5_000;

/// Prints lines in the form that the options ask for.
struct Printer<'a> {
    arguments: &'a LogsArgs,
    json: bool,
    paint: Paint,
    clock: Clock,
}

pub(crate) fn logs(client: &Client, arguments: &LogsArgs, global: &Global) -> Done {
    let printer =
        Printer { arguments, json: global.json, paint: Paint::stdout(), clock: global.clock() };
    match &arguments.search {
        Some(text) => search(client, text, &printer)?,
        None if arguments.follow => return followed(client, &printer),
        None => pages(client, &printer)?,
    }
    Ok(Code::Success)
}

/// Returns the filters that the server applies.
fn filters(arguments: &LogsArgs) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    all.extend(arguments.level.map(|level| ("level", format!("{level:?}").to_lowercase())));
    if !arguments.stream.is_empty() {
        all.push(("stream", arguments.stream.join(",")));
    }
    all
}

fn pages(client: &Client, printer: &Printer<'_>) -> Result<(), CliError> {
    let path = format!("/api/executions/{}/logs", encoded(&printer.arguments.id));
    let filters = filters(printer.arguments);
    if let Some(tail) = printer.arguments.tail {
        let mut all = filters;
        all.extend([("tail", "true".to_owned()), ("limit", tail.to_string())]);
        let page: LogPage = client.read(&format!("{path}{}", query(&all)))?;
        return page.lines.iter().try_for_each(|line| printer.line(line, ""));
    }
    let mut after = printer.arguments.after;
    loop {
        let mut all = filters.clone();
        all.extend([("after", after.to_string()), ("limit", PAGE.to_string())]);
        let page: LogPage = client.read(&format!("{path}{}", query(&all)))?;
        page.lines.iter().try_for_each(|line| printer.line(line, ""))?;
        match page.next {
            // `next` has to grow. Otherwise a faulty server would keep the command here for ever.
            Some(next) if next > after => after = next,
            _ => return Ok(()),
        }
    }
}

fn search(client: &Client, text: &str, printer: &Printer<'_>) -> Result<(), CliError> {
    let arguments = printer.arguments;
    let path = format!("/api/executions/{}/logs/search", encoded(&arguments.id));
    let (mut after, mut found, mut shown) = (arguments.after, 0_usize, 0_u64);
    loop {
        let mut all = filters(arguments);
        all.extend([("q", text.to_owned()), ("after", after.to_string())]);
        all.extend(arguments.regex.then(|| ("regex", "true".to_owned())));
        all.extend(arguments.case.then(|| ("case", "true".to_owned())));
        all.extend(arguments.context.map(|lines| ("context", lines.to_string())));
        let page: Matches = client.read(&format!("{path}{}", query(&all)))?;
        found += page.matches.len();
        for hit in &page.matches {
            if printer.json {
                output::println(&json::line(hit.line.get()))?;
                continue;
            }
            let around = arguments.context.is_some_and(|lines| lines > 0);
            if around && shown > 0 {
                output::println("--")?;
            }
            for line in &hit.before {
                printer.line(line, "  ")?;
            }
            printer.line(&hit.line, if around { "> " } else { "" })?;
            for line in &hit.after {
                printer.line(line, "  ")?;
            }
            shown += 1;
        }
        match page.next {
            Some(next) if next > after => after = next,
            _ => {
                if found == 0 && !printer.json {
                    output::say("no matches");
                } else if let Some(total) = page.total.filter(|total| *total > found as u64) {
                    output::say(&format!("{found} of {total}"));
                }
                return Ok(());
            }
        }
    }
}

/// Follows the log to the end of the execution. Succeeds even if the execution failed: the command
/// is about the log.
fn followed(client: &Client, printer: &Printer<'_>) -> Done {
    let arguments = printer.arguments;
    let id = encoded(&arguments.id);
    let follow = Follow::prepare(None, LAST_WORDS)?;
    client.get(&format!("/api/executions/{id}/status"))?;
    follow.open(client, format!("/api/executions/{id}/stream"), arguments.after);
    loop {
        match follow.next(None) {
            Input::Event(text) => {
                #[derive(serde::Deserialize)]
                struct Envelope {
                    #[serde(rename = "type")]
                    kind: String,
                    data: Box<RawValue>,
                }
                let Ok(event) = serde_json::from_str::<Envelope>(&text) else { continue };
                match event.kind.as_str() {
                    "log" => printer.filtered(&event.data)?,
                    "complete" => return Ok(Code::Success),
                    _ => {}
                }
            }
            Input::Away(why) => output::say(&format!("tinpot: {why}; waiting for the server")),
            Input::Back => output::say("tinpot: the server is back"),
            Input::Over(Ok(())) => return Ok(Code::Success),
            Input::Over(Err(refused)) => return Err(refused.into()),
            Input::Interrupt { .. } => return Err(CliError::quiet(Code::Interrupted)),
            Input::TimedOut | Input::Waits(_) => {}
        }
    }
}

impl Printer<'_> {
    /// Prints a line of a stream if it passes the filters, which the server does not apply to
    /// streams.
    fn filtered(&self, text: &RawValue) -> Result<(), CliError> {
        let Ok(line) = serde_json::from_str::<Line>(text.get()) else { return Ok(()) };
        let level = match line.level.as_str() {
            "DEBUG" => LevelName::Debug,
            "WARNING" => LevelName::Warning,
            "ERROR" => LevelName::Error,
            _ => LevelName::Info,
        };
        let streams = &self.arguments.stream;
        let fits = self.arguments.level.is_none_or(|least| level >= least)
            && (streams.is_empty() || streams.contains(&line.stream));
        if fits { self.line(text, "") } else { Ok(()) }
    }

    fn line(&self, text: &RawValue, before: &str) -> Result<(), CliError> {
        if self.json {
            return output::println(&json::line(text.get()));
        }
        let Ok(line) = serde_json::from_str::<Line>(text.get()) else { return Ok(()) };
        let mut out = before.to_owned();
        if self.arguments.numbers {
            out.push_str(&self.paint.dim(&format!("{:>6} ", line.seq)));
        }
        if self.arguments.timestamps {
            out.push_str(&self.paint.dim(&format!("{} ", self.clock.precise(&line.timestamp))));
        }
        out.push_str(&follow::shown(&line, self.paint));
        output::println(&out)
    }
}
