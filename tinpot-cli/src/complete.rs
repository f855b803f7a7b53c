//! Completions: a shell asks this program, which asks the server for the names of actions and for
//! their flags.
//!
//! The engine is clap_complete's, which is marked as unstable; only this file uses it.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use clap::{Command, CommandFactory};
use clap_complete::CompleteEnv;
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Powershell, Zsh};

use crate::args::{Cli, Shell};
use crate::client::Client;
use crate::commands::{Target, catalogue, command, global_of, options};
use crate::exit::{CliError, Code, Done};
use crate::flags::Flags;
use crate::output;
use crate::profile;

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

/// Returns the tree of commands, with names and flags of actions if the words need them.
fn known(words: &[OsString]) -> Command {
    let mut root = Cli::command();
    if !words.iter().any(|word| word == "run" || word == "actions") {
        return root;
    }
    let global = global_of(words);
    let client = profile::server(&global)
        .and_then(|server| Client::with_patience(&server.url, PATIENCE, PATIENCE));
    let Ok(actions) = client.and_then(|client| catalogue(&client)) else { return root };
    let base = options(Command::new("run"));
    // The last word may be half a name, which is no action yet.
    let named = Target::of(words, "run").map(|target| target.name);
    let run = |mut run: Command| {
        run = run.disable_help_subcommand(true).subcommand_required(false);
        for action in actions.values() {
            let full = named.as_deref() == Some(&action.name);
            let flags = Flags::of(&action.schema, &base);
            let mut own = if full { command(&base, action, &flags) } else { Command::new("") };
            own = own.no_binary_name(false).name(action.name.clone());
            let about = action.description.lines().next().unwrap_or_default();
            run = run.subcommand(own.about(output::clean(about, false)));
        }
        run
    };
    root = root.mut_subcommand("run", run);
    let names: Vec<String> = actions.keys().cloned().collect();
    root.mut_subcommand("actions", |all| {
        all.mut_subcommand("show", |show| {
            show.mut_arg("name", |arg| {
                arg.value_parser(clap::builder::PossibleValuesParser::new(names))
            })
        })
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
