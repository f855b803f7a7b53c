//! Errors of clap, as text or as JSON.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use crate::exit::CliError;

/// Reports an error of clap. Prints help, the version and errors for people, and then ends the
/// process; returns errors for programs.
pub(crate) fn report(mut error: clap::Error, command: &Command, words: &[OsString]) -> CliError {
    let is_wrong =
        error.use_stderr() && error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if !is_wrong {
        error.exit();
    }
    if long(&error).is_some_and(|long| crate::config::is_secret(&long)) {
        error.insert(ContextKind::InvalidValue, ContextValue::String("***".to_owned()));
    }
    let tip = variable(&error, command, words)
        .map(|variable| format!("the value is from the variable {variable}, not the command line"));
    if !crate::wants_json(words) {
        if let Some(tip) = tip {
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
        }
        error.exit();
    }
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let mut message = first.trim_start_matches("error: ").trim_end().to_owned();
    if let Some(tip) = tip {
        message.push_str(&format!("; {tip}"));
    }
    CliError::usage(message)
}

/// Returns the name of the argument that an error is about, from the form in which clap shows it:
/// `--port <PORT>`.
fn long(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else { return None };
    Some(shown.split([' ', '=', '[']).next()?.strip_prefix("--")?.to_owned())
}

/// Returns the environment variable that a refused value is from.
fn variable(error: &clap::Error, command: &Command, words: &[OsString]) -> Option<String> {
    let long = long(error)?;
    let arg = find(command, &long)?;
    let long = format!("--{long}");
    let given = words.iter().filter_map(|word| word.to_str()).any(|word| {
        word == long || word.strip_prefix(&long).is_some_and(|rest| rest.starts_with('='))
    });
    let variable = arg.get_env()?.to_str()?;
    (!given && std::env::var_os(variable).is_some()).then(|| variable.to_owned())
}

/// Returns the argument with that name. All programs that have it use the same variable.
fn find<'a>(command: &'a Command, long: &str) -> Option<&'a Arg> {
    let mut own = command.get_arguments();
    own.find(|arg| arg.get_long() == Some(long) && arg.get_env().is_some())
        .or_else(|| command.get_subcommands().find_map(|command| find(command, long)))
}
