//! Settings from a TOML file, below flags and environment variables; and what is in effect of all three.
//!
//! A key is a flag without its hyphens in front and with `_` for those in between. A table `[coordinator]` or `[worker]` is for that program
//! alone, so that one file may serve both.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::OsStr;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory};
use toml::{Table, Value};

use crate::args;
use crate::exit::Failure;
use crate::flags::first_word;
use crate::{output, place, suggest};

/// The programs that take a file.
pub(crate) const PROGRAMS: [&str; 2] = ["coordinator", "worker"];
/// What makes no sense in a file.
const NOT_IN_FILE: [&str; 7] =
    ["config", "show-config", "help", "version", "server", "profile", "json"];
/// How a value is shown that has a secret in it.
type Hide = fn(&str) -> String;
/// Arguments whose values must not be shown, and how they are shown.
const SECRET: [(&str, Hide); 2] = [("broker", hidden_in_url), ("broker-user", hidden_after_colon)];

/// A file that was read: its settings for one program.
#[derive(Debug, Default)]
pub(crate) struct FromFile {
    path: PathBuf,
    program: String,
    /// By argument id: texts as on the command line.
    values: Vec<(String, Vec<String>)>,
}

impl FromFile {
    fn has(&self, id: &str) -> bool {
        self.values.iter().any(|(other, _)| other == id)
    }
}

/// The key of an argument in a file.
pub(crate) fn key_of(arg: &Arg) -> Option<String> {
    let long = arg.get_long().filter(|long| !NOT_IN_FILE.contains(long))?;
    Some(long.replace('-', "_"))
}

/// The command with what a file says as defaults, where the command line or `TINPOT_CONFIG` names one.
pub(crate) fn with_file(
    root: Command,
    arguments: &[OsString],
) -> Result<(Command, FromFile), Failure> {
    let words = arguments.get(1..).unwrap_or_default();
    let program = first_word(&root, words).and_then(|at| words[at].to_str());
    let Some(program) = program.filter(|name| PROGRAMS.contains(name)).map(str::to_owned) else {
        return Ok((root, FromFile::default()));
    };
    let mut file = FromFile { program: program.clone(), ..FromFile::default() };
    let Some(path) = path(words) else { return Ok((root, file)) };
    file.path = path.clone();
    let (text, table) = read(&path)?;
    for (key, value) in settings(&text, &table, &program, &root, &path)? {
        let command =
            root.find_subcommand(&program).ok_or_else(|| Failure::usage("no such program"))?;
        let arg = command.get_arguments().find(|arg| key_of(arg).as_deref() == Some(&key));
        // A key of the other program.
        let Some(arg) = arg else { continue };
        let texts = texts(arg, value)
            .and_then(|texts| check(command, arg, &texts).map(|()| texts))
            .map_err(|why| {
                let own = table.get(&program).and_then(|own| own.get(&key)).is_some();
                let names = [&*program, &key];
                let place = place::of(&path, &text, &names[usize::from(!own)..]);
                Failure::usage(format!("{place}: {key}: {why}"))
            })?;
        file.values.push((arg.get_id().to_string(), texts));
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

fn read(path: &Path) -> Result<(String, Table), Failure> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| {
        Failure::usage(format!("{name} cannot be read (--config, TINPOT_CONFIG): {e}"))
    })?;
    let table = text.parse().map_err(|e| Failure::usage(place::wrong(path, &text, &e)))?;
    Ok((text, table))
}

/// What a file says for one program: what is in its own table counts more. Names that no program knows are refused.
fn settings<'a>(
    text: &str,
    table: &'a Table,
    program: &str,
    root: &Command,
    path: &Path,
) -> Result<Vec<(String, &'a Value)>, Failure> {
    let place = |names: &[&str]| place::of(path, text, names);
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
                    return Err(Failure::usage(format!(
                        "{}: there is no setting {wrong:?} of {key}{near}",
                        place(&[key, wrong])
                    )));
                }
            }
            _ if everything.contains(key) => all.push((key.clone(), value)),
            _ => {
                let known = everything.iter().map(String::as_str).chain(PROGRAMS);
                let near = suggest::or_list(key, known);
                return Err(Failure::usage(format!(
                    "{}: there is no setting {key:?}{near}",
                    place(&[key])
                )));
            }
        }
    }
    if let Some(Value::Table(own)) = table.get(program) {
        all.retain(|(key, _)| !own.contains_key(key));
        all.extend(own.iter().map(|(key, value)| (key.clone(), value)));
    }
    Ok(all)
}

/// A value of a file as texts of the command line.
fn texts(arg: &Arg, value: &Value) -> Result<Vec<String>, String> {
    let is_list = matches!(arg.get_action(), ArgAction::Append);
    let one = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Boolean(yes) => Ok(yes.to_string()),
        other => Err(format!("must be text, a number, true or false, not {}", other.type_str())),
    };
    match value {
        Value::Array(values) if is_list => values.iter().map(one).collect(),
        Value::String(text) if is_list => Ok(text.split(',').map(str::to_owned).collect()),
        Value::Boolean(_) if !takes_boolean(arg) => Err("must not be true or false".to_owned()),
        other => Ok(vec![one(other)?]),
    }
}

/// Whether true and false mean something.
fn takes_boolean(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue) || arg.get_id() == "embedded_broker"
}

/// Whether the argument takes such values; else why not.
fn check(command: &Command, arg: &Arg, texts: &[String]) -> Result<(), String> {
    let long = arg.get_long().unwrap_or_default();
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return match texts {
            [text] if text == "true" || text == "false" => Ok(()),
            _ => Err("must be true or false".to_owned()),
        };
    }
    // What the variables say is not the question here.
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
            let why = std::error::Error::source(&e).map(ToString::to_string);
            let first = e.to_string();
            let first =
                first.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            let choices = arg.get_possible_values();
            let choices: Vec<_> =
                choices.iter().map(clap::builder::PossibleValue::get_name).collect();
            Err(match why {
                Some(why) => format!("{why}, but is {value:?}"),
                None if !choices.is_empty() => {
                    format!("must be one of {}, not {value:?}", choices.join(", "))
                }
                None if is_secret(long) => "is not such a value".to_owned(),
                None => first,
            })
        }
        _ => Ok(()),
    }
}

/// Whether a program is asked for its settings rather than to run.
pub(crate) fn is_to_be_shown(command: &args::Command) -> bool {
    match command {
        args::Command::Coordinator(arguments) => arguments.config.show_config,
        args::Command::Worker(arguments) => arguments.config.show_config,
        _ => false,
    }
}

/// Prints what is in effect, and where it comes from.
pub(crate) fn show(
    root: &Command,
    matches: &ArgMatches,
    file: &FromFile,
    as_json: bool,
) -> Result<(), Failure> {
    let Some((program, matches)) = matches.subcommand() else { return Ok(()) };
    let Some(command) = root.find_subcommand(program) else { return Ok(()) };
    let mut rows: Vec<(String, Option<Value>, String)> = Vec::new();
    for arg in command.get_arguments() {
        let Some(key) = key_of(arg) else { continue };
        let id = arg.get_id().as_str();
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
    // Those of the file were moved to the end when they were given their defaults.
    let usual = args::Cli::command();
    let usual = usual.find_subcommand(program).into_iter().flat_map(Command::get_arguments);
    let usual: Vec<String> = usual.filter_map(key_of).collect();
    rows.sort_by_key(|(key, ..)| usual.iter().position(|other| other == key));
    if as_json {
        let all = rows.into_iter().map(|(key, value, source)| {
            let value = serde_json::to_value(value).unwrap_or_default();
            (key, serde_json::json!({"value": value, "source": source}))
        });
        let all: serde_json::Map<_, _> = all.collect();
        return output::println(&serde_json::Value::Object(all).to_string());
    }
    let settings: Vec<(String, String)> = rows
        .into_iter()
        .map(|(key, value, source)| match value {
            Some(value) => (format!("{key} = {value}"), source),
            None => (format!("# {key} ="), source),
        })
        .collect();
    let width = settings.iter().map(|(text, _)| text.chars().count()).max().unwrap_or_default();
    output::println(&format!("[{}]", file.program))?;
    settings
        .iter()
        .try_for_each(|(text, source)| output::println(&format!("{text:width$}  # {source}")))
}

/// A value as a file would have it.
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

/// Whether what an argument is given must not be shown as it is.
pub(crate) fn is_secret(long: &str) -> bool {
    SECRET.iter().any(|(name, _)| *name == long)
}

/// A value as it may be seen.
fn shown(long: &str, text: &str) -> String {
    let secret = SECRET.iter().find(|(name, _)| *name == long);
    secret.map_or_else(|| text.to_owned(), |(_, hide)| hide(text))
}

/// The password of a URL is what stands behind the first colon of what is before the last `@`.
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
    fn no_password_is_seen_wherever_it_has_its_colons() {
        assert_eq!(hidden_in_url("mqtts://me:a:b@c@host:1"), "mqtts://me:***@host:1");
        assert_eq!(hidden_in_url("me:secret@host"), "me:***@host");
        assert_eq!(hidden_in_url("tcp://localhost:1883"), "tcp://localhost:1883");
        assert_eq!(hidden_after_colon("me:secret:more"), "me:***");
        assert_eq!(hidden_after_colon("secret"), "***");
    }
}
