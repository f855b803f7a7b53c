//! Following one execution to its end: the log on standard error, the result on standard output.

mod steps;

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;

use self::steps::Steps;
use crate::args::{FollowArgs, Global};
use crate::client::{Client, Completion, Follow, Input, Line, encoded};
use crate::ending::Ending;
use crate::exit::{CliError, Code, Done};
use crate::json;
use crate::output::{self, Paint, clean};
use crate::progress_bar::ProgressBar;
use crate::times::Clock;

/// The time in which a second Ctrl-C cancels the execution.
const SECOND_CHANCE: Duration = Duration::from_secs(3);
/// The time after which to tell why an execution has not started.
const EXPLAIN_AFTER: Duration = Duration::from_secs(2);

/// An execution to follow, and the form of the output.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    pub(crate) client: &'a Client,
    pub(crate) id: &'a str,
    /// If true, prints events as JSON lines to standard output.
    pub(crate) events: bool,
    pub(crate) quiet: bool,
    pub(crate) json: bool,
    pub(crate) clock: Clock,
    /// The start of commands in advice: the program, and the server unless it is the default.
    pub(crate) program: String,
    /// If true, the server belongs to this command and ends with it, so that advice to come back
    /// makes no sense.
    pub(crate) alone: bool,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Progress {
    done: f64,
    total: Option<f64>,
    #[serde(default)]
    message: String,
}

/// The state of a command with regard to Ctrl-C.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Watching,
    /// Ctrl-C came once; the command leaves at that time unless a second one comes.
    Leaving(Instant),
    Cancelling,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(
        client: &'a Client,
        id: &'a str,
        follow: &FollowArgs,
        global: &Global,
    ) -> Self {
        Self {
            client,
            id,
            events: false,
            quiet: follow.quiet,
            json: global.json,
            clock: global.clock(),
            program: program(client),
            alone: false,
        }
    }

    /// Tells the user which execution it is, and where to look at it.
    pub(crate) fn announce(&self) {
        if self.quiet || self.json || self.events || self.alone {
            return;
        }
        let url = format!("{}/executions/{}", self.client.base(), encoded(self.id));
        output::say(&Paint::stderr().dim(&format!("tinpot: execution {}  {url}", self.id)));
    }

    /// Follows the execution to its end.
    pub(crate) fn run(&self, follow: &Follow) -> Done {
        follow.open(self.client, format!("/api/executions/{}/stream", encoded(self.id)), 0);
        let mut view = View::new(self);
        let mut stage = Stage::Watching;
        let mut notice = false;
        let silent = self.quiet || self.json || self.events;
        let mut explain_at = (!silent).then(|| Instant::now() + EXPLAIN_AFTER);
        let over = |until: Option<Instant>| until.is_some_and(|until| Instant::now() >= until);
        loop {
            let leaving = if let Stage::Leaving(at) = stage { Some(at) } else { None };
            match follow.next(leaving.into_iter().chain(explain_at).min()) {
                Input::Event(text) => match view.event(&text) {
                    Ok(None) => {}
                    Ok(Some(completion)) => return view.complete(&completion, &text),
                    Err(Gone) => return Err(CliError::quiet(Code::StillRunning)),
                },
                Input::Away(why) => {
                    view.notice(&format!("{why}; waiting for the server"));
                    notice = true;
                }
                Input::Back if std::mem::take(&mut notice) => view.notice("the server is back"),
                Input::Back => {}
                Input::Over(Ok(())) => {
                    let message = format!(
                        "the event stream of {} ended early; for its status: {} executions show {0}",
                        self.id, self.program
                    );
                    return Err(CliError::new(Code::Unreachable, message));
                }
                Input::Over(Err(refused)) if refused.is_not_found() => {
                    let message =
                        format!("{}: the server no longer has the execution", refused.detail);
                    return Err(CliError::new(Code::NotFound, message));
                }
                Input::Over(Err(refused)) => {
                    let code = refused.code();
                    return Err(CliError::new(
                        code,
                        format!(
                            "{}\nthe execution continues; to follow it: {} executions watch {}",
                            refused.detail, self.program, self.id
                        ),
                    ));
                }
                Input::Interrupt { terminate: true } => return Err(self.detached(&mut view)),
                Input::Interrupt { .. } => {
                    stage = self.interrupted(stage, &mut view)?;
                }
                Input::Waits(why) => view.notice(&format!("waiting: {why}")),
                Input::TimedOut if over(leaving) => return Err(self.detached(&mut view)),
                Input::TimedOut if over(explain_at) => {
                    explain_at = None;
                    follow.ask_wait_reason(self.client, self.id, &self.clock);
                }
                Input::TimedOut => {
                    view.end();
                    let message = if self.alone {
                        "timed out; the execution ends with this command".to_owned()
                    } else {
                        format!(
                            "stopped waiting; the execution continues; to follow it: {} executions watch {}",
                            self.program, self.id
                        )
                    };
                    return Err(CliError::new(Code::StillRunning, message));
                }
            }
        }
    }

    fn interrupted(&self, stage: Stage, view: &mut View<'_>) -> Result<Stage, CliError> {
        match stage {
            Stage::Watching if !self.alone => {
                let cancel = format!("{} executions cancel {}", self.program, self.id);
                view.notice(&format!(
                    "the execution continues; to cancel it, press Ctrl-C again, or: {cancel}"
                ));
                Ok(Stage::Leaving(Instant::now() + SECOND_CHANCE))
            }
            Stage::Watching | Stage::Leaving(_) => {
                view.notice("cancelling…");
                let path = format!("/api/executions/{}/cancel", encoded(self.id));
                match self.client.post(&path, None) {
                    // A conflict: the execution ended meanwhile, and the stream reports how.
                    Err(refused) if refused.code() != Code::Conflict => {
                        view.end();
                        Err(refused.into())
                    }
                    _ => Ok(Stage::Cancelling),
                }
            }
            Stage::Cancelling => Err(self.detached(view)),
        }
    }

    fn detached(&self, view: &mut View<'_>) -> CliError {
        view.end();
        if self.alone {
            let message = "interrupted; the execution ends with this command";
            return CliError::new(Code::Interrupted, message);
        }
        let message = format!(
            "the execution continues; to follow it: {0} executions watch {1}; to cancel it: {0} executions cancel {1}",
            self.program, self.id
        );
        CliError::new(Code::Interrupted, message)
    }
}

/// Returns the start of a command line for the same server.
pub(crate) fn program(client: &Client) -> String {
    if client.base() == crate::profile::DEFAULT {
        return "tinpot".to_owned();
    }
    format!("tinpot --server {}", crate::shell::quoted(client.base()))
}

/// The reader of the output closed it.
struct Gone;

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Self {
        Self
    }
}

struct View<'a> {
    watch: &'a Watch<'a>,
    paint: Paint,
    bar: ProgressBar,
    begun: Instant,
    steps: Steps,
}

impl<'a> View<'a> {
    fn new(watch: &'a Watch<'a>) -> Self {
        let bar = ProgressBar::new(io::stderr().is_terminal() && !watch.quiet);
        Self { watch, paint: Paint::stderr(), bar, begun: Instant::now(), steps: Steps::default() }
    }

    /// Shows an event, and returns the end of the execution if it is that.
    fn event(&mut self, text: &str) -> Result<Option<Completion>, Gone> {
        let Ok(Envelope { kind, data }) = serde_json::from_str(text) else { return Ok(None) };
        if kind == "complete" {
            self.bar.clear()?;
            return Ok(serde_json::from_str(data.get()).ok());
        }
        if self.watch.events {
            writeln!(io::stdout().lock(), "{text}")?;
            return Ok(None);
        }
        if self.watch.quiet {
            return Ok(None);
        }
        match kind.as_str() {
            "log" => {
                if let Ok(line) = serde_json::from_str::<Line>(data.get()) {
                    self.line(&shown(&line, self.paint))?;
                }
            }
            "progress" => {
                if let Ok(Progress { done, total, message }) = serde_json::from_str(data.get()) {
                    self.bar.set(done, total, &message)?;
                }
            }
            "span_started" => {
                if let Ok(started) = serde_json::from_str(data.get())
                    && let Some(text) = self.steps.started(started)
                {
                    self.line(&self.paint.dim(&text))?;
                }
            }
            "span_ended" => {
                if let Ok(ended) = serde_json::from_str(data.get())
                    && let Some(text) = self.steps.ended(&ended, self.paint)
                {
                    self.line(&text)?;
                }
            }
            "artifact" => {
                #[derive(Deserialize)]
                struct Artifact {
                    name: String,
                    size_bytes: u64,
                }
                if let Ok(Artifact { name, size_bytes }) = serde_json::from_str(data.get()) {
                    let text = format!("artifact {} ({size_bytes} bytes)", clean(&name, false));
                    self.line(&self.paint.dim(&text))?;
                }
            }
            _ => {}
        }
        Ok(None)
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        self.bar.clear()?;
        writeln!(io::stderr().lock(), "{text}")?;
        self.bar.draw()
    }

    /// Shows a message of the command itself.
    fn notice(&mut self, text: &str) {
        let _ = self.bar.clear();
        output::say(&self.paint.dim(&format!("tinpot: {text}")));
        let _ = self.bar.draw();
    }

    fn end(&mut self) {
        let _ = self.bar.clear();
    }

    /// Reports the end of the execution.
    fn complete(&self, completion: &Completion, text: &str) -> Done {
        let watch = self.watch;
        if watch.events {
            output::println(text)?;
        } else if watch.json {
            output::println(&json::ended(watch.id, completion))?;
        }
        let took = output::seconds(self.begun.elapsed().as_secs_f64());
        if completion.successful {
            if !watch.json && !watch.events {
                if let Some(result) = &completion.result {
                    print_result(result)?;
                }
                if io::stderr().is_terminal() && !watch.quiet {
                    output::say(&self.paint.dim(&format!("succeeded in {took}")));
                }
            }
            return Ok(Code::Success);
        }
        let code = if completion.status == "cancelled" { Code::Cancelled } else { Code::Failed };
        if watch.json || watch.events {
            return Err(CliError::quiet(code));
        }
        if let Some(traceback) = &completion.traceback {
            for line in traceback.lines() {
                output::say(&self.paint.dim(&clean(line, false)));
            }
        }
        let error = completion.error.as_deref().unwrap_or("no reason was recorded");
        // The traceback has shown the further lines already.
        let error = match (error.split_once('\n'), &completion.traceback) {
            (Some((first, rest)), Some(traceback)) if traceback.contains(rest.trim()) => first,
            _ => error,
        };
        let error = error.lines().map(|line| clean(line, false)).collect::<Vec<_>>().join("\n");
        let status = completion.status.as_str();
        let message = match status {
            "timed_out" | "cancelled" => {
                let how = Ending::of(watch.client, watch.id).words(status).unwrap_or_default();
                let was = if status == "cancelled" { "was " } else { "" };
                format!("execution {} {was}{how}", watch.id)
            }
            other => format!("execution {} {other}: {error}", watch.id),
        };
        Err(CliError::new(code, message))
    }
}

/// Prints a result: text as it is, nothing for null, everything else as JSON.
fn print_result(result: &RawValue) -> Result<(), CliError> {
    match serde_json::from_str::<serde_json::Value>(result.get()) {
        Ok(serde_json::Value::Null) => Ok(()),
        Ok(serde_json::Value::String(text)) if io::stdout().is_terminal() => {
            let lines = text.lines().map(|line| clean(line, false)).collect::<Vec<_>>();
            output::println(&lines.join("\n"))
        }
        Ok(serde_json::Value::String(text)) => output::println(&text),
        _ => output::println(&json::pretty(result.get())),
    }
}

/// Returns a log line for people.
pub(crate) fn shown(line: &Line, paint: Paint) -> String {
    let mut text = clean(&line.message, paint.enabled);
    for (name, value) in line.fields.iter().flatten() {
        let name = clean(name, false);
        text.push_str(&paint.dim(&format!(" {name}={}", field(value))));
    }
    match (line.stream.as_str(), line.level.as_str()) {
        ("log", "ERROR") => format!("{} {text}", paint.red("ERROR")),
        ("log", "WARNING") => format!("{} {text}", paint.yellow("WARNING")),
        ("log", "DEBUG") => paint.dim(&format!("DEBUG {text}")),
        ("log", level) => format!("{} {text}", paint.dim(level)),
        ("system", _) => paint.dim(&format!("tinpot: {text}")),
        _ => text,
    }
}

/// Returns the value of a field: text without quotes if it is one word, otherwise JSON.
fn field(value: &RawValue) -> String {
    match serde_json::from_str::<String>(value.get()) {
        Ok(text)
            if !text.is_empty()
                && text.chars().all(|c| c.is_alphanumeric() || "-_./:@+".contains(c)) =>
        {
            text
        }
        _ => clean(&json::line(value.get()), false),
    }
}
