//! The reference of commands and settings, as Markdown from what clap knows. `tinpot-cli/tests/it/reference.rs` holds the files in `docs/` to it.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command, CommandFactory};

use crate::args::Cli;
use crate::config::{PROGRAMS, key_of};
use crate::exit::CODES;

const RENEW: &str = "Made from the program: `TINPOT_RENEW_DOCS=1 cargo test -p tinpot-cli reference` writes it anew.";

/// The text of `docs/cli.md`.
pub fn cli_reference() -> String {
    let mut root = built();
    let mut out = format!(
        "# The command `tinpot`\n\n<!-- {RENEW} -->\n\n\
         The result goes to standard output, logs and progress to standard error. A bar is drawn on a terminal only; `NO_COLOR` is honoured. \
         With `--json` there is JSON on standard output, one line per event where something is followed, and an error is \
         `{{\"detail\": …, \"exit_code\": …}}` on standard error. Ctrl-C stops waiting for an execution, which goes on; twice cancels it. \
         A reader that goes away ends a command quietly.\n\n\
         `tinpot run NAME` has a flag for each parameter of the action, made from its schema: `--words a --words b` for a list, \
         `--loud`, `--loud=false` or `--no-loud` for a boolean, JSON for objects and what has no simpler form, `null` for null where that is \
         not text. A parameter that is called like an option of the command is `--param-NAME`. `--data` is read first, `--param` wins over \
         it, and flags win over both.\n\n\
         ## Which server\n\n\
         `--server`, else `TINPOT_SERVER`, else the profile of `--profile` or `TINPOT_PROFILE`, else `http://127.0.0.1:8000`. Profiles are in \
         `tinpot/config.toml` below `$XDG_CONFIG_HOME` or `~/.config`:\n\n\
         ```toml\n[profile.production]\nserver = \"https://tinpot.example.org/automation\"\n```\n\n## Exit codes\n\n| code | meaning |\n| --- | --- |\n"
    );
    for (code, meaning) in CODES {
        let _ = writeln!(out, "| {} | {meaning} |", *code as u8);
    }
    out.push_str("\n## Options of every command\n\n");
    options(&mut out, root.get_arguments().filter(|arg| arg.is_global_set()));
    let names: Vec<String> =
        root.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    out.push_str("\n## Commands\n\n| command | |\n| --- | --- |\n");
    leaves(&root, "tinpot", &mut |path, command| {
        let anchor = path.replace(' ', "-");
        let _ = writeln!(out, "| [`{path}`](#{anchor}) | {} |", cell(&about(command)));
    });
    for name in names {
        if let Some(command) = root.find_subcommand_mut(&name) {
            let path = format!("tinpot {name}");
            document(&mut out, command, &path);
        }
    }
    out
}

/// The text of `docs/configuration.md`.
pub fn configuration_reference() -> String {
    let root = built();
    let mut out = format!(
        "# Settings of the servers\n\n<!-- {RENEW} -->\n\n\
         Each setting is a flag, an environment variable and a key in a TOML file (`--config FILE` or `TINPOT_CONFIG`). The flag wins over the \
         variable, the variable over the file, the file over the default. A key that no program has is an error, which names the nearest one. \
         A table `[coordinator]` or `[worker]` is for that program alone, so that one file may serve both:\n\n\
         ```toml\nbroker = \"mqtts://tinpot:password@broker.example.org\"\nbeat_interval = 5\n\n\
         [coordinator]\nhost = \"0.0.0.0\"\nstore = \"/var/lib/tinpot/tinpot.db\"\n\n\
         [worker]\nactions = \"/srv/actions\"\nqueues = [\"default\", \"reports\"]\nno_reload = true\n```\n\n\
         `tinpot coordinator --show-config` and `tinpot worker --show-config` print what is in effect and where each setting comes from, \
         passwords left out; what they print is such a file.\n"
    );
    for name in PROGRAMS {
        let Some(command) = root.find_subcommand(name) else { continue };
        let _ = write!(
            out,
            "\n## `tinpot {name}`\n\n| key | flag | variable | default | meaning |\n| --- | --- | --- | --- | --- |\n"
        );
        for arg in command.get_arguments() {
            let Some(key) = key_of(arg) else { continue };
            let _ = writeln!(
                out,
                "| `{key}` | `{}` | {} | {} | {} |",
                flag(arg),
                variable(arg),
                default(arg),
                cell(&help(arg))
            );
        }
    }
    out.push_str(
        "\n## Beside these\n\n| variable | meaning |\n| --- | --- |\n\
         | `RUST_LOG` | which notices of a server go to standard error; `warn,tinpot=info` by default |\n\
         | `VIRTUAL_ENV` | the virtual environment whose Python runs actions, unless `TINPOT_PYTHON` says otherwise |\n\
         | `TINPOT_SECRET_<NAME>`, `TINPOT_SECRETS_DIR` | what `ctx.secret(name)` gives an action |\n\
         | `NO_COLOR` | no colours, whatever its value |\n",
    );
    out
}

/// As clap prepares it, with nothing of this machine's environment in it.
fn built() -> Command {
    let mut root = Cli::command().term_width(100);
    root.build();
    root
}

fn leaves<'a>(command: &'a Command, path: &str, visit: &mut impl FnMut(&str, &'a Command)) {
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let path = format!("{path} {}", sub.get_name());
        if sub.has_subcommands() { leaves(sub, &path, visit) } else { visit(&path, sub) }
    }
}

fn document(out: &mut String, command: &mut Command, path: &str) {
    if command.get_name() == "help" {
        return;
    }
    if command.has_subcommands() {
        for sub in command.get_subcommands_mut() {
            let path = format!("{path} {}", sub.get_name());
            document(out, sub, &path);
        }
        return;
    }
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
        out.push_str("\nEvery option, with its variable and its key in a file, is in [configuration.md](configuration.md).\n");
        return;
    }
    let own: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| !arg.is_global_set() && !matches!(arg.get_id().as_str(), "help" | "version"))
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

/// Text as a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
