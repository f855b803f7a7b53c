//! Settings from a TOML file, which flags and environment variables override, and the effective
//! settings of all three.
//!
//! A key is a flag without its leading hyphens, and with `_` for the others. The tables
//! `[coordinator]` and `[worker]` apply to that program alone, so that one file can serve both. The
//! tables `[python."DIRECTORY"]` are about single directories of actions.

mod directories;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::OsStr;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory};
use tinpot_python::Directories;
use tinpot_server::settings::OLD_NAMES;
use toml::{Table, Value};

use self::directories::Tables;
use crate::args;
use crate::exit::CliError;
use crate::flags::first_word;
use crate::{output, suggest, toml_span};

/// The programs that read a settings file.
pub(crate) const PROGRAMS: [&str; 2] = ["coordinator", "worker"];
/// The flags that a file cannot set.
const NOT_IN_FILE: [&str; 10] = [
    "config",
    "show-config",
    "help",
    "version",
    "server",
    "profile",
    "token-file",
    "team",
    "json",
    "utc",
];
/// Hides the secret part of a value.
type Hide = fn(&str) -> String;
/// The arguments with a secret in their value.
const SECRET: [(&str, Hide); 5] = [
    ("broker", hidden_in_url),
    ("broker-user", hidden_after_colon),
    ("otlp-headers", hidden),
    ("otlp-endpoint", hidden_in_url),
    ("otlp-traces-endpoint", hidden_in_url),
];

/// The settings of a file for one program.
#[derive(Debug, Default)]
pub(crate) struct FromFile {
    path: PathBuf,
    program: String,
    /// The values by argument id, as text of a command line.
    values: Vec<(String, Vec<String>)>,
    /// The settings of single directories of actions, and their rows in the effective settings.
    pub(crate) directories: Directories,
    rows: Vec<(String, Value)>,
    /// The warnings about keys with old names.
    pub(crate) warnings: Vec<String>,
}

impl FromFile {
    fn has(&self, id: &str) -> bool {
        self.values.iter().any(|(other, _)| other == id)
    }
}

/// Returns the key of an argument in a file.
pub(crate) fn key_of(arg: &Arg) -> Option<String> {
    let long = arg.get_long().filter(|long| !NOT_IN_FILE.contains(long))?;
    Some(long.replace('-', "_"))
}

/// Returns the command with the values of a file as defaults, if the command line or
/// `TINPOT_CONFIG` names a file.
pub(crate) fn with_file(
    root: Command,
    arguments: &[OsString],
) -> Result<(Command, FromFile), CliError> {
    let words = arguments.get(1..).unwrap_or_default();
    let program = first_word(&root, words).and_then(|at| words[at].to_str());
    let Some(program) = program.filter(|name| PROGRAMS.contains(name)).map(str::to_owned) else {
        return Ok((root, FromFile::default()));
    };
    let mut file = FromFile { program: program.clone(), ..FromFile::default() };
    let Some(path) = path(words) else { return Ok((root, file)) };
    file.path = path.clone();
    let (text, mut table) = read(&path)?;
    file.warnings = rename_old_keys(&path, &text, &mut table);
    for (key, value) in settings(&text, &table, &program, &root, &path)? {
        let command =
            root.find_subcommand(&program).ok_or_else(|| CliError::usage("unknown program"))?;
        let arg = command.get_arguments().find(|arg| key_of(arg).as_deref() == Some(&key));
        // The key belongs to the other program.
        let Some(arg) = arg else { continue };
        let texts = texts(arg, value)
            .and_then(|texts| check(command, arg, &texts).map(|()| texts))
            .map_err(|why| {
                let own = table.get(&program).and_then(|own| own.get(&key)).is_some();
                let names = [&*program, &key];
                let place = toml_span::of(&path, &text, &names[usize::from(!own)..]);
                CliError::usage(format!("{place}: {key}: {why}"))
            })?;
        file.values.push((arg.get_id().to_string(), texts));
    }
    if program == directories::PROGRAM {
        for tables in Tables::of(&table) {
            tables.add_to(&mut file.directories, |names| toml_span::of(&path, &text, names))?;
            file.rows.retain(|(key, _)| !tables.has(key));
            file.rows.extend(tables.rows());
        }
    }
    let root = root.mut_subcommand(&program, |command| {
        file.values.iter().fold(command, |command, (id, texts)| {
            let values: Vec<OsStr> = texts.iter().map(|text| OsStr::from(text.clone())).collect();
            command.mut_arg(id, |arg| arg.default_values(values))
        })
    });
    Ok((root, file))
}

fn path(words: &[OsString]) -> Option<PathBuf> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        if text == "--config" {
            return words.next().map(PathBuf::from);
        }
        if let Some(path) = text.strip_prefix("--config=") {
            return Some(PathBuf::from(path));
        }
    }
    std::env::var_os("TINPOT_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn read(path: &Path) -> Result<(String, Table), CliError> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| {
        CliError::usage(format!("cannot read {name} (--config, TINPOT_CONFIG): {e}"))
    })?;
    let table = text.parse().map_err(|e| CliError::usage(toml_span::wrong(path, &text, &e)))?;
    Ok((text, table))
}

/// Renames the keys with old names, and returns a warning for each.
fn rename_old_keys(path: &Path, text: &str, table: &mut Table) -> Vec<String> {
    let mut warnings = Vec::new();
    for name in OLD_NAMES {
        let (old, new) = (name.old_flag.replace('-', "_"), name.flag.replace('-', "_"));
        let place = |names: &[&str]| toml_span::of(path, text, names);
        let mut rename = |table: &mut Table, place: String| {
            if let Some(value) = table.remove(&old) {
                warnings.push(format!("{place}: {old} is now {new}; the old name still works"));
                // A file with both names keeps the value of the new one.
                table.entry(new.clone()).or_insert(value);
            }
        };
        rename(table, place(&[&old]));
        for program in PROGRAMS {
            if let Some(Value::Table(own)) = table.get_mut(program) {
                rename(own, place(&[program, &old]));
            }
        }
    }
    warnings
}

/// Returns the settings of a file for one program; its own table overrides the rest of the file.
///
/// # Errors
/// Fails if a key is unknown to every program.
fn settings<'a>(
    text: &str,
    table: &'a Table,
    program: &str,
    root: &Command,
    path: &Path,
) -> Result<Vec<(String, &'a Value)>, CliError> {
    let place = |names: &[&str]| toml_span::of(path, text, names);
    let keys = |program: &str| -> Vec<String> {
        let command = root.find_subcommand(program);
        command.into_iter().flat_map(Command::get_arguments).filter_map(key_of).collect()
    };
    let everything: Vec<String> = PROGRAMS.iter().flat_map(|program| keys(program)).collect();
    let mut all: Vec<(String, &Value)> = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(own) if PROGRAMS.contains(&key.as_str()) => {
                let known = keys(key);
                if let Some(wrong) = own.keys().find(|key| !known.contains(key)) {
                    let near = suggest::or_list(wrong, known.iter().map(String::as_str));
                    return Err(CliError::usage(format!(
                        "{}: unknown setting {wrong:?} of {key}{near}",
                        place(&[key, wrong])
                    )));
                }
            }
            // These are about directories.
            Value::Table(_) if key == directories::KEY => {}
            _ if everything.contains(key) => all.push((key.clone(), value)),
            _ => {
                let known = everything.iter().map(String::as_str).chain(PROGRAMS);
                let near = suggest::or_list(key, known);
                return Err(CliError::usage(format!(
                    "{}: unknown setting {key:?}{near}",
                    place(&[key])
                )));
            }
        }
    }
    if let Some(Value::Table(own)) = table.get(program) {
        let is_setting = |key: &str, value: &Value| key != directories::KEY || !value.is_table();
        let own = own.iter().filter(|(key, value)| is_setting(key, value));
        let own: Vec<_> = own.map(|(key, value)| (key.clone(), value)).collect();
        all.retain(|(key, _)| !own.iter().any(|(other, _)| other == key));
        all.extend(own);
    }
    Ok(all)
}

/// Returns a value of a file as text of a command line.
fn texts(arg: &Arg, value: &Value) -> Result<Vec<String>, String> {
    let is_list = matches!(arg.get_action(), ArgAction::Append);
    let one = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Boolean(yes) => Ok(yes.to_string()),
        other => Err(format!(
            "must be text, a number, true or false (got a value of type {})",
            other.type_str()
        )),
    };
    match value {
        Value::Array(values) if is_list => values.iter().map(one).collect(),
        Value::String(text) if is_list => Ok(text.split(',').map(str::to_owned).collect()),
        Value::Boolean(_) if !takes_boolean(arg) => Err("must not be true or false".to_owned()),
        other => Ok(vec![one(other)?]),
    }
}

/// Returns true if the argument takes true and false.
fn takes_boolean(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue) || arg.get_id() == "embedded_broker"
}

/// Checks that the argument takes the values.
///
/// # Errors
/// Fails with the reason if it does not.
fn check(command: &Command, arg: &Arg, texts: &[String]) -> Result<(), String> {
    let long = arg.get_long().unwrap_or_default();
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return match texts {
            [text] if text == "true" || text == "false" => Ok(()),
            _ => Err("must be true or false".to_owned()),
        };
    }
    // Only the file is checked here. A wrong variable is reported later, with its own name.
    let command = command
        .clone()
        .mut_args(|arg| arg.env(clap::builder::Resettable::Reset))
        .no_binary_name(true);
    let words = texts.iter().map(|text| format!("--{long}={text}"));
    match command.try_get_matches_from(words) {
        Err(e)
            if matches!(
                e.kind(),
                ErrorKind::InvalidValue | ErrorKind::ValueValidation | ErrorKind::NoEquals
            ) =>
        {
            let value = texts.join(",");
            let value = shown(long, &value);
            let plain = crate::numbers::reason(&e).map(|(_, plain)| plain);
            let why = plain.or_else(|| std::error::Error::source(&e).map(ToString::to_string));
            let first = e.to_string();
            let first =
                first.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            let choices = arg.get_possible_values();
            let choices: Vec<_> =
                choices.iter().map(clap::builder::PossibleValue::get_name).collect();
            Err(match why {
                Some(why) => format!("{why} (got {value:?})"),
                None if !choices.is_empty() => {
                    format!("must be one of {} (got {value:?})", choices.join(", "))
                }
                None if is_secret(long) => "has an invalid value".to_owned(),
                None => first,
            })
        }
        _ => Ok(()),
    }
}

/// Returns true if the command line asks for the effective settings.
pub(crate) fn wants_settings(command: &args::Command) -> bool {
    match command {
        args::Command::Coordinator(arguments) => arguments.config.show_config,
        args::Command::Worker(arguments) => arguments.config.show_config,
        _ => false,
    }
}

/// Prints the effective settings and their sources.
pub(crate) fn show(
    root: &Command,
    matches: &ArgMatches,
    file: &FromFile,
    as_json: bool,
) -> Result<(), CliError> {
    let Some((program, matches)) = matches.subcommand() else { return Ok(()) };
    let Some(command) = root.find_subcommand(program) else { return Ok(()) };
    let mut rows: Vec<(String, Option<Value>, String)> = Vec::new();
    for arg in command.get_arguments() {
        let Some(key) = key_of(arg) else { continue };
        let id = arg.get_id().as_str();
        if arg.is_hide_set() && matches.value_source(id).is_none() {
            continue;
        }
        let long = arg.get_long().unwrap_or_default();
        let texts: Vec<String> = match matches.get_raw(id) {
            Some(all) => all.map(|text| shown(long, &text.to_string_lossy())).collect(),
            None => Vec::new(),
        };
        let value = value_of(arg, &texts);
        let source = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => format!("flag --{long}"),
            Some(ValueSource::EnvVariable) => {
                format!("variable {}", arg.get_env().unwrap_or_default().to_string_lossy())
            }
            _ if file.has(id) => format!("file {}", file.path.display()),
            Some(_) => "default".to_owned(),
            None => "not set".to_owned(),
        };
        rows.push((key, value, source));
    }
    // `mut_arg` moved the arguments with defaults from the file to the end.
    let usual = args::Cli::command();
    let usual = usual.find_subcommand(program).into_iter().flat_map(Command::get_arguments);
    let usual: Vec<String> = usual.filter_map(key_of).collect();
    rows.sort_by_key(|(key, ..)| usual.iter().position(|other| other == key));
    let source = format!("file {}", file.path.display());
    let of_directories = file.rows.iter().cloned();
    let of_directories = of_directories.map(|(key, value)| (key, Some(value), source.clone()));
    if as_json {
        let all = rows.into_iter().chain(of_directories).map(|(key, value, source)| {
            let value = serde_json::to_value(value).unwrap_or_default();
            (key, serde_json::json!({"value": value, "source": source}))
        });
        let all: serde_json::Map<_, _> = all.collect();
        return output::println(&serde_json::Value::Object(all).to_string());
    }
    // Not below the program, which may have a setting with the same key.
    print(of_directories)?;
    output::println(&format!("[{}]", file.program))?;
    print(rows.into_iter())
}

/// Prints settings with their sources.
fn print(rows: impl Iterator<Item = (String, Option<Value>, String)>) -> Result<(), CliError> {
    let text = |(key, value, source): (String, Option<Value>, String)| match value {
        Some(value) => (format!("{key} = {value}"), source),
        None => (format!("# {key} ="), source),
    };
    let settings: Vec<(String, String)> = rows.map(text).collect();
    let width = settings.iter().map(|(text, _)| text.chars().count()).max().unwrap_or_default();
    settings
        .iter()
        .try_for_each(|(text, source)| output::println(&format!("{text:width$}  # {source}")))
}

/// Returns a value as a file has it.
fn value_of(arg: &Arg, texts: &[String]) -> Option<Value> {
    let plain = |text: &String| {
        let number = text.parse::<i64>().ok().map(Value::Integer);
        let number =
            number.or_else(|| text.parse::<f64>().ok().filter(|n| n.is_finite()).map(Value::Float));
        number.unwrap_or_else(|| Value::String(text.clone()))
    };
    if matches!(arg.get_action(), ArgAction::Append) {
        return (!texts.is_empty())
            .then(|| Value::Array(texts.iter().cloned().map(Value::String).collect()));
    }
    let text = texts.first()?;
    Some(match text.as_str() {
        "true" | "false" if takes_boolean(arg) => Value::Boolean(text == "true"),
        _ => plain(text),
    })
}

/// Returns true if the value of the argument has a secret in it.
pub(crate) fn is_secret(long: &str) -> bool {
    SECRET.iter().any(|(name, _)| *name == long)
}

/// Returns a value without its secret part.
fn shown(long: &str, text: &str) -> String {
    let secret = SECRET.iter().find(|(name, _)| *name == long);
    secret.map_or_else(|| text.to_owned(), |(_, hide)| hide(text))
}

fn hidden(_: &str) -> String {
    "***".to_owned()
}

/// Hides the password of a URL: the text after the first colon of the part before the last `@`.
fn hidden_in_url(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let Some((user, host)) = rest.rsplit_once('@') else { return url.to_owned() };
    let name = user.split(':').next().unwrap_or_default();
    let mark = if user.contains(':') { ":***" } else { "" };
    let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
    format!("{scheme}{name}{mark}@{host}")
}

fn hidden_after_colon(text: &str) -> String {
    text.split_once(':').map_or_else(|| "***".to_owned(), |(name, _)| format!("{name}:***"))
}

#[cfg(test)]
mod tests {
    use super::{hidden_after_colon, hidden_in_url};

    #[test]
    fn passwords_are_hidden_wherever_they_have_colons() {
        assert_eq!(hidden_in_url("mqtts://me:a:b@c@host:1"), "mqtts://me:***@host:1");
        assert_eq!(hidden_in_url("me:secret@host"), "me:***@host");
        assert_eq!(hidden_in_url("tcp://localhost:1883"), "tcp://localhost:1883");
        assert_eq!(hidden_after_colon("me:secret:more"), "me:***");
        assert_eq!(hidden_after_colon("secret"), "***");
    }
}
