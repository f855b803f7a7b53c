//! Completions: a shell asks this program, which asks the server for actions and their flags,
//! executions, queues and workers.
//!
//! The engine is clap_complete's, which is marked as unstable; only this file uses it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use clap::{Arg, Command, CommandFactory};
use clap_complete::CompleteEnv;
use clap_complete::engine::{
    ArgValueCandidates, ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter,
};
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Powershell, Zsh};

use serde::Deserialize;
use serde_json::Value;

use crate::args::{Cli, Global, Shell};
use crate::client::{ActionView, Client};
use crate::commands::{Target, catalogue, global_of, options};
use crate::exit::{CliError, Code, Done};
use crate::flags::Flags;
use crate::ids::Candidate;
use crate::{ids, output, profile};

/// The variable that the scripts set to ask for a completion.
const VARIABLE: &str = "TINPOT_COMPLETE";
/// The longest wait for a server: the user has pressed the tab key.
const PATIENCE: Duration = Duration::from_millis(500);

/// Returns true if a shell asks for a completion.
pub(crate) fn asked() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|shell| !shell.is_empty())
}

/// Answers a shell. A failure means no completion, and is not reported.
pub(crate) fn complete() -> Code {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let words =
        arguments.iter().skip_while(|word| *word != "--").skip(1).cloned().collect::<Vec<_>>();
    let here = std::env::current_dir().ok();
    let factory = || known(&words);
    let env = CompleteEnv::with_factory(factory).var(VARIABLE);
    match env.try_complete(arguments, here.as_deref().or(Some(Path::new(".")))) {
        Ok(_) => Code::Success,
        Err(_) => Code::Failed,
    }
}

/// Returns the tree of commands, with flags of an action if the words name one, and with values
/// that the server knows.
fn known(words: &[OsString]) -> Command {
    let known = Known { global: global_of(words) };
    let mut root = known.add_values(Cli::command());
    let names = |path: &[&str]| Target::below(words, path).map(|target| target.name);
    let of_run = Target::of(words, "run").is_some() || words.iter().any(|word| word == "run");
    let of_rerun = names(&["executions", "rerun"]);
    if !of_run && of_rerun.is_none() {
        return root;
    }
    let Some(actions) = known.actions() else { return root };
    let base = options(Command::new("run"));
    let with_flags = |command: &Command, action: &ActionView| {
        let flags = Flags::of(&action.schema, &base);
        let pairs = flags.pairs();
        known.add_values(flags.add_to(command.clone())).mut_args(move |arg| match arg.get_long() {
            Some("param") => arg.add(values(pairs.clone())),
            _ => match arg.get_value_names() {
                Some([name]) if name.starts_with('@') => arg.add(after_at()),
                _ => arg,
            },
        })
    };
    if let Some(id) = of_rerun {
        let action = known.action_of(&id).and_then(|name| actions.get(&name));
        let Some(action) = action else { return root };
        return root.mut_subcommand("executions", |all| {
            all.mut_subcommand("rerun", |rerun| with_flags(&rerun, action))
        });
    }
    // The last word may be half a name, which is no action yet.
    let named = names(&["run"]);
    root = root.mut_subcommand("run", |mut run| {
        run = run.disable_help_subcommand(true).subcommand_required(false);
        for action in actions.values() {
            let own = match named.as_deref() == Some(&action.name) {
                true => with_flags(&base.clone().disable_help_flag(false), action),
                false => Command::new(""),
            };
            let own = own.no_binary_name(false).name(action.name.clone());
            let about = action.description.lines().next().unwrap_or_default();
            run = run.subcommand(own.about(output::clean(about, false)));
        }
        run
    });
    root
}

/// The number of latest executions to offer.
const RECENT: usize = 50;

/// The server as a source of names.
#[derive(Clone, Debug)]
struct Known {
    global: Global,
}

impl Known {
    fn client(&self) -> Option<Client> {
        let server = profile::server(&self.global).ok()?;
        server.patient_client(PATIENCE).ok()
    }

    fn actions(&self) -> Option<BTreeMap<String, ActionView>> {
        catalogue(&self.client()?).ok()
    }

    /// Returns the name of the action of an execution.
    fn action_of(&self, id: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Record {
            action_name: String,
        }
        let client = self.client()?;
        let id = ids::resolve(&client, id, &self.global.clock()).ok()?;
        client.read::<Record>(&ids::path(&id, "")).ok().map(|record| record.action_name)
    }

    /// Adds completions to the arguments of a command and of those below it. The server is asked
    /// when the value of such an argument is completed.
    fn add_values(&self, command: Command) -> Command {
        let path = command.get_name().to_owned();
        let command = command.mut_args(|arg| match self.values_of(&path, &arg) {
            Some(candidates) => arg.add(candidates),
            None if arg.get_id() == "data" => arg.add(after_at()),
            None => arg,
        });
        command.mut_subcommands(|command| self.add_values(command))
    }

    fn values_of(&self, command: &str, arg: &Arg) -> Option<ArgValueCandidates> {
        let known = self.clone();
        let candidates = match (arg.get_id().as_str(), command) {
            ("id", "drain") => {
                ArgValueCandidates::new(move || known.names("/api/workers", "workers", "id"))
            }
            ("id" | "parent", _) => ArgValueCandidates::new(move || known.ids()),
            ("queue", _) | ("name", "pause" | "resume") => {
                ArgValueCandidates::new(move || known.names("/api/queues", "queues", "name"))
            }
            ("action", _) | ("name", "show") => {
                ArgValueCandidates::new(move || known.action_names())
            }
            ("profile", _) => values(profile::names()),
            _ => return None,
        };
        Some(candidates)
    }

    fn action_names(&self) -> Vec<CompletionCandidate> {
        let described = |(name, action): (String, ActionView)| {
            let about = action.description.lines().next().unwrap_or_default();
            CompletionCandidate::new(name).help(Some(output::clean(about, false).into()))
        };
        self.actions().into_iter().flatten().map(described).collect()
    }

    fn ids(&self) -> Vec<CompletionCandidate> {
        let recent = self.client().and_then(|client| ids::recent(&client, RECENT).ok());
        let described = |(at, one): (usize, Candidate)| {
            let about = format!("{} {}", output::clean(&one.action_name, false), one.status);
            // Newest first.
            CompletionCandidate::new(one.execution_id)
                .help(Some(about.into()))
                .display_order(Some(at))
        };
        recent.into_iter().flatten().enumerate().map(described).collect()
    }

    /// Returns a field of each entry of a list.
    fn names(&self, path: &str, list: &str, field: &str) -> Vec<CompletionCandidate> {
        let page: Option<Value> = self.client().and_then(|client| client.read(path).ok());
        let entries = page.as_ref().and_then(|page| page.get(list)?.as_array());
        let names = entries.into_iter().flatten().filter_map(|entry| entry.get(field)?.as_str());
        names.map(|name| CompletionCandidate::new(output::clean(name, false))).collect()
    }
}

/// Returns a completer for one of the texts.
fn values(texts: Vec<String>) -> ArgValueCandidates {
    ArgValueCandidates::new(move || texts.iter().map(CompletionCandidate::new).collect())
}

/// Returns a completer for the path of a file after `@`.
fn after_at() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let Some(path) = current.to_str().and_then(|text| text.strip_prefix('@')) else {
            return Vec::new();
        };
        let found = PathCompleter::any().complete(path.as_ref());
        found.into_iter().map(|candidate| candidate.add_prefix("@")).collect()
    })
}

/// Prints the script that makes a shell ask for completions.
pub(crate) fn script(shell: Shell) -> Done {
    let completer: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Elvish => &Elvish,
        Shell::Fish => &Fish,
        Shell::Power => &Powershell,
        Shell::Zsh => &Zsh,
    };
    let mut text = Vec::new();
    completer
        .write_registration(VARIABLE, "tinpot", "tinpot", "tinpot", &mut text)
        .map_err(|e| CliError::new(Code::Failed, format!("cannot write the script: {e}")))?;
    output::print(&String::from_utf8_lossy(&text))?;
    Ok(Code::Success)
}
