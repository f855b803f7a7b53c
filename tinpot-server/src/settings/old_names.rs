//! Old names of settings, and settings without effect. They are accepted with a warning.

use std::ffi::{OsStr, OsString};

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, Parser};

/// A setting with a name that changed.
#[derive(Clone, Copy, Debug)]
pub struct OldName {
    /// The flag, without its hyphens.
    pub flag: &'static str,
    /// The environment variable.
    pub variable: &'static str,
    /// The old flag, without its hyphens.
    pub old_flag: &'static str,
    /// The old environment variable.
    pub old_variable: &'static str,
}

/// All settings with a name that changed.
pub const OLD_NAMES: &[OldName] = &[
    OldName {
        flag: "heartbeat-interval",
        variable: "TINPOT_HEARTBEAT_INTERVAL",
        old_flag: "beat-interval",
        old_variable: "TINPOT_BEAT_INTERVAL",
    },
    OldName {
        flag: "queues",
        variable: "QUEUES",
        old_flag: "queue-name",
        old_variable: "QUEUE_NAME",
    },
    OldName {
        flag: "groups",
        variable: "ACTION_GROUPS",
        old_flag: "action-filter",
        old_variable: "ACTION_FILTER",
    },
];

/// The variables of older Tinpots that have no effect: names, and beginnings of names.
const WITHOUT_EFFECT: (&[&str], &[&str]) = (&["REDIS_URL"], &["CELERY_", "FLOWER_"]);

impl OldName {
    fn of(flag: Option<&str>) -> Option<&'static Self> {
        OLD_NAMES.iter().find(|name| Some(name.flag) == flag)
    }

    fn is_in(&self, words: &[OsString]) -> bool {
        let flag = format!("--{}", self.old_flag);
        let mut words = words.iter().filter_map(|word| word.to_str());
        words.any(|word| {
            word.strip_prefix(&flag).is_some_and(|rest| matches!(rest.get(..1), None | Some("=")))
        })
    }
}

/// Returns the command, with the old names of its settings accepted.
///
/// An old variable is read if the new one is not set.
pub fn accept_old_names(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let Some(name) = OldName::of(arg.get_long()) else { return arg };
        let arg = arg.alias(name.old_flag);
        let is_set = |variable: &str| std::env::var_os(variable).is_some();
        // clap reads the value of a variable at this call.
        if arg.get_env() == Some(OsStr::new(name.variable))
            && !is_set(name.variable)
            && is_set(name.old_variable)
        {
            return arg.env(name.old_variable);
        }
        arg
    });
    command.mut_subcommands(accept_old_names)
}

/// Returns one warning for each old name, and each setting without effect, of a command line and
/// its environment.
///
/// A hidden setting has no effect with a coordinator of this version.
pub fn old_name_warnings(
    command: &Command,
    matches: &ArgMatches,
    words: &[OsString],
) -> Vec<String> {
    if let Some((name, matches)) = matches.subcommand()
        && let Some(command) = command.find_subcommand(name)
    {
        return old_name_warnings(command, matches, words);
    }
    let mut warnings = Vec::new();
    // The programs that older Tinpots had, too.
    if command.get_arguments().any(|arg| arg.get_env() == Some(OsStr::new("MQTT_BROKER"))) {
        warnings.extend(without_effect(std::env::vars_os().map(|(name, _)| name)));
    }
    for arg in command.get_arguments() {
        let source = matches.value_source(arg.get_id().as_str());
        let is_given = matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable));
        if arg.is_hide_set() && is_given {
            warnings.push(told_by_coordinator(arg));
            continue;
        }
        let Some(name) = OldName::of(arg.get_long()) else { continue };
        let warning = match source {
            Some(ValueSource::CommandLine) if name.is_in(words) => {
                format!("--{} is now --{}", name.old_flag, name.flag)
            }
            Some(ValueSource::EnvVariable)
                if arg.get_env() == Some(OsStr::new(name.old_variable)) =>
            {
                format!("{} is now {}", name.old_variable, name.variable)
            }
            _ => continue,
        };
        warnings.push(format!("{warning}; the old name still works"));
    }
    warnings
}

/// Returns a warning if there are variables of a broker that this Tinpot does not use.
fn without_effect(variables: impl Iterator<Item = OsString>) -> Option<String> {
    let (names, beginnings) = WITHOUT_EFFECT;
    let is_old = |name: &String| {
        names.contains(&&**name) || beginnings.iter().any(|beginning| name.starts_with(beginning))
    };
    let mut found: Vec<String> =
        variables.filter_map(|name| name.into_string().ok()).filter(is_old).collect();
    found.sort_unstable();
    let names = found.join(", ");
    let verb = if found.len() == 1 { "has" } else { "have" };
    (!found.is_empty()).then(|| {
        format!(
            "{names} {verb} no effect: Tinpot uses an MQTT broker in place of Redis and Celery; set \
             MQTT_BROKER"
        )
    })
}

fn told_by_coordinator(arg: &Arg) -> String {
    let variable = arg.get_env().unwrap_or_default().to_string_lossy();
    format!(
        "--{} ({variable}) has no effect on a worker: set it at the coordinator, which tells its \
         workers",
        arg.get_long().unwrap_or_default()
    )
}

/// Parses the command line of this process as `Parser::parse` does, accepts old names with a warning,
/// and refuses passwords.
pub fn parse<P: Parser>() -> P {
    let words: Vec<OsString> = std::env::args_os().collect();
    let command = accept_old_names(P::command());
    let matches = command.clone().get_matches_from(&words);
    for warning in old_name_warnings(&command, &matches, &words) {
        eprintln!("warning: {warning}");
    }
    if let Some(why) = super::password_in_arguments(&command, &matches) {
        command.clone().error(clap::error::ErrorKind::ValueValidation, why).exit();
    }
    P::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::without_effect;

    #[test]
    fn variables_of_another_broker_are_named() {
        let warning = |names: &[&str]| without_effect(names.iter().map(OsString::from));
        assert_eq!(warning(&["PATH", "REDIS", "MQTT_BROKER"]), None);
        let text = warning(&["REDIS_URL", "CELERY_BROKER_URL", "HOME"]).expect("a warning");
        assert!(text.starts_with("CELERY_BROKER_URL, REDIS_URL have no effect"), "{text}");
    }
}
