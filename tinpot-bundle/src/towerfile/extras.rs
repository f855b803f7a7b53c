//! The table `[tinpot]`, which MiniTower does not know and ignores.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tinpot_core::{Result, RetryOn};

use super::check_path;
use super::parameters::one_of;
use super::quantity;
use super::reading::{Table, invalid, shown};

const KEYS: &[&str] = &[
    "group",
    "description",
    "priority",
    "expires_in",
    "queue",
    "setup_timeout",
    "strict",
    "kind",
    "exec",
    "python",
    "requirements",
    "env",
    "secrets",
    "retry",
    "limits",
];
/// Keys of later versions.
const RESERVED: [&str; 2] = ["schedule", "concurrency"];
/// The maximum length of the name of a group or queue, in bytes.
const NAME_BYTES: usize = 128;
/// The maximum number of retries.
const MAX_RETRIES: i64 = 1_000;

/// The kind of a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// One program: the script, or [`Extras::exec`].
    #[default]
    Script,
    /// A folder of `@action` files.
    Actions,
}

/// The retries of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunRetry {
    /// The number of attempts after the first.
    pub retries: u32,
    /// The outcomes after which there is another attempt.
    pub on: RetryOn,
}

/// The limits of one attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunLimits {
    /// The memory of all its processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// The processor time of all its processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<u32>,
    /// The size of its log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    /// The number of its processes at one time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
}

/// The table `[tinpot]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Extras {
    /// The kind of the folder.
    pub kind: Kind,
    /// The program and its arguments, in place of the script.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exec: Vec<String>,
    /// The group of the action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The description of the action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The default priority of runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// The queue of runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// The longest time that a run may wait.
    #[serde(
        rename = "expires_in_ms",
        with = "quantity::millis",
        skip_serializing_if = "Option::is_none"
    )]
    pub expires_in: Option<Duration>,
    /// The longest time that preparing the environment may take.
    #[serde(
        rename = "setup_timeout_ms",
        with = "quantity::millis",
        skip_serializing_if = "Option::is_none"
    )]
    pub setup_timeout: Option<Duration>,
    /// If true, inputs that no parameter declares are refused.
    pub strict: bool,
    /// The accepted versions of Python, such as `>=3.12`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// The file of the packages to install: a `.txt` file or `uv.lock`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requirements: Option<String>,
    /// Variables of the environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The names of the secrets that become variables of the environment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// The retries of a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RunRetry>,
    /// The limits of one attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<RunLimits>,
}

impl Extras {
    pub(super) fn read(table: &Table<'_>) -> Result<Self> {
        for name in RESERVED {
            if table.value(name).is_some() {
                return Err(invalid(format!(
                    "{} is not supported yet: remove it",
                    table.key(name)
                )));
            }
        }
        known_only(table, KEYS)?;
        let extras = Self {
            kind: kind(table)?,
            exec: exec(table)?,
            group: name(table, "group")?,
            description: table.string("description")?,
            priority: table
                .within("priority", i32::MIN.into(), i32::MAX.into())?
                .and_then(|priority| i32::try_from(priority).ok()),
            queue: name(table, "queue")?,
            expires_in: quantity::duration(table, "expires_in")?,
            setup_timeout: quantity::duration(table, "setup_timeout")?,
            strict: table.boolean("strict")?.unwrap_or_default(),
            python: python(table)?,
            requirements: requirements(table)?,
            env: env(table)?,
            secrets: secrets(table)?,
            retry: retry(table)?,
            limits: limits(table)?,
        };
        extras.check(table)?;
        Ok(extras)
    }

    fn check(&self, table: &Table<'_>) -> Result<()> {
        if self.kind == Kind::Actions && !self.exec.is_empty() {
            let key = table.key("exec");
            return Err(invalid(format!("{key} must be left out with kind = \"actions\"")));
        }
        match self.secrets.iter().find(|name| self.env.contains_key(*name)) {
            Some(name) => Err(invalid(format!("tinpot.env and tinpot.secrets both name {name}"))),
            None => Ok(()),
        }
    }
}

fn known_only(table: &Table<'_>, known: &[&str]) -> Result<()> {
    table.unknown(known).into_iter().next().map_or(Ok(()), |message| Err(invalid(message)))
}

fn kind(table: &Table<'_>) -> Result<Kind> {
    match table.string("kind")?.as_deref() {
        None | Some("script") => Ok(Kind::Script),
        Some("actions") => Ok(Kind::Actions),
        Some(other) => Err(one_of(&table.key("kind"), other, &["script", "actions"])),
    }
}

fn exec(table: &Table<'_>) -> Result<Vec<String>> {
    let Some(exec) = table.strings("exec")? else { return Ok(Vec::new()) };
    let key = table.key("exec");
    match exec.first() {
        None => return Err(invalid(format!("{key} must name a program"))),
        Some(program) if program.is_empty() => {
            return Err(invalid(format!("{key}[0] must not be empty")));
        }
        // A program of the bundle; one without a slash is looked up on the worker.
        Some(program) if program.contains('/') && !program.starts_with('/') => {
            check_path(&format!("{key}[0]"), program)?;
        }
        Some(_) => {}
    }
    if exec.iter().any(|argument| argument.contains('\0')) {
        return Err(invalid(format!("{key} must not contain a NUL character")));
    }
    Ok(exec)
}

fn name(table: &Table<'_>, name: &str) -> Result<Option<String>> {
    let text = table.string(name)?;
    let is_bad = |text: &String| {
        text.is_empty() || text.len() > NAME_BYTES || text.chars().any(char::is_control)
    };
    if text.as_ref().is_some_and(is_bad) {
        let key = table.key(name);
        return Err(invalid(format!(
            "{key} must have 1 to {NAME_BYTES} bytes and no control characters"
        )));
    }
    Ok(text)
}

fn python(table: &Table<'_>) -> Result<Option<String>> {
    let Some(text) = table.string("python")? else { return Ok(None) };
    let is_clause = |clause: &str| {
        let clause = clause.trim();
        let version = clause.trim_start_matches(['<', '>', '=', '!', '~']);
        let operator = &clause[..clause.len() - version.len()];
        ["", "<", ">", "<=", ">=", "==", "!=", "~="].contains(&operator)
            && version.trim().starts_with(|c: char| c.is_ascii_digit())
            && version.trim().chars().all(|c| c.is_ascii_alphanumeric() || ".*".contains(c))
    };
    if !text.split(',').all(is_clause) {
        let key = table.key("python");
        return Err(invalid(format!(
            "{key} must be versions such as \">=3.12,<4\" (got {text:?})"
        )));
    }
    Ok(Some(text))
}

fn requirements(table: &Table<'_>) -> Result<Option<String>> {
    let Some(path) = table.string("requirements")? else { return Ok(None) };
    let key = table.key("requirements");
    if !path.ends_with(".txt") && path.rsplit('/').next() != Some("uv.lock") {
        return Err(invalid(format!("{key} must be a .txt file or uv.lock (got {path:?})")));
    }
    check_path(&key, &path)?;
    Ok(Some(path))
}

fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn variable(key: &str, name: &str) -> Result<()> {
    if is_variable(name) {
        return Ok(());
    }
    let rule = "must be letters, digits and underscores, and not start with a digit";
    Err(invalid(format!("{key}: the name of a variable {rule} (got {name:?})")))
}

fn env(table: &Table<'_>) -> Result<BTreeMap<String, String>> {
    let Some(env) = table.table("env")? else { return Ok(BTreeMap::new()) };
    let mut variables = BTreeMap::new();
    for (name, value) in env.entries() {
        variable(&table.key("env"), name)?;
        let Some(text) = value.as_str().filter(|text| !text.contains('\0')) else {
            let (key, value) = (env.key(name), shown(value));
            return Err(invalid(format!("{key} must be a string without NUL (got {value})")));
        };
        variables.insert(name.clone(), text.to_owned());
    }
    Ok(variables)
}

fn secrets(table: &Table<'_>) -> Result<Vec<String>> {
    let secrets = table.strings("secrets")?.unwrap_or_default();
    secrets.iter().try_for_each(|name| variable(&table.key("secrets"), name))?;
    Ok(secrets)
}

fn retry(table: &Table<'_>) -> Result<Option<RunRetry>> {
    let Some(retry) = table.table("retry")? else { return Ok(None) };
    known_only(&retry, &["retries", "on"])?;
    let Some(retries) = retry.within("retries", 0, MAX_RETRIES)? else {
        return Err(invalid(format!("{} is missing", retry.key("retries"))));
    };
    let on = match retry.string("on")?.as_deref() {
        None | Some("any") => RetryOn::Any,
        Some("lost") => RetryOn::Lost,
        Some(other) => return Err(one_of(&retry.key("on"), other, &["any", "lost"])),
    };
    Ok(Some(RunRetry { retries: u32::try_from(retries).unwrap_or_default(), on }))
}

fn limits(table: &Table<'_>) -> Result<Option<RunLimits>> {
    let Some(limits) = table.table("limits")? else { return Ok(None) };
    known_only(&limits, &["memory", "cpu_seconds", "output", "processes"])?;
    let count = |name: &str| -> Result<Option<u32>> {
        let count = limits.within(name, 1, i32::MAX.into())?;
        Ok(count.and_then(|count| u32::try_from(count).ok()))
    };
    Ok(Some(RunLimits {
        memory_bytes: quantity::bytes(&limits, "memory")?,
        cpu_seconds: count("cpu_seconds")?,
        output_bytes: quantity::bytes(&limits, "output")?,
        processes: count("processes")?,
    }))
}
