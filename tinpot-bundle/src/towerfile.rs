//! The Towerfile: the description of an app, with how it runs and which inputs it takes.

mod extras;
mod parameters;
mod quantity;
mod reading;
mod schema;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tinpot_core::{Error, ErrorKind, Json, Result};

pub use self::extras::{Extras, Kind, RunLimits, RunRetry};
pub use self::parameters::{ParameterType, TowerfileParameter};
use self::reading::{Table, invalid};

/// The name of the file, at the root of a bundle.
pub const TOWERFILE: &str = "Towerfile";
/// The largest size of a Towerfile.
pub const MAX_TOWERFILE_BYTES: usize = 256 * 1024;

const SLUG_BYTES: std::ops::RangeInclusive<usize> = 3..=32;
const RESERVED: [&str; 5] = ["api", "admin", "system", "internal", "default"];
const DEFAULT_SOURCE: &str = "./**";

/// A valid Towerfile.
///
/// It serializes to its normal form: defaults are filled in, and comments, the order of keys and
/// their case are dropped.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Towerfile {
    /// The name of the app.
    pub name: String,
    /// The program to run, a `.py` or `.sh` file, as written. Always there for [`Kind::Script`]
    /// without [`Extras::exec`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// The globs of the files to pack.
    pub source: Vec<String>,
    /// The folders that Python imports from, as written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub import_paths: Vec<String>,
    /// The longest time that a run may take.
    #[serde(
        rename = "timeout_ms",
        with = "quantity::millis",
        skip_serializing_if = "Option::is_none"
    )]
    pub timeout: Option<Duration>,
    /// The inputs, in the order of the file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<TowerfileParameter>,
    /// The table `[tinpot]`, which MiniTower ignores.
    pub tinpot: Extras,
    /// The warnings about unknown keys, which have no effect.
    #[serde(skip)]
    pub warnings: Vec<String>,
    #[serde(skip)]
    schema: Option<Json>,
}

/// The ability that a worker must have to run a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Runtime {
    /// A `.py` or `.sh` file, run as MiniTower's runner runs it.
    Script,
    /// Any program, with limits and an environment of its own.
    Process,
    /// A folder of Python actions.
    Python,
}

impl Runtime {
    /// Returns the name of the runtime: `script`, `process` or `python`.
    pub fn as_str(self) -> &'static str {
        match self {
            Runtime::Script => "script",
            Runtime::Process => "process",
            Runtime::Python => "python",
        }
    }
}

impl Towerfile {
    /// Reads a Towerfile.
    ///
    /// Names of keys match in any case. Unknown keys are [`warnings`](Self::warnings), except in
    /// `[tinpot]`.
    ///
    /// # Errors
    /// `InvalidInput` for text that is not TOML, and for the first rule that is broken. The message
    /// names the key and the rule.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > MAX_TOWERFILE_BYTES {
            let bytes = text.len();
            return Err(invalid(format!(
                "must have at most {MAX_TOWERFILE_BYTES} bytes (got {bytes})"
            )));
        }
        let document: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            invalid(format!("is not TOML: {}", error.to_string().trim_end()))
        })?;
        let root = Table::new("", &document);
        let Some(app) = root.table("app")? else {
            return Err(invalid("must have a table [app] with name and script"));
        };
        let name = app.string("name")?.unwrap_or_default();
        check_app_name(&name).map_err(|rule| invalid(format!("app.name {rule}")))?;
        let tinpot = root.table("tinpot")?;
        let extras = tinpot.as_ref().map(Extras::read).transpose()?.unwrap_or_default();
        let script = app.string("script")?.filter(|script| !script.is_empty());
        check_script(script.as_deref(), &extras)?;
        let source = app.strings("source")?.filter(|source| !source.is_empty());
        let source = source.unwrap_or_else(|| vec![DEFAULT_SOURCE.to_owned()]);
        check_paths("app.source", &source)?;
        let import_paths = app.strings("import_paths")?.unwrap_or_default();
        check_paths("app.import_paths", &import_paths)?;
        let timeout_table = app.table("timeout")?;
        let timeout = timeout_table.as_ref().map(read_timeout).transpose()?;
        let tables = root.tables("parameters")?;
        let parameters = parameters::read(&tables)?;

        let mut warnings = root.unknown(&["app", "parameters", "tinpot"]);
        warnings.extend(app.unknown(&["name", "script", "source", "import_paths", "timeout"]));
        warnings.extend(timeout_table.iter().flat_map(|table| table.unknown(&["seconds"])));
        warnings.extend(tables.iter().flat_map(|table| table.unknown(parameters::KEYS)));
        let mut towerfile = Self {
            name,
            script,
            source,
            import_paths,
            timeout,
            parameters,
            tinpot: extras,
            warnings,
            schema: None,
        };
        schema::check(&towerfile)?;
        towerfile.schema = schema::of(&towerfile)?;
        Ok(towerfile)
    }

    /// Returns the JSON Schema of the inputs, or `None` if the Towerfile declares none.
    pub fn schema(&self) -> Option<&Json> {
        self.schema.as_ref()
    }

    /// Returns what a worker needs for this bundle.
    pub fn runtime(&self) -> Runtime {
        let extras = &self.tinpot;
        let is_plain = extras.exec.is_empty()
            && extras.python.is_none()
            && extras.requirements.as_deref().is_none_or(|path| path == "requirements.txt")
            && extras.env.is_empty()
            && extras.secrets.is_empty()
            && extras.limits.is_none()
            // The runner of MiniTower compares in lower case.
            && self.script.as_deref().is_some_and(|script| script.ends_with(".py") || script.ends_with(".sh"));
        match extras.kind {
            Kind::Actions => Runtime::Python,
            Kind::Script if is_plain => Runtime::Script,
            Kind::Script => Runtime::Process,
        }
    }

    /// Returns the path of the script from the root of the bundle, without `./` and the like.
    pub fn script_path(&self) -> Option<String> {
        self.script.as_deref().map(clean)
    }

    /// Returns the path of the program in the bundle that the app executes, from its root; `None`
    /// if an interpreter or a program of the worker runs it.
    pub fn program_path(&self) -> Option<String> {
        let program = self.tinpot.exec.first().filter(|program| program.contains('/'))?;
        if program.starts_with('/') { None } else { Some(clean(program)) }
    }
}

/// Checks the name of an app. MiniTower has the same rules for slugs of teams.
///
/// ```
/// assert_eq!(tinpot_bundle::check_app_name("hello"), Ok(()));
/// let rule = tinpot_bundle::check_app_name("api").unwrap_err();
/// assert_eq!(rule, "must not be the reserved name \"api\"");
/// ```
///
/// # Errors
/// The rule that it breaks, without a subject.
pub fn check_app_name(name: &str) -> std::result::Result<(), String> {
    if name.is_empty() {
        return Err("is missing".to_owned());
    }
    let first = name.starts_with(|c: char| c.is_ascii_lowercase());
    let rest = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !SLUG_BYTES.contains(&name.len()) || !first || !rest {
        let rule =
            "must have 3 to 32 lower-case letters, digits and hyphens, and start with a letter";
        return Err(format!("{rule} (got {name:?})"));
    }
    if RESERVED.contains(&name) {
        return Err(format!("must not be the reserved name {name:?}"));
    }
    Ok(())
}

/// Returns the text of the Towerfile with which a folder of Python actions is packed that has none.
///
/// # Errors
/// `InvalidInput` for a name that no app can have.
///
/// ```
/// use tinpot_bundle::{Kind, Towerfile, actions_towerfile};
///
/// let towerfile = Towerfile::parse(&actions_towerfile("tools")?)?;
/// assert_eq!(towerfile.tinpot.kind, Kind::Actions);
/// # Ok::<_, tinpot_core::Error>(())
/// ```
pub fn actions_towerfile(app: &str) -> Result<String> {
    check_app_name(app).map_err(|rule| {
        Error::new(ErrorKind::InvalidInput, format!("the name of an app {rule}"))
    })?;
    Ok(format!("[app]\nname = \"{app}\"\n\n[tinpot]\nkind = \"actions\"\n"))
}

/// Returns true if a file of a folder may have Python actions: it is a Python file in the folder, or
/// in one directly below it.
pub fn may_have_actions(path: &str) -> bool {
    path.ends_with(".py") && path.matches('/').count() <= 1
}

fn check_script(script: Option<&str>, extras: &Extras) -> Result<()> {
    let Some(script) = script else {
        if extras.kind == Kind::Actions || !extras.exec.is_empty() {
            return Ok(());
        }
        return Err(invalid(
            "app.script is missing: name a .py or .sh file, or set tinpot.exec or tinpot.kind",
        ));
    };
    let lower = script.to_ascii_lowercase();
    if !lower.ends_with(".py") && !lower.ends_with(".sh") {
        return Err(invalid(format!("app.script must end in .py or .sh (got {script:?})")));
    }
    check_path("app.script", script)
}

fn read_timeout(table: &Table<'_>) -> Result<Duration> {
    match table.integer("seconds")?.unwrap_or_default() {
        seconds @ 1.. => Ok(Duration::from_secs(seconds.unsigned_abs())),
        seconds => Err(invalid(format!("app.timeout.seconds must be at least 1 (got {seconds})"))),
    }
}

fn check_paths(key: &str, paths: &[String]) -> Result<()> {
    paths.iter().enumerate().try_for_each(|(at, path)| check_path(&format!("{key}[{at}]"), path))
}

/// Refuses a path that leaves the folder. A leading `/` means the root of the folder.
fn check_path(key: &str, path: &str) -> Result<()> {
    let leaves = clean(path).split('/').any(|segment| segment == "..");
    if leaves || path.contains('\0') {
        return Err(invalid(format!(
            "{key} must stay in the folder of the Towerfile (got {path:?})"
        )));
    }
    Ok(())
}

/// Returns a path without empty segments, `.`, and `..` as far as a segment precedes it.
pub(crate) fn clean(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match (segment, segments.last()) {
            ("" | ".", _) => {}
            ("..", Some(&last)) if last != ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    segments.join("/")
}
