//! The flags of an action, made from its schema, and their values as parameters.

mod help;
mod value;

use std::ffi::OsString;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};
use serde_json::{Map, Value};
use tinpot_core::Json;
use tinpot_core::action::{Parameter, parameters};

use self::value::Kind;
use crate::exit::CliError;
use crate::suggest;

/// The flags of every command, which a parameter cannot have.
const RESERVED: [&str; 2] = ["help", "version"];

/// The parameters of an action, and the flag of each.
#[derive(Debug)]
pub(crate) struct Flags {
    all: Vec<(String, Parameter, Kind)>,
    /// If true, the action takes parameters that the schema does not name, as with `**kwargs`.
    open: bool,
}

impl Flags {
    /// Makes the flags for a schema, next to the options of `command`. A parameter whose flag is
    /// taken becomes `--param-NAME`.
    pub(crate) fn of(schema: &Json, command: &Command) -> Self {
        let taken = |long: &str| {
            RESERVED.contains(&long)
                || command.get_arguments().any(|arg| arg.get_long() == Some(long))
        };
        let mut all: Vec<(String, Parameter, Kind)> = Vec::new();
        for parameter in parameters(schema) {
            let long = parameter.name.replace('_', "-");
            let negated = format!("no-{long}");
            let used = |long: &str| all.iter().any(|(other, ..)| other == long);
            let usable = !long.is_empty()
                && !long.starts_with('-')
                && long.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != '=');
            let long = if !usable {
                // No flag can have that name; --param and --data still reach the parameter.
                String::new()
            } else if taken(&long) || taken(&negated) || used(&long) || used(&negated) {
                format!("param-{}", parameter.name)
            } else {
                long
            };
            let kind = Kind::of(&parameter.schema);
            all.push((long, parameter, kind));
        }
        let document: Option<Value> = serde_json::from_str(schema.as_str()).ok();
        let more = document.as_ref().and_then(|schema| schema.get("additionalProperties"));
        Self { all, open: more != Some(&Value::Bool(false)) }
    }

    fn with_flags(&self) -> impl Iterator<Item = &(String, Parameter, Kind)> {
        self.all.iter().filter(|(long, ..)| !long.is_empty())
    }

    /// Adds the flags to a command.
    pub(crate) fn add_to(&self, mut command: Command) -> Command {
        for (at, (long, parameter, kind)) in self.with_flags().enumerate() {
            let id = id(parameter);
            let mut arg = Arg::new(id.clone())
                .long(long.clone())
                .help(help::of(parameter, kind))
                .help_heading("Parameters")
                .display_order(at)
                .value_name(kind.value_name(parameter))
                .allow_hyphen_values(true)
                .hide_possible_values(false);
            arg = match kind {
                Kind::Boolean => arg
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true")
                    .value_parser(["true", "false"])
                    .hide_possible_values(true)
                    .allow_hyphen_values(false)
                    .overrides_with(format!("no {id}")),
                Kind::Choice(choices) => {
                    let is_text = |name: &String| choices.iter().any(|(text, ..)| text == name);
                    let values = choices.iter().map(|(text, name, _)| {
                        let value = PossibleValue::new(text.clone());
                        match name {
                            Some(name) if !is_text(name) => {
                                value.help(name.clone()).alias(name.clone())
                            }
                            Some(name) if name != text => value.help(name.clone()),
                            _ => value,
                        }
                    });
                    arg.value_parser(PossibleValuesParser::new(values))
                }
                Kind::List(_) => arg.action(ArgAction::Append),
                _ if kind.is_path(parameter) => arg.value_hint(ValueHint::AnyPath),
                _ => arg,
            };
            command = command.arg(arg);
            if *kind == Kind::Boolean {
                let not = Arg::new(format!("no {id}"))
                    .long(format!("no-{long}"))
                    .help("Set it to false")
                    .help_heading("Parameters")
                    .display_order(at)
                    .action(ArgAction::SetTrue)
                    .hide(true)
                    .overrides_with(id);
                command = command.arg(not);
            }
        }
        command
    }

    /// Returns the parameters of a command line. Flags override `pairs`, which override `data`.
    ///
    /// # Errors
    /// Fails if a value does not fit its parameter, or a name is unknown.
    pub(crate) fn read(
        &self,
        matches: Option<&ArgMatches>,
        pairs: &[String],
        data: Option<Map<String, Value>>,
    ) -> Result<Map<String, Value>, CliError> {
        let mut values = data.unwrap_or_default();
        let mut given: Vec<(&str, Vec<&str>)> = Vec::new();
        for pair in pairs {
            let (name, text) = pair.split_once('=').ok_or_else(|| {
                CliError::usage(format!("--param must be NAME=VALUE (got {pair:?})"))
            })?;
            match given.iter_mut().find(|(other, _)| *other == name) {
                Some((_, texts)) => texts.push(text),
                None => given.push((name, vec![text])),
            }
        }
        for (name, texts) in given {
            let known = self.all.iter().find(|(_, parameter, _)| parameter.name == name);
            let value = match known {
                Some((_, parameter, kind)) => {
                    let wrong = |why| CliError::usage(format!("--param {name} {why}"));
                    kind.read(&texts, &parameter.schema).map_err(wrong)?
                }
                None if self.open => value::any(texts.last().copied().unwrap_or_default()),
                None => {
                    let names = self.all.iter().map(|(_, parameter, _)| &*parameter.name);
                    let message = format!(
                        "--param {name}: unknown parameter{}",
                        suggest::or_list(name, names)
                    );
                    return Err(CliError::usage(message));
                }
            };
            values.insert(name.to_owned(), value);
        }
        let Some(matches) = matches else { return Ok(values) };
        for (long, parameter, kind) in self.with_flags() {
            let id = id(parameter);
            if *kind == Kind::Boolean && matches.get_flag(&format!("no {id}")) {
                values.insert(parameter.name.clone(), Value::Bool(false));
                continue;
            }
            let Some(texts) = matches.get_many::<String>(&id) else { continue };
            let texts: Vec<&str> = texts.map(String::as_str).collect();
            let wrong = |why| CliError::usage(format!("--{long} {why}"));
            let value = kind.read(&texts, &parameter.schema).map_err(wrong)?;
            values.insert(parameter.name.clone(), value);
        }
        Ok(values)
    }

    /// Returns the flag of a parameter.
    pub(crate) fn flag_of(&self, parameter: &str) -> Option<String> {
        let found = self.with_flags().find(|(_, other, _)| other.name == parameter)?;
        Some(format!("--{}", found.0))
    }

    /// Returns the pairs that `--param` takes, without their values unless these are few.
    pub(crate) fn pairs(&self) -> Vec<String> {
        let pairs = |(_, parameter, kind): &(String, Parameter, Kind)| -> Vec<String> {
            let name = &parameter.name;
            match kind {
                Kind::Choice(choices) => {
                    choices.iter().map(|(text, ..)| format!("{name}={text}")).collect()
                }
                Kind::Boolean => vec![format!("{name}=true"), format!("{name}=false")],
                _ => vec![format!("{name}=")],
            }
        };
        self.all.iter().flat_map(pairs).collect()
    }

    /// Returns the name and the flag of each required secret without a value.
    pub(crate) fn missing_secrets(&self, values: &Map<String, Value>) -> Vec<(String, String)> {
        let missing = self.all.iter().filter(|(_, parameter, _)| {
            let format = parameter.schema.get("format").and_then(Value::as_str);
            parameter.required
                && format == Some("password")
                && !values.contains_key(&parameter.name)
        });
        missing
            .map(|(long, parameter, _)| match long.as_str() {
                "" => (parameter.name.clone(), parameter.name.clone()),
                long => (parameter.name.clone(), format!("--{long}")),
            })
            .collect()
    }

    /// Returns the required flags, for a usage line.
    pub(crate) fn usage(&self) -> String {
        let required = self.with_flags().filter(|(_, parameter, _)| parameter.required);
        required
            .map(|(long, parameter, kind)| match kind {
                Kind::Boolean => format!(" --{long}[=false]"),
                _ => format!(" --{long} <{}>", kind.value_name(parameter)),
            })
            .collect()
    }
}

/// Returns the id of a parameter's argument. It has a prefix, since the command may have an option
/// of the same name.
fn id(parameter: &Parameter) -> String {
    format!("parameter {}", parameter.name)
}

/// Returns the position of the first word that is no option. `command` knows which options take a
/// value.
pub(crate) fn first_word(command: &Command, words: &[OsString]) -> Option<usize> {
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let word = word.to_str().unwrap_or("?");
        if word == "--" {
            return (at + 1 < words.len()).then_some(at + 1);
        }
        if !word.starts_with('-') || word == "-" {
            return Some(at);
        }
        let takes_value = |arg: &&Arg| arg.get_action().takes_values();
        let next = match word.strip_prefix("--") {
            Some(long) => {
                let with = command.get_arguments().find(|arg| arg.get_long() == Some(long));
                with.filter(takes_value).is_some()
            }
            None => {
                // In a cluster of short options, the first that takes a value takes the rest, or
                // the next word.
                let mut letters = word[1..].chars();
                let with = letters.by_ref().find(|letter| {
                    let arg = command.get_arguments().find(|arg| arg.get_short() == Some(*letter));
                    arg.filter(takes_value).is_some()
                });
                with.is_some() && letters.as_str().is_empty()
            }
        };
        at += 1 + usize::from(next);
    }
    None
}

#[cfg(test)]
mod tests;
