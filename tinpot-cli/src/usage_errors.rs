//! Errors of clap, as text or as JSON.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use crate::exit::{CliError, Code};
use crate::output::Paint;
use crate::{numbers, suggest};

/// Reports an error of clap. Prints help, the version and errors for people, and then ends the
/// process; returns errors for programs.
pub(crate) fn report(mut error: clap::Error, command: &Command, words: &[OsString]) -> CliError {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // A group of commands without one of them is a question, not an error, as with git and
        // cargo.
        let _ = crate::output::print(&error.render().to_string());
        return CliError::quiet(Code::Success);
    }
    if error.kind() == ErrorKind::MissingSubcommand {
        // The same, with an option or a variable of the environment.
        let path = group(command, words);
        let mut root = command.clone();
        root.build();
        let shown = path.iter().try_fold(&mut root, |at, name| at.find_subcommand_mut(name));
        if let Some(shown) = shown {
            let _ = crate::output::print(&shown.render_help().to_string());
            return CliError::quiet(Code::Success);
        }
    }
    if !error.use_stderr() {
        error.exit();
    }
    if long(&error).is_some_and(|long| crate::config::is_secret(&long)) {
        error.insert(ContextKind::InvalidValue, ContextValue::String("***".to_owned()));
    }
    let tip = match variable(&error, command, words) {
        Some(variable) => Some(match crate::own_variables::own_name(&variable) {
            Some(own) => format!(
                "the value is from the variable {variable}, which other programs may use too; \
                 {own} and the flag override it"
            ),
            None => format!("the value is from the variable {variable}, not the command line"),
        }),
        None => meant(&mut error, command, words),
    };
    let reason = numbers::reason(&error);
    let plain = |text: String| match &reason {
        Some((reason, plain)) => text.replacen(&format!(": {reason}"), &format!(": {plain}"), 1),
        None => text,
    };
    if !crate::wants_json(words) {
        match tip {
            Some(tip) => {
                let tip = ContextValue::StyledStrs(vec![tip.into()]);
                error.insert(ContextKind::Suggested, tip);
            }
            // That the unknown option could be a value, after `--`.
            None if error.kind() == ErrorKind::UnknownArgument => {
                error.remove(ContextKind::Suggested);
            }
            None => {}
        }
        if reason.is_none() {
            error.exit();
        }
        let rendered = error.render();
        let coloured = Paint::stderr().enabled;
        let text = if coloured { rendered.ansi().to_string() } else { rendered.to_string() };
        eprint!("{}", plain(text));
        return CliError::quiet(Code::Usage);
    }
    let text = plain(error.to_string());
    let first = text.split("\n\n").next().unwrap_or_default();
    let mut message = first.trim_start_matches("error: ").trim_end().to_owned();
    if let Some(tip) = tip {
        message.push_str(&format!("; {tip}"));
    }
    CliError::usage(message)
}

/// Returns the question for what the user meant instead, and removes that of clap.
fn meant(error: &mut clap::Error, root: &Command, words: &[OsString]) -> Option<String> {
    let text = |error: &clap::Error, kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let (wrong, near) = match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let wrong = text(error, ContextKind::InvalidSubcommand)?;
            let near = near_commands(root, &group(root, words), &wrong);
            (ContextKind::SuggestedSubcommand, near)
        }
        ErrorKind::UnknownArgument => {
            let near = match text(error, ContextKind::SuggestedArg) {
                Some(near) => vec![near],
                None => programs_with(root, &text(error, ContextKind::InvalidArg)?),
            };
            (ContextKind::SuggestedArg, near)
        }
        ErrorKind::InvalidValue => {
            let wrong = text(error, ContextKind::InvalidValue)?;
            let Some(ContextValue::Strings(known)) = error.get(ContextKind::ValidValue) else {
                return None;
            };
            // Upper case is not another word, as it is to clap.
            let near = suggest::nearest(wrong.trim(), known.iter().map(String::as_str));
            let same = known.iter().find(|known| *known == wrong.trim()).map(String::as_str);
            let near = same.or(near).map(str::to_owned);
            (ContextKind::SuggestedValue, near.into_iter().collect())
        }
        _ => return None,
    };
    if near.is_empty() {
        return None;
    }
    error.remove(wrong);
    let near: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
    Some(format!("did you mean {}?", near.join(" or ")))
}

/// Returns the coordinator or the worker with an option that another program does not have.
fn programs_with(root: &Command, option: &str) -> Vec<String> {
    let long = option.trim_start_matches('-').split('=').next().unwrap_or_default();
    let has = |program: &&str| {
        let command = root.find_subcommand(program);
        command.is_some_and(|it| it.get_arguments().any(|arg| arg.get_long() == Some(long)))
    };
    let programs = ["coordinator", "worker"].into_iter().filter(has);
    programs.map(|program| format!("tinpot {program} --{long}")).collect()
}

/// Returns the names of the groups of commands that the words enter.
fn group<'a>(root: &'a Command, words: &[OsString]) -> Vec<&'a str> {
    let (mut command, mut rest, mut path) = (root, words.get(1..).unwrap_or_default(), Vec::new());
    while let Some(at) = crate::flags::first_word(command, rest) {
        let Some(sub) = rest[at].to_str().and_then(|word| command.find_subcommand(word)) else {
            break;
        };
        path.push(sub.get_name());
        (command, rest) = (sub, &rest[at + 1..]);
    }
    path
}

/// Returns the commands that the user may mean by a wrong name in a group: those with that name in
/// another group, otherwise the one with the nearest name.
fn near_commands(root: &Command, group: &[&str], wrong: &str) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    collect(root, "tinpot", &mut paths);
    let last = |path: &str| path.rsplit(' ').next().unwrap_or_default().to_owned();
    let same: Vec<String> = paths.iter().filter(|path| last(path) == wrong).cloned().collect();
    if !same.is_empty() {
        return same;
    }
    let start = ["tinpot"].iter().chain(group).copied().collect::<Vec<_>>().join(" ");
    let siblings: Vec<String> = paths
        .iter()
        .filter(|path| path.rsplit_once(' ').is_some_and(|(group, _)| group == start))
        .map(|path| last(path))
        .collect();
    if let Some(near) = suggest::nearest(wrong, siblings.iter().map(String::as_str)) {
        return vec![format!("{start} {near}")];
    }
    let names: Vec<String> = paths.iter().map(|path| last(path)).collect();
    let near = suggest::nearest(wrong, names.iter().map(String::as_str)).map(str::to_owned);
    paths.into_iter().filter(|path| near.as_ref().is_some_and(|near| last(path) == *near)).collect()
}

fn collect(command: &Command, path: &str, paths: &mut Vec<String>) {
    for sub in command.get_subcommands() {
        let path = format!("{path} {}", sub.get_name());
        collect(sub, &path, paths);
        paths.push(path);
    }
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
