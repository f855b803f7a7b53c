//! A command line that cannot be meant, in the form that was asked for.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use crate::exit::Failure;

/// What is wrong with a command line. Help and versions are printed here, and so is what people are told: then the process ends.
pub(crate) fn misused(mut error: clap::Error, command: &Command, words: &[OsString]) -> Failure {
    let is_wrong =
        error.use_stderr() && error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if !is_wrong {
        error.exit();
    }
    if long(&error).is_some_and(|long| crate::config::is_secret(&long)) {
        error.insert(ContextKind::InvalidValue, ContextValue::String("***".to_owned()));
    }
    let tip = variable(&error, command, words)
        .map(|variable| format!("the variable {variable} says so, not the command line"));
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
    Failure::usage(message)
}

/// The name of the argument that an error is about, of what it shows: `--port <PORT>`.
fn long(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else { return None };
    Some(shown.split([' ', '=', '[']).next()?.strip_prefix("--")?.to_owned())
}

/// The variable that a refused value is from.
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

/// The argument with that name; of the programs that have one, all call the variable the same.
fn find<'a>(command: &'a Command, long: &str) -> Option<&'a Arg> {
    let mut own = command.get_arguments();
    own.find(|arg| arg.get_long() == Some(long) && arg.get_env().is_some())
        .or_else(|| command.get_subcommands().find_map(|command| find(command, long)))
}
