//! `tinpot run`: flags from the schema, the submission, and its end.

use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, CommandFactory, FromArgMatches};
use serde_json::{Map, Value, json};

use super::find;
use crate::args::{Cli, Global, RunOptions, SubmitArgs, WaitArgs};
use crate::client::{ActionView, Client, Follow, RequestError, Submitted, encoded};
use crate::exit::{CliError, Code, Done};
use crate::flags::{Flags, first_word};
use crate::follow::Watch;
use crate::{input, output, profile, secret_prompt};

pub(crate) const LAST_WORDS: &str = "tinpot: interrupted before the server confirmed the submission; \
    `tinpot executions list` shows if it was accepted";

/// A command line of `run` or `exec`: the action, and all other words.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) words: Vec<OsString>,
}

impl Target {
    /// Splits a command line, if it is one of `subcommand` and names an action.
    pub(crate) fn of(arguments: &[OsString], subcommand: &str) -> Option<Self> {
        Self::below(arguments, &[subcommand])
    }

    /// Splits a command line, if it is one of the command at `path` and names something.
    pub(crate) fn below(arguments: &[OsString], path: &[&str]) -> Option<Self> {
        let mut command = Cli::command();
        let mut words = arguments.get(1..)?.to_vec();
        for subcommand in path {
            let at = first_word(&command, &words)?;
            if words[at] != **subcommand {
                return None;
            }
            words.remove(at);
            command = Global::augment_args(command.find_subcommand(subcommand)?.clone());
        }
        let at = first_word(&command, &words)?;
        let name = words.remove(at).into_string().ok()?;
        Some(Self { name, words })
    }
}

/// Adds the options of every `run` to a command.
pub(crate) fn options(command: Command) -> Command {
    Global::augment_args(RunOptions::augment_args(command))
}

/// Returns the global options among words that cannot all be parsed yet.
pub(crate) fn global_of(words: &[OsString]) -> Global {
    let command = Global::augment_args(Command::new("tinpot")).ignore_errors(true);
    let command = command.no_binary_name(true).disable_help_flag(true);
    let mut known = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let text = word.to_str().unwrap_or_default();
        if text == "--" {
            break;
        }
        let Some(option) = text.strip_prefix("--") else { continue };
        let (long, has_value) =
            option.split_once('=').map_or((option, false), |(long, _)| (long, true));
        let arg = command.get_arguments().find(|arg| arg.get_long() == Some(long));
        let Some(arg) = arg else { continue };
        known.push(word.clone());
        if arg.get_action().takes_values() && !has_value {
            known.extend(words.next().cloned());
        }
    }
    let matches = command.try_get_matches_from(known);
    matches.ok().and_then(|matches| Global::from_arg_matches(&matches).ok()).unwrap_or_default()
}

/// `tinpot run NAME …`.
pub(crate) fn run(target: &Target) -> Done {
    let global = global_of(&target.words);
    let client = profile::client(&global)?;
    // Without parameters, and without a user to ask for secrets, the command needs no schema and
    // can submit at once.
    let without_schema = target.words.is_empty() && !secret_prompt::can_ask();
    let action = if without_schema { None } else { Some(find(&client, &target.name)?) };
    run_with(&client, &target.name, action.as_ref(), &target.words, None)
}

/// The differences of `exec` from `run`.
#[derive(Debug)]
pub(crate) struct Exec {
    /// The command line up to the flags.
    pub(crate) called: String,
    /// Adds the options of `exec` alone.
    pub(crate) options: fn(Command) -> Command,
}

/// Runs an action of a server with the words of a command line.
pub(crate) fn run_with(
    client: &Client,
    name: &str,
    action: Option<&ActionView>,
    words: &[OsString],
    exec: Option<&Exec>,
) -> Done {
    let base = options(Command::new("run"));
    let base = match exec {
        Some(exec) => (exec.options)(base).bin_name(&exec.called),
        None => base,
    };
    let words = action.map(|action| Words::parse(&base, action, words)).transpose()?;
    let (arguments, global) = match &words {
        Some(words) => (words.arguments.clone(), words.global.clone()),
        None => (RunOptions::default(), Global::default()),
    };
    if exec.is_some() && arguments.wait.detach {
        let message = "--detach is not available: the server ends with this command; \
            start `tinpot dev` and use `tinpot run`";
        return Err(CliError::usage(message));
    }
    let parameters = match &words {
        Some(words) => words.with_secrets(words.parameters()?, |_| true)?,
        None => Map::new(),
    };
    let flags = words.as_ref().map(|words| &words.flags);
    let body = json!({"parameters": parameters, "options": submit_options(&arguments.submit)});
    let follow = Follow::prepare(arguments.wait.follow.timeout, LAST_WORDS)?;
    upload_large(client, name)?;
    let path = format!("/api/actions/{}/execute", encoded(name));
    let answer = client.post(&path, Some(&body.to_string()));
    let again = match exec {
        Some(exec) => exec.called.clone(),
        None => format!("{} run {}", crate::follow::program(client), crate::shell::quoted(name)),
    };
    let answer = answer.map_err(|refused| explained(client, name, &again, flags, refused))?;
    submitted(client, &answer, &follow, &arguments.wait, &global, exec.is_some())
}

/// Uploads the large files among the parameters of an action, to which its submission refers.
///
/// # Errors
/// Fails with the reason of the server.
pub(crate) fn upload_large(client: &Client, action: &str) -> Result<(), CliError> {
    for large in input::take_large() {
        client.upload_parameter(action, &large)?;
    }
    Ok(())
}

/// Ends a submission: follows the execution, or prints its id.
///
/// `alone` is true if the server belongs to this command.
pub(crate) fn submitted(
    client: &Client,
    answer: &str,
    follow: &Follow,
    wait: &WaitArgs,
    global: &Global,
    alone: bool,
) -> Done {
    let submitted: Submitted = client.parse(answer)?;
    let id = submitted.execution_id;
    let watch = Watch { alone, ..Watch::new(client, &id, &wait.follow, global) };
    watch.announce();
    if wait.detach {
        output::println(if global.json { crate::json::line(answer) } else { id.clone() }.as_str())?;
        return Ok(Code::Success);
    }
    watch.run(follow)
}

/// The words of a command line that runs an action.
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) arguments: RunOptions,
    pub(crate) global: Global,
    pub(crate) flags: Flags,
    matches: ArgMatches,
}

impl Words {
    /// Parses words with the options of `base` and the flags of an action.
    pub(crate) fn parse(
        base: &Command,
        action: &ActionView,
        words: &[OsString],
    ) -> Result<Self, CliError> {
        let flags = Flags::of(&action.schema, base);
        let command = command(base, action, &flags);
        let matches = command.clone().try_get_matches_from(words);
        let matches =
            matches.map_err(|error| crate::usage_errors::report(error, &command, words))?;
        let arguments = RunOptions::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
        let global = Global::from_arg_matches(&matches).unwrap_or_default();
        Ok(Self { arguments, global, flags, matches })
    }

    /// Returns the parameters that the words give.
    pub(crate) fn parameters(&self) -> Result<Map<String, Value>, CliError> {
        let parameters = &self.arguments.parameters;
        let data = parameters.data.as_deref().map(data).transpose();
        let data = data.map_err(|why| match self.flags.flag_of("data") {
            Some(flag) => format!("{why}; the parameter `data` is {flag}"),
            None => why,
        });
        let data = data.map_err(CliError::usage)?;
        self.flags.read(Some(&self.matches), &parameters.params, data)
    }

    /// Adds the required secrets which are missing and `wanted`, if there is a user to ask.
    pub(crate) fn with_secrets(
        &self,
        mut values: Map<String, Value>,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Map<String, Value>, CliError> {
        if secret_prompt::can_ask() {
            for (name, place) in self.flags.missing_secrets(&values) {
                if wanted(&name) {
                    values.insert(name, Value::String(secret_prompt::ask(&place)?));
                }
            }
        }
        Ok(values)
    }
}

/// Returns the command of one action, as `--help` shows it.
fn command(base: &Command, action: &ActionView, flags: &Flags) -> Command {
    let name = crate::shell::quoted(&action.name);
    let description: Vec<_> =
        action.description.lines().map(|line| output::clean(line, false)).collect();
    let called = base.get_bin_name().map_or_else(|| format!("tinpot run {name}"), str::to_owned);
    let help = Arg::new("help").long("help").short('h').help("Print help");
    let help = help.action(ArgAction::Help).help_heading("Global options");
    // The flags of the action come first in the help.
    flags
        .add_to(Command::new("run"))
        .args(base.get_arguments().cloned())
        .disable_help_flag(true)
        .arg(help)
        .no_binary_name(true)
        .override_usage(format!("{called}{} [OPTIONS]", flags.usage()))
        .bin_name(called)
        .about(description.join("\n"))
        .max_term_width(100)
}

/// Returns the object that `--data` names.
fn data(text: &str) -> Result<Map<String, Value>, String> {
    let (what, read) = match (text, text.strip_prefix('@')) {
        ("-" | "@-", _) => ("standard input must be a JSON object", input::stdin()),
        (_, Some("")) => ("", Err("must name a file after the @".to_owned())),
        (_, Some(path)) => ("the file must be a JSON object", input::file(path)),
        _ => ("must be a JSON object, @FILE or -", Ok(text.as_bytes().to_vec())),
    };
    let read = read.map_err(|why| format!("--data {why}"))?;
    serde_json::from_slice(&read).map_err(|e| format!("--data: {what}: {e}"))
}

/// Returns the given options of a submission, in the form of the API.
pub(crate) fn submit_options(arguments: &SubmitArgs) -> Value {
    let trace = arguments.traceparent.clone().or_else(|| {
        // By the standard, one that cannot be read is as good as none.
        let of_caller = std::env::var("TRACEPARENT").ok();
        of_caller.filter(|trace| tinpot_core::check_traceparent(trace).is_ok())
    });
    let all = [
        ("idempotency_key", arguments.idempotency_key.as_ref().map(|key| json!(key))),
        ("traceparent", trace.map(|trace| json!(trace))),
        ("priority", arguments.priority.map(|n| json!(n))),
        ("queue", arguments.queue.as_ref().map(|name| json!(name))),
        ("delay", arguments.delay.map(|s| json!(s))),
        ("expires_in", arguments.expires_in.map(|s| json!(s))),
        ("timeout", arguments.attempt_timeout.map(|s| json!(s))),
        ("retries", arguments.retries.map(|n| json!(n))),
    ];
    let given = all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(given.collect())
}

/// Returns an error of the server in the terms of the command line: flags instead of paths.
pub(crate) fn explained(
    client: &Client,
    name: &str,
    again: &str,
    flags: Option<&Flags>,
    refused: RequestError,
) -> CliError {
    match refused.code() {
        Code::NotFound => find(client, name).err().unwrap_or_else(|| refused.into()),
        Code::Usage => {
            let mut message = if refused.errors.is_empty() {
                refused.detail.clone()
            } else {
                "invalid parameters".to_owned()
            };
            let found;
            let flags = match flags {
                Some(flags) => Some(flags),
                None => {
                    let base = options(Command::new("run"));
                    found = find(client, name).ok().map(|action| Flags::of(&action.schema, &base));
                    found.as_ref()
                }
            };
            for (path, what) in &refused.errors {
                let first = path.split(['.', '[']).next().unwrap_or_default();
                let flag = flags.and_then(|flags| flags.flag_of(first));
                let place = match flag {
                    Some(flag) if first == path => flag,
                    Some(flag) => format!("{flag} ({path})"),
                    None => path.clone(),
                };
                message.push_str(&format!("\n  {place} {what}"));
            }
            message.push_str(&format!("\nsee: {again} --help"));
            CliError::new(Code::Usage, message)
        }
        _ => refused.into(),
    }
}

/// Runs `run` or `exec` without an action: prints the help, or fails.
pub(crate) fn without_name(subcommand: &str, help: bool) -> Done {
    if help {
        let mut root = Cli::command();
        root.build();
        let command = match subcommand {
            "rerun" => root
                .find_subcommand_mut("executions")
                .and_then(|all| all.find_subcommand_mut("rerun")),
            _ => root.find_subcommand_mut(subcommand),
        };
        let text = command.map(|command| command.render_help().to_string());
        output::print(&text.unwrap_or_default())?;
        return Ok(Code::Success);
    }
    Err(CliError::usage(match subcommand {
        "rerun" => {
            "name an execution, for example: tinpot executions rerun 019aca3c-1b2f; \
             `tinpot executions list` lists executions"
        }
        "exec" => {
            "name a file and one of its actions, for example: tinpot exec actions/hello.py::hello"
        }
        _ => "name an action, for example: tinpot run hello; `tinpot actions list` lists actions",
    }))
}
