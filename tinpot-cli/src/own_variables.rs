//! Variables with names that other programs use too, such as `HOST` and `PORT`.
//!
//! Each has a second name that starts with `TINPOT_` and wins. A `HOST` that cannot be an address
//! is ignored with a warning: conda sets it to the platform of its compilers in every shell.

use std::ffi::OsString;

use clap::builder::Resettable;
use clap::{Arg, Command};

use crate::flags::first_word;

const PREFIX: &str = "TINPOT_";

/// Returns the own name of a variable that is not the program's alone.
pub(crate) fn own_name(variable: &str) -> Option<String> {
    let prefixes = [PREFIX, "MQTT_", "MINITOWER_", "OTEL_"];
    let is_own = prefixes.iter().any(|prefix| variable.starts_with(prefix));
    (!is_own).then(|| format!("{PREFIX}{variable}"))
}

/// Returns the command with the own names of its variables where they are set, and the warnings
/// for the variables that it ignores.
pub(crate) fn prefer(root: Command, arguments: &[OsString]) -> (Command, Vec<String>) {
    let mut warnings = Vec::new();
    let root = root.mut_subcommands(|command| command.mut_args(with_own_name));
    let words = arguments.get(1..).unwrap_or_default();
    let program = first_word(&root, words).and_then(|at| words[at].to_str()).unwrap_or_default();
    let by_flag = words.iter().filter_map(|word| word.to_str());
    let by_flag = by_flag.into_iter().any(|word| word == "--host" || word.starts_with("--host="));
    if by_flag || root.find_subcommand(program).is_none() {
        return (root, warnings);
    }
    let root = root.mut_subcommand(program, |command| {
        command.mut_args(|arg| {
            if arg.get_env() != Some("HOST".as_ref()) {
                return arg;
            }
            let Some(value) = std::env::var_os("HOST") else { return arg };
            let value = value.to_string_lossy();
            let Err(why) = tinpot_server::settings::host(&value) else { return arg };
            if !value.is_empty() {
                warnings.push(format!(
                    "the variable HOST is ignored: it {why} (got {value:?}); other programs use \
                     that name too, so set {PREFIX}HOST or --host"
                ));
            }
            arg.env(Resettable::Reset)
        })
    });
    (root, warnings)
}

fn with_own_name(arg: Arg) -> Arg {
    let variable = arg.get_env().and_then(|name| name.to_str());
    let Some(own) = variable.and_then(own_name) else { return arg };
    let value = std::env::var_os(&own).unwrap_or_default();
    // Kubernetes sets TINPOT_PORT to such a URL in every container, if a service is named `tinpot`.
    if value.is_empty() || value.as_encoded_bytes().starts_with(b"tcp://") {
        return arg;
    }
    arg.env(own)
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::own_name;
    use crate::args::Cli;

    #[test]
    fn no_own_name_is_that_of_another_setting() {
        let root = Cli::command();
        let variables = |command: &Command| -> Vec<String> {
            let names = command.get_arguments().filter_map(|arg| arg.get_env());
            names.map(|name| name.to_string_lossy().into_owned()).collect()
        };
        let all: Vec<String> = root.get_subcommands().flat_map(variables).collect();
        for variable in &all {
            if let Some(own) = own_name(variable) {
                assert!(!all.contains(&own), "{own} is the second name of {variable}");
            }
        }
        assert!(all.iter().any(|name| name == "HOST"));
    }
}
