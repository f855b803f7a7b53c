//! The tables `[python."DIRECTORY"]` of a settings file.

use tinpot_python::{Directories, DirectorySettings, Requirements};
use toml::{Table, Value};

use crate::exit::CliError;
use crate::suggest;

/// The key of the tables.
pub(super) const KEY: &str = "python";
/// The program that has them.
pub(super) const PROGRAM: &str = "worker";
/// The settings of a directory.
const KEYS: [&str; 5] = ["requirements", "groups", "python", "start", "isolation"];

/// The tables of a file, and where they are in it.
#[derive(Debug)]
pub(super) struct Tables<'a> {
    /// The tables around it, then its own key.
    names: Vec<&'a str>,
    table: &'a Table,
}

impl<'a> Tables<'a> {
    /// Returns the tables of a file, those of the program last.
    pub(super) fn of(file: &'a Table) -> Vec<Self> {
        let of = |names: Vec<&'a str>, within: Option<&'a Table>| {
            let table = within?.get(KEY)?.as_table()?;
            Some(Self { names, table })
        };
        let own = file.get(PROGRAM).and_then(Value::as_table);
        [of(vec![KEY], Some(file)), of(vec![PROGRAM, KEY], own)].into_iter().flatten().collect()
    }

    /// Adds the settings of the directories, over those that are there.
    ///
    /// # Errors
    /// Fails at the first wrong key or value. `place` returns the place of a key in the file.
    pub(super) fn add_to(
        &self,
        all: &mut Directories,
        place: impl Fn(&[&str]) -> String,
    ) -> Result<(), CliError> {
        for (name, value) in self.table {
            let mut names = self.names.clone();
            names.push(name);
            let wrong = |names: &[&str], why: String| {
                CliError::usage(format!("{}: {KEY}.{name:?}: {why}", place(names)))
            };
            let Some(table) = value.as_table() else {
                let why = "must be a table with the settings of a directory";
                return Err(wrong(&names, why.to_owned()));
            };
            if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
                let near = suggest::or_list(key, KEYS.into_iter());
                names.push(key);
                return Err(wrong(&names, format!("unknown setting {key:?}{near}")));
            }
            let mut settings = DirectorySettings::default();
            for (key, value) in table {
                let read = read(&mut settings, key, value);
                read.map_err(|why| {
                    wrong(&[&names[..], &[key.as_str()]].concat(), format!("{key}: {why}"))
                })?;
            }
            all.set(name, settings).map_err(|error| wrong(&names, error.message().to_owned()))?;
        }
        Ok(())
    }

    /// Returns true if a key is about one of the directories.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.keys().any(|name| key.starts_with(&format!("{KEY}.{name:?}.")))
    }

    /// Returns the settings as keys and values of a file.
    pub(super) fn rows(&self) -> Vec<(String, Value)> {
        let of = |(name, table): (&String, &Value)| {
            let values = table.as_table().into_iter().flatten();
            let row =
                |(key, value): (&String, &Value)| (format!("{KEY}.{name:?}.{key}"), masked(value));
            values.map(row).collect::<Vec<_>>()
        };
        self.table.iter().flat_map(of).collect()
    }
}

/// Returns a value without the passwords in its URLs, as those of package indexes.
fn masked(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(tinpot_venv::mask(text).into_owned()),
        Value::Array(all) => Value::Array(all.iter().map(masked).collect()),
        other => other.clone(),
    }
}

fn read(settings: &mut DirectorySettings, key: &str, value: &Value) -> Result<(), String> {
    match key {
        "requirements" => {
            settings.requirements = Some(match value {
                Value::String(file) if !file.trim().is_empty() => Requirements::File(file.into()),
                Value::Array(_) => Requirements::List(texts(value)?),
                _ => {
                    let why = "must be the path of a file of requirements, or a list of them";
                    return Err(why.to_owned());
                }
            });
        }
        "groups" => settings.groups = Some(texts(value)?),
        "python" => settings.python = Some(parsed(value)?),
        "start" => settings.start = Some(parsed(value)?),
        _ => settings.isolation = Some(parsed(value)?),
    }
    Ok(())
}

fn parsed<T: std::str::FromStr<Err = tinpot_core::Error>>(value: &Value) -> Result<T, String> {
    let text = value.as_str().ok_or_else(|| "must be text".to_owned())?;
    text.parse().map_err(|error: tinpot_core::Error| error.message().to_owned())
}

fn texts(value: &Value) -> Result<Vec<String>, String> {
    let wrong = || "must be a list of texts".to_owned();
    let all = value.as_array().ok_or_else(wrong)?.iter();
    all.map(|one| one.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
}
