//! The packages that a folder or a file asks for.

mod directory;
mod files;
mod project;
mod script;

use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use tinpot_core::{Error, ErrorKind, Result};

pub use self::directory::{DirectoryRequest, Requirements, WantedPython};
pub use self::script::declares as declares_packages;
use crate::key::Key;
use crate::versions::Versions;

/// The maximum size of a file that asks.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
const PYLOCK: &str = "pylock.toml";
const PROJECT: &str = "pyproject.toml";
const UV_LOCK: &str = "uv.lock";
const REQUIREMENTS: &str = "requirements.txt";
const PYTHON_VERSION: &str = ".python-version";

/// The place that asks: relative to the directory of actions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// A folder with one of the files; `""` is the directory itself.
    Folder(String),
    /// A Python file with a block of metadata (PEP 723).
    Script(String),
}

impl Origin {
    /// Returns the file that asks, relative to the directory of actions `root`.
    pub fn place(&self, root: &Path) -> String {
        self.place_with(root, &DirectoryRequest::default())
    }

    /// Returns the file that asks, or the directory for which packages are set.
    pub(crate) fn place_with(&self, root: &Path, set: &DirectoryRequest) -> String {
        let name = match self {
            Self::Script(file) => return file.clone(),
            Self::Folder(name) => name,
        };
        let folder = root.join(name);
        let file = match &set.requirements {
            Some(Requirements::File(file)) => {
                return relative(root, vec![folder.join(file)]).concat();
            }
            Some(Requirements::List(_)) => None,
            None => asking_file_with(&folder, set),
        };
        match (file, &**name) {
            (None, "") if set.is_nothing() => REQUIREMENTS.to_owned(),
            (None, "") => ".".to_owned(),
            (None, name) if set.is_nothing() => format!("{name}/{REQUIREMENTS}"),
            (None, name) => name.to_owned(),
            (Some(file), "") => file.to_owned(),
            (Some(file), name) => format!("{name}/{file}"),
        }
    }
}

/// The packages and the Python version that a folder or a file asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The file that asks, relative to the directory of actions.
    pub place: String,
    /// All files that were read, relative to the directory of actions if they are in it.
    pub asked: Vec<String>,
    /// The directory of actions.
    pub(crate) root: PathBuf,
    /// The versions of Python that may be used.
    pub python: Option<Versions>,
    /// The interpreter that is set: a program, or the directory of a virtual environment.
    pub(crate) interpreter: Option<PathBuf>,
    /// The folder in which the installer runs.
    pub(crate) folder: PathBuf,
    pub(crate) packages: Wanted,
    /// The digest of everything that was read.
    pub(crate) digest: String,
}

/// The packages of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A list of requirements, as the installer gets it.
    List(String),
    /// A file of requirements as it is.
    File(PathBuf),
    /// A `pylock.toml`, which only uv reads.
    Pylock,
    /// A `uv.lock`, with groups.
    UvLock(Vec<String>),
    /// A script whose metadata only uv reads completely.
    Script { text: String, lock: Option<String> },
}

/// Returns true if a change of a file with that name can change a request.
pub fn may_ask(name: &str) -> bool {
    [PYLOCK, PROJECT, UV_LOCK, REQUIREMENTS, PYTHON_VERSION].contains(&name)
        || name.ends_with(".py.lock")
}

/// Returns true if a folder asks for an environment. A `pyproject.toml` that only configures tools
/// does not.
pub fn folder_asks(folder: &Path) -> bool {
    asking_file(folder).is_some()
}

fn asking_file(folder: &Path) -> Option<&'static str> {
    let is_there = |name: &str| folder.join(name).is_file();
    if is_there(PYLOCK) {
        return Some(PYLOCK);
    }
    // One that cannot be read asks too, so that its error is seen.
    let is_project = || read(&folder.join(PROJECT)).map_or(true, |text| project::asks(&text));
    if is_there(PROJECT) && (is_there(UV_LOCK) || is_project()) {
        return Some(PROJECT);
    }
    is_there(REQUIREMENTS).then_some(REQUIREMENTS)
}

/// Returns the file that asks, if a directory has these settings.
fn asking_file_with(folder: &Path, set: &DirectoryRequest) -> Option<&'static str> {
    // Groups make one that only configures tools ask.
    let has_groups = || set.groups.is_some() && folder.join(PROJECT).is_file();
    asking_file(folder).or_else(|| has_groups().then_some(PROJECT))
}

impl Request {
    /// Reads what an origin below `root` asks for. `set` are the settings of a directory, which come
    /// before its files. Blocks the thread.
    ///
    /// # Errors
    /// `InvalidInput` if a file cannot be read or understood. The message names the file.
    pub fn read(root: &Path, origin: &Origin, set: &DirectoryRequest) -> Result<Self> {
        match origin {
            Origin::Script(file) => Self::of_script(root, file),
            Origin::Folder(folder) => Self::of_folder(root, folder, set),
        }
    }

    /// Returns the digest of everything that the request consists of.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns the file or table that only uv understands, if there is one.
    pub(crate) fn only_uv(&self) -> Option<&'static str> {
        match &self.packages {
            Wanted::List(_) | Wanted::File(_) => None,
            Wanted::Pylock => Some(PYLOCK),
            Wanted::UvLock(_) => Some(UV_LOCK),
            Wanted::Script { lock: Some(_), .. } => Some("the lock of a script"),
            Wanted::Script { lock: None, .. } => Some("the table [tool.uv]"),
        }
    }

    fn of_script(root: &Path, file: &str) -> Result<Self> {
        let path = root.join(file);
        let text = read(&path).map_err(|error| invalid(file, error))?;
        let script = script::read(&text).map_err(|error| invalid(file, error))?;
        let lock = fs::exists(with_lock(&path)).unwrap_or_default();
        let lock = match lock {
            true => Some(read(&with_lock(&path)).map_err(|error| invalid(file, error))?),
            false => None,
        };
        let mut key = Key::default();
        key.part("script");
        // The code below the block may change without a new environment.
        key.part(&script.block);
        key.part(lock.as_deref().unwrap_or_default());
        let folder = path.parent().unwrap_or(root).to_owned();
        let mut asked = vec![path.clone()];
        asked.extend(lock.is_some().then(|| with_lock(&path)));
        let packages = match script.needs_uv || lock.is_some() {
            true => Wanted::Script { text: script.commented, lock },
            false => {
                let list = script.dependencies.join("\n");
                let lists = files::add(&mut key, &folder, &list);
                asked.extend(lists.map_err(|error| invalid(file, error))?);
                Wanted::List(files::without_tinpot(&folder, &list))
            }
        };
        let (python, digest) = (script.python, key.finish());
        let asked = relative(root, asked);
        let (place, root) = (file.to_owned(), root.to_owned());
        Ok(Self { place, asked, root, python, interpreter: None, folder, packages, digest })
    }

    fn of_folder(root: &Path, name: &str, set: &DirectoryRequest) -> Result<Self> {
        // No slash at the end: it would be another folder in the key.
        let folder = if name.is_empty() { root.to_owned() } else { root.join(name) };
        let place = Origin::Folder(name.to_owned()).place_with(root, set);
        let failed = |error: String| invalid(&place, error);
        let mut found = match &set.requirements {
            Some(Requirements::List(list)) => Found::list(&folder, &list.join("\n")),
            Some(Requirements::File(file)) => Found::list_file(&folder, &folder.join(file)),
            None => match asking_file_with(&folder, set) {
                Some(file) => Found::file(&folder, file, set),
                None if set.python.is_some() => Found::list(&folder, ""),
                None => Err("the file is gone".to_owned()),
            },
        }
        .map_err(failed)?;
        if set.groups.is_some() && !found.has_groups {
            let message = "groups are those of a pyproject.toml, which this directory does not use";
            return Err(failed(message.to_owned()));
        }
        let mut restrict = |versions: &str| {
            let both = match &found.python {
                Some(python) => format!("{python},{versions}"),
                None => versions.to_owned(),
            };
            found.python = Some(Versions::parse(&both));
        };
        if let Some(pinned) = pinned(&folder) {
            found.key.part(&pinned);
            found.asked.push(folder.join(PYTHON_VERSION));
            restrict(&pinned);
        }
        let mut interpreter = None;
        match &set.python {
            Some(WantedPython::Versions(versions)) => restrict(&versions.to_string()),
            Some(WantedPython::Program(path)) => interpreter = Some(path.clone()),
            None => {}
        }
        let Found { key, python, asked, packages, .. } = found;
        let asked = relative(root, asked);
        let asked = if asked.is_empty() { vec![place.clone()] } else { asked };
        let (root, digest) = (root.to_owned(), key.finish());
        Ok(Self { place, asked, root, python, interpreter, folder, packages, digest })
    }
}

/// Request of the files of a folder.
#[derive(Debug)]
struct Found {
    key: Key,
    python: Option<Versions>,
    asked: Vec<PathBuf>,
    packages: Wanted,
    /// True if groups of dependencies count.
    has_groups: bool,
}

impl Found {
    /// Returns the packages of a list in the settings.
    fn list(folder: &Path, list: &str) -> std::result::Result<Self, String> {
        let mut key = Key::default();
        key.part("settings");
        key.part(list);
        let asked = files::add(&mut key, folder, list)?;
        let packages = Wanted::List(files::without_tinpot(folder, list));
        Ok(Self { key, python: None, asked, packages, has_groups: false })
    }

    /// Returns the packages of a file of requirements.
    fn list_file(folder: &Path, file: &Path) -> std::result::Result<Self, String> {
        let text = read(file)?;
        let mut key = Key::default();
        key.part(REQUIREMENTS);
        key.part(&text);
        let near = file.parent().unwrap_or(folder);
        let mut asked = vec![file.to_owned()];
        asked.extend(files::add(&mut key, near, &text)?);
        let packages = match files::names_tinpot(&text) {
            true => Wanted::List(files::without_tinpot(near, &text)),
            // Its paths are read as they always were.
            false => Wanted::File(file.to_owned()),
        };
        Ok(Self { key, python: None, asked, packages, has_groups: false })
    }

    /// Returns the packages of one of the files that ask.
    fn file(
        folder: &Path,
        file: &str,
        set: &DirectoryRequest,
    ) -> std::result::Result<Self, String> {
        if file == REQUIREMENTS {
            return Self::list_file(folder, &folder.join(file));
        }
        let text = read(&folder.join(file))?;
        let mut key = Key::default();
        key.part(file);
        key.part(&text);
        let mut asked = vec![folder.join(file)];
        if file == PYLOCK {
            let python = project::python_of_lock(&text)?;
            return Ok(Self { key, python, asked, packages: Wanted::Pylock, has_groups: false });
        }
        let mut project = project::read(&text)?;
        if let Some(groups) = &set.groups {
            groups.iter().for_each(|group| key.part(group));
            project.groups.clone_from(groups);
        }
        let python = project.python.clone();
        let lock = folder.join(UV_LOCK);
        let packages = if lock.is_file() {
            key.part(read(&lock)?);
            // The environment must not depend on where the project is, but relative paths in the
            // lock do.
            key.part(folder.as_os_str().as_encoded_bytes());
            asked.push(lock);
            Wanted::UvLock(project.groups)
        } else {
            let list = project.list()?;
            asked.extend(files::add(&mut key, folder, &list)?);
            Wanted::List(files::without_tinpot(folder, &list))
        };
        Ok(Self { key, python, asked, packages, has_groups: true })
    }
}

/// Returns paths as people see them: relative to the directory of actions if they are in it.
fn relative(root: &Path, paths: Vec<PathBuf>) -> Vec<String> {
    let shown = |path: PathBuf| {
        let mut plain = PathBuf::new();
        for part in path.components() {
            match part {
                Component::ParentDir => drop(plain.pop()),
                _ => plain.push(part),
            }
        }
        plain.strip_prefix(root).unwrap_or(&plain).display().to_string()
    };
    paths.into_iter().map(shown).collect()
}

/// Returns the version in `.python-version`, if it is a number.
fn pinned(folder: &Path) -> Option<String> {
    let text = read(&folder.join(PYTHON_VERSION)).ok()?;
    let line =
        text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let is_number = line.chars().all(|c| c.is_ascii_digit() || c == '.');
    is_number.then(|| format!("=={line}.*"))
}

fn with_lock(script: &Path) -> PathBuf {
    let mut name = script.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// Reads a regular file of bounded size as text.
fn read(path: &Path) -> std::result::Result<String, String> {
    let open = || {
        // Opening a named pipe would wait for a writer.
        if !fs::metadata(path)?.is_file() {
            return Err(std::io::Error::other("it is not a regular file"));
        }
        let mut text = Vec::new();
        fs::File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut text)?;
        Ok(text)
    };
    let text = open().map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("{} has more than {} MiB", path.display(), MAX_BYTES >> 20));
    }
    String::from_utf8(text).map_err(|_| format!("{} is not UTF-8", path.display()))
}

fn invalid(place: &str, message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("{place}: {message}"))
}

/// Returns the versions of a `requires-python`.
fn versions(value: Option<&toml::Value>) -> std::result::Result<Option<Versions>, String> {
    let Some(value) = value else { return Ok(None) };
    let text = value.as_str().ok_or("requires-python must be text, as in \">=3.11\"")?;
    let is_fine = |clause: &str| {
        let version = clause.trim().trim_start_matches(['<', '>', '=', '!', '~']).trim();
        version.starts_with(|c: char| c.is_ascii_digit())
    };
    match text.split(',').filter(|clause| !clause.trim().is_empty()).all(is_fine) {
        true => Ok(Some(Versions::parse(text.trim().trim_end_matches(',')))),
        false => Err(format!("requires-python must be like \">=3.11\" (got {text:?})")),
    }
}

/// Returns the texts of an array.
fn texts(name: &str, value: Option<&toml::Value>) -> std::result::Result<Vec<String>, String> {
    let wrong = || format!("{name} must be a list of texts");
    let Some(value) = value else { return Ok(Vec::new()) };
    let texts = value.as_array().ok_or_else(wrong)?.iter();
    texts.map(|text| text.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
}
