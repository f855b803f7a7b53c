//! Typed access to the tables of a Towerfile, with messages that name the key.

use tinpot_core::{Error, ErrorKind, Result};
use toml::Value;

pub(super) fn invalid(message: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("Towerfile: {message}"))
}

/// Returns the end of a message about an unknown name: the most similar known name, or all of them.
pub(super) fn suggestion(name: &str, known: &[&str]) -> String {
    let lower = name.to_lowercase();
    let scored = known.iter().map(|other| (strsim::jaro_winkler(&lower, other), other));
    match scored.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((likeness, near)) if likeness > 0.75 => format!("did you mean {near:?}?"),
        _ => format!("known: {}", known.join(", ")),
    }
}

/// A table, and its path in the file.
#[derive(Clone, Debug)]
pub(super) struct Table<'a> {
    path: String,
    table: &'a toml::Table,
}

impl<'a> Table<'a> {
    pub(super) fn new(path: impl Into<String>, table: &'a toml::Table) -> Self {
        Self { path: path.into(), table }
    }

    /// Returns the path of a key.
    pub(super) fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Returns the value of a key. A key in the same case takes precedence over one in any other
    /// case.
    pub(super) fn value(&self, name: &str) -> Option<&'a Value> {
        self.table.get(name).or_else(|| {
            let mut others = self.table.iter();
            others.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        })
    }

    /// Returns messages about the keys that are not known.
    pub(super) fn unknown(&self, known: &[&str]) -> Vec<String> {
        let is_known = |key: &str| known.iter().any(|known| known.eq_ignore_ascii_case(key));
        let unknown = self.table.keys().filter(|key| !is_known(key));
        unknown
            .map(|key| format!("the key {} is unknown; {}", self.key(key), suggestion(key, known)))
            .collect()
    }

    fn typed<T>(
        &self,
        name: &str,
        wanted: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => {
                Err(invalid(format!("{} must be {wanted} (got {})", self.key(name), shown(value))))
            }
        }
    }

    pub(super) fn string(&self, name: &str) -> Result<Option<String>> {
        self.typed(name, "a string", |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>> {
        self.typed(name, "an integer", Value::as_integer)
    }

    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>> {
        self.typed(name, "true or false", Value::as_bool)
    }

    /// Returns an integer within bounds.
    pub(super) fn within(&self, name: &str, min: i64, max: i64) -> Result<Option<i64>> {
        match self.integer(name)? {
            Some(value) if !(min..=max).contains(&value) => {
                let key = self.key(name);
                Err(invalid(format!("{key} must be {min} to {max} (got {value})")))
            }
            value => Ok(value),
        }
    }

    pub(super) fn strings(&self, name: &str) -> Result<Option<Vec<String>>> {
        let strings = |value: &Value| {
            let items = value.as_array()?.iter();
            items.map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        };
        self.typed(name, "an array of strings", strings)
    }

    pub(super) fn table(&self, name: &str) -> Result<Option<Table<'a>>> {
        let key = self.key(name);
        self.typed(name, "a table", |value| value.as_table().map(|table| Table::new(key, table)))
    }

    /// Returns the tables of an array of tables, such as `[[parameters]]`.
    pub(super) fn tables(&self, name: &str) -> Result<Vec<Table<'a>>> {
        let tables = |value: &'a Value| {
            let items = value.as_array()?.iter().enumerate();
            let table = |(at, item): (usize, &'a Value)| {
                Some(Table::new(format!("{}[{at}]", self.key(name)), item.as_table()?))
            };
            items.map(table).collect::<Option<Vec<_>>>()
        };
        Ok(self.typed(name, "an array of tables", tables)?.unwrap_or_default())
    }

    /// Returns the names and values of a table of strings.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.table.iter()
    }
}

/// Returns a value as a message shows it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Table(_) => "a table".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::String(text) if text.chars().count() > 60 => "a long string".to_owned(),
        Value::String(text) => format!("{text:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Boolean(value) => value.to_string(),
        Value::Datetime(time) => time.to_string(),
    }
}
