//! The reference of commands and settings: Markdown made from the tree of commands, and prose from
//! `reference/`.
//!
//! `tests/it/reference.rs` keeps the files in `docs/` equal to it. clap-markdown would cover
//! neither environment variables nor the keys of settings files, and reads the tree through the
//! same public functions.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command, CommandFactory};

use crate::args::Cli;
use crate::config::{PROGRAMS, key_of};
use crate::exit::CODES;

const RENEW: &str =
    "Generated: `TINPOT_RENEW_DOCS=1 cargo test -p tinpot-cli reference` writes this file again.";
const CLI: &str = include_str!("reference/cli.md");
const CONFIGURATION: &str = include_str!("reference/configuration.md");

/// Returns the text of `docs/cli.md`.
pub fn cli_reference() -> String {
    let mut root = built();
    let mut codes = String::new();
    for (code, meaning) in CODES {
        let _ = writeln!(codes, "| {} | {meaning} |", *code as u8);
    }
    let mut global = String::new();
    options(&mut global, root.get_arguments().filter(|arg| arg.is_global_set()));
    let mut commands = String::new();
    leaves(&root, "tinpot", &mut |path, command| {
        let anchor = path.replace(' ', "-");
        let _ = writeln!(commands, "| [`{path}`](#{anchor}) | {} |", cell(&about(command)));
    });
    let mut out = CLI
        .replace("{RENEW}", RENEW)
        .replace("{CODES}", &codes)
        .replace("{GLOBAL}", &global)
        .replace("{COMMANDS}\n", &commands);
    let names: Vec<String> =
        root.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for name in names {
        if let Some(command) = root.find_subcommand_mut(&name) {
            let path = format!("tinpot {name}");
            document(&mut out, command, &path);
        }
    }
    out
}

/// Returns the text of `docs/configuration.md`.
pub fn configuration_reference() -> String {
    let root = built();
    let mut programs = String::new();
    for name in PROGRAMS {
        let Some(command) = root.find_subcommand(name) else { continue };
        let _ = write!(
            programs,
            "\n## `tinpot {name}`\n\n| key | flag | variable | default | meaning |\n| --- | --- | --- | --- | --- |\n"
        );
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            let Some(key) = key_of(arg) else { continue };
            let _ = writeln!(
                programs,
                "| `{key}` | `{}` | {} | {} | {} |",
                flag(arg),
                variable(arg),
                default(arg),
                cell(&help(arg))
            );
        }
    }
    let mut limits = String::new();
    for limit in tinpot_server::settings::limits() {
        let setting = limit.setting.map(|key| format!("`{key}`")).unwrap_or_default();
        let _ = writeln!(
            limits,
            "| {} | {setting} | {} | `{}` |",
            limit.quantity, limit.default, limit.item
        );
    }
    CONFIGURATION
        .replace("{RENEW}", RENEW)
        .replace("{LIMITS}", &limits)
        .replace("{PROGRAMS}", &programs)
}

/// Returns the finished tree of commands, without anything from the environment of this machine.
fn built() -> Command {
    let mut root = Cli::command().term_width(100);
    root.build();
    root
}

fn leaves<'a>(command: &'a Command, path: &str, visit: &mut impl FnMut(&str, &'a Command)) {
    for sub in command.get_subcommands().filter(|sub| is_shown(sub)) {
        let path = format!("{path} {}", sub.get_name());
        if is_runnable(sub) {
            visit(&path, sub);
        }
        leaves(sub, &path, visit);
    }
}

/// Returns true for a command that people are to find.
fn is_shown(command: &Command) -> bool {
    command.get_name() != "help" && !command.is_hide_set()
}

/// Returns true for a command that does something without one below it. A server may have commands,
/// too.
fn is_runnable(command: &Command) -> bool {
    !command.has_subcommands()
        || PROGRAMS.contains(&command.get_name())
        || command.is_args_conflicts_with_subcommands_set()
}

fn document(out: &mut String, command: &mut Command, path: &str) {
    if !is_shown(command) {
        return;
    }
    if is_runnable(command) {
        document_one(out, command, path);
    }
    for sub in command.get_subcommands_mut() {
        let path = format!("{path} {}", sub.get_name());
        document(out, sub, &path);
    }
}

fn document_one(out: &mut String, command: &mut Command, path: &str) {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let _ = write!(out, "\n### {path}\n\n{}\n\n```text\n{usage}\n```\n", about(command));
    if let Some(more) = command.get_after_help() {
        let _ = write!(
            out,
            "\n{}\n",
            more.to_string().lines().map(str::trim).collect::<Vec<_>>().join("  \n")
        );
    }
    if PROGRAMS.contains(&command.get_name()) {
        out.push_str("\n[configuration.md](configuration.md) lists all options with their variables and keys.\n");
        return;
    }
    let own: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| !arg.is_global_set() && !arg.is_hide_set())
        .filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version"))
        .collect();
    if !own.is_empty() {
        out.push('\n');
        options(out, own.into_iter());
    }
}

fn options<'a>(out: &mut String, args: impl Iterator<Item = &'a Arg>) {
    out.push_str("| option | default | meaning |\n| --- | --- | --- |\n");
    for arg in args {
        let name = match arg.get_short() {
            Some(short) => format!("`-{short}`, `{}`", flag(arg)),
            None => format!("`{}`", flag(arg)),
        };
        let mut meaning = help(arg);
        let values: Vec<String> = arg
            .get_possible_values()
            .iter()
            .map(|value| format!("`{}`", value.get_name()))
            .collect();
        if arg.get_action().takes_values() && !values.is_empty() {
            let _ = write!(meaning, ": {}", values.join(", "));
        }
        if let Some(name) = arg.get_env() {
            let _ = write!(meaning, " (`{}`)", name.to_string_lossy());
        }
        let _ = writeln!(out, "| {name} | {} | {} |", default(arg), cell(&meaning));
    }
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

fn help(arg: &Arg) -> String {
    arg.get_help().map(ToString::to_string).unwrap_or_default()
}

fn flag(arg: &Arg) -> String {
    let names: Vec<String> =
        arg.get_value_names().unwrap_or_default().iter().map(|name| name.to_string()).collect();
    let names =
        if names.is_empty() { arg.get_id().to_string().to_uppercase() } else { names.join(" ") };
    let optional = arg.get_num_args().is_some_and(|number| number.min_values() == 0);
    match arg.get_long() {
        Some(long) if !arg.get_action().takes_values() => format!("--{long}"),
        Some(long) if optional => format!("--{long} [{names}]"),
        Some(long) => format!("--{long} {names}"),
        None if arg.is_required_set() => format!("<{names}>"),
        None => format!("[{names}]"),
    }
}

fn variable(arg: &Arg) -> String {
    arg.get_env().map(|name| format!("`{}`", name.to_string_lossy())).unwrap_or_default()
}

fn default(arg: &Arg) -> String {
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return String::new();
    }
    let values: Vec<_> =
        arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if values.is_empty() { String::new() } else { format!("`{}`", values.join(",")) }
}

/// Returns text as a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
